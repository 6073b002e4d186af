"""Accept notifications of apprise (`json://`, `xml://`, `form://`): `POST /webhooks/apprise`.

Types are info, success, warning and failure. Attachments are ignored.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from services.intake.http.xml import read_xml
from services.intake.integrations.forms import fields_of
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Signal, State, flat, named_by_words
from services.runtime.http.problems import Problem
from services.runtime.identity.principals import Source

NAME: Final = "apprise"
PATHS: Final = ("/webhooks/apprise",)
_SEVERITY: Final = {"info": 1, "success": 1, "warning": 2, "failure": 4}
_XML: Final = ("text/xml", "application/xml", "application/soap+xml")


def _xml(body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in read_xml(body).iter(etree.Element):
        found.setdefault(etree.QName(element).localname.lower(), element.text or "")
    return found


def signals(asked: Asked, source: Source) -> list[Signal]:  # noqa: ARG001  protocol of integrations
    """Read one transition. Raises ProblemError `invalid`.

    `success` closes the failure or warning of the same title. `info` opens nothing.
    """
    given = {
        str(name).lower(): value
        for name, value in (_xml(asked.body) if asked.kind in _XML else fields_of(asked)).items()
    }
    title, message = text(given, "title", "subject"), text(given, "message", "body")
    if not (title or message):
        raise wrong(
            "message", "missing", "titre ou message obligatoire", "a title or a message is required"
        )
    kind = text(given, "type", "messagetype").lower() or "info"
    state = {"success": State.CLOSED, "info": State.INFO}.get(kind, State.OPEN)
    return [
        Signal(
            named_by_words(title or message),
            state,
            title or message,
            message,
            flat({n: v for n, v in given.items() if n not in ("message", "body")}),
            _SEVERITY.get(kind, 2),
        )
    ]


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  protocol of integrations
    return Reply(200, {"signals": len(found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None

"""Accept notifications of apprise (`json://`, `xml://`, `form://`): `POST /webhooks/apprise`.

Types are info, success, warning and failure. Attachments are ignored.
"""

from typing import Final

from lxml import etree

from services.intake.http.xml import parse_xml
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    read_fields,
)
from services.intake.integrations.signals import (
    Transition,
    TransitionState,
    derive_key_from_text,
    flatten_document,
)
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "apprise"
KEY_LOCATION: Final = "X-Token"
PATHS: Final = ("/webhooks/apprise",)
_SEVERITY: Final = {"info": 1, "success": 1, "warning": 2, "failure": 4}
_XML: Final = ("text/xml", "application/xml", "application/soap+xml")


def _read_xml_fields(body: bytes) -> dict[str, str]:
    xml_fields: dict[str, str] = {}
    for element in parse_xml(body).iter(etree.Element):
        xml_fields.setdefault(etree.QName(element).localname.lower(), element.text or "")
    return xml_fields


def signals(request: IntegrationRequest, source: Source) -> list[Transition]:  # noqa: ARG001  protocol of integrations
    """Read one transition. Raises ProblemError `invalid`.

    `success` closes the failure or warning of the same title. `info` opens nothing.
    """
    field_values = {
        str(name).lower(): value
        for name, value in (
            _read_xml_fields(request.body) if request.kind in _XML else read_fields(request)
        ).items()
    }
    title, message = (
        get_first_text(field_values, "title", "subject"),
        get_first_text(field_values, "message", "body"),
    )
    if not (title or message):
        raise build_field_problem(
            "message", "missing", "titre ou message obligatoire", "a title or a message is required"
        )
    kind = get_first_text(field_values, "type", "messagetype").lower() or "info"
    state = {"success": TransitionState.CLOSED, "info": TransitionState.INFO}.get(
        kind, TransitionState.OPEN
    )
    return [
        Transition(
            derive_key_from_text(title or message),
            state,
            title or message,
            message,
            flatten_document(
                {n: v for n, v in field_values.items() if n not in ("message", "body")}
            ),
            _SEVERITY.get(kind, 2),
        )
    ]


def build_reply(request: IntegrationRequest, outcome: list[Transition]) -> Reply:  # noqa: ARG001  protocol of integrations
    return Reply(200, {"signals": len(outcome)})

"""Accept Opsgenie alerts: `POST /v2/alerts`, `/v2/alerts/{id}/close` and `/acknowledge`.

Heartbeats and other calls are answered. The key is in `Authorization: GenieKey …`.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import uuid4

from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Signal, State, flat
from services.runtime.http.problems import Problem
from services.runtime.identity.principals import Source

NAME: Final = "opsgenie"
PATHS: Final = ("/v2/alerts", "/v2/heartbeats")
_ONE: Final = re.compile(r"/v2/alerts/(.{1,600})/([a-z]+)/?")
_STATES: Final = {"close": State.CLOSED, "acknowledge": State.ACKNOWLEDGED}
_PRIORITY: Final = {"P1": 4, "P2": 3, "P3": 3, "P4": 2, "P5": 1}


def signals(asked: Asked, source: Source) -> list[Signal]:  # noqa: ARG001  protocol of integrations
    """Read the transition in a request. Raises ProblemError `invalid`.

    The key is the alias, else derived from the message. Other actions on an alert (`/notes`,
    `/snooze`) have no meaning. Neither have `/message` and `/description`: Alertmanager with
    `update_alerts` sends them after a creation with the same content.
    """
    if asked.path.startswith("/v2/heartbeats"):
        return []
    document = asked.json_object() if asked.body.strip() else {}
    if (found := _ONE.fullmatch(asked.path)) is not None:
        state = _STATES.get(found[2])
        return [] if state is None else [Signal(found[1], state, details=text(document, "note"))]
    if not text(document, "message"):
        raise wrong(
            "message",
            "missing",
            "obligatoire, 130 caractères au plus",
            "required, 130 characters at most",
        )
    alias = text(document, "alias")
    if len(alias) > 512:
        raise wrong("alias", "length", "512 caractères au plus", "512 characters at most")
    labels = flat(
        {
            n: v
            for n, v in document.items()
            if n not in ("message", "description", "responders", "visibleTo", "user", "note")
        }
    )
    details = document.get("details")
    if isinstance(details, dict) and (site := text(details, "site")):
        labels["site"] = site
    severity = _PRIORITY.get(text(document, "priority").upper(), 3)
    return [
        Signal(
            alias or asked.own_name(),
            State.OPEN,
            text(document, "message"),
            text(document, "description"),
            labels,
            severity,
        )
    ]


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  protocol of integrations
    """Answer 202, or the pong of a heartbeat."""
    if asked.path.startswith("/v2/heartbeats"):
        return Reply(
            202,
            {
                "result": "PONG - Heartbeat received",
                "took": asked.took_s,
                "requestId": str(uuid4()),
            },
        )
    return Reply(
        202,
        {"result": "Request will be processed", "took": asked.took_s, "requestId": str(uuid4())},
    )


def refused(problem: Problem) -> Reply:
    """Answer 422 with the reason."""
    errors = {f.field: f.message["en"] for f in problem.faults}
    return Reply(
        422, {"message": problem.sentence("en"), "errors": errors, "requestId": str(uuid4())}
    )

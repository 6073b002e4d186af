"""Accept Opsgenie alerts: `POST /v2/alerts`, `/v2/alerts/{id}/close` and `/acknowledge`.

Heartbeats and other calls are answered. The key is in `Authorization: GenieKey …`.
"""

import re
from typing import Final
from uuid import uuid4

from services.intake.integrations.request import IntegrationRequest, Reply, get_first_text
from services.intake.integrations.signals import Transition, TransitionState, flatten_document
from services.runtime.http.problems import Problem, build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "opsgenie"
KEY_LOCATION: Final = "Authorization: GenieKey"
PATHS: Final = ("/v2/alerts", "/v2/heartbeats")
_ALERT_ACTION: Final = re.compile(r"/v2/alerts/(.{1,600})/([a-z]+)/?")
_STATES: Final = {"close": TransitionState.CLOSED, "acknowledge": TransitionState.ACKNOWLEDGED}
_PRIORITY: Final = {"P1": 4, "P2": 3, "P3": 3, "P4": 2, "P5": 1}


def signals(request: IntegrationRequest, source: Source) -> list[Transition]:  # noqa: ARG001  protocol of integrations
    """Read the transition in a request. Raises ProblemError `invalid`.

    The key is the alias, else derived from the message. Other actions on an alert (`/notes`,
    `/snooze`) have no meaning. Neither have `/message` and `/description`: Alertmanager with
    `update_alerts` sends them after a creation with the same content.
    """
    if request.path.startswith("/v2/heartbeats"):
        return []
    document = request.json_object() if request.body.strip() else {}
    if (path_match := _ALERT_ACTION.fullmatch(request.path)) is not None:
        state = _STATES.get(path_match[2])
        return (
            []
            if state is None
            else [Transition(path_match[1], state, details=get_first_text(document, "note"))]
        )
    if not get_first_text(document, "message"):
        raise build_field_problem(
            "message",
            "missing",
            "obligatoire, 130 caractères au plus",
            "required, 130 characters at most",
        )
    alias = get_first_text(document, "alias")
    if len(alias) > 512:
        raise build_field_problem(
            "alias", "length", "512 caractères au plus", "512 characters at most"
        )
    labels = flatten_document(
        {
            n: v
            for n, v in document.items()
            if n not in ("message", "description", "responders", "visibleTo", "user", "note")
        }
    )
    details = document.get("details")
    if isinstance(details, dict) and (site := get_first_text(details, "site")):
        labels["site"] = site
    severity = _PRIORITY.get(get_first_text(document, "priority").upper(), 3)
    return [
        Transition(
            alias or request.own_name(),
            TransitionState.OPEN,
            get_first_text(document, "message"),
            get_first_text(document, "description"),
            labels,
            severity,
        )
    ]


def build_reply(request: IntegrationRequest, outcome: list[Transition]) -> Reply:  # noqa: ARG001  protocol of integrations
    """Answer 202, or the pong of a heartbeat."""
    if request.path.startswith("/v2/heartbeats"):
        return Reply(
            202,
            {
                "result": "PONG - Heartbeat received",
                "took": request.took_s,
                "requestId": str(uuid4()),
            },
        )
    return Reply(
        202,
        {"result": "Request will be processed", "took": request.took_s, "requestId": str(uuid4())},
    )


def build_refusal(problem: Problem) -> Reply:
    """Answer 422 with the reason."""
    errors = {f.field: f.message["en"] for f in problem.faults}
    return Reply(
        422, {"message": problem.sentence("en"), "errors": errors, "requestId": str(uuid4())}
    )

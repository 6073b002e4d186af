"""Accept PagerDuty Events API v2: `POST /v2/enqueue`, `/v2/change/enqueue`.

The key of the source is the `routing_key`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from services.intake.integrations.alertmanager import SEVERITY_BY_LABEL, stringify_values
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    parse_time,
)
from services.intake.integrations.signals import Transition, TransitionState, flatten_document
from services.runtime.http.problems import Problem, build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "pagerduty"
KEY_LOCATION: Final = "routing_key"
PATHS: Final = ("/v2/enqueue", "/v2/change/enqueue")
MAX_SUMMARY: Final = 1024
MAX_BYTES: Final = 512 * 1024
"""Maximum size of an event, as at PagerDuty."""
_STATES: Final = {
    "trigger": TransitionState.OPEN,
    "acknowledge": TransitionState.ACKNOWLEDGED,
    "resolve": TransitionState.CLOSED,
}
_LABELS: Final = re.compile(r"^Labels:\n((?: - .*\n)*)", re.MULTILINE)
_LABEL: Final = re.compile(r"^ - (\S+) = (.*)$", re.MULTILINE)


def read_routing_key(request: IntegrationRequest) -> str | None:
    """Return the routing key of the body. Raises ProblemError."""
    return get_first_text(request.json_object(), "routing_key", "service_key") or None


def signals(request: IntegrationRequest, source: Source) -> list[Transition]:  # noqa: ARG001  protocol of integrations
    """Read the transition in an event; a change event has none. Raises ProblemError `invalid`."""
    if len(request.body) > MAX_BYTES:
        raise build_field_problem("body", "length", "512 Ko au plus", "512 KB at most")
    document = request.json_object()
    if "/change/" in request.path:
        return []
    action = get_first_text(document, "event_action")
    if action not in _STATES:
        raise build_field_problem(
            "event_action",
            "enum",
            "trigger, acknowledge ou resolve",
            "trigger, acknowledge or resolve",
        )
    payload: Any = document.get("payload")
    key = get_first_text(document, "dedup_key")
    if action == "trigger":
        if not isinstance(payload, dict):
            raise build_field_problem(
                "payload", "missing", "obligatoire pour trigger", "required for trigger"
            )
        for name in ("summary", "source", "severity"):
            if not get_first_text(payload, name):
                raise build_field_problem(f"payload.{name}", "missing", "obligatoire", "required")
    elif not key:
        raise build_field_problem(
            "dedup_key",
            "missing",
            "obligatoire pour acknowledge et resolve",
            "required for acknowledge and resolve",
        )
    if len(key) > 255:
        raise build_field_problem(
            "dedup_key", "length", "255 caractères au plus", "255 characters at most"
        )
    event = payload if isinstance(payload, dict) else {}
    labels = flatten_document({k: v for k, v in event.items() if k != "summary"}) | {
        n: t for n in ("client", "client_url") if (t := get_first_text(document, n))
    }
    details = event.get("custom_details")
    if isinstance(details, dict):
        labels |= _find_gravest_labels(details) | {
            k: v for k, v in flatten_document(details).items() if k in ("site", "severity")
        }
    severity = _rank_severity(labels) or SEVERITY_BY_LABEL.get(
        get_first_text(event, "severity").lower()
    )
    at = parse_time(event.get("timestamp"))
    return [
        Transition(
            key or request.own_name(at),
            _STATES[action],
            get_first_text(event, "summary")[:MAX_SUMMARY],
            get_first_text(event, "details") or _format_details(details),
            labels,
            severity,
            at=at,
        )
    ]


def build_reply(request: IntegrationRequest, outcome: list[Transition]) -> Reply:  # noqa: ARG001  protocol of integrations
    """Answer 202 with the `dedup_key`, without which the official client raises."""
    document = {"status": "success", "message": "Event processed"}
    return Reply(202, document | ({"dedup_key": outcome[0].key} if outcome else {}))


def build_refusal(problem: Problem) -> Reply:
    """Answer 400; it is final for PagerDuty clients. Temporary problems are a 503."""
    errors = [f"{f.field}: {f.message['en']}" for f in problem.faults] or [problem.sentence("en")]
    return Reply(
        400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    )


def _find_gravest_labels(details: dict[str, Any]) -> dict[str, str]:
    """Return `severity` and `site` of the gravest alert of a group.

    Alertmanager always sends the severity `error` and lists the alerts in `firing` and `resolved`,
    as a list or text.
    """
    alerts = _list_alert_labels(details.get("firing")) or _list_alert_labels(
        details.get("resolved")
    )
    return {
        name: alert[name]
        for alert in sorted(alerts, key=_rank_severity)
        for name in ("severity", "site")
        if name in alert
    }


def _list_alert_labels(alerts: Any) -> list[dict[str, str]]:
    if isinstance(alerts, list):
        return [
            stringify_values(alert.get("labels")) for alert in alerts if isinstance(alert, dict)
        ]
    return (
        [dict(_LABEL.findall(labels)) for labels in _LABELS.findall(alerts)]
        if isinstance(alerts, str)
        else []
    )


def _rank_severity(labels: Mapping[str, str]) -> int:
    return SEVERITY_BY_LABEL.get(labels.get("severity", "").lower(), 0)


def _format_details(details: Any) -> str:
    return (
        "\n".join(f"{name}: {value}" for name, value in flatten_document(details).items())
        if isinstance(details, dict | list)
        else str(details or "")
    )

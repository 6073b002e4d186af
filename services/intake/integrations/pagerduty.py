"""Accept PagerDuty Events API v2: `POST /v2/enqueue`, `/v2/change/enqueue`.

The key of the source is the `routing_key`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from services.intake.integrations.alertmanager import SEVERITY, strings
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Signal, State, flat
from services.intake.integrations.times import read_time
from services.runtime.http.problems import Problem
from services.runtime.identity.principals import Source

NAME: Final = "pagerduty"
PATHS: Final = ("/v2/enqueue", "/v2/change/enqueue")
SUMMARY: Final = 1024
LARGEST: Final = 512 * 1024
"""Maximum size of an event, as at PagerDuty."""
_STATES: Final = {"trigger": State.OPEN, "acknowledge": State.ACKNOWLEDGED, "resolve": State.CLOSED}
_LABELS: Final = re.compile(r"^Labels:\n((?: - .*\n)*)", re.MULTILINE)
_LABEL: Final = re.compile(r"^ - (\S+) = (.*)$", re.MULTILINE)


def key_in(asked: Asked) -> str | None:
    """Return the routing key of the body. Raises ProblemError."""
    return text(asked.json_object(), "routing_key", "service_key") or None


def signals(asked: Asked, source: Source) -> list[Signal]:  # noqa: ARG001  protocol of integrations
    """Read the transition in an event; a change event has none. Raises ProblemError `invalid`."""
    if len(asked.body) > LARGEST:
        raise wrong("body", "length", "512 Ko au plus", "512 KB at most")
    document = asked.json_object()
    if "/change/" in asked.path:
        return []
    action = text(document, "event_action")
    if action not in _STATES:
        raise wrong(
            "event_action",
            "enum",
            "trigger, acknowledge ou resolve",
            "trigger, acknowledge or resolve",
        )
    payload: Any = document.get("payload")
    key = text(document, "dedup_key")
    if action == "trigger":
        if not isinstance(payload, dict):
            raise wrong("payload", "missing", "obligatoire pour trigger", "required for trigger")
        for name in ("summary", "source", "severity"):
            if not text(payload, name):
                raise wrong(f"payload.{name}", "missing", "obligatoire", "required")
    elif not key:
        raise wrong(
            "dedup_key",
            "missing",
            "obligatoire pour acknowledge et resolve",
            "required for acknowledge and resolve",
        )
    if len(key) > 255:
        raise wrong("dedup_key", "length", "255 caractères au plus", "255 characters at most")
    said = payload if isinstance(payload, dict) else {}
    labels = flat({k: v for k, v in said.items() if k != "summary"}) | {
        n: t for n in ("client", "client_url") if (t := text(document, n))
    }
    details = said.get("custom_details")
    if isinstance(details, dict):
        labels |= _of_its_alerts(details) | {
            k: v for k, v in flat(details).items() if k in ("site", "severity")
        }
    severity = _rank(labels) or SEVERITY.get(text(said, "severity").lower())
    at = read_time(said.get("timestamp"))
    return [
        Signal(
            key or asked.own_name(at),
            _STATES[action],
            text(said, "summary")[:SUMMARY],
            text(said, "details") or _lines(details),
            labels,
            severity,
            at=at,
        )
    ]


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  protocol of integrations
    """Answer 202 with the `dedup_key`, without which the official client raises."""
    document = {"status": "success", "message": "Event processed"}
    return Reply(202, document | ({"dedup_key": found[0].key} if found else {}))


def refused(problem: Problem) -> Reply:
    """Answer 400, which is final for PagerDuty clients. Temporary problems are a 503."""
    errors = [f"{f.field}: {f.message['en']}" for f in problem.faults] or [problem.sentence("en")]
    return Reply(
        400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    )


def _of_its_alerts(details: dict[str, Any]) -> dict[str, str]:
    """Return `severity` and `site` of the gravest alert of a group.

    Alertmanager always sends the severity `error` and lists the alerts in `firing` and `resolved`,
    as a list or text.
    """
    alerts = _alerts(details.get("firing")) or _alerts(details.get("resolved"))
    return {
        name: alert[name]
        for alert in sorted(alerts, key=_rank)
        for name in ("severity", "site")
        if name in alert
    }


def _alerts(told: Any) -> list[dict[str, str]]:
    """Return the labels of each alert."""
    if isinstance(told, list):
        return [strings(alert.get("labels")) for alert in told if isinstance(alert, dict)]
    return (
        [dict(_LABEL.findall(labels)) for labels in _LABELS.findall(told)]
        if isinstance(told, str)
        else []
    )


def _rank(labels: Mapping[str, str]) -> int:
    return SEVERITY.get(labels.get("severity", "").lower(), 0)


def _lines(details: Any) -> str:
    return (
        "\n".join(f"{name}: {value}" for name, value in flat(details).items())
        if isinstance(details, dict | list)
        else str(details or "")
    )

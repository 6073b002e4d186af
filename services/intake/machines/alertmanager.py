"""Alertmanager webhook v4: `POST /webhooks/alertmanager`. Every 4xx is dropped by the sender for ever, so one bad alert never costs the others."""

from __future__ import annotations

from typing import Any, Final

from services.intake.machines.asked import Asked, Reply, text, wrong
from services.intake.machines.signals import Signal, State, short
from services.intake.machines.times import read_time
from services.runtime.principals import Source
from services.runtime.problems import Problem

NAME: Final = "alertmanager"
PATHS: Final = ("/webhooks/alertmanager",)
SEVERITY: Final = {"critical": 4, "page": 4, "error": 3, "major": 3, "warning": 2, "minor": 2, "info": 1, "none": 1}


def signals(asked: Asked, source: Source) -> list[Signal]:  # noqa: ARG001  the protocol of dialects
    """One per alert. Episode = (fingerprint, startsAt); the group and its repetitions mean nothing. Raises ProblemError `invalid`."""
    document = asked.json_object()
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise wrong("alerts", "list", "une liste est attendue", "a list is expected")
    found = [signal for alert in alerts if isinstance(alert, dict) and (signal := _signal(alert)) is not None]
    if alerts and not found:
        raise wrong("alerts", "labels", "aucune alerte n’a d’étiquettes", "no alert has labels")
    return found


def _signal(alert: dict[str, Any]) -> Signal | None:
    labels, notes = strings(alert.get("labels")), strings(alert.get("annotations"))
    if not labels:
        return None
    key = text(alert, "fingerprint") or short("\x1f".join(f"{n}={v}" for n, v in sorted(labels.items())))
    resolved = alert.get("status") == "resolved"
    return Signal(
        key, State.CLOSED if resolved else State.OPEN, text(notes, "summary", "title") or text(labels, "alertname"),
        "\n".join(t for t in (text(notes, "description", "message"), text(alert, "generatorURL")) if t), labels,
        SEVERITY.get(labels.get("severity", "").lower()), at=read_time(alert.get("endsAt")) if resolved else read_time(alert.get("startsAt")),
        began=read_time(alert.get("startsAt")), matchable=True,
    )  # fmt: skip


def strings(given: Any) -> dict[str, str]:
    """Labels or annotations, whatever came."""
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  the protocol of dialects
    """Any 2xx."""
    return Reply(202, {"status": "success", "signals": len(found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """The usual problem document."""
    return None

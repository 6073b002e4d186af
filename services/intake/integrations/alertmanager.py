"""Accept Alertmanager webhooks v4: `POST /webhooks/alertmanager`.

Alertmanager drops a message after any 4xx, so an invalid alert must not affect the others.
"""

from __future__ import annotations

from typing import Any, Final

from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Part, Signal, State, short
from services.intake.integrations.times import read_time
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.principals import Source

NAME: Final = "alertmanager"
PATHS: Final = ("/webhooks/alertmanager",)
SEVERITY: Final = {
    "critical": 4,
    "page": 4,
    "error": 3,
    "major": 3,
    "warning": 2,
    "minor": 2,
    "info": 1,
    "none": 1,
}


def signals(asked: Asked, source: Source) -> list[Signal | ProblemError]:  # noqa: ARG001
    """Read one transition per alert. Raises ProblemError `invalid`.

    Fingerprint and startsAt name an episode. The group and its repetitions have no meaning.
    """
    document = asked.json_object()
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise wrong("alerts", "list", "une liste est attendue", "a list is expected")
    head = {n: v for n, v in document.items() if n != "alerts"}
    return [_signal(alert, n, head) for n, alert in enumerate(alerts)]


def _signal(alert: Any, n: int, head: dict[str, Any]) -> Signal | ProblemError:
    labels = strings(alert.get("labels")) if isinstance(alert, dict) else {}
    if not labels:
        return wrong(
            f"alerts.{n}.labels",
            "labels",
            "cette alerte n’a pas d’étiquettes",
            "this alert has no labels",
        )
    notes = strings(alert.get("annotations"))
    key = text(alert, "fingerprint") or short(
        "\x1f".join(f"{n}={v}" for n, v in sorted(labels.items()))
    )
    resolved = alert.get("status") == "resolved"
    return Signal(
        key,
        State.CLOSED if resolved else State.OPEN,
        text(notes, "summary", "title") or text(labels, "alertname"),
        "\n".join(
            t for t in (text(notes, "description", "message"), text(alert, "generatorURL")) if t
        ),
        labels,
        SEVERITY.get(labels.get("severity", "").lower()),
        at=read_time(alert.get("endsAt")) if resolved else read_time(alert.get("startsAt")),
        began=read_time(alert.get("startsAt")),
        matchable=True,
        part=Part(head | {"alerts": [alert]}),
    )


def strings(given: Any) -> dict[str, str]:
    """Convert labels or annotations to strings; anything else gives none."""
    return (
        {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    )


def accepted(asked: Asked, found: list[Signal | ProblemError]) -> Reply:  # noqa: ARG001
    return Reply(202, {"status": "success", "signals": sum(isinstance(f, Signal) for f in found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None

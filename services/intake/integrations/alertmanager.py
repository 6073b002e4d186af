"""Accept Alertmanager webhooks v4: `POST /webhooks/alertmanager`.

Alertmanager drops a message after any 4xx, so an invalid alert must not affect the others.
"""

from typing import Any, Final

from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    parse_time,
)
from services.intake.integrations.signals import (
    RequestPart,
    Transition,
    TransitionState,
    shorten_key,
)
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "alertmanager"
PATHS: Final = ("/webhooks/alertmanager",)
SEVERITY_BY_LABEL: Final = {
    "critical": 4,
    "page": 4,
    "error": 3,
    "major": 3,
    "warning": 2,
    "minor": 2,
    "info": 1,
    "none": 1,
}


def signals(request: IntegrationRequest, source: Source) -> list[Transition | ProblemError]:  # noqa: ARG001
    """Read one transition per alert. Raises ProblemError `invalid`.

    Fingerprint and startsAt name an episode. The group and its repetitions have no meaning. Alerts
    that the sender cut off (`max_alerts`) are a refusal, which is kept and shown.
    """
    document = request.json_object()
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise build_field_problem("alerts", "list", "une liste est attendue", "a list is expected")
    head = {n: v for n, v in document.items() if n != "alerts"}
    transitions = [_read_alert(alert, n, head) for n, alert in enumerate(alerts)]
    return [*transitions, *_list_cut_alerts(document.get("truncatedAlerts"))]


def _list_cut_alerts(count: Any) -> list[ProblemError]:
    if not isinstance(count, int) or count <= 0:
        return []
    return [
        build_field_problem(
            "truncatedAlerts",
            "truncated",
            f"{count} alertes n’ont pas été envoyées : retirez la limite « max_alerts » de l’émetteur",
            f"{count} alerts were not sent: remove the limit “max_alerts” of the sender",
        )
    ]


def _read_alert(alert: Any, n: int, head: dict[str, Any]) -> Transition | ProblemError:
    labels = stringify_values(alert.get("labels")) if isinstance(alert, dict) else {}
    if not labels:
        return build_field_problem(
            f"alerts.{n}.labels",
            "labels",
            "cette alerte n’a pas d’étiquettes",
            "this alert has no labels",
        )
    notes = stringify_values(alert.get("annotations"))
    key = get_first_text(alert, "fingerprint") or shorten_key(
        "\x1f".join(f"{n}={v}" for n, v in sorted(labels.items()))
    )
    is_resolved = alert.get("status") == "resolved"
    return Transition(
        key,
        TransitionState.CLOSED if is_resolved else TransitionState.OPEN,
        get_first_text(notes, "summary", "title") or get_first_text(labels, "alertname"),
        "\n".join(
            t
            for t in (
                get_first_text(notes, "description", "message"),
                get_first_text(alert, "generatorURL"),
            )
            if t
        ),
        labels,
        SEVERITY_BY_LABEL.get(labels.get("severity", "").lower()),
        at=parse_time(alert.get("endsAt")) if is_resolved else parse_time(alert.get("startsAt")),
        began=parse_time(alert.get("startsAt")),
        matchable=True,
        part=RequestPart(head | {"alerts": [alert]}),
    )


def stringify_values(mapping: Any) -> dict[str, str]:
    """Convert labels or annotations to strings; anything else gives none."""
    return (
        {str(name): str(value) for name, value in mapping.items()}
        if isinstance(mapping, dict)
        else {}
    )


def build_reply(request: IntegrationRequest, outcome: list[Transition | ProblemError]) -> Reply:  # noqa: ARG001
    return Reply(
        202, {"status": "success", "signals": sum(isinstance(f, Transition) for f in outcome)}
    )

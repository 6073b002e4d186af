"""Read the triggers that make a plan proposed. Rules D31, D49 and D70."""

from __future__ import annotations

from schemas.alerts import TriggerRow, Why
from services.alerts.decision import AlertsDecision


def list_held_triggers(draft: AlertsDecision, plan: str) -> list[TriggerRow]:
    """List the triggers of a plan that hold, its stand-down left out."""
    return [
        row
        for row in draft.state.triggers.values()
        if row.plan == plan and row.state == "held" and not row.id.endswith(":stand-down")
    ]


def find_reason(draft: AlertsDecision, plan: str) -> str | None:
    """Return the first reason of a plan's highest held trigger as JSON, or None.

    The message of the proposal carries it. Reports and time stay out: the words need neither.
    """
    held_triggers = list_held_triggers(draft, plan)
    highest = max(held_triggers, key=lambda row: (row.level, row.since, row.id), default=None)
    measured_reasons = (
        [] if highest is None else [why for why in highest.why if why.metric is not None]
    )
    if not measured_reasons:
        return None
    reason: Why = measured_reasons[0].model_copy(update={"reports": (), "at": None})
    return reason.model_dump_json(exclude_defaults=True)

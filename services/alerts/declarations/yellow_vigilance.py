"""Yellow vigilances: no incident, no level, no call, but one digest a day. Rule D72, noise."""

from typing import Final

from schemas.alerts import FlagChanged
from schemas.base import Instant, copy_with
from schemas.calling import NotificationPlanned
from services.alerts.decision import AlertsDecision, sort_by_id
from services.alerts.escalation.oncall import get_holder_and_deputy, list_channels
from services.alerts.levels.levels import list_held_triggers
from services.alerts.reference.territory import COLOURS
from services.oncall.schedule import find_next_local_minute

YELLOW: Final = COLOURS[1]
_PREFIX: Final = "vigilance:"


def compute_digest_time(draft: AlertsDecision, value: bool | float | str) -> Instant | None:
    """Return when the digest for this colour is due; None for any colour but yellow."""
    policy = draft.territory.policy
    rule = policy.vigilance_digest if policy is not None else None
    return (
        find_next_local_minute(rule.at_min, draft.now)
        if rule is not None and value == YELLOW
        else None
    )


def send_digest(draft: AlertsDecision) -> None:
    """Send each role one digest of the yellow vigilances that are due, and of their plans."""
    due_flags = sort_by_id(
        f
        for f in draft.state.flags.values()
        if f.digest_at is not None and f.digest_at <= draft.now
    )
    yellow = [f.id.removeprefix(_PREFIX) for f in due_flags if f.value == YELLOW]
    for flag in due_flags:
        draft.emit(FlagChanged(row=copy_with(flag, {"digest_at": None})))
    policy = draft.territory.policy
    if policy is None or policy.vigilance_digest is None or not yellow:
        return
    rule, notified_people = policy.vigilance_digest, set[str]()
    values: dict[str, str | int | float | bool | None] = {
        "phenomena": "|".join(yellow),
        "plans": "|".join(_list_proposed_plans(draft)),
    }
    for role in rule.to:
        now = get_holder_and_deputy(draft, role, None)
        person = now.holder or now.deputy
        by = (
            tuple(c for c in list_channels(draft, person, rule.channels) if c in rule.channels)
            if person is not None
            else ()
        )
        if person is None or not by or person in notified_people:
            continue
        notified_people.add(person)
        draft.emit(
            NotificationPlanned(
                notification=draft.derive("notification"),
                level=draft.level,
                role=role,
                person=person,
                channels=by,
                answer_expected=False,
                template="vigilance_digest",
                values=values,
                planned_at=draft.clock,
            )
        )


def _list_proposed_plans(draft: AlertsDecision) -> list[str]:
    plans = {
        t.plan
        for t in draft.state.triggers.values()
        if t.state == "held" and not t.id.endswith(":stand-down")
    }
    return sorted(plan for plan in plans if is_proposed_by_yellow(draft, plan))


def is_proposed_by_yellow(draft: AlertsDecision, plan: str) -> bool:
    """Return whether yellow vigilances alone make a plan's triggers hold: then nobody is called."""
    held_triggers = list_held_triggers(draft, plan)
    reasons = [why for trigger in held_triggers for why in trigger.why]
    return bool(reasons) and all(
        why.metric == "vigilance" and why.value == YELLOW for why in reasons
    )

"""Quiet hours: at the levels that the policy names, people not on call are called in the morning.

Danger passes. Rule D36, quiet hours.
"""

from __future__ import annotations

from schemas.base import Instant
from schemas.oncall import Place
from schemas.words import Level
from services.alerts.decision import AlertsDecision
from services.oncall.localtime import local_day, windows_around


def find_quiet_end(draft: AlertsDecision, person: str, role: str, level: Level) -> Instant | None:
    """Return the end of the quiet hours that delay a message to this person; None when it passes.

    On call are people called in a role of `astreintes_preuve`, and holders and deputies of one at
    this hour. If the policy names no such role, nothing is delayed.
    """
    policy = draft.territory.policy
    if (
        policy is None
        or policy.readiness is None
        or level not in policy.quiet_levels
        or role in policy.readiness.roles
    ):
        return None
    now, window = draft.clock, policy.quiet_hours
    if window is None:
        return None
    end = next(
        (
            end
            for start, end in windows_around(window, now)
            if start <= now < end and local_day(start).isoweekday() in policy.quiet_days
        ),
        None,
    )
    return (
        end
        if end is not None and not _is_on_call(draft, person, frozenset(policy.readiness.roles))
        else None
    )


def _is_on_call(draft: AlertsDecision, person: str, roles: frozenset[str]) -> bool:
    rota = draft.state.rota
    return any(
        person in rota.stand(role, scope, place, draft.clock).persons
        for role, scope in rota.posts
        if role in roles
        for place in Place
    )

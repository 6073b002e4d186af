"""Compute the monthly drill: the reach of every step of every escalation now.

Pure; nobody is called. Rule D38.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.base import Instant
from schemas.oncall import RungRow
from schemas.reference import DEPUTIES, Wave
from services.oncall.readiness import ReadinessProver
from services.oncall.schedule import OnCallPair, ScopedRole

MAX_NAMED_ROLES: Final = 50


def prove_steps(prover: ReadinessProver, at: Instant) -> tuple[RungRow, ...]:
    """Prove every step of every escalation, escalations in order.

    A row counts the roles of the step, those that somebody would answer, and the slowest time.
    """
    ladders = sorted(prover.policy.ladders.items())
    return tuple(
        _prove_step(prover, ladder, wave, waves[0], at)
        for ladder, waves in ladders
        for wave in waves
    )


def _prove_step(
    prover: ReadinessProver, ladder: str, wave: Wave, first: Wave, at: Instant
) -> RungRow:
    calls = prover.calling(ladder, wave)
    posts, reached_count, late = 0, 0, 0
    silent: list[str] = []
    slowest: float | None = None
    for post, pair in _list_called_roles(prover, wave, first, at):
        posts += 1
        person, _, minutes = prover.find_reached(pair, calls, at)
        if person is None or minutes is None:
            silent.append(_format_role(post))
            continue
        reached_count += 1
        late += minutes > calls.after_min + calls.ack_min
        slowest = minutes if slowest is None else max(slowest, minutes)
    return RungRow(
        ladder=ladder,
        wave=wave.wave,
        posts=posts,
        reached=reached_count,
        late=late,
        slowest_min=slowest,
        silent=tuple(sorted(silent)[:MAX_NAMED_ROLES]),
    )


def _list_called_roles(
    prover: ReadinessProver, wave: Wave, first: Wave, at: Instant
) -> Iterator[tuple[ScopedRole, OnCallPair]]:
    """Yield each role and scope that a step calls, once, with the pair on call.

    A role of pôles or sites yields all of them: an incident may hit any.
    """
    handled_roles: set[ScopedRole] = set()
    for who in wave.who:
        deputies = who == DEPUTIES
        for role in (
            r for name in (first.who if deputies else (who,)) for r in prover.roles_of(name)
        ):
            for scope in prover.rota.scopes(role) or (None,):
                if (role, scope) in handled_roles:
                    continue
                handled_roles.add((role, scope))
                pair = prover.rota.pair(role, scope, at)
                yield (role, scope), OnCallPair(pair.deputy, None) if deputies else pair


def _format_role(post: ScopedRole) -> str:
    return post[0] if post[1] is None else f"{post[0]}:{post[1]}"

"""Check the readiness of a live realm each morning and after each change; run the monthly drill.

Urgent gaps are announced and become tasks. The drill computes the reach of every step; nobody is
called. Rule D38, readiness.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.base import HOUR_MS, Instant
from schemas.oncall import DrillRow, HoleRow, LaddersDrilled, ReadinessProved, ReadinessRow, RungRow
from schemas.reference import DEPUTIES, ReadinessRule, Wave
from services.alerts.decision import AlertsDecision, cancel_task, list_open_tasks, open_task
from services.alerts.escalation import notifications
from services.alerts.escalation.steps import format_role
from services.alerts.evolve.oncall import get_readiness_rule
from services.oncall.readiness import (
    MAX_GAPS,
    ReadinessProof,
    ReadinessProver,
    add_channel_rates,
    build_gap_key,
    merge_reach,
)
from services.oncall.schedule import OnCallPair, ScopedRole, get_local_day

MAX_NAMED_ROLES: Final = 50
MAX_TASKS: Final = 50
"""Most open tasks about gaps, more than a person can handle in a day; the report holds all gaps."""
_KIND: Final = "readiness_hole"


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
            silent.append(format_role(*post))
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


def build_checker(draft: AlertsDecision) -> ReadinessProver | None:
    """Return a checker for the current data.

    The result is None without a readiness rule, or in a simulated realm.
    """
    rule, policy = get_readiness_rule(draft.state), draft.territory.policy
    if rule is None or policy is None:
        return None
    reach = merge_reach(draft.territory.roster, draft.state.published_at, draft.state.reach)
    return ReadinessProver(
        draft.state.rota,
        policy,
        add_channel_rates(rule, draft.state.sections.values()),
        draft.territory.sites.values(),
        draft.territory.all_poles,
        reach,
    )


def check_readiness(draft: AlertsDecision) -> None:
    """Record the readiness report, announce new urgent gaps, open and void tasks.

    The report is about now: after a stall one report stands for all missed mornings.
    """
    checker, rule = build_checker(draft), get_readiness_rule(draft.state)
    if checker is None or rule is None:
        return
    proof = checker.prove(draft.clock)
    urgent = [h for h in proof.holes if h.start < draft.clock + rule.alert_before_h * HOUR_MS]
    before = draft.state.readiness
    alerted_keys = before.alerted if before is not None else ()
    keys = tuple(dict.fromkeys(build_gap_key(h) for h in urgent))
    draft.emit(
        ReadinessProved(
            row=ReadinessRow(
                at=draft.clock,
                until=proof.end,
                reference=draft.state.version,
                hours=proof.hours,
                ready=proof.ready,
                holes=proof.holes[:MAX_GAPS],
                more=max(len(proof.holes) - MAX_GAPS, 0),
                urgent=len(urgent),
                alerted=keys,
            )
        )
    )
    _update_tasks(draft, urgent)
    _run_monthly_drill(draft, checker, rule)
    fresh = [h for h in urgent if build_gap_key(h) not in alerted_keys]
    if fresh:
        _announce_gaps(draft, rule.alert_to, [h for h in fresh if h.scope is None], None)
        for pole, holes in _group_by_pole(draft, [h for h in fresh if h.scope is not None]).items():
            _announce_gaps(draft, rule.alert_to_scoped, holes, pole)
    if proof.holes and before is not None and _is_first_check_of_monday(draft, before):
        _send_digest(draft, rule.alert_to[:1], proof)


def _run_monthly_drill(
    draft: AlertsDecision, checker: ReadinessProver, rule: ReadinessRule
) -> None:
    """Run the drill once a month, with the first readiness check on or after its day."""
    today = get_local_day(draft.clock)
    if (
        rule.drill_day is None
        or today.day < rule.drill_day
        or draft.state.drilled == _format_month(draft)
    ):
        return
    run_drill(draft, checker)


def run_drill(draft: AlertsDecision, checker: ReadinessProver) -> DrillRow:
    """Run the silent test now; a second one in a month replaces the first in the state."""
    row = DrillRow(
        id=_format_month(draft),
        at=draft.clock,
        reference=draft.state.version,
        rungs=prove_steps(checker, draft.clock),
    )
    draft.emit(LaddersDrilled(row=row))
    return row


def _format_month(draft: AlertsDecision) -> str:
    return f"{get_local_day(draft.clock):%Y-%m}"


def _is_first_check_of_monday(draft: AlertsDecision, before: ReadinessRow) -> bool:
    today = get_local_day(draft.clock)
    return today.weekday() == 0 and get_local_day(before.at) != today


def _group_by_pole(
    draft: AlertsDecision, holes: Iterable[HoleRow]
) -> dict[str | None, list[HoleRow]]:
    holes_by_pole: dict[str | None, list[HoleRow]] = {}
    for hole in holes:
        site = draft.territory.sites.get(hole.scope or "")
        holes_by_pole.setdefault(site.pole if site is not None else hole.scope, []).append(hole)
    return holes_by_pole


def _announce_gaps(
    draft: AlertsDecision, roles: tuple[str, ...], holes: list[HoleRow], pole: str | None
) -> None:
    """Send one message per person: the number of gaps, and the gravest one."""
    if not holes:
        return
    first = holes[0]
    values: dict[str, str | int | float | bool | None] = {
        "holes": len(holes),
        "hole": first.kind,
        "hole_role": first.role,
        "hole_scope": first.scope,
        "hole_at": first.start,
        "fix": first.fix,
    }
    notifications.inform_roles(
        draft, roles, pole=pole, site=None, incident=None, template="readiness_hole", values=values
    )


def _send_digest(draft: AlertsDecision, roles: tuple[str, ...], proof: ReadinessProof) -> None:
    values: dict[str, str | int | float | bool | None] = {
        "holes": len(proof.holes),
        "ready_pct": round(100 * proof.ready / max(proof.hours, 1), 1),
    }
    notifications.inform_roles(
        draft,
        roles,
        pole=None,
        site=None,
        incident=None,
        template="readiness_digest",
        values=values,
    )


def _update_tasks(draft: AlertsDecision, urgent: list[HoleRow]) -> None:
    """Open a task for the owner of each role with an urgent gap; void those of filled gaps."""
    posts = dict.fromkeys(format_role(h.role, h.scope) for h in urgent)
    for row in [t for t in list_open_tasks(draft, _KIND) if t.post not in posts]:
        cancel_task(draft, _KIND, row.post or "", "filled")
    for hole in urgent:
        if len(list_open_tasks(draft, _KIND)) >= MAX_TASKS:
            return
        site = draft.territory.sites.get(hole.scope or "")
        pole = site.pole if site is not None else hole.scope
        owner = (
            f"directeur_pole:{pole}" if pole in draft.territory.all_poles else "coordinateur_pca"
        )
        open_task(
            draft,
            _KIND,
            post=format_role(hole.role, hole.scope),
            site=site.id if site else None,
            due_at=hole.start,
            owner=owner,
        )

"""Check the readiness of a live realm each morning and after each change.

Urgent gaps are announced and become tasks. Rule D38, readiness.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.base import HOUR_MS
from schemas.oncall import DrillRow, HoleRow, LaddersDrilled, ReadinessProved, ReadinessRow
from schemas.reference import ReadinessRule
from services.alerts.decision import AlertsDecision, cancel_task, list_open_tasks, open_task
from services.alerts.escalation import notifications
from services.alerts.evolve.oncall import get_readiness_rule
from services.oncall.drill import prove_steps
from services.oncall.readiness import (
    MAX_GAPS,
    ReadinessProof,
    ReadinessProver,
    add_channel_rates,
    gap_key,
    merge_reach,
)
from services.oncall.schedule import local_day

MAX_TASKS: Final = 50
"""Most open tasks about gaps, more than a person can handle in a day; the report holds all gaps."""
_KIND: Final = "readiness_hole"


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
    keys = tuple(dict.fromkeys(gap_key(h) for h in urgent))
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
    fresh = [h for h in urgent if gap_key(h) not in alerted_keys]
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
    today = local_day(draft.clock)
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
    return f"{local_day(draft.clock):%Y-%m}"


def _is_first_check_of_monday(draft: AlertsDecision, before: ReadinessRow) -> bool:
    today = local_day(draft.clock)
    return today.weekday() == 0 and local_day(before.at) != today


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
    posts = dict.fromkeys(_format_role(h) for h in urgent)
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
            post=_format_role(hole),
            site=site.id if site else None,
            due_at=hole.start,
            owner=owner,
        )


def _format_role(hole: HoleRow) -> str:
    return hole.role if hole.scope is None else f"{hole.role}:{hole.scope}"

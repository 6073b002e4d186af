"""On-call persons, their channels, and readiness."""

from __future__ import annotations

from schemas.base import Instant
from schemas.calling import AnswerRecorded
from schemas.oncall import CellShift, DutyRow, ReachRow, ReadinessRow
from schemas.realms import is_live
from schemas.reference import ReadinessRule
from schemas.words import Answer
from services.alerts.state import State, without
from services.oncall.localtime import next_at
from services.oncall.schedule import Rota


def rota_of(s: State) -> Rota:
    """Build the on-call index from the roster in force and the duties."""
    return Rota(s.territory.roster, s.duties.values())


def readiness_rule(s: State) -> ReadinessRule | None:
    """Return the readiness rule of the policy in force; None in a simulated realm."""
    return (
        s.territory.policy.readiness
        if s.territory.policy is not None and is_live(s.realm)
        else None
    )


def roster_changed(s: State, at: Instant | None) -> State:
    """Arm the readiness check, because a change is checked at once. Rule D38, readiness."""
    return _armed(s, at if readiness_rule(s) is not None else None)


def duty_changed(s: State, row: DutyRow) -> State:
    s = s.put(duties=s.duties.set(row.id, row))
    return roster_changed(s.put(rota=rota_of(s)), row.decided_at)


def reachability_changed(s: State, row: ReachRow) -> State:
    s = s.put(reach=s.reach.set(row.id, row))
    return (
        roster_changed(s, row.noted_at) if row.noted_at is not None else s
    )  # a renewed verification opens no gap


def readiness_proved(s: State, row: ReadinessRow) -> State:
    rule = readiness_rule(s)
    return _armed(s.put(readiness=row), next_at(rule.report_min, row.at) if rule else None)


def answer_recorded(s: State, fact: AnswerRecorded) -> State:
    if fact.at is None or fact.answer is not Answer.ACK:
        return s
    return s.put(taken=s.taken.set(fact.person, fact.at))


def cell_shift(s: State, fact: CellShift) -> State:
    shifts = (
        without(s.shifts, fact.person) if fact.since is None else s.shifts.set(fact.person, fact)
    )
    return s.put(shifts=shifts, agenda=s.agenda.arm(f"relief:{fact.person}", fact.warn_at))


def _armed(s: State, due: Instant | None) -> State:
    return s.put(prove_at=due, agenda=s.agenda.arm("prove", due))

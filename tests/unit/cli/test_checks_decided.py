"""Expectations cover unconfirmed reports and plans that rise or return (D6, D49)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import ReportChanged
from schemas.base import RowFact
from schemas.continuity import LocalClockChanged, PlanChanged
from services.runtime.log.transaction import FactRecord
from services.simulation.checks import RealmHistory, run_checks


def _fact(kind: type[RowFact], minute: int, data: dict[str, Any]) -> FactRecord:
    return FactRecord(
        type=kind.wire_type(), id=f"{minute}-{data['row']['id']}", at=minute * 60_000, data=data
    )


def _report(id: str, certainty: str, confirmation: str, incident: str | None) -> FactRecord:
    row = {
        "id": id,
        "alias": id,
        "certainty": certainty,
        "confirmation": confirmation,
        "incident": incident,
    }
    return _fact(ReportChanged, 1, {"row": row})


def _judge(facts: list[FactRecord], **check: Any) -> bool:
    [result] = run_checks(RealmHistory(0, facts), [{"id": "C1", "at_min": 100, **check}])
    return result.ok


@pytest.mark.parametrize(
    ("certainty", "confirmation", "incident", "beside", "ok"),
    [
        ("rumour", "rumour", None, None, True),
        ("rumour", "rumour", "i", "confirmed", False),
        ("unconfirmed", "unconfirmed", None, None, True),
        ("unconfirmed", "unconfirmed", "i", "confirmed", True),
        ("unconfirmed", "unconfirmed", "i", "unconfirmed", False),
        ("unconfirmed", "confirmed", "i", "confirmed", False),
    ],
)
def test_a_rumour_stands_alone_and_an_unconfirmed_report_beside_a_confirmed_one(
    certainty: str, confirmation: str, incident: str | None, beside: str | None, ok: bool
) -> None:
    facts = [_report("E1", certainty, confirmation, incident)]
    facts += [_report("E2", beside, beside, incident)] if beside else []
    assert _judge(facts, kind="not_confirmed", event="E1") is ok


def _plan(minute: int, change: str, level: int, proposed: int | None = None) -> FactRecord:
    return _fact(
        PlanChanged,
        minute,
        {"row": {"id": "PT-ELEC", "level": level, "proposed_level": proposed}, "change": change},
    )


def test_a_level_that_is_proposed_of_an_active_plan_is_proposed() -> None:
    facts = [_plan(1, "proposed", 2), _plan(2, "activated", 2), _plan(5, "raised", 2, 3)]
    assert _judge(facts, kind="plan_proposed", plan="PT-ELEC", level=3, between=[5, 5])
    assert not _judge(facts, kind="plan_not_proposed", plan="PT-ELEC", level=3)


def test_a_plan_is_proposed_again_after_it_was_refused() -> None:
    facts = [_plan(1, "proposed", 2), _plan(2, "refused", 2)]
    assert not _judge(facts, kind="plan_proposed", plan="PT-ELEC", between=[1, 50], again=True)
    facts.append(_plan(30, "returned", 2))
    assert _judge(facts, kind="plan_proposed", plan="PT-ELEC", between=[30, 30], again=True)
    assert _judge(facts, kind="plan_proposed", plan="PT-ELEC", between=[1, 1]), "the first time"


@pytest.mark.parametrize(
    ("site", "state", "ok"),
    [("pmi-10", "running", True), ("pmi-10", "never", False), ("pmi-11", "never", True)],
)
def test_the_clock_of_a_site_is_judged(site: str, state: str, ok: bool) -> None:
    clocks = [{"base": "rto", "state": "running"}, {"base": "dmia", "state": "stopped"}]
    row = {"id": "SOL-04/pmi-10", "activity": "SOL-04", "site": "pmi-10", "clocks": clocks}
    facts = [_fact(LocalClockChanged, 1, {"row": row})]
    assert _judge(facts, kind="clock", activity="SOL-04", site=site, state=[state]) is ok

"""Alarms wait for an arbitration, one activity at a time (D41, D44, D46)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.continuity import ActivityRow, AlarmRow, ClockRow
from schemas.words import ActivityState, ClockBase
from services.console.continuity.activities_screen import build_selected_activity
from services.console.continuity.arbitrations import list_arbitrations
from services.console.i18n import get_translator
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import Shaper
from services.console.resources import Activity, Alarm
from services.console.sites.geometry import MapPlane, Outlines
from services.console.texts.names import TerritoryNames
from tests.shipped import territory

TERRITORY = territory()
REFERENCE = IndexedReference("v1", TerritoryNames.of(TERRITORY.sections), TERRITORY.sections)
SHAPER = Shaper("92", REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr")
MINUTE = 60_000
NOW_MS = 1_802_340_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
_ = get_translator("fr")


def alarm(
    activity: str,
    minutes_ago: int,
    demands: str | None = "arbitration",
    base: ClockBase = ClockBase.RTO,
    **changes: object,
) -> Alarm:
    at = NOW_MS - minutes_ago * MINUTE
    row = {
        "id": f"{activity}-{minutes_ago}",
        "activity": activity,
        "pole": "p",
        "base": base,
        "pct": 100,
        "raised_at": at,
        "limit_at": at,
    }
    return SHAPER.alarm(AlarmRow.model_validate(row | {"demands": demands} | changes))


def activity(id: str, mtpd_in: int | None = None, **changes: object) -> Activity:
    """Return an activity; `mtpd_in` = minutes until the DMIA, `None` = its clocks stopped."""

    def clock(base: ClockBase, limit_h: float, in_min: int) -> ClockRow:
        state = {
            "state": "running",
            "deadline": NOW_MS + in_min * MINUTE,
            "started_at": NOW_MS - 300 * MINUTE,
            "as_of": NOW_MS,
        }
        clock_fields = {
            "base": base,
            "limit_h": limit_h,
            **(state if mtpd_in is not None else {"state": "never"}),
        }
        return ClockRow.model_validate(
            clock_fields
            | ({"consumed_pct": 100.0 if in_min <= 0 else 50.0} if mtpd_in is not None else {})
        )

    static = REFERENCE.activities[id]
    row = {
        "id": id,
        "pole": static.pole,
        "criticality": static.criticality,
        "state": "interrupted",
        "computed": "nominal",
        "capacity_pct": 100.0,
        "computed_pct": 100.0,
        "mbco_pct": static.mbco_pct,
        "since": NOW_MS,
        "rto": clock(ClockBase.RTO, 2, -60),
        "dmia": clock(ClockBase.DMIA, 4, mtpd_in or 0),
        "next_strategy": "SR-TELE",
    }
    return SHAPER.activity(static, ActivityRow.model_validate(row | changes))


def test_arbitrations_are_ordered_by_criticality_then_waiting_time() -> None:
    low = next(id for id, a in REFERENCE.activities.items() if a.criticality > 1)
    first, second = [id for id, a in REFERENCE.activities.items() if a.criticality == 1][:2]
    activities = [activity(low, 60), activity(first, 60), activity(second, -5)]
    arbitrations = list_arbitrations(
        [alarm(low, 90), alarm(first, 10), alarm(second, 30)], activities, NOW, _
    )
    assert [(x.activity, x.waiting, x.mtpd_over) for x in arbitrations] == [
        (second, timedelta(minutes=30), True),
        (first, timedelta(minutes=10), False),
        (low, timedelta(minutes=90), False),
    ]
    assert {x.strategy for x in arbitrations} == {"télétravail"}


def test_arbitrated_and_other_demands_do_not_wait() -> None:
    decided_alarm = alarm(
        "SOL-01", 5, arbitrated_at=NOW_MS, arbitrated_by="dir-solidarites", reason="text:t"
    )
    others = [
        alarm("SOL-01", 6, None),
        alarm("SOL-01", 7, "next_strategy", ClockBase.DMIA),
        alarm("gone", 8),
    ]
    assert list_arbitrations([decided_alarm, *others], [activity("SOL-01", 60)], NOW, _) == []


def test_an_alarm_still_waits_after_its_clock_stopped() -> None:
    (arbitration,) = list_arbitrations([alarm("SOL-01", 20)], [activity("SOL-01")], NOW, _)
    assert (arbitration.mtpd_at, arbitration.mtpd_over) == (None, False)


def test_the_declared_state_stands_beside_the_computed_one_with_its_author() -> None:
    declared_activity = activity(
        "SOL-01", 60, declared="interrupted", declared_by="dir-solidarites"
    )
    old = alarm("SOL-01", 3, "reentry", ClockBase.PDMA)
    selected_activity = build_selected_activity(
        declared_activity,
        1.0,
        [old, alarm("SOL-01", 9, "reentry", ClockBase.PDMA)],
        NOW,
        REFERENCE.names,
        _,
    )
    assert (
        selected_activity.activity.state,
        selected_activity.activity.computed,
        selected_activity.activity.declared,
    ) == (
        ActivityState.INTERRUPTED,
        ActivityState.NOMINAL,
        ActivityState.INTERRUPTED,
    )
    assert selected_activity.declared_by == "Direction Solidarités"
    assert selected_activity.reentry_at == old.raised_at
    assert selected_activity.rto is not None
    assert selected_activity.mtpd is not None
    assert (selected_activity.rto[1], selected_activity.mtpd[1]) == (True, False)


def test_an_undeclared_activity_has_neither_author_nor_limits() -> None:
    quiet = SHAPER.activity(REFERENCE.activities["SOL-01"], None)
    selected_activity = build_selected_activity(
        quiet, 1.0, [alarm("SOL-02", 3, "reentry", ClockBase.PDMA)], NOW, REFERENCE.names, _
    )
    assert (
        selected_activity.activity.declared,
        selected_activity.declared_by,
        selected_activity.rto,
        selected_activity.mtpd,
        selected_activity.reentry_at,
    ) == (
        None,
        "",
        None,
        None,
        None,
    )

"""Override wins over calendar, rotation and roster, in both nights of a clock change (D34)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from dateutil import tz
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import HOUR_MS, MINUTE_MS, parse_closed
from schemas.oncall import NoteReachability, Place, Reach, ReachabilityChanged, ReachRow
from schemas.reference import PublishReference, ReferencePublished, Roster, RosterSection
from schemas.words import Channel
from services.oncall.schedule import (
    OnCallPair,
    find_next_local_minute,
    is_inside_window,
    to_instant,
)
from tests.unit.oncall.rotas import ROLE, at, calendar, override, rota_of, rotation, said, spans


def test_the_roster_applies_without_other_schedules() -> None:
    rota = rota_of()
    assert rota.pair(ROLE, None, at("2027-03-01T00:00")) == OnCallPair("titu", "supp")
    assert rota.pair("president", None, at("2027-03-01T00:00")) == OnCallPair(None, None)
    assert rota.is_static(ROLE, None)


def test_a_weekly_rotation_hands_off_at_eight_on_its_own_weekday() -> None:
    rota = rota_of(rotations=[rotation("a", "b", "c", since="2027-03-05")])
    assert spans(rota, "2027-03-05T00:00", "2027-03-27T00:00") == [
        ("titu", "05/03 00:00+0100", "05/03 08:00+0100"),
        ("a", "05/03 08:00+0100", "12/03 08:00+0100"),
        ("b", "12/03 08:00+0100", "19/03 08:00+0100"),
        ("c", "19/03 08:00+0100", "26/03 08:00+0100"),
        ("a", "26/03 08:00+0100", "27/03 00:00+0100"),
    ]


def test_a_weekly_shift_is_an_hour_shorter_in_march_and_longer_in_october() -> None:
    rota = rota_of(rotations=[rotation("a", "b", since="2027-03-01")])
    (short,) = (
        s
        for s in rota.spans(
            ROLE, None, Place.HOLDER, at("2027-03-22T08:00"), at("2027-03-29T08:00")
        )
    )
    (long,) = (
        s
        for s in rota.spans(
            ROLE, None, Place.HOLDER, at("2027-10-25T08:00"), at("2027-11-01T08:00")
        )
    )
    assert ((short.end - short.start) / HOUR_MS, (long.end - long.start) / HOUR_MS) == (167, 169)


def test_a_hand_off_at_0230_happens_once_on_the_night_that_has_no_0230() -> None:
    rota = rota_of(
        rotations=[rotation("a", "b", since="2027-03-27", every_days=1, hand_off_min=150)]
    )
    assert spans(rota, "2027-03-27T02:30", "2027-03-29T02:30") == [
        ("a", "27/03 02:30+0100", "28/03 03:30+0200"),
        ("b", "28/03 03:30+0200", "29/03 02:30+0200"),
    ]


def test_a_hand_off_at_0230_happens_once_on_the_night_that_has_two() -> None:
    rota = rota_of(
        rotations=[rotation("a", "b", since="2027-10-30", every_days=1, hand_off_min=150)]
    )
    assert spans(rota, "2027-10-30T02:30", "2027-11-01T02:30") == [
        ("a", "30/10 02:30+0200", "31/10 02:30+0200"),
        ("b", "31/10 02:30+0200", "01/11 02:30+0100"),
    ]
    second = at("2027-10-31T02:30", fold=1)
    assert rota.stand(ROLE, None, Place.HOLDER, second - HOUR_MS).persons == ("b",)
    assert rota.stand(ROLE, None, Place.HOLDER, second).persons == ("b",), (
        "the second 02:30 is no hand-off"
    )


def test_hours_until_midnight_may_be_written_as_24_00() -> None:
    rota = rota_of(rotations=[rotation("a", hours=(480, 1440))])
    assert spans(rota, "2027-03-28T06:00", "2027-03-29T09:00") == [
        (None, "28/03 06:00+0200", "28/03 08:00+0200"),
        ("a", "28/03 08:00+0200", "29/03 00:00+0200"),
        (None, "29/03 00:00+0200", "29/03 08:00+0200"),
        ("a", "29/03 08:00+0200", "29/03 09:00+0200"),
    ]


@pytest.mark.parametrize("hours", [(480, 1441), (-1, 480)])
def test_impossible_hours_are_refused_but_read_from_old_logs(hours: tuple[int, int]) -> None:
    roster = RosterSection(
        roster=Roster(holders=(), channels={}, rotations=(rotation("a", hours=hours),))
    )
    with pytest.raises(ValidationError, match="minutes of a day"):
        PublishReference(author="a", role="admin", reference="0" * 16, data=roster)
    row = ReachRow(id="a", points=(Reach(channel=Channel.SMS, quiet=hours),))
    with pytest.raises(ValidationError, match="minutes of a day"):
        NoteReachability(author="a", role="admin", people=(row,))
    for fact in (ReferencePublished(reference="0" * 16, data=roster), ReachabilityChanged(row=row)):
        assert parse_closed(fact.wire_type(), fact.model_dump(mode="json")) == fact


def test_a_night_rotation_leaves_the_day_empty_or_to_another_rotation() -> None:
    night = rotation(
        "n", since="2027-03-01", every_days=1, hours=(18 * 60, 8 * 60), hand_off_min=18 * 60
    )
    rota = rota_of(rotations=[night])
    assert spans(rota, "2027-03-02T00:00", "2027-03-03T00:00") == [
        ("n", "02/03 00:00+0100", "02/03 08:00+0100"),
        (None, "02/03 08:00+0100", "02/03 18:00+0100"),
        ("n", "02/03 18:00+0100", "03/03 00:00+0100"),
    ]
    both = rota_of(rotations=[night, rotation("d", since="2027-03-01", hours=(8 * 60, 18 * 60))])
    assert [p for p, _, _ in spans(both, "2027-03-02T00:00", "2027-03-03T00:00")] == ["n", "d", "n"]


def test_an_ended_rotation_leaves_the_roster() -> None:
    rota = rota_of(rotations=[rotation("a", since="2027-03-01", until=date(2027, 3, 8))])
    assert [p for p, _, _ in spans(rota, "2027-03-07T00:00", "2027-03-09T00:00")] == ["a", "titu"]


def test_an_override_wins_over_all_schedules_for_its_time() -> None:
    rota = rota_of(
        override("x", "2027-03-03T20:00", "2027-03-04T06:00"), rotations=[rotation("a", "b")]
    )
    assert [p for p, _, _ in spans(rota, "2027-03-03T00:00", "2027-03-05T00:00")] == ["a", "x", "a"]


def test_the_later_of_two_overrides_stands() -> None:
    first, second = (
        override("x", "2027-03-03T00:00", "2027-03-05T00:00"),
        override("y", "2027-03-04T00:00", "2027-03-06T00:00", number=2),
    )
    rota = rota_of(second, first)
    assert [p for p, _, _ in spans(rota, "2027-03-02T00:00", "2027-03-07T00:00")] == [
        "titu",
        "x",
        "y",
        "titu",
    ]
    gone = rota_of(first, second.model_copy(update={"state": "withdrawn"}))
    assert [p for p, _, _ in spans(gone, "2027-03-02T00:00", "2027-03-07T00:00")] == [
        "titu",
        "x",
        "titu",
    ]


def test_an_empty_override_is_a_gap_and_keeps_the_deputy() -> None:
    rota = rota_of(override(None, "2027-03-03T00:00", "2027-03-04T00:00"))
    assert rota.pair(ROLE, None, at("2027-03-03T12:00")) == OnCallPair(None, "supp")


def test_a_calendar_is_complete_in_its_span_an_hour_without_a_shift_is_a_gap() -> None:
    rota = rota_of(
        calendar(
            ("a", "2027-03-01T08:00", "2027-03-02T08:00"),
            ("b", "2027-03-02T10:00", "2027-03-03T08:00"),
        )
    )
    assert [(p, a) for p, a, _ in spans(rota, "2027-03-01T00:00", "2027-03-04T00:00")] == [
        ("titu", "01/03 00:00+0100"),
        ("a", "01/03 08:00+0100"),
        (None, "02/03 08:00+0100"),
        ("b", "02/03 10:00+0100"),
        ("titu", "03/03 08:00+0100"),
    ]


def test_the_rested_of_two_equal_people_is_called_before_the_other() -> None:
    shifts = (
        ("a", "2027-03-01T08:00", "2027-03-02T08:00"),
        ("b", "2027-03-01T08:00", "2027-03-02T08:00"),
    )
    rota = rota_of(calendar(*shifts), holders={ROLE: ("titu", None)})
    now = at("2027-03-01T12:00")
    assert rota.pair(ROLE, None, now) == OnCallPair("a", "b")
    assert rota.pair(ROLE, None, now, lambda person: person != "a") == OnCallPair("b", "a")


def test_one_person_in_both_places_has_no_deputy() -> None:
    assert rota_of(holders={ROLE: ("a", "a")}).pair(ROLE, None, 0) == OnCallPair("a", None)


# ── laws ───────────────────────────────────────────────────────────────────────────────────────────────────────────

DAYS = st.dates(date(2024, 1, 1), date(2032, 12, 31))
DST_NIGHTS = st.sampled_from(
    [
        date(2026, 3, 29),
        date(2026, 10, 25),
        date(2027, 3, 28),
        date(2027, 10, 31),
        date(2028, 3, 26),
        date(2028, 10, 29),
    ]
)


@given(DAYS | DST_NIGHTS, st.integers(0, 1439))
def test_local_minutes_are_those_of_dateutil(day: date, minute: int) -> None:
    """dateutil knows the zone independently.

    It resolves an imaginary time by its own rule, an ambiguous one as the first.
    """
    local = datetime(
        day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=tz.gettz("Europe/Paris")
    )
    assert to_instant(day, minute) == int(tz.resolve_imaginary(local).timestamp() * 1000)


@given(DAYS | DST_NIGHTS, st.integers(0, 1439), st.integers(0, 1439))
def test_a_daily_window_holds_exactly_the_instants_between_its_ends(
    day: date, start: int, end: int
) -> None:
    opens, closes = (
        to_instant(day, start),
        to_instant(day if end > start else day + timedelta(days=1), end),
    )
    if opens < closes:
        assert is_inside_window((start, end), opens)
        assert is_inside_window((start, end), closes - 1)
    first = find_next_local_minute(start, opens - 1)
    assert opens - 1 < first <= opens


@settings(max_examples=60)
@given(
    DAYS | DST_NIGHTS,
    st.integers(0, 1439),
    st.sampled_from([1, 2, 7, 14]),
    st.integers(1, 5),
    st.integers(0, 40),
    st.none() | st.tuples(st.integers(0, 1439), st.integers(0, 1439)),
)
def test_spans_of_a_rotation_agree_with_each_instant(
    since: date, hand_off: int, every: int, people: int, offset: int, hours: tuple[int, int] | None
) -> None:
    """No gap, no overlap, and minute by minute around every change the person of `stand`."""
    turns = rotation(
        *(f"p{n}" for n in range(people)),
        since=since.isoformat(),
        hand_off_min=hand_off,
        every_days=every,
        hours=hours,
    )
    rota = rota_of(rotations=[turns])
    start = to_instant(since, hand_off) + offset * 6 * HOUR_MS
    end = start + 9 * 24 * HOUR_MS
    rota_spans = rota.spans(ROLE, None, Place.HOLDER, start, end)
    assert (rota_spans[0].start, rota_spans[-1].end) == (start, end)
    assert all(a.end == b.start and a.stand != b.stand for a, b in pairwise(rota_spans))
    for span in rota_spans:
        for moment in {
            span.start,
            span.start + MINUTE_MS,
            (span.start + span.end) // 2,
            span.end - 1,
        }:
            if span.start <= moment < span.end:
                assert rota.stand(ROLE, None, Place.HOLDER, moment) == span.stand


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 200), st.integers(1, 60)),
        max_size=8,
    ),
    st.integers(0, 260),
)
def test_the_newest_override_of_an_instant_stands(
    made: list[tuple[str | None, int, int]], hour: int
) -> None:
    base = at("2027-03-20T00:00")
    rows = []
    for n, (person, start, length) in enumerate(made):
        row = override(person, "2027-03-20T00:00", "2027-03-21T00:00", number=n)
        shift = row.shifts[0].model_copy(
            update={"start": base + start * HOUR_MS, "end": base + (start + length) * HOUR_MS}
        )
        rows.append(
            row.model_copy(update={"shifts": (shift,), "start": shift.start, "end": shift.end})
        )
    moment = base + hour * HOUR_MS
    covering = [r.shifts[0].person for r in rows if r.start <= moment < r.end]
    expected = covering[-1] if covering else "titu"
    assert (
        next(iter(rota_of(*rows).stand(ROLE, None, Place.HOLDER, moment).persons), None) == expected
    )


@pytest.mark.parametrize("night", ["2027-03-28", "2027-10-31"])
def test_every_hour_of_a_changing_night_has_a_person(night: str) -> None:
    rota = rota_of(
        rotations=[rotation("a", "b", since="2027-03-01", every_days=1, hand_off_min=150)]
    )
    start = at(f"{night}T00:00")
    people = [
        rota.stand(ROLE, None, Place.HOLDER, start + n * 10 * MINUTE_MS).persons
        for n in range(6 * 6)
    ]
    assert all(people)
    changes = [n for n, (a, b) in enumerate(pairwise(people)) if a != b]
    assert len(changes) == 1, said(start)

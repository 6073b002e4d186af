"""Recurring times agree with another reader of RFC 5545, in both nights of a clock change."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.recurrence import (
    PARIS,
    Occurrence,
    RuleInvalid,
    find_occurrence,
    from_local_time,
    parse_rule,
    to_local_time,
)

HOUR = 3_600_000


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp() * 1000)


def _occurrences(start: int, end: int, rule: str, n: int) -> list[tuple[str, str]]:
    occurrences, at = list[tuple[str, str]](), start
    while (
        len(occurrences) < n
        and (one := find_occurrence(start, end, parse_rule(rule), at)) is not None
    ):
        occurrences.append(
            (
                to_local_time(one.start).isoformat(timespec="minutes"),
                to_local_time(one.end).isoformat(timespec="minutes"),
            )
        )
        at = one.end
    return occurrences


def test_a_single_window_holds_once() -> None:
    assert (
        find_occurrence(10, 20, None, 0) == find_occurrence(10, 20, None, 19) == Occurrence(10, 20)
    )
    assert find_occurrence(10, 20, None, 20) is None


def test_every_sunday_night_keeps_its_time_on_the_wall_through_the_spring_change() -> None:
    assert _occurrences(
        _at("2027-03-21T22:00"), _at("2027-03-22T06:00"), "FREQ=WEEKLY;BYDAY=SU", 3
    ) == [
        ("2027-03-21T22:00", "2027-03-22T06:00"),
        ("2027-03-28T22:00", "2027-03-29T06:00"),
        ("2027-04-04T22:00", "2027-04-05T06:00"),
    ]
    night = find_occurrence(
        _at("2027-03-26T22:00"),
        _at("2027-03-27T06:00"),
        parse_rule("FREQ=DAILY"),
        _at("2027-03-28T00:00"),
    )
    assert night is not None
    assert night.end - night.start == 7 * HOUR, "the night of 28 March 2027 has an hour less"


def test_the_autumn_night_is_an_hour_longer() -> None:
    night = find_occurrence(
        _at("2027-10-25T22:00"),
        _at("2027-10-26T06:00"),
        parse_rule("FREQ=DAILY"),
        _at("2027-10-31T00:00"),
    )
    assert night is not None
    assert night.end - night.start == 9 * HOUR


def test_an_hour_skipped_in_spring_moves_to_the_next() -> None:
    """RFC 5545 3.3.5: a local time that does not exist is read with the offset before the gap."""
    occurrence = find_occurrence(
        _at("2027-03-27T02:30"),
        _at("2027-03-27T03:15"),
        parse_rule("FREQ=DAILY"),
        _at("2027-03-28T01:00"),
    )
    assert occurrence is not None
    assert to_local_time(occurrence.start).isoformat() == "2027-03-28T03:30:00"
    assert occurrence.end - occurrence.start == 45 * 60_000, (
        "the wall leaves nothing of it: as long as the first"
    )


def test_an_hour_repeated_in_autumn_is_the_first() -> None:
    occurrence = find_occurrence(
        _at("2027-10-30T02:30"),
        _at("2027-10-30T04:00"),
        parse_rule("FREQ=DAILY"),
        _at("2027-10-31T01:00"),
    )
    assert occurrence is not None
    assert datetime.fromtimestamp(occurrence.start / 1000, PARIS).utcoffset() == timedelta(hours=2)


def test_an_occurrence_that_began_days_ago_still_holds() -> None:
    start, end = _at("2027-02-01T08:00"), _at("2027-02-06T20:00")
    occurrence = find_occurrence(start, end, parse_rule("FREQ=MONTHLY"), _at("2027-03-06T19:59"))
    assert occurrence == Occurrence(_at("2027-03-01T08:00"), _at("2027-03-06T20:00"))


_DAYS = st.sampled_from(("MO", "TU", "WE", "TH", "FR", "SA", "SU"))


@st.composite
def _rules(draw: st.DrawFn) -> str:
    freq = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY")))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, 5))}"]
    days = draw(st.lists(_DAYS, max_size=3, unique=True))
    if freq == "MONTHLY":
        nth = draw(
            st.sampled_from(("", "1", "2", "-1"))
        )  # mixed ones are a union in the standard, not in the oracle
        days = [f"{nth}{d}" for d in days]
        if draw(st.booleans()):
            parts.append(f"BYMONTHDAY={draw(st.sampled_from(('1', '15', '-1', '31', '1,15')))}")
    if days:
        parts.append(f"BYDAY={','.join(days)}")
    return ";".join(parts)


@settings(max_examples=80)
@given(_rules(), st.dates(date(2026, 1, 1), date(2028, 1, 1)), st.integers(0, 400))
def test_occurrences_match_another_reader_of_the_standard(
    text: str, first: date, later: int
) -> None:
    """Oracle: python-dateutil, which counts the first day only when the rule names it, as we do."""
    begins = datetime.combine(first, time(12))
    after = begins + timedelta(days=later)
    until = f"{text};UNTIL={after + timedelta(days=2000):%Y%m%dT%H%M%S}"
    expected = rrulestr(until, dtstart=begins).after(after, inc=True)
    occurrence = find_occurrence(
        from_local_time(begins),
        from_local_time(begins) + 1,
        parse_rule(until),
        from_local_time(after),
    )
    assert (to_local_time(occurrence.start) if occurrence else None) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "NAME=value"),
        ("FREQ=HOURLY", "FREQ"),
        ("FREQ=DAILY;COUNT=3", "COUNT"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL"),
        ("FREQ=DAILY;UNTIL=20270230", "UNTIL"),
        ("FREQ=WEEKLY;WKST=SU", "WKST"),
        ("FREQ=DAILY;FREQ=DAILY", "once"),
    ],
)
def test_a_rule_outside_the_subset_is_refused_with_its_wrong_part(text: str, says: str) -> None:
    with pytest.raises(RuleInvalid, match=says):
        parse_rule(text)


def test_the_reason_is_given_in_french_too() -> None:
    with pytest.raises(RuleInvalid) as refused:
        parse_rule("FREQ=HOURLY")
    assert refused.value.french == "FREQ vaut DAILY ou WEEKLY ou MONTHLY"


@pytest.mark.parametrize("until", ["20270303", "20270303T220000", "20270303T210000Z"])
def test_no_occurrence_begins_after_until(until: str) -> None:
    nights = _occurrences(
        _at("2027-03-01T22:00"), _at("2027-03-02T06:00"), f"RRULE:FREQ=DAILY;UNTIL={until}", 9
    )
    assert [begins for begins, _ in nights] == [
        "2027-03-01T22:00",
        "2027-03-02T22:00",
        "2027-03-03T22:00",
    ]

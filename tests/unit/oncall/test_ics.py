"""iCalendar files (RFC 5545) give the right shifts or one French sentence, always fast."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from datetime import date, datetime, timedelta

import pytest
from dateutil import rrule, tz
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.base import DAY_MS, HOUR_MS
from services.oncall.ics import MAX_FILE_BYTES, CalendarRefused, ImportedCalendar, read_calendar
from services.oncall.ics_worker import TOO_EXPENSIVE, read_untrusted_calendar
from tests.unit.oncall import ics_files
from tests.unit.oncall.corpus import CASES, Expected, event, ics
from tests.unit.oncall.rotas import PARIS, at

NOW = at("2027-02-11T09:40")
ENGLISH = re.compile(r"\b(?:expected|wrong|could not|invalid|error|got)\b", re.IGNORECASE)


def shown(calendar: ImportedCalendar) -> list[tuple[str, str]]:
    def local(moment: int) -> str:
        return datetime.fromtimestamp(moment / 1000, PARIS).strftime("%d/%m %H:%M")

    return [(local(o.start), local(o.end)) for o in calendar.occurrences]


@pytest.mark.parametrize("name", CASES, ids=str)
def test_a_calendar_means_its_shifts_or_is_refused_with_a_sentence(name: str) -> None:
    content, expected = CASES[name]
    check(content, expected)


def check(content: bytes, expected: Expected) -> None:
    if isinstance(expected, list):
        assert shown(read_calendar(content, NOW)) == expected
        return
    with pytest.raises(CalendarRefused) as refused:
        read_calendar(content, NOW)
    sentence = str(refused.value)
    assert expected in sentence
    assert sentence.endswith(".")
    assert "Traceback" not in sentence


FILES = [*ics_files.valid(), *ics_files.tolerated(), *ics_files.broken()]


def test_hundreds_of_files_of_many_programs_mean_their_shifts_or_are_refused_with_a_french_sentence() -> (
    None
):
    wrong = []
    for file in FILES:
        outcome = said_of(file.content)
        if isinstance(file.expected, str):
            right = (
                isinstance(outcome, str)
                and file.expected in outcome
                and outcome.endswith(".")
                and not ENGLISH.search(outcome)
            )
        else:
            right = (
                isinstance(outcome, ImportedCalendar)
                and [(o.start, o.end) for o in outcome.occurrences] == file.expected
            )
        if not right:
            wrong.append(
                (file.name, outcome if isinstance(outcome, str) else shown(outcome), file.expected)
            )
    assert wrong == []
    assert len(FILES) + len(CASES) >= 290
    assert len({file.content for file in FILES}) == len(FILES)


def said_of(content: bytes) -> ImportedCalendar | str:
    """Return the calendar or the sentence. Any other exception fails the test."""
    try:
        return read_calendar(content, NOW)
    except CalendarRefused as refused:
        return str(refused)


@pytest.mark.parametrize("cut", range(0, 430, 9))
def test_a_file_that_is_cut_anywhere_is_refused(cut: int) -> None:
    content = CASES["one moved occurrence"][0].rstrip()
    refusal = said_of(content[: min(cut, len(content) - 1)])
    assert isinstance(refusal, str)
    assert refusal.endswith(".")


LINES = sorted(
    {
        line
        for content, _ in CASES.values()
        if len(content) < 4000
        for line in content.decode("latin-1").splitlines()
    }
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=30), max_size=25), st.booleans())
def test_lines_in_any_order_raise_no_other_error(lines: list[str], framed: bool) -> None:
    rules = [
        line for line in lines if not line.upper().startswith("RRULE:FREQ=HOURLY")
    ]  # bounded by the worker, not here
    body = (
        ["BEGIN:VCALENDAR", "BEGIN:VEVENT", *rules, "END:VEVENT", "END:VCALENDAR"]
        if framed
        else rules
    )
    outcome = said_of("\r\n".join(body).encode("utf-8", "surrogatepass"))
    assert (
        outcome.endswith(".")
        if isinstance(outcome, str)
        else all(o.start < o.end for o in outcome.occurrences)
    )


@settings(max_examples=40)
@given(st.binary(max_size=400), st.integers(0, 500))
def test_inserted_bytes_raise_no_other_error(junk: bytes, place: int) -> None:
    content = CASES["weekly over the spring change"][0]
    outcome = said_of(content[:place] + junk + content[place:])
    assert outcome.endswith(".") if isinstance(outcome, str) else outcome.occurrences


# ── both nights, against another implementation ────────────────────────────────────────────────────────────────────

STARTS = st.sampled_from(
    [
        "20270320",
        "20270325",
        "20270327",
        "20270328",
        "20271023",
        "20271029",
        "20271030",
        "20271031",
        "20270615",
    ]
)


@settings(max_examples=40)
@given(
    STARTS,
    st.integers(0, 23),
    st.sampled_from([0, 15, 30, 45]),
    st.sampled_from(["DAILY", "WEEKLY"]),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 40),
)
@example("20270327", 2, 30, "DAILY", 1, 3, 6)
@example("20271030", 2, 30, "DAILY", 1, 3, 6)
@example("20270327", 2, 0, "DAILY", 1, 3, 1)
def test_recurrences_are_those_of_dateutil_on_local_time(
    day: str, hour: int, minute: int, freq: str, interval: int, count: int, hours: int
) -> None:
    """The wall clock recurs (RFC 5545 3.3.5, 3.3.10).

    A missing time is moved, a repeated time is the first. An hour that the clock skips is no
    occurrence.
    """
    start = datetime.strptime(day, "%Y%m%d").replace(hour=hour, minute=minute)  # noqa: DTZ007  wall clock
    end = start + timedelta(hours=hours)
    text = ics(
        event(
            f"DTSTART;TZID=Europe/Paris:{start:%Y%m%dT%H%M%S}",
            f"DTEND;TZID=Europe/Paris:{end:%Y%m%dT%H%M%S}",
            f"RRULE:FREQ={freq};INTERVAL={interval};COUNT={count}",
        )
    )
    zone = tz.gettz("Europe/Paris")
    walls = rrule.rrule(getattr(rrule, freq), dtstart=start, interval=interval, count=count)
    spans = [
        [
            int(tz.resolve_imaginary(at.replace(tzinfo=zone)).timestamp() * 1000)
            for at in (wall, end)
        ]
        for wall in walls
        for end in (wall + timedelta(hours=hours),)
    ]
    expected = sorted(start for start, end in spans if start < end)
    assert [o.start for o in read_calendar(text, NOW).occurrences] == expected


@settings(max_examples=25)
@given(st.dates(date(2026, 1, 1), date(2030, 1, 1)), st.integers(1, 20))
def test_days_run_from_local_midnight_to_local_midnight(day: date, length: int) -> None:
    text = ics(
        event(
            f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
            f"DTEND;VALUE=DATE:{day + timedelta(days=length):%Y%m%d}",
        )
    )
    (one,) = read_calendar(text, NOW).occurrences
    zone = tz.gettz("Europe/Paris")
    ends = [
        datetime(d.year, d.month, d.day, tzinfo=zone) for d in (day, day + timedelta(days=length))
    ]
    assert [one.start, one.end] == [int(e.timestamp() * 1000) for e in ends]


# ── bounds ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_without_an_end_is_followed_for_400_days_and_its_past_is_left_out() -> None:
    text = ics(
        event(
            "DTSTART;TZID=Europe/Paris:19970303T080000",
            "DTEND;TZID=Europe/Paris:19970310T080000",
            "RRULE:FREQ=WEEKLY",
        )
    )
    occurrences = read_calendar(text, NOW).occurrences
    assert occurrences[0].start > NOW - 40 * DAY_MS
    assert NOW + 390 * DAY_MS < occurrences[-1].start < NOW + 400 * DAY_MS


def test_a_window_holds_every_shift_that_touches_it() -> None:
    text = CASES["weekly over the spring change"][0]
    window = (at("2027-03-26T07:00"), at("2027-03-26T09:00"))
    assert len(read_calendar(text, NOW, window).occurrences) == 2


def test_ten_megabytes_are_refused_at_once() -> None:
    began = time.process_time()
    with pytest.raises(CalendarRefused, match="trop gros"):
        read_calendar(b"BEGIN:VCALENDAR\r\n" + b"X-A:b\r\n" * (2 * MAX_FILE_BYTES // 7), NOW)
    with pytest.raises(CalendarRefused, match="5000 éléments"):
        read_calendar(ics(*["BEGIN:VTODO\nEND:VTODO"] * 9000), NOW)
    assert time.process_time() - began < 5


def measure_children_s() -> float:
    """Return the processor time of ended processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_rule_without_occurrences_costs_at_most_the_limit() -> None:
    limit_s = 1
    text = ics(
        event(
            "DTSTART:20270301T080000Z",
            "DURATION:PT1H",
            "RRULE:FREQ=MINUTELY;COUNT=9;BYMONTH=2;BYMONTHDAY=30",
        )
    )
    began, children_s = time.process_time(), measure_children_s()
    with pytest.raises(CalendarRefused, match=TOO_EXPENSIVE):
        asyncio.run(read_untrusted_calendar(text, NOW, cpu_s=limit_s))
    assert time.process_time() - began < limit_s, "the work is the worker's"
    assert measure_children_s() - children_s < limit_s + 1


def test_the_worker_process_agrees_with_the_reader() -> None:
    for name in ("weekly over the spring change", "all day"):
        content, expected = CASES[name]
        assert shown(asyncio.run(read_untrusted_calendar(content, NOW))) == expected
    with pytest.raises(CalendarRefused, match="fuseau horaire"):
        asyncio.run(read_untrusted_calendar(CASES["unknown zone"][0], NOW))


def test_hours_of_a_weekly_shift_differ_by_the_change() -> None:
    occurrences = read_calendar(CASES["weekly over the spring change"][0], NOW).occurrences
    assert [(o.end - o.start) / HOUR_MS for o in occurrences] == [168, 167, 168]

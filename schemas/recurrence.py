"""Compute recurring times: a subset of RFC 5545 (`RRULE`) in local time of Europe/Paris.

Correct on both DST nights. Subset: `FREQ` DAILY, WEEKLY or MONTHLY; `INTERVAL`; `BYDAY` (`MO,TH`;
monthly also `1SU`, `-1FR`); `BYMONTHDAY` (`1`, `-1`); `UNTIL`. Weeks begin on Monday. Pure.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import Instant

PARIS: Final = ZoneInfo("Europe/Paris")
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY")
MAX_INTERVAL: Final = 52
_SUBSET: Final = "FREQ, INTERVAL, BYDAY, BYMONTHDAY, UNTIL, WKST"
HORIZON_DAYS: Final = 8 * 366
"""Days without an occurrence after which a rule has ended."""
_DAY: Final = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?")


class RuleInvalid(ValueError):
    """Signal a rule outside this subset, with the reason in English, and in French (`french`)."""

    def __init__(self, english: str, french: str) -> None:
        super().__init__(english)
        self.french = french


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Half-open interval."""

    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """Local days when occurrences begin."""

    freq: str
    interval: int = 1
    weekdays: tuple[tuple[int, int], ...] = ()
    """(n-th of the month, 0 = every; weekday, Monday = 0)."""
    month_days: tuple[int, ...] = ()
    until: Instant | None = None
    """Latest time when an occurrence begins."""

    def falls_on(self, day: date, first: date) -> bool:
        """Return whether an occurrence begins on `day`, for a rule that began on `first`.

        `first` itself counts only if it fits the rule.
        """
        if day < first:
            return False
        match self.freq:
            case "DAILY":
                in_step = (day - first).days % self.interval == 0
            case "WEEKLY":
                weeks = (
                    day - timedelta(days=day.weekday()) - (first - timedelta(days=first.weekday()))
                ).days // 7
                in_step = weeks % self.interval == 0 and (
                    bool(self.weekdays) or day.weekday() == first.weekday()
                )
            case _:
                months = (day.year - first.year) * 12 + day.month - first.month
                has_days = bool(self.weekdays or self.month_days)
                in_step = months % self.interval == 0 and (has_days or day.day == first.day)
        return in_step and self._is_named(day)

    def _is_named(self, day: date) -> bool:
        length = monthrange(day.year, day.month)[1]
        if (
            self.month_days
            and day.day not in self.month_days
            and day.day - length - 1 not in self.month_days
        ):
            return False
        nth, last = (day.day + 6) // 7, -((length - day.day) // 7 + 1)
        return not self.weekdays or any(
            w == day.weekday() and n in (0, nth, last) for n, w in self.weekdays
        )


def parse_rule(text: str) -> RecurrenceRule:
    """Parse an `RRULE` value.

    Raises RuleInvalid.
    """
    parts: dict[str, str] = {}
    for part in text.strip().removeprefix("RRULE:").rstrip(";").upper().split(";"):
        name, _, value = part.partition("=")
        if not value or name in parts:
            raise RuleInvalid(
                f"{part!r}: NAME=value, each name once",
                f"« {part} » : NOM=valeur, chaque nom une seule fois",
            )
        parts[name] = value
    freq = parts.pop("FREQ", "")
    if freq not in FREQUENCIES:
        raise RuleInvalid(
            f"FREQ: one of {', '.join(FREQUENCIES)}", f"FREQ vaut {' ou '.join(FREQUENCIES)}"
        )
    interval = parts.pop("INTERVAL", "1")
    if not interval.isdecimal() or not 1 <= int(interval) <= MAX_INTERVAL:
        raise RuleInvalid(
            f"INTERVAL: a number from 1 to {MAX_INTERVAL}",
            f"INTERVAL est un nombre de 1 à {MAX_INTERVAL}",
        )
    if parts.pop("WKST", "MO") != "MO":
        raise RuleInvalid("WKST: weeks begin on MO", "WKST : les semaines commencent le lundi (MO)")
    weekdays = (
        tuple(_parse_weekday(d, freq) for d in parts.pop("BYDAY").split(","))
        if "BYDAY" in parts
        else ()
    )
    month_days = (
        tuple(_parse_month_day(d, freq) for d in parts.pop("BYMONTHDAY").split(","))
        if "BYMONTHDAY" in parts
        else ()
    )
    until = _parse_until(parts.pop("UNTIL")) if "UNTIL" in parts else None
    if parts:
        raise RuleInvalid(
            f"{', '.join(sorted(parts))}: not in the subset {_SUBSET}",
            f"{', '.join(sorted(parts))} : seuls {_SUBSET} sont admis",
        )
    return RecurrenceRule(freq, int(interval), weekdays, month_days, until)


def _parse_weekday(text: str, freq: str) -> tuple[int, int]:
    day_match = _DAY.fullmatch(text)
    if day_match is None or (day_match[1] and freq != "MONTHLY"):
        raise RuleInvalid(
            f"BYDAY: {text!r} is none of {', '.join(WEEKDAYS)}"
            + (", or 1SU, -1FR …" if freq == "MONTHLY" else ""),
            f"BYDAY : « {text} » n’est pas un jour ({', '.join(WEEKDAYS)}"
            + (", ou 1SU, -1FR…)" if freq == "MONTHLY" else ")"),
        )
    return int(day_match[1] or 0), WEEKDAYS.index(day_match[2])


def _parse_month_day(text: str, freq: str) -> int:
    if (
        freq != "MONTHLY"
        or re.fullmatch(r"-?\d{1,2}", text) is None
        or not 1 <= abs(int(text)) <= 31
    ):
        raise RuleInvalid(
            "BYMONTHDAY: 1 to 31 or -31 to -1, of a MONTHLY rule",
            "BYMONTHDAY va de 1 à 31 ou de -31 à -1, avec FREQ=MONTHLY",
        )
    return int(text)


def _parse_until(text: str) -> Instant:
    until_match = _UNTIL.fullmatch(text)
    try:
        if until_match is None:
            raise ValueError
        day = date(int(until_match[1]), int(until_match[2]), int(until_match[3]))
        if until_match[4] is None:  # A day includes everything that begins on it.
            return from_local_time(datetime.combine(day + timedelta(days=1), time())) - 1
        at = datetime.combine(
            day, time(int(until_match[4]), int(until_match[5]), int(until_match[6]))
        )
    except ValueError:
        raise RuleInvalid(
            "UNTIL: 20271231, 20271231T060000 or 20271231T050000Z",
            "UNTIL s’écrit 20271231, 20271231T060000 ou 20271231T050000Z",
        ) from None
    return int(at.replace(tzinfo=UTC).timestamp() * 1000) if until_match[7] else from_local_time(at)


def from_local_time(local: datetime) -> Instant:
    """Convert a local time in Paris to an instant.

    A time that exists twice means the first; a skipped time the one after the change (RFC 5545
    3.3.5).
    """
    return int(local.replace(tzinfo=PARIS, fold=0).timestamp() * 1000)


def to_local_time(at: Instant) -> datetime:
    """Convert an instant to local time in Paris, without zone."""
    return datetime.fromtimestamp(at / 1000, PARIS).replace(tzinfo=None)


def find_occurrence(
    start: Instant, end: Instant, rule: RecurrenceRule | None, at: Instant
) -> Occurrence | None:
    """Return the occurrence at `at`, else the next one, or None after the last.

    `start` and `end` are those of the first occurrence. Later ones have the same local times, on
    DST nights too. An occurrence that the clock change would leave empty keeps the length of the
    first.
    """
    if rule is None:
        return Occurrence(start, end) if at < end else None
    first, span = to_local_time(start), to_local_time(end) - to_local_time(start)
    for day in _iterate_days(
        first.date(), to_local_time(at).date() - timedelta(days=span.days + 1)
    ):
        if not rule.falls_on(day, first.date()):
            continue
        occurrence = (
            Occurrence(start, end)
            if day == first.date()
            else _build_occurrence(datetime.combine(day, first.time()), span, end - start)
        )
        if rule.until is not None and occurrence.start > rule.until:
            return None
        if at < occurrence.end:
            return occurrence
    return None


def _build_occurrence(begins: datetime, span: timedelta, length: Instant) -> Occurrence:
    start, end = from_local_time(begins), from_local_time(begins + span)
    return Occurrence(start, end if end > start else start + length)


def _iterate_days(first: date, earliest: date) -> Iterator[date]:
    day = max(first, earliest)
    for n in range(HORIZON_DAYS):
        yield day + timedelta(days=n)

"""Read the official holidays as their publishers give them, and load them into a territory folder.

Rule D43.

The two files are `calendrier.api.gouv.fr/jours-feries/metropole/<year>.json` and the records of the
data set `fr-en-calendrier-scolaire` of the ministry of education.

"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import holidays
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import reference as ref
from services.territory.load import TerritoryInvalid, load_territory
from services.territory.source import SourceProblem

PARIS: Final = ZoneInfo("Europe/Paris")
PUPILS: Final = frozenset({"-", "Élèves"})
"""Rows of the calendar that are about pupils; others are about teachers."""
LONGEST: Final = timedelta(days=75)
LAST_OF_SUMMER: Final = (8, 31)
"""Last day of a summer while the calendar gives only its begin."""
LEAST_SPANS: Final = 4
"""Holidays that a school year has at least."""
WARNING_PERIOD: Final = timedelta(days=90)
"""Remaining time below which a list is reported as ending."""
_FILE: Final = "escalade.yaml"


class OfficialDaysInvalid(ValueError):
    """A file is not as its publisher gives it; the message names the reason."""


class _SchoolHoliday(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    description: str
    population: str
    start_date: str
    end_date: str
    location: str
    zones: str


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Public holidays, and the first and last day of each school holiday."""

    public: tuple[str, ...]
    school: tuple[tuple[str, str], ...]


def read_public_days(content: bytes) -> tuple[str, ...]:
    """Return the public holidays of one file, checked against the law.

    Raises OfficialDaysInvalid.
    """
    document = _load(content)
    if not isinstance(document, dict) or not document:
        raise OfficialDaysInvalid("public holidays: an object of days is expected")
    days = sorted(_read_day(key) for key in document)
    legal_days = holidays.country_holidays("FR", years={day.year for day in days})
    if set(days) != set(legal_days):
        odd = sorted(day.isoformat() for day in set(days) ^ set(legal_days))
        raise OfficialDaysInvalid(f"public holidays: these differ from the law: {', '.join(odd)}")
    return tuple(day.isoformat() for day in days)


def read_school_days(
    content: bytes, zone: str, location: str, today: date
) -> tuple[tuple[str, str], ...]:
    """Return the school holidays of pupils in one zone that are not over yet.

    The day after the last one is the day of return. Raises OfficialDaysInvalid.
    """
    document = _load(content)
    rows = document.get("results") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise OfficialDaysInvalid("school holidays: a list of records is expected")
    spans = {
        span
        for raw in rows
        if (row := _read_row(raw)) is not None
        and row.zones == f"Zone {zone}"
        and row.location == location
        and row.population in PUPILS
        and (span := _read_span(row)) is not None
    }
    ahead = sorted(span for span in _join(spans) if span[1] >= today)
    if len(ahead) < LEAST_SPANS:
        raise OfficialDaysInvalid(
            f"school holidays: only {len(ahead)} ahead for zone {zone}, {location}"
        )
    return tuple((first.isoformat(), last.isoformat()) for first, last in ahead)


def merge_days(current_days: DaysOff, official_days: DaysOff, today: date) -> DaysOff:
    """Return the days off in force with the official ones.

    Days to come of the years, and holidays of the time, that the files speak of are replaced. The
    past, other years and holidays after the last official one stay.
    """
    years, this_day = {day[:4] for day in official_days.public}, today.isoformat()
    public = {day for day in current_days.public if day[:4] not in years or day < this_day}
    end = max((last for _, last in official_days.school), default=this_day)
    school = {span for span in current_days.school if span[1] < this_day or span[0] > end}
    return DaysOff(
        tuple(sorted(public.union(official_days.public))),
        tuple(sorted(school.union(official_days.school))),
    )


def _load(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise OfficialDaysInvalid("not JSON") from error


def _read_row(raw: Any) -> _SchoolHoliday | None:
    try:
        return _SchoolHoliday.model_validate(raw)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise OfficialDaysInvalid(
            f"school holidays: a record without {field or 'fields'}"
        ) from error


def _read_day(text: Any) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise OfficialDaysInvalid(f"not a day: {text!r:.40}") from error


def _read_paris_day(text: str) -> date:
    """Return the Paris day of an instant: `2026-10-16T22:00:00+00:00` is 17 October."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise OfficialDaysInvalid(f"not a time: {text!r:.40}") from error
    return at.astimezone(PARIS).date() if at.tzinfo else at.date()


def _read_span(row: _SchoolHoliday) -> tuple[date, date] | None:
    """Return the first and last day of a holiday."""
    first, return_day = _read_paris_day(row.start_date), _read_paris_day(row.end_date)
    last = return_day - timedelta(days=1)
    if return_day <= first:  # The summer begins, and its end is not published yet.
        last = date(first.year, *LAST_OF_SUMMER)
    if not first <= last <= first + LONGEST:
        raise OfficialDaysInvalid(f"school holidays: {first} to {last} is no holiday")
    return first, last


def _join(spans: Iterable[tuple[date, date]]) -> Sequence[tuple[date, date]]:
    """Join spans that overlap or touch: the same holiday in two records."""
    joined_spans: list[tuple[date, date]] = []
    for first, last in sorted(spans):
        if joined_spans and first <= joined_spans[-1][1] + timedelta(days=1):
            joined_spans[-1] = (joined_spans[-1][0], max(last, joined_spans[-1][1]))
        else:
            joined_spans.append((first, last))
    return joined_spans


def list_calendar_warnings(policy: ref.Escalation, today: date) -> Iterator[str]:
    """Yield a warning for each list of days off that is empty or ends soon.

    Without it, clocks of offices and schools would run on days when they are closed.
    """
    ends = {
        "jours_feries": max(policy.holidays, default=None),
        "vacances_scolaires": max((last for _, last in policy.school_holidays), default=None),
    }
    for name, last in ends.items():
        if last is None:
            yield f"{name} is empty: load the official days with `vigie territory holidays`"
        elif date.fromisoformat(last) < today + WARNING_PERIOD:
            yield f"{name} ends on {last}, in less than {WARNING_PERIOD.days} days: load the next ones with `vigie territory holidays`"


def write_days_off(folder: Path, country: str, zone: str, year: int, years: int) -> tuple[int, int]:
    """Write the source of the days off to `escalade.yaml` and return their numbers.

    The file stays unchanged on an error. Raises TerritoryInvalid.
    """
    file = folder / _FILE
    before = file.read_bytes()
    year_list = ", ".join(str(year + n) for n in range(years))
    lines = {
        "jours_feries": f"{{pays: {country}, annees: [{year_list}]}}",
        "vacances_scolaires": f"{{zone: {zone}}}",
    }
    text = before.decode("utf-8")
    for key, value in lines.items():
        text, replacement_count = re.subn(
            rf"^{key}:[^\n#]*?(?P<note>[ ]*(?:#[^\n]*)?)$",
            f"{key}: {value}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
        if not replacement_count:
            raise TerritoryInvalid(
                [SourceProblem(_FILE, 0, f"no line {key}: that could be replaced")]
            )
    file.write_bytes(text.encode("utf-8"))
    try:
        policy = load_territory(folder).policy
    except TerritoryInvalid:
        file.write_bytes(before)
        raise
    return len(policy.holidays), len(policy.school_holidays)

"""Load public and school holidays into a territory folder and warn before they end.

Rule D43.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from schemas import reference as ref
from services.territory.load import TerritoryInvalid, load_territory
from services.territory.source import SourceProblem

PARIS: Final = ZoneInfo("Europe/Paris")
WARNING_PERIOD: Final = timedelta(days=90)
"""Remaining time below which a list is reported as ending."""
_FILE: Final = "escalade.yaml"


def calendar_warnings(policy: ref.Escalation, today: date) -> Iterator[str]:
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

"""Plans with outdated foundations. Rule D48, life of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from schemas import reference as ref
from schemas.base import DAY_MS, Instant
from schemas.oncall import ReachRow
from services.console.read_model.reference_index import IndexedReference
from services.oncall.localtime import local_day
from services.oncall.readiness import merge_reach

MAX_BIA_YEARS: Final = 1
"""Greatest age of the business impact analysis, in years."""
MAX_DIRECTORY_DAYS: Final = 90
"""Greatest number of days without a verified channel in the directory."""


def list_outdated_foundations(
    reference: IndexedReference,
    reach_rows: Mapping[str, ReachRow],
    published_at: Instant | None,
    now: Instant,
) -> list[str]:
    """Return the outdated foundations of the plans: `bia`, `directory`.

    A foundation without a date is never outdated.
    """
    sections = reference.sections
    assessed = next((s.assessed_on for s in sections if isinstance(s, ref.Activities)), None)
    roster = next((s.roster for s in sections if isinstance(s, ref.RosterSection)), None)
    proved = [
        p.verified_at
        for points in merge_reach(roster, published_at, reach_rows).values()
        for p in points
        if p.verified_at is not None
    ]
    foundations = []
    if assessed is not None and local_day(now) > _add_bia_years(assessed):
        foundations.append("bia")
    if proved and now - max(proved) > MAX_DIRECTORY_DAYS * DAY_MS:
        foundations.append("directory")
    return foundations


def _add_bia_years(day: date) -> date:
    try:
        return day.replace(year=day.year + MAX_BIA_YEARS)
    except ValueError:  # 29 February
        return date(day.year + MAX_BIA_YEARS, 3, 1)

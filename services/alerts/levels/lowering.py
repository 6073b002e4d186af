"""Propose to lower incidents without any open cause; a person decides. Rule D72, noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.alerts import IncidentRow
from schemas.words import Level
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import OPEN
from services.alerts.levels.metrics.declared import is_flag_true
from services.alerts.reference.constants import (
    ALL_CLEAR_MEASURE,
    COLOURS,
    PHENOMENON_KIND,
    rank_colour,
)

_HAZARDS: Final = frozenset({*PHENOMENON_KIND.values(), "weather"})
"""Families that a vigilance opens: they last while it is at least orange."""
_YELLOW_RANK: Final = rank_colour(COLOURS[1])


def propose_lowering(draft: AlertsDecision, ended: Iterable[str]) -> None:
    """Mark incidents that lost their last cause in this input; unmark those with a new one."""
    asked = {i for c in ended if (i := draft.standing(draft.state.causes[c].incident)) is not None}
    if "flags" in draft.touched():
        asked.update(i for i in draft.open_incidents if draft.incident(i).kind in _HAZARDS)
    for id in sorted(asked):
        row = draft.incident(id)
        if (
            row.over_since is None
            and row.level > Level.N0
            and row.state in OPEN
            and is_incident_over(draft, row)
        ):
            draft.alter(id, "report", over_since=draft.now)
    for id in draft.moved_incidents:
        if draft.incident(id).over_since is not None and not is_incident_over(
            draft, draft.incident(id)
        ):
            draft.alter(id, "report", over_since=None)


def is_incident_over(draft: AlertsDecision, row: IncidentRow) -> bool:
    """Return whether no cause, vigilance or declaration of an incident holds.

    Walks over its sites.
    """
    flags = draft.state.flags
    if row.kind in _HAZARDS and (
        (seen := flags.get(f"vigilance:{row.key}")) is None
        or rank_colour(str(seen.value)) > _YELLOW_RANK
    ):
        return False
    declared = (
        f
        for f in flags.values()
        if f.id.startswith("flag:") and f.id != f"flag:{ALL_CLEAR_MEASURE}" and is_flag_true(f)
    )
    if any(draft.standing(f.incident) == row.id for f in declared):
        return False
    return not any(
        draft.standing(draft.state.causes[c].incident) == row.id
        for c in _list_open_causes(draft, row)
    )


def _list_open_causes(draft: AlertsDecision, row: IncidentRow) -> Iterable[str]:
    for site in row.members:
        yield from draft.state.site_causes.get(site, ())
    for of_type in draft.state.placeless.values():
        yield from of_type

"""Changes of the reference data, and the versions that they hold (D63)."""

from __future__ import annotations

from typing import Final

from schemas.reference_changes import OPEN_CHANGES, ReferenceChangeRow, ReferenceDrafted
from services.alerts.state import State
from services.runtime.decider.maps import Map

KEPT: Final = 3
"""Versions that were drafted and not proposed (yet): who drafts one proposes it at once, so older ones were left behind."""


def reference_drafted(s: State, fact: ReferenceDrafted) -> State:
    drafted = s.drafted.set(f"{fact.reference}/{fact.data.section}", fact)
    newest: dict[str, int] = {}
    held = {row.reference for row in s.reference_changes.values() if row.state in OPEN_CHANGES}
    for draft in drafted.values():
        if draft.reference not in held:
            newest[draft.reference] = max(draft.drafted_at, newest.get(draft.reference, 0))
    others = sorted(
        (version for version in newest if version != fact.reference),
        key=lambda version: (newest[version], version),
    )
    return s.put(drafted=_without(drafted, set(others[: 1 - KEPT])))


def change_recorded(s: State, row: ReferenceChangeRow) -> State:
    old, agenda, drafted = s.reference_changes.get(row.id), s.agenda, s.drafted
    if old is not None:
        agenda = agenda.arm(deadline_of(old), None)
        if old.state in OPEN_CHANGES and row.state not in OPEN_CHANGES:
            drafted = _without(drafted, {row.reference})
    return s.put(
        reference_changes=s.reference_changes.set(row.id, row),
        agenda=agenda.arm(deadline_of(row), row.next_at),
        drafted=drafted,
    )


def deadline_of(row: ReferenceChangeRow) -> str:
    """A section, and a batch of sites, has a deadline of its own, so that what one firing causes fits into one Transaction."""
    return f"reference:{row.id}:{row.step}"


def _without(drafted: Map[str, ReferenceDrafted], versions: set[str]) -> Map[str, ReferenceDrafted]:
    return (
        Map({key: draft for key, draft in drafted.items() if draft.reference not in versions})
        if versions
        else drafted
    )

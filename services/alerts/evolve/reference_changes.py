"""Changes of the reference data, and the versions that they hold. Rule D63, reference versions."""

from __future__ import annotations

from typing import Final

from schemas.reference_changes import OPEN_CHANGES, ReferenceChangeRow, ReferenceDrafted
from services.alerts.deadlines import ReferenceChangeDue
from services.alerts.state import State
from services.runtime.decider.maps import Map

KEPT_DRAFTS: Final = 3
"""Drafted versions without a proposal that are kept.

Drafting and proposing follow each other at once, so older ones were abandoned.
"""


def evolve_draft(s: State, fact: ReferenceDrafted) -> State:
    drafted = s.drafted.set(f"{fact.reference}/{fact.data.section}", fact)
    newest: dict[str, int] = {}
    open_references = {
        row.reference for row in s.reference_changes.values() if row.state in OPEN_CHANGES
    }
    for draft in drafted.values():
        if draft.reference not in open_references:
            newest[draft.reference] = max(draft.drafted_at, newest.get(draft.reference, 0))
    others = sorted(
        (version for version in newest if version != fact.reference),
        key=lambda version: (newest[version], version),
    )
    return s.put(drafted=_drop_versions(drafted, set(others[: 1 - KEPT_DRAFTS])))


def evolve_change(s: State, row: ReferenceChangeRow) -> State:
    old, agenda, drafted = s.reference_changes.get(row.id), s.agenda, s.drafted
    if old is not None:
        agenda = agenda.arm(ReferenceChangeDue(old.id, old.step), None)
        if old.state in OPEN_CHANGES and row.state not in OPEN_CHANGES:
            drafted = _drop_versions(drafted, {row.reference})
    return s.put(
        reference_changes=s.reference_changes.set(row.id, row),
        agenda=agenda.arm(ReferenceChangeDue(row.id, row.step), row.next_at),
        drafted=drafted,
    )


def _drop_versions(
    drafted: Map[str, ReferenceDrafted], versions: set[str]
) -> Map[str, ReferenceDrafted]:
    return (
        Map({key: draft for key, draft in drafted.items() if draft.reference not in versions})
        if versions
        else drafted
    )

"""Put versions of the reference data in force.

A loaded version comes into force at once. An approved change comes into force section by section,
at its effective time. Rule D63, reference versions.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.reference import PUBLISHED, ReferencePublished
from schemas.reference_changes import (
    ChangeState,
    ReferenceChangeRecorded,
    ReferenceChangeRow,
    ReferenceDrafted,
)
from services.alerts.decision import Draft
from services.alerts.pipeline import settle
from services.alerts.rows import changed

BATCH: Final = 25
"""Sites that one deadline judges: their effects must fit into one Transaction."""


def put(draft: Draft, row: ReferenceChangeRow, change: str, **values: Any) -> ReferenceChangeRow:
    """Record a change with other values."""
    new = changed(row, {**values, "step": row.step + 1})
    draft.emit(ReferenceChangeRecorded(row=new, change=change))
    return new


def sections_of(draft: Draft, reference: str) -> list[ReferenceDrafted]:
    """Return the drafted sections of a version in publishing order."""
    found = (draft.state.drafted.get(f"{reference}/{section}") for section in PUBLISHED)
    return [section for section in found if section is not None]


def hindrance(draft: Draft, row: ReferenceChangeRow) -> str | None:
    """Return why this change cannot come into force now, or None.

    A version published since its base must not be overwritten, and no version may mix sections of
    two.
    """
    if row.base != draft.state.version:
        return "base_changed"
    return "load_under_way" if draft.state.staged else None


def load(draft: Draft, published: ReferencePublished) -> None:
    """Load a section from outside; after the last one, everything is judged again."""
    for row in _waiting(draft):
        if row.published:  # its sections and these would mix in one version
            put(
                draft, row, "failed", state=ChangeState.FAILED, cause="load_under_way", next_at=None
            )
    draft.emit(published)
    if published.last:
        _judge(draft, sorted(draft.state.site_causes))
        settle(draft, draft.state.rules.topics)
        _outdate(draft)


def turn(draft: Draft, rest: str) -> None:
    """Apply a due change: its next section, or its next sites. Other inputs may come in between."""
    row = draft.state.reference_changes[rest.rpartition(":")[0]]
    if row.state is ChangeState.APPROVED:
        _publish(draft, row)
    else:
        _judge_on(draft, row)


def _publish(draft: Draft, row: ReferenceChangeRow) -> None:
    if not row.published and (cause := hindrance(draft, row)) is not None:
        put(draft, row, "failed", state=ChangeState.FAILED, cause=cause, next_at=None)
        return
    sections = sections_of(draft, row.reference)
    last = row.published == len(sections) - 1
    data = sections[row.published].data
    draft.emit(
        ReferencePublished(reference=row.reference, data=data, last=last, published_at=draft.now)
    )
    published = {"published": row.published + 1, "next_at": draft.now}
    if not last:
        put(draft, row, "publishing", **published)
        return
    put(
        draft,
        row,
        "in_force",
        state=ChangeState.IN_FORCE,
        in_force_at=draft.now,
        judged="",
        **published,
    )
    settle(draft, draft.state.rules.topics)
    _outdate(draft)


def _judge_on(draft: Draft, row: ReferenceChangeRow) -> None:
    sites = [site for site in sorted(draft.state.site_causes) if site > (row.judged or "")]
    _judge(draft, sites[:BATCH])
    more = len(sites) > BATCH
    put(
        draft,
        row,
        "judging",
        judged=sites[BATCH - 1] if more else None,
        next_at=draft.now if more else None,
    )


def _judge(draft: Draft, sites: list[str]) -> None:
    draft.doubtful.update(sites)
    draft.stirred.update(
        dict.fromkeys(cause for site in sites for cause in draft.state.site_causes[site])
    )


def _outdate(draft: Draft) -> None:
    """Fail the approved changes that build on another version than the one in force."""
    for row in _waiting(draft):
        if row.base != draft.state.version:
            put(draft, row, "failed", state=ChangeState.FAILED, cause="base_changed", next_at=None)


def _waiting(draft: Draft) -> list[ReferenceChangeRow]:
    return [
        row
        for _, row in sorted(draft.state.reference_changes.items())
        if row.state is ChangeState.APPROVED
    ]

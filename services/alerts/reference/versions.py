"""Put versions of the reference data in force.

A loaded version comes into force at once. An approved change comes into force section by section,
at its effective time. Rule D63, reference versions.
"""

from typing import Any, Final

from schemas.base import copy_with
from schemas.reference import PUBLISHING_ORDER, ReferencePublished
from schemas.reference_changes import (
    ChangeState,
    ReferenceChangeRecorded,
    ReferenceChangeRow,
    ReferenceDrafted,
)
from services.alerts.decision import AlertsDecision
from services.alerts.declarations import area_orders
from services.alerts.pipeline import update_derived_state

SITES_PER_DEADLINE: Final = 25
"""Sites that one deadline judges: their effects must fit into one Transaction."""


def record_change(
    draft: AlertsDecision, row: ReferenceChangeRow, change: str, **values: Any
) -> ReferenceChangeRow:
    """Record a change with other values."""
    new = copy_with(row, {**values, "step": row.step + 1})
    draft.emit(ReferenceChangeRecorded(row=new, change=change))
    return new


def list_sections(draft: AlertsDecision, reference: str) -> list[ReferenceDrafted]:
    """Return the drafted sections of a version in publishing order."""
    drafts = (draft.state.drafted.get(f"{reference}/{section}") for section in PUBLISHING_ORDER)
    return [section for section in drafts if section is not None]


def find_hindrance(draft: AlertsDecision, row: ReferenceChangeRow) -> str | None:
    """Return why this change cannot come into force now, or None.

    A version published since its base must not be overwritten, and no version may mix sections of
    two.
    """
    if row.base != draft.state.version:
        return "base_changed"
    if find_dropped_site_in_incident(draft, row) is not None:
        return "site_in_incident"
    return "load_under_way" if draft.state.staged else None


def find_dropped_site_in_incident(draft: AlertsDecision, row: ReferenceChangeRow) -> str | None:
    """Return the first site that the change drops while it has an open cause, or None.

    Without it nobody could name the place, reopen the site or count its people. A proposal may
    accept that.
    """
    if row.release:
        return None
    return next((site for site in row.dropped_sites if draft.state.site_causes.get(site)), None)


def load_section(draft: AlertsDecision, event: ReferencePublished) -> None:
    """Load a section from outside; after the last one, everything is judged again."""
    for row in _list_approved_changes(draft):
        if row.published:  # its sections and these would mix in one version
            record_change(
                draft, row, "failed", state=ChangeState.FAILED, cause="load_under_way", next_at=None
            )
    draft.emit(event)
    if event.last:
        _mark_sites_for_judgement(draft, sorted(draft.state.site_causes))
        area_orders.review_areas(draft)
        update_derived_state(draft, draft.state.rules.topics)
        _fail_outdated_changes(draft)


def on_change_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due change: its next section, or its next sites. Other inputs may come in between."""
    row = draft.state.reference_changes[id]
    if row.state is ChangeState.APPROVED:
        _publish_section(draft, row)
    else:
        _judge_next_sites(draft, row)


def _publish_section(draft: AlertsDecision, row: ReferenceChangeRow) -> None:
    if not row.published and (cause := find_hindrance(draft, row)) is not None:
        record_change(draft, row, "failed", state=ChangeState.FAILED, cause=cause, next_at=None)
        return
    sections = list_sections(draft, row.reference)
    last = row.published == len(sections) - 1
    data = sections[row.published].data
    draft.emit(
        ReferencePublished(reference=row.reference, data=data, last=last, published_at=draft.now)
    )
    progress = {"published": row.published + 1, "next_at": draft.now}
    if not last:
        record_change(draft, row, "publishing", **progress)
        return
    record_change(
        draft,
        row,
        "in_force",
        state=ChangeState.IN_FORCE,
        in_force_at=draft.now,
        judged="",
        **progress,
    )
    area_orders.review_areas(draft)
    update_derived_state(draft, draft.state.rules.topics)
    _fail_outdated_changes(draft)


def _judge_next_sites(draft: AlertsDecision, row: ReferenceChangeRow) -> None:
    sites = [site for site in sorted(draft.state.site_causes) if site > (row.judged or "")]
    _mark_sites_for_judgement(draft, sites[:SITES_PER_DEADLINE])
    more = len(sites) > SITES_PER_DEADLINE
    record_change(
        draft,
        row,
        "judging",
        judged=sites[SITES_PER_DEADLINE - 1] if more else None,
        next_at=draft.now if more else None,
    )


def _mark_sites_for_judgement(draft: AlertsDecision, sites: list[str]) -> None:
    draft.doubtful.update(sites)
    draft.stirred.update(
        dict.fromkeys(cause for site in sites for cause in draft.state.site_causes[site])
    )


def _fail_outdated_changes(draft: AlertsDecision) -> None:
    """Fail the approved changes that build on another version than the one in force."""
    for row in _list_approved_changes(draft):
        if row.base != draft.state.version:
            record_change(
                draft, row, "failed", state=ChangeState.FAILED, cause="base_changed", next_at=None
            )


def _list_approved_changes(draft: AlertsDecision) -> list[ReferenceChangeRow]:
    return [
        row
        for _, row in sorted(draft.state.reference_changes.items())
        if row.state is ChangeState.APPROVED
    ]

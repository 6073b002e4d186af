"""Decisions about reference data: load, draft, propose, approve, decline and withdraw a version.

Rule D63, reference versions; rule D86, changes of one record.
"""

from schemas import reference_changes as r
from schemas.base import copy_with
from schemas.reference import (
    OPTIONAL_SECTIONS,
    PUBLISHING_ORDER,
    PublishReference,
    ReferencePublished,
)
from schemas.reference_changes import ChangeDecision, ChangeState, ReferenceChangeRow
from services.alerts.decision import AlertsDecision
from services.alerts.levels.rulebook import Rulebook
from services.alerts.reference import versions
from services.runtime.decider.command_checks import (
    check_version,
    get_row,
    is_program,
    require_reason,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def publish_section(draft: AlertsDecision, command: PublishReference) -> CommandResult:
    """Load one section at once: a first version, an exercise, or a change that cannot wait."""
    versions.load_section(
        draft,
        ReferencePublished(
            reference=command.reference,
            data=command.data,
            last=command.last,
            published_at=draft.now,
        ),
    )
    return {"reference": command.reference, "section": command.data.section.value}


def draft_section(draft: AlertsDecision, command: r.DraftReference) -> CommandResult:
    """Keep a section as a draft.

    A version in force or under proposal is left as it is; the proposal itself is refused with the
    reason. The version of an edit is drafted for its approval.
    """
    open_change = _find_open_change(draft, command.reference)
    accepts_draft = command.reference != draft.state.version and (
        open_change is None or _is_undecided_edit(open_change)
    )
    if accepts_draft:
        draft.emit(
            r.ReferenceDrafted(reference=command.reference, data=command.data, drafted_at=draft.now)
        )
    return {
        "reference": command.reference,
        "section": command.data.section.value,
        "kept": accepts_draft,
    }


def propose_change(draft: AlertsDecision, command: r.ProposeReference) -> CommandResult:
    _check_proposal(draft, command)
    decision = ChangeDecision(
        what="proposed", by=command.author, role=command.role, at=draft.now, reason=command.reason
    )
    row = ReferenceChangeRow(
        id=draft.derive("reference_change"),
        state=ChangeState.PROPOSED,
        reference=command.reference,
        base=command.base,
        effective_at=command.effective_at,
        release=command.release,
        sections=command.sections,
        dropped_sites=command.dropped_sites,
        foreseen=command.foreseen,
        decisions=(decision,),
        edit=command.edit,
    )
    return _build_result(versions.record_change(draft, row, "proposed"))


def _check_proposal(draft: AlertsDecision, command: r.ProposeReference) -> None:
    if not draft.state.version:
        raise RefusedCommand(409, "no_reference")
    if command.reference == draft.state.version:
        raise RefusedCommand(409, "reference_in_force", reference=command.reference)
    if command.base != draft.state.version:
        raise RefusedCommand(409, "base_changed", base=command.base, reference=draft.state.version)
    is_edit = command.edit is not None
    if command.edit is not None:
        _check_record_is_free(draft, command.edit)
    elif (open_change := _find_open_change(draft, command.reference)) is not None:
        raise RefusedCommand(409, "reference_proposed", change=open_change.id)
    most = r.MAX_OPEN_EDITS if is_edit else r.MAX_OPEN_CHANGES
    waiting = [row for row in _list_open_changes(draft) if (row.edit is not None) is is_edit]
    if len(waiting) >= most:
        raise RefusedCommand(409, "too_many_changes", most=most)
    require_reason(command)
    if not is_edit:
        _check_drafted_version(draft, command.reference)


def _check_record_is_free(draft: AlertsDecision, edit: r.RecordEdit) -> None:
    """Refuse a second open change of the same record."""
    for row in _list_open_changes(draft):
        if row.edit is not None and row.edit.is_about(edit):
            raise RefusedCommand(409, "record_proposed", change=row.id, author=row.proposal.by)


def _check_drafted_version(draft: AlertsDecision, reference: str) -> None:
    """Refuse an incomplete version, or one with unreadable rules."""
    sections = {one.data.section: one.data for one in versions.list_sections(draft, reference)}
    if missing := [
        section.value
        for section in PUBLISHING_ORDER
        if section not in sections and section not in OPTIONAL_SECTIONS
    ]:
        raise RefusedCommand(409, "section_missing", section=missing[0])
    try:
        Rulebook(reference, Map({section.value: data for section, data in sections.items()}))
    except Exception as error:  # it would be raised again when the version comes into force
        raise RefusedCommand(
            409, "reference_unusable", error=f"{type(error).__name__} {error}"[:200]
        ) from error


def approve_change(draft: AlertsDecision, command: r.ApproveReference) -> CommandResult:
    """Approve a change; a deadline puts it in force at its effective time, or at once."""
    row = _get_change_for_second_person(draft, command)
    if row.edit is not None:
        row = _take_prepared_version(draft, row, command.prepared)
    due_at = max(row.effective_at or draft.now, draft.now)
    site = versions.find_dropped_site_in_incident(draft, row)
    if site is not None and due_at == draft.now:  # until a later time the incident may end
        raise RefusedCommand(409, "site_in_incident", site=site)
    if (cause := versions.find_hindrance(draft, row)) not in (None, "site_in_incident"):
        raise RefusedCommand(409, cause, base=row.base, reference=draft.state.version)
    return _build_result(
        _record_decision(draft, row, command, "approved", ChangeState.APPROVED, next_at=due_at)
    )


def _take_prepared_version(
    draft: AlertsDecision, row: ReferenceChangeRow, version: r.PreparedVersion | None
) -> ReferenceChangeRow:
    """Return the change with the version that was drafted for its approval."""
    if version is None or version.base != draft.state.version:
        raise RefusedCommand(409, "edit_unprepared")
    _check_drafted_version(draft, version.reference)
    return copy_with(
        row, {"reference": version.reference, "base": version.base, "sections": version.sections}
    )


def decline_change(draft: AlertsDecision, command: r.DeclineReference) -> CommandResult:
    row = _get_change_for_second_person(draft, command)
    require_reason(command)
    return _build_result(_record_decision(draft, row, command, "declined", ChangeState.DECLINED))


def withdraw_change(draft: AlertsDecision, command: r.WithdrawReference) -> CommandResult:
    row = _get_open_change(draft, command)
    if is_program(command.author) and command.author != row.proposal.by:
        raise RefusedCommand(409, "person_needed")
    if row.state is ChangeState.PROPOSED and command.author != row.proposal.by:
        raise RefusedCommand(409, "proposer_only", proposer=row.proposal.by)
    require_reason(command)
    return _build_result(_record_decision(draft, row, command, "withdrawn", ChangeState.WITHDRAWN))


def _get_change_for_second_person(
    draft: AlertsDecision, command: r.ApproveReference | r.DeclineReference
) -> ReferenceChangeRow:
    """Return the change, if a second person may decide it now."""
    row = _get_open_change(draft, command)
    if row.state is not ChangeState.PROPOSED:
        raise RefusedCommand(409, "change_decided", state=row.state.value)
    if is_program(command.author):
        raise RefusedCommand(409, "person_needed")
    if command.author == row.proposal.by:
        raise RefusedCommand(409, "second_person_needed", proposer=row.proposal.by)
    return row


def _get_open_change(
    draft: AlertsDecision, command: r.ApproveReference | r.DeclineReference | r.WithdrawReference
) -> ReferenceChangeRow:
    row = get_row(draft.state.reference_changes, command.change, "change_not_found")
    check_version(row, command.expected)
    if row.state not in r.OPEN_CHANGES or row.published:
        raise RefusedCommand(409, "change_decided", state=row.state.value)
    return row


def _record_decision(
    draft: AlertsDecision,
    row: ReferenceChangeRow,
    command: r.ApproveReference | r.DeclineReference | r.WithdrawReference,
    what: str,
    state: ChangeState,
    next_at: int | None = None,
) -> ReferenceChangeRow:
    decision = ChangeDecision.model_validate(
        {
            "what": what,
            "by": command.author,
            "role": command.role,
            "at": draft.now,
            "reason": command.reason,
        }
    )
    return versions.record_change(
        draft,
        row,
        what,
        state=state,
        decisions=(*row.decisions, decision),
        version=row.version + 1,
        next_at=next_at,
    )


def _list_open_changes(draft: AlertsDecision) -> list[ReferenceChangeRow]:
    return [c for c in draft.state.reference_changes.values() if c.state in r.OPEN_CHANGES]


def _find_open_change(draft: AlertsDecision, reference: str) -> ReferenceChangeRow | None:
    changes = [c for c in _list_open_changes(draft) if c.reference == reference]
    return next(iter(sorted(changes, key=_is_undecided_edit)), None)


def _is_undecided_edit(row: ReferenceChangeRow) -> bool:
    return row.edit is not None and row.state is ChangeState.PROPOSED


def _build_result(row: ReferenceChangeRow) -> CommandResult:
    return {
        "change": row.id,
        "reference": row.reference,
        "state": row.state.value,
        "version": row.version,
    }

"""Decisions about the stimuli of an exercise: plan, skip, restore, note. Rule D94."""

from typing import Any

from schemas.base import copy_with
from schemas.crisis import stimuli as m
from schemas.topics import is_live
from services.alerts.decision import AlertsDecision
from services.runtime.decider.command_checks import check_version, get_row
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def plan_stimulus(draft: AlertsDecision, command: m.PlanStimulus) -> CommandResult:
    """Add a stimulus; refuse a second one of its name (409), and any in a live realm."""
    if is_live(draft.state.realm):
        raise RefusedCommand(409, "stimulus_live")
    if command.stimulus in draft.state.stimuli:
        raise RefusedCommand(409, "stimulus_known", stimulus=command.stimulus)
    row = m.StimulusRow(
        id=command.stimulus, at=command.at, text_id=command.text_id, changed_at=draft.now
    )
    draft.emit(m.StimulusChanged(row=row, change="planned"))
    return _build_result(row)


def skip_stimulus(draft: AlertsDecision, command: m.SkipStimulus) -> CommandResult:
    """Leave a stimulus out; refuse (409) a stimulus with a report in the realm."""
    if command.stimulus in draft.state.stimuli and command.stimulus in draft.state.aliases:
        raise RefusedCommand(409, "stimulus_played", stimulus=command.stimulus)
    return _set_skipped(draft, command.stimulus, command.expected, skipped=True)


def restore_stimulus(draft: AlertsDecision, command: m.RestoreStimulus) -> CommandResult:
    return _set_skipped(draft, command.stimulus, command.expected, skipped=False)


def note_stimulus(draft: AlertsDecision, command: m.NoteStimulus) -> CommandResult:
    """Add a note; refuse an empty one and one too many (409)."""
    row = get_row(draft.state.stimuli, command.stimulus, "stimulus_not_found")
    if command.mark is None and command.text_id is None:
        raise RefusedCommand(409, "note_empty")
    if len(row.notes) >= m.MOST_NOTES:
        raise RefusedCommand(409, "notes_full", most=m.MOST_NOTES)
    note = m.StimulusNote(
        by=command.author,
        role=command.role,
        at=draft.now,
        mark=command.mark,
        text_id=command.text_id,
    )
    return _change(draft, row, "noted", notes=(*row.notes, note))


def _set_skipped(
    draft: AlertsDecision, id: str, expected: int | None, *, skipped: bool
) -> CommandResult:
    row = get_row(draft.state.stimuli, id, "stimulus_not_found")
    check_version(row, expected)
    if row.skipped is skipped:
        raise RefusedCommand(409, "stimulus_state", stimulus=id)
    return _change(draft, row, "skipped" if skipped else "restored", skipped=skipped)


def _change(draft: AlertsDecision, row: m.StimulusRow, change: str, **values: Any) -> CommandResult:
    new = copy_with(row, {**values, "changed_at": draft.now, "version": row.version + 1})
    draft.emit(m.StimulusChanged(row=new, change=change))
    return _build_result(new)


def _build_result(row: m.StimulusRow) -> CommandResult:
    return {"stimulus": row.id, "skipped": row.skipped, "version": row.version}

"""Apply the decisions of people that alerts owns, or refuse them with a status, a code and values.

The version of an incident (`expected`) counts decisions, not reports: status 412 means that another
decision came first. Status 403 means that the role of the account has no right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schemas import commands as c
from schemas import oncall as o
from schemas import reference_changes as r
from schemas.base import Command
from schemas.crisis import actions as a
from schemas.crisis import communication as s
from schemas.crisis import handovers as h
from schemas.crisis import maintenance as m
from schemas.crisis import obligations as b
from schemas.crisis import stimuli as e
from schemas.people import attendance as t
from schemas.reference import PublishReference
from schemas.runtime import CommandApplied
from services.alerts.commands import (
    actions,
    escalation,
    handovers,
    incidents,
    level,
    maintenance,
    obligations,
    oncall,
    reference,
    reports,
    stimuli,
)
from services.alerts.communication import questions, statements
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import responses
from services.runtime.decider.decision import CommandResult, RefusedCommand

__all__ = ["apply_command"]

ANSWERING_ROLE: Final = "on_call"
"""Role of an answer by link or reply, without an account."""
_CELL_ROLES = frozenset({"admin", "coordinator", "cell", "director", "elected"})
_FIELD_ROLES = _CELL_ROLES | {"site_manager", "technician", "liaison"}
_ORGANISER_ROLES = frozenset({"admin", "coordinator"})
_REFERENCE_ROLES = frozenset({"admin", "coordinator", "director"})
_ALLOWED_ROLES: Final[dict[type[Command], frozenset[str]]] = {
    c.AcknowledgeIncident: _FIELD_ROLES,
    c.EscalateIncident: _FIELD_ROLES,
    c.ReapplyPolicy: _CELL_ROLES,
    c.ResolveIncident: _CELL_ROLES,
    c.ReopenIncident: _CELL_ROLES,
    c.MergeIncidents: _CELL_ROLES,
    c.SplitIncident: _CELL_ROLES,
    c.AddNote: _FIELD_ROLES | {"observer"},
    c.ConfirmReport: _FIELD_ROLES,
    c.DenyReport: _FIELD_ROLES,
    c.LinkReport: _FIELD_ROLES,
    c.MarkReportsRead: _CELL_ROLES,
    c.PreviewConfirmation: _FIELD_ROLES,
    c.InstructSite: _CELL_ROLES,
    c.SetLevel: _CELL_ROLES,
    c.TakeTask: _FIELD_ROLES,
    c.CompleteTask: _FIELD_ROLES,
    a.RequestAction: _CELL_ROLES,
    a.AcceptAction: _FIELD_ROLES,
    a.DeclineAction: _FIELD_ROLES,
    a.CompleteAction: _FIELD_ROLES,
    a.CancelAction: _CELL_ROLES,
    m.PlanMaintenance: _CELL_ROLES | {maintenance.SOURCE_ROLE},
    m.ChangeMaintenance: _CELL_ROLES | {maintenance.SOURCE_ROLE},
    m.EndMaintenance: _CELL_ROLES | {maintenance.SOURCE_ROLE},
    s.DraftStatement: _CELL_ROLES,
    s.ReviseStatement: _CELL_ROLES,
    s.SubmitStatement: _CELL_ROLES,
    s.ValidateStatement: _CELL_ROLES,
    s.RefuseStatement: _CELL_ROLES,
    s.PublishStatement: _CELL_ROLES,
    s.RetractStatement: _CELL_ROLES,
    s.ReceiveQuestion: _CELL_ROLES | {"liaison"},
    s.AnswerQuestion: _CELL_ROLES,
    h.DraftHandover: _CELL_ROLES,
    h.ReviseHandover: _CELL_ROLES,
    h.SignHandover: _CELL_ROLES,
    h.AcceptHandover: _CELL_ROLES,
    h.WithdrawHandover: _CELL_ROLES,
    b.StartObligation: _CELL_ROLES,
    b.FulfilObligation: _CELL_ROLES,
    b.DismissObligation: _CELL_ROLES,
    e.PlanStimulus: _ORGANISER_ROLES,
    e.SkipStimulus: _ORGANISER_ROLES,
    e.RestoreStimulus: _ORGANISER_ROLES,
    e.NoteStimulus: _ORGANISER_ROLES | {"observer"},
    o.OverrideDuty: _CELL_ROLES | {"technician"},
    o.SwapDuties: _CELL_ROLES | {"technician"},
    o.WithdrawDuty: _CELL_ROLES,
    o.DrillLadders: _CELL_ROLES,
    o.ImportDuties: _CELL_ROLES,
    o.NoteReachability: frozenset({"admin", "coordinator"}),
    t.StateAttendance: _FIELD_ROLES | {ANSWERING_ROLE},
    PublishReference: frozenset({"admin", "coordinator"}),
    r.DraftReference: _REFERENCE_ROLES,
    r.ProposeReference: _REFERENCE_ROLES,
    r.ApproveReference: _REFERENCE_ROLES,
    r.DeclineReference: _REFERENCE_ROLES,
    r.WithdrawReference: _REFERENCE_ROLES,
}


def apply_command(draft: AlertsDecision, command_id: str, command: Command) -> bool:
    """Apply a command and record the result; return False for an unknown command."""
    apply = _HANDLERS.get(type(command))
    if apply is None:
        return False
    try:
        _check_right(draft, command)
        result = apply(draft, command)
    except RefusedCommand as refused:
        draft.emit(refused.to_fact(command_id, command))
        return True
    _note_activity(draft, command)
    draft.emit(CommandApplied(command_id=command_id, command=type(command).__name__, result=result))
    return True


def _note_activity(draft: AlertsDecision, command: Command) -> None:
    """Record that somebody works on an incident, so that its answered escalation does not go stale.

    Any decision of a person counts, except an acknowledgement and the administration of data. Rule
    D33, answers.
    """
    if (
        isinstance(command, c.AcknowledgeIncident)
        or type(command) in _ADMINISTRATIVE_COMMANDS
        or command.author.startswith("system:")
    ):
        return
    subject = getattr(command, "incident", None)
    if (report := getattr(command, "report", None)) is not None:
        subject = draft.incident_of(report)
    if (task := draft.state.tasks.get(getattr(command, "task", ""))) is not None:
        subject = task.incident
    if (id := getattr(command, "action", None)) is not None:
        action = draft.state.actions.get(id) or draft.state.tasks.get(id)
        subject = action.incident if action is not None else None
    if (clock := draft.state.obligations.get(getattr(command, "clock", ""))) is not None:
        subject = clock.incident
    responses.keep_acknowledgement(draft, draft.resolve_incident(subject))


def _check_right(draft: AlertsDecision, command: Command) -> None:
    """Refuse a command (403) unless the role of its author may give it.

    The role is that of an account, or a role of the organisation that a cell or a pilot holds.
    Programs act as `system:<name>`.
    """
    allowed = _ALLOWED_ROLES[type(command)]
    if command.role in allowed or (
        command.role == "system" and command.author.startswith("system:")
    ):
        return
    policy = draft.territory.policy
    organisation = (
        policy is not None and command.role in policy.roles and command.role != "observateur"
    )
    if not organisation or type(command) in (PublishReference, o.NoteReachability):
        raise RefusedCommand(403, "role_not_allowed", role=command.role)


_ADMINISTRATIVE_COMMANDS: Final = frozenset(
    {
        PublishReference,
        r.DraftReference,
        r.ProposeReference,
        r.ApproveReference,
        r.DeclineReference,
        r.WithdrawReference,
        o.NoteReachability,
        o.ImportDuties,
        o.OverrideDuty,
        o.SwapDuties,
        o.WithdrawDuty,
        o.DrillLadders,
        c.MarkReportsRead,
        c.PreviewConfirmation,
        t.StateAttendance,
        e.PlanStimulus,
        e.SkipStimulus,
        e.RestoreStimulus,
        e.NoteStimulus,
    }
)
"""Administration of data, and reading: not work on a crisis."""
_HANDLERS: Final[dict[type[Command], Callable[[AlertsDecision, Any], CommandResult]]] = {
    c.AcknowledgeIncident: escalation.acknowledge,
    c.EscalateIncident: escalation.escalate,
    c.ReapplyPolicy: escalation.reapply_policy,
    c.ResolveIncident: incidents.resolve,
    c.ReopenIncident: incidents.reopen,
    c.MergeIncidents: incidents.merge,
    c.SplitIncident: incidents.split,
    c.AddNote: reports.add_note,
    c.ConfirmReport: reports.confirm_report,
    c.DenyReport: reports.deny_report,
    c.LinkReport: reports.link_report,
    c.MarkReportsRead: reports.mark_read,
    c.PreviewConfirmation: reports.preview_confirmation,
    c.InstructSite: actions.instruct_site,
    c.SetLevel: level.set_level,
    c.TakeTask: reports.take_task,
    c.CompleteTask: reports.complete_task,
    a.RequestAction: actions.request_action,
    a.AcceptAction: actions.accept_action,
    a.DeclineAction: actions.decline_action,
    a.CompleteAction: actions.complete_action,
    a.CancelAction: actions.cancel_action,
    m.PlanMaintenance: maintenance.plan_window,
    m.ChangeMaintenance: maintenance.change_window,
    m.EndMaintenance: maintenance.end_window,
    s.DraftStatement: statements.draft_statement,
    s.ReviseStatement: statements.revise_statement,
    s.SubmitStatement: statements.submit_statement,
    s.ValidateStatement: statements.validate_statement,
    s.RefuseStatement: statements.refuse_statement,
    s.PublishStatement: statements.publish_statement,
    s.RetractStatement: statements.retract_statement,
    s.ReceiveQuestion: questions.receive_question,
    s.AnswerQuestion: questions.answer_question,
    h.DraftHandover: handovers.draft_handover,
    h.ReviseHandover: handovers.revise_handover,
    h.SignHandover: handovers.sign_handover,
    h.AcceptHandover: handovers.accept_handover,
    h.WithdrawHandover: handovers.withdraw_handover,
    b.StartObligation: obligations.start_obligation,
    b.FulfilObligation: obligations.fulfil_obligation,
    b.DismissObligation: obligations.dismiss_obligation,
    e.PlanStimulus: stimuli.plan_stimulus,
    e.SkipStimulus: stimuli.skip_stimulus,
    e.RestoreStimulus: stimuli.restore_stimulus,
    e.NoteStimulus: stimuli.note_stimulus,
    o.OverrideDuty: oncall.override_shift,
    o.SwapDuties: oncall.swap_shifts,
    o.WithdrawDuty: oncall.withdraw_override,
    o.DrillLadders: oncall.run_drill,
    o.ImportDuties: oncall.import_calendar,
    o.NoteReachability: oncall.note_reachability,
    t.StateAttendance: oncall.state_attendance,
    PublishReference: reference.publish_section,
    r.DraftReference: reference.draft_section,
    r.ProposeReference: reference.propose_change,
    r.ApproveReference: reference.approve_change,
    r.DeclineReference: reference.decline_change,
    r.WithdrawReference: reference.withdraw_change,
}

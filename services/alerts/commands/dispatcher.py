"""Apply the decisions of people that alerts owns, or refuse them with a status, a code and values.

The version of an incident (`expected`) counts decisions, not reports: status 412 means that another
decision came first. Status 403 means that the role of the account has no right.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from schemas import commands as c
from schemas import oncall as o
from schemas import reference_changes as r
from schemas.base import Command
from schemas.crisis import actions as a
from schemas.crisis import communication as s
from schemas.crisis import handovers as h
from schemas.crisis import maintenance as m
from schemas.crisis import obligations as b
from schemas.crisis import publication as p
from schemas.crisis import stimuli as e
from schemas.people import attendance as t
from schemas.reference import PublishReference
from schemas.runtime import CommandApplied
from services.alerts import obligations
from services.alerts.commands import (
    actions,
    communication,
    handovers,
    incidents,
    levels,
    maintenance,
    oncall,
    publication,
    reference,
    reports,
    stimuli,
)
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import responses
from services.runtime.decider.command_checks import is_program
from services.runtime.decider.protocol import CommandResult, RefusedCommand

ANSWERING_ROLE: Final = "on_call"
"""Role of an answer by link or reply, without an account."""
_CELL_ROLES = frozenset({"admin", "coordinator", "cell", "director", "elected"})
_FIELD_ROLES = _CELL_ROLES | {"site_manager", "technician", "liaison"}
_ORGANISER_ROLES = frozenset({"admin", "coordinator"})
_REFERENCE_ROLES = frozenset({"admin", "coordinator", "director"})


class _Rule(NamedTuple):
    """Handler of a command, and the roles that may give it."""

    apply: Callable[[AlertsDecision, Any], CommandResult]
    roles: frozenset[str]
    is_work: bool = True
    """False for acknowledging, reading and the administration of data: not work on a crisis."""


def apply_command(draft: AlertsDecision, command_id: str, command: Command) -> bool:
    """Apply a command and record the result; return False for an unknown command."""
    rule = _RULES.get(type(command))
    if rule is None:
        return False
    try:
        _check_right(draft, command, rule.roles)
        result = rule.apply(draft, command)
    except RefusedCommand as refusal:
        draft.emit(refusal.to_fact(command_id, command))
        return True
    if rule.is_work:
        _note_activity(draft, command)
    draft.emit(CommandApplied(command_id=command_id, command=type(command).__name__, result=result))
    return True


def _note_activity(draft: AlertsDecision, command: Command) -> None:
    """Record that somebody works on an incident, so that its answered escalation does not go stale.

    Any decision of a person counts, except an acknowledgement and the administration of data. Rule
    D33, answers.
    """
    if is_program(command.author):
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


def _check_right(draft: AlertsDecision, command: Command, roles: frozenset[str]) -> None:
    """Refuse a command (403) unless the role of its author may give it.

    The role is that of an account, or a role of the organisation that a cell or a pilot holds.
    Programs act as `system:<name>`.
    """
    if command.role in roles or (command.role == "system" and is_program(command.author)):
        return
    policy = draft.territory.policy
    organisation = (
        policy is not None and command.role in policy.roles and command.role != "observateur"
    )
    if not organisation or type(command) in (PublishReference, o.NoteReachability):
        raise RefusedCommand(403, "role_not_allowed", role=command.role)


_RULES: Final[dict[type[Command], _Rule]] = {
    c.AcknowledgeIncident: _Rule(levels.acknowledge, _FIELD_ROLES, is_work=False),
    c.EscalateIncident: _Rule(levels.escalate, _FIELD_ROLES),
    c.ReapplyPolicy: _Rule(levels.reapply_policy, _CELL_ROLES),
    c.ResolveIncident: _Rule(incidents.resolve, _CELL_ROLES),
    c.ReopenIncident: _Rule(incidents.reopen, _CELL_ROLES),
    c.MergeIncidents: _Rule(incidents.merge, _CELL_ROLES),
    c.SplitIncident: _Rule(incidents.split, _CELL_ROLES),
    c.AddNote: _Rule(reports.add_note, _FIELD_ROLES | {"observer"}),
    c.ConfirmReport: _Rule(reports.confirm_report, _FIELD_ROLES),
    c.DenyReport: _Rule(reports.deny_report, _FIELD_ROLES),
    c.LinkReport: _Rule(reports.link_report, _FIELD_ROLES),
    c.MarkReportsRead: _Rule(reports.mark_read, _CELL_ROLES, is_work=False),
    c.PreviewConfirmation: _Rule(reports.preview_confirmation, _FIELD_ROLES, is_work=False),
    c.InstructSite: _Rule(actions.instruct_site, _CELL_ROLES),
    c.SetLevel: _Rule(levels.set_level, _CELL_ROLES),
    c.TakeTask: _Rule(reports.take_task, _FIELD_ROLES),
    c.CompleteTask: _Rule(reports.complete_task, _FIELD_ROLES),
    a.RequestAction: _Rule(actions.request_action, _CELL_ROLES),
    a.AcceptAction: _Rule(actions.accept_action, _FIELD_ROLES),
    a.DeclineAction: _Rule(actions.decline_action, _FIELD_ROLES),
    a.CompleteAction: _Rule(actions.complete_action, _FIELD_ROLES),
    a.CancelAction: _Rule(actions.cancel_action, _CELL_ROLES),
    m.PlanMaintenance: _Rule(maintenance.plan_window, _CELL_ROLES | {maintenance.SOURCE_ROLE}),
    m.ChangeMaintenance: _Rule(maintenance.change_window, _CELL_ROLES | {maintenance.SOURCE_ROLE}),
    m.EndMaintenance: _Rule(maintenance.end_window, _CELL_ROLES | {maintenance.SOURCE_ROLE}),
    s.DraftStatement: _Rule(communication.draft_statement, _CELL_ROLES),
    s.ReviseStatement: _Rule(communication.revise_statement, _CELL_ROLES),
    s.ReaddressStatement: _Rule(communication.readdress_statement, _CELL_ROLES),
    s.SubmitStatement: _Rule(communication.submit_statement, _CELL_ROLES),
    s.ValidateStatement: _Rule(communication.validate_statement, _CELL_ROLES),
    s.RefuseStatement: _Rule(communication.refuse_statement, _CELL_ROLES),
    s.PublishStatement: _Rule(communication.publish_statement, _CELL_ROLES),
    s.RetractStatement: _Rule(communication.retract_statement, _CELL_ROLES),
    s.ReceiveQuestion: _Rule(communication.receive_question, _CELL_ROLES | {"liaison"}),
    s.AnswerQuestion: _Rule(communication.answer_question, _CELL_ROLES),
    p.PublishPage: _Rule(publication.publish_page, _CELL_ROLES),
    p.RetractPage: _Rule(publication.retract_page, _CELL_ROLES),
    h.DraftHandover: _Rule(handovers.draft_handover, _CELL_ROLES),
    h.ReviseHandover: _Rule(handovers.revise_handover, _CELL_ROLES),
    h.SignHandover: _Rule(handovers.sign_handover, _CELL_ROLES),
    h.AcceptHandover: _Rule(handovers.accept_handover, _CELL_ROLES),
    h.WithdrawHandover: _Rule(handovers.withdraw_handover, _CELL_ROLES),
    b.StartObligation: _Rule(obligations.start_obligation, _CELL_ROLES),
    b.FulfilObligation: _Rule(obligations.fulfil_obligation, _CELL_ROLES),
    b.DismissObligation: _Rule(obligations.dismiss_obligation, _CELL_ROLES),
    e.PlanStimulus: _Rule(stimuli.plan_stimulus, _ORGANISER_ROLES, is_work=False),
    e.SkipStimulus: _Rule(stimuli.skip_stimulus, _ORGANISER_ROLES, is_work=False),
    e.RestoreStimulus: _Rule(stimuli.restore_stimulus, _ORGANISER_ROLES, is_work=False),
    e.NoteStimulus: _Rule(stimuli.note_stimulus, _ORGANISER_ROLES | {"observer"}, is_work=False),
    o.OverrideDuty: _Rule(oncall.override_shift, _CELL_ROLES | {"technician"}, is_work=False),
    o.SwapDuties: _Rule(oncall.swap_shifts, _CELL_ROLES | {"technician"}, is_work=False),
    o.WithdrawDuty: _Rule(oncall.withdraw_override, _CELL_ROLES, is_work=False),
    o.DrillLadders: _Rule(oncall.run_drill, _CELL_ROLES, is_work=False),
    o.ImportDuties: _Rule(oncall.import_calendar, _CELL_ROLES, is_work=False),
    o.NoteReachability: _Rule(oncall.note_reachability, _ORGANISER_ROLES, is_work=False),
    t.StateAttendance: _Rule(
        oncall.state_attendance, _FIELD_ROLES | {ANSWERING_ROLE}, is_work=False
    ),
    PublishReference: _Rule(reference.publish_section, _ORGANISER_ROLES, is_work=False),
    r.DraftReference: _Rule(reference.draft_section, _REFERENCE_ROLES, is_work=False),
    r.ProposeReference: _Rule(reference.propose_change, _REFERENCE_ROLES, is_work=False),
    r.ApproveReference: _Rule(reference.approve_change, _REFERENCE_ROLES, is_work=False),
    r.DeclineReference: _Rule(reference.decline_change, _REFERENCE_ROLES, is_work=False),
    r.WithdrawReference: _Rule(reference.withdraw_change, _REFERENCE_ROLES, is_work=False),
}

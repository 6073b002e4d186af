"""Apply the decisions of people that alerts owns, or refuse them with a status, a code and values.

The version of an incident (`expected`) counts decisions, not reports: status 412 means that another
decision came first. Status 403 means that the role of the account has no right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schemas import commands as c
from schemas import maintenance as m
from schemas import oncall as o
from schemas import reference_changes as r
from schemas.base import Command
from schemas.reference import PublishReference
from schemas.runtime import CommandApplied, CommandRefused
from services.alerts.commands import (
    escalation,
    incidents,
    instructions,
    level,
    maintenance,
    oncall,
    reading,
    reference,
    reports,
)
from services.alerts.commands.refusal import Refused, Result
from services.alerts.decision import Draft
from services.alerts.escalation import responses

__all__ = ["obey"]

_CELL = frozenset({"admin", "coordinator", "cell", "director", "elected"})
_FIELD = _CELL | {"site_manager", "technician", "liaison"}
_VERSIONS = frozenset({"admin", "coordinator", "director"})
_RIGHTS: Final[dict[type[Command], frozenset[str]]] = {
    c.AcknowledgeIncident: _FIELD,
    c.EscalateIncident: _FIELD,
    c.ReapplyPolicy: _CELL,
    c.ResolveIncident: _CELL,
    c.ReopenIncident: _CELL,
    c.MergeIncidents: _CELL,
    c.SplitIncident: _CELL,
    c.AddNote: _FIELD | {"observer"},
    c.ConfirmReport: _FIELD,
    c.DenyReport: _FIELD,
    c.LinkReport: _FIELD,
    c.MarkReportsRead: _CELL,
    c.PreviewConfirmation: _FIELD,
    c.InstructSite: _CELL,
    c.SetLevel: _CELL,
    c.TakeTask: _FIELD,
    c.CompleteTask: _FIELD,
    m.PlanMaintenance: _CELL | {maintenance.MACHINE},
    m.ChangeMaintenance: _CELL | {maintenance.MACHINE},
    m.EndMaintenance: _CELL | {maintenance.MACHINE},
    o.OverrideDuty: _CELL | {"technician"},
    o.SwapDuties: _CELL | {"technician"},
    o.WithdrawDuty: _CELL,
    o.DrillLadders: _CELL,
    o.ImportDuties: _CELL,
    o.NoteReachability: frozenset({"admin", "coordinator"}),
    PublishReference: frozenset({"admin", "coordinator"}),
    r.DraftReference: _VERSIONS,
    r.ProposeReference: _VERSIONS,
    r.ApproveReference: _VERSIONS,
    r.DeclineReference: _VERSIONS,
    r.WithdrawReference: _VERSIONS,
}


def obey(draft: Draft, command_id: str, command: Command) -> bool:
    """Apply a command and record the result; return False for an unknown command."""
    apply = _APPLY.get(type(command))
    if apply is None:
        return False
    try:
        _check_right(draft, command)
        result = apply(draft, command)
    except Refused as no:
        draft.emit(
            CommandRefused.model_validate(
                {
                    "command_id": command_id,
                    "command": type(command).__name__,
                    "status": no.status,
                    "code": no.code,
                    "values": no.values,
                }
            )
        )
        return True
    _note_deed(draft, command)
    draft.emit(CommandApplied(command_id=command_id, command=type(command).__name__, result=result))
    return True


def _note_deed(draft: Draft, command: Command) -> None:
    """Record that somebody works on an incident, so that its answered escalation does not go stale.

    Any decision of a person counts, except an acknowledgement and the administration of data. Rule
    D33, answers.
    """
    if (
        isinstance(command, c.AcknowledgeIncident)
        or type(command) in _NO_DEED
        or command.author.startswith("system:")
    ):
        return
    subject = getattr(command, "incident", None)
    if (report := getattr(command, "report", None)) is not None:
        subject = draft.incident_of(report)
    if (task := draft.state.tasks.get(getattr(command, "task", ""))) is not None:
        subject = task.incident
    responses.tended(draft, draft.standing(subject))


def _check_right(draft: Draft, command: Command) -> None:
    """Refuse a command (403) unless the role of its author may give it.

    The role is that of an account, or a role of the organisation that a cell or a pilot holds.
    Programs act as `system:<name>`.
    """
    allowed = _RIGHTS[type(command)]
    if command.role in allowed or (
        command.role == "system" and command.author.startswith("system:")
    ):
        return
    policy = draft.territory.policy
    organisation = (
        policy is not None and command.role in policy.roles and command.role != "observateur"
    )
    if not organisation or type(command) in (PublishReference, o.NoteReachability):
        raise Refused(403, "role_not_allowed", role=command.role)


_NO_DEED: Final = frozenset(
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
    }
)
"""Administration of data, and reading: not work on a crisis."""
_APPLY: Final[dict[type[Command], Callable[[Draft, Any], Result]]] = {
    c.AcknowledgeIncident: escalation.acknowledge,
    c.EscalateIncident: escalation.escalate,
    c.ReapplyPolicy: escalation.reapply,
    c.ResolveIncident: incidents.resolve,
    c.ReopenIncident: incidents.reopen,
    c.MergeIncidents: incidents.merge,
    c.SplitIncident: incidents.split,
    c.AddNote: reports.note,
    c.ConfirmReport: reports.confirm,
    c.DenyReport: reports.deny,
    c.LinkReport: reports.link,
    c.MarkReportsRead: reading.mark_read,
    c.PreviewConfirmation: reading.preview_confirmation,
    c.InstructSite: instructions.instruct_site,
    c.SetLevel: level.set_level,
    c.TakeTask: reports.take_task,
    c.CompleteTask: reports.complete_task,
    m.PlanMaintenance: maintenance.plan,
    m.ChangeMaintenance: maintenance.change,
    m.EndMaintenance: maintenance.end,
    o.OverrideDuty: oncall.override,
    o.SwapDuties: oncall.swap,
    o.WithdrawDuty: oncall.withdraw,
    o.DrillLadders: oncall.drill,
    o.ImportDuties: oncall.take_calendar,
    o.NoteReachability: oncall.note_reachability,
    PublishReference: reference.publish,
    r.DraftReference: reference.sketch,
    r.ProposeReference: reference.propose,
    r.ApproveReference: reference.approve,
    r.DeclineReference: reference.decline,
    r.WithdrawReference: reference.withdraw,
}

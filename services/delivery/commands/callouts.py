"""Decisions about call-outs: draft, start and stop."""

from __future__ import annotations

from schemas.callouts import (
    CallOutChanged,
    CallOutListed,
    CallOutRow,
    DraftCallOut,
    StartCallOut,
    StopCallOut,
)
from schemas.ranks import HOLD_ROLE, may_count, may_decide
from services.delivery.callouts.callouts import CallOutProgress, compute_progress, estimate_channels
from services.delivery.decision import DeliveryDecision
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def draft_callout(draft: DeliveryDecision, command: DraftCallOut) -> CommandResult:
    """List people on a draft; the estimates come with the last chunk."""
    state = draft.state
    callout = state.callouts.get(command.callout)
    _require_right(command.role, command.kind if callout is None else callout.row.kind)
    if callout is not None and callout.row.state != "draft":
        raise RefusedCommand(409, "callout_started")
    row = _build_row(command, draft.now) if callout is None else callout.row
    draft_people = {one.person for one in callout.people} if callout is not None else set()
    new = tuple(
        {one.person: one for one in command.people if one.person not in draft_people}.values()
    )
    everybody = (*(callout.people if callout is not None else ()), *new)
    if command.last or callout is None:
        estimates = estimate_channels(
            everybody, row.channels, state.rules, state.pacing, command.sms_parts
        )
        reachable_count = sum(e.people for e in estimates)
        row = row.model_copy(
            update={
                "people": len(everybody),
                "unreachable": len(everybody) - reachable_count,
                "estimates": estimates,
                "cost_cents": sum(e.cost_cents for e in estimates),
            }
        )
    draft.emit(CallOutChanged(row=row), CallOutListed(callout=row.id, people=new))
    return {"callout": row.id, "people": len(everybody)}


def _build_row(command: DraftCallOut, now: int) -> CallOutRow:
    return CallOutRow(
        id=command.callout,
        kind=command.kind,
        state="draft",
        text_id=command.text_id,
        decision=command.decision,
        corrects=command.corrects,
        incident=command.incident,
        sites=command.sites,
        level=command.level,
        danger=command.danger,
        answer_expected=command.answer_expected,
        channels=command.channels,
        by=command.author,
        drafted_at=now,
    )


def start_callout(draft: DeliveryDecision, command: StartCallOut) -> CommandResult:
    """Start sending."""
    callout = _find_callout(draft, command)
    if callout.row.state != "draft":
        raise RefusedCommand(409, "callout_started")
    changes = {"state": "running", "started_at": draft.now, "by": command.author}
    draft.emit(CallOutChanged(row=callout.row.model_copy(update=changes), change="started"))
    return {"callout": callout.row.id}


def stop_callout(draft: DeliveryDecision, command: StopCallOut) -> CommandResult:
    """Stop sending to people that have no message yet."""
    callout = _find_callout(draft, command)
    if callout.row.state not in ("draft", "running"):
        raise RefusedCommand(409, "callout_over")
    progress = compute_progress(callout, draft.state.rules, draft.state.pacing, draft.now)
    row = progress.model_copy(update={"state": "stopped", "ended_at": draft.now, "eta_at": None})
    draft.emit(CallOutChanged(row=row, change="stopped"))
    return {"callout": row.id, "handed": row.handed}


def _find_callout(draft: DeliveryDecision, command: StartCallOut | StopCallOut) -> CallOutProgress:
    callout = draft.state.callouts.get(command.callout)
    _require_right(command.role, "callout" if callout is None else callout.row.kind)
    if callout is None:
        raise RefusedCommand(404, "callout_not_found")
    return callout


def _require_right(role: str, kind: str) -> None:
    """Refuse a role that may not call many people; a site manager may count the site (D79)."""
    if not (may_count(role) if kind == "headcount" else may_decide(role, HOLD_ROLE)):
        raise RefusedCommand(403, "role_not_allowed")

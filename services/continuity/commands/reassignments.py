"""Decisions about reassignments: compute, approve, decline; accept, arrive, release.

Rules D49, D58. See `docs/reference/reassignment-model.md`.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from schemas import reassignment as m
from schemas.base import Instant
from schemas.ranks import may_act
from services.continuity.activities.assessment import schedule_settlement, select_arrived_lines
from services.continuity.decision import ContinuityDecision, require_role
from services.continuity.reassignment.orders import (
    find_open_proposal,
    inform_about_refusal,
    request_proposal,
    schedule_orders,
    schedule_recalls,
    schedule_review,
)
from services.continuity.reassignment.recalls import is_held, list_recalled_lines
from services.continuity.reassignment.site_conditions import (
    describe_situation,
    get_lost_seats_pct,
    is_hit,
    is_telework_working,
    is_too_late,
)
from services.continuity.state import (
    TELEWORK,
    ContinuityState,
    find_decided_lines,
    list_proposal_lines,
)
from services.runtime.decider.command_checks import require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

_RULE_CODE: Final = re.compile(r"R\d+")
_PREVIOUS_STATES: Final = {
    m.LineState.ACCEPTED: (m.LineState.DISPATCHED,),
    m.LineState.ARRIVED: (m.LineState.DISPATCHED, m.LineState.ACCEPTED),
    m.LineState.RELEASED: (m.LineState.DISPATCHED, m.LineState.ACCEPTED, m.LineState.ARRIVED),
    m.LineState.REFUSED: (m.LineState.DISPATCHED, m.LineState.ACCEPTED),
}
_TIME_FIELDS: Final = {
    m.LineState.ACCEPTED: "accepted_at",
    m.LineState.ARRIVED: "arrived_at",
    m.LineState.RELEASED: "ended_at",
    m.LineState.REFUSED: "ended_at",
}
VITAL: Final = 1
"""Criticality of work that people depend on for life or health."""
APPROVER_CHECKS: Final = ("R6", "R7", "R8")
"""Rules that no table can check, so the approver answers for them.

Access, on-call windows, volunteers first.
"""


def compute_reassignments(
    draft: ContinuityDecision, command: m.ComputeReassignments
) -> CommandResult:
    """Request a proposal now, by another preference or with a declaration about travel.

    It is refused while nothing is hit.
    """
    require_role(command, draft.bia.policy.reassignment.decides)
    travel = draft.state.travel
    declaration = m.TravelDeclared(
        transit=travel.transit if command.transit is None else command.transit,
        telework=travel.telework if command.telework is None else command.telework,
    )
    if declaration != travel:
        draft.emit(declaration)
    situation = describe_situation(draft.state, draft.now)
    if not is_hit(situation):
        if confined_sites := [
            condition.site for condition in situation.sites if condition.confinement is not None
        ]:
            raise RefusedCommand(409, "confined", site=confined_sites[0])
        raise RefusedCommand(409, "nothing_hit")
    request = request_proposal(draft, situation, command.preference, by=command.author)
    return {"proposal": request.request, "number": request.number}


def approve_reassignments(
    draft: ContinuityDecision, command: m.ApproveReassignments
) -> CommandResult:
    """Approve lines and dispatch their orders; by default all undecided lines that hold."""
    return _decide_lines(draft, command, "approve")


def decline_reassignments(
    draft: ContinuityDecision, command: m.DeclineReassignments
) -> CommandResult:
    """Decline lines; it needs a reason. The next proposal may suggest them again."""
    return _decide_lines(draft, command, "decline")


def _decide_lines(
    draft: ContinuityDecision, command: m.ApproveReassignments | m.DeclineReassignments, verb: str
) -> CommandResult:
    row = _find_current_proposal(draft, command)
    policy = draft.bia.policy.reassignment
    require_role(command, policy.decides)
    if verb == "decline":
        require_reason(command)
    chosen_lines = _choose_lines(draft, row, command.lines, sound=verb == "approve")
    agents = sum(line.count for line in chosen_lines)
    conditions = {
        rule
        for line in chosen_lines
        for reason in line.why
        if _RULE_CODE.fullmatch(rule := str(reason.values.get("condition", "")))
    }
    decision = m.Decision(
        id=draft.derive("decision", 0),
        verb="approve" if verb == "approve" else "decline",
        lines=tuple(line.id for line in chosen_lines),
        agents=agents,
        by=command.author,
        role=command.role,
        at=draft.now,
        reason=command.reason,
        rules=("D49", *sorted(conditions | set(APPROVER_CHECKS))),
    )
    recalled_lines = (
        list_recalled_lines(draft.state.moved.values(), chosen_lines) if verb == "approve" else []
    )
    decided_row = row.model_copy(
        update={"decisions": (*row.decisions, decision), "version": row.version + 1}
    )
    draft.emit(
        m.ProposalChanged(row=decided_row, change="approved" if verb == "approve" else "declined")
    )
    if verb == "approve":
        schedule_recalls(draft, decision.id, {row.site for row in recalled_lines})
        schedule_orders(
            draft,
            decision.id,
            {line.site for line in chosen_lines}
            | {line.place for line in chosen_lines if line.place in draft.bia.sites},
        )
        if (
            draft.state.asked is not None and not draft.state.answered
        ):  # the planner is at work and does not know of this decision
            request = draft.state.asked
            request_proposal(draft, request.situation, request.preference, by=request.asked_by)
    return {
        "proposal": row.id,
        "decision": decision.id,
        "lines": len(chosen_lines),
        "agents": agents,
        "recalled": sum(one.count for one in recalled_lines),
        "version": decided_row.version,
    }


def _find_current_proposal(
    draft: ContinuityDecision, command: m.ApproveReassignments | m.DeclineReassignments
) -> m.ProposalRow:
    """Return the proposal in force.

    Raises RefusedCommand if the author read an older one: 412 with the changes since.
    """
    row, current = draft.state.proposals.get(command.proposal), find_open_proposal(draft.state)
    if row is None and current is None:
        raise RefusedCommand(404, "proposal_not_found", proposal=command.proposal)
    if row is None or row.state is not m.ProposalState.OPEN:
        if current is None:
            raise RefusedCommand(412, "proposal_over", proposal=command.proposal)
        raise RefusedCommand(
            412,
            "proposal_superseded",
            proposal=command.proposal,
            current=current.id,
            number=current.number,
            **_count_changes(draft.state, command.proposal, current.id),
        )
    if command.expected is not None and command.expected != row.version:
        since = row.decisions[command.expected :]
        raise RefusedCommand(
            412,
            "version_conflict",
            expected=command.expected,
            version=row.version,
            by=since[-1].by if since else None,
            lines=sum(len(d.lines) for d in since),
            agents=sum(d.agents for d in since),
        )
    return row


def _count_changes(state: ContinuityState, old: str, new: str) -> dict[str, int]:
    """Count the lines that differ between two proposals."""
    before = {_get_line_key(line): line.count for line in list_proposal_lines(state, old)}
    after = {_get_line_key(line): line.count for line in list_proposal_lines(state, new)}
    both = before.keys() & after.keys()
    return {
        "gone": len(before) - len(both),
        "new": len(after) - len(both),
        "changed": sum(before[key] != after[key] for key in both),
    }


def _get_line_key(line: m.LineRow) -> tuple[str, ...]:
    return (
        line.site,
        line.activity,
        line.metier,
        line.supply,
        line.need_site,
        line.need_activity,
        line.need_metier,
        line.place,
    )


class _SiteRestrictions(NamedTuple):
    """Sites that restrict an approval now.

    `barred_sites` may host nobody; nobody at all is sent to `ordered_sites`; `without_seats` lack
    seats; `hit` sites lack seats or staff; agents of `confined_sites` stay there.
    """

    barred_sites: frozenset[str]
    ordered_sites: frozenset[str]
    without_seats: frozenset[str]
    hit: frozenset[str]
    confined_sites: frozenset[str]
    situation: m.Situation

    @classmethod
    def of(cls, state: ContinuityState, now: Instant) -> Self:
        """Group the sites by their present restrictions."""
        situation = describe_situation(state, now)
        sites = situation.sites
        return cls(
            frozenset(c.site for c in sites if not c.host_ok),
            frozenset(c.site for c in sites if c.ordered),
            frozenset(c.site for c in sites if c.seat_pct < 100),
            frozenset(c.site for c in sites if c.seat_pct < 100 or c.staff_pct < 100),
            frozenset(c.site for c in sites if c.confinement is not None),
            situation,
        )


def _find_obstacle(
    draft: ContinuityDecision, line: m.LineRow, restrictions: _SiteRestrictions
) -> RefusedCommand | None:
    """Return the refusal for a line that no longer holds; None: it holds.

    * `place_lost`: the place may host nobody, an order for its area holds (D102), or newer reference
      data dropped a site.
    * `confined`: people shelter there or are being counted (D78).
    * `site_back`: the agents sit at their own desks again, or the needy site is no longer hit.
    * `back_soon`: the site is announced back before the agents would be at work (D80).
    * `agents_elsewhere`: another approved line still needs the agents, so no approval recalls them.
    * `telework_off`: telework does not work.
    * `move_refused`: a site refused this move after the proposal was computed (D101).
    """
    sites = (
        line.site,
        line.need_site or line.site,
        line.site if line.place == TELEWORK else line.place,
    )
    if (
        dropped_site := next((site for site in sites if site not in draft.bia.sites), None)
    ) is not None:
        return RefusedCommand(412, "place_lost", line=line.id, site=dropped_site)
    if (
        shut := next((site for site in sites if site in restrictions.confined_sites), None)
    ) is not None:
        return RefusedCommand(409, "confined", line=line.id, site=shut)
    if line.supply == "displaced" and line.site not in restrictions.without_seats:
        return RefusedCommand(412, "site_back", line=line.id, site=line.site)
    if line.need_site and line.need_site not in restrictions.hit:
        return RefusedCommand(412, "site_back", line=line.id, site=line.need_site)
    recalled_line = next(
        (c for c in restrictions.situation.sites if c.site == (line.need_site or line.site)), None
    )
    if is_too_late(restrictions.situation, recalled_line, line):
        return RefusedCommand(412, "back_soon", line=line.id, site=line.need_site or line.site)
    if any(_is_same_move(move, line) for move in restrictions.situation.refused):
        return RefusedCommand(412, "move_refused", line=line.id, site=line.site)
    if is_held(line, draft.state.moved.values()):
        return RefusedCommand(412, "agents_elsewhere", line=line.id, site=line.site)
    if line.place == TELEWORK:
        works = is_telework_working(draft.state, draft.now)
        return None if works else RefusedCommand(412, "telework_off", line=line.id, site=line.place)
    return (
        None
        if _can_host(draft, line, restrictions)
        else RefusedCommand(412, "place_lost", line=line.id, site=line.place)
    )


def _is_same_move(move: m.RefusedMove, line: m.LineRow) -> bool:
    """Check whether a line makes a move that a site refused. Rule D101."""
    key = (move.site, move.activity, move.metier, move.place)
    return key == (line.site, line.activity, line.metier, line.place)


def _can_host(draft: ContinuityDecision, line: m.LineRow, restrictions: _SiteRestrictions) -> bool:
    """Check whether the place of a line may receive its agents now.

    A host is barred by lost seats, unknown status, lack of water, or desks that a strategy holds.
    The needy site itself is barred only if all its seats are lost.
    """
    if line.place != line.need_site:
        return line.place not in restrictions.barred_sites
    if line.place in restrictions.ordered_sites:
        return False
    return get_lost_seats_pct(draft.state.sites.get(line.place)) < 100


def _choose_lines(
    draft: ContinuityDecision, row: m.ProposalRow, line_ids: Iterable[str] | None, *, sound: bool
) -> list[m.LineRow]:
    """Return the chosen undecided lines, in order; by default all, or with `sound` all that hold.

    With `sound`, each line must hold. Raises RefusedCommand for a line that cannot be decided, or
    if no line is left.
    """
    lines = {line.id: line for line in list_proposal_lines(draft.state, row.id)}
    decided_ids = find_decided_lines(row)
    restrictions = _SiteRestrictions.of(draft.state, draft.now)
    if line_ids is None:
        undecided_lines = [line for line in lines.values() if line.id not in decided_ids]
        chosen_lines = [
            line
            for line in undecided_lines
            if not (sound and _find_obstacle(draft, line, restrictions))
        ] or undecided_lines
    else:
        chosen_ids = set(line_ids)
        if unknown := sorted(chosen_ids - lines.keys()):
            raise RefusedCommand(404, "line_not_found", line=unknown[0])
        if withdrawn_ids := sorted(chosen_ids.intersection(row.withdrawn)):
            raise RefusedCommand(
                409, "confined", line=withdrawn_ids[0], site=lines[withdrawn_ids[0]].site
            )
        if decided_now := sorted(chosen_ids & decided_ids):
            raise RefusedCommand(409, "already", line=decided_now[0])
        chosen_lines = [line for id, line in lines.items() if id in chosen_ids]
    for line in chosen_lines if sound else ():
        if (why := _find_obstacle(draft, line, restrictions)) is not None:
            raise why
    if not chosen_lines:
        raise RefusedCommand(409, "nothing_to_decide", proposal=row.id)
    return chosen_lines


def _move_lines(draft: ContinuityDecision, state: m.LineState, command: m.Step) -> CommandResult:
    """Move lines to a state; lines that are already there stay.

    Raises RefusedCommand if none moves.
    """
    ids = tuple(dict.fromkeys((command.line, *command.lines)))
    if (unknown := next((id for id in ids if id not in draft.state.moved), None)) is not None:
        raise RefusedCommand(404, "line_not_found", line=unknown)
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    rows = [row for id in ids if (row := draft.state.moved[id]).state in _PREVIOUS_STATES[state]]
    if not rows:
        raise RefusedCommand(
            409, "already", line=command.line, state=draft.state.moved[command.line].state.value
        )
    reason = command.reason if state is m.LineState.REFUSED else None
    for row in rows:
        moved_row = row.model_copy(
            update={
                "state": state,
                _TIME_FIELDS[state]: draft.now,
                "by": command.author,
                "reason": reason,
            }
        )
        draft.emit(m.ReassignmentChanged(row=moved_row, change=state.value))
    schedule_settlement(draft, rows if state is m.LineState.ARRIVED else select_arrived_lines(rows))
    if state is m.LineState.REFUSED:
        inform_about_refusal(draft, rows)
    return {
        "line": rows[0].id,
        "lines": len(rows),
        "state": state.value,
        "agents": sum(row.count for row in rows),
    }


def accept_reassignment(draft: ContinuityDecision, command: m.AcceptReassignment) -> CommandResult:
    """Record that the site accepted the order."""
    return _move_lines(draft, m.LineState.ACCEPTED, command)


def record_arrival(draft: ContinuityDecision, command: m.ArriveReassignment) -> CommandResult:
    """Record that the agents are at work."""
    return _move_lines(draft, m.LineState.ARRIVED, command)


def refuse_reassignment(draft: ContinuityDecision, command: m.RefuseReassignment) -> CommandResult:
    """Record that a site cannot do an order; the planner proposes something else. Rule D101.

    A reason is required. Agents that have arrived are released instead. Vital work does not wait
    for the usual pause between two proposals.
    """
    require_reason(command)
    ids = (command.line, *command.lines)
    is_vital = any(
        row.criticality == VITAL for id in ids if (row := draft.state.moved.get(id)) is not None
    )
    result = _move_lines(draft, m.LineState.REFUSED, command)
    situation = describe_situation(draft.state, draft.now)
    if is_vital and is_hit(situation):
        request_proposal(draft, situation)
    else:
        schedule_review(draft)
    return result


def release_reassignment(
    draft: ContinuityDecision, command: m.ReleaseReassignment
) -> CommandResult:
    """Release the agents; after the last line, review the proposal."""
    result = _move_lines(draft, m.LineState.RELEASED, command)
    if not draft.state.moved:
        schedule_review(draft)
    return result

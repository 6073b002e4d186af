"""Reassignment in a realm: requests to the planner, its answers, and orders for approved lines.

The planner solves outside the decider, and its proposal is a recorded fact. A newer proposal
replaces the undecided part of the older one. Approved lines stay until they are released, or void
because their place is lost. Each line is dispatched once, with the order of the site that it
leaves. An order, a recall or a loss of many lines is recorded in parts, and its message leaves with
the first one and counts them all.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.reassignment import (
    KeptRow,
    LinesRow,
    LineState,
    OrderRow,
    Preference,
    ProposalChanged,
    ProposalComputed,
    ProposalLinesRecorded,
    ProposalRequested,
    ProposalRow,
    ProposalState,
    ReassignmentChanged,
    ReassignmentOrdered,
    ReassignmentRow,
    Situation,
)
from services.continuity.activities.assessment import schedule_settlement, select_arrived_lines
from services.continuity.deadlines import (
    DroppedLinesDue,
    OrderDue,
    RecallDue,
    RecallNoticeDue,
    ReviewDue,
    UncountedDue,
)
from services.continuity.decision import ContinuityDecision
from services.continuity.reassignment.recalls import list_recalled_lines
from services.continuity.reassignment.site_conditions import (
    compute_line_times,
    describe_situation,
    find_confined_sites,
    find_main_incident,
    find_ordered_sites,
    get_estimation_start,
    get_lost_seats_pct,
    is_hit,
)
from services.continuity.state import (
    TELEWORK,
    ContinuityState,
    find_decided_lines,
    list_journeys,
    list_proposal_lines,
)

CRISIS_AGE_FRACTION: Final = 4
"""Requests are at least 1/AGE of the age of the crisis apart."""
LINES_PER_STEP: Final = 100
"""Lines of one order, or void lines, in one step; the others follow. Bounds a Transaction."""
HOSTS_NAMED: Final = 3
"""Sites that an order names; more are counted."""


def schedule_review(draft: ContinuityDecision) -> None:
    """Schedule a review of the sites, after the burst of reports and not too often.

    Lines at sheltering sites are withdrawn at once.
    """
    state = draft.state
    withdraw_confined(draft)
    _await_counts(draft)
    if str(ReviewDue()) in state.due:
        return
    situation = describe_situation(state, draft.now)
    if not _needs_request(state, situation):
        return
    policy = draft.bia.policy.reassignment
    every_min = min(
        max(situation.elapsed_h * 60 / CRISIS_AGE_FRACTION, policy.every_min),
        max(policy.every_min_later, policy.every_min),
    )
    earliest = (
        state.asked_at + round(every_min * MINUTE_MS) if state.asked is not None else draft.now
    )
    draft.arm(ReviewDue(), max(draft.now + policy.settle_min * MINUTE_MS, earliest))


def _await_counts(draft: ContinuityDecision) -> None:
    """Look again when a site that nobody counts will be taken as it was planned. Rule D78."""
    times = (
        get_estimation_start(draft.state, site)
        for site in draft.state.sites.values()
        if site.uncounted_since is not None and site.site in draft.bia.sites
    )
    draft.arm(
        UncountedDue(), min((at for at in times if at is not None and at > draft.now), default=None)
    )


def withdraw_confined(draft: ContinuityDecision) -> None:
    """Withdraw undecided lines from or to a site that shelters or counts its people. Rule D78.

    Lines into the area of an order go, too (D102). This happens at once.
    """
    row = find_open_proposal(draft.state)
    confined_sites = {} if row is None else find_confined_sites(draft.state, draft.now)
    ordered_sites = find_ordered_sites(draft.state)
    if row is None or not (confined_sites or ordered_sites):
        return
    decided_ids = find_decided_lines(row)
    lines = [
        line
        for line in list_proposal_lines(draft.state, row.id)
        if line.id not in decided_ids
        and (
            not confined_sites.keys().isdisjoint((line.site, line.place, line.need_site))
            or (line.place in ordered_sites and line.place != line.site)
        )
    ]
    if lines:
        changes = {
            "withdrawn": (*row.withdrawn, *(line.id for line in lines)),
            "withdrawn_agents": row.withdrawn_agents + sum(line.count for line in lines),
            "version": row.version + 1,
        }
        draft.emit(ProposalChanged(row=row.model_copy(update=changes), change="withdrawn"))


def on_review_due(draft: ContinuityDecision) -> None:
    """Handle the review: ask the planner, or let a proposal lapse if nothing is hit any more."""
    situation = describe_situation(draft.state, draft.now)
    if not _needs_request(draft.state, situation):
        return
    if is_hit(situation) or draft.state.moved:
        request_proposal(draft, situation)
        return
    current = find_open_proposal(draft.state)
    if current is not None:
        draft.emit(
            ProposalChanged(
                row=current.model_copy(update={"state": ProposalState.LAPSED}), change="lapsed"
            )
        )


def _needs_request(state: ContinuityState, situation: Situation) -> bool:
    """Check whether the planner has not seen this situation, or a proposal outlived its cause."""
    request, current = state.asked, find_open_proposal(state)
    if not is_hit(situation):
        forgotten = (
            bool(state.moved)
            and request is not None
            and (is_hit(request.situation) or _is_end_unknown(state, request, situation))
        )
        return forgotten or (current is not None and not state.moved)
    if request is None or request.reference != state.reference:
        return True
    return not _is_same_situation(request.situation, situation) or (
        state.answered
        and current is None
        and state.proposals.get(request.request, _NO_PROPOSAL).state is ProposalState.LAPSED
    )


def _is_same_situation(one: Situation, other: Situation) -> bool:
    compared_fields = ("sites", "transit", "telework", "refused")
    return all(getattr(one, name) == getattr(other, name) for name in compared_fields)


def _is_end_unknown(
    state: ContinuityState, request: ProposalRequested, situation: Situation
) -> bool:
    """Check whether agents are still needed elsewhere, for trouble that the planner saw last.

    A site that shelters or counts its people hides its trouble, which may end meanwhile.
    """
    is_needed = any(row.needed for row in state.moved.values())
    return is_needed and not _is_same_situation(request.situation, situation)


_NO_PROPOSAL: Final = ProposalRow(
    id="",
    number=0,
    state=ProposalState.SUPERSEDED,
    reference="",
    requested_at=0,
    computed_at=0,
    sites_hit=0,
    elapsed_h=0,
    transit=True,
    telework=True,
)


def request_proposal(
    draft: ContinuityDecision,
    situation: Situation,
    preference: Preference = Preference.BEST,
    *,
    by: str | None = None,
) -> ProposalRequested:
    """Record a request; it replaces an unanswered one."""
    state, before = draft.state, draft.state.asked
    over_at = None if before is None else before.over_at
    if before is not None and state.answered and not is_hit(before.situation):
        over_at = draft.now
    request_fact = ProposalRequested(
        request=draft.derive("proposal", state.asked.number if state.asked else 0),
        number=state.asked.number + 1 if state.asked else 1,
        reference=state.reference,
        situation=situation,
        preference=preference,
        fresh=by is not None,
        incident=find_main_incident(state, situation),
        asked_by=by,
        over_at=over_at,
    )
    draft.emit(request_fact)
    return request_fact


def find_open_proposal(state: ContinuityState) -> ProposalRow | None:
    """Return the proposal that is open for decisions."""
    return next((row for row in state.proposals.values() if row.state is ProposalState.OPEN), None)


def apply_proposal_part(draft: ContinuityDecision, part: ProposalComputed) -> None:
    """Apply one part of the planner's answer; an answer to an older request changes nothing."""
    request = draft.state.asked
    if request is None or part.request != request.request or draft.state.answered:
        return
    if part.lines:
        draft.emit(
            ProposalLinesRecorded(
                row=LinesRow(
                    id=f"{part.request}/{part.part}",
                    proposal=part.request,
                    part=part.part,
                    lines=part.lines,
                )
            )
        )
    _update_kept_lines(draft, request, part.kept)
    if part.row is None:
        return
    if is_hit(request.situation):
        _inform_about_new_need(draft, request)
    else:
        _inform_about_end(draft, part.kept)
    before = find_open_proposal(draft.state)
    row = part.row.model_copy(
        update={
            "number": request.number,
            "computed_at": draft.now,
            "requested_at": draft.state.asked_at,
            "incident": request.incident,
        }
        | {
            "estimated": tuple(
                condition.site for condition in request.situation.sites if condition.estimated
            )
        }
    )
    if row.state is ProposalState.FAILED:
        draft.emit(ProposalChanged(row=row, change="failed"))
        return
    if before is not None:
        superseded_row = before.model_copy(
            update={"state": ProposalState.SUPERSEDED, "superseded_by": row.id}
        )
        draft.emit(ProposalChanged(row=superseded_row, change="superseded"))
    draft.emit(ProposalChanged(row=row, change="computed"))
    if row.lines and (before is None or before.decisions or row.demand > before.demand):
        demand_proposal_attention(draft, row)


def demand_proposal_attention(draft: ContinuityDecision, row: ProposalRow) -> None:
    """Tell the roles that decide of a proposal."""
    draft.emit(
        AttentionRequested(
            code="reassignment_proposed",
            roles=draft.bia.policy.reassignment.told,
            incident=row.incident,
            agents=row.agents,
            estimated=True if row.estimated else None,
        )
    )


def _update_kept_lines(
    draft: ContinuityDecision, request: ProposalRequested, approved_lines: Sequence[KeptRow]
) -> None:
    """Update approved lines with their fate in the new situation.

    A line is ordered again if its managers heard that its agents come back. Rule D81, arrivals.
    """
    lost_rows: list[ReassignmentRow] = []
    for one in approved_lines:
        row = draft.state.moved.get(one.line)
        if row is None:
            continue
        if one.void:
            lost_rows.append(row)
        elif row.needed != one.needed:
            changes: dict[str, object] = {"needed": one.needed}
            if row.needed == 0 and _is_called_back(request, row):
                times = compute_line_times(draft.state, row, draft.now)
                changes |= times._asdict() | {"ordered_again_at": draft.now}
            draft.emit(ReassignmentChanged(row=row.model_copy(update=changes), change="needed"))
    _void_lines(draft, lost_rows, "place_lost")
    _inform_about_loss(draft, lost_rows)


def _is_called_back(request: ProposalRequested, row: ReassignmentRow) -> bool:
    """Tell whether the managers heard that nobody needs the agents of a line since its order."""
    ordered_at = row.ordered_again_at or row.dispatched_at
    return request.over_at is not None and ordered_at is not None and ordered_at < request.over_at


def _inform_about_new_need(draft: ContinuityDecision, request: ProposalRequested) -> None:
    """Give the orders again that this answer renews, once to each site at both ends.

    A stop or its end speaks for a place under an order, and nobody leaves a site under one. Rules
    D78 and D81.
    """
    renewed_rows = [
        row.model_copy(update={"count": row.needed})
        for row in draft.state.moved.values()
        if row.needed and (row.ordered_again_at or 0) >= draft.state.asked_at
    ]
    barred = _find_barred_sites(
        draft.state, {site for row in renewed_rows for site in (row.site, row.place)}
    )
    rows = [row for row in renewed_rows if barred.isdisjoint((row.site, row.place))]
    for site in sorted({site for row in rows for site in (row.site, row.place)} - {TELEWORK}):
        leaving = [row for row in rows if row.site == site]
        coming = [row for row in rows if row.place == site != row.site]
        _inform_about_order(draft, site, leaving, coming, request.incident)


def _inform_about_end(draft: ContinuityDecision, last_part: Sequence[KeptRow]) -> None:
    """Inform the managers of both ends that nobody needs the agents of an ended crisis.

    `last_part` holds lines that this answer updates beside those of its earlier parts.
    """
    fates = {one.line: one for one in last_part}
    rows = [
        row
        for row in draft.state.moved.values()
        if (fate := fates.get(row.id, KeptRow(line=row.id, needed=row.needed))).needed == 0
        and not fate.void
    ]
    if rows:
        _inform_both_ends(draft, "reassignment_over", rows)


_AttentionCode = Literal[
    "reassignment_void",
    "reassignment_over",
    "reassignment_recalled",
    "reassignment_refused",
    "reassignment_stopped",
    "reassignment_resumed",
]


def _inform_manager(
    draft: ContinuityDecision,
    code: _AttentionCode,
    site: str,
    incident: str | None,
    *,
    agents: int | None = None,
    come: int | None = None,
    barred: str | None = None,
    barred_homes: Collection[str] = (),
) -> None:
    """Demand the attention of the manager of a site, with the number of agents.

    Agents do not go back to `barred_homes`: an order stands there, or for their area.
    """
    pole = site_record.pole if (site_record := draft.bia.sites.get(site)) is not None else None
    draft.emit(
        AttentionRequested(
            code=code,
            roles=(SITE_MANAGER_ROLE,),
            pole=pole,
            site=site,
            incident=incident,
            agents=agents,
            come=come,
            barred=barred,
            barred_homes=",".join(sorted(barred_homes)) or None,
        )
    )


def _find_barred_sites(state: ContinuityState, sites: Iterable[str]) -> frozenset[str]:
    """Return the sites among these that are under an order, or in the area of one."""
    ordered_sites = find_ordered_sites(state)
    return frozenset(
        id
        for id in sites
        if id in ordered_sites or ((site := state.sites.get(id)) is not None and site.is_barred)
    )


def inform_about_stopped_places(draft: ContinuityDecision) -> None:
    """Stop agents on their way to a place where an order stands, and say when they may go on.

    After its order a place without seats says nothing: the next proposal voids its lines, unless it
    has its seats back before. Rule D78.
    """
    journeys, stopped = list_journeys(draft.state), draft.state.stopped
    barred_places = _find_barred_sites(draft.state, {row.place for row in journeys})
    started_stops = [
        row for row in journeys if row.place in barred_places and row.id not in stopped
    ]
    ended_stops = [
        row
        for row in journeys
        if row.id in stopped
        and row.place not in barred_places
        and get_lost_seats_pct(draft.state.sites.get(row.place)) == 0
    ]
    _inform_senders(draft, "reassignment_stopped", started_stops)
    _inform_senders(draft, "reassignment_resumed", ended_stops)


def _inform_senders(
    draft: ContinuityDecision, code: _AttentionCode, rows: Iterable[ReassignmentRow]
) -> None:
    """Inform the managers of the sites that these agents leave, once for each place."""
    agents = Counter[tuple[str, str]]()
    for row in rows:
        agents[row.place, row.site] += row.count
    barred_homes = _find_barred_sites(draft.state, (site for _place, site in agents))
    for (place, site), count in sorted(agents.items()):
        _inform_manager(
            draft,
            code,
            site,
            _find_order_incident(draft, place),
            agents=count,
            barred=place,
            barred_homes=barred_homes & {site},
        )


def _find_order_incident(draft: ContinuityDecision, place: str) -> str | None:
    """Return the incident of the newest cause at a site under an order of its own."""
    site = draft.state.sites.get(place)
    if site is None or not site.is_barred:
        return None
    newest = max(site.causes, key=lambda cause: (cause.since, cause.id), default=None)
    return None if newest is None else newest.incident


def _void_lines(
    draft: ContinuityDecision,
    rows: Sequence[ReassignmentRow],
    cause: Literal["place_lost", "site_removed"],
) -> None:
    """Mark lines as void that lost their place."""
    for row in rows:
        ended_row = row.model_copy(
            update={"state": LineState.VOID, "needed": 0, "ended_at": draft.now, "cause": cause}
        )
        draft.emit(ReassignmentChanged(row=ended_row, change="void"))
    schedule_settlement(draft, select_arrived_lines(rows))


def _inform_about_loss(draft: ContinuityDecision, rows: Iterable[ReassignmentRow]) -> None:
    """Inform the managers of the sites that these agents left, after the loss of their place."""
    returning_agents = Counter[tuple[str, str | None]]()
    for row in rows:
        returning_agents[row.site, row.incident] += row.count
    barred_homes = _find_barred_sites(draft.state, (site for site, _incident in returning_agents))
    for (site, incident), agents in returning_agents.items():
        _inform_manager(
            draft,
            "reassignment_void",
            site,
            incident,
            agents=agents,
            barred_homes=barred_homes & {site},
        )


def inform_about_refusal(draft: ContinuityDecision, rows: Sequence[ReassignmentRow]) -> None:
    """Inform the cell that a site refused orders, and the sites at both ends that they are off."""
    incident = rows[0].incident
    draft.emit(
        AttentionRequested(
            code="reassignment_refused",
            roles=draft.bia.policy.reassignment.told,
            site=rows[0].site,
            incident=incident,
            agents=sum(row.count for row in rows),
        )
    )
    _inform_both_ends(draft, "reassignment_refused", rows)


def _inform_both_ends(
    draft: ContinuityDecision, code: _AttentionCode, rows: Sequence[ReassignmentRow]
) -> None:
    """Inform the managers of the sites that agents left, and of those that they came to.

    Agents who cannot go back, because an order stands at their site or for its area, have a message
    of their own. Rule D78.
    """
    barred_homes = _find_barred_sites(draft.state, (row.site for row in rows))
    for homes in (barred_homes, frozenset({row.site for row in rows}) - barred_homes):
        leaving, coming = Counter[str](), Counter[str]()
        origins: dict[str, set[str]] = {}
        for row in rows:
            if row.site not in homes:
                continue
            leaving[row.site] += row.count
            origins.setdefault(row.site, set()).add(row.site)
            if row.place not in (TELEWORK, row.site):
                coming[row.place] += row.count
                origins.setdefault(row.place, set()).add(row.site)
        for site in sorted({*leaving, *coming}):
            _inform_manager(
                draft,
                code,
                site,
                rows[0].incident,
                agents=leaving[site] or None,
                come=coming[site] or None,
                barred_homes=barred_homes & origins[site],
            )


def schedule_orders(draft: ContinuityDecision, decision: str, sites: Iterable[str]) -> None:
    """Schedule one order per site as a deadline that is due now, so that nothing can block it."""
    for site in sorted(sites):
        draft.arm(OrderDue(decision, site, 0), draft.now)


def schedule_recalls(draft: ContinuityDecision, decision: str, sites: Collection[str]) -> None:
    """Schedule the recall of agents that a decision uses elsewhere, by the site that they left.

    Recalls come before the orders of the decision, and their messages before the recalls.
    """
    if not sites:
        return
    draft.arm(RecallNoticeDue(decision), draft.now)
    for site in sorted(sites):
        draft.arm(RecallDue(decision, site, 0), draft.now)


def on_recall_notice_due(draft: ContinuityDecision, decision: str) -> None:
    """Inform each site at both ends once of all agents that a decision calls back."""
    moved = draft.state.moved.values()
    lines = list_recalled_lines(moved, [row for row in moved if row.decision == decision])
    if lines:
        _inform_both_ends(draft, "reassignment_recalled", lines)


def on_recall_due(draft: ContinuityDecision, decision: str, site: str, part: int) -> None:
    """Handle a due recall: release the lines in the approver's name, some in each step."""
    mine = [
        row for row in draft.state.moved.values() if row.decision == decision and row.site == site
    ]
    over = list_recalled_lines(draft.state.moved.values(), mine)
    lines = over[:LINES_PER_STEP]
    for row in lines:
        ended_row = row.model_copy(
            update={
                "state": LineState.RELEASED,
                "ended_at": draft.now,
                "by": mine[0].approved_by,
                "cause": "recalled",
            }
        )
        draft.emit(ReassignmentChanged(row=ended_row, change="released"))
    schedule_settlement(draft, select_arrived_lines(lines))
    if len(over) > LINES_PER_STEP:
        draft.arm(RecallDue(decision, site, part + 1), draft.now)


def on_order_due(draft: ContinuityDecision, decision: str, site: str, part: int) -> None:
    """Handle a due order: dispatch the lines that leave a site, and count the agents that come.

    The order of a site with many lines is dispatched in parts. Its message leaves with the first
    one, for all of them.
    """
    mine = [row for row in draft.state.moved.values() if row.decision == decision]
    waiting = sorted(
        (r for r in mine if r.site == site and r.state is LineState.APPROVED), key=lambda r: r.id
    )
    now, lines = draft.now, waiting[:LINES_PER_STEP]
    for row in lines:
        times = compute_line_times(draft.state, row, now)
        dispatched_line = row.model_copy(
            update={
                "state": LineState.DISPATCHED,
                "dispatched_at": now,
                "starts_at": times.starts_at,
                "ends_at": times.ends_at,
            }
        )
        draft.emit(ReassignmentChanged(row=dispatched_line, change="dispatched"))
    if len(waiting) > LINES_PER_STEP:
        draft.arm(OrderDue(decision, site, part + 1), now)
    coming = [r for r in mine if r.place == site != r.site] if part == 0 else []
    begins_at, ends_at = _compute_times(draft, (*lines, *coming))
    draft.emit(
        ReassignmentOrdered(
            row=OrderRow(
                id=f"{decision}/{site}/{part}",
                proposal=next((r.proposal for r in mine), ""),
                decision=decision,
                site=site,
                leave=sum(r.count for r in lines if r.place != site),
                come=sum(r.count for r in coming),
                stay_home=sum(r.count for r in lines if r.place == TELEWORK),
                lines=tuple(r.id for r in lines),
                dispatched_at=now,
                starts_at=begins_at,
                ends_at=ends_at,
            )
        )
    )
    if part == 0:
        incident = next((row.incident for row in (*waiting, *coming)), None)
        _inform_about_order(draft, site, waiting, coming, incident)


def _inform_about_order(
    draft: ContinuityDecision,
    site: str,
    leaving: Sequence[ReassignmentRow],
    coming: Sequence[ReassignmentRow],
    incident: str | None,
) -> None:
    """Inform the manager of a site of all agents that leave it and come to it. Rule D80."""
    hosts = Counter[str]()
    for row in leaving:
        if row.place not in (site, TELEWORK):
            hosts[row.place] += row.count
    stay_home = sum(row.count for row in leaving if row.place == TELEWORK)
    come = sum(row.count for row in coming)
    if not hosts and not stay_home and not come:
        return
    largest_hosts = sorted(hosts, key=lambda id: (-hosts[id], id))[:HOSTS_NAMED]
    begins_at, ends_at = _compute_times(draft, (*leaving, *coming))
    pole = site_record.pole if (site_record := draft.bia.sites.get(site)) is not None else None
    draft.emit(
        AttentionRequested(
            code="reassignment_order",
            roles=(SITE_MANAGER_ROLE,),
            pole=pole,
            site=site,
            incident=incident,
            agents=hosts.total() + stay_home,
            hosts=",".join(largest_hosts) or None,
            host_count=len(hosts) or None,
            stay_home=stay_home or None,
            come=come,
            begins_at=begins_at,
            ends_at=ends_at,
        )
    )


def _compute_times(
    draft: ContinuityDecision, lines: Iterable[ReassignmentRow]
) -> tuple[Instant | None, Instant | None]:
    """Return the first start and the last end of these lines; None: unknown. Rule D80."""
    times = [compute_line_times(draft.state, line, draft.now) for line in lines]
    ends = [one.ends_at for one in times if one.ends_at is not None]
    begins_at = min((one.starts_at for one in times), default=None)
    return begins_at, max(ends) if ends and len(ends) == len(times) else None


def schedule_dropped_lines(draft: ContinuityDecision) -> None:
    """Schedule the end of lines at sites that a new reference version dropped."""
    if _list_dropped_lines(draft):
        draft.arm(DroppedLinesDue(0), draft.now)


def on_dropped_lines_due(draft: ContinuityDecision, step: int) -> None:
    """Handle the deadline of `schedule_dropped_lines`: void the lines at dropped sites.

    The first step informs the managers for all of them.
    """
    dropped_lines = _list_dropped_lines(draft)
    if step == 0:
        _inform_about_loss(draft, dropped_lines)
    _void_lines(draft, dropped_lines[:LINES_PER_STEP], "site_removed")
    if len(dropped_lines) > LINES_PER_STEP:
        draft.arm(DroppedLinesDue(step + 1), draft.now)


def _list_dropped_lines(draft: ContinuityDecision) -> list[ReassignmentRow]:
    territory_sites = draft.bia.sites
    return sorted(
        (
            row
            for row in draft.state.moved.values()
            if row.site not in territory_sites
            or (row.place != TELEWORK and row.place not in territory_sites)
            or (row.need_site and row.need_site not in territory_sites)
        ),
        key=lambda row: row.id,
    )

"""Page `/reaffectation`: proposals to reassign staff, and their orders. Rule D58."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.reassignment import ACTIVE_LINE_STATES, LineState, ProposalState
from services.console.i18n import N_
from services.console.reassignment import page as reassignment_page
from services.console.reassignment.agent_counts import describe_confinement, estimate_words
from services.console.reassignment.announcement_api import (
    DRAFT_STATE,
    find_outdated_drafts,
    merge_orders,
    subtract_ended_lines,
)
from services.console.reassignment.resources import ReassignmentLine
from services.console.resources import CallOut, Proposal
from services.console.texts import words as w
from services.console.web.screen_context import (
    LINE_LIMIT,
    ScreenData,
    ScreenPage,
    find_unknown_value,
)
from services.runtime.identity.permissions import Permission

CENTS_PER_EURO = 100
_ENDED_STATES: Final = (LineState.VOID, LineState.REFUSED, LineState.RELEASED)
WHOLE_PCT: Final = 100


def find_own_lines(x: ScreenData, proposal: Proposal | None) -> frozenset[str]:
    """Return the lines that the reader decides: all, or those from or to work of own pôles."""
    reader, activities = x.shell.reader, x.reference.activities
    scope = reader.principal.scope
    lines = (proposal.lines or ()) if proposal is not None else ()
    own = set(scope.poles) or {site.pole for site in x.sites if site.id in scope.sites}

    def is_own(line: ReassignmentLine) -> bool:
        ends = [activities.get(end.activity) for end in (line.source, line.target)]
        return any(end is not None and end.pole in own for end in ends)

    return frozenset(line.id for line in lines if reader.whole or is_own(line))


def _put_own_first(
    view: reassignment_page.ReassignmentView, own_lines: frozenset[str]
) -> reassignment_page.ReassignmentView:
    """Return the view with the undecided groups that the reader decides before the others."""

    def is_of_others(group: reassignment_page.DecisionGroup) -> bool:
        return not own_lines.issuperset(group.ids)

    return replace(
        view, vital=sorted(view.vital, key=is_of_others), own=sorted(view.own, key=is_of_others)
    )


def answers_order(x: ScreenData, group: reassignment_page.DecisionGroup) -> bool:
    """Return whether the reader answers every order of a group, as one of its two sites."""
    reader = x.shell.reader
    poles = {site.id: site.pole for site in x.sites}
    ends = [(source, group.place) for source in group.source_ids]
    return reader.may(Permission.REASSIGNMENT_ANSWER) and all(
        reader.touches(pair, [poles[site] for site in pair if site in poles]) for pair in ends
    )


async def build_reassignment_page(x: ScreenData) -> dict[str, Any]:
    """Build `reassignment.html`: proposals, their reasons, unmet needs, state of the orders.

    It shows counts, never names. Rule D58.
    """
    proposals, under_way, ended = await asyncio.gather(
        x.queries.proposals(),
        x.queries.reassignments(state=ACTIVE_LINE_STATES, limit=LINE_LIMIT),
        x.queries.reassignments(
            state=_ENDED_STATES, with_text=x.shell.reader.may(Permission.LOG_READ), limit=LINE_LIMIT
        ),
    )
    proposal_id = x.request.query_params.get("proposition")
    missing = find_unknown_value(x.request, "proposition", (p.id for p in proposals))
    chosen_proposal = next((p for p in proposals if p.id == proposal_id), None) or next(
        (p for p in proposals if p.state is ProposalState.OPEN), None
    )
    proposal = await x.queries.proposal(chosen_proposal.id) if chosen_proposal is not None else None
    calls = (
        (await x.queries.callouts(limit=LINE_LIMIT)).items
        if proposal is not None and proposal.decisions
        else []
    )
    estimated_ids = frozenset(proposal.estimated) if proposal is not None else frozenset[str]()
    view = reassignment_page.build_reassignment_view(
        proposals,
        proposal,
        [*under_way.items, *ended.items],
        x.shell.reader.principal.scope.sites,
        x.shell.now,
        x.names,
        x._,
    )
    own_lines = find_own_lines(x, proposal)
    view = _put_own_first(view, own_lines)
    groups = (*view.vital, *view.own)
    own_agents = sum(g.agents for g in groups if own_lines.issuperset(g.ids))
    return {
        "view": view,
        "own_lines": own_lines,
        "answers": lambda group: answers_order(x, group),
        "barred_sites": await x.queries.barred_sites(),
        "sheltering_sites": await x.queries.sheltering_sites(),
        "facts": reassignment_page.list_quality_figures(proposal, x._)
        if proposal is not None
        else [],
        "announced": await _load_announcements(x, proposal, calls),
        "not_there": missing
        and x._("Aucune proposition ne porte l’identifiant « {id} ».", id=missing),
        "preferences": reassignment_page.PREFERENCE_LABELS,
        "clocks": reassignment_page.list_next_limits(x.clocks),
        "waiting": own_agents,
        "waiting_elsewhere": sum(g.agents for g in groups) - own_agents,
        "who": lambda token: w.name_person(token, x.names, x._),
        "hit": sum(site.capacity_pct < WHOLE_PCT and site.confinement is None for site in x.sites),
        "confined": [
            (site, describe_confinement(site, x._))
            for site in x.sites
            if site.confinement is not None and site.id not in estimated_ids
        ],
        "estimated": [
            (site, estimate_words(site, x._)) for site in x.sites if site.id in estimated_ids
        ],
    }


PAGE: Final = ScreenPage(
    "reassignment",
    "/reaffectation",
    "reassignment.html",
    build_reassignment_page,
    N_("Réaffectation"),
)


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """Call-outs to the agents of the sites, summed over the approvals of one proposal."""

    untold: int
    """Number of approvals without a drafted message."""
    people: int
    """Number of people in unsent drafts that still hold."""
    outdated: int
    """Number of drafts from before a refusal, to be made again."""
    unreachable: int
    eur: float
    minutes: int
    sent_count: int
    """Number of people in the call-outs that were sent."""
    delivered_count: int


async def _load_announcements(
    x: ScreenData, proposal: Proposal | None, callouts: Sequence[CallOut]
) -> AnnouncementState | None:
    if proposal is None:
        return None
    drafts = {one.id for one in callouts if one.state == DRAFT_STATE}
    if not drafts:
        return sum_announcements(proposal, callouts)
    lines = await x.queries.lines_of(proposal.id)
    orders = merge_orders(await x.queries.orders(proposal.id))
    standing = subtract_ended_lines(orders, lines)
    return sum_announcements(
        proposal,
        callouts,
        ended=drafts.intersection(one.callout for one in orders)
        - {one.callout for one in standing},
        outdated=find_outdated_drafts(standing, lines, callouts),
    )


def sum_announcements(
    proposal: Proposal,
    callouts: Iterable[CallOut],
    *,
    ended: Collection[str] = (),
    outdated: Collection[str] = (),
) -> AnnouncementState:
    """Sum the announcements of a proposal; `callouts` may be any of the realm.

    Drafts about orders that have all `ended` say nothing; the `outdated` ones are made again.
    """
    approvals = {d.id for d in proposal.decisions if d.verb == "approve"}
    mine = [c for c in callouts if c.decision in approvals]
    waiting = [c for c in mine if c.state == DRAFT_STATE and c.id not in ended]
    drafts = [c for c in waiting if c.id not in outdated]
    started_calls = [c for c in mine if c.state != DRAFT_STATE]
    seconds = max((e.seconds for c in drafts for e in c.estimates), default=0)
    return AnnouncementState(
        untold=len(approvals - {c.decision for c in mine}),
        people=sum(c.people for c in drafts),
        outdated=len(waiting) - len(drafts),
        unreachable=sum(c.unreachable for c in drafts),
        eur=sum(c.cost_cents for c in drafts) / CENTS_PER_EURO,
        minutes=max(-(-seconds // 60), 1),
        sent_count=sum(c.people for c in started_calls),
        delivered_count=sum(c.handed for c in started_calls),
    )

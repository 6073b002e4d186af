"""Routes for reassignments: proposals, decisions, and the steps of their orders.

They hold counts only, never names. Rule D58.
"""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response
from pydantic import Field

from schemas import reassignment as m
from services.console.http.answers import DecisionRouter, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Id,
    Limit,
    Multiple,
    PageRequest,
    RealmReader,
    check_scope,
    is_limited,
    require_decision,
    set_etag,
)
from services.console.http.problems import Rebuilding, StoreUnavailable
from services.console.http.scopes import list_own_poles
from services.console.resources import Page, Proposal, ReassignmentLine
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["reassignment"])
ReassignmentDecider = Annotated[
    DecisionContext, Depends(require_decision(Permission.REASSIGNMENT_DECIDE))
]
ReassignmentPlanner = Annotated[
    DecisionContext, Depends(require_decision(Permission.REASSIGNMENT_DECIDE, whole_territory=True))
]
ReassignmentAnswerer = Annotated[
    DecisionContext, Depends(require_decision(Permission.REASSIGNMENT_ANSWER))
]


class ComputeRequest(DecisionBody):
    preference: m.Preference = m.Preference.BEST
    transit: bool | None = Field(
        default=None, description="declared state of public transport; null = unchanged"
    )
    telework: bool | None = None


class LinesChoice(DecisionBody):
    lines: list[Id] | None = Field(
        default=None, max_length=2000, description="null = all undecided lines"
    )


@router.get(
    "/reassignments",
    operation_id="list_reassignments",
    summary="List proposals, newest first; their lines are at `/reassignments/{proposal}`",
)
async def list_proposals(
    reader: RealmReader,
    part: PageRequest,
    state: Multiple[m.ProposalState],
    incident: str | None = None,
) -> Page[Proposal]:
    return part.of(await reader.model.proposals(state=state, incident=incident))


@router.get(
    "/reassignments/lines",
    operation_id="list_reassignment_lines",
    summary="List approved lines with the states of their orders",
)
async def list_lines(
    reader: RealmReader,
    state: Multiple[m.LineState],
    site: str | None = None,
    incident: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[ReassignmentLine]:
    return await reader.model.reassignments(
        state=state,
        site=site,
        incident=incident,
        with_text=reader.principal.may(Permission.LOG_READ),
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/reassignments/{proposal}",
    operation_id="get_reassignment",
    summary="Show one proposal with its lines; its ETag is the version for If-Match",
)
async def get_proposal(reader: RealmReader, proposal: str, response: Response) -> Proposal:
    proposal_row = await reader.model.proposal(proposal)
    set_etag(response, proposal_row.version)
    return proposal_row


@router.decision(
    "/reassignments/compute",
    "Request a proposal from the planner; it follows within seconds",
    operation_id="compute_reassignment",
)
async def compute_proposal(
    author: ReassignmentPlanner, body: ComputeRequest | None = None
) -> Response:
    return await send_decision(author, body, "continuity", m.ComputeReassignments)


@router.decision(
    "/reassignments/{proposal}/approve", "Approve lines: their orders are sent", versioned=True
)
async def approve_lines(
    author: ReassignmentDecider, proposal: str, body: LinesChoice | None = None
) -> Response:
    await _check_proposal_scope(author, body, proposal)
    return await send_decision(
        author, body, "continuity", m.ApproveReassignments, proposal=proposal
    )


@router.decision(
    "/reassignments/{proposal}/decline", "Decline lines, with a reason", versioned=True
)
async def decline_lines(
    author: ReassignmentDecider, proposal: str, body: LinesChoice | None = None
) -> Response:
    await _check_proposal_scope(author, body, proposal)
    return await send_decision(
        author, body, "continuity", m.DeclineReassignments, proposal=proposal
    )


async def _check_proposal_scope(author: DecisionContext, body: LinesChoice | None, id: str) -> None:
    """Check that the proposal exists, and that its lines are within the author's scope.

    The decider keeps only the last proposals and takes any other id for an older one, so the check
    must be here. An author limited to some pôles decides only about agents in, or from, activities
    of these pôles.
    """
    within, has_limits = author.within(body), is_limited(author.principal)
    try:
        proposal = await within.model.proposal(id)
    except (StoreUnavailable, Rebuilding):
        if has_limits:
            raise
        return
    if not has_limits:
        return
    chosen_lines = body.lines if body else None
    reference, own = await within.model.reference(), await list_own_poles(within)
    for line in proposal.lines or ():
        if chosen_lines is None or line.id in chosen_lines:
            mine = {
                a.pole
                for name in (line.source.activity, line.target.activity)
                if (a := reference.activities.get(name)) is not None
            }
            if not own & mine:
                raise ProblemError("out_of_scope", field="lines")


class StepLines(DecisionBody):
    lines: list[Id] = Field(
        default_factory=list,
        max_length=m.MAX_LINES_PER_STEP - 1,
        description="further lines of the same step",
    )


async def _send_step(
    author: DecisionContext, body: StepLines | None, line: str, command: type[m.Step]
) -> Response:
    """Send a step of agents from or to a site or pôle within the author's scope."""
    more = tuple(body.lines) if body is not None else ()
    if is_limited(author.principal):
        within = author.within(body)
        territory_sites = (await within.model.reference()).sites
        for id in (line, *more):
            reassignment = await within.model.reassignment(id)
            sites = [
                reassignment.source.site,
                reassignment.target.site,
                reassignment.need_site or "",
            ]
            check_scope(
                author.principal,
                sites=sites,
                poles=[territory_sites[site].pole for site in sites if site in territory_sites],
            )
    return await send_decision(author, body, "continuity", command, line=line, lines=more)


@router.decision("/reassignments/{line}/accept", "Accept an order, as the site")
async def accept_order(
    author: ReassignmentAnswerer, line: str, body: StepLines | None = None
) -> Response:
    return await _send_step(author, body, line, m.AcceptReassignment)


@router.decision(
    "/reassignments/{line}/refuse",
    "Refuse an order, as the site, with a reason; the planner proposes something else",
)
async def refuse_order(author: ReassignmentAnswerer, line: str, body: StepLines) -> Response:
    require_text(body.reason)
    return await _send_step(author, body, line, m.RefuseReassignment)


@router.decision("/reassignments/{line}/arrive", "Report the agents at work")
async def confirm_arrival(
    author: ReassignmentAnswerer, line: str, body: StepLines | None = None
) -> Response:
    return await _send_step(author, body, line, m.ArriveReassignment)


@router.decision("/reassignments/{line}/release", "Release the agents to their usual work")
async def release_agents(
    author: ReassignmentAnswerer, line: str, body: StepLines | None = None
) -> Response:
    return await _send_step(author, body, line, m.ReleaseReassignment)

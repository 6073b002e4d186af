"""Route that informs the agents of sites about approved reassignments: `/announce`.

Managers get their orders with the approval. There are thousands of agents, and messages cost money,
so informing them is a separate act, like every call-out. Names are unknown here: each agent reads
how many leave the site, work at home or come, and that the manager names the persons. Rule D58.
While an order to leave or to shelter stands at one end, the agents of both ends read nothing.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fastapi.responses import Response
from pydantic import Field

from schemas.base import Command, Instant
from schemas.callouts import StartCallOut
from schemas.reassignment import OrderRow, ReassignmentRow
from schemas.words import Channel, Level
from services.console.http.answers import DecisionRouter, find_repeated_answer, send_commands
from services.console.http.context import DecisionBody, DecisionContext
from services.console.http.decisions import CommandDispatcher, get_author
from services.console.http.scopes import check_sites
from services.console.i18n import SOURCE, Translator, get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.messages.callouts_api import (
    CallOutAuthor,
    count_sms_parts,
    get_directory,
    group_staff_by_site,
    split_draft,
)
from services.console.read_model.shapes import TELEWORK
from services.console.reassignment.texts import describe_order_period
from services.console.resource_base import to_datetime
from services.console.resources import CallOut
from services.console.texts.names import shorten_site_name
from services.runtime.http.problems import build_conflict, build_field_problem

router = DecisionRouter(prefix="/api/v1", tags=["reassignment"])
NO_RECIPIENT: Final = (
    "personne dans l’annuaire n’y travaille : les responsables de site préviennent",
    "nobody in the directory works there: the site managers inform the agents",
)
DRAFT_STATE: Final = "draft"
Move = tuple[str, str]
"""Decision, and site at one end of its orders."""
MAX_CALLOUTS: Final = 10_000


class AnnounceRequest(DecisionBody):
    channels: list[Channel] = Field(
        default_factory=lambda: [Channel.APP, Channel.SMS, Channel.EMAIL],
        min_length=1,
        description="channels in order of preference",
    )
    start: bool = Field(
        default=False,
        description="true = send the drafts; false = make drafts only, nobody is informed",
    )


@dataclass(frozen=True, slots=True)
class SiteAnnouncement:
    """Counts that the agents of one site read about one decision."""

    decision: str
    site: str
    leave: int
    stay_home: int
    come: int
    dispatched_at: Instant = 0
    starts_at: Instant | None = None
    ends_at: Instant | None = None

    @property
    def callout(self) -> str:
        """Id of the call-out: the same for every author, so that nobody is informed twice."""
        return f"staff-{self.decision}-{self.site}"


def merge_orders(orders: Sequence[OrderRow]) -> list[SiteAnnouncement]:
    """Merge the orders of each decision and site; drop those that move nobody."""
    announcements: dict[tuple[str, str], SiteAnnouncement] = {}
    for row in sorted(orders, key=lambda row: (row.dispatched_at, row.id)):
        before = announcements.get((row.decision, row.site))
        announcements[row.decision, row.site] = (
            _add_order(before, row) if before is not None else _start_announcement(row)
        )
    return [one for one in announcements.values() if one.leave or one.come]


def _start_announcement(row: OrderRow) -> SiteAnnouncement:
    return SiteAnnouncement(
        row.decision,
        row.site,
        row.leave,
        row.stay_home,
        row.come,
        row.dispatched_at,
        row.starts_at,
        row.ends_at,
    )


def _add_order(announcement: SiteAnnouncement, row: OrderRow) -> SiteAnnouncement:
    """Add one more order to the counts of a site.

    The period runs from the first start to the last end, if every order has an end.
    """
    begins = [at for at in (announcement.starts_at, row.starts_at) if at is not None]
    ends = [at for at in (announcement.ends_at, row.ends_at) if at is not None]
    return SiteAnnouncement(
        announcement.decision,
        announcement.site,
        announcement.leave + row.leave,
        announcement.stay_home + row.stay_home,
        announcement.come + row.come,
        announcement.dispatched_at,
        min(begins, default=None),
        max(ends) if len(ends) == len((announcement, row)) else None,
    )


def compose_message(one: SiteAnnouncement, name: str, _: Translator) -> str:
    """Compose the message, without names or reasons."""
    sentences = [_("Réaffectation décidée, {site}.", site=name)]
    if elsewhere := one.leave - one.stay_home:
        sentences.append(
            _("Agents qui partent travailler ailleurs : {n}.", n=format_small_count(elsewhere))
        )
    if one.stay_home:
        sentences.append(
            _("Agents qui travaillent à domicile : {n}.", n=format_small_count(one.stay_home))
        )
    if one.come:
        sentences.append(
            _("Agents d’autres sites qui viennent : {n}.", n=format_small_count(one.come))
        )
    ends_at = None if one.ends_at is None else to_datetime(one.ends_at)
    if one.starts_at is not None:
        period = describe_order_period(
            to_datetime(one.starts_at), ends_at, to_datetime(one.dispatched_at), _
        )
        sentences.append(_("Période : {period}.", period=period))
    sentences.append(
        _(
            "Votre responsable de site vous dira si vous êtes concerné ; sans message de sa part, "
            "rien ne change pour vous."
        )
    )
    return " ".join(sentences)


def drop_stopped_announcements(
    announcements: Iterable[SiteAnnouncement],
    lines: Iterable[ReassignmentRow],
    barred_sites: Container[str],
) -> list[SiteAnnouncement]:
    """Drop announcements of moves from or to a site that nobody is sent to. D78 and D102."""
    stopped_orders = {
        (line.decision, site)
        for line in lines
        if line.place in barred_sites
        for site in (line.site, line.place)
    }
    return [
        one
        for one in announcements
        if one.site not in barred_sites and (one.decision, one.site) not in stopped_orders
    ]


def subtract_ended_lines(
    announcements: Iterable[SiteAnnouncement], lines: Iterable[ReassignmentRow]
) -> list[SiteAnnouncement]:
    """Subtract orders that a site refused, or that are over; drop sites without any other.

    Rule D101.
    """
    leave, stay_home, come = Counter[Move](), Counter[Move](), Counter[Move]()
    for line in lines:
        if line.ended_at is None or line.place == line.site:
            continue
        leave[line.decision, line.site] += line.count
        if line.place == TELEWORK:
            stay_home[line.decision, line.site] += line.count
        else:
            come[line.decision, line.place] += line.count
    remaining = [
        replace(
            one,
            leave=max(0, one.leave - leave[one.decision, one.site]),
            stay_home=max(0, one.stay_home - stay_home[one.decision, one.site]),
            come=max(0, one.come - come[one.decision, one.site]),
        )
        for one in announcements
    ]
    return [one for one in remaining if one.leave or one.come]


def find_last_ends(lines: Iterable[ReassignmentRow]) -> dict[Move, Instant]:
    """Return decision and site → the time of the last order there that was refused or is over."""
    ends: dict[Move, Instant] = {}
    for line in lines:
        if line.ended_at is not None:
            for site in (line.site, line.place):
                key = (line.decision, site)
                ends[key] = max(ends.get(key, line.ended_at), line.ended_at)
    return ends


def find_outdated_drafts(
    announcements: Iterable[SiteAnnouncement],
    lines: Iterable[ReassignmentRow],
    callouts: Iterable[CallOut],
) -> frozenset[str]:
    """Return the drafts from before the last order that was refused or ended there. Rule D101."""
    ends = find_last_ends(lines)
    ended = {one.callout: ends.get((one.decision, one.site)) for one in announcements}
    return frozenset(
        row.id
        for row in callouts
        if row.state == DRAFT_STATE
        and (at := ended.get(row.id)) is not None
        and to_datetime(at) >= row.drafted_at
    )


@router.decision(
    "/reassignments/{proposal}/announce",
    "Announce reassignments to the agents of the sites, by count: first as drafts, then "
    "with `start`",
)
async def announce_reassignments(
    author: CallOutAuthor, proposal: str, body: AnnounceRequest | None = None
) -> Response:
    author, request = author.within(body), body or AnnounceRequest()
    if (before := await find_repeated_answer(author)) is not None:
        return before
    proposal_row = await author.model.proposal(proposal)
    announcements = merge_orders(await author.model.orders(proposal_row.id))
    if not announcements:
        raise build_conflict("Aucun ordre n’est parti.", "No order went out.")
    lines = await author.model.lines_of(proposal_row.id)
    announcements = subtract_ended_lines(announcements, lines)
    if not announcements:
        raise build_conflict(
            "Tous les ordres sont refusés ou terminés : personne n’est à prévenir.",
            "All orders are refused or over: there is nobody to inform.",
        )
    announcements = drop_stopped_announcements(
        announcements, lines, await author.model.barred_sites()
    )
    if not announcements:
        raise build_conflict(
            "Une consigne d’évacuation ou de confinement est en vigueur dans ces sites : ne prévenez pas les "
            "agents avant sa fin.",
            "An order to leave or to shelter stands at these sites: do not inform the agents "
            "before its end.",
        )
    await check_sites(author, {one.site for one in announcements})
    callouts = [r for r in (await author.model.callouts(limit=MAX_CALLOUTS)).items if r.decision]
    callout_states = {row.id: row.state for row in callouts}
    waiting = [
        one for one in announcements if callout_states.get(one.callout, DRAFT_STATE) == DRAFT_STATE
    ]
    if request.start:
        outdated = find_outdated_drafts(waiting, lines, callouts)
        waiting = [one for one in waiting if one.callout not in outdated]
        if outdated and not any(one.callout in callout_states for one in waiting):
            raise build_conflict(
                "Un ordre a été refusé ou a pris fin depuis la préparation : le message compterait "
                "ces agents. Préparez de nouveau les messages.",
                "An order was refused or ended since the draft: the message would count these "
                "agents. Prepare the messages again.",
            )
        commands = _make_starts(author, [one for one in waiting if one.callout in callout_states])
    else:
        commands = await _make_drafts(author, waiting, request.channels, proposal_row.incident)
    if not commands:
        raise build_conflict(
            "Rien à envoyer : pas préparé, ou déjà parti.",
            "There is nothing to send: no draft, or sent already.",
        )
    return await send_commands(author, "delivery", commands)


def _assign_ids(
    author: DecisionContext, announcements: Sequence[SiteAnnouncement]
) -> list[tuple[str, SiteAnnouncement]]:
    """Give each announcement its command id; the last one has the id of the whole."""
    decisions: CommandDispatcher = author.request.app.state.decisions
    id = decisions.command_id(author.principal, author.realm, author.key)
    return [
        (id if one is announcements[-1] else f"{id}-{one.callout}", one) for one in announcements
    ]


def _make_starts(
    author: DecisionContext, announcements: Sequence[SiteAnnouncement]
) -> list[tuple[str, Command]]:
    by, role = get_author(author.principal), author.principal.acting_role
    return [
        (id, StartCallOut(author=by, role=role, callout=one.callout))
        for id, one in _assign_ids(author, announcements)
    ]


async def _make_drafts(
    author: DecisionContext,
    announcements: Sequence[SiteAnnouncement],
    channels: Sequence[Channel],
    incident: str | None,
) -> list[tuple[str, Command]]:
    directory = get_directory(author.request, author.realm)
    staff = await group_staff_by_site(directory, {one.site for one in announcements})
    if announcements and not staff:
        raise build_field_problem("proposal", "nobody", *NO_RECIPIENT)
    decisions: CommandDispatcher = author.request.app.state.decisions
    names, drafts = (await author.model.reference()).names, list[tuple[str, Command]]()
    for id, one in _assign_ids(author, [one for one in announcements if one.site in staff]):
        text = compose_message(one, shorten_site_name(names.site(one.site)), get_translator(SOURCE))
        text_id = decisions.text_id(id, text)
        await decisions.put_text(text_id, text)
        drafts += split_draft(
            author,
            id,
            staff[one.site],
            callout=one.callout,
            text_id=text_id,
            decision=one.decision,
            incident=incident,
            sites=(one.site,),
            level=Level.N1,
            channels=tuple(channels),
            sms_parts=count_sms_parts(text, answer_expected=False),
        )
    return drafts

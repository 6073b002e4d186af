"""Page `/mes-sites`: the sites in the scope of the account."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import reference as ref
from schemas.catalogue.event_types import may_endanger_people
from schemas.crisis.area_orders import AREA_ORDER
from schemas.plans import PlanContent
from schemas.reassignment import ACTIVE_LINE_STATES
from schemas.words import EventType, MsgType, SiteStatus, TaskState
from services.console.actions import page as actions_page
from services.console.attention.next_step import build_site_step
from services.console.continuity import site_card_page
from services.console.continuity.clocks import RunningClock
from services.console.continuity.plan_rights import may_work_card_of
from services.console.i18n import N_, Translator
from services.console.incidents.area_order_page import (
    SiteAnswer,
    describe_area_order,
    describe_site_answers,
)
from services.console.incidents.report_form_screen import STILL_OPEN, TROUBLES
from services.console.messages.queries import INSTRUCTION
from services.console.reassignment.page import SiteOrder, list_site_orders
from services.console.resources import (
    Incident,
    Instruction,
    Plan,
    ReassignmentLine,
    Report,
    Site,
    SiteCard,
    Task,
)
from services.console.sites.map import WORST_FIRST
from services.console.web.screen_context import (
    LINE_LIMIT,
    ScreenData,
    ScreenPage,
    load_action_lines,
)
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Scope

SITES_SHOWN: Final = 30


@dataclass(frozen=True, slots=True)
class QuickTrouble:
    """A button that opens the form with the trouble, and where it is plain the rest, chosen."""

    key: str
    label: str
    path: str
    going: str | None
    """Answers that the link presets beside the trouble, if any."""


@dataclass(frozen=True, slots=True)
class QuickTroubles:
    """Troubles under one heading; those with `is_folded` show on demand."""

    key: str
    title: str
    troubles: tuple[QuickTrouble, ...]
    is_folded: bool = False


_OUTAGES: Final = frozenset({"power", "water", "heating", "it"})
"""Troubles without danger to people. The sender says whether the site can go on: a partial cut
that is taken for a closure calls people for nothing."""


def _list_quick_troubles() -> tuple[QuickTroubles, ...]:
    """Sort the buttons of the form: danger to people first. Rule D75."""
    danger = [t for t in TROUBLES if may_endanger_people(EventType(t.type))]
    outages = [t for t in TROUBLES if t.key in _OUTAGES]
    others = [t for t in TROUBLES if t not in danger and t not in outages]
    return tuple(
        QuickTroubles(
            key,
            title,
            tuple(
                QuickTrouble(t.key, t.label, t.path, STILL_OPEN if t in outages else None)
                for t in troubles
            ),
            is_folded=key == "other",
        )
        for key, title, troubles in (
            ("danger", N_("Danger : appelez d’abord le 18 ou le 112"), danger),
            ("outage", N_("Panne : dites si le site peut continuer, puis Envoyer"), outages),
            ("other", N_("Autre signalement"), others),
        )
    )


QUICK_TROUBLES: Final = _list_quick_troubles()
"""All troubles of the form, as buttons of each site."""
ANSWERED_SHOWN: Final = 1
"""Instructions of a site that stay shown after they were answered, the newest."""


def instructions_of(instructions: Iterable[Instruction]) -> dict[str, list[Instruction]]:
    """Return by site the instructions that wait, and the newest that were answered."""
    by_site: dict[str, list[Instruction]] = {}
    for one in sorted(
        instructions, key=lambda i: (i.answered_at is not None, -i.asked_at.timestamp())
    ):
        site_instructions = by_site.setdefault(one.site, [])
        if (
            one.answered_at is None
            or sum(i.answered_at is not None for i in site_instructions) < ANSWERED_SHOWN
        ):
            site_instructions.append(one)
    return by_site


def answers_for(scope: Scope, site: Site | None) -> bool:
    """Tell whether an account belongs to this site and may answer its instructions."""
    return site is not None and site.id in scope.sites


@dataclass(frozen=True, slots=True)
class MySite:
    site: Site
    clocks: list[RunningClock]
    tasks: list[Task]
    orders: list[SiteOrder]


@dataclass(frozen=True, slots=True)
class ReportReceipt:
    """Result of a site's report, for its sender."""

    report: Report
    incident: Incident | None

    @property
    def is_withdrawal(self) -> bool:
        """True if it takes another report back."""
        return self.report.msg_type is MsgType.CANCEL

    @property
    def is_withdrawn(self) -> bool:
        """True if it counts no longer: taken back, or denied."""
        return "cancelled" in self.report.flags or self.report.confirmation == "denied"

    @property
    def is_acknowledged(self) -> bool:
        """True if somebody acknowledged its incident."""
        return self.incident is not None and bool(self.incident.acknowledged_by)


def build_receipts(reports: Iterable[Report], incidents: Iterable[Incident]) -> list[ReportReceipt]:
    by_id = {i.id: i for i in incidents}
    return [ReportReceipt(report, by_id.get(report.incident or "")) for report in reports]


def list_my_sites(
    scope: Scope,
    sites: Iterable[Site],
    clocks: Sequence[RunningClock],
    tasks: Sequence[Task],
    reassigned_lines: Sequence[ReassignmentLine],
    _: Translator,
    barred_sites: Collection[str] = (),
    sheltering_sites: Collection[str] = (),
) -> list[MySite]:
    """List the sites of the scope, or of its pôles.

    The list is empty without a scope: the cell has its own table. Nobody is sent to `barred_sites`,
    and nobody leaves `sheltering_sites`.
    """
    own_sites = [
        s for s in sites if s.id in scope.sites or (not scope.sites and s.pole in scope.poles)
    ]
    waiting = [t for t in tasks if t.kind != INSTRUCTION]
    my_sites = [
        MySite(
            s,
            [c for c in clocks if c.site == s.id],
            [t for t in waiting if t.site == s.id],
            list_site_orders(s.id, reassigned_lines, _, barred_sites, sheltering_sites),
        )
        for s in own_sites
    ]
    return sorted(
        my_sites,
        key=lambda m: (WORST_FIRST.index(m.site.status), -len(m.tasks), not m.orders, m.site.name),
    )


def count_abnormal_sites(sites: Iterable[MySite]) -> int:
    """Count the sites that are not normal."""
    return sum(m.site.status is not SiteStatus.NORMAL for m in sites)


@dataclass(frozen=True, slots=True)
class OwnCards:
    """Cards of some sites, with the plans and contents behind them."""

    items: list[SiteCard]
    plans: dict[str, Plan]
    contents: dict[str, PlanContent]


async def build_my_sites_page(x: ScreenData) -> dict[str, Any]:
    """Build `my_sites.html`: the sites in the scope of the account."""
    tasks, reassignments, barred_sites, sheltering_sites = await asyncio.gather(
        x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN)),
        x.queries.reassignments(state=ACTIVE_LINE_STATES, limit=LINE_LIMIT),
        x.queries.barred_sites(),
        x.queries.sheltering_sites(),
    )
    my_sites = list_my_sites(
        x.shell.reader.principal.scope,
        x.sites,
        x.clocks,
        tasks.items,
        reassignments.items,
        x._,
        barred_sites,
        sheltering_sites,
    )
    cards = await _load_site_cards(x, [m.site.id for m in my_sites])
    mine = site_card_page.group_my_cards(
        cards.items,
        cards.plans,
        cards.contents,
        x.reference,
        lambda role: may_work_card_of(x.shell.reader.principal, role),
    )
    my_sites.sort(key=lambda m: not (m.site.id in mine and mine[m.site.id].overdue))
    reports_by_site = await x.queries.reports_of_sites([m.site.id for m in my_sites[:SITES_SHOWN]])
    receipts = {
        site: build_receipts(reports, x.shell.overview.incidents)
        for site, reports in reports_by_site.items()
    }
    site_ids = {m.site.id for m in my_sites[:SITES_SHOWN]}
    answers_orders = x.shell.reader.may(Permission.REASSIGNMENT_ANSWER)
    action_lines = await load_action_lines(x, own_sites=site_ids) if site_ids else []
    instructions = instructions_of(await x.queries.instructions(site_ids, texts=True))
    return {
        "area_orders": await load_area_orders(x, [t for m in my_sites for t in m.tasks]),
        "area_answers": await load_area_answers(x, site_ids),
        "receipts": receipts,
        "next_step": build_site_step(
            tasks.items,
            site_ids,
            x.shell.now,
            x._,
            cards.items,
            [line.action for line in action_lines],
            {m.site.id: m.orders for m in my_sites} if answers_orders else {},
        ),
        "cards": mine,
        "instructions": instructions,
        "actions": actions_page.map_open_by_site(action_lines),
        "answers_for": lambda site: answers_for(x.shell.reader.principal.scope, site),
        "sites": my_sites[:SITES_SHOWN],
        "total": len(my_sites),
        "touched": count_abnormal_sites(my_sites),
        "quick": QUICK_TROUBLES,
    }


async def load_area_orders(x: ScreenData, tasks: Iterable[Task]) -> dict[str, str]:
    """Return the order in words for each task that asks about an order for an area. Rule D102."""
    texts: dict[str, str] = {}
    for task in tasks:
        row = await x.queries.area_order_of(task) if task.kind == AREA_ORDER else None
        if row is not None:
            texts[task.id] = describe_area_order(row, x.shell.now, x.names, x._)
    return texts


async def load_area_answers(x: ScreenData, sites: set[str]) -> dict[str, list[SiteAnswer]]:
    """Return by site its answers to the orders for its area that it may change. Rule D102."""
    if not sites:
        return {}
    answers = await x.queries.area_answers(sites)
    return describe_site_answers(answers, x.shell.now, x.names, x._)


async def _load_site_cards(x: ScreenData, sites: list[str]) -> OwnCards:
    """Return the cards of these sites, with their plans and contents; none without sites."""
    if not sites:
        return OwnCards([], {}, {})
    site_cards, plans = await asyncio.gather(x.queries.site_cards(sites=sites), x.queries.plans())
    contents = ref.collect_plan_contents(x.reference.sections) if site_cards.items else {}
    return OwnCards(site_cards.items, {p.id: p for p in plans.items}, contents)


PAGE: Final = ScreenPage(
    "mine", "/mes-sites", "my_sites.html", build_my_sites_page, N_("Mes sites")
)

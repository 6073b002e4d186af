"""Load the data that all screens share, and build the frame around them."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from schemas.words import ActivityState, SiteStatus
from services.console.actions import page as actions_page
from services.console.actions.queries import REQUEST
from services.console.actions.rights import can_read_words, may_answer, may_cancel
from services.console.continuity.clocks import RunningClock, list_running_clocks
from services.console.continuity.plan_rights import (
    list_liftable_plans,
    list_own_activities,
    list_own_plans,
)
from services.console.i18n import N_, Translator, get_translator
from services.console.incidents.escalation_page import (
    EscalationView,
    build_escalation,
    find_main_escalation,
)
from services.console.logbook.line_list import SHOWN_KINDS
from services.console.logbook.queries import FirstSentence
from services.console.messages import page as messages_page
from services.console.read_model.queries import Queries
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Action, Activity, Escalation, Incident, Line, Site
from services.console.sites.map import MapView, draw_affected_part, draw_territory
from services.console.texts import words as w
from services.console.texts.names import shorten_site_name
from services.console.web.access import (
    build_query,
    build_shell,
    list_kept_parameters,
    require_reader,
)
from services.console.web.navigation import build_navigation
from services.console.web.pages import WebPage
from services.console.web.shell import ScreenReader, ScreenShell
from services.runtime.identity.permissions import Permission

LINES_SCANNED: Final = 200
LINE_LIMIT: Final = 1000
SITE_STATUS_FORMS: Final = {
    SiteStatus.EVACUATED: (N_("évacué"), N_("évacués")),
    SiteStatus.SHELTERING: (N_("confiné"), N_("confinés")),
    SiteStatus.CLOSED: (N_("fermé"), N_("fermés")),
    SiteStatus.DEGRADED: (N_("dégradé"), N_("dégradés")),
    SiteStatus.UNKNOWN: (N_("sans nouvelles"), N_("sans nouvelles")),
    SiteStatus.NORMAL: (N_("normal"), N_("normaux")),
}
ACTIVITY_STATE_FORMS: Final = {
    ActivityState.INTERRUPTED: (N_("interrompue"), N_("interrompues")),
    ActivityState.DEGRADED: (N_("dégradée"), N_("dégradées")),
    ActivityState.THREATENED: (N_("menacée"), N_("menacées")),
    ActivityState.RESTORED: (N_("rétablie"), N_("rétablies")),
    ActivityState.NOMINAL: (N_("nominale"), N_("nominales")),
}


@dataclass(frozen=True, slots=True)
class ScreenData:
    """Data that several screens need."""

    request: Request
    shell: ScreenShell
    queries: Queries
    """Queries about the realm of the page, in its language."""
    reference: IndexedReference
    sites: list[Site]
    activities: list[Activity]
    clocks: list[RunningClock]
    _: Translator

    @property
    def names(self) -> Any:
        return self.reference.names


@dataclass(frozen=True, slots=True)
class ScreenPage(WebPage):
    """A page with the frame of all screens; `build` gets their data and returns its own values."""

    under: str = ""
    """Page that the menu marks as current; empty: this one."""

    async def collect_values(
        self, queries: Queries, request: Request, **parameters: str
    ) -> dict[str, Any]:
        """Return the values of the template, those of the frame among them.

        Raises LoginRequired, PageMoved, ProblemError `forbidden`.
        """
        reader = require_reader(request, self.needs)
        x = await _load_screen_data(queries, request, reader, self.under or self.name)
        return _build_page_context(x) | await self.build(x, **parameters)


async def _load_screen_data(
    queries: Queries, request: Request, reader: ScreenReader, page: str
) -> ScreenData:
    """Load the data that all screens share."""
    shell = await build_shell(request, queries, reader, page)
    queries = queries.of(shell.realm.name, shell.lang)
    reference, sites, activities = await asyncio.gather(
        queries.reference(), queries.sites(), queries.activities()
    )
    return ScreenData(
        request,
        shell,
        queries,
        reference,
        sites.items,
        activities.items,
        list_running_clocks(activities.items, shell.now),
        get_translator(shell.lang),
    )


def _build_page_context(x: ScreenData) -> dict[str, Any]:
    """Build the values that every template needs, beside those of its own page."""
    return {
        **build_frame_context(x.request, x.shell),
        "foreseen": lambda plan, incident: describe_activation(plan, incident, x),
        "own_plans": list_own_plans(x.shell.reader.principal, x.reference),
        "liftable": list_liftable_plans(
            x.shell.reader.principal, x.reference, int(x.shell.overview.level.level)
        ),
        "own_activities": list_own_activities(x.shell.reader.principal, x.reference, x.activities),
    }


async def load_escalation_view(x: ScreenData, incident_id: str | None) -> EscalationView | None:
    """Return the escalation that the cell follows."""
    return await load_answers(x, find_main_escalation(await load_escalations(x), incident_id))


async def load_escalations(x: ScreenData) -> list[Escalation]:
    return (await x.queries.escalations(limit=LINE_LIMIT)).items


async def load_answers(x: ScreenData, escalation: Escalation | None) -> EscalationView | None:
    if escalation is None:
        return None
    notifications = await x.queries.notifications(escalation=escalation.id, limit=LINE_LIMIT)
    return build_escalation(escalation, notifications.items, x.names, x._)


async def list_reached_incidents(x: ScreenData) -> Sequence[Incident]:
    """List the incidents that a limited reader may decide about, closed ones too."""
    if x.shell.reader.whole:
        return x.shell.overview.incidents
    incidents = (await x.queries.incidents(limit=LINE_LIMIT)).items
    return [one for one in incidents if x.shell.reader.reaches(one)]


async def load_action_lines(
    x: ScreenData, incident_id: str | None = None, own_sites: Collection[str] = ()
) -> list[actions_page.ActionLine]:
    """Return the actions that people asked for, of one incident, or all with the tasks.

    The words of those of an incident are shown by rights alone, as its page is shared, and
    with `own_sites` those of these sites.
    """
    principal, reference = x.shell.reader.principal, x.reference
    reads_all = principal.may(Permission.INCIDENT_DECIDE) or principal.may(Permission.REPORT_RAW)
    works = x.shell.reader.may(Permission.TASK_WORK)
    decides = x.shell.reader.may(Permission.INCIDENT_DECIDE)

    def can_read(action: Action) -> bool:
        if reads_all or action.site in own_sites:
            return True
        is_shared = incident_id is not None or bool(own_sites)
        return not is_shared and can_read_words(principal, action, reference)

    actions = await x.queries.actions(
        incident=incident_id, kind=None if incident_id is None else REQUEST, can_read=can_read
    )
    return [
        actions_page.build_line(
            action,
            x.names,
            [] if incident_id is not None else x.shell.overview.incidents,
            x._,
            answers=works and may_answer(principal, action, reference),
            cancels=decides and may_cancel(principal, action, reference),
        )
        for action in actions.items
    ]


async def load_callouts(x: ScreenData) -> list[messages_page.CallOutView]:
    """Return headcounts, then call-outs, newest first; empty without the right to the log."""
    if not x.shell.reader.may(Permission.LOG_READ):
        return []
    texts = x.shell.reader.may(Permission.REPORT_RAW)
    callouts = (await x.queries.callouts(kind=None, texts=texts, limit=LINE_LIMIT)).items
    return messages_page.build_callout_views(
        sorted(callouts, key=lambda one: one.kind != "headcount"), x.names, x._
    )


async def load_lines(
    x: ScreenData,
    *,
    incident_id: str | None = None,
    site_id: str | None = None,
    kinds: Sequence[str] = SHOWN_KINDS,
    limit: int = LINES_SCANNED,
    texts: bool = True,
) -> list[Line]:
    may = x.shell.reader.may(Permission.LOG_READ)
    if not may and texts:
        return []
    return (
        await x.queries.timeline(
            incident=incident_id, site=site_id, kind=kinds, limit=limit, texts=may and texts
        )
    ).items


async def load_maps(
    x: ScreenData, *, size: float, labels: int, ratio: float | None
) -> tuple[MapView, MapView | None, str]:
    communes = await x.queries.communes()
    frame = x.queries.map()
    part = draw_affected_part(communes, x.sites, ratio=ratio) if ratio else None
    return (
        draw_territory(communes, x.sites, frame.width, frame.height, size=size, labels=labels),
        part,
        frame.attribution,
    )


async def load_first_words(x: ScreenData, incident_id: str | None) -> FirstSentence | None:
    """Return the first sentence of the reports of an incident, for readers of reports."""
    if incident_id is None or not x.shell.reader.may(Permission.REPORT_RAW):
        return None
    return await x.queries.first_words(incident_id)


def describe_activation(plan: str, incident_id: str | None, x: ScreenData) -> str:
    """Describe the effect of activating a plan: its cards, their roles, the sites hit."""
    _, library = x._, x.reference.plans.get(plan)
    if library is None:
        return ""
    roles = list(
        dict.fromkeys(
            w.name_role(c.role, c.pole or library.pole, x.names, _) for c in library.cards
        )
    )
    incident = next((i for i in x.shell.overview.incidents if i.id == incident_id), None)
    cards = (
        _.plural("{n} fiche part", "{n} fiches partent", len(library.cards))
        if library.cards
        else _("aucune fiche ne part")
    )
    to = _("pour {roles}", roles=w.join_words(roles, _)) if roles else ""
    where = _.plural("{n} site touché", "{n} sites touchés", incident.members) if incident else ""
    card_summary = " ".join(part for part in (cards, to) if part)
    return _(
        "À l’activation : {what}.", what=" ; ".join(part for part in (card_summary, where) if part)
    )


def list_site_choices(sites: Iterable[Site]) -> list[tuple[str, str]]:
    """Return (id, label) of each site, for a list that is searched by name or commune."""
    return [(s.id, f"{shorten_site_name(s.name)}, {s.commune_name} ({s.id})") for s in sites]


def make_pluralizer(table: Any, _: Translator) -> Any:
    """Return a function `word(state, n)` that chooses singular or plural."""
    return lambda state, n: _(table[state][0 if n < 2 else 1])


def name_pilots(reference: IndexedReference, level: int, _: Translator) -> str:
    """Return the roles that pilot this level, from the territory's policy; empty at N0."""
    rule = reference.find_level_rule(level)
    if rule is None or level == 0:
        return ""
    names = [w.name_role(p, None, reference.names, _) for p in rule.pilots]
    return (
        _("{first} ou {last}", first=", ".join(names[:-1]), last=names[-1])
        if len(names) > 1
        else "".join(names)
    )


def build_frame_context(request: Request, shell: ScreenShell) -> dict[str, Any]:
    """Build the context of the frame of every screen."""
    _ = get_translator(shell.lang)
    return {
        "shell": shell,
        "ways": lambda incident: build_navigation(shell, _, incident),
        "query": lambda **changes: build_query(request, **changes),
        "kept": list_kept_parameters(request),
        "status_word": make_pluralizer(SITE_STATUS_FORMS, _),
        "state_word": make_pluralizer(ACTIVITY_STATE_FORMS, _),
    }


def find_unknown_value(request: Request, name: str, valid_values: Iterable[str]) -> str:
    """Return the requested id if it is unknown, so that the page reports it; otherwise ""."""
    requested_id = request.query_params.get(name, "")
    return "" if requested_id in valid_values else requested_id


def choose_known(requested_value: str | None, valid_values: Any, default: Any) -> Any:
    """Return the requested value if it is known, otherwise the default."""
    return requested_value if requested_value in valid_values else default

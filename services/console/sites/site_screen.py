"""Page `/sites/{id}`: one site."""

import asyncio
from typing import Any, Final

from schemas.crisis.resource_requests import OPEN_STATES as OPEN_REQUEST_STATES
from schemas.words import ActivityState, SiteStatus, TaskState
from services.console.attention import cell_page as cell
from services.console.hazards.page import find_site_lines
from services.console.http.context import is_limited
from services.console.http.scopes import is_near_site
from services.console.i18n import N_
from services.console.incidents.area_order_page import describe_area_order
from services.console.logbook.line_list import build_entries
from services.console.reassignment.agent_counts import describe_confinement
from services.console.resources import Site
from services.console.sites import my_sites_screen as mine
from services.console.sites.instructions_api import may_read_instructions
from services.console.texts.world import FORMER_KIND
from services.console.web.screen_context import ScreenData, ScreenPage, load_lines
from services.runtime.identity.permissions import Permission

ACTIVITIES_SHOWN: Final = 10

STATUS_MEANINGS: Final = {
    SiteStatus.NORMAL: N_("Aucune cause ouverte et courante."),
    SiteStatus.DEGRADED: N_("Une cause réduit ce que le site peut faire ; il reste ouvert."),
    SiteStatus.CLOSED: N_("Une cause l’empêche d’accueillir et de travailler."),
    SiteStatus.EVACUATED: N_(
        "Les personnes ont dû sortir. Seule une réouverture, ou une fermeture décidée ensuite, "
        "change cet état."
    ),
    SiteStatus.SHELTERING: N_(
        "Les personnes sont confinées à l’intérieur : personne ne sort. Le dernier ordre reçu "
        "l’emporte."
    ),
    SiteStatus.UNKNOWN: N_(
        "Ce site ne donne plus de nouvelles alors qu’il peut être touché. L’absence de nouvelles "
        "ne vaut jamais « normal » ; toute information du site lève le doute."
    ),
}

DOUBTED_MEANING: Final = N_(
    "La seule information sur ce site n’est pas confirmée. Une seconde source, une information du "
    "site ou la vérification d’une personne la confirme."
)


async def build_site_page(x: ScreenData, id: str) -> dict[str, Any]:
    """Build `site.html`. Raises NotFound."""
    lang = x.shell.lang
    site = await x.queries.site(id)
    lines, tasks = await asyncio.gather(
        load_lines(x, site_id=id), x.queries.tasks(site=id, state=(TaskState.OPEN, TaskState.TAKEN))
    )
    inside = {c.incident for c in site.causes}
    weight = {
        s: k
        for k, s in enumerate(
            (
                ActivityState.INTERRUPTED,
                ActivityState.DEGRADED,
                ActivityState.RESTORED,
                ActivityState.THREATENED,
            )
        )
    }
    activities = [
        a
        for a in x.activities
        if any(s.id == id for path in a.path for s in path) or any(o.site == id for o in a.local)
    ]
    activities.sort(key=lambda a: (weight.get(a.state, 9), a.criticality, a.id))
    return {
        "site": site,
        "has_left": site.kind == FORMER_KIND,
        "meaning": x._(DOUBTED_MEANING if cell.is_doubted(site) else STATUS_MEANINGS[site.status]),
        "activities": activities[:ACTIVITIES_SHOWN],
        "carried_more": max(0, len(activities) - ACTIVITIES_SHOWN),
        "entries": build_entries(lines, x.names, x._, 20),
        "local": [c for c in x.clocks if c.site == id],
        "incidents": [
            i
            for i in x.shell.overview.incidents
            if i.id in inside or id in i.sites or id in i.zone_sites
        ],
        "tasks": tasks.items,
        "area_orders": await mine.load_area_orders(x, tasks.items),
        "standing_orders": [
            describe_area_order(one.order, x.shell.now, x.names, x._)
            for one in await x.queries.area_orders()
            if one.order.ended_at is None and id in one.order.barred
        ],
        "area_answers": (await mine.load_area_answers(x, {id})).get(id, []),
        "pole": x.names.pole(site.pole, lang) if site.pole != "multi" else x._("plusieurs pôles"),
        "confinement": describe_confinement(site, x._),
        "resource_requests": await x.queries.resource_requests(site=id, state=OPEN_REQUEST_STATES),
        "hazards": find_site_lines(
            (await x.queries.hazards()).items, id, x.names, x.shell.now, x._
        ),
        **await load_instructions(x, site),
    }


async def load_instructions(
    x: ScreenData, site: Site | None, report: str | None = None
) -> dict[str, Any]:
    """Return the instructions to a site, for the cell and the people of the site. Rule D99."""
    reader = x.shell.reader
    principal = reader.principal
    own = mine.answers_for(principal.scope, site)
    within = not is_limited(principal) or (site is not None and is_near_site(principal, site))
    decides = reader.may(Permission.INCIDENT_DECIDE) and within
    all_instructions = []
    if site is not None and may_read_instructions(principal, site):
        all_instructions = await x.queries.instructions({site.id}, texts=True)
    visible_instructions = [i for i in all_instructions if report is None or i.report == report][
        : mine.SITES_SHOWN
    ]
    return {"instructions": visible_instructions, "own_site": own, "instructs": decides}


PAGE: Final = ScreenPage("site", "/sites/{id}", "site.html", build_site_page)

"""Build the contexts of the crisis screens, one method per template."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
from fastapi import Request

from schemas.crisis.resource_requests import OPEN_STATES as OPEN_REQUEST_STATES
from schemas.ranks import STRATEGY_ROLE
from schemas.reassignment import ACTIVE_LINE_STATES, ProposalState
from schemas.words import (
    LIBRARY_STATES,
    ActivityState,
    IncidentState,
    PlanState,
    SiteStatus,
    TaskState,
)
from services.console.attention import cell_page as cell
from services.console.attention import handover_page as handover
from services.console.attention import wall_page as wall
from services.console.attention.next_step import build_next_step, choose_role
from services.console.attention.wall_page import CalmViews
from services.console.commissioning.checks import judge_conditions
from services.console.commissioning.page import list_missing
from services.console.commissioning.reading import read_deeds
from services.console.continuity import activities_page
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.clocks import split_passed_clocks
from services.console.directory.view import build_reaching_points
from services.console.hazards.page import CELL_SITES, build_hazard_views, find_site_lines
from services.console.http.context import is_limited
from services.console.http.scopes import is_near_site
from services.console.i18n import N_, Translator
from services.console.incidents import page as incident
from services.console.incidents import report_page as signal
from services.console.incidents.escalation_page import find_incident_escalation
from services.console.incidents.page import LevelReason
from services.console.incidents.titles import describe_cause
from services.console.logbook.line_list import build_entries
from services.console.reassignment.agent_counts import describe_confinement
from services.console.resources import Activity, Incident, Site
from services.console.sites import my_sites_page as mine
from services.console.sites.cartogram import build_tiles
from services.console.sites.instructions_api import may_read_instructions
from services.console.sites.receipts import has_receipt
from services.console.staffing.resources import CellStaffing
from services.console.texts import words as w
from services.console.texts.reasons import describe_reason
from services.console.web import times
from services.console.web.access import PageMoved
from services.console.web.screen_context import (
    ACTIVITY_STATE_FORMS,
    LINE_LIMIT,
    ScreenBase,
    ScreenData,
    choose_known,
    find_unknown_value,
    list_site_choices,
    make_pluralizer,
    name_pilots,
)
from services.runtime.identity.permissions import Permission, Role

log = structlog.get_logger(__name__)
FACTS_SHOWN: Final = 3
ACTIVITIES_SHOWN: Final = 10
OPEN_STATES: Final = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
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


class CrisisScreens(ScreenBase):
    """Contexts of the templates about the situation."""

    async def cell(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "cell")
        asked = request.query_params
        realm, lang = x.shell.realm.name, x.shell.lang
        open_incidents = x.shell.overview.incidents
        poles = cell.list_pole_choices(x.sites, x.names.pole_titles(x.reference.poles, x._), x._)
        pole = next((p for p in poles if p.id == asked.get("pole")), poles[0])
        x = replace(x, sites=[s for s in x.sites if pole.id in (None, s.pole)])
        shown = next(
            (i for i in open_incidents if i.id == asked.get("incident")),
            next(iter(open_incidents), None),
        )
        missing = (
            x._("Cet incident n’est pas ouvert ici.")
            if find_unknown_value(request, "incident", (i.id for i in open_incidents))
            else ""
        )
        if nowhere := find_unknown_value(request, "pole", (p.id for p in poles if p.id)):
            missing = x._(
                "Aucun pôle ne porte l’identifiant « {id} » : tous sont montrés.", id=nowhere
            )
        staffing = await self._queries.cell_staffing(realm, lang=lang)
        attention = await self._queries.attention(realm, lang=lang)
        tasks, lines, ladder, plans, alarms, maps = await asyncio.gather(
            self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN)),
            self._lines(x),
            self._ladder(x, shown.id if shown else None),
            self._queries.plans(realm, lang=lang),
            self._queries.alarms(realm, lang=lang),
            self._maps(x, size=44, labels=0, ratio=1.22),
        )
        view = cell.build_cell_view(
            x.sites,
            cell.filter_by_pole(open_incidents, pole.id),
            tasks.items,
            x.clocks,
            map_costliest_sites(x.activities),
            x.shell.now,
            lang=lang,
            view=choose_known(asked.get("vue"), cell.VIEWS, "a-traiter"),
            layout=choose_known(asked.get("affichage"), cell.LAYOUTS, "deux"),
            sort=choose_known(asked.get("tri"), cell.SORTS, "ordre"),
            q=asked.get("q", "")[:80],
        )
        if pole.id is None:
            view.counts["incidents"] = x.shell.overview.counts["incidents_open"]
        triggers = await self._queries.triggers(realm, lang=lang)
        decide = [
            p
            for p in incident.list_plans(plans.items, x.shell.now, x.names, lang, x._, triggers)
            if p.to_decide
        ]
        where = {line.report: line.site for line in lines if line.report and line.site}
        asked_of = [str(t.report) for t in tasks.items if t.kind in cell.REPORT_TASKS and t.report]
        reports, first = await asyncio.gather(
            self._queries.some_reports(realm, asked_of, lang=lang),
            self._first_words(x, shown.id if shown else None),
        )
        doubts = cell.list_pending_reports(tasks.items, reports, x.names, x.shell.now, x._)
        return {
            **self._around(request, x),
            "view": view,
            "facts": build_entries(lines, x.names, x._, FACTS_SHOWN),
            "incident": shown,
            "poles": poles,
            "pole": pole,
            "not_there": missing,
            "others": [i for i in open_incidents if shown and i.id != shown.id][:4],
            "levels": self._levels(x, shown, where) if shown else [],
            "ladder": ladder,
            "breaks": split_passed_clocks(x.clocks, x.shell.now),
            "plans": decide,
            "hazards": build_hazard_views(
                (await self._queries.hazards(realm, lang=lang)).items,
                x.names,
                x.shell.now,
                x._,
                limit=CELL_SITES,
            ),
            "asked_first": x.shell.reader.principal.role is Role.DIRECTOR,
            "staffing": staffing,
            "attention": attention,
            "next_step": build_next_step(
                attention,
                choose_role(x.shell.reader.principal.role, x.shell.reader.principal.duty),
                open_incidents,
                x.names,
                x.shell.now,
                x._,
            ),
            "unready": await self._list_unready(request, x),
            "own_function": shell_function(x, staffing),
            "reach": build_reaching_points(x.reference.said),
            "doubts": doubts,
            "first_words": first,
            "read_reports": (first.report,) if first else (),
            "arbitrations": list_arbitrations(alarms, x.activities, x.shell.now, x._),
            "whole": maps[0],
            "near": maps[1],
            "attribution": maps[2],
            "pilot": name_pilots(x.reference, x.shell.overview.level.level, x._),
            "tiles": build_tiles(await self._queries.communes(realm, lang=lang))
            if asked.get("carte") == "tuiles"
            else None,
            "views": cell.VIEWS,
            "layouts": cell.LAYOUTS,
            "takers": name_acknowledgers(shown, x) if shown else "",
            "takers_of": lambda task: (
                w.name_person(task.taken_by, x.names, x._) if task.taken_by else ""
            ),
            "calls": [c for c in await self._calls(x) if c.found.state == "running"],
            "running": [r for r in x.shell.realms if r.kind == "ex" and r.state == "open"]
            if not x.shell.realm.simulated
            else [],
        }

    async def _list_unready(self, request: Request, x: ScreenData) -> list[str] | None:
        """Name the grave gaps of an installation; None if this reader is not told.

        Only an administrator is told, in the live realm, while no incident is open. Rule D111.
        """
        shell = x.shell
        told = (
            shell.reader.principal.role is Role.ADMIN
            and not shell.realm.simulated
            and shell.moment is None
            and not shell.overview.incidents
        )
        if not told:
            return None
        deeds = await read_deeds(request, self._queries, with_sources=False)
        return list_missing(judge_conditions(deeds, x._), x._)

    async def incident(self, request: Request, id: str) -> dict[str, Any]:
        """Build `incident.html`. Raises NotFound, or Elsewhere for a merged incident."""
        x = await self._load(request, "incident")
        realm, lang = x.shell.realm.name, x.shell.lang
        shown = await self._queries.incident(realm, id, lang=lang)
        if shown.merged_into is not None:
            raise PageMoved(x.shell.url(f"/incidents/{shown.merged_into}"))
        ladder = await self._with_answers(
            x, find_incident_escalation(await self._escalations(x), id)
        )
        facts, journal, plans, proposals, moved = await asyncio.gather(
            self._queries.timeline(realm, lang=lang, incident=id, kind=("fact",), limit=LINE_LIMIT),
            self._lines(x, incident_id=id),
            self._queries.plans(realm, lang=lang),
            self._queries.proposals(realm, lang=lang, incident=id, state=(ProposalState.OPEN,)),
            self._queries.reassignments(realm, lang=lang, incident=id, limit=LINE_LIMIT),
        )
        conflicts = await self._queries.conflicts(realm, lang=lang)
        mine = [p for p in plans.items if p.incident in (None, id)]
        hit = incident.list_affected_activities(shown, x.activities)
        clocks = [
            c
            for c in x.clocks
            if c.activity in {a.id for a in hit}
            and (c.site is None or c.site in {*shown.sites, *shown.zone_sites})
        ]
        levels = self._levels(x, shown, incident.map_report_sites(facts.items))
        told = await self._first_words(x, id)
        members = incident.list_member_sites(shown, x.sites, facts.items, hit, x._)
        triggers = await self._queries.triggers(realm, lang=lang)
        lines = incident.list_plans(mine, x.shell.now, x.names, lang, x._, triggers)
        thematic = next((p for p in mine if p.pole is None and p.state not in LIBRARY_STATES), None)
        figures = incident.count_figures(shown, x.sites, hit)
        return {
            **self._around(request, x),
            "incident": shown,
            "levels": levels,
            "steps": incident.list_phases(shown, levels, thematic, x.shell.now, x._),
            "figures": figures,
            "lags": incident.draw_delays(facts.items, levels, shown.opened_at, x.shell.now),
            "clocks": clocks,
            "clocks_shown": incident.CLOCKS_SHOWN,
            "activity_counts": _format_counts(figures.activities, x._),
            "members": members[: incident.MEMBERS_SHOWN],
            "members_all": len(members),
            "entries": build_entries(journal, x.names, x._, incident.LINES_SHOWN),
            "ladders": [ladder] if ladder else [],
            "plans": lines,
            "conflicts": incident.map_conflicts(conflicts),
            "policy": x.reference.version,
            "cards": incident.list_plan_cards(mine, x.shell.now, x.names, x._),
            "actions": await self._list_action_lines(x, incident_id=id),
            "ahead": incident.find_next_break(clocks, x.shell.now),
            "first_words": told,
            "read_reports": (told.report,) if told else (),
            "kept_levels": self._refusals(x),
            "takers": name_acknowledgers(shown, x),
            "cause": describe_cause(shown.kind, shown.cause.key, x.names, lang),
            "proposal": next(iter(proposals), None),
            "under_way": sum(
                line.count for line in moved.items if line.state in ACTIVE_LINE_STATES
            ),
            "leaving": incident.list_separable_reports(shown, facts.items),
            "others": [i for i in x.shell.overview.incidents if i.id != id],
            "open": shown.state in OPEN_STATES,
        }

    def _levels(
        self, x: ScreenData, shown: Incident, where: Mapping[str, str]
    ) -> list[LevelReason]:
        """Return the reason for each level, with those a person decided for the territory."""
        decided = [r for r in x.shell.overview.level.why if incident.is_decided(r)]
        return incident.list_level_reasons(
            [*shown.why, *decided], where, x.names, x.shell.lang, self._words(x)
        )

    def _refusals(self, x: ScreenData) -> list[LevelReason]:
        """Return the proposed levels that a person refused."""
        found = [
            r for r in x.shell.overview.level.why if incident.is_decided(r) and "refused" in r.args
        ]
        words = self._words(x)
        return [
            LevelReason(
                x.shell.overview.level.level,
                r.at,
                describe_reason(r, x.names, x.shell.lang),
                "",
                words(str(r.args.get("reason", ""))) or "",
            )
            for r in found
        ]

    def _words(self, x: ScreenData) -> Callable[[str], str | None]:
        """Return a function that reads the text behind a reason.

        For readers without the right to the logbook it always returns None.
        """
        return (
            self._queries.reason_of
            if x.shell.reader.may(Permission.LOG_READ)
            else lambda _reference: None
        )

    async def activities(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "activities")
        now = x.shell.now
        alarms = await self._queries.alarms(x.shell.realm.name, lang=x.shell.lang)
        view = activities_page.build_activities_view(
            x.activities, x.clocks, x.shell.overview.incidents, now, x.shell.overview.poles, x._
        )
        asked = next(
            (a for a in x.activities if a.id == request.query_params.get("activite")), None
        )
        missing = find_unknown_value(request, "activite", (a.id for a in x.activities))
        pdma_h = x.reference.activities[asked.id].pdma_h if asked else 0
        return {
            **self._around(request, x),
            "view": view,
            "arbitrations": list_arbitrations(alarms, x.activities, now, x._),
            "not_there": missing
            and x._("Aucune activité ne porte l’identifiant « {id} ».", id=missing),
            "decides": w.name_role(STRATEGY_ROLE, None, x.names, x._),
            "plan_of": {plan.pole: plan.id for plan in x.reference.plans.values() if plan.pole},
            "states": activities_page.GRAVEST_FIRST,
            "shown": activities_page.build_selected_activity(
                asked, pdma_h, alarms, now, x.names, x._
            )
            if asked
            else None,
        }

    async def wall(self, request: Request) -> dict[str, Any]:
        """Build `wall.html`. It shows no free text, so a kiosk may show it."""
        x = await self._load(request, "wall")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        overview = x.shell.overview
        shown = next(iter(overview.incidents), None)
        staffing = await self._queries.cell_staffing(realm, lang=lang)
        attention = await self._queries.attention(realm, lang=lang)
        lines, ladder, plans, maps = await asyncio.gather(
            self._lines(x, texts=False),
            self._ladder(x, shown.id if shown else None),
            self._queries.plans(realm, lang=lang, state=(PlanState.PROPOSED,)),
            self._maps(x, size=30, labels=14, ratio=None),
        )
        why = next((r.text for r in overview.level.why if r.metric is not None), "")
        return {
            **self._around(request, x),
            "incident": shown,
            "others": overview.incidents[1:4],
            "level_why": why,
            "pilot": name_pilots(x.reference, overview.level.level, x._),
            "whole": maps[0],
            "attribution": maps[2],
            "sites_total": len(x.sites),
            "legend": cell.count_statuses(x.sites),
            "units": wall.list_affected_poles(x.sites, overview.poles, x.names, x._),
            "plans": [
                p for p in incident.list_plans(plans.items, now, x.names, lang, x._) if p.to_decide
            ],
            "plans_shown": wall.PLANS_SHOWN,
            "breaks": split_passed_clocks(x.clocks, now),
            "clocks_shown": wall.CLOCKS_SHOWN,
            "ladder": ladder,
            "silent_shown": wall.SILENT_SHOWN,
            "staffing": staffing,
            "attention": attention,
            "rate": wall.draw_rate(overview.alarm_rate),
            "facts": build_entries(lines, x.names, x._, FACTS_SHOWN),
            "feeds": wall.list_feeds(overview.feeds, 6, x._),
            "calm": await self._calm(x),
        }

    async def _calm(self, x: ScreenData) -> CalmViews | None:
        """Return the content of a quiet wall; None as soon as anything is open."""
        overview = x.shell.overview
        if overview.level.level or overview.incidents:
            return None
        realm, lang = x.shell.realm.name, x.shell.lang
        works = await self._queries.maintenance(
            realm, lang=lang, state=("active", "planned"), limit=wall.WINDOWS_SHOWN
        )
        tasks = await self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN))
        return CalmViews(
            wall.list_poles(overview.poles, x.names, x._),
            works.items,
            tasks.items[: wall.TASKS_SHOWN],
        )

    async def site(self, request: Request, id: str) -> dict[str, Any]:
        """Build `site.html`. Raises NotFound."""
        x = await self._load(request, "site")
        realm, lang = x.shell.realm.name, x.shell.lang
        shown = await self._queries.site(realm, id, lang=lang)
        lines, tasks = await asyncio.gather(
            self._lines(x, site_id=id),
            self._queries.tasks(realm, lang=lang, site=id, state=(TaskState.OPEN, TaskState.TAKEN)),
        )
        inside = {c.incident for c in shown.causes}
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
        carried = [
            a
            for a in x.activities
            if any(s.id == id for path in a.path for s in path)
            or any(o.site == id for o in a.local)
        ]
        carried.sort(key=lambda a: (weight.get(a.state, 9), a.criticality, a.id))
        return {
            **self._around(request, x),
            "site": shown,
            "meaning": x._(
                DOUBTED_MEANING if cell.is_doubted(shown) else STATUS_MEANINGS[shown.status]
            ),
            "activities": carried[:ACTIVITIES_SHOWN],
            "carried_more": max(0, len(carried) - ACTIVITIES_SHOWN),
            "entries": build_entries(lines, x.names, x._, 20),
            "local": [c for c in x.clocks if c.site == id],
            "incidents": [
                i
                for i in x.shell.overview.incidents
                if i.id in inside or id in i.sites or id in i.zone_sites
            ],
            "tasks": tasks.items,
            "pole": x.names.pole(shown.pole, lang)
            if shown.pole != "multi"
            else x._("plusieurs pôles"),
            "confinement": describe_confinement(shown, x._),
            "resource_requests": await self._queries.resource_requests(
                realm, lang=lang, site=id, state=OPEN_REQUEST_STATES
            ),
            "hazards": find_site_lines(
                (await self._queries.hazards(realm, lang=lang)).items, id, x.names, x.shell.now, x._
            ),
            **await self._instructions(x, shown),
        }

    async def signal(self, request: Request, id: str) -> dict[str, Any]:
        """Build `signal.html`: one report, with text and photos for readers with the right.

        The reading is recorded (rule D59). Raises NotFound.
        """
        x = await self._load(request, "signal")
        realm, lang, reader = x.shell.realm.name, x.shell.lang, x.shell.reader
        shown = await self._queries.report(
            realm, id, lang=lang, texts=reader.may(Permission.REPORT_RAW)
        )
        if shown.headline or shown.description or shown.attachments:
            log.info("report.text_read", report=id, realm=realm, reader=reader.principal.id)
        site = next((s for s in x.sites if s.id == shown.site), None)
        found = next((i for i in x.shell.overview.incidents if i.id == shown.incident), None)
        return {
            **await self._instructions(x, site, id),
            "has_receipt": has_receipt(shown),
            "plan_names": {p.id: x.names.plan(p.id) for p in x.reference.plans.values()}
            if signal.is_open_question(shown)
            else {},
            **self._around(request, x),
            "report": shown,
            "site": site,
            "incident": found,
            "flags": signal.describe_flags(shown, x._),
            "facts": signal.list_details(shown, x.names, x._),
            "signature": signal.describe_signature(shown, x._),
            "state": signal.describe_state(shown, x._),
            "sites": list_site_choices(x.sites),
            "erased": signal.describe_erasure(shown, lang),
            "verifier": w.name_person(shown.verified_by, x.names, x._) if shown.verified_by else "",
            "corrector": w.name_person(shown.corrected_by, x.names, x._)
            if shown.corrected_by
            else "",
        }

    async def _instructions(
        self, x: ScreenData, site: Site | None, report: str | None = None
    ) -> dict[str, Any]:
        """Return the instructions to a site, for the cell and the people of the site. Rule D99."""
        reader = x.shell.reader
        principal = reader.principal
        own = mine.answers_for(principal.scope, site)
        within = not is_limited(principal) or (site is not None and is_near_site(principal, site))
        decides = reader.may(Permission.INCIDENT_DECIDE) and within
        found = []
        if site is not None and may_read_instructions(principal, site):
            found = await self._queries.instructions(
                x.shell.realm.name, {site.id}, texts=True, lang=x.shell.lang
            )
        shown = [i for i in found if report is None or i.report == report][: mine.SITES_SHOWN]
        return {"instructions": shown, "own_site": own, "instructs": decides}

    async def handover(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "handover")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        span = choose_known(
            request.query_params.get("depuis"), handover.SPANS, handover.DEFAULT_SPAN
        )
        staffing = await self._queries.cell_staffing(realm, lang=lang)
        changes, tasks, journal, ladder, plans = await asyncio.gather(
            self._queries.changes(realm, times.to_ms(handover.find_start(span, now)), lang=lang),
            self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN)),
            self._lines(x, kinds=handover.KINDS, limit=LINE_LIMIT),
            self._ladder(x, None),
            self._queries.plans(realm, lang=lang),
        )
        said = [line for line in journal if line.recorded_at > changes.since]
        return {
            **self._around(request, x),
            "since": changes.since,
            "span": span,
            "spans": handover.SPANS,
            "tasks": tasks.items,
            "staffing": staffing,
            "sections": handover.list_sections(changes, x.names, x._),
            "ladder": ladder,
            "breaks": split_passed_clocks(x.clocks, now),
            "clocks_shown": handover.CLOCKS_SHOWN,
            "entries": build_entries(said, x.names, x._, handover.LINES_SHOWN),
            "entries_more": len(said) > handover.LINES_SHOWN,
            "plans": [
                p for p in incident.list_plans(plans.items, now, x.names, lang, x._) if p.to_decide
            ],
        }


def shell_function(x: ScreenData, staffing: CellStaffing) -> str:
    """Return the function of the cell that this reader fills or would fill; empty if unknown."""
    principal = x.shell.reader.principal
    person = principal.person or principal.id
    held = (f.role for f in staffing.items if any(p.person == person for p in f.people))
    return next(held, principal.duty or "")


def map_costliest_sites(activities: Sequence[Activity]) -> dict[str, str]:
    """Map each activity to the site that costs it most: the first of its paths."""
    found: dict[str, str] = {}
    for a in activities:
        site = next((s.id for path in a.path for s in path if s.kind == "site"), None)
        if site is not None:
            found[a.id] = site
    return found


def name_acknowledgers(shown: Incident, x: ScreenData) -> str:
    """Name the first three acknowledgers of the incident."""
    return ", ".join(w.name_acknowledgers(shown.acknowledged_by, x.names, x._)[:3])


def _format_counts(by_state: dict[ActivityState, int], _: Translator) -> str:
    word = make_pluralizer(ACTIVITY_STATE_FORMS, _)
    parts = [
        f"{by_state[s]} {word(s, by_state[s])}" for s in ACTIVITY_STATE_FORMS if by_state.get(s)
    ]
    return ", ".join(parts) + "." if parts else ""

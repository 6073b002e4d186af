"""The context of each screen: reads resources, makes the views. One method per template."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

import structlog
from fastapi import Request

from schemas import reference as ref
from schemas.reassignment import UNDER_WAY, LineState, ProposalState
from schemas.words import ActivityState, IncidentState, PlanState, SiteStatus, TaskState
from services.console.i18n import N_, Translator, translator
from services.console.oncall import all_off
from services.console.pages import activities as activities_page
from services.console.pages import cell, duty, handover, incident, moves, signal, strategies, times, wall, works
from services.console.pages.announcing import announced_of
from services.console.pages.cartogram import tiles_of
from services.console.pages.clocks import Running, running_clocks
from services.console.pages.door import Elsewhere, kept_of, poster_site, query_of, reader_of, shell_of
from services.console.pages.journal import WANTED, entries
from services.console.pages.ladder import Ladder, ladder_of, main_ladder
from services.console.pages.navigation import navigation_of
from services.console.pages.places import MapView, near, whole
from services.console.pages.reporting import DANGER_SEVERITY, GOING, TROUBLES
from services.console.pages.shell import Choice, Shell
from services.console.pages.sources import source_lines
from services.console.readmodel import Queries
from services.console.reference import Reference
from services.console.resources import Activity, Incident, Line, Site
from services.console.sources import SourceList
from services.console.texts import words as w
from services.console.texts.names import short
from services.console.texts.strategies import strategy_name
from services.runtime.rights import Permission

log = structlog.get_logger(__name__)
FACTS: Final = 3
SCANNED_LINES: Final = 200
EVERY_LINE: Final = 1000
CARRIED: Final = 10
OPEN_INCIDENT: Final = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
GAPS_SHOWN: Final = 4
"""Missing métiers that a line of a contingency ranking names."""
WINDOWS_SHOWN: Final = 200
MEANING: Final = {
    SiteStatus.NORMAL: N_("Aucune cause ouverte et courante."),
    SiteStatus.DEGRADED: N_("Une cause réduit ce que le site peut faire ; il reste ouvert."),
    SiteStatus.CLOSED: N_("Une cause l’empêche d’accueillir et de travailler."),
    SiteStatus.EVACUATED: N_("Les personnes ont dû sortir. Seule une réouverture, ou une fermeture décidée ensuite, change ce mot."),
    SiteStatus.SHELTERING: N_("Les personnes sont à l’abri à l’intérieur. Le dernier ordre donné l’emporte."),
    SiteStatus.UNKNOWN: N_(
        "Ce site n’a rien dit depuis que sa zone est touchée. Le silence n’est jamais pris pour « normal » ; tout mot du site le lève."
    ),
}
_MANY_SITES: Final = {
    SiteStatus.EVACUATED: (N_("évacué"), N_("évacués")),
    SiteStatus.SHELTERING: (N_("confiné"), N_("confinés")),
    SiteStatus.CLOSED: (N_("fermé"), N_("fermés")),
    SiteStatus.DEGRADED: (N_("dégradé"), N_("dégradés")),
    SiteStatus.UNKNOWN: (N_("sans nouvelles"), N_("sans nouvelles")),
    SiteStatus.NORMAL: (N_("normal"), N_("normaux")),
}
_MANY_ACTIVITIES: Final = {
    ActivityState.INTERRUPTED: (N_("interrompue"), N_("interrompues")),
    ActivityState.DEGRADED: (N_("dégradée"), N_("dégradées")),
    ActivityState.THREATENED: (N_("menacée"), N_("menacées")),
    ActivityState.RESTORED: (N_("rétablie"), N_("rétablies")),
    ActivityState.NOMINAL: (N_("nominale"), N_("nominales")),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What several screens need."""

    shell: Shell
    reference: Reference
    sites: list[Site]
    activities: list[Activity]
    clocks: list[Running]
    _: Translator

    @property
    def names(self) -> Any:
        return self.reference.names


def plural_of(table: Any, _: Translator) -> Any:
    """`word(state, n)` in the singular or the plural."""
    return lambda state, n: _(table[state][0 if n < 2 else 1])


def pilot_of(reference: Reference, level: int, _: Translator) -> str:
    """Who pilots this level, from the territory's policy; empty at N0."""
    policy = next((s.policy for s in reference.sections if isinstance(s, ref.EscalationPolicy)), None)
    rule = next((r for r in policy.levels if r.level == level), None) if policy else None
    if rule is None or level == 0:
        return ""
    names = [w.role_name(p, None, reference.names, _) for p in rule.pilots]
    return _("{first} ou {last}", first=", ".join(names[:-1]), last=names[-1]) if len(names) > 1 else "".join(names)


class Screens:
    """Contexts of the templates, from the queries."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def _load(self, request: Request, page: str) -> Loaded:
        reader = reader_of(request)
        shell = await shell_of(request, self._queries, reader, page)
        realm, lang = shell.realm.name, shell.lang
        reference, sites, activities = await asyncio.gather(
            self._queries.reference(realm), self._queries.sites(realm, lang=lang), self._queries.activities(realm, lang=lang)
        )
        return Loaded(shell, reference, sites.items, activities.items, running_clocks(activities.items, shell.now), translator(lang))

    async def _ladder(self, x: Loaded, incident_id: str | None) -> Ladder | None:
        realm, lang = x.shell.realm.name, x.shell.lang
        found = main_ladder((await self._queries.escalations(realm, lang=lang, limit=EVERY_LINE)).items, incident_id)
        if found is None:
            return None
        told = await self._queries.notifications(realm, lang=lang, escalation=found.id, limit=EVERY_LINE)
        return ladder_of(found, told.items, x.names, x._)

    async def _lines(self, x: Loaded, *, incident_id: str | None = None, limit: int = SCANNED_LINES, texts: bool = True) -> list[Line]:
        may = x.shell.reader.may(Permission.LOG_READ)
        if not may and texts:
            return []
        return (
            await self._queries.timeline(
                x.shell.realm.name, lang=x.shell.lang, incident=incident_id, kind=WANTED, limit=limit, texts=may and texts
            )
        ).items

    async def _maps(self, x: Loaded, *, size: float, labels: int, ratio: float | None) -> tuple[MapView, MapView | None, str]:
        communes = await self._queries.communes(x.shell.realm.name, lang=x.shell.lang)
        frame = self._queries.map()
        part = near(communes, x.sites, ratio=ratio) if ratio else None
        return whole(communes, x.sites, frame.width, frame.height, size=size, labels=labels), part, frame.attribution

    async def cell(self, request: Request) -> dict[str, Any]:
        """`cell.html`."""
        x = await self._load(request, "cell")
        asked = request.query_params
        realm, lang = x.shell.realm.name, x.shell.lang
        open_incidents = x.shell.overview.incidents
        poles = cell.pole_choices(x.sites, x.names.pole_titles(x.reference.poles, x._), x._)
        pole = next((p for p in poles if p.id == asked.get("pole")), poles[0])
        x = replace(x, sites=[s for s in x.sites if pole.id in (None, s.pole)])
        shown = next((i for i in open_incidents if i.id == asked.get("incident")), next(iter(open_incidents), None))
        tasks, lines, ladder, plans, maps = await asyncio.gather(
            self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN)), self._lines(x),
            self._ladder(x, shown.id if shown else None), self._queries.plans(realm, lang=lang), self._maps(x, size=44, labels=0, ratio=1.22),
        )  # fmt: skip
        view = cell.cell_view(
            x.sites, cell.of_pole(open_incidents, pole.id), tasks.items, x.clocks, paths_of(x.activities), x.shell.now, lang=lang,
            view=one_of(asked.get("vue"), cell.VIEWS, "a-traiter"), layout=one_of(asked.get("affichage"), cell.LAYOUTS, "deux"),
            sort=one_of(asked.get("tri"), cell.SORTS, "ordre"), q=asked.get("q", "")[:80],
        )  # fmt: skip
        decide = [p for p in incident.plan_lines(plans.items, x.shell.now, x.names, lang, x._) if p.to_decide]
        where = {line.report: line.site for line in lines if line.report and line.site}
        return {
            **self._around(request, x), "view": view, "facts": entries(lines, x.names, x._, FACTS), "incident": shown, "poles": poles, "pole": pole,
            "others": [i for i in open_incidents if shown and i.id != shown.id][:4],
            "levels": incident.level_reasons(shown, where, x.names, lang) if shown else [], "ladder": ladder, "clocks": x.clocks, "plans": decide,
            "whole": maps[0], "near": maps[1], "attribution": maps[2], "pilot": pilot_of(x.reference, x.shell.overview.level.level, x._),
            "tiles": tiles_of(await self._queries.communes(realm, lang=lang)) if asked.get("carte") == "tuiles" else None,
            "views": cell.VIEWS, "layouts": cell.LAYOUTS, "takers": takers(shown, x) if shown else "",
            "takers_of": lambda task: w.person_name(task.taken_by, x.names, x._) if task.taken_by else "",
            "running": [r for r in x.shell.realms if r.simulated and r.state == "open"] if not x.shell.realm.simulated else [],
        }  # fmt: skip

    async def incident(self, request: Request, id: str) -> dict[str, Any]:
        """`incident.html`. Raises NotFound; Elsewhere for an incident that was merged into another one."""
        x = await self._load(request, "incident")
        realm, lang = x.shell.realm.name, x.shell.lang
        shown = await self._queries.incident(realm, id, lang=lang)
        if shown.merged_into is not None:
            raise Elsewhere(x.shell.url(f"/incidents/{shown.merged_into}"))
        facts, journal, ladder, plans, proposals, moved = await asyncio.gather(
            self._queries.timeline(realm, lang=lang, incident=id, kind=("fact",), limit=EVERY_LINE), self._lines(x, incident_id=id),
            self._ladder(x, id), self._queries.plans(realm, lang=lang),
            self._queries.proposals(realm, lang=lang, incident=id, state=(ProposalState.OPEN,)),
            self._queries.reassignments(realm, lang=lang, incident=id, limit=EVERY_LINE),
        )  # fmt: skip
        conflicts = await self._queries.conflicts(realm, lang=lang)
        mine = [p for p in plans.items if p.incident in (None, id)]
        levels = incident.level_reasons(shown, incident.report_names(facts.items), x.names, lang)
        members = incident.members_of(shown, x.sites, facts.items, x.activities, x._)
        lines = incident.plan_lines(mine, x.shell.now, x.names, lang, x._)
        thematic = next((p for p in mine if p.pole is None and p.state is not PlanState.VALID), None)
        figures = incident.figures_of(shown, x.sites, x.activities)
        return {
            **self._around(request, x), "incident": shown, "levels": levels, "steps": incident.steps_of(shown, levels, thematic, x.shell.now, x._),
            "figures": figures, "lags": incident.lags_of(facts.items, levels, shown.opened_at, x.shell.now), "clocks": x.clocks,
            "clocks_shown": incident.CLOCKS_SHOWN, "activity_counts": _counts(figures.activities, x._),
            "members": members[: incident.MEMBERS_SHOWN], "members_all": len(members),
            "entries": entries(journal, x.names, x._, incident.LINES_SHOWN), "ladders": [ladder] if ladder else [], "plans": lines,
            "conflicts": incident.conflicts_of(conflicts), "policy": x.reference.version,
            "cards": incident.cards_of(mine, x.shell.now, x.names, x._), "ahead": incident.next_break(x.clocks, x.shell.now),
            "takers": takers(shown, x), "proposal": next(iter(proposals), None),
            "under_way": sum(line.count for line in moved.items if line.state in UNDER_WAY),
            "leaving": incident.leaving_of(shown, facts.items),
            "others": [i for i in x.shell.overview.incidents if i.id != id], "open": shown.state in OPEN_INCIDENT,
        }  # fmt: skip

    async def activities(self, request: Request) -> dict[str, Any]:
        """`activities.html`."""
        x = await self._load(request, "activities")
        view = activities_page.activities_view(x.activities, x.clocks, x.shell.overview.incidents, x.shell.now, x.shell.overview.poles, x._)
        return {**self._around(request, x), "view": view}

    async def wall(self, request: Request) -> dict[str, Any]:
        """`wall.html`. Shows no free text, so a kiosk may show it."""
        x = await self._load(request, "wall")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        overview = x.shell.overview
        shown = next(iter(overview.incidents), None)
        lines, ladder, plans, maps = await asyncio.gather(
            self._lines(x, texts=False), self._ladder(x, shown.id if shown else None),
            self._queries.plans(realm, lang=lang, state=(PlanState.PROPOSED,)), self._maps(x, size=30, labels=14, ratio=None),
        )  # fmt: skip
        why = next((r.text for r in overview.level.why if r.metric is not None), "")
        return {
            **self._around(request, x), "incident": shown, "others": overview.incidents[1:4], "level_why": why,
            "pilot": pilot_of(x.reference, overview.level.level, x._), "whole": maps[0], "attribution": maps[2], "sites_total": len(x.sites),
            "legend": cell.legend_of(x.sites), "units": wall.unit_rows(x.sites, overview.poles, x.names, x._),
            "plans": [p for p in incident.plan_lines(plans.items, now, x.names, lang, x._) if p.to_decide], "plans_shown": wall.PLANS_SHOWN,
            "clocks": x.clocks[: wall.CLOCKS_SHOWN], "ladder": ladder, "silent_shown": wall.SILENT_SHOWN,
            "rate": wall.rate_bars(overview.alarm_rate), "facts": entries(lines, x.names, x._, FACTS),
            "feeds": wall.feed_lines(overview.feeds, 6, x._),
        }  # fmt: skip

    async def site(self, request: Request, id: str) -> dict[str, Any]:
        """`site.html`. Raises NotFound."""
        x = await self._load(request, "site")
        realm, lang = x.shell.realm.name, x.shell.lang
        shown = await self._queries.site(realm, id, lang=lang)
        lines, tasks = await asyncio.gather(
            self._lines(x, limit=EVERY_LINE), self._queries.tasks(realm, lang=lang, site=id, state=(TaskState.OPEN, TaskState.TAKEN))
        )
        inside = {c.incident for c in shown.causes}
        weight = {
            s: k
            for k, s in enumerate((ActivityState.INTERRUPTED, ActivityState.DEGRADED, ActivityState.RESTORED, ActivityState.THREATENED))
        }
        carried = [a for a in x.activities if any(s.id == id for path in a.path for s in path) or any(o.site == id for o in a.local)]
        carried.sort(key=lambda a: (weight.get(a.state, 9), a.criticality, a.id))
        return {
            **self._around(request, x), "site": shown, "meaning": x._(MEANING[shown.status]), "activities": carried[:CARRIED], "carried_more": max(0, len(carried) - CARRIED),
            "entries": entries([line for line in lines if line.site == id], x.names, x._, 20), "local": [c for c in x.clocks if c.site == id],
            "incidents": [i for i in x.shell.overview.incidents if i.id in inside or id in i.sites or id in i.zone_sites], "tasks": tasks.items,
            "pole": x.names.pole(shown.pole, lang) if shown.pole != "multi" else x._("plusieurs pôles"),
        }  # fmt: skip

    async def signal(self, request: Request, id: str) -> dict[str, Any]:
        """`signal.html`: one report, its words and photos for those who may read them (D59: logged). Raises NotFound."""
        x = await self._load(request, "signal")
        realm, lang, reader = x.shell.realm.name, x.shell.lang, x.shell.reader
        shown = await self._queries.report(realm, id, lang=lang, texts=reader.may(Permission.REPORT_RAW))
        if shown.headline or shown.description or shown.attachments:
            log.info("report.text_read", report=id, realm=realm, reader=reader.principal.id)
        site = next((s for s in x.sites if s.id == shown.site), None)
        found = next((i for i in x.shell.overview.incidents if i.id == shown.incident), None)
        return {
            **self._around(request, x), "report": shown, "site": site, "incident": found, "flags": signal.flags_of(shown, x._),
            "signature": signal.signature_of(shown, x._),
            "state": signal.state_of(shown, x._), "sites": [(s.id, f"{short(s.name)}, {s.commune_name}") for s in x.sites],
            "verifier": w.person_name(shown.verified_by, x.names, x._) if shown.verified_by else "",
        }  # fmt: skip

    async def plans(self, request: Request) -> dict[str, Any]:
        """`plans.html`: the library, what is to decide, and how what is active ends (D48–D52)."""
        x = await self._load(request, "plans")
        realm, lang = x.shell.realm.name, x.shell.lang
        plans, conflicts, tried = await asyncio.gather(
            self._queries.plans(realm, lang=lang), self._queries.conflicts(realm, lang=lang), self._queries.strategies(realm, lang=lang)
        )
        found = plans.items
        lines = incident.plan_lines(found, x.shell.now, x.names, lang, x._)
        return {
            **self._around(request, x), "plans": lines, "conflicts": incident.conflicts_of(conflicts), "to_decide": sum(p.to_decide for p in lines),
            "cards": incident.cards_of(found, x.shell.now, x.names, x._), "active": [p for p in found if p.state in incident.ACTIVE],
            "reserve": [
                {"id": p.id, "title": p.title, "decides": w.role_name(p.decides, p.pole, x.names, x._)}
                for p in found if p.state is PlanState.VALID
            ],
            "strategies": strategies.in_effect(tried, x.names, x._), "next_ones": strategies.next_ones(x.activities, x._),
            "places": [(s.id, f"{short(s.name)}, {s.commune_name}") for s in x.sites if s.status is SiteStatus.NORMAL and s.desks],
            "in_an_hour": times.minute_value(x.shell.now + timedelta(hours=1)), "who": lambda token: w.person_name(token, x.names, x._),
        }  # fmt: skip

    async def handover(self, request: Request) -> dict[str, Any]:
        """`handover.html`."""
        x = await self._load(request, "handover")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        span = one_of(request.query_params.get("depuis"), handover.SPANS, handover.DEFAULT_SPAN)
        changes, tasks, journal, ladder, plans = await asyncio.gather(
            self._queries.changes(realm, times.ms(handover.since_of(span, now)), lang=lang),
            self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN)), self._lines(x, limit=EVERY_LINE),
            self._ladder(x, None), self._queries.plans(realm, lang=lang),
        )  # fmt: skip
        said = [line for line in journal if line.kind in ("decision", "note", "action") and line.recorded_at > changes.since]
        return {
            **self._around(request, x), "since": changes.since, "span": span, "spans": handover.SPANS, "tasks": tasks.items,
            "sections": handover.sections_of(changes, x.names, x._), "ladder": ladder, "clocks": x.clocks[: handover.CLOCKS_SHOWN],
            "entries": entries(said, x.names, x._, handover.LINES_SHOWN),
            "plans": [p for p in incident.plan_lines(plans.items, now, x.names, lang, x._) if p.to_decide],
        }  # fmt: skip

    async def report(self, request: Request) -> dict[str, Any]:
        """`report.html`; with a poster's key for its site alone, without a login."""
        choice = Choice.of(request)
        if (site := await poster_site(request)) is not None:
            return await self._poster(request, site, choice)
        reader = reader_of(request, Permission.REPORT_POST)
        shell = await shell_of(request, self._queries, reader, "report")
        sites = (await self._queries.sites(shell.realm.name, lang=choice.lang)).items
        mine = reader.principal.scope.sites
        listed = [{"id": s.id, "label": f"{short(s.name)}, {s.commune_name} ({s.id})"} for s in sites if not mine or s.id in mine]
        asked = next((s for s in listed if s["id"] == request.query_params.get("site")), listed[0] if len(listed) == 1 else None)
        return {
            "realm": shell.realm.name, "simulated": shell.realm.simulated, "now": shell.now, "sites": listed, "site": asked,
            "site_label": asked["label"] if asked else "", "troubles": TROUBLES, "goings": GOING, "danger_severity": DANGER_SEVERITY,
            "token": "", "relays": reader.may(Permission.REPORT_RELAY), "chosen": chosen_of(request),
            "over": over_of(request, translator(choice.lang)),
        }  # fmt: skip

    async def _poster(self, request: Request, site: str, choice: Choice) -> dict[str, Any]:
        """A passer-by sees the name of the one site that the poster hangs in, and nothing of the picture."""
        realm = str(request.app.state.live_realm)
        found = await self._queries.site(realm, site, lang=choice.lang)
        one = {"id": found.id, "label": f"{short(found.name)}, {found.commune_name}"}
        return {
            "realm": realm, "simulated": False, "sites": [one], "site": one, "site_label": one["label"], "troubles": TROUBLES, "goings": GOING,
            "danger_severity": DANGER_SEVERITY, "token": request.query_params["token"], "relays": False, "chosen": {},
        }  # fmt: skip

    async def sources(self, request: Request) -> dict[str, Any]:
        """`sources.html`."""
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "sources")
        listed: SourceList = request.app.state.sources
        items = await listed.of(request)
        return {**self._around(request, x), "lines": None if items is None else source_lines(items, x.names, x._)}

    async def contingency(self, request: Request) -> dict[str, Any]:
        """`contingency.html`."""
        x = await self._load(request, "contingency")
        rankings = await self._queries.contingency(x.shell.realm.name, lang=x.shell.lang)
        return {
            **self._around(request, x), "rankings": rankings, "gaps_shown": GAPS_SHOWN,
            "kind_name": lambda kind: w.word(w.KIND_ONE, kind, x._),
            "helps": lambda loss: sorted({strategy_name(help, x._) for gap in loss.gaps for help in gap.outside_help}),
        }  # fmt: skip

    async def reassignment(self, request: Request) -> dict[str, Any]:
        """`reassignment.html`: what is proposed, why, what is not possible, and how the orders stand (D58: counts, never names)."""
        x = await self._load(request, "reassignment")
        realm, lang = x.shell.realm.name, x.shell.lang
        proposals, moved = await asyncio.gather(
            self._queries.proposals(realm, lang=lang),
            self._queries.reassignments(realm, lang=lang, state=(*UNDER_WAY, LineState.VOID), limit=EVERY_LINE),
        )
        asked = request.query_params.get("proposition")
        chosen = next((p for p in proposals if p.id == asked), None) or next((p for p in proposals if p.state is ProposalState.OPEN), None)
        shown = await self._queries.proposal(realm, chosen.id, lang=lang) if chosen is not None else None
        calls = (await self._queries.callouts(realm, limit=EVERY_LINE)).items if shown is not None and shown.decisions else []
        view = moves.moves_view(proposals, shown, moved.items, x.shell.reader.principal.scope.sites, x.shell.now, x.names, x._)
        return {
            **self._around(request, x), "view": view, "facts": moves.facts_of(shown, x._) if shown is not None else [],
            "announced": announced_of(shown, calls) if shown is not None else None,
            "preferences": moves.PREFERENCES, "clocks": moves.breaks(x.clocks), "waiting": sum(g.agents for g in (*view.vital, *view.own)),
            "who": lambda token: w.person_name(token, x.names, x._),
        }  # fmt: skip

    async def maintenance(self, request: Request) -> dict[str, Any]:
        """`maintenance.html`."""
        x = await self._load(request, "maintenance")
        may = x.shell.reader.may(Permission.LOG_READ)
        windows = (await self._queries.maintenance(x.shell.realm.name, lang=x.shell.lang, texts=may, limit=EVERY_LINE)).items
        states = {"active": x._("En cours"), "planned": x._("À venir"), "over": x._("Terminés")}
        groups = [(title, [m for m in windows if m.state == state][:WINDOWS_SHOWN]) for state, title in states.items()]
        start = times.local(x.shell.now)
        return {
            **self._around(request, x), "groups": groups, "sites": x.sites, "kinds": sorted({s.kind for s in x.sites}), "types": works.TYPES,
            "rules": works.RULES, "repeats": lambda rrule: works.said_rule(rrule, x._),
            "person": lambda token: w.person_name(token, x.names, x._), "start_value": start.strftime("%Y-%m-%dT%H:%M"),
            "end_value": (start + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        }  # fmt: skip

    async def duty(self, request: Request) -> dict[str, Any]:
        """`duty.html`. Raises ProblemError `forbidden`: who is on call is for those who read the log."""
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "duty")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        today = duty.monday_of(times.local(now).date())
        monday = duty.monday_of(_day(request.query_params.get("du"), today))
        edges = duty.edges_of(monday)
        found, proof, drills = await asyncio.gather(
            self._queries.on_call(realm, lang=lang, start=edges[0], end=edges[-1], now=times.ms(now)),
            self._queries.readiness(realm, lang=lang),
            self._queries.drills(realm, lang=lang, limit=1),
        )
        policy = next((s.policy for s in x.reference.sections if isinstance(s, ref.EscalationPolicy)), None)
        no_channel = bool(drills.items) and all_off(drills.items[0].channels)
        return {
            **self._around(request, x), "week": monday.isocalendar().week, "posts": found.items, "proof": proof,
            "drill": drills.items[0] if drills.items else None, "no_channel": no_channel,
            "unserved": ", ".join(w.word(w.CHANNEL, c, x._) for c in proof.without_provider),
            "rows": duty.rows_of(found, edges, now, lang), "limits": found.limits, "holes": [] if no_channel else proof.items[: duty.SHOWN_HOLES], "grave": duty.GRAVE,
            "days_shown": duty.days_of(monday, now, frozenset(policy.holidays if policy else ()), lang), "bands": duty.bands_of(proof),
            "ticks": duty.ticks_of(proof), "days": (proof.end - proof.start).days, "reserves": proof.holes_count - proof.nobody_count,
            "before": (monday - timedelta(days=7)).isoformat(), "after": (monday + timedelta(days=7)).isoformat(), "this_week": monday == today,
            "may_plan": x.shell.reader.may(Permission.ROTA_WRITE) and x.shell.moment is None, "persons": sorted(x.names.holders)[:600],
            "when_of": lambda hole: duty.when_of(hole, now, x._),
        }  # fmt: skip

    async def device(self, request: Request) -> dict[str, Any]:
        """`device.html`. Raises ProblemError `forbidden`: who is never called has no device."""
        reader_of(request, Permission.INCIDENT_ACKNOWLEDGE)
        return self._around(request, await self._load(request, "device"))

    async def realms(self, request: Request) -> dict[str, Any]:
        """`realms.html`."""
        x = await self._load(request, "realms")
        rows = []
        for realm in x.shell.realms[:20]:
            overview = x.shell.overview if realm.name == x.shell.realm.name else await self._queries.overview(realm.name, lang=x.shell.lang)
            rows.append({"realm": realm, "level": overview.level.level, "incidents": len(overview.incidents)})
        start = times.local(x.shell.overview.server_time).strftime("%Y-%m-%dT%H:%M")
        return {**self._around(request, x), "rows": rows, "start_value": start}

    def _around(self, request: Request, x: Loaded) -> dict[str, Any]:
        return framed(request, x.shell)


def framed(request: Request, shell: Shell) -> dict[str, Any]:
    """What the frame of every screen needs."""
    _ = translator(shell.lang)
    return {
        "shell": shell, "ways": lambda incident: navigation_of(shell, _, incident), "query": lambda **changes: query_of(request, **changes), "kept": kept_of(request), "status_word": plural_of(_MANY_SITES, _),
        "state_word": plural_of(_MANY_ACTIVITIES, _),
    }  # fmt: skip


def chosen_of(request: Request) -> dict[str, str]:
    """What a link to the report form has chosen already (`quoi`, `va`): then nobody is in danger unless the sender says so."""
    what, going = (request.query_params.get(name) for name in ("quoi", "va"))
    if what not in {t.type for t in TROUBLES} or going not in {g.key for g in GOING}:
        return {}
    return {"trouble": str(what), "going": str(going), "danger": "no"}


def over_of(request: Request, _: Translator) -> dict[str, str] | None:
    """The cause that a link to the report form says is over (`fini`, a type)."""
    type = request.query_params.get("fini", "")
    return {"type": type, "what": w.word(w.CAUSE, type, _)} if type in w.CAUSE else None


def _day(text: str | None, otherwise: date) -> date:
    try:
        day = date.fromisoformat(text) if text else otherwise
    except ValueError:
        return otherwise
    return day if 2000 <= day.year <= 2100 else otherwise


def one_of(asked: str | None, known: Any, default: Any) -> Any:
    """The value that was asked for, if it is one of those known."""
    return asked if asked in known else default


def paths_of(activities: Sequence[Activity]) -> dict[str, str]:
    """Activity → the site that costs it most: the first of its paths."""
    found: dict[str, str] = {}
    for a in activities:
        site = next((s.id for path in a.path for s in path if s.kind == "site"), None)
        if site is not None:
            found[a.id] = site
    return found


def takers(shown: Incident, x: Loaded) -> str:
    """Who took the incident in charge, by role."""
    return ", ".join(w.person_name(p, x.names, x._) for p in shown.acknowledged_by[:3])


def _counts(by_state: dict[ActivityState, int], _: Translator) -> str:
    word = plural_of(_MANY_ACTIVITIES, _)
    parts = [f"{by_state[s]} {word(s, by_state[s])}" for s in _MANY_ACTIVITIES if by_state.get(s)]
    return ", ".join(parts) + "." if parts else ""

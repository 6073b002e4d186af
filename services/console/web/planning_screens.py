"""Build the screens for decisions, preparation and reporting.

Plans, reassignment, maintenance, on-call, sources, the report form.
"""

from __future__ import annotations

import asyncio
import re
from datetime import date, timedelta
from typing import Any, Final

from fastapi import Request

from schemas import reference as ref
from schemas.reassignment import UNDER_WAY, LineState, ProposalState
from schemas.words import ACTIVATED, SHELVED, PlanState, SiteStatus
from services.console.continuity import strategies
from services.console.continuity.arbitrations import arbitrations_of
from services.console.http.decisions import author_of
from services.console.i18n import Translator, translator
from services.console.incidents import page as incidents_page
from services.console.incidents.report_form import DANGER_SEVERITY, GOING, TROUBLES
from services.console.maintenance import page as maintenance_page
from services.console.oncall import page as duty
from services.console.oncall.schedule import all_off
from services.console.reassignment import page as reassignment_page
from services.console.reassignment.agent_counts import confinement_words, estimate_words
from services.console.reassignment.announcement_page import announced_of
from services.console.reference import page as reference_page
from services.console.resources import Site
from services.console.sites.source_status import SourceList
from services.console.sites.sources_page import source_lines
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import short
from services.console.texts.strategies import strategy_name
from services.console.web import times
from services.console.web.access import poster_site, reader_of, shell_of
from services.console.web.screen_context import EVERY_LINE, choices, unknown_of
from services.console.web.screens import CrisisScreens
from services.console.web.shell import Choice
from services.runtime.identity.permissions import Permission

GAPS_SHOWN: Final = 4
"""Missing métiers shown in a line of a contingency ranking."""
SHOWN_REALMS: Final = 20
"""Realms on one page of the list."""
WINDOWS_SHOWN: Final = 200
WHOLE_PCT: Final = 100


class Screens(CrisisScreens):
    """Contexts of the crisis screens and of the screens defined here, one method per template."""

    async def plans(self, request: Request) -> dict[str, Any]:
        """Build `plans.html`: the library, open decisions, and the end of active plans.

        Rules D48–D52.
        """
        x = await self._load(request, "plans")
        realm, lang = x.shell.realm.name, x.shell.lang
        plans, conflicts, tried, alarms = await asyncio.gather(
            self._queries.plans(realm, lang=lang),
            self._queries.conflicts(realm, lang=lang),
            self._queries.strategies(realm, lang=lang),
            self._queries.alarms(realm, lang=lang),
        )
        found = plans.items
        triggers = await self._queries.triggers(realm, lang=lang)
        lines = incidents_page.plan_lines(found, x.shell.now, x.names, lang, x._, triggers)
        return {
            **self._around(request, x),
            "plans": lines,
            "conflicts": incidents_page.conflicts_of(conflicts),
            "to_decide": sum(p.to_decide for p in lines),
            "arbitrations": arbitrations_of(alarms, x.activities, x.shell.now, x._),
            "cards": incidents_page.cards_of(found, x.shell.now, x.names, x._),
            "active": [p for p in found if p.state in ACTIVATED],
            "reserve": [
                {
                    "id": p.id,
                    "title": p.title,
                    "version": p.version,
                    "decides": w.role_name(p.decides, p.pole, x.names, x._),
                }
                for p in found
                if p.state is PlanState.VALID
            ],
            "not_valid": [
                (p.id, p.title, w.word(w.PLAN_STATE, p.state, x._))
                for p in found
                if p.state in SHELVED and p.state is not PlanState.VALID
            ],
            "stale": [w.word(w.STALE, code, x._) for code in (found[0].stale if found else ())],
            "strategies": strategies.in_effect(tried, x.names, x._),
            "next_ones": strategies.next_ones(x.activities, x._),
            "places": choices(s for s in x.sites if _may_host(s)),
            "other_places": choices(s for s in x.sites if not _may_host(s)),
            "in_an_hour": times.minute_value(x.shell.now + timedelta(hours=1)),
            "who": lambda token: w.person_name(token, x.names, x._),
        }

    async def report(self, request: Request) -> dict[str, Any]:
        """Build `report.html`; with a poster's key it is for one site and needs no login."""
        choice = Choice.of(request)
        if (site := await poster_site(request)) is not None:
            return await self._poster(request, site, choice)
        reader = reader_of(request, Permission.REPORT_POST)
        shell = await shell_of(request, self._queries, reader, "report")
        sites = (await self._queries.sites(shell.realm.name, lang=choice.lang)).items
        mine = reader.principal.scope.sites
        listed = [
            {"id": id, "label": label}
            for id, label in choices(s for s in sites if not mine or s.id in mine)
        ]
        asked = next(
            (s for s in listed if s["id"] == request.query_params.get("site")),
            listed[0] if len(listed) == 1 else None,
        )
        missing, _ = unknown_of(request, "site", (s["id"] for s in listed)), translator(choice.lang)
        return {
            "not_there": missing
            and _(
                "Le site « {id} » n’est pas de ceux pour lesquels vous signalez : choisissez-en "
                "un.",
                id=missing,
            ),
            "realm": shell.realm.name,
            "simulated": shell.realm.simulated,
            "now": shell.now,
            "sites": listed,
            "site": asked,
            "site_label": asked["label"] if asked else "",
            "troubles": TROUBLES,
            "goings": GOING,
            "danger_severity": DANGER_SEVERITY,
            "token": "",
            "relays": reader.may(Permission.REPORT_RELAY),
            "chosen": chosen_of(request),
            "over": over_of(request, translator(choice.lang)),
        }

    async def _poster(self, request: Request, site: str, choice: Choice) -> dict[str, Any]:
        """Build the report form of a poster: it shows the name of its site and nothing else."""
        realm = str(request.app.state.live_realm)
        found = await self._queries.site(realm, site, lang=choice.lang)
        one = {"id": found.id, "label": f"{short(found.name)}, {found.commune_name}"}
        return {
            "not_there": "",
            "realm": realm,
            "simulated": False,
            "sites": [one],
            "site": one,
            "site_label": one["label"],
            "troubles": TROUBLES,
            "goings": GOING,
            "danger_severity": DANGER_SEVERITY,
            "token": request.query_params["token"],
            "relays": False,
            "chosen": {},
        }

    async def sources(self, request: Request) -> dict[str, Any]:
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "sources")
        listed: SourceList = request.app.state.sources
        items = await listed.of(request)
        return {
            **self._around(request, x),
            "lines": None if items is None else source_lines(items, x.names, x._),
        }

    async def contingency(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "contingency")
        rankings = await self._queries.contingency(x.shell.realm.name, lang=x.shell.lang)
        return {
            **self._around(request, x),
            "rankings": rankings,
            "gaps_shown": GAPS_SHOWN,
            "kind_name": lambda kind: w.word(world.KIND_ONE, kind, x._),
            "helps": lambda loss: sorted(
                {strategy_name(help, x._) for gap in loss.gaps for help in gap.outside_help}
            ),
        }

    async def reassignment(self, request: Request) -> dict[str, Any]:
        """Build `reassignment.html`: proposals, their reasons, unmet needs, state of the orders.

        It shows counts, never names. Rule D58.
        """
        x = await self._load(request, "reassignment")
        realm, lang = x.shell.realm.name, x.shell.lang
        proposals, moved = await asyncio.gather(
            self._queries.proposals(realm, lang=lang),
            self._queries.reassignments(
                realm, lang=lang, state=(*UNDER_WAY, LineState.VOID), limit=EVERY_LINE
            ),
        )
        asked = request.query_params.get("proposition")
        missing = unknown_of(request, "proposition", (p.id for p in proposals))
        chosen = next((p for p in proposals if p.id == asked), None) or next(
            (p for p in proposals if p.state is ProposalState.OPEN), None
        )
        shown = (
            await self._queries.proposal(realm, chosen.id, lang=lang)
            if chosen is not None
            else None
        )
        calls = (
            (await self._queries.callouts(realm, limit=EVERY_LINE)).items
            if shown is not None and shown.decisions
            else []
        )
        estimated = frozenset(shown.estimated) if shown is not None else frozenset[str]()
        view = reassignment_page.moves_view(
            proposals,
            shown,
            moved.items,
            x.shell.reader.principal.scope.sites,
            x.shell.now,
            x.names,
            x._,
        )
        return {
            **self._around(request, x),
            "view": view,
            "facts": reassignment_page.facts_of(shown, x._) if shown is not None else [],
            "announced": announced_of(shown, calls) if shown is not None else None,
            "not_there": missing
            and x._("Aucune proposition ne porte l’identifiant « {id} ».", id=missing),
            "preferences": reassignment_page.PREFERENCES,
            "clocks": reassignment_page.breaks(x.clocks),
            "waiting": sum(g.agents for g in (*view.vital, *view.own)),
            "who": lambda token: w.person_name(token, x.names, x._),
            "hit": sum(
                site.capacity_pct < WHOLE_PCT and site.confinement is None for site in x.sites
            ),
            "confined": [
                (site, confinement_words(site, x._))
                for site in x.sites
                if site.confinement is not None and site.id not in estimated
            ],
            "estimated": [
                (site, estimate_words(site, x._)) for site in x.sites if site.id in estimated
            ],
        }

    async def maintenance(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "maintenance")
        may = x.shell.reader.may(Permission.LOG_READ)
        windows = (
            await self._queries.maintenance(
                x.shell.realm.name, lang=x.shell.lang, texts=may, limit=EVERY_LINE
            )
        ).items
        states = {"active": x._("En cours"), "planned": x._("À venir"), "over": x._("Terminés")}
        groups = [
            (title, [m for m in windows if m.state == state][:WINDOWS_SHOWN])
            for state, title in states.items()
        ]
        start = times.local(x.shell.now)
        return {
            **self._around(request, x),
            "groups": groups,
            "sites": choices(x.sites),
            "kinds": sorted({s.kind for s in x.sites}),
            "types": maintenance_page.TYPES,
            "rules": maintenance_page.RULES,
            "repeats": lambda rrule: maintenance_page.said_rule(rrule, x._),
            "person": lambda token: w.person_name(token, x.names, x._),
            "start_value": start.strftime("%Y-%m-%dT%H:%M"),
            "end_value": (start + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        }

    async def reference(self, request: Request) -> dict[str, Any]:
        """Build `reference.html`: changes of the reference data. Rule D63.

        Raises ProblemError `forbidden`.
        """
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "reference")
        found = (
            await self._queries.reference_changes(
                x.shell.realm.name, lang=x.shell.lang, texts=True, limit=EVERY_LINE
            )
        ).items
        reader = x.shell.reader
        changes = reference_page.changes_of(
            found,
            author_of(reader.principal),
            x.names,
            x._,
            may=reader.may(Permission.REFERENCE_DECIDE),
        )
        over = [c for c in changes if not c.is_open]
        return {
            **self._around(request, x),
            "version": x.reference.version,
            "open": [c for c in changes if c.is_open],
            "over": over[: reference_page.OVER_SHOWN],
            "over_count": len(over),
            "person": lambda token: w.person_name(token, x.names, x._),
            "since": next(
                (
                    c.found.in_force_at
                    for c in over
                    if c.found.in_force_at and c.found.reference == x.reference.version
                ),
                None,
            ),
        }

    async def duty(self, request: Request) -> dict[str, Any]:
        """Build `duty.html`: the on-call schedules, for readers of the log.

        Raises ProblemError `forbidden`.
        """
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "duty")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        today = duty.monday_of(times.local(now).date())
        monday = duty.monday_of(_day(request.query_params.get("du"), today))
        edges = duty.edges_of(monday)
        found, proof, drills, decided = await asyncio.gather(
            self._queries.on_call(
                realm, lang=lang, start=edges[0], end=edges[-1], now=times.ms(now)
            ),
            self._queries.readiness(realm, lang=lang),
            self._queries.drills(realm, lang=lang, limit=1),
            self._queries.duties(realm, lang=lang, state="in_force"),
        )
        policy = next(
            (s.policy for s in x.reference.sections if isinstance(s, ref.EscalationPolicy)), None
        )
        no_channel = bool(drills.items) and all_off(drills.items[0].channels)
        return {
            **self._around(request, x),
            "week": monday.isocalendar().week,
            "posts": found.items,
            "proof": proof,
            "decided": duty.decided_of(decided.items, now, x.names, x._),
            "decided_shown": duty.SHOWN_DECISIONS,
            "drill": drills.items[0] if drills.items else None,
            "no_channel": no_channel,
            "unserved": ", ".join(w.word(w.CHANNEL, c, x._) for c in proof.without_provider),
            "rows": duty.rows_of(found, edges, now, lang),
            "limits": found.limits,
            "holes": [] if no_channel else proof.items[: duty.SHOWN_HOLES],
            "grave": duty.GRAVE,
            "days_shown": duty.days_of(
                monday, now, frozenset(policy.holidays if policy else ()), lang
            ),
            "bands": duty.bands_of(proof),
            "ticks": duty.ticks_of(proof),
            "days": (proof.end - proof.start).days,
            "reserves": proof.holes_count - proof.nobody_count,
            "before": (monday - timedelta(days=7)).isoformat(),
            "after": (monday + timedelta(days=7)).isoformat(),
            "this_week": monday == today,
            "may_plan": x.shell.reader.may(Permission.ROTA_WRITE) and x.shell.moment is None,
            "persons": duty.choices(x.names, x._),
            "when_of": lambda hole: duty.when_of(hole, now, x._),
        }

    async def device(self, request: Request) -> dict[str, Any]:
        """Build `device.html`.

        Raises ProblemError `forbidden` for readers that are never called: they have no device.
        """
        reader_of(request, Permission.INCIDENT_ACKNOWLEDGE)
        return self._around(request, await self._load(request, "device"))

    async def realms(self, request: Request) -> dict[str, Any]:
        """Build `realms.html`; page 1 has the live realms and the newest."""
        x = await self._load(request, "realms")
        pages = max(1, -(-len(x.shell.realms) // SHOWN_REALMS))
        page = min(_page(request.query_params.get("page", "")), pages)
        rows = []
        for realm in x.shell.realms[(page - 1) * SHOWN_REALMS : page * SHOWN_REALMS]:
            overview = (
                x.shell.overview
                if realm.name == x.shell.realm.name
                else await self._queries.overview(realm.name, lang=x.shell.lang)
            )
            rows.append(
                {
                    "realm": realm,
                    "level": overview.level.level,
                    "incidents": overview.counts["incidents_open"],
                }
            )
        start = times.local(x.shell.overview.server_time).strftime("%Y-%m-%dT%H:%M")
        return {
            **self._around(request, x),
            "rows": rows,
            "page": page,
            "pages": pages,
            "start_value": start,
        }


def _may_host(site: Site) -> bool:
    """Return whether a site can be suggested to staff of another site."""
    return site.status is SiteStatus.NORMAL and site.desks > 0


def _page(text: str) -> int:
    """Parse a page number from 1; anything else gives 1."""
    return max(1, int(text)) if re.fullmatch("[0-9]{1,6}", text) else 1


def chosen_of(request: Request) -> dict[str, str]:
    """Return the choices that a link to the report form has already made (`quoi`, `va`).

    The form then assumes no danger unless the sender reports it.
    """
    what, going = (request.query_params.get(name) for name in ("quoi", "va"))
    trouble = next((t.key for t in TROUBLES if what in (t.key, t.type) and not t.named), None)
    if trouble is None or going not in {g.key for g in GOING}:
        return {}
    return {"trouble": trouble, "going": str(going), "danger": "no"}


def over_of(request: Request, _: Translator) -> dict[str, str] | None:
    """Return the cause that a link to the report form marks as over (`fini`, a type)."""
    type = request.query_params.get("fini", "")
    return {"type": type, "what": w.word(w.CAUSE, type, _)} if type in w.CAUSE else None


def _day(text: str | None, otherwise: date) -> date:
    try:
        day = date.fromisoformat(text) if text else otherwise
    except ValueError:
        return otherwise
    return day if 2000 <= day.year <= 2100 else otherwise

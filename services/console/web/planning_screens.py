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
from schemas.reassignment import ACTIVE_LINE_STATES, LineState, ProposalState
from schemas.words import ACTIVE_PLAN_STATES, LIBRARY_STATES, PlanState, SiteStatus
from services.console.continuity import strategies
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.card_rights import list_open_poles, may_work_card_of
from services.console.continuity.plan_page import (
    SITE_CARDS_SHOWN,
    PlanPage,
    any_opens,
    list_site_card_lines,
)
from services.console.hazards.page import PLAN_SITES, build_hazard_views
from services.console.http.decisions import get_author
from services.console.i18n import Translator, get_translator
from services.console.incidents import page as incidents_page
from services.console.incidents.report_form import DANGER_SEVERITY, OPERATING_STATES, TROUBLES
from services.console.maintenance import page as maintenance_page
from services.console.oncall import page as duty
from services.console.oncall.schedule import has_no_provider
from services.console.proof.reading import read_plan_proof, read_plan_proofs
from services.console.reassignment import page as reassignment_page
from services.console.reassignment.agent_counts import describe_confinement, estimate_words
from services.console.reassignment.announcement_page import sum_announcements
from services.console.reference import page as reference_page
from services.console.resources import Site
from services.console.sites.source_status import SourceClient
from services.console.sites.sources_page import list_source_lines
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import shorten_site_name
from services.console.texts.strategies import name_strategy
from services.console.web import times
from services.console.web.access import build_shell, find_poster_site, require_reader
from services.console.web.screen_context import LINE_LIMIT, find_unknown_value, list_site_choices
from services.console.web.screens import CrisisScreens
from services.console.web.shell import DisplayChoice
from services.runtime.identity.permissions import Permission

GAPS_SHOWN: Final = 4
"""Missing métiers shown in a line of a contingency ranking."""
REALMS_SHOWN: Final = 20
"""Realms on one page of the list."""
WINDOWS_SHOWN: Final = 200
WHOLE_PCT: Final = 100


class PlanningScreens(CrisisScreens):
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
        proofs = await read_plan_proofs(request, self._queries, realm, None, x._)
        lines = incidents_page.list_plans(found, x.shell.now, x.names, lang, x._, triggers)
        return {
            **self._around(request, x),
            "plans": lines,
            "proofs": proofs,
            "proof_of": {proof.id: proof for proof in proofs.items},
            "conflicts": incidents_page.map_conflicts(conflicts),
            "to_decide": sum(p.to_decide for p in lines),
            "arbitrations": list_arbitrations(alarms, x.activities, x.shell.now, x._),
            "cards": incidents_page.list_plan_cards(found, x.shell.now, x.names, x._),
            "active": [p for p in found if p.state in ACTIVE_PLAN_STATES],
            "reserve": [
                {
                    "id": p.id,
                    "title": p.title,
                    "version": p.version,
                    "decides": w.name_role(p.decides, p.pole, x.names, x._),
                }
                for p in found
                if p.state is PlanState.VALID
            ],
            "not_valid": [
                (p.id, p.title, w.translate_code(w.PLAN_STATE, p.state, x._))
                for p in found
                if p.state in LIBRARY_STATES and p.state is not PlanState.VALID
            ],
            "stale": [
                w.translate_code(w.OUTDATED, code, x._)
                for code in (found[0].stale if found else ())
            ],
            "strategies": strategies.list_active_strategies(tried, x.names, x._),
            "hazards": build_hazard_views(
                (await self._queries.hazards(realm, lang=lang)).items,
                x.names,
                x.shell.now,
                x._,
                limit=PLAN_SITES,
            ),
            "next_ones": strategies.list_next_strategies(x.activities, x._),
            "places": list_site_choices(s for s in x.sites if _can_host(s)),
            "other_places": list_site_choices(s for s in x.sites if not _can_host(s)),
            "in_an_hour": times.minute_value(x.shell.now + timedelta(hours=1)),
            "who": lambda token: w.name_person(token, x.names, x._),
        }

    async def plan(self, request: Request, id: str) -> dict[str, Any]:
        """Build `plan.html`: content, progress and effects of one plan. Rules D83 and D84.

        `?fiche=` names the card of which the sites are listed. Raises NotFound.
        """
        x = await self._load(request, "plans")
        realm, lang = x.shell.realm.name, x.shell.lang
        found, conflicts, triggers = await asyncio.gather(
            self._queries.plan_detail(realm, id, lang=lang),
            self._queries.conflicts(realm, lang=lang),
            self._queries.triggers(realm, lang=lang),
        )
        proof = await read_plan_proof(request, self._queries, realm, id, None, x._)
        principal = x.shell.reader.principal
        within = list_open_poles(principal, x.reference)
        view = PlanPage(
            found,
            x.reference,
            x.shell.now,
            lambda role, pole: (
                x.shell.reader.may(Permission.CARD_WORK)
                and may_work_card_of(principal, role)
                and (within is None or pole is None or pole in within)
            ),
            x._,
        ).build()
        asked = request.query_params.get("fiche")
        chosen = next((c for g in view.groups for c in g.cards if c.id == asked and c.where), None)
        listed = (
            await self._queries.site_cards(realm, plan=id, card=chosen.id, lang=lang)
            if chosen is not None
            else None
        )
        lines = list_site_card_lines(listed.items if listed else (), x.names, x._)
        return {
            **self._around(request, x),
            "plan": found,
            "view": view,
            "proof": proof,
            "unproven": [item for item in proof.items if item.proven < item.total],
            "line": next(
                iter(incidents_page.list_plans([found], x.shell.now, x.names, lang, x._, triggers)),
                None,
            ),
            "conflicts": incidents_page.map_conflicts(conflicts).get(id, ()),
            "decides": w.name_role(found.decides, found.pole, x.names, x._),
            "activable": found.state in (PlanState.VALID, PlanState.PROPOSED)
            or found.state in incidents_page.ACTIVABLE,
            "in_an_hour": times.minute_value(x.shell.now + timedelta(hours=1)),
            "chosen": chosen,
            "site_cards": lines[:SITE_CARDS_SHOWN],
            "site_cards_more": max(0, len(lines) - SITE_CARDS_SHOWN),
            "places": list_site_choices(x.sites) if any_opens(view) else [],
            "foreseen": lambda _plan, _incident: (
                " ; ".join(
                    part
                    for part in (
                        view.activation.cards,
                        view.activation.sites,
                        view.activation.messages,
                    )
                    if part
                )
                + "."
            ),
        }

    async def report(self, request: Request) -> dict[str, Any]:
        """Build `report.html`; with a poster's key it is for one site and needs no login."""
        choice = DisplayChoice.of(request)
        if (site := await find_poster_site(request)) is not None:
            return await self._poster(request, site, choice)
        reader = require_reader(request, Permission.REPORT_POST)
        shell = await build_shell(request, self._queries, reader, "report")
        sites = (await self._queries.sites(shell.realm.name, lang=choice.lang)).items
        mine = reader.principal.scope.sites
        listed = [
            {"id": id, "label": label}
            for id, label in list_site_choices(s for s in sites if not mine or s.id in mine)
        ]
        asked = next(
            (s for s in listed if s["id"] == request.query_params.get("site")),
            listed[0] if len(listed) == 1 else None,
        )
        missing, _ = (
            find_unknown_value(request, "site", (s["id"] for s in listed)),
            get_translator(choice.lang),
        )
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
            "goings": OPERATING_STATES,
            "danger_severity": DANGER_SEVERITY,
            "token": "",
            "relays": reader.may(Permission.REPORT_RELAY),
            "chosen": parse_chosen_trouble(request),
            "over": parse_ended_cause(request, get_translator(choice.lang)),
        }

    async def _poster(self, request: Request, site: str, choice: DisplayChoice) -> dict[str, Any]:
        """Build the report form of a poster: it shows the name of its site and nothing else."""
        realm = str(request.app.state.live_realm)
        found = await self._queries.site(realm, site, lang=choice.lang)
        one = {"id": found.id, "label": f"{shorten_site_name(found.name)}, {found.commune_name}"}
        return {
            "not_there": "",
            "realm": realm,
            "simulated": False,
            "sites": [one],
            "site": one,
            "site_label": one["label"],
            "troubles": TROUBLES,
            "goings": OPERATING_STATES,
            "danger_severity": DANGER_SEVERITY,
            "token": request.query_params["token"],
            "relays": False,
            "chosen": {},
        }

    async def sources(self, request: Request) -> dict[str, Any]:
        require_reader(request, Permission.LOG_READ)
        x = await self._load(request, "sources")
        listed: SourceClient = request.app.state.sources
        items = await listed.of(request)
        return {
            **self._around(request, x),
            "lines": None if items is None else list_source_lines(items, x.names, x._),
        }

    async def contingency(self, request: Request) -> dict[str, Any]:
        x = await self._load(request, "contingency")
        rankings = await self._queries.contingency(x.shell.realm.name, lang=x.shell.lang)
        return {
            **self._around(request, x),
            "rankings": rankings,
            "gaps_shown": GAPS_SHOWN,
            "kind_name": lambda kind: w.translate_code(world.KIND_ONE, kind, x._),
            "helps": lambda loss: sorted(
                {name_strategy(help, x._) for gap in loss.gaps for help in gap.outside_help}
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
                realm, lang=lang, state=(*ACTIVE_LINE_STATES, LineState.VOID), limit=LINE_LIMIT
            ),
        )
        asked = request.query_params.get("proposition")
        missing = find_unknown_value(request, "proposition", (p.id for p in proposals))
        chosen = next((p for p in proposals if p.id == asked), None) or next(
            (p for p in proposals if p.state is ProposalState.OPEN), None
        )
        shown = (
            await self._queries.proposal(realm, chosen.id, lang=lang)
            if chosen is not None
            else None
        )
        calls = (
            (await self._queries.callouts(realm, limit=LINE_LIMIT)).items
            if shown is not None and shown.decisions
            else []
        )
        estimated = frozenset(shown.estimated) if shown is not None else frozenset[str]()
        view = reassignment_page.build_reassignment_view(
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
            "facts": reassignment_page.list_quality_figures(shown, x._)
            if shown is not None
            else [],
            "announced": sum_announcements(shown, calls) if shown is not None else None,
            "not_there": missing
            and x._("Aucune proposition ne porte l’identifiant « {id} ».", id=missing),
            "preferences": reassignment_page.PREFERENCE_LABELS,
            "clocks": reassignment_page.list_next_limits(x.clocks),
            "waiting": sum(g.agents for g in (*view.vital, *view.own)),
            "who": lambda token: w.name_person(token, x.names, x._),
            "hit": sum(
                site.capacity_pct < WHOLE_PCT and site.confinement is None for site in x.sites
            ),
            "confined": [
                (site, describe_confinement(site, x._))
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
                x.shell.realm.name, lang=x.shell.lang, texts=may, limit=LINE_LIMIT
            )
        ).items
        states = {"active": x._("En cours"), "planned": x._("À venir"), "over": x._("Terminés")}
        groups = [
            (title, [m for m in windows if m.state == state][:WINDOWS_SHOWN])
            for state, title in states.items()
        ]
        start = times.to_paris(x.shell.now)
        return {
            **self._around(request, x),
            "groups": groups,
            "sites": list_site_choices(x.sites),
            "kinds": sorted({s.kind for s in x.sites}),
            "types": maintenance_page.PLANNABLE_TYPES,
            "rules": maintenance_page.USUAL_RULES,
            "repeats": lambda rrule: maintenance_page.describe_rule(rrule, x._),
            "person": lambda token: w.name_person(token, x.names, x._),
            "start_value": start.strftime("%Y-%m-%dT%H:%M"),
            "end_value": (start + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        }

    async def reference(self, request: Request) -> dict[str, Any]:
        """Build `reference.html`: changes of the reference data. Rule D63.

        Raises ProblemError `forbidden`.
        """
        require_reader(request, Permission.LOG_READ)
        x = await self._load(request, "reference")
        found = (
            await self._queries.reference_changes(
                x.shell.realm.name, lang=x.shell.lang, texts=True, limit=LINE_LIMIT
            )
        ).items
        reader = x.shell.reader
        changes = reference_page.build_changes(
            found,
            get_author(reader.principal),
            x.names,
            x._,
            may=reader.may(Permission.REFERENCE_DECIDE),
        )
        over = [c for c in changes if not c.is_open]
        return {
            **self._around(request, x),
            "version": x.reference.version,
            "open": [c for c in changes if c.is_open],
            "over": over[: reference_page.PAST_SHOWN],
            "over_count": len(over),
            "person": lambda token: w.name_person(token, x.names, x._),
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
        require_reader(request, Permission.LOG_READ)
        x = await self._load(request, "duty")
        realm, lang, now = x.shell.realm.name, x.shell.lang, x.shell.now
        today = duty.find_monday(times.to_paris(now).date())
        monday = duty.find_monday(_parse_day(request.query_params.get("du"), today))
        edges = duty.compute_edges(monday)
        found, proof, drills, decided = await asyncio.gather(
            self._queries.on_call(
                realm, lang=lang, start=edges[0], end=edges[-1], now=times.to_ms(now)
            ),
            self._queries.readiness(realm, lang=lang),
            self._queries.drills(realm, lang=lang, limit=1),
            self._queries.duties(realm, lang=lang, state="in_force"),
        )
        policy = next(
            (s.policy for s in x.reference.sections if isinstance(s, ref.EscalationPolicy)), None
        )
        no_channel = bool(drills.items) and has_no_provider(drills.items[0].channels)
        return {
            **self._around(request, x),
            "week": monday.isocalendar().week,
            "span": {"from": edges[0], "to": edges[-1]},
            "posts": found.items,
            "proof": proof,
            "decided": duty.list_decisions(decided.items, now, x.names, x._),
            "decided_shown": duty.DECISIONS_SHOWN,
            "drill": drills.items[0] if drills.items else None,
            "no_channel": no_channel,
            "unserved": ", ".join(
                w.translate_code(w.CHANNEL, c, x._) for c in proof.without_provider
            ),
            "rows": duty.build_rows(found, edges, now, lang),
            "limits": found.limits,
            "holes": [] if no_channel else proof.items[: duty.HOLES_SHOWN],
            "grave": duty.GRAVE_HOLES,
            "days_shown": duty.build_days(
                monday, now, frozenset(policy.holidays if policy else ()), lang
            ),
            "bands": duty.build_bands(proof),
            "ticks": duty.build_ticks(proof),
            "days": (proof.end - proof.start).days,
            "reserves": proof.holes_count - proof.nobody_count,
            "before": (monday - timedelta(days=7)).isoformat(),
            "after": (monday + timedelta(days=7)).isoformat(),
            "this_week": monday == today,
            "may_plan": x.shell.reader.may(Permission.ROTA_WRITE) and x.shell.moment is None,
            "persons": duty.list_choices(x.names, x._),
            "when_of": lambda hole: duty.describe_start(hole, now, x._),
        }

    async def device(self, request: Request) -> dict[str, Any]:
        """Build `device.html`.

        Raises ProblemError `forbidden` for readers that are never called: they have no device.
        """
        require_reader(request, Permission.INCIDENT_ACKNOWLEDGE)
        return self._around(request, await self._load(request, "device"))

    async def realms(self, request: Request) -> dict[str, Any]:
        """Build `realms.html`; page 1 has the live realms and the newest."""
        x = await self._load(request, "realms")
        pages = max(1, -(-len(x.shell.realms) // REALMS_SHOWN))
        page = min(_parse_page(request.query_params.get("page", "")), pages)
        rows = []
        for realm in x.shell.realms[(page - 1) * REALMS_SHOWN : page * REALMS_SHOWN]:
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
        start = times.to_paris(x.shell.overview.server_time).strftime("%Y-%m-%dT%H:%M")
        return {
            **self._around(request, x),
            "rows": rows,
            "page": page,
            "pages": pages,
            "start_value": start,
        }


def _can_host(site: Site) -> bool:
    """Return whether a site can be suggested to staff of another site."""
    return site.status is SiteStatus.NORMAL and site.desks > 0


def _parse_page(text: str) -> int:
    """Parse a page number from 1; anything else gives 1."""
    return max(1, int(text)) if re.fullmatch("[0-9]{1,6}", text) else 1


def parse_chosen_trouble(request: Request) -> dict[str, str]:
    """Return the choices that a link to the report form has already made (`quoi`, `va`).

    The form then assumes no danger unless the sender reports it.
    """
    what, going = (request.query_params.get(name) for name in ("quoi", "va"))
    trouble = next((t.key for t in TROUBLES if what in (t.key, t.type) and not t.named), None)
    if trouble is None or going not in {g.key for g in OPERATING_STATES}:
        return {}
    return {"trouble": trouble, "going": str(going), "danger": "no"}


def parse_ended_cause(request: Request, _: Translator) -> dict[str, str] | None:
    """Return the cause that a link to the report form marks as over (`fini`, a type)."""
    type = request.query_params.get("fini", "")
    return {"type": type, "what": w.translate_code(w.CAUSE, type, _)} if type in w.CAUSE else None


def _parse_day(text: str | None, otherwise: date) -> date:
    try:
        day = date.fromisoformat(text) if text else otherwise
    except ValueError:
        return otherwise
    return day if 2000 <= day.year <= 2100 else otherwise

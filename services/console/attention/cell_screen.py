"""Page `/`: the situation for the crisis cell."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from schemas.alerts import list_asked_reports
from schemas.words import TaskState
from services.console.attention import cell_page as cell
from services.console.attention.next_step import (
    NextStep,
    build_next_step,
    build_site_step,
    choose_role,
    follows_queue,
    map_account_roles,
)
from services.console.attention.queries import POLE_ROLES
from services.console.commissioning.checks import judge_conditions
from services.console.commissioning.reading import read_deeds
from services.console.commissioning.screen import list_missing
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.clocks import split_passed_clocks
from services.console.continuity.plan_rights import (
    list_open_poles,
    list_own_activities,
    list_own_plans,
)
from services.console.directory.view import build_reaching_points
from services.console.hazards.page import CELL_SITES, build_hazard_views
from services.console.i18n import N_
from services.console.incidents import page as incident
from services.console.incidents.incident_screen import list_levels, may_answer, name_acknowledgers
from services.console.logbook.line_list import build_entries
from services.console.read_model.queries import Queries
from services.console.resources import Activity, Task
from services.console.risk.page import build_cell_risks
from services.console.sites.cartogram import build_tiles
from services.console.staffing.queries import CellStaffing
from services.console.texts import words as w
from services.console.web.screen_context import (
    ScreenData,
    ScreenPage,
    choose_known,
    find_unknown_value,
    load_action_lines,
    load_callouts,
    load_escalation_view,
    load_first_words,
    load_lines,
    load_maps,
    name_pilots,
)
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal

FACTS_SHOWN: Final = 3


async def build_cell_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    query_params = x.request.query_params
    lang = x.shell.lang
    open_incidents = x.shell.overview.incidents
    poles = cell.list_pole_choices(x.sites, x.names.pole_titles(x.reference.poles, x._), x._)
    pole = next((p for p in poles if p.id == query_params.get("pole")), poles[0])
    x = replace(x, sites=[s for s in x.sites if pole.id in (None, s.pole)])
    main_incident = next(
        (i for i in open_incidents if i.id == query_params.get("incident")),
        next(iter(open_incidents), None),
    )
    missing = (
        x._("Cet incident n’est pas ouvert ici.")
        if find_unknown_value(x.request, "incident", (i.id for i in open_incidents))
        else ""
    )
    if nowhere := find_unknown_value(x.request, "pole", (p.id for p in poles if p.id)):
        missing = x._("Aucun pôle ne porte l’identifiant « {id} » : tous sont montrés.", id=nowhere)
    staffing = await x.queries.cell_staffing()
    accounts = x.request.app.state.access.all(Principal)
    attention = await x.queries.attention(account_roles=map_account_roles(accounts, None))
    tasks, lines, ladder, plans, alarms, maps = await asyncio.gather(
        x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN)),
        load_lines(x),
        load_escalation_view(x, main_incident.id if main_incident else None),
        x.queries.plans(),
        x.queries.alarms(),
        load_maps(x, size=44, labels=0, ratio=1.22),
    )
    view = cell.build_cell_view(
        x.sites,
        cell.filter_by_pole(open_incidents, pole.id),
        tasks.items,
        x.clocks,
        map_costliest_sites(x.activities),
        x.shell.now,
        lang=lang,
        view=choose_known(query_params.get("vue"), cell.VIEWS, "a-traiter"),
        layout=choose_known(query_params.get("affichage"), cell.LAYOUTS, "deux"),
        sort=choose_known(query_params.get("tri"), cell.SORTS, "ordre"),
        q=query_params.get("q", "")[:80],
    )
    if pole.id is None:
        view.counts["incidents"] = x.shell.overview.counts["incidents_open"]
    triggers = await x.queries.triggers()
    decide = [
        p
        for p in incident.list_plans(plans.items, x.shell.now, x.names, lang, x._, triggers)
        if p.to_decide
    ]
    reader = x.shell.reader.principal
    asked_first = reader.role is Role.DIRECTOR
    own_plans = list_own_plans(reader, x.reference)
    own_role = choose_role(reader.role, reader.duty)
    own_queue = attention
    if own_role in POLE_ROLES:
        own_poles = list_open_poles(reader, x.reference)
        own_queue = await x.queries.attention(
            own_role, poles=own_poles, account_roles=map_account_roles(accounts, own_poles)
        )
    arbitrations = list_arbitrations(alarms, x.activities, x.shell.now, x._)
    if asked_first:  # what is asked of others is on the page of plans
        decide = [p for p in decide if p.id in own_plans]
        own_activities = list_own_activities(reader, x.reference, x.activities)
        arbitrations = [a for a in arbitrations if a.activity in own_activities]
    where = {line.report: line.site for line in lines if line.report and line.site}
    report_lists = [list_asked_reports(t) for t in tasks.items if t.kind in cell.REPORT_TASKS]
    asked_of = [id for ids in report_lists for id in ids]
    newest = [ids[-1] for ids in report_lists if ids]
    may_read = x.shell.reader.may(Permission.REPORT_RAW)
    reports, first = await asyncio.gather(
        x.queries.some_reports(asked_of, with_text=newest if may_read else ()),
        load_first_words(x, main_incident.id if main_incident else None),
    )
    running = {clock.activity for clock in x.clocks}
    shows_risks = bool(running) and x.shell.moment is None
    risks = await x.queries.recent_risks() if shows_risks else None
    doubts = cell.list_pending_reports(tasks.items, reports, x.names, x.shell.now, x._)
    quoted_reports = (first.report if first else None, *(doubt.quoted_report for doubt in doubts))
    return {
        "view": view,
        "facts": build_entries(lines, x.names, x._, FACTS_SHOWN),
        "incident": main_incident,
        "poles": poles,
        "pole": pole,
        "not_there": missing,
        "others": [i for i in open_incidents if main_incident and i.id != main_incident.id][:4],
        "levels": list_levels(x, main_incident, where) if main_incident else [],
        "ladder": ladder,
        "breaks": split_passed_clocks(x.clocks, x.shell.now),
        "risks": build_cell_risks(risks, running, x._),
        "plans": decide,
        "hazards": build_hazard_views(
            (await x.queries.hazards()).items, x.names, x.shell.now, x._, limit=CELL_SITES
        ),
        "asked_first": asked_first,
        "staffing": staffing,
        "attention": attention,
        "next_step": build_next_step(
            own_queue, own_role, open_incidents, x.names, x.shell.now, x._, own_plans=own_plans
        )
        if follows_queue(reader.role, reader.duty)
        else await _load_site_step(x, tasks.items),
        "unready": await _list_unready(x),
        "own_function": find_shell_function(x, staffing),
        "functions": list_functions(x, staffing),
        "reach": build_reaching_points(x.reference.message_names, await x.queries.meeting_place()),
        "doubts": doubts,
        "first_words": first,
        "read_reports": tuple(dict.fromkeys(id for id in quoted_reports if id is not None)),
        "arbitrations": arbitrations,
        "whole": maps[0],
        "near": maps[1],
        "attribution": maps[2],
        "pilot": name_pilots(x.reference, x.shell.overview.level.level, x._),
        "tiles": build_tiles(await x.queries.communes())
        if query_params.get("carte") == "tuiles"
        else None,
        "views": cell.VIEWS,
        "layouts": cell.LAYOUTS,
        "takers": name_acknowledgers(main_incident, x) if main_incident else "",
        "can_answer": main_incident is not None and await may_answer(x, main_incident),
        "takers_of": lambda task: (
            w.name_person(task.taken_by, x.names, x._) if task.taken_by else ""
        ),
        "page_of": cell.find_task_page,
        "calls": [c for c in await load_callouts(x) if c.callout.state == "running"],
        "running": [r for r in x.shell.realms if r.kind == "ex" and r.state == "open"]
        if not x.shell.realm.simulated
        else [],
    }


async def _load_site_step(x: ScreenData, tasks: Sequence[Task]) -> NextStep | None:
    """Load the next task or card of the sites of a reader; None: nothing is asked of readers."""
    sites = x.shell.reader.principal.scope.sites
    if not sites:
        return None
    cards = await x.queries.site_cards(sites=sites)
    actions = [line.action for line in await load_action_lines(x, own_sites=set(sites))]
    return build_site_step(tasks, sites, x.shell.now, x._, cards.items, actions)


async def _list_unready(x: ScreenData) -> list[str] | None:
    """Name the grave gaps of an installation; None if this reader is not told.

    Only an administrator is told, in the live realm, while no incident is open. Rule D111.
    """
    shell = x.shell
    is_entitled = (
        shell.reader.principal.role is Role.ADMIN
        and not shell.realm.simulated
        and shell.moment is None
        and not shell.overview.incidents
    )
    if not is_entitled:
        return None
    deeds = await read_deeds(x.request, x.queries, shell.realm.name, with_sources=False)
    return list_missing(judge_conditions(deeds, x._), x._)


async def find_own_function(queries: Queries, principal: Principal) -> str:
    """Return the function of the cell that a person fills; empty if none, or if nobody may say so.

    Readers with the same rights share the page, which has it in its form.
    """
    if not principal.may(Permission.INCIDENT_ACKNOWLEDGE):
        return ""
    return _find_function(await queries.cell_staffing(), principal)


def _find_function(staffing: CellStaffing, principal: Principal) -> str:
    person = principal.person or principal.id
    roles = (f.role for f in staffing.items if any(p.person == person for p in f.people))
    return next(roles, "")


def find_shell_function(x: ScreenData, staffing: CellStaffing) -> str:
    """Return the function of the cell that this reader fills or would fill; empty if unknown."""
    principal = x.shell.reader.principal
    return _find_function(staffing, principal) or principal.duty or ""


def list_functions(x: ScreenData, staffing: CellStaffing) -> list[tuple[str, str]]:
    """Return (role, name) of the functions of the cell, and of the reader's if it is another."""
    functions = [(f.role, f.role_name) for f in staffing.items]
    own = find_shell_function(x, staffing)
    if own and own not in dict(functions):
        functions.append((own, w.name_role(own, None, x.names, x._)))
    return functions


def map_costliest_sites(activities: Sequence[Activity]) -> dict[str, str]:
    """Map each activity to the site that costs it most: the first of its paths."""
    costliest_sites: dict[str, str] = {}
    for a in activities:
        site = next((s.id for path in a.path for s in path if s.kind == "site"), None)
        if site is not None:
            costliest_sites[a.id] = site
    return costliest_sites


PAGE: Final = ScreenPage(
    "cell", "/", "cell.html", build_cell_page, N_("Cellule"), tell_apart=find_own_function
)

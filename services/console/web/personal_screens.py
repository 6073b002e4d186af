"""Build the screens of one reader or one task.

Accounts and rights, the own account, the own sites, search, and an exercise with its clock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import Request

from schemas import reference as ref
from schemas.callouts import HeadcountAnswer
from schemas.plans import PlanContent
from schemas.reassignment import ACTIVE_LINE_STATES
from schemas.words import TaskState
from services.console.accounts import accounts_page as people
from services.console.accounts.account_page import can_use_passkey, find_account
from services.console.actions import page as actions_page
from services.console.actions import rights as actions_rights
from services.console.attention.next_step import build_site_step
from services.console.communication import page as communication
from services.console.continuity import site_card_page
from services.console.continuity.card_rights import may_work_card_of
from services.console.exercises import page as player
from services.console.exercises.texts import announcements
from services.console.http.decisions import get_author
from services.console.incidents import page as incidents_page
from services.console.logbook.line_list import build_entries
from services.console.messages import page as calls
from services.console.messages.headcount_answers import list_people_by_answer
from services.console.resources import Plan, SiteCard
from services.console.sites import my_sites_page
from services.console.texts import words as w
from services.console.web import search as web_search
from services.console.web import times
from services.console.web.access import PageMoved, require_reader
from services.console.web.document_screens import DocumentScreens
from services.console.web.screen_context import LINE_LIMIT, ScreenData, list_site_choices
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import read_session
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.role_names import PERSONAL_ACCOUNT, build_forbidden


@dataclass(frozen=True, slots=True)
class OwnCards:
    """Cards of some sites, with the plans and contents behind them."""

    items: list[SiteCard]
    plans: dict[str, Plan]
    contents: dict[str, PlanContent]


class PersonalScreens(DocumentScreens):
    """All screens.

    Those about accounts are never cached (see `services.console.web.routes`): they change without a
    fact on any log.
    """

    async def my_sites(self, request: Request) -> dict[str, Any]:
        """Build `my_sites.html`: the sites in the scope of the account."""
        x = await self._load(request, "mine")
        realm, lang = x.shell.realm.name, x.shell.lang
        tasks, moved = await asyncio.gather(
            self._queries.tasks(realm, lang=lang, state=(TaskState.OPEN, TaskState.TAKEN)),
            self._queries.reassignments(
                realm, lang=lang, state=ACTIVE_LINE_STATES, limit=LINE_LIMIT
            ),
        )
        found = my_sites_page.list_my_sites(
            x.shell.reader.principal.scope, x.sites, x.clocks, tasks.items, moved.items, x._
        )
        cards = await self._load_site_cards(x, [m.site.id for m in found])
        mine = site_card_page.group_my_cards(
            cards.items,
            cards.plans,
            cards.contents,
            x.reference,
            lambda role: may_work_card_of(x.shell.reader.principal, role),
        )
        found.sort(key=lambda m: not (m.site.id in mine and mine[m.site.id].overdue))
        told = await self._queries.reports_of_sites(
            realm, [m.site.id for m in found[: my_sites_page.SITES_SHOWN]], lang=lang
        )
        receipts = {
            site: my_sites_page.build_receipts(reports, x.shell.overview.incidents)
            for site, reports in told.items()
        }
        shown = {m.site.id for m in found[: my_sites_page.SITES_SHOWN]}
        instructions = my_sites_page.instructions_of(
            await self._queries.instructions(realm, shown, texts=True, lang=lang)
        )
        return {
            **self._around(request, x),
            "receipts": receipts,
            "next_step": build_site_step(tasks.items, shown, x.shell.now, x._, cards.items),
            "cards": mine,
            "instructions": instructions,
            "actions": actions_page.map_open_by_site(
                await self._list_action_lines(x, own_sites=shown) if shown else []
            ),
            "answers_for": lambda site: my_sites_page.answers_for(
                x.shell.reader.principal.scope, site
            ),
            "sites": found[: my_sites_page.SITES_SHOWN],
            "total": len(found),
            "touched": my_sites_page.count_abnormal_sites(found),
            "quick": my_sites_page.QUICK_TROUBLES,
        }

    async def _load_site_cards(self, x: ScreenData, sites: list[str]) -> OwnCards:
        """Return the cards of these sites, with their plans and contents; none without sites."""
        if not sites:
            return OwnCards([], {}, {})
        realm, lang = x.shell.realm.name, x.shell.lang
        found, plans = await asyncio.gather(
            self._queries.site_cards(realm, sites=sites, lang=lang),
            self._queries.plans(realm, lang=lang),
        )
        contents = ref.collect_plan_contents(x.reference.sections) if found.items else {}
        return OwnCards(found.items, {p.id: p for p in plans.items}, contents)

    async def actions(self, request: Request) -> dict[str, Any]:
        """Build `actions.html`: actions and tasks, and the form to ask. Rule D87."""
        x = await self._load(request, "actions")
        lines = await self._list_action_lines(x)
        principal, _ = x.shell.reader.principal, x._
        asks = x.shell.reader.may(Permission.INCIDENT_DECIDE)
        own = actions_rights.list_scopes(principal, x.reference) if asks else None
        assignees = actions_page.list_assignees(
            x.reference, _, lambda scope: own is None or scope in own
        )
        return {
            **self._around(request, x),
            "groups": actions_page.group_lines(lines, _),
            "asks": asks,
            "about": request.query_params.get("incident", ""),
            "assignees": assignees if asks else [],
            "plans": [(p.id, x.names.plan(p.id)) for p in x.reference.plans.values()],
            "priorities": actions_page.PRIORITY_LABELS,
            "due_value": actions_page.propose_due(x.shell.now),
            "csv": actions_page.build_export_address(x.shell.realm.name, x.shell.moment),
        }

    async def search(self, request: Request) -> dict[str, Any]:
        """Build `search.html`: the sites, incidents, lines and people that the reader may see."""
        x = await self._load(request, "search")
        realm, lang = x.shell.realm.name, x.shell.lang
        asked = request.query_params.get("q", "").strip()[: web_search.MAX_QUERY_LENGTH]
        incidents = (
            (await self._queries.incidents(realm, lang=lang, limit=LINE_LIMIT)).items
            if asked
            else []
        )
        lines = await self._lines(x, kinds=("all",), limit=LINE_LIMIT) if asked else []
        may_read_log = x.shell.reader.may(Permission.LOG_READ)
        return {
            **self._around(request, x),
            "q": asked,
            "sites": web_search.find_sites(x.sites, asked)[: web_search.RESULTS_SHOWN]
            if asked
            else [],
            "incidents": web_search.find_incidents(incidents, asked, x._),
            "people": web_search.find_people(x.names, asked, x._) if may_read_log else [],
            "entries": build_entries(
                web_search.find_lines(lines, asked), x.names, x._, web_search.RESULTS_SHOWN
            ),
            "may_read_log": may_read_log,
        }

    async def player(self, request: Request) -> dict[str, Any]:
        """Build `player.html`.

        Raises Elsewhere for a live realm, which has no clock to control.
        """
        x = await self._load(request, "player")
        realm, lang, now = x.shell.realm, x.shell.lang, x.shell.now
        if not realm.simulated:
            raise PageMoved("/realms")
        ladder, plans, tasks = await asyncio.gather(
            self._ladder(x, None),
            self._queries.plans(realm.name, lang=lang),
            self._queries.tasks(realm.name, lang=lang),
        )
        lines = incidents_page.list_plans(plans.items, now, x.names, lang, x._)
        cards = incidents_page.list_plan_cards(plans.items, now, x.names, x._)
        waiting = [t for t in tasks.items if t.done_at is None]
        reference = await self._queries.reference(realm.name)
        call = None
        if ladder is not None:
            called = await self._queries.notifications(
                realm.name, lang=lang, escalation=ladder.id, limit=1
            )
            call = next(iter(called.items), None)
        return {
            **self._around(request, x),
            "realm": realm,
            "speeds": player.SPEEDS,
            "jumps": player.JUMPS_MIN,
            "coming": player.list_coming_deadlines(ladder, x.clocks, cards, waiting, now, x._),
            "score": player.compute_score(
                x.shell.overview.incidents, ladder, lines, cards, tasks.items, now, x._
            ),
            "in_an_hour": times.minute_value(now + timedelta(hours=1)),
            "announcements": announcements(
                realm.name, realm.title_code, call, reference.said, now, x._
            ),
        }

    async def calls(self, request: Request) -> dict[str, Any]:
        """Build `calls.html`: call-outs and headcounts, as counts. Rules D37 and D58.

        Raises ProblemError `forbidden`.
        """
        require_reader(request, Permission.LOG_READ)
        x = await self._load(request, "calls")
        lines = await self._calls(x)
        over = sorted(
            (c for c in lines if c.is_over), key=lambda c: c.found.drafted_at, reverse=True
        )
        return {
            **self._around(request, x),
            "going": [c for c in lines if not c.is_over],
            "over": over[: calls.ENDED_SHOWN],
            "over_count": len(over),
            "sites": list_site_choices(x.sites),
            "channels": calls.CHANNELS,
            "person": lambda token: w.name_person(token, x.names, x._),
        }

    async def communication(self, request: Request) -> dict[str, Any]:
        """Build `communication.html`: statements, questions and rumours. Rule D91.

        Raises ProblemError `forbidden`, NotFound.
        """
        reader = require_reader(request, Permission.LOG_READ)
        x = await self._load(request, "communication")
        realm, lang, asked = x.shell.realm.name, x.shell.lang, request.query_params
        incident = asked.get("incident") or None
        statements, questions, rumours, templates = await asyncio.gather(
            self._queries.statements(realm, lang=lang),
            self._queries.questions(realm, lang=lang),
            self._queries.rumours(realm, lang=lang),
            self._queries.statement_templates(realm, lang=lang, incident=incident),
        )
        may_write = reader.may(Permission.STATEMENT_WRITE) and x.shell.moment is None
        editor = communication.Editor(
            get_author(reader.principal), reader.principal.acting_role, may_write
        )
        views = communication.build_statement_views(statements.items, editor, x.names, x._)
        waiting, over = communication.split_statements(views)
        is_open, answered = communication.split_questions(
            communication.build_question_views(questions.items, x.names, x._)
        )
        filled = next((t for t in templates if t.id == asked.get("modele")), None)
        wanted = asked.get("public")
        return {
            **self._around(request, x),
            "waiting": waiting,
            "over": over[: communication.OVER_SHOWN],
            "over_count": len(over),
            "published": [s for s in over if s.found.published and not s.found.retracted],
            "open_questions": is_open,
            "answered": answered[: communication.OVER_SHOWN],
            "answered_count": len(answered),
            "rumours": rumours[: communication.OVER_SHOWN],
            "site_name": x.names.site,
            "templates": templates,
            "template_id": filled.id if filled else None,
            "filled": filled,
            "incident_id": incident,
            "rumour_id": asked.get("rumeur") or None,
            "question_id": asked.get("question") or None,
            "carried": {k: asked[k] for k in ("rumeur", "question", "public") if asked.get(k)},
            "audience": filled.audience.value if filled else wanted,
            "audiences": [one.value for one in communication.AUDIENCES],
            "askers": [one.value for one in reversed(communication.AUDIENCES)],
            "may_write": may_write,
            "may_note": reader.may(Permission.NOTE_WRITE) and x.shell.moment is None,
        }

    async def answers(self, request: Request, id: str) -> dict[str, Any]:
        """Build `answers.html`: the people with one answer of a headcount. The reading is recorded.

        A page that refreshes itself does not show the names again, so it does not read them again.
        Raises NotFound, ProblemError `forbidden`.
        """
        reader = require_reader(request, Permission.DIRECTORY_READ)
        x = await self._load(request, "calls")
        realm = x.shell.realm.name
        asked = request.query_params.get("dit", "")
        said = HeadcountAnswer(asked) if asked in tuple(HeadcountAnswer) else HeadcountAnswer.HELP
        (call,) = calls.build_callout_views([await self._queries.callout(realm, id)], x.names, x._)
        fresh = "X-Vigie-Live" not in request.headers
        found = (
            await list_people_by_answer(request, self._queries, reader.principal, realm, id, said)
            if fresh
            else []
        )
        return {**self._around(request, x), "call": call, "said": said.value, "answers": found}

    async def people(self, request: Request) -> dict[str, Any]:
        """Build `people.html`: everything for an administrator, the register for an auditor.

        Raises ProblemError `forbidden`.
        """
        reader = require_reader(request, Permission.AUDIT_READ)
        x = await self._load(request, "people")
        access: AccessStore = request.app.state.access
        mayset = reader.may(Permission.ACCESS_ADMIN)
        return {
            **self._around(request, x),
            "accounts": people.list_accounts(access, reader.principal, x.names, x._)
            if mayset
            else None,
            "tokens": people.list_tokens(access, x.names, x.shell.overview.server_time, x._)
            if mayset
            else [],
            "traces": people.list_traces(access, x.names, x._),
            "roles": [
                (r.value, w.translate_code(w.ROLE, r.value, x._)) for r in people.PERSON_ROLES
            ],
            "duties": people.list_roles(x.names, x._),
            "poles": [(p, x.names.pole(p, x.shell.lang)) for p in x.reference.poles],
            "sites": list_site_choices(x.sites),
        }

    async def account(self, request: Request) -> dict[str, Any]:
        """Build `account.html`.

        Raises Stranger, or ProblemError `forbidden` for a guest or kiosk: they have no account.
        """
        reader = require_reader(request)
        if reader.guest or reader.principal.role is Role.KIOSK or read_session(request) is None:
            raise build_forbidden(reader.principal.role, PERSONAL_ACCOUNT)
        x = await self._load(request, "account")
        account = find_account(request, reader.principal)
        scope = reader.principal.scope
        return {
            **self._around(request, x),
            "account": account,
            "named": can_use_passkey(request),
            "role": w.translate_code(w.ROLE, reader.principal.role.value, x._),
            "duty": w.name_role(reader.principal.duty, None, x.names, x._)
            if reader.principal.duty
            else "",
            "scope": [
                *(x.names.site(s) for s in scope.sites),
                *(x.names.pole(p, x.shell.lang) for p in scope.poles),
                *scope.realms,
            ],
            "keys": [
                (
                    k.id,
                    k.label,
                    people.to_datetime(k.created_at),
                    people.to_datetime(k.used_at) if k.used_at else None,
                )
                for k in account.passkeys
            ]
            if account
            else [],
        }

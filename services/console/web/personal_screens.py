"""Build the screens of one reader or one task.

Accounts and rights, the own account, the own sites, search, and an exercise with its clock.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from fastapi import Request

from schemas.callouts import HeadcountAnswer
from schemas.reassignment import UNDER_WAY
from schemas.words import TaskState
from services.console.accounts import accounts_page as people
from services.console.accounts.account_page import account_of, is_named
from services.console.exercises import page as player
from services.console.exercises.texts import announcements
from services.console.incidents import page as incidents_page
from services.console.logbook.line_list import entries
from services.console.messages import page as calls
from services.console.messages.headcount_answers import who_said
from services.console.sites import my_sites_page
from services.console.texts import words as w
from services.console.web import search as web_search
from services.console.web import times
from services.console.web.access import Elsewhere, reader_of
from services.console.web.document_screens import Papers
from services.console.web.screen_context import EVERY_LINE, choices
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import session_of
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.role_names import OF_A_PERSON, forbidden


class Offices(Papers):
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
            self._queries.reassignments(realm, lang=lang, state=UNDER_WAY, limit=EVERY_LINE),
        )
        found = my_sites_page.mine_of(
            x.shell.reader.principal.scope, x.sites, x.clocks, tasks.items, moved.items, x._
        )
        told = await self._queries.reports_of_sites(
            realm, [m.site.id for m in found[: my_sites_page.SHOWN]], lang=lang
        )
        receipts = {
            site: my_sites_page.receipts_of(reports, x.shell.overview.incidents)
            for site, reports in told.items()
        }
        shown = {m.site.id for m in found[: my_sites_page.SHOWN]}
        instructions = my_sites_page.instructions_of(
            await self._queries.instructions(realm, shown, texts=True, lang=lang)
        )
        return {
            **self._around(request, x),
            "receipts": receipts,
            "instructions": instructions,
            "answers_for": lambda site: my_sites_page.answers_for(
                x.shell.reader.principal.scope, site
            ),
            "sites": found[: my_sites_page.SHOWN],
            "total": len(found),
            "touched": my_sites_page.touched(found),
            "quick": my_sites_page.QUICK,
        }

    async def sites(self, request: Request) -> dict[str, Any]:
        """Build `sites.html`: every site of the territory, by commune."""
        x = await self._load(request, "sites")
        asked = request.query_params.get("q", "")[: web_search.LONGEST]
        found = web_search.find_sites(x.sites, asked)
        return {
            **self._around(request, x),
            "q": asked,
            "sites": found,
            "total": len(x.sites),
            "poles": x.names.pole_titles(x.reference.poles, x._),
        }

    async def search(self, request: Request) -> dict[str, Any]:
        """Build `search.html`: the sites, incidents, lines and people that the reader may see."""
        x = await self._load(request, "search")
        realm, lang = x.shell.realm.name, x.shell.lang
        asked = request.query_params.get("q", "").strip()[: web_search.LONGEST]
        incidents = (
            (await self._queries.incidents(realm, lang=lang, limit=EVERY_LINE)).items
            if asked
            else []
        )
        lines = await self._lines(x, kinds=("all",), limit=EVERY_LINE) if asked else []
        may_read_log = x.shell.reader.may(Permission.LOG_READ)
        return {
            **self._around(request, x),
            "q": asked,
            "sites": web_search.find_sites(x.sites, asked)[: web_search.SHOWN] if asked else [],
            "incidents": web_search.find_incidents(incidents, asked, x._),
            "people": web_search.find_people(x.names, asked, x._) if may_read_log else [],
            "entries": entries(web_search.find_lines(lines, asked), x.names, x._, web_search.SHOWN),
            "may_read_log": may_read_log,
        }

    async def player(self, request: Request) -> dict[str, Any]:
        """Build `player.html`.

        Raises Elsewhere for a live realm, which has no clock to control.
        """
        x = await self._load(request, "player")
        realm, lang, now = x.shell.realm, x.shell.lang, x.shell.now
        if not realm.simulated:
            raise Elsewhere("/realms")
        ladder, plans, tasks = await asyncio.gather(
            self._ladder(x, None),
            self._queries.plans(realm.name, lang=lang),
            self._queries.tasks(realm.name, lang=lang),
        )
        lines = incidents_page.plan_lines(plans.items, now, x.names, lang, x._)
        cards = incidents_page.cards_of(plans.items, now, x.names, x._)
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
            "coming": player.coming(ladder, x.clocks, cards, waiting, now, x._),
            "score": player.score(
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
        reader_of(request, Permission.LOG_READ)
        x = await self._load(request, "calls")
        lines = await self._calls(x)
        over = sorted(
            (c for c in lines if c.is_over), key=lambda c: c.found.drafted_at, reverse=True
        )
        return {
            **self._around(request, x),
            "going": [c for c in lines if not c.is_over],
            "over": over[: calls.OVER_SHOWN],
            "over_count": len(over),
            "sites": choices(x.sites),
            "channels": calls.CHANNELS,
            "person": lambda token: w.person_name(token, x.names, x._),
        }

    async def answers(self, request: Request, id: str) -> dict[str, Any]:
        """Build `answers.html`: the people with one answer of a headcount. The reading is recorded.

        A page that refreshes itself does not show the names again, so it does not read them again.
        Raises NotFound, ProblemError `forbidden`.
        """
        reader = reader_of(request, Permission.DIRECTORY_READ)
        x = await self._load(request, "calls")
        realm = x.shell.realm.name
        asked = request.query_params.get("dit", "")
        said = HeadcountAnswer(asked) if asked in tuple(HeadcountAnswer) else HeadcountAnswer.HELP
        (call,) = calls.calls_of([await self._queries.callout(realm, id)], x.names, x._)
        fresh = "X-Vigie-Live" not in request.headers
        found = (
            await who_said(request, self._queries, reader.principal, realm, id, said)
            if fresh
            else []
        )
        return {**self._around(request, x), "call": call, "said": said.value, "answers": found}

    async def people(self, request: Request) -> dict[str, Any]:
        """Build `people.html`: everything for an administrator, the register for an auditor.

        Raises ProblemError `forbidden`.
        """
        reader = reader_of(request, Permission.AUDIT_READ)
        x = await self._load(request, "people")
        access: AccessStore = request.app.state.access
        mayset = reader.may(Permission.ACCESS_ADMIN)
        return {
            **self._around(request, x),
            "accounts": people.account_lines(access, reader.principal, x.names, x._)
            if mayset
            else None,
            "tokens": people.token_lines(access, x.names, x.shell.overview.server_time, x._)
            if mayset
            else [],
            "traces": people.trace_lines(access, x.names, x._),
            "roles": [(r.value, w.word(w.ROLE, r.value, x._)) for r in people.HUMAN],
            "duties": people.duties(x.names, x._),
            "poles": [(p, x.names.pole(p, x.shell.lang)) for p in x.reference.poles],
            "sites": choices(x.sites),
        }

    async def account(self, request: Request) -> dict[str, Any]:
        """Build `account.html`.

        Raises Stranger, or ProblemError `forbidden` for a guest or kiosk: they have no account.
        """
        reader = reader_of(request)
        if reader.guest or reader.principal.role is Role.KIOSK or session_of(request) is None:
            raise forbidden(reader.principal.role, OF_A_PERSON)
        x = await self._load(request, "account")
        account = account_of(request, reader.principal)
        scope = reader.principal.scope
        return {
            **self._around(request, x),
            "account": account,
            "named": is_named(request),
            "role": w.word(w.ROLE, reader.principal.role.value, x._),
            "duty": w.role_name(reader.principal.duty, None, x.names, x._)
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
                    people.time_of(k.created_at),
                    people.time_of(k.used_at) if k.used_at else None,
                )
                for k in account.passkeys
            ]
            if account
            else [],
        }

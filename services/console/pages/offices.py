"""Screens about the people themselves: accounts and rights, one's own account."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from services.console.pages import people
from services.console.pages.account import account_of, is_named
from services.console.pages.door import reader_of
from services.console.pages.papers import Papers
from services.console.texts import words as w
from services.runtime.access import AccessStore
from services.runtime.access_http import GUEST, session_of
from services.runtime.problems import ProblemError
from services.runtime.rights import Permission


class Offices(Papers):
    """All screens. What these show changes without a fact on any log, so they are never kept (see `pages.renders`)."""

    async def people(self, request: Request) -> dict[str, Any]:
        """`people.html`: all of it for an administrator, the register of what was done for an auditor too. Raises ProblemError `forbidden`."""
        reader = reader_of(request, Permission.AUDIT_READ)
        x = await self._load(request, "people")
        access: AccessStore = request.app.state.access
        mayset = reader.may(Permission.ACCESS_ADMIN)
        return {
            **self._around(request, x), "accounts": people.account_lines(access, reader.principal, x.names, x._) if mayset else None,
            "tokens": people.token_lines(access, x.names, x.shell.overview.server_time, x._) if mayset else [],
            "traces": people.trace_lines(access, x.names, x._), "roles": [(r.value, w.word(w.ROLE, r.value, x._)) for r in people.HUMAN],
            "duties": people.duties(x.names, x._), "poles": [(p, x.names.pole(p, x.shell.lang)) for p in x.reference.poles],
            "sites": [(s.id, s.name) for s in x.sites],
        }  # fmt: skip

    async def account(self, request: Request) -> dict[str, Any]:
        """`account.html`. Raises Stranger."""
        reader = reader_of(request)
        if reader.principal.id == GUEST or session_of(request) is None:
            raise ProblemError("forbidden", role=reader.principal.role.value, permission="session")
        x = await self._load(request, "account")
        account = account_of(request, reader.principal)
        scope = reader.principal.scope
        return {
            **self._around(request, x), "account": account, "named": is_named(request), "role": w.word(w.ROLE, reader.principal.role.value, x._),
            "duty": w.role_name(reader.principal.duty, None, x.names, x._) if reader.principal.duty else "",
            "scope": [*(x.names.site(s) for s in scope.sites), *(x.names.pole(p, x.shell.lang) for p in scope.poles), *scope.realms],
            "keys": [(k.id, k.label, people.time_of(k.created_at), people.time_of(k.used_at) if k.used_at else None) for k in account.passkeys]
            if account
            else [],
        }  # fmt: skip

"""Page `/personnes`: accounts, tokens and the register of accesses."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.accounts import accounts_page as people
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    list_site_choices,
    load_screen_data,
)
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission


async def build_people_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `people.html`: everything for an administrator, the register for an auditor.

    Raises ProblemError `forbidden`.
    """
    reader = require_reader(request, Permission.AUDIT_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    access: AccessStore = request.app.state.access
    mayset = reader.may(Permission.ACCESS_ADMIN)
    return {
        **build_page_context(request, x),
        "accounts": people.list_accounts(access, reader.principal, x.names, x._)
        if mayset
        else None,
        "tokens": people.list_tokens(
            access, reader.principal, x.names, x.shell.overview.server_time, x._
        )
        if mayset
        else [],
        "traces": people.list_traces(access, reader.principal, x.names, x._),
        "roles": [(r.value, w.translate_code(w.ROLE, r.value, x._)) for r in people.PERSON_ROLES],
        "duties": people.list_roles(x.names, x._),
        "poles": [(p, x.names.pole(p, x.shell.lang)) for p in x.reference.poles],
        "sites": list_site_choices(x.sites),
    }


PAGE: Final = WebPage(
    "people",
    "/personnes",
    "people.html",
    build_people_page,
    N_("Personnes et droits"),
    needs=Permission.AUDIT_READ,
    is_cached=False,
    past=False,  # it changes without a fact on any log
)

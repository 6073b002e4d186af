"""Page `/personnes`: accounts, tokens and the register of accesses."""

from typing import Any, Final

from services.console.accounts import accounts_page as people
from services.console.i18n import N_
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage, list_site_choices
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission


async def build_people_page(x: ScreenData) -> dict[str, Any]:
    """Build `people.html`: everything for an administrator, the register for an auditor."""
    reader = x.shell.reader
    access: AccessStore = x.request.app.state.access
    mayset = reader.may(Permission.ACCESS_ADMIN)
    return {
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


PAGE: Final = ScreenPage(
    "people",
    "/personnes",
    "people.html",
    build_people_page,
    N_("Personnes et droits"),
    needs=Permission.AUDIT_READ,
    is_cached=False,
    past=False,  # it changes without a fact on any log
)

"""Page `/compte`: the own account, its roles and passkeys."""

from __future__ import annotations

from typing import Any, Final

from services.console.accounts import accounts_page as people
from services.console.accounts.account_page import can_use_passkey, find_account
from services.console.i18n import N_
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.http_access import read_session
from services.runtime.identity.permissions import PERSONAL_ACCOUNT, Role, build_forbidden
from services.runtime.identity.principals import SIMULATED_REALMS


async def build_account_page(x: ScreenData) -> dict[str, Any]:
    """Build `account.html`.

    Raises Stranger, or ProblemError `forbidden` for a guest or kiosk: they have no account.
    """
    reader = x.shell.reader
    if reader.guest or reader.principal.role is Role.KIOSK or read_session(x.request) is None:
        raise build_forbidden(reader.principal.role, PERSONAL_ACCOUNT)
    account = find_account(x.request, reader.principal)
    scope = reader.principal.scope
    return {
        "account": account,
        "named": can_use_passkey(x.request),
        "role": w.translate_code(w.ROLE, reader.principal.role.value, x._),
        "duty": w.name_role(reader.principal.duty, None, x.names, x._)
        if reader.principal.duty
        else "",
        "scope": [
            *(x.names.site(s) for s in scope.sites),
            *(x.names.pole(p, x.shell.lang) for p in scope.poles),
            *(realm for realm in scope.realms if not realm.endswith(SIMULATED_REALMS)),
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


PAGE: Final = ScreenPage(
    "account",
    "/compte",
    "account.html",
    build_account_page,
    N_("Mon compte"),
    is_cached=False,
    past=False,
)

"""Page `/compte` and its requests: the own account, its roles, sessions and passkeys."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.console.accounts import accounts_page as people
from services.console.i18n import N_
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, UnknownPrincipal
from services.runtime.identity.http_access import check_csrf, get_cookie, is_secure, read_session
from services.runtime.identity.passkeys import Passkeys, RelyingParty
from services.runtime.identity.permissions import PERSONAL_ACCOUNT, Role, build_forbidden
from services.runtime.identity.principals import SIMULATED_REALMS, Account, Principal
from services.runtime.identity.sessions import COOKIE, Session, Sessions


class NewPasskey(BaseModel):
    """The browser's answer to `offer`, and the owner's name for the device."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]
    label: str = Field(default="", max_length=60)


class UsedPasskey(BaseModel):
    """The browser's answer to `ask`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]


async def require_browser_session(request: Request) -> Session:
    """Return the session at this browser; tokens are refused, even beside a session.

    Raises ProblemError.
    """
    session = read_session(request)
    if session is None or "authorization" in request.headers:
        raise ProblemError("unauthenticated")
    await check_csrf(request, session)
    return session


async def require_person(request: Request) -> Principal:
    """Return the person at this browser.

    Raises ProblemError `unauthenticated`, `csrf`, `second_factor_needed`.
    """
    session = await require_browser_session(request)
    if session.enrolling:
        raise ProblemError("second_factor_needed")
    return session.principal


async def require_recent_login(request: Request) -> Principal:
    """Return the person, if the last login was a moment ago.

    Raises the errors of `require_person`, and `proof_needed`.
    """
    person = await require_person(request)
    session = read_session(request)
    assert session is not None
    session.check_proof()
    return person


async def require_factor_change(request: Request) -> Principal:
    """Return the person if a new login factor may be added.

    Like `require_recent_login`; a password alone is enough while the account has no other factor.
    """
    session = await require_browser_session(request)
    session.check_proof()
    account = find_account(request, session.principal)
    if session.enrolling and account is not None and account.passkeys:
        raise ProblemError("second_factor_needed")
    return session.principal


Person = Annotated[Principal, Depends(require_person)]
RecentPerson = Annotated[Principal, Depends(require_recent_login)]
FactorPerson = Annotated[Principal, Depends(require_factor_change)]


def find_account(request: Request, principal: Principal) -> Account | None:
    """Return the account of a principal; None after a login with a one-time code alone."""
    access: AccessStore = request.app.state.access
    return access.account_of(principal.id)


def parse_place(request: Request) -> RelyingParty:
    """Return the address where the browser sees this site.

    Raises ProblemError `passkey_needs_name`.
    """
    return RelyingParty.of(request.headers.get("x-forwarded-host") or request.headers.get("host"))


def can_use_passkey(request: Request) -> bool:
    """Return whether this browser may use a passkey here."""
    try:
        parse_place(request)
    except ProblemError:
        return False
    return True


def set_session_cookies(response: Response, session: Session, request: Request) -> Response:
    """Add the cookies of a session to the response."""
    for header in session.set_cookie_headers(secure=is_secure(request)):
        response.headers.append("Set-Cookie", header)
    return response


def build_passkey_router() -> APIRouter:
    """Build the router of passkey requests, which answers JSON, problems included.

    The application sets `app.state.access`, `app.state.sessions` and `app.state.passkeys`.
    """
    router = APIRouter(include_in_schema=False)

    @router.post("/connexion/cle/options")
    async def start_login(request: Request) -> dict[str, Any]:
        return _get_passkeys(request).ask(parse_place(request))

    @router.post("/connexion/cle")
    async def came_in(request: Request, body: UsedPasskey) -> Response:
        session = _get_passkeys(request).login(body.credential, parse_place(request))
        access: AccessStore = request.app.state.access
        access.trace(session.principal, "login.passkey")
        return set_session_cookies(JSONResponse({"id": session.principal.id}), session, request)

    @router.post("/compte/cles/options")
    async def start_registration(request: Request, person: FactorPerson) -> dict[str, Any]:
        return _get_passkeys(request).offer(person, parse_place(request))

    @router.post("/compte/cles")
    async def add_passkey(request: Request, person: FactorPerson, body: NewPasskey) -> Response:
        """Add a passkey, and end every other session of the account."""
        passkey = await _get_passkeys(request).add(
            person, body.credential, body.label.strip(), parse_place(request)
        )
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.added")
        return _answer_with_new_session(request, person, {"id": passkey.id})

    @router.post("/compte/cles/{id}/retirer")
    async def remove_passkey(request: Request, person: RecentPerson, id: str) -> Response:
        """Remove a passkey, and end every other session of the account."""
        account = find_account(request, person)
        if account is None:
            raise ProblemError("not_found")
        await _get_passkeys(request).remove(account, id)
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.removed")
        return _answer_with_new_session(request, person, {"id": id})

    @router.post("/compte/sessions/fermer")
    async def signed_out(request: Request, person: Person) -> Response:
        """End every session of the account except this one."""
        access: AccessStore = request.app.state.access
        try:
            await access.end_sessions(person.id)
        except UnknownPrincipal:
            raise ProblemError("not_found") from None
        access.trace(person, "sessions.ended", person.id)
        return _answer_with_new_session(request, person, {"id": person.id})

    return router


def _answer_with_new_session(
    request: Request, person: Principal, answer: dict[str, str]
) -> Response:
    """Answer with a new session after all others ended; it keeps the age and expiry."""
    sessions: Sessions = request.app.state.sessions
    expires_at = sessions.expiry_of(get_cookie(request, COOKIE))
    return set_session_cookies(
        JSONResponse(answer), sessions.admit(person, expires_at=expires_at), request
    )


def _get_passkeys(request: Request) -> Passkeys:
    keys: Passkeys = request.app.state.passkeys
    return keys


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

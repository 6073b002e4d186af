"""Serve the own account under `/compte`, with passkeys and sessions, and the passkey requests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, UnknownPrincipal
from services.runtime.identity.http_access import check_csrf, cookie_of, is_secure, session_of
from services.runtime.identity.passkeys import Passkeys, Place
from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.sessions import COOKIE, Session, Sessions


class NewKey(BaseModel):
    """The browser's answer to `offer`, and the owner's name for the device."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]
    label: str = Field(default="", max_length=60)


class UsedKey(BaseModel):
    """The browser's answer to `ask`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]


async def at_browser(request: Request) -> Session:
    """Return the session at this browser; tokens are refused, even beside a session.

    Raises ProblemError.
    """
    session = session_of(request)
    if session is None or "authorization" in request.headers:
        raise ProblemError("unauthenticated")
    await check_csrf(request, session)
    return session


async def in_person(request: Request) -> Principal:
    """Return the person at this browser.

    Raises ProblemError `unauthenticated`, `csrf`, `second_factor_needed`.
    """
    session = await at_browser(request)
    if session.enrolling:
        raise ProblemError("second_factor_needed")
    return session.principal


async def with_proof(request: Request) -> Principal:
    """Return the person, if the last login was a moment ago.

    Raises the errors of `in_person`, and `proof_needed`.
    """
    person = await in_person(request)
    session = session_of(request)
    assert session is not None
    session.check_proof()
    return person


async def adding_factor(request: Request) -> Principal:
    """Return the person if a new login factor may be added.

    Like `with_proof`; a password alone is enough while the account has no other factor.
    """
    session = await at_browser(request)
    session.check_proof()
    account = account_of(request, session.principal)
    if session.enrolling and account is not None and account.passkeys:
        raise ProblemError("second_factor_needed")
    return session.principal


Person = Annotated[Principal, Depends(in_person)]
Proved = Annotated[Principal, Depends(with_proof)]
Adding = Annotated[Principal, Depends(adding_factor)]


def account_of(request: Request, principal: Principal) -> Account | None:
    """Return the account of a principal; None after a login with a one-time code alone."""
    access: AccessStore = request.app.state.access
    return access.account_of(principal.id)


def place_of(request: Request) -> Place:
    """Return the address at which the browser sees this site.

    Raises ProblemError `passkey_needs_name`.
    """
    return Place.of(request.headers.get("x-forwarded-host") or request.headers.get("host"))


def is_named(request: Request) -> bool:
    """Return whether this browser may use a passkey here."""
    try:
        place_of(request)
    except ProblemError:
        return False
    return True


def with_session(response: Response, session: Session, request: Request) -> Response:
    """Add the cookies of a session to the response."""
    for header in session.set_cookie_headers(secure=is_secure(request)):
        response.headers.append("Set-Cookie", header)
    return response


def keys_router() -> APIRouter:
    """Build the router of passkey requests, which answers JSON, problems included.

    The application sets `app.state.access`, `app.state.sessions` and `app.state.passkeys`.
    """
    router = APIRouter(include_in_schema=False)

    @router.post("/connexion/cle/options")
    async def asked(request: Request) -> dict[str, Any]:
        return _keys(request).ask(place_of(request))

    @router.post("/connexion/cle")
    async def came_in(request: Request, body: UsedKey) -> Response:
        session = _keys(request).login(body.credential, place_of(request))
        access: AccessStore = request.app.state.access
        access.trace(session.principal, "login.passkey")
        return with_session(JSONResponse({"id": session.principal.id}), session, request)

    @router.post("/compte/cles/options")
    async def offered(request: Request, person: Adding) -> dict[str, Any]:
        return _keys(request).offer(person, place_of(request))

    @router.post("/compte/cles")
    async def added(request: Request, person: Adding, body: NewKey) -> Response:
        """Add a passkey, and end every other session of the account."""
        made = await _keys(request).add(
            person, body.credential, body.label.strip(), place_of(request)
        )
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.added")
        return _renewed(request, person, {"id": made.id})

    @router.post("/compte/cles/{id}/retirer")
    async def removed(request: Request, person: Proved, id: str) -> Response:
        """Remove a passkey, and end every other session of the account."""
        account = account_of(request, person)
        if account is None:
            raise ProblemError("not_found")
        await _keys(request).remove(account, id)
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.removed")
        return _renewed(request, person, {"id": id})

    @router.post("/compte/sessions/fermer")
    async def signed_out(request: Request, person: Person) -> Response:
        """End every session of the account except this one."""
        access: AccessStore = request.app.state.access
        try:
            await access.end_sessions(person.id)
        except UnknownPrincipal:
            raise ProblemError("not_found") from None
        access.trace(person, "sessions.ended", person.id)
        return _renewed(request, person, {"id": person.id})

    return router


def _renewed(request: Request, person: Principal, answer: dict[str, str]) -> Response:
    """Answer with a new session after all others ended; it keeps the age and expiry."""
    sessions: Sessions = request.app.state.sessions
    expires_at = sessions.expiry_of(cookie_of(request, COOKIE))
    return with_session(
        JSONResponse(answer), sessions.admit(person, expires_at=expires_at), request
    )


def _keys(request: Request) -> Passkeys:
    keys: Passkeys = request.app.state.passkeys
    return keys

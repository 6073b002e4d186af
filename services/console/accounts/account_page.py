"""`/compte`: one's own account, its passkeys and sessions; and the requests of a browser that makes or uses a passkey."""

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
    """What the browser answers to `offer`, and what its owner calls the device."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]
    label: str = Field(default="", max_length=60)


class UsedKey(BaseModel):
    """What the browser answers to `ask`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]


async def at_browser(request: Request) -> Session:
    """Return the session of whoever sits at this browser; a token is no person, also beside a session. Raises ProblemError."""
    session = session_of(request)
    if session is None or "authorization" in request.headers:
        raise ProblemError("unauthenticated")
    await check_csrf(request, session)
    return session


async def in_person(request: Request) -> Principal:
    """Return the person at this browser. Raises ProblemError `unauthenticated`, `csrf`, `second_factor_needed`."""
    session = await at_browser(request)
    if session.enrolling:
        raise ProblemError("second_factor_needed")
    return session.principal


async def with_proof(request: Request) -> Principal:
    """Return the person, who logged in a moment ago. Raises as `in_person`, and `proof_needed`."""
    person = await in_person(request)
    session = session_of(request)
    assert session is not None
    session.check_proof()
    return person


async def adding_factor(request: Request) -> Principal:
    """Return the person who may add a way to come in: as `with_proof`, or with a password alone as long as the account has no other way."""
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
    """The account of a principal; None for whoever came in by a code alone."""
    access: AccessStore = request.app.state.access
    return access.account_of(principal.id)


def place_of(request: Request) -> Place:
    """Where the browser believes to be. Raises ProblemError `passkey_needs_name`."""
    return Place.of(request.headers.get("x-forwarded-host") or request.headers.get("host"))


def is_named(request: Request) -> bool:
    """This browser may have a passkey here."""
    try:
        place_of(request)
    except ProblemError:
        return False
    return True


def with_session(response: Response, session: Session, request: Request) -> Response:
    """The response with the cookies of a session."""
    for header in session.set_cookie_headers(secure=is_secure(request)):
        response.headers.append("Set-Cookie", header)
    return response


def keys_router() -> APIRouter:
    """Answers JSON, problems too. The application sets `app.state.access`, `app.state.sessions` and `app.state.passkeys`."""
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
        """Every other session of the account ends."""
        made = await _keys(request).add(
            person, body.credential, body.label.strip(), place_of(request)
        )
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.added")
        return _renewed(request, person, {"id": made.id})

    @router.post("/compte/cles/{id}/retirer")
    async def removed(request: Request, person: Proved, id: str) -> Response:
        """Every other session of the account ends."""
        account = account_of(request, person)
        if account is None:
            raise ProblemError("not_found")
        await _keys(request).remove(account, id)
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.removed")
        return _renewed(request, person, {"id": id})

    @router.post("/compte/sessions/fermer")
    async def signed_out(request: Request, person: Person) -> Response:
        """Everywhere but here."""
        access: AccessStore = request.app.state.access
        try:
            await access.end_sessions(person.id)
        except UnknownPrincipal:
            raise ProblemError("not_found") from None
        access.trace(person, "sessions.ended", person.id)
        return _renewed(request, person, {"id": person.id})

    return router


def _renewed(request: Request, person: Principal, answer: dict[str, str]) -> Response:
    """The answer with a session in place of the one that has just ended with all others; it is as old, and ends as soon."""
    sessions: Sessions = request.app.state.sessions
    expires_at = sessions.expiry_of(cookie_of(request, COOKIE))
    return with_session(
        JSONResponse(answer), sessions.admit(person, expires_at=expires_at), request
    )


def _keys(request: Request) -> Passkeys:
    keys: Passkeys = request.app.state.passkeys
    return keys

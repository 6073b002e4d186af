"""`/compte`: one's own account, its passkeys and sessions; and the requests of a browser that makes or uses a passkey."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.runtime.access import AccessStore
from services.runtime.access_http import check_csrf, session_of
from services.runtime.passkeys import Passkeys, Place
from services.runtime.principals import Account, Principal
from services.runtime.problems import ProblemError
from services.runtime.sessions import Session, Sessions


class NewKey(BaseModel):
    """What the browser answers to `offer`, and what its owner calls the device."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]
    label: str = Field(default="", max_length=60)


class UsedKey(BaseModel):
    """What the browser answers to `ask`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: dict[str, Any]


async def in_person(request: Request) -> Principal:
    """Whoever sits at this browser; a token is no person, also beside a session. Raises ProblemError `unauthenticated`, `csrf`."""
    session = session_of(request)
    if session is None or "authorization" in request.headers:
        raise ProblemError("unauthenticated")
    await check_csrf(request, session)
    return session.principal


Person = Annotated[Principal, Depends(in_person)]


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
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    for header in session.set_cookie_headers(secure=secure):
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
    async def offered(request: Request, person: Person) -> dict[str, Any]:
        return _keys(request).offer(person, place_of(request))

    @router.post("/compte/cles")
    async def added(request: Request, person: Person, body: NewKey) -> dict[str, str]:
        made = await _keys(request).add(person, body.credential, body.label.strip(), place_of(request))
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.added")
        return {"id": made.id}

    @router.post("/compte/cles/{id}/retirer")
    async def removed(request: Request, person: Person, id: str) -> dict[str, str]:
        account = account_of(request, person)
        if account is None:
            raise ProblemError("not_found")
        await _keys(request).remove(account, id)
        access: AccessStore = request.app.state.access
        access.trace(person, "passkey.removed")
        return {"id": id}

    @router.post("/compte/sessions/fermer")
    async def signed_out(request: Request, person: Person) -> Response:
        """Everywhere but here."""
        access: AccessStore = request.app.state.access
        sessions: Sessions = request.app.state.sessions
        if account_of(request, person) is None:
            raise ProblemError("not_found")
        await access.end_sessions(person.id)
        access.trace(person, "sessions.ended", person.id)
        return with_session(JSONResponse({"id": person.id}), sessions.admit(person), request)

    return router


def _keys(request: Request) -> Passkeys:
    keys: Passkeys = request.app.state.passkeys
    return keys

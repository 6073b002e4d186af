"""Access control in FastAPI: `Depends(allowed(Permission.LEVEL_SET))` gives a route its principal.

A request carries a bearer token or a session cookie. A cookie alone changes nothing: unsafe methods
also need the CSRF header or, in an HTML form, its field `csrf`. The application sets
`app.state.access` (AccessStore), `app.state.sessions` (Sessions) and, for a demonstration without
login, `app.state.guest` (`create_guest`).
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from fastapi import Request

from schemas.topics import is_live
from services.runtime.http.problems import ProblemError
from services.runtime.http.request_headers import read_bearer
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal, Scope
from services.runtime.identity.sessions import (
    COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    SAFE_METHODS,
    Session,
    Sessions,
    find_cookie,
)

GUEST: Final = "guest"
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


async def authenticate_request(request: Request) -> Principal | None:
    """Return the principal of a request; None for a stranger.

    Raises ProblemError `unauthenticated` on an invalid token, `csrf`, `starting`.
    """
    access: AccessStore = request.app.state.access
    if (token := read_bearer(request.headers.get("authorization"))) is not None:
        principal = await access.authenticate_bearer(token)
        if principal is None:
            raise ProblemError("unauthenticated")
        return principal
    session, is_reading = read_session(request), request.method in SAFE_METHODS
    if session is None:
        return get_guest(request) if is_reading else None  # A session that ended, not an observer
    if not is_reading:
        await check_csrf(request, session)
    if session.enrolling:
        raise ProblemError("second_factor_needed")
    return session.principal


def recheck_principal(request: Request) -> Principal | None:
    """Return the current principal of a request with an answer in progress.

    The result is None once its token is revoked, its session is closed or expired, or its account
    is disabled.
    """
    access: AccessStore = request.app.state.access
    if (token := read_bearer(request.headers.get("authorization"))) is not None:
        return access.bearer(token)
    session = read_session(request)
    if session is None:
        return get_guest(request)
    return None if session.enrolling else session.principal


def create_guest(realm: str) -> Principal | None:
    """Return a read-only principal for one simulated realm.

    Raises ValueError for a live realm; it needs a login.
    """
    if not realm:
        return None
    if is_live(realm):
        raise ValueError(f"{realm} is live: it cannot be shown without a login")
    return Principal(id=GUEST, role=Role.OBSERVER, scope=Scope(realms=(realm,)))


def get_guest(request: Request) -> Principal | None:
    """Return the principal for visitors of the demonstration without login; None without one.

    It is an observer of that exercise alone.
    """
    guest: Principal | None = getattr(request.app.state, "guest", None)
    return guest


def read_session(request: Request) -> Session | None:
    """Return the browser session of a request, without a check of CSRF.

    An application that has not started has none.
    """
    sessions: Sessions | None = getattr(request.app.state, "sessions", None)
    return None if sessions is None else sessions.read(get_cookie(request, COOKIE))


def is_secure(request: Request) -> bool:
    """Tell whether the browser reached the front over TLS."""
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def get_cookie(request: Request, name: str) -> str | None:
    """Return a cookie of ours."""
    return find_cookie(request.cookies, name, secure=is_secure(request))


async def check_csrf(request: Request, session: Session) -> None:
    """Raise ProblemError `csrf` unless the page proved that it is ours."""
    sessions: Sessions = request.app.state.sessions
    csrf_proof = request.headers.get(CSRF_HEADER)
    if csrf_proof is None and request.headers.get("content-type", "").startswith(_FORM_TYPES):
        with suppress(RuntimeError):  # consumed: FastAPI has parsed the form of this handler
            await request.body()  # keeps it: a handler that takes the body as a file reads it again
        async with request.form() as form:
            field = form.get("csrf")
        csrf_proof = field if isinstance(field, str) else None
    if not sessions.checks_csrf(session, csrf_proof, get_cookie(request, CSRF_COOKIE)):
        raise ProblemError("csrf")


def require_permission(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that yields the principal if it has this permission.

    Raises ProblemError `unauthenticated`, `csrf`, `forbidden`, `starting`.
    """

    async def dependency(request: Request) -> Principal:
        principal = await authenticate_request(request)
        if principal is None:
            raise ProblemError("unauthenticated")
        principal.require(permission)
        return principal

    return dependency

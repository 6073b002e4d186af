"""Authenticate callers of the front by bearer token, or by session cookie and CSRF proof."""

from __future__ import annotations

from services.intake.http.exchange import Scope, get_header, parse_cookies
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.identity.role_names import build_forbidden
from services.runtime.identity.sessions import (
    COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    SAFE_METHODS,
    Sessions,
    cookie_in,
    read_bearer,
)


class Authenticator:
    """Authentication of the front's own routes."""

    def __init__(self, access: AccessStore, sessions: Sessions) -> None:
        self._access = access
        self._sessions = sessions

    async def identify(self, scope: Scope) -> Principal:
        """Return the principal of a request.

        Raises ProblemError `unauthenticated`, `csrf`, `second_factor_needed`, `starting`.
        """
        if (token := read_bearer(get_header(scope, b"authorization"))) is not None:
            principal = self._access.bearer(token) or await self._access.authenticate_bearer(token)
            if principal is None:
                raise ProblemError("unauthenticated")
            return principal
        cookies, secure = parse_cookies(scope), scope.get("scheme") == "https"
        session = self._sessions.read(cookie_in(cookies, COOKIE, secure=secure))
        if session is None:
            raise ProblemError("unauthenticated")
        if scope["method"] not in SAFE_METHODS:
            proof, csrf_header = (
                cookie_in(cookies, CSRF_COOKIE, secure=secure),
                get_header(scope, CSRF_HEADER.encode()),
            )
            if not self._sessions.checks_csrf(session, csrf_header, proof):
                raise ProblemError("csrf")
        if session.enrolling:
            raise ProblemError("second_factor_needed")
        return session.principal


def require_permission(principal: Principal, permission: Permission) -> None:
    """Check a permission. Raises ProblemError `forbidden`."""
    if not principal.may(permission):
        raise build_forbidden(principal.role, permission)

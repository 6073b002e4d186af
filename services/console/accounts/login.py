"""Serve login and logout: `/connexion` takes a code, a password, or an identity provider."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from services.console.accounts.account_screen import can_use_passkey, set_session_cookies
from services.console.i18n import get_translator
from services.console.web.access import ENROL_PATH
from services.console.web.shell import DisplayChoice, render_response
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import check_csrf, get_cookie, is_secure, read_session
from services.runtime.identity.oidc_settings import (
    ATTEMPT_S,
    COOKIE,
    LOGIN_PATH,
    LOGOUT_COOKIE,
    RETURN_PATH,
)
from services.runtime.identity.sessions import (
    DEVICE_COOKIE,
    HOST_PREFIX,
    SESSION_LIFETIME_MS,
    Sessions,
    build_clearing_headers,
)


def add_login_routes(router: APIRouter) -> None:
    """Add the login routes.

    The application sets `app.state.access`, `app.state.sessions` and `app.state.oidc` (None without
    a provider).
    """

    @router.get("/connexion")
    async def form(request: Request) -> Response:
        return render_login(request, next=request.query_params.get("next", "/"))

    @router.post("/connexion")
    async def login(
        request: Request,
        code: Annotated[str, Form()] = "",
        user: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        second: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",
    ) -> Response:
        sessions: Sessions = request.app.state.sessions
        address = request.client.host if request.client else ""
        try:
            _check_site(request)  # another site could log its visitors in to an account it chooses
            if code:
                session = await sessions.login_with_code(code.strip(), address=address)
            else:
                device = get_cookie(request, DEVICE_COOKIE)
                session = await sessions.login(
                    user.strip(), password, second.strip() or None, address=address, device=device
                )
        except ProblemError as error:
            return render_login(request, next=next, user=user, error=error)
        access: AccessStore = request.app.state.access
        access.trace(session.principal, "login.code" if code else "login.password")
        return set_session_cookies(
            RedirectResponse(ENROL_PATH if session.enrolling else keep_inside(next), 303),
            session,
            request,
        )

    @router.post("/deconnexion")
    async def logout(request: Request) -> Response:
        _check_site(request)
        response: Response = RedirectResponse("/connexion", 303)
        session = read_session(request)
        if session is None:  # a form of another site has no session cookie: keep ours
            return response
        if (
            request.headers.get("sec-fetch-site") != "same-origin"
        ):  # older browsers omit it: the CSRF token proves it
            await check_csrf(request, session)
        request.app.state.sessions.end(session)
        if (there := await _find_provider_logout(request)) is not None:
            # A redirect of a form to another site is barred (form-action): the page goes there.
            response = render_login(request, next="/", logout_url=there)
            response.headers["Refresh"] = f"0;url={there}"
        response.headers.append("Set-Cookie", _build_cookie(request, LOGOUT_COOKIE, "", 0))
        for header in build_clearing_headers(secure=is_secure(request)):
            response.headers.append("Set-Cookie", header)
        return response

    _add_provider_routes(router)


def _add_provider_routes(router: APIRouter) -> None:
    """Add the way to the identity provider and back."""

    @router.get(LOGIN_PATH)
    async def to_provider(request: Request) -> Response:
        next = keep_inside(request.query_params.get("next", "/"))
        try:
            attempt = await _get_oidc(request).begin(_get_origin(request), next)
        except ProblemError as error:
            return render_login(request, next=next, error=error)
        response = RedirectResponse(attempt.location, 303, headers={"Cache-Control": "no-store"})
        response.headers.append(
            "Set-Cookie", _build_cookie(request, COOKIE, attempt.cookie, ATTEMPT_S)
        )
        return response

    @router.get(RETURN_PATH)
    async def from_provider(request: Request) -> Response:
        try:
            provider_login = await _get_oidc(request).finish(
                get_cookie(request, COOKIE), dict(request.query_params)
            )
        except ProblemError as error:
            response = render_login(request, next="/", error=error)
        else:
            access: AccessStore = request.app.state.access
            access.trace(provider_login.session.principal, "login.oidc")
            response = set_session_cookies(
                RedirectResponse(
                    keep_inside(provider_login.next), 303, headers={"Cache-Control": "no-store"}
                ),
                provider_login.session,
                request,
            )
            if provider_login.logout_cookie is not None:
                life_s = SESSION_LIFETIME_MS // 1000
                response.headers.append(
                    "Set-Cookie",
                    _build_cookie(request, LOGOUT_COOKIE, provider_login.logout_cookie, life_s),
                )
        response.headers.append("Set-Cookie", _build_cookie(request, COOKIE, "", 0))
        return response


def _check_site(request: Request) -> None:
    """Check that the request comes from our own pages. Raises ProblemError.

    The browser declares it in `Sec-Fetch-Site`. Older ones, and all over plain HTTP, send `Origin`
    alone: it must be the address that the front got, or the public one, for a proxy may hide the
    former.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        if fetch_site not in ("same-origin", "none"):
            raise ProblemError("csrf")
        return
    origin, own = request.headers.get("origin"), _get_origin(request)
    if origin is not None and _strip_scheme(origin) not in (
        _strip_scheme(own),
        _strip_scheme(request.app.state.public_url),
    ):
        raise ProblemError("origin_foreign", origin=origin[:SHOWN_CHARS], host=own[:SHOWN_CHARS])


TOO_MANY: Final = 429
"""Status of a refusal after too many attempts."""
SHOWN_CHARS: Final = 200
"""Characters of a foreign address that the refusal repeats."""


def _strip_scheme(origin: str) -> str:
    return origin.partition("://")[2].lower()


def _get_oidc(request: Request) -> Any:
    """Return the `services.runtime.identity.oidc.OidcLogin` of the application.

    Its libraries are loaded only with a provider. Raises ProblemError `not_found` without one.
    """
    if request.app.state.oidc is None:
        raise ProblemError("not_found")
    return request.app.state.oidc


async def _find_provider_logout(request: Request) -> str | None:
    """Return the page of the provider that ends this browser's session there, if any."""
    hint = get_cookie(request, LOGOUT_COOKIE)
    if not hint or request.app.state.oidc is None:
        return None
    logout_page: str | None = await request.app.state.oidc.build_logout(hint, _get_origin(request))
    return logout_page


def _get_origin(request: Request) -> str:
    """Return the origin that the browser used to reach the front."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host") or ""
    return f"{request.headers.get('x-forwarded-proto', request.url.scheme)}://{host}"


_PLACES = {COOKIE: LOGIN_PATH, LOGOUT_COOKIE: "/deconnexion"}


def _build_cookie(request: Request, cookie: str, value: str, life_s: int) -> str:
    name, place = (
        (f"{HOST_PREFIX}{cookie}", "/; Secure") if is_secure(request) else (cookie, _PLACES[cookie])
    )
    return f"{name}={value}; HttpOnly; Max-Age={life_s}; Path={place}; SameSite=Lax"


def keep_inside(target: str) -> str:
    """Return the target if it is a page of this site, else `/`: a login never leads elsewhere."""
    parts = urlsplit(target)
    plain = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and not parts.scheme
        and not parts.netloc
    )
    return target if plain and "\\" not in target and target.isprintable() else "/"


def render_login(
    request: Request,
    *,
    next: str,
    user: str = "",
    error: ProblemError | None = None,
    logout_url: str | None = None,
) -> Response:
    """Render the form, with the reason of a refusal, which never reveals the wrong field.

    After a logout, `logout_url` is the page that ends the session at the provider, too.
    """
    choice = DisplayChoice.of(request)
    refusal = error.problem.sentence("en" if choice.lang == "en" else "fr") if error else ""
    status = error.problem.status if error else 200
    if status == TOO_MANY:
        _ = get_translator(choice.lang)
        way_in = _("Une clé d’accès ou un code à usage unique s’utilise sans attendre.")
        refusal = f"{refusal} {way_in}"
    oidc = request.app.state.oidc
    context = {
        "next": keep_inside(next),
        "user": user,
        "refusal": refusal,
        "named": can_use_passkey(request),
        "provider": oidc and oidc.name,
        "logout_url": logout_url,
        "provider_url": f"{LOGIN_PATH}?{urlencode({'next': keep_inside(next)})}",
    }
    return render_response("login.html", context, choice, status=status)

"""Decide which pages and realms a reader may see, and render problems as pages."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from schemas.base import Instant
from services.console.http.context import (
    check_date,
    get_default_realm,
    localize_principal,
    parse_time,
    to_instant,
)
from services.console.i18n import Translator, add_french_spaces, get_translator
from services.console.read_model.queries import Queries
from services.console.resources import Overview, Realm
from services.console.texts import words as w
from services.console.web.shell import (
    DisplayChoice,
    ScreenReader,
    ScreenShell,
    render_response,
    store_choice,
)
from services.console.web.times import PARIS
from services.runtime.http.problems import Language, ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import get_guest, read_session
from services.runtime.identity.permissions import (
    ACCOUNT_OF_REALM,
    Permission,
    Role,
    build_forbidden,
)
from services.runtime.process.cluster import read_majority

PARAMETER: Final = "as_of"
ENROL_PATH = "/compte/second-facteur"
"""Page on which a person adds a second factor: the only one open to them before that."""
LIVE_HEADER = "x-vigie-live"
"""Header of a page that refreshes itself: the answer is then never a redirect to the login."""
ACCOUNT_PAGE: Final = "account"
"""Value of that header if the page is one of an account, not of a guest.

The browser drops the cookie of a session at its end, so its absence tells nothing.
"""


class LoginRequired(Exception):
    """No session: the login page comes first."""


class PageMoved(Exception):
    """The page is at another address."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class PageRoute(APIRoute):
    """A route that shows problems as pages, not JSON documents."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                response = await handle(request)
            except LoginRequired:
                return redirect_to_login(request)
            except PageMoved as elsewhere:
                return RedirectResponse(elsewhere.url, 303)
            except ProblemError as error:
                return render_problem(request, error)
            store_choice(response, request, DisplayChoice.of(request))
            return response

        return page


def redirect_to_login(request: Request) -> Response:
    """Redirect to the login page, which returns here; a refresh gets 401."""
    if LIVE_HEADER in request.headers:
        return Response(status_code=401)
    return RedirectResponse(build_login_url(request), 303)


def build_login_url(request: Request) -> str:
    """Return the address of the login page with the way back to the requested page."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/connexion?next={quote(target, safe='')}"


def render_problem(request: Request, error: ProblemError) -> Response:
    """Render a problem as a page with one link out of it."""
    choice = DisplayChoice.of(request)
    _ = get_translator(choice.lang)
    problem = error.problem
    language: Language = "en" if choice.lang == "en" else "fr"
    sentence = problem.sentence(language)
    context = {
        "title": problem.kind.title[language],
        "detail": add_french_spaces(sentence) if language == "fr" else sentence,
        **_build_way_back(request, problem.code, _),
        **(_explain_refusal(request, _) if problem.code == "forbidden" else {}),
    }
    response = render_response("message.html", context, choice, status=problem.status)
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
        response.headers["Refresh"] = str(problem.retry_after_s + 1)
    return response


def _build_way_back(request: Request, code: str, _: Translator) -> dict[str, str | None]:
    """Return the link to the first page of this reader; a stranger has none.

    It stays in the exercise of the page, unless that is closed to them. Managers of sites have no
    page of the cell.
    """
    session = read_session(request)
    principal = session.principal if session else get_guest(request)
    if principal is None or (session is None and code == "link_invalid"):
        return {"link": None, "link_label": ""}
    realm = request.query_params.get("realm", "")
    is_open = realm and code != "realm_unknown" and principal.sees(realm)
    has_sites = principal.role is Role.SITE_MANAGER and principal.scope.sites
    return {
        "link": f"/?realm={quote(realm, safe='~')}" if is_open else "/",
        "link_label": _("Retour à mes sites") if has_sites else _("Retour à la cellule"),
    }


def _explain_refusal(request: Request, _: Translator) -> dict[str, str]:
    """Explain a refusal without names of roles and rights; without an account offer the login."""
    session = read_session(request)
    if session is None:
        return {
            "detail": _(
                "Cette page demande un compte. Sans compte, on regarde l’exercice de "
                "démonstration, et rien d’autre."
            ),
            "link": build_login_url(request),
            "link_label": _("Se connecter"),
        }
    role = w.translate_code(w.ROLE, session.principal.role.value, _)
    return {
        "detail": _(
            "Votre compte ({role}) n’ouvre pas cette page. Un administrateur règle les droits, "
            "dans Personnes et droits.",
            role=role,
        )
    }


def require_reader(
    request: Request, permission: Permission = Permission.PICTURE_READ
) -> ScreenReader:
    """Return the person of the session. Raises Stranger, Elsewhere, ProblemError `forbidden`."""
    session = read_session(request)
    if session is not None and session.enrolling:
        if LIVE_HEADER in request.headers:
            raise LoginRequired
        raise PageMoved(ENROL_PATH)
    if session is None and request.headers.get(LIVE_HEADER) == ACCOUNT_PAGE:
        raise LoginRequired  # the page of an ended session stays, with what is written in it
    principal = session.principal if session else get_guest(request)
    if principal is None:
        raise LoginRequired
    principal.require(permission)
    return ScreenReader(principal, past=parse_requested_time(request) is not None)


@dataclass(frozen=True, slots=True)
class PosterSite:
    """The site of a poster, and the realm that its reports go to."""

    site: str
    realm: str


async def find_poster_site(request: Request) -> PosterSite | None:
    """Return the site of the poster key in the link, or None without a key.

    Raises ProblemError `unauthenticated` for an invalid key.
    """
    token = request.query_params.get("token")
    if token is None:
        return None
    access: AccessStore = request.app.state.access
    principal = access.bearer(token) or await access.authenticate_bearer(token)
    source = (
        None
        if principal is None or not principal.may(Permission.REPORT_POSTER)
        else access.source(principal.id)
    )
    if principal is None or source is None or source.site is None:
        raise ProblemError("unauthenticated")
    return PosterSite(source.site, get_default_realm(request, principal))


def build_query(request: Request, **changes: object) -> str:
    """Return the query of this page with some parameters changed; None removes one."""
    query_params = {**request.query_params, **changes}
    return urlencode(
        {
            k: str(v)
            for k, v in query_params.items()
            if v is not None and (k != "lang" or "lang" in changes)
        }
    )


def list_kept_parameters(request: Request) -> list[tuple[str, str]]:
    """List the parameters to send along when a form requests another time of this page."""
    return [
        (k, v) for k, v in request.query_params.items() if k not in (PARAMETER, "lang", "theme")
    ]


async def choose_realm(
    request: Request, queries: Queries, reader: ScreenReader
) -> tuple[Realm, list[Realm]]:
    """Return the realm of this page and all realms that the reader may see.

    Without `?realm=` it is the live one. Raises ProblemError, or Elsewhere and Stranger for a guest
    without a live realm.
    """
    realms = [r for r in await queries.realms() if reader.principal.sees(r.name)]
    realm_name = request.query_params.get("realm")
    if realm_name is not None:
        if not reader.principal.sees(realm_name):
            raise build_forbidden(reader.principal.role, ACCOUNT_OF_REALM)
        return next((r for r in realms if r.name == realm_name), None) or await queries.of(
            realm_name
        ).realm(), realms
    live = _find_default_realm(request, reader, realms)
    if live is None and reader.guest:
        raise (
            PageMoved(f"{request.url.path}?{build_query(request, realm=realms[0].name)}")
            if realms
            else LoginRequired
        )
    if live is None:
        raise ProblemError("realm_unknown")
    return live, realms


def _find_default_realm(
    request: Request, reader: ScreenReader, realms: Sequence[Realm]
) -> Realm | None:
    """Return the live realm of pages that name none: the machine's own, if the reader sees it."""
    default = get_default_realm(request, reader.principal)
    live = [realm for realm in realms if not realm.simulated]
    return next((realm for realm in live if realm.name == default), None) or next(iter(live), None)


async def build_shell(
    request: Request, queries: Queries, reader: ScreenReader, page: str
) -> ScreenShell:
    """Build the frame of a screen.

    A newcomer to the cell or wall of a calm live realm is sent to a running exercise (Elsewhere); a
    page that refreshes itself stays. Raises Elsewhere, ProblemError.
    """
    choice = DisplayChoice.of(request)
    realm, realms = await choose_realm(request, queries, reader)
    default = _find_default_realm(request, reader, realms)
    local = localize_principal(request, reader.principal, realm.name)
    reader = replace(reader, principal=local)
    overview = await queries.of(realm.name, choice.lang).overview(
        texts=reader.may(Permission.LOG_READ)
    )
    if (
        not reader.past
        and LIVE_HEADER not in request.headers
        and "realm" not in request.query_params
        and page in ("cell", "wall")
        and not overview.incidents
        and overview.level.level == 0
    ):
        own = [one for one in realms if one.territory == realm.territory]
        await _redirect_newcomer(request, queries, own)
    live = await _find_live_overview(queries, realm, realms, choice.lang)
    urgent, mute = (0, False) if realm.simulated else await queries.of(realm.name).reachable()
    why = overview.hold.reason if overview.hold.held else None
    moment = overview.at if reader.past else None
    return ScreenShell(
        page,
        reader,
        choice,
        overview,
        realms,
        default.name if default is not None else "",
        live,
        moment=moment,
        urgent=urgent,
        mute=mute and not reader.past,
        hold_reason=why,
        cluster=read_majority(request.app.state.majority),
    )


async def _redirect_newcomer(request: Request, queries: Queries, realms: list[Realm]) -> None:
    for realm in realms:
        if (
            realm.simulated
            and realm.kind == "ex"
            and realm.state == "open"
            and (await queries.of(realm.name).overview()).incidents
        ):
            raise PageMoved(f"{request.url.path}?{build_query(request, realm=realm.name)}")


async def _find_live_overview(
    queries: Queries, realm: Realm, realms: list[Realm], lang: str
) -> Overview | None:
    if not realm.simulated:
        return None
    live = next((r for r in realms if not r.simulated and r.territory == realm.territory), None)
    return None if live is None else await queries.of(live.name, lang).overview()


def parse_requested_time(request: Request) -> Instant | None:
    """Return the past time requested for a page in ms; None is now.

    Without an offset it is a time in Paris. Raises ProblemError `invalid`.
    """
    return parse_page_time(request.query_params.get(PARAMETER, ""), PARAMETER)


def parse_page_time(text: str, name: str) -> Instant | None:
    """Parse a time from an address; empty gives None. Raises ProblemError `invalid`."""
    if not text.strip():
        return None
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        return parse_time(text, name)
    return (
        parse_time(text, name)
        if local.tzinfo is not None
        else check_date(to_instant(local.replace(tzinfo=PARIS)), name)
    )

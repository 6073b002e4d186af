"""Route the addresses of the pages. All answer GET without an effect; three take a form.

Readers share rendered screens. When a realm changes, everybody on the same screen refreshes at once; one request pays. The key
holds the content (address, query, language, theme, rights) and the newest log positions behind it,
so a reader never gets a state older than the change that triggered the refresh. An entry lives a
few seconds, because the page also shows the passing time.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from mimetypes import guess_type
from typing import Annotated, Any, Final, Generic, TypeVar

import structlog
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from schemas.people.attendance import MAX_ETA_MIN
from services.console.accounts.account_screen import build_passkey_router
from services.console.accounts.login import add_login_routes
from services.console.accounts.second_factor import add_second_factor_routes
from services.console.http.compression import accepts_gzip, compress_gzip
from services.console.http.context import get_default_realm
from services.console.http.fair_queue import ExpensiveWork
from services.console.i18n import get_translator
from services.console.messages.answer_page import AnswerPage
from services.console.read_model.queries import Queries
from services.console.web.access import (
    LIVE_HEADER,
    PageMoved,
    PageRoute,
    build_query,
    parse_requested_time,
    require_reader,
)
from services.console.web.navigation import starts_at_own_sites
from services.console.web.pages import WebPage, load_pages
from services.console.web.shell import (
    STATIC,
    DisplayChoice,
    ScreenReader,
    build_response,
    hash_assets,
    render_html,
    render_response,
)
from services.console.web.static_pages import PATH as GUIDE
from services.console.web.static_pages import find_screenshot, load_glossary, load_guide_page
from services.runtime.http.problems import ProblemError
from services.runtime.identity.http_access import get_guest, read_session
from services.runtime.identity.permissions import Role
from services.runtime.identity.signed_links import LinkExpired

LIFE_S: Final = 5.0
MAX_RENDERS: Final = 64


T = TypeVar("T")
log = structlog.get_logger(__name__)
REPORT: Final = "/signaler"
"""The report form, also reached from a poster without a login."""
_COMMENT: Final = re.compile(rb"\s*/\*.*?\*/", re.DOTALL)
WALL: Final = "/mur"
"""The only screen of a kiosk."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page, and the reports with text on it: each reading of them is recorded. Rule D59."""

    text: bytes
    reports: tuple[str, ...] = ()


class RenderCache(Generic[T]):
    """Cache of at most `MAX_RENDERS` renders; one render at a time per key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    def has(self, key: Hashable) -> bool:
        """Return whether `get` would render nothing."""
        cached_render = self._kept.get(key)
        return cached_render is not None and self._clock() - cached_render[0] <= LIFE_S

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the page of `key`, rendering it if needed.

        All waiting callers get an error of `make`; it is not cached.
        """
        if not self.has(key):
            self._kept[key] = (self._clock(), asyncio.ensure_future(_await_render(make)))
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_RENDERS:
                self._kept.popitem(last=False)
        cached_render = self._kept[key]
        task = cached_render[1]
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._kept.get(key) is cached_render:
                del self._kept[key]
            raise


async def _await_render(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


@cache
def build_pages_router() -> APIRouter:
    """Build the router of all pages and their static files, once for all applications.

    The application sets `app.state.access`, `sessions`, `model`, `renders` and `answering`.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    _add_screens(router)
    _add_answer_pages(router)
    _add_static_pages(router)
    add_login_routes(router)
    add_second_factor_routes(router)
    router.routes.extend(build_passkey_router().routes)
    router.add_api_route("/static/{version}/{path:path}", serve_static_file, methods=["GET"])
    router.add_api_route("/sw.js", serve_service_worker, methods=["GET"])
    router.add_api_route("/manifest.webmanifest", serve_manifest, methods=["GET"])
    router.add_api_route(
        "/favicon.ico", lambda: RedirectResponse("/static/0/icon.svg", 308), methods=["GET"]
    )
    return router


def _add_screens(router: APIRouter) -> None:
    for page in load_pages():
        show = _show_cached(page) if page.is_cached else _show(page)
        for path in (page.path, *page.also):
            router.add_api_route(path, show, methods=["GET"], name=page.template)


def _show(page: WebPage) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        queries: Queries = request.app.state.model
        page_queries = queries.at(parse_requested_time(request)) if page.past else queries
        async with _hold_place(request):
            context = await page.collect_values(page_queries, request, **request.path_params)
        return render_response(page.template, context, DisplayChoice.of(request))

    return show


@asynccontextmanager
async def _hold_place(request: Request) -> AsyncIterator[None]:
    """Wait for the turn of the reader at a new page; a stranger gets none.

    Raises ProblemError `too_much_at_once`.
    """
    session = read_session(request)
    reader = session.principal if session is not None else get_guest(request)
    costs: ExpensiveWork = request.app.state.costs
    async with nullcontext() if reader is None else costs.pages.hold_place(reader.id):
        yield


def _show_cached(page: WebPage) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        queries: Queries = request.app.state.model
        renders: RenderCache[RenderedPage] = request.app.state.renders
        choice = DisplayChoice.of(request)
        if page.path == REPORT and "token" in request.query_params:
            context = await page.collect_values(queries, request)
            return _mark_private(
                build_response(render_html(page.template, context, choice), choice)
            )
        reader = require_reader(request)
        redirect_to_own_start(request, page.path, reader)
        default = get_default_realm(request, reader.principal)
        realm_name = request.query_params.get("realm") or default
        behind = [
            (p.service, p.history, p.seq)
            for r in {realm_name, default, realm_name.partition("~")[0]}
            for p in await queries.of(r).positions()
        ]

        async def render_page() -> RenderedPage:
            page_queries = queries.at(parse_requested_time(request))
            context = await page.collect_values(page_queries, request, **request.path_params)
            return RenderedPage(
                render_html(page.template, context, choice), context.get("read_reports", ())
            )

        apart = ""
        if page.tell_apart is not None:
            apart = await page.tell_apart(queries.of(realm_name), reader.principal)
        key = (
            request.url.path,
            str(request.query_params),
            choice,
            reader.rights,
            reader.principal.id if page.is_personal(request) else apart,
            hash_assets(),
            tuple(sorted(behind)),
        )
        async with nullcontext() if renders.has(key) else _hold_place(request):
            rendered_page = await renders.get(key, render_page)
        if rendered_page.reports and LIVE_HEADER not in request.headers:
            log.info(
                "report.text_read",
                reports=list(rendered_page.reports),
                realm=realm_name,
                reader=reader.principal.id,
            )
        return build_response(rendered_page.text, choice)

    return show


def redirect_to_own_start(request: Request, path: str, reader: ScreenReader) -> None:
    """Send a kiosk to its only screen, and a site manager from the start to the own sites.

    Raises PageMoved.
    """
    start = ""
    if reader.principal.role is Role.KIOSK and path != WALL:
        start = WALL
    elif (
        path == "/"
        and "vue" not in request.query_params
        and LIVE_HEADER not in request.headers
        and starts_at_own_sites(reader)
    ):
        start = "/mes-sites"
    if start:
        raise PageMoved(f"{start}?{build_query(request)}" if request.url.query else start)


def _add_static_pages(router: APIRouter) -> None:
    def show(path: str, page: str) -> None:
        async def leaflet(request: Request) -> Response:
            choice = DisplayChoice.of(request)
            return render_response(
                f"{page}.html", {"page": page, "terms": load_glossary(choice.lang)}, choice
            )

        router.add_api_route(path, leaflet, methods=["GET"], name=page)

    show("/aide", "help")
    show("/glossaire", "glossary")
    show("/accessibilite", "accessibility")

    async def guide(request: Request, name: str = "README") -> Response:
        guide_page = load_guide_page(name)
        if guide_page is None:
            raise ProblemError("not_found")
        return render_response(
            "guide.html",
            {"page": "guide", "guide": guide_page, "contents": name == "README"},
            DisplayChoice.of(request),
        )

    async def guide_picture(name: str) -> Response:
        file = find_screenshot(name)
        if file is None:
            raise ProblemError("not_found")
        return FileResponse(file, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    router.add_api_route(GUIDE, guide, methods=["GET"])
    router.add_api_route(f"{GUIDE}/images/{{name}}", guide_picture, methods=["GET"])
    router.add_api_route(f"{GUIDE}/{{name:path}}", guide, methods=["GET"])


def _add_answer_pages(router: APIRouter) -> None:
    def answering(request: Request) -> AnswerPage:
        page: AnswerPage = request.app.state.answering
        return page

    def shown_as(request: Request, context: dict[str, Any]) -> Response:
        return _mark_private(
            render_response(
                context.get("template", "ack.html"),
                context,
                DisplayChoice.of(request),
                status=context.get("status", 200),
            )
        )

    @router.get("/a/{token}")
    async def show_answer_page(request: Request, token: str) -> Response:
        try:
            context = await answering(request).page(request, token)
        except LinkExpired as expired:
            context = await answering(request).build_expired_page(request, expired.link)
        return shown_as(request, context)

    @router.post("/a/{token}")
    async def record_answer(
        request: Request,
        token: str,
        answer: Annotated[str, Form()],
        instead: Annotated[str | None, Form(max_length=64)] = None,
        eta_min: Annotated[int | None, Form(ge=0, le=MAX_ETA_MIN)] = None,
    ) -> Response:
        page = answering(request)
        try:
            context = await page.answer(request, token, answer, instead, eta_min)
        except LinkExpired as expired:
            context = await page.build_expired_page(request, expired.link)
        if context.get("is_settled"):
            return _mark_private(RedirectResponse(f"/a/{token}", 303))
        return shown_as(request, context)


def _mark_private(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@cache
def _list_static_files() -> frozenset[str]:
    """Return the files that may be served: no address reaches the file system directly."""
    return frozenset(str(file.relative_to(STATIC)) for file in STATIC.rglob("*") if file.is_file())


@cache
def _load_static_file(path: str) -> tuple[bytes, bytes | None]:
    """Return a static file and its compressed form, or None if that is not smaller (e.g. fonts).

    Browsers get styles without comments.
    """
    plain = (STATIC / path).read_bytes()
    if path.endswith(".css"):
        plain = _COMMENT.sub(b"", plain)
    gzip_body = compress_gzip(plain, level=9)
    return plain, gzip_body if len(gzip_body) < len(plain) else None


def _serve_file(request: Request, path: str, cache_control: str) -> Response:
    plain, gzip_body = _load_static_file(path)
    headers = {
        "Cache-Control": cache_control,
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if gzip_body is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(
            gzip_body,
            headers=headers | {"Content-Encoding": "gzip"},
            media_type=guess_type(path)[0],
        )
    return Response(plain, headers=headers, media_type=guess_type(path)[0])


async def serve_static_file(request: Request, version: str, path: str) -> Response:  # noqa: ARG001
    """Serve a static file.

    Its address changes with its content, so a browser may keep it for ever.
    """
    if path not in _list_static_files():
        raise ProblemError("not_found")
    return _serve_file(request, path, "public, max-age=31536000, immutable")


async def serve_service_worker(request: Request) -> Response:
    """Serve the worker of the report form and of web push.

    It is at the root because a worker serves only addresses below its own. Never cached.
    """
    return _serve_file(request, "js/sw.js", "no-cache")


async def serve_manifest(request: Request) -> Response:
    """Serve the manifest that lets a phone install the report form as an application."""
    _ = get_translator(DisplayChoice.of(request).lang)
    web_manifest = {
        "name": _("Vigie : signaler"),
        "short_name": "Vigie",
        "start_url": "/signaler",
        "scope": "/signaler",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#0b5563",
        "icons": [
            {"src": f"/static/{hash_assets()}/icon.svg", "sizes": "any", "type": "image/svg+xml"}
        ],
    }
    return JSONResponse(
        web_manifest, media_type="application/manifest+json", headers={"Cache-Control": "no-cache"}
    )

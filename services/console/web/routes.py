"""Route the addresses of the pages. All answer GET without an effect; three take a form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from mimetypes import guess_type
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from schemas.people.attendance import MAX_ETA_MIN
from services.console.accounts.account_page import build_passkey_router
from services.console.accounts.login import add_login_routes
from services.console.accounts.second_factor import add_second_factor_routes
from services.console.http.compression import accepts_gzip, compress_gzip
from services.console.i18n import get_translator
from services.console.messages.answer_page import AnswerPage, KeepAnswer, SendAnswer
from services.console.read_model.queries import Queries
from services.console.web.access import (
    LIVE_HEADER,
    PageMoved,
    PageRoute,
    build_query,
    require_reader,
)
from services.console.web.administration_screens import AdministrationScreens
from services.console.web.document_screens import DocumentScreens
from services.console.web.guide import PATH as GUIDE
from services.console.web.guide import find_screenshot, load_guide_page
from services.console.web.navigation import starts_at_own_sites
from services.console.web.pages import WebPage, load_pages
from services.console.web.past_screens import parse_requested_time
from services.console.web.personal_screens import PersonalScreens
from services.console.web.planning_screens import PlanningScreens
from services.console.web.render_cache import RenderCache, RenderedPage
from services.console.web.shell import (
    STATIC,
    DisplayChoice,
    build_response,
    hash_assets,
    render_html,
    render_response,
)
from services.console.web.static_pages import load_glossary
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.signed_links import AnswerLinks

log = structlog.get_logger(__name__)
REPORT: Final = "/signaler"
"""The report form, also reached from a poster without a login."""
WALL: Final = "/mur"
"""The only screen of a kiosk."""
PERSONAL_PATHS: Final = frozenset({"/actions", "/communication", "/signalements/{id}", "/donnees"})
"""Screens rendered for each reader alone.

Actions show their words to the people concerned (rule D87).

Reading the text of a report is recorded (rule D59); authors may not approve their own changes (rule
D63), nor validate their own statements (rule D91).
"""
Maker = Callable[..., Awaitable[dict[str, Any]]]


def build_pages_router(
    queries: Queries, links: AnswerLinks, send_answer: SendAnswer, keep_answer: KeepAnswer
) -> APIRouter:
    """Build the router of all pages and their static files.

    The application sets `app.state.access` and `app.state.sessions`.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    _add_screens(router, queries)
    _add_static_pages(router)
    _add_answer_pages(router, AnswerPage(queries, links, send_answer, keep_answer))
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


def _add_screens(router: APIRouter, queries: Queries) -> None:
    renders: RenderCache[RenderedPage] = RenderCache()

    def show(path: str, template: str, make: Maker, *, personal: bool = False) -> None:
        async def page(request: Request) -> Response:
            if path == REPORT and "token" in request.query_params:
                choice = DisplayChoice.of(request)
                return _mark_private(
                    build_response(
                        render_html(
                            template, await make(PlanningScreens(queries), request), choice
                        ),
                        choice,
                    )
                )
            reader, choice = require_reader(request), DisplayChoice.of(request)
            if reader.principal.role is Role.KIOSK and path != WALL:
                raise PageMoved(f"{WALL}?{build_query(request)}" if request.url.query else WALL)
            if (
                path == "/"
                and "vue" not in request.query_params
                and LIVE_HEADER not in request.headers
                and starts_at_own_sites(reader)
            ):
                raise PageMoved(
                    f"/mes-sites?{build_query(request)}" if request.url.query else "/mes-sites"
                )
            shown = request.query_params.get("realm") or str(request.app.state.live_realm)
            behind = [
                (p.service, p.history, p.seq)
                for r in {shown, str(request.app.state.live_realm)}
                for p in await queries.positions(r)
            ]

            async def made() -> RenderedPage:
                screens = PersonalScreens(queries.at(parse_requested_time(request)))
                context = await make(screens, request, **request.path_params)
                return RenderedPage(
                    render_html(template, context, choice), context.get("read_reports", ())
                )

            who = reader.principal.id if personal or path in PERSONAL_PATHS else ""
            key = (
                request.url.path,
                str(request.query_params),
                choice,
                reader.rights,
                who,
                hash_assets(),
                tuple(sorted(behind)),
            )
            rendered = await renders.get(key, made)
            if rendered.reports and LIVE_HEADER not in request.headers:
                log.info(
                    "report.text_read",
                    reports=list(rendered.reports),
                    realm=shown,
                    reader=reader.principal.id,
                )
            return build_response(rendered.text, choice)

        router.add_api_route(path, page, methods=["GET"], name=template)

    for found in load_pages():
        if found.cached:
            show(found.path, found.template, _make_context(found), personal=found.personal)
        else:
            router.add_api_route(
                found.path, _make_route(queries, found), methods=["GET"], name=found.template
            )
    show("/", "cell.html", PlanningScreens.cell)
    show("/incidents/{id}", "incident.html", PlanningScreens.incident)
    show("/activites", "activities.html", PlanningScreens.activities)
    show(WALL, "wall.html", PlanningScreens.wall)
    show("/recherche", "search.html", PersonalScreens.search)
    show("/sites/{id}", "site.html", PlanningScreens.site)
    show("/signalements/{id}", "signal.html", PlanningScreens.signal)
    show("/plans", "plans.html", PlanningScreens.plans)
    show("/plans/{id}", "plan.html", PlanningScreens.plan)
    show("/reaffectation", "reassignment.html", PlanningScreens.reassignment)
    show("/prevoyance", "contingency.html", PlanningScreens.contingency)
    show("/releve", "handover.html", PlanningScreens.handover)
    show("/astreintes", "duty.html", PlanningScreens.duty)
    show("/appareil", "device.html", PlanningScreens.device)
    show(REPORT, "report.html", PlanningScreens.report)
    show("/travaux", "maintenance.html", PlanningScreens.maintenance)
    show("/donnees", "reference.html", PlanningScreens.reference)
    show("/realms", "realms.html", PlanningScreens.realms)
    show("/actions", "actions.html", PersonalScreens.actions)
    show("/mes-sites", "my_sites.html", PersonalScreens.my_sites)
    show("/exercice", "player.html", PersonalScreens.player)
    show("/main-courante", "logbook.html", DocumentScreens.logbook)
    show("/appels", "calls.html", PersonalScreens.calls)
    show("/communication", "communication.html", PersonalScreens.communication)
    show("/retex", "retex.html", DocumentScreens.retex)
    show("/sitrep", "sitrep.html", DocumentScreens.sitrep)
    show("/sitrep/{number}", "sitrep.html", DocumentScreens.sitrep)

    @router.get("/sources", name="sources.html")
    async def sources(request: Request) -> Response:
        """Show the sources. Not cached: the page changes without a fact on any log."""
        choice = DisplayChoice.of(request)
        return render_response(
            "sources.html", await PlanningScreens(queries).sources(request), choice
        )

    @router.get("/appels/{id}/reponses", name="answers.html")
    async def answers(request: Request, id: str) -> Response:
        """Show the answers. Not cached: it names people, and every reading is recorded."""
        return render_response(
            "answers.html",
            await PersonalScreens(queries).answers(request, id),
            DisplayChoice.of(request),
        )

    @router.get("/personnes", name="people.html")
    async def people(request: Request) -> Response:
        """Show the people. Not cached, like the sources."""
        return render_response(
            "people.html", await PersonalScreens(queries).people(request), DisplayChoice.of(request)
        )

    @router.get("/mise-en-service", name="commissioning.html")
    async def commissioning(request: Request) -> Response:
        """Show the conditions of the first day. Not cached, like the sources."""
        return render_response(
            "commissioning.html",
            await AdministrationScreens(queries).commissioning(request),
            DisplayChoice.of(request),
        )

    @router.get("/compte", name="account.html")
    async def account(request: Request) -> Response:
        return render_response(
            "account.html",
            await PersonalScreens(queries).account(request),
            DisplayChoice.of(request),
        )


def _make_context(page: WebPage) -> Maker:
    async def make(screens: PersonalScreens, request: Request, **path: str) -> dict[str, Any]:
        return await page.build(screens.queries, request, **path)

    return make


def _make_route(queries: Queries, page: WebPage) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        seen = queries.at(parse_requested_time(request)) if page.past else queries
        context = await page.build(seen, request, **request.path_params)
        return render_response(page.template, context, DisplayChoice.of(request))

    return show


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
        found = load_guide_page(name)
        if found is None:
            raise ProblemError("not_found")
        return render_response(
            "guide.html",
            {"page": "guide", "guide": found, "contents": name == "README"},
            DisplayChoice.of(request),
        )

    async def guide_picture(name: str) -> Response:
        file = find_screenshot(name)
        if file is None:
            raise ProblemError("not_found")
        return FileResponse(file, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    router.add_api_route(GUIDE, guide, methods=["GET"])
    router.add_api_route(f"{GUIDE}/images/{{name}}", guide_picture, methods=["GET"])
    router.add_api_route(f"{GUIDE}/{{name}}", guide, methods=["GET"])


def _add_answer_pages(router: APIRouter, answering: AnswerPage) -> None:
    def shown_as(request: Request, context: dict[str, Any]) -> Response:
        return _mark_private(
            render_response(context.get("template", "ack.html"), context, DisplayChoice.of(request))
        )

    @router.get("/a/{token}")
    async def shown(request: Request, token: str) -> Response:
        return shown_as(request, await answering.page(request, token))

    @router.post("/a/{token}")
    async def answered(
        request: Request,
        token: str,
        answer: Annotated[str, Form()],
        instead: Annotated[str | None, Form(max_length=64)] = None,
        eta_min: Annotated[int | None, Form(ge=0, le=MAX_ETA_MIN)] = None,
    ) -> Response:
        return shown_as(request, await answering.answer(request, token, answer, instead, eta_min))


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
    """Return a static file and its compressed form, or None if that is not smaller (e.g. fonts)."""
    plain = (STATIC / path).read_bytes()
    packed = compress_gzip(plain, level=9)
    return plain, packed if len(packed) < len(plain) else None


def _serve_file(request: Request, path: str, cached: str) -> Response:
    plain, packed = _load_static_file(path)
    headers = {
        "Cache-Control": cached,
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if packed is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(
            packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=guess_type(path)[0]
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
    found = {
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
        found, media_type="application/manifest+json", headers={"Cache-Control": "no-cache"}
    )

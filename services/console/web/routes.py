"""Route the addresses of the pages. All answer GET without an effect; three take a form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from mimetypes import guess_type
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from services.console.accounts.account_page import keys_router
from services.console.accounts.login import login_routes
from services.console.accounts.second_factor import second_factor_routes
from services.console.http.compression import accepts_gzip, gzip
from services.console.i18n import translator
from services.console.messages.answer_page import Answering, KeepAnswer, SendAnswer
from services.console.read_model.queries import Queries
from services.console.web.access import LIVE_HEADER, Elsewhere, PageRoute, query_of, reader_of
from services.console.web.document_screens import Papers
from services.console.web.guide import PATH as GUIDE
from services.console.web.guide import guide_page, picture
from services.console.web.navigation import starts_at_own_sites
from services.console.web.past_screens import moment_of
from services.console.web.personal_screens import Offices
from services.console.web.planning_screens import Screens
from services.console.web.render_cache import Rendered, Renders
from services.console.web.shell import STATIC, Choice, assets_version, html, page_of, render
from services.console.web.static_pages import glossary
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.signed_links import AckLinks

log = structlog.get_logger(__name__)
REPORT: Final = "/signaler"
"""The report form, also reached from a poster without a login."""
WALL: Final = "/mur"
"""The only screen of a kiosk."""
EACH: Final = frozenset({"/signalements/{id}", "/donnees"})
"""Screens rendered for each reader alone.

Reading the text of a report is recorded (rule D59); authors may not approve their own changes (rule
D63).
"""
Maker = Callable[..., Awaitable[dict[str, Any]]]


def pages_router(
    queries: Queries, links: AckLinks, send_answer: SendAnswer, keep_answer: KeepAnswer
) -> APIRouter:
    """Build the router of all pages and their static files.

    The application sets `app.state.access` and `app.state.sessions`.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    _screens(router, queries)
    _leaflets(router)
    _answering(router, Answering(queries, links, send_answer, keep_answer))
    login_routes(router)
    second_factor_routes(router)
    router.routes.extend(keys_router().routes)
    router.add_api_route("/static/{version}/{path:path}", static_file, methods=["GET"])
    router.add_api_route("/sw.js", service_worker, methods=["GET"])
    router.add_api_route("/manifest.webmanifest", manifest, methods=["GET"])
    router.add_api_route(
        "/favicon.ico", lambda: RedirectResponse("/static/0/icon.svg", 308), methods=["GET"]
    )
    return router


def _screens(router: APIRouter, queries: Queries) -> None:
    renders: Renders[Rendered] = Renders()

    def show(path: str, template: str, make: Maker) -> None:
        async def page(request: Request) -> Response:
            if path == REPORT and "token" in request.query_params:
                choice = Choice.of(request)
                return _private(
                    page_of(html(template, await make(Screens(queries), request), choice), choice)
                )
            reader, choice = reader_of(request), Choice.of(request)
            if reader.principal.role is Role.KIOSK and path != WALL:
                raise Elsewhere(f"{WALL}?{query_of(request)}" if request.url.query else WALL)
            if (
                path == "/"
                and "vue" not in request.query_params
                and LIVE_HEADER not in request.headers
                and starts_at_own_sites(reader)
            ):
                raise Elsewhere(
                    f"/mes-sites?{query_of(request)}" if request.url.query else "/mes-sites"
                )
            shown = request.query_params.get("realm") or str(request.app.state.live_realm)
            behind = [
                (p.service, p.history, p.seq)
                for r in {shown, str(request.app.state.live_realm)}
                for p in await queries.positions(r)
            ]

            async def made() -> Rendered:
                screens = Offices(queries.at(moment_of(request)))
                context = await make(screens, request, **request.path_params)
                return Rendered(html(template, context, choice), context.get("read_reports", ()))

            who = reader.principal.id if path in EACH else ""
            key = (
                request.url.path,
                str(request.query_params),
                choice,
                reader.rights,
                who,
                assets_version(),
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
            return page_of(rendered.text, choice)

        router.add_api_route(path, page, methods=["GET"], name=template)

    show("/", "cell.html", Screens.cell)
    show("/incidents/{id}", "incident.html", Screens.incident)
    show("/activites", "activities.html", Screens.activities)
    show(WALL, "wall.html", Screens.wall)
    show("/sites", "sites.html", Offices.sites)
    show("/recherche", "search.html", Offices.search)
    show("/sites/{id}", "site.html", Screens.site)
    show("/signalements/{id}", "signal.html", Screens.signal)
    show("/plans", "plans.html", Screens.plans)
    show("/reaffectation", "reassignment.html", Screens.reassignment)
    show("/prevoyance", "contingency.html", Screens.contingency)
    show("/releve", "handover.html", Screens.handover)
    show("/astreintes", "duty.html", Screens.duty)
    show("/appareil", "device.html", Screens.device)
    show(REPORT, "report.html", Screens.report)
    show("/travaux", "maintenance.html", Screens.maintenance)
    show("/donnees", "reference.html", Screens.reference)
    show("/realms", "realms.html", Screens.realms)
    show("/mes-sites", "my_sites.html", Offices.my_sites)
    show("/exercice", "player.html", Offices.player)
    show("/main-courante", "logbook.html", Papers.logbook)
    show("/appels", "calls.html", Offices.calls)
    show("/retex", "retex.html", Papers.retex)
    show("/sitrep", "sitrep.html", Papers.sitrep)
    show("/sitrep/{number}", "sitrep.html", Papers.sitrep)

    @router.get("/sources", name="sources.html")
    async def sources(request: Request) -> Response:
        """Show the sources. Not cached: the page changes without a fact on any log."""
        choice = Choice.of(request)
        return render("sources.html", await Screens(queries).sources(request), choice)

    @router.get("/appels/{id}/reponses", name="answers.html")
    async def answers(request: Request, id: str) -> Response:
        """Show the answers. Not cached: it names people, and every reading is recorded."""
        return render(
            "answers.html", await Offices(queries).answers(request, id), Choice.of(request)
        )

    @router.get("/personnes", name="people.html")
    async def people(request: Request) -> Response:
        """Show the people. Not cached, like the sources."""
        return render("people.html", await Offices(queries).people(request), Choice.of(request))

    @router.get("/compte", name="account.html")
    async def account(request: Request) -> Response:
        return render("account.html", await Offices(queries).account(request), Choice.of(request))


def _leaflets(router: APIRouter) -> None:
    def show(path: str, page: str) -> None:
        async def leaflet(request: Request) -> Response:
            choice = Choice.of(request)
            return render(f"{page}.html", {"page": page, "terms": glossary(choice.lang)}, choice)

        router.add_api_route(path, leaflet, methods=["GET"], name=page)

    show("/aide", "help")
    show("/glossaire", "glossary")
    show("/accessibilite", "accessibility")

    async def guide(request: Request, name: str = "README") -> Response:
        found = guide_page(name)
        if found is None:
            raise ProblemError("not_found")
        return render(
            "guide.html",
            {"page": "guide", "guide": found, "contents": name == "README"},
            Choice.of(request),
        )

    async def guide_picture(name: str) -> Response:
        file = picture(name)
        if file is None:
            raise ProblemError("not_found")
        return FileResponse(file, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    router.add_api_route(GUIDE, guide, methods=["GET"])
    router.add_api_route(f"{GUIDE}/images/{{name}}", guide_picture, methods=["GET"])
    router.add_api_route(f"{GUIDE}/{{name}}", guide, methods=["GET"])


def _answering(router: APIRouter, answering: Answering) -> None:
    def shown_as(request: Request, context: dict[str, Any]) -> Response:
        return _private(render(context.get("template", "ack.html"), context, Choice.of(request)))

    @router.get("/a/{token}")
    async def shown(request: Request, token: str) -> Response:
        return shown_as(request, await answering.page(request, token))

    @router.post("/a/{token}")
    async def answered(
        request: Request,
        token: str,
        answer: Annotated[str, Form()],
        instead: Annotated[str | None, Form(max_length=64)] = None,
    ) -> Response:
        return shown_as(request, await answering.answer(request, token, answer, instead))


def _private(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@cache
def _static_files() -> frozenset[str]:
    """Return the files that may be served: no address reaches the file system directly."""
    return frozenset(str(file.relative_to(STATIC)) for file in STATIC.rglob("*") if file.is_file())


@cache
def _packed(path: str) -> tuple[bytes, bytes | None]:
    """Return a static file and its compressed form, or None if that is not smaller (e.g. fonts)."""
    plain = (STATIC / path).read_bytes()
    packed = gzip(plain, level=9)
    return plain, packed if len(packed) < len(plain) else None


def _file(request: Request, path: str, cached: str) -> Response:
    plain, packed = _packed(path)
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


async def static_file(request: Request, version: str, path: str) -> Response:  # noqa: ARG001
    """Serve a static file.

    Its address changes with its content, so a browser may keep it for ever.
    """
    if path not in _static_files():
        raise ProblemError("not_found")
    return _file(request, path, "public, max-age=31536000, immutable")


async def service_worker(request: Request) -> Response:
    """Serve the worker of the report form and of web push.

    It is at the root because a worker serves only addresses below its own. Never cached.
    """
    return _file(request, "js/sw.js", "no-cache")


async def manifest(request: Request) -> Response:
    """Serve the manifest that lets a phone install the report form as an application."""
    _ = translator(Choice.of(request).lang)
    found = {
        "name": _("Vigie : signaler"),
        "short_name": "Vigie",
        "start_url": "/signaler",
        "scope": "/signaler",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#0b5563",
        "icons": [
            {"src": f"/static/{assets_version()}/icon.svg", "sizes": "any", "type": "image/svg+xml"}
        ],
    }
    return JSONResponse(
        found, media_type="application/manifest+json", headers={"Cache-Control": "no-cache"}
    )

"""Console application: REST API, live stream and pages on one internal port.

`open_console(settings)` opens everything that it needs.
"""

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from redis.exceptions import RedisError
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.documents.pdf import Typesetter
from services.console.http.compression import CompressionMiddleware
from services.console.http.decisions import (
    CommandAnswers,
    CommandDispatcher,
    LinkAnswers,
)
from services.console.http.fair_queue import BodyLimitMiddleware, ExpensiveWork
from services.console.http.openapi import complete_document
from services.console.http.producer import CommandProducer
from services.console.live.presence import PresenceStore
from services.console.live.stream import StreamHub
from services.console.messages.answer_page import AnswerPage
from services.console.oncall.feed_links import FeedLinks
from services.console.read_model import store
from services.console.read_model.queries import ReadModel, Rebuilding
from services.console.read_model.store import Client
from services.console.read_model.time_travel import History
from services.console.sites.geometry import load_outlines
from services.console.sites.sources_screen import SourceClient
from services.console.web.access import render_problem
from services.console.web.pages import list_modules
from services.console.web.routes import RenderCache, build_pages_router
from services.runtime.decider.inputs import InputMarks
from services.runtime.http.api_subjects import list_tags
from services.runtime.http.problem_responses import build_problem_response, install_handlers
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.http.web_push import PushSettings, VapidKey
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import create_guest
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.identity.passkeys import Passkeys
from services.runtime.identity.sessions import Sessions
from services.runtime.identity.signed_links import (
    AnswerLinks,
    ProviderLinks,
    hide_token,
)
from services.runtime.kafka.clients import ACK_TIMEOUT_S, BrokerAway
from services.runtime.process import metrics, tracing
from services.runtime.process.health import GuardedHealth, HealthChecks
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.erasure import RetentionSettings, TextRetention, create_offset_finder
from services.runtime.secrets.keyring import MasterKey
from services.runtime.secrets.local_secrets import get_or_create_token
from services.runtime.secrets.signing import SigningKey
from services.runtime.secrets.vault import Vault

ASYNCAPI: Final = Path(__file__).resolve().parents[2] / "schemas" / "asyncapi.json"
JSON_SCHEMAS: Final = {file.name: file for file in (ASYNCAPI.parent / "json").glob("*.json")}
"""JSON Schemas that the AsyncAPI document refers to, by file name."""


def list_routes() -> list[BaseRoute]:
    """List the routes of all folders: those of the routers in `api.py` or `…_api.py`.

    Nothing else lists them. Literal paths go before those with parameters, which may match them.
    """
    modules = [importlib.import_module(name) for name in list_modules("api")]
    routers = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, APIRouter)
    ]
    routes = [route for router in routers for route in router.routes]
    return sorted(routes, key=lambda route: isinstance(route, Route) and "{" in route.path)


ROUTES: Final = list_routes()
"""Routes of the API, loaded with this module: the console is a fork of a process that has it."""
slog = structlog.get_logger(__name__)


class LatencyMiddleware:
    """Measure the time to the first byte by route, and forbid caching of API responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        if tracing.get_traces() is not None:
            tracing.set_caller(Headers(scope=scope).get("traceparent"))

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.observe(
                    "vigie_http_seconds",
                    time.perf_counter() - began,
                    route=getattr(scope.get("route"), "path", "none"),
                )
                if scope["path"].startswith("/api/"):
                    MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_measured)


class ShutdownMiddleware:
    """Answer requests that shutdown interrupts like those of a killed process, not with an error.

    A request may wait up to a minute for a step, so it can still be open at that time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if has_begun or scope["type"] != "http":
                raise
            code = "console_away" if scope["method"] in ("GET", "HEAD") else "outcome_unknown"
            await build_problem_response(Problem(code, retry_after_s=1), Request(scope))(
                scope, receive, send
            )


class HeadRequestMiddleware:
    """Answer HEAD like GET, without the body (RFC 9110 9.3.2).

    Monitoring tools and link previews send HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send(
                    {"type": "http.response.body", "body": b""}
                )  # ends streams, too, which never end on their own

        await self._app({**scope, "method": "GET"}, receive, head)


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add the routes of a router to the application without copying them.

    `include_router` builds each route again: half a second of processor time at the first request.
    """
    app.router.routes.extend(router.routes)


def create_app(health: HealthChecks, token: str | None = None) -> FastAPI:
    """Create the API without its state; `open_console` adds the state.

    The OpenAPI document is made from it, too. `token` opens the metrics; with None they are closed.
    """
    guarded_health = GuardedHealth(health, token)
    app = FastAPI(
        title="Vigie",
        version="1",
        license_info={"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        openapi_url=None,
        redirect_slashes=False,  # its redirect names the host that the request claims
        openapi_tags=list_tags(),
        description=(
            "Crisis-resilience and business-continuity events of a département. Times are ISO "
            "8601; problems are RFC 9457."
        ),
    )
    install_handlers(app)
    app.router.routes.extend(ROUTES)

    @app.exception_handler(BrokerAway)
    async def broker_away(request: Request, error: BrokerAway) -> Response:
        slog.warning("broker.away", path=hide_token(request.url.path), error=str(error))
        return build_problem_response(Problem("broker_away", retry_after_s=2), request)

    @app.exception_handler(404)
    async def nothing_here(request: Request, _error: Exception) -> Response:
        """Answer an unknown address: a page for browsers, a problem for programs.

        One with a slash too many leads to the address without it, on the same host.
        """
        if (whole := request.scope["path"]).endswith("/") and (path := whole.strip("/")):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/{quote(path)}{query}", 307)
        if not request.url.path.startswith("/api/") and "text/html" in request.headers.get(
            "accept", ""
        ):
            return render_problem(request, ProblemError("not_found"))
        return build_problem_response(Problem("not_found"), request)

    async def probe(request: Request) -> Response:
        health_answer = await guarded_health.answer(
            request.url.path, request.headers.get("Authorization")
        )
        assert health_answer is not None, "one of the paths of Health"
        return Response(
            health_answer.body,
            health_answer.status,
            {"Cache-Control": "no-store", **health_answer.headers},
            health_answer.content_type,
        )

    for path in ("/livez", "/readyz", "/metrics"):
        app.add_api_route(path, probe, methods=["GET"], include_in_schema=False)
    app.add_api_route(
        "/asyncapi.json", lambda: FileResponse(ASYNCAPI), methods=["GET"], include_in_schema=False
    )

    @app.get("/json/{name}", include_in_schema=False)
    async def schema(name: str) -> FileResponse:
        if (file := JSON_SCHEMAS.get(name)) is None:
            raise ProblemError("not_found")
        return FileResponse(file)

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        """Build the description in a thread: the first time takes a second of processor time."""
        return app.openapi()

    describe_app = app.openapi
    app.openapi = cache(lambda: complete_document(describe_app()))  # type: ignore[method-assign]
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(LatencyMiddleware)
    app.add_middleware(ShutdownMiddleware)
    app.add_middleware(HeadRequestMiddleware)
    return app


@asynccontextmanager
async def open_console(settings: Settings) -> AsyncIterator[FastAPI]:
    """Open the application with all its resources.

    It works in part while Kafka or Redis are away: each call reports the missing part.
    """
    async with AsyncExitStack() as stack:
        master = MasterKey.open(settings.data.secrets)
        client = store.connect(settings.redis)
        stack.push_async_callback(client.aclose)
        access = await stack.enter_async_context(
            AccessStore.open(settings, "console", master=master)
        )
        vault = await stack.enter_async_context(Vault.open(settings, master=master))
        producer = CommandProducer(
            settings.kafka, InputMarks.open(settings.data.secrets), timeout_s=ACK_TIMEOUT_S
        )
        stack.push_async_callback(producer.stop)
        answers = CommandAnswers(client)
        stack.callback(asyncio.create_task(answers.run(), name="answers").cancel)
        outlines = load_outlines(settings.territory)
        history = History(settings.kafka, settings.data.chronicle)
        stack.callback(history.close)
        stack.push_async_callback(
            cancel_and_wait, [asyncio.create_task(history.run(), name="history")]
        )
        model = ReadModel(client, outlines, history=history, texts=vault.texts)
        hub = StreamHub(client, model)
        stack.callback(hub.close)
        health = HealthChecks(
            ready={
                "store": _make_store_check(client, model),
                "access": access.fault,
                "texts": vault.fault,
            }
        )
        app = create_app(health, get_or_create_token(settings.data.secrets))
        app.state.health = health
        app.state.guest = create_guest(settings.demo_realm)
        app.state.access, app.state.sessions, app.state.model, app.state.hub = (
            access,
            Sessions(access),
            model,
            hub,
        )
        app.state.oidc = await stack.enter_async_context(
            _open_oidc(access, app.state.sessions, master)
        )
        app.state.passkeys = Passkeys(access, app.state.sessions)
        app.state.decisions = CommandDispatcher(
            producer, vault.texts, answers, master.derive_key("console.commands")
        )
        app.state.producer, app.state.return_links = (
            producer,
            ProviderLinks.open(settings.data.secrets),
        )
        app.state.push, app.state.vapid = PushSettings(), VapidKey(master.derive_key("web-push"))
        app.state.directory, app.state.texts = vault.directory, vault.texts
        app.state.territory = settings.territory
        app.state.public_url = (OidcSettings().public_url or settings.urls[0]).rstrip("/")
        app.state.sources = SourceClient(settings.urls[0])
        app.state.feed_status = settings.data.feed_status
        app.state.last_backup = settings.data.last_backup
        app.state.majority = settings.data.majority
        app.state.typesetter, app.state.costs = Typesetter(outlines), ExpensiveWork()
        app.state.kafka = settings.kafka
        app.state.signing_key = lambda: SigningKey.open(settings.data.secrets)
        app.state.live_realm = settings.territory.name
        app.state.cap_sender = settings.cap_sender or f"vigie.{settings.territory.name}"
        app.state.presence = PresenceStore(client)
        app.state.vault, app.state.feed_links = vault, FeedLinks.open(settings.data.secrets)
        links = AnswerLinks.open(settings.data.secrets)
        retention = TextRetention(
            vault.texts, RetentionSettings().days_by_prefix, create_offset_finder(settings.kafka)
        )
        stack.push_async_callback(
            cancel_and_wait, [asyncio.create_task(retention.run(), name="retention")]
        )
        app.state.renders = RenderCache()
        link_answers = LinkAnswers(producer, answers, vault.texts)
        app.state.answering = AnswerPage(model, links, link_answers.send, link_answers.keep)
        add_routes(app, build_pages_router())
        yield app


@asynccontextmanager
async def _open_oidc(
    access: AccessStore, sessions: Sessions, master: MasterKey
) -> AsyncIterator[Any]:
    """Yield `OidcLogin` if an identity provider is configured, else None.

    Its libraries load only then. Raises pydantic.ValidationError; it names the wrong variable.
    """
    settings = OidcSettings()
    if not settings.oidc_issuer:
        yield None
        return
    from services.runtime.identity.oidc import OidcLogin

    oidc = OidcLogin(settings, access, sessions, master)
    try:
        yield oidc
    finally:
        await oidc.close()


def _make_store_check(client: Client, model: ReadModel) -> Callable[[], Awaitable[str | None]]:
    async def check() -> str | None:
        try:
            await client.ping()
            await model.epoch()
        except Rebuilding:
            return "the read model is being rebuilt from the logs"
        except (RedisError, OSError, ProblemError) as error:
            return f"the store does not answer: {error}"
        return None

    return check


def build_openapi() -> dict[str, Any]:
    """Return the OpenAPI document of the console's own routes."""
    return create_app(HealthChecks()).openapi()

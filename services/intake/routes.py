"""Serve the front's own routes to authenticated callers; pass every other path to the console.

Callers authenticate by bearer token, or by session cookie and CSRF proof.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import aiohttp
import structlog

from services.intake.administration import Administration, describe_principal
from services.intake.dead_letters.dead_letter_api import (
    CORRECTOR,
    DEAD_LETTER_PATH,
    DEFAULT_LIMIT,
    ORIGINAL_SENDER,
    DeadLetterApi,
)
from services.intake.dead_letters.dead_letter_store import CORRECTED_BY, UnknownSenders
from services.intake.field.site_managers import MANAGERS
from services.intake.http.exchange import (
    ClientDisconnected,
    Receive,
    Scope,
    Send,
    get_client_address,
    get_header,
    parse_cookies,
    read_page_request,
    redact_url,
    send_json,
    send_problem,
    send_response,
    split_path,
)
from services.intake.http.process_metrics import METRICS_PATH, ProcessMetrics
from services.intake.http.proxy import ConsoleProxy
from services.intake.http.public_pages import FILES_PATH, PublicPages
from services.intake.integrations.alertmanager_status import AlertmanagerApi
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.openapi import merge_documents
from services.intake.photos import PHOTO_PATH, PhotoApi
from services.intake.reports.deduplication import AnswerIndex, KnownReport
from services.intake.reports.report_checks import KNOWN_REALM, PUBLISHED
from services.intake.reports.reports_api import POST_ONE, ReportApi
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.http.request_headers import read_bearer
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.identity.principals import Scope as Limits
from services.runtime.identity.sessions import (
    COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    SAFE_METHODS,
    Sessions,
    find_cookie,
)
from services.runtime.kafka.clients import BrokerAway, format_time
from services.runtime.process import metrics, tracing
from services.runtime.process.health import Check, HealthChecks


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
        session = self._sessions.read(find_cookie(cookies, COOKIE, secure=secure))
        if session is None:
            raise ProblemError("unauthenticated")
        if scope["method"] not in SAFE_METHODS:
            proof, csrf_header = (
                find_cookie(cookies, CSRF_COOKIE, secure=secure),
                get_header(scope, CSRF_HEADER.encode()),
            )
            if not self._sessions.checks_csrf(session, csrf_header, proof):
                raise ProblemError("csrf")
        if session.enrolling:
            raise ProblemError("second_factor_needed")
        return session.principal


Handler = Callable[[Scope, Receive, Send], Awaitable[None]]
POST_BATCH: Final = "/api/v1/reports:batch"
POST_LINE: Final = "/api/v1/reports:line"
SOURCES: Final = "/api/v1/sources"
OPENAPI_S: Final = 15.0
RETRY_S: Final = 2
_RAW_PATH: Final = re.compile(r"/api/v1/reports/([0-9A-Za-z_-]{1,64})/raw")
_STATUS_PATH: Final = re.compile(r"/api/v1/reports/([0-9A-Za-z_-]{1,64})")
_ADMINISTRATION_PATHS: Final = ("/api/v1/tokens", "/api/v1/users", "/api/v1/sources")
_TECHNICAL_PATHS: Final = frozenset({METRICS_PATH, "/openapi.json", "/asyncapi.json", PUBLISHED})
"""Paths closed to strangers with `VIGIE_METRICS_PUBLIC=0`, like the parts of `/readyz`."""
_OWN_PATHS: Final = frozenset({KNOWN_REALM, MANAGERS, FILES_PATH})
"""Paths of the console for the front alone."""
log = structlog.get_logger(__name__)


class FrontApplication:
    """ASGI application of the front.

    Its own routes are reports, photos, integrations, raw bytes, whoami, tokens, users, sources,
    refused messages, health, metrics and the OpenAPI document.
    """

    def __init__(
        self,
        callers: Authenticator,
        reports: ReportApi,
        photos: PhotoApi,
        administration: Administration,
        machines: Dispatcher,
        alertmanager: AlertmanagerApi,
        strangers: UnknownSenders,
        letters_api: DeadLetterApi,
        ledger: AnswerIndex,
        proxy: ConsoleProxy,
        public: PublicPages,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        checks: Mapping[str, Check],
        process_metrics: ProcessMetrics,
        hsts_s: int = 0,
        metrics_public: bool = True,
    ) -> None:
        self._callers = callers
        self._reports = reports
        self._photos = photos
        self._administration = administration
        self._machines = machines
        self._alertmanager = alertmanager
        self._strangers = strangers
        self._refused = letters_api
        self._ledger = ledger
        self._proxy = proxy
        self._public = public
        self._health = HealthChecks(live=live, ready=ready, shown_checks=checks)
        self._hsts = (b"strict-transport-security", b"max-age=%d" % hsts_s) if hsts_s else None
        self._metrics_public = metrics_public
        self._metrics = process_metrics
        self._known_document: dict[str, Any] | None = None
        self._handlers: dict[str, Handler] = {
            POST_ONE: self._post_report,
            POST_BATCH: self._post_batch,
            POST_LINE: self._post_line,
            PHOTO_PATH: self._post_photo,
            SOURCES: self._serve_sources,
            "/api/v1/whoami": self._show_caller,
            "/api/v1/intake/strangers": self._list_strangers,
            "/livez": self._show_health,
            "/readyz": self._show_health,
            METRICS_PATH: self._show_metrics,
            "/openapi.json": self._show_document,
        }
        """Path → its handler."""
        self._handlers_below: dict[str, Handler] = {
            POST_ONE: self._show_report,
            PHOTO_PATH: self._show_photo,
            DEAD_LETTER_PATH: self._serve_dead_letters,
            **dict.fromkeys(_ADMINISTRATION_PATHS, self._administer),
            METRICS_PATH: self._show_process_metrics,
            **{
                path: partial(machines.handle, dialect)
                for dialect in machines.dialects
                for path in dialect.PATHS
            },
        }
        """Path → the handler of this path and of all below it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"only HTTP is spoken here, not {scope['type']}")
        has_started = False
        if tracing.get_traces() is not None:
            tracing.set_caller(get_header(scope, b"traceparent"))

        async def send_with_policy(message: Any) -> None:
            nonlocal has_started
            has_started = True
            if (
                message["type"] == "http.response.start"
                and self._hsts
                and scope.get("scheme") == "https"
            ):
                message = {**message, "headers": [*message["headers"], self._hsts]}
            await send(message)

        try:
            await self._route(scope, receive, send_with_policy)
        except ProblemError as error:
            await self._refuse(scope, send_with_policy, error.problem)
        except BrokerAway:
            await self._refuse(
                scope, send_with_policy, Problem("broker_away", retry_after_s=RETRY_S)
            )
        except ClientDisconnected:
            log.debug("client.gone", path=redact_url(scope))
        except Exception:
            reference = secrets.token_hex(6)
            log.exception(
                "request.failed",
                reference=reference,
                method=scope["method"],
                path=redact_url(scope),
            )
            if not has_started:
                await self._refuse(
                    scope, send_with_policy, Problem("internal", {"reference": reference})
                )

    async def _refuse(self, scope: Scope, send: Send, problem: Problem) -> None:
        path = scope["path"]
        native = path in (POST_ONE, POST_BATCH)
        if problem.code == "unauthenticated" and (
            native or self._alertmanager.serves(path, scope["method"])
        ):
            self._strangers.note(
                get_client_address(scope), scope["method"], redact_url(scope), problem.code
            )
        if native:
            metrics.count("vigie_reports_total", dialect="native", status=str(problem.status))
            log.debug(
                "report.refused",
                code=problem.code,
                status=problem.status,
                fields=[f.field for f in problem.faults],
            )
        await send_problem(scope, send, problem)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.startswith("/"):
            raise ProblemError("not_found")  # `OPTIONS *`: of the server, not of a resource
        handle = self._find_handler(path, scope["method"])
        await handle(scope, receive, send)

    def _find_handler(self, path: str, method: str) -> Handler:
        """Return the handler of a path; the console serves those that the front does not know."""
        if (handler := self._handlers.get(path)) is not None:
            return handler
        if self._alertmanager.serves(path, method):  # an integration takes POST at one of its paths
            return self._alertmanager.handle
        handlers = (
            handler
            for above, handler in self._handlers_below.items()
            if f"{path}/".startswith(f"{above}/")
        )
        return next(handlers, self._pass_on)

    # ── reports and photos ───────────────────────────────────────────────────────────────────────

    async def _post_report(self, scope: Scope, receive: Receive, send: Send) -> None:
        _require_method(scope, "POST")
        await self._reports.post_one(await self._sender(scope), scope, receive, send)
        metrics.count("vigie_reports_total", dialect="native", status="202")

    async def _post_batch(self, scope: Scope, receive: Receive, send: Send) -> None:
        _require_method(scope, "POST")
        await self._reports.post_batch(await self._sender(scope), scope, receive, send)

    async def _post_line(self, scope: Scope, receive: Receive, send: Send) -> None:
        _require_method(scope, "POST")
        caller = await self._caller(scope, Permission.REPORT_RELAY)
        await self._reports.post_line(caller, scope, receive, send)

    async def _show_report(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the raw bytes or the status of one report; pass any other path to the console.

        The console knows the status. The front answers `received` before the console has it.
        """
        path = scope["path"]
        if (path_match := _RAW_PATH.fullmatch(path)) is not None:
            _require_method(scope, "GET")
            await self._reports.get_raw(
                await self._caller(scope, Permission.REPORT_RAW), path_match[1], send
            )
            return
        if (
            get_method(scope) != "GET"
            or (path_match := _STATUS_PATH.fullmatch(path)) is None
            or (recorded_report := self._ledger.get(path_match[1])) is None
        ):
            await self._pass_on(scope, receive, send)
            return
        query_params = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        if not query_params.get("realm"):
            query_params["realm"] = recorded_report.realm
            scope = {**scope, "query_string": urlencode(query_params).encode()}

        async def not_judged_yet(send: Send) -> bool:
            """Answer `received`. Returns False, without an answer, where the 404 is right.

            That is a question about the past or another realm, or a caller that may not see the
            report.
            """
            if (
                query_params.get("as_of")
                or query_params["realm"] != recorded_report.realm
                or not await self._sees(scope, recorded_report)
            ):
                return False
            status = {
                "id": recorded_report.report_id,
                "realm": recorded_report.realm,
                "state": "received",
                "recorded_at": format_time(recorded_report.recorded_at),
            }
            await send_json(send, 200, status | {"incident": None})
            return True

        await self._proxy.pass_on(scope, receive, send, instead_of_404=not_judged_yet)

    async def _sees(self, scope: Scope, recorded_report: KnownReport) -> bool:
        try:
            caller = await self._callers.identify(scope)
        except ProblemError:  # a guest of the demonstration has no account
            return False
        return caller.id == recorded_report.sender or caller.may(Permission.PICTURE_READ)

    async def _post_photo(self, scope: Scope, receive: Receive, send: Send) -> None:
        _require_method(scope, "POST")
        caller = await self._caller(scope, Permission.REPORT_POST)
        await self._photos.post(caller, scope, receive, send)

    async def _show_photo(self, scope: Scope, _receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        caller = await self._caller(scope, Permission.REPORT_RAW)
        await self._photos.get(caller, scope["path"].removeprefix(f"{PHOTO_PATH}/"), send)

    # ── refused messages ─────────────────────────────────────────────────────────────────────────

    async def _serve_dead_letters(self, scope: Scope, receive: Receive, send: Send) -> None:
        """List, show or replay refused messages.

        Reading needs the permission `DEAD_LETTERS`, a replay also `REPORT_RELAY` and an unlimited
        scope.
        """
        reader = await self._caller(scope, Permission.DEAD_LETTERS)
        parts = scope["path"].removeprefix(DEAD_LETTER_PATH).strip("/").split("/")
        match get_method(scope), parts:
            case "GET", [""]:
                await send_json(
                    send,
                    200,
                    await self._refused.list_messages(
                        read_page_request(scope, DEFAULT_LIMIT), reader
                    ),
                )
            case "GET", [id]:
                await send_json(send, 200, await self._refused.show_message(id, reader))
            case "POST", [id, "replay"]:
                reader.require(Permission.REPORT_RELAY)
                if reader.scope.sites or reader.scope.poles or reader.scope.types:
                    raise ProblemError("out_of_scope", field="refused")  # it may be about any site
                await self._replay(id, reader, scope, receive, send)
            case _, [_] | [_, "replay"]:
                raise ProblemError("method_not_allowed", allowed="GET, HEAD, POST")
            case _:
                raise ProblemError("not_found")

    async def _replay(
        self, id: str, author: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Replay a refused message and answer as its integration does."""
        new_body = await self._reports.read(scope, receive)
        outcome = await self._refused.build_replay(id, new_body, author)
        if isinstance(outcome, dict):
            await send_json(send, 202, outcome)
            return
        request, body = outcome
        request["headers"] += [h for h in scope["headers"] if h[0] == b"accept-language"]
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def body_of() -> Any:
            return waiting.pop(0)

        before = CORRECTED_BY.set(request[CORRECTOR])
        try:
            await self._route(request, body_of, send)
        finally:
            CORRECTED_BY.reset(before)

    # ── accounts and sources ─────────────────────────────────────────────────────────────────────

    async def _serve_sources(self, scope: Scope, receive: Receive, send: Send) -> None:
        """List the sources for readers of the log; other methods are for administrators."""
        if get_method(scope) != "GET":
            await self._administer(scope, receive, send)
            return
        reader = await self._caller(scope, Permission.LOG_READ)
        await self._administration.list_sources(reader, scope, send)

    async def _administer(self, scope: Scope, receive: Receive, send: Send) -> None:
        author = await self._administrator(scope)
        parts = split_path(scope)[3:]
        await self._administration.handle(author, get_method(scope), parts, scope, receive, send)

    async def _show_caller(self, scope: Scope, _receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        await send_json(send, 200, describe_principal(await self._callers.identify(scope)))

    async def _list_strangers(self, scope: Scope, _receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        await self._administrator(scope)
        await send_json(send, 200, self._strangers.describe())

    # ── health, metrics and documents ────────────────────────────────────────────────────────────

    async def _show_health(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer `/livez` and `/readyz`; strangers may not read the parts of a closed front."""
        _require_method(scope, "GET")
        answer = await self._health.answer(scope["path"])
        assert answer is not None, "one of the paths of Health"
        if (
            scope["path"] == "/readyz"
            and not self._metrics_public
            and not await self._may_read_technical(scope)
        ):
            status = "ok" if answer.status < 400 else "unavailable"
            await send_json(send, answer.status, {"status": status})
            return
        await _send_uncached(send, answer.status, answer.body, answer.content_type)

    async def _show_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        await self._check_technical(scope)
        await self._show_health(scope, receive, send)

    async def _show_document(self, scope: Scope, _receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        await self._check_technical(scope)
        await send_json(send, 200, await self._document())

    async def _show_process_metrics(self, scope: Scope, _receive: Receive, send: Send) -> None:
        _require_method(scope, "GET")
        process = scope["path"].removeprefix(f"{METRICS_PATH}/")
        text = await self._metrics.fetch(process, get_header(scope, b"authorization"))
        await _send_uncached(send, 200, text, metrics.CONTENT_TYPE)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _OWN_PATHS:
            raise ProblemError("not_found")
        if self._public.serves(scope):
            _require_method(scope, "GET")
            await self._public.answer(scope, send, self._proxy.get_json)
            return
        if scope["path"] in _TECHNICAL_PATHS:
            await self._check_technical(scope)
        await self._proxy.pass_on(scope, receive, send)

    async def _check_technical(self, scope: Scope) -> None:
        """Check that the caller may read metrics and API documents. Raises ProblemError."""
        if not self._metrics_public:
            await self._caller(scope, Permission.PICTURE_READ)

    async def _may_read_technical(self, scope: Scope) -> bool:
        try:
            await self._check_technical(scope)
        except ProblemError:
            return False
        return True

    # ── callers ──────────────────────────────────────────────────────────────────────────────────

    async def _sender(self, scope: Scope) -> Principal:
        """Return the sender of a report and record its sign of life.

        In a replay, that is the sender of the refused message, and no sign of life is recorded.
        """
        principal = await self._caller(scope, Permission.REPORT_POST)
        if ORIGINAL_SENDER not in scope:
            self._machines.heard(principal)
        return principal

    async def _caller(self, scope: Scope, permission: Permission) -> Principal:
        principal = scope.get(ORIGINAL_SENDER) or await self._callers.identify(scope)
        principal.require(permission)
        return principal

    async def _administrator(self, scope: Scope) -> Principal:
        """Return the caller if it may administer accounts. Raises ProblemError.

        A caller with a limited scope may not: it could grant rights that it lacks.
        """
        author = await self._caller(scope, Permission.ACCESS_ADMIN)
        if author.scope != Limits():
            raise ProblemError("out_of_scope", field="access")
        return author

    async def _document(self) -> dict[str, Any]:
        """Return the whole OpenAPI document, or its last version while the console is away.

        Raises ProblemError `console_away` if there is none: a part would look like the whole.
        """
        try:
            self._known_document = merge_documents(
                await self._proxy.get_json("/openapi.json", OPENAPI_S)
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if self._known_document is None:
                raise ProblemError("console_away", retry_after_s=RETRY_S) from error
        return self._known_document


def get_method(scope: Scope) -> str:
    """Return the method, and `GET` for a `HEAD`: the server drops the body of the response."""
    method: str = scope["method"]
    return "GET" if method == "HEAD" else method


def _require_method(scope: Scope, method: str) -> None:
    if get_method(scope) != method:
        raise ProblemError("method_not_allowed", allowed="GET, HEAD" if method == "GET" else method)


async def _send_uncached(send: Send, status: int, body: bytes, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
    await send_response(send, status, body, headers)

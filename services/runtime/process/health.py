"""Health of a process on a port of its own: /livez (restart if it fails), /readyz, /metrics.

Probes without the token of the installation get only the state. Metrics, and the reasons why a
process is not ready, need the token.

A check returns None if all is well, else one sentence about the fault. A check that raises or takes
longer than `CHECK_TIMEOUT_S` has failed as well. Checks must not block the loop.
"""

import asyncio
import inspect
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import orjson
from aiohttp import web

from services.runtime.process import machine as memory
from services.runtime.process import metrics
from services.runtime.process.settings import DataDir, Settings, find_version
from services.runtime.secrets.local_secrets import get_or_create_token, is_token_valid

CHECK_TIMEOUT_S = 2.0
MAX_CONNECTIONS: Final = 64
"""Open connections of a health port. For a further one, the oldest makes way."""
CONNECTION_S: Final = 30.0
"""Longest life of a connection. Each serves one request, which takes much less."""

Check = Callable[[], str | Awaitable[str | None] | None]


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """Checks of a process. `answer` serves processes with their own HTTP framework."""

    ready: Mapping[str, Check] = field(default_factory=dict)
    live: Mapping[str, Check] = field(default_factory=dict)
    shown_checks: Mapping[str, Check] = field(default_factory=dict)
    """Checks that /readyz shows beside those of readiness, but that do not decide it."""

    async def answer(self, path: str) -> HealthAnswer | None:
        """Answer /livez, /readyz or /metrics; return None for any other path. Never raises."""
        match path:
            case "/livez":
                return _build_report(await _run_checks(self.live))
            case "/readyz":
                decides, other_checks = await asyncio.gather(
                    _run_checks({**self.live, **self.ready}), _run_checks(self.shown_checks)
                )
                return _build_report(decides, other_checks)
            case "/metrics":
                python = platform.python_version()
                metrics.set_gauge("vigie_build_info", 1, version=find_version(), python=python)
                return HealthAnswer(200, metrics.CONTENT_TYPE, metrics.render_exposition())
            case _:
                return None


@dataclass(frozen=True, slots=True)
class GuardedHealth:
    """Health of a process for untrusted callers."""

    health: HealthChecks
    token: str | None
    """Token that reveals all details; None reveals them to no caller."""

    async def answer(self, path: str, authorization: str | None) -> HealthAnswer | None:
        """Answer like `HealthChecks.answer`, as far as this `Authorization` header permits.

        Never raises.
        """
        if self.token is not None and is_token_valid(authorization, self.token):
            return await self.health.answer(path)
        if path == "/metrics":
            return _UNKNOWN
        health_answer = await self.health.answer(path)
        if health_answer is None:
            return None
        return replace(health_answer, body=_READY if health_answer.status < 400 else _UNAVAILABLE)


_READY: Final = orjson.dumps({"status": "ok"})
_UNAVAILABLE: Final = orjson.dumps({"status": "unavailable"})
_UNKNOWN: Final = HealthAnswer(
    401,
    "text/plain",
    b"bearer token required: secrets/metrics.token\n",
    {"WWW-Authenticate": "Bearer"},
)


async def _run_checks(checks: Mapping[str, Check]) -> dict[str, str | None]:
    async def one(check: Check) -> str | None:
        try:
            outcome = check()
            if inspect.isawaitable(outcome):
                outcome = await asyncio.wait_for(outcome, CHECK_TIMEOUT_S)
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:  # noqa: BLE001  a check that raises anything has failed
            return f"{type(error).__name__}: {error}"
        return outcome

    return dict(zip(checks, await asyncio.gather(*(one(c) for c in checks.values())), strict=True))


def _build_report(
    decides: dict[str, str | None], other_checks: dict[str, str | None] | None = None
) -> HealthAnswer:
    wrong = {name: sentence for name, sentence in decides.items() if sentence is not None}
    outcomes = (other_checks or {}) | decides
    body = orjson.dumps(
        {
            "status": "unavailable" if wrong else "ok",
            "checks": {n: s or "ok" for n, s in outcomes.items()},
        }
    )
    return HealthAnswer(503 if wrong else 200, "application/json", body)


class HealthServer:
    """The running health endpoint; `port` is the real one if 0 was requested."""

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server) -> None:
        self._runner = runner
        self._listener = listener
        self.port = int(listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        self._listener.close()
        await self._runner.cleanup()


async def serve_health(
    settings: Settings, checks: Mapping[str, Check], *, live: Mapping[str, Check] | None = None
) -> HealthServer:
    """Serve `checks` as readiness and `live` as liveness on the health port of these settings.

    Raises OSError on a busy port, or if the token can be neither read nor created.
    """
    health = GuardedHealth(
        HealthChecks(ready=checks, live=live or {}), get_or_create_token(settings.data.secrets)
    )

    async def handle(request: web.Request) -> web.Response:
        answer = await health.answer(request.path, request.headers.get("Authorization"))
        response = (
            web.Response(status=404, text="only /livez, /readyz and /metrics\n")
            if answer is None
            else web.Response(
                status=answer.status,
                body=answer.body,
                headers={**answer.headers, "Content-Type": answer.content_type},
            )
        )
        response.force_close()
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: _make_connection(runner),
        settings.health_host,
        settings.health_port,
        reuse_address=True,
    )
    memory.schedule_return()
    return HealthServer(runner, listener)


def _make_connection(runner: web.AppRunner) -> asyncio.Protocol:
    """Return the protocol of a new connection: silent ones must not use up the process's files."""
    server = runner.server
    assert server is not None
    open_connections = server.connections
    if len(open_connections) >= MAX_CONNECTIONS:
        open_connections[0].force_close()
    connection = server()
    asyncio.get_running_loop().call_later(CONNECTION_S, connection.force_close)
    return connection


def create_start_check(data: DataDir) -> Check:
    """Return the front's check that the system has started.

    The system counts as started once the territory is loaded and the other processes had time to
    become ready. The supervisor notes it (`services.appliance.supervisor.up`). A process that
    cannot start, or restarts later, does not make the front unready.
    """

    def check() -> str | None:
        return None if data.started.exists() else "the system is still starting"

    return check

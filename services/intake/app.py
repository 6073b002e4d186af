"""Connect the parts of the front and run it until SIGTERM."""

import asyncio
import signal
import socket
import sqlite3
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, Self

import aiohttp
import structlog
import uvicorn
from aiokafka.errors import KafkaError
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from services.intake.administration import Administration
from services.intake.admission import (
    Admission,
    BodyMemory,
    DailyQuota,
    DecisionLag,
    ReportRateLimiter,
    SenderRate,
)
from services.intake.dead_letters.dead_letter_api import DeadLetterApi
from services.intake.dead_letters.dead_letter_store import (
    REFUSED_PREFIX,
    DeadLetterStore,
    UnknownSenders,
)
from services.intake.field.arrived_texts import ArrivedTextReader
from services.intake.field.phone_numbers import PhoneNumbers
from services.intake.field.poster import PosterIntegration
from services.intake.field.rate_limits import AnonymousLimits
from services.intake.field.site_codes import SiteCodes
from services.intake.field.site_managers import SiteManagers
from services.intake.field.sms import SmsIntegration
from services.intake.http.connections import ConnectionLimiter, GuardedConnection
from services.intake.http.exchange import BodyReader, ForwardedHost
from services.intake.http.process_metrics import ProcessMetrics
from services.intake.http.proxy import ConsoleProxy
from services.intake.http.public_pages import PublicPages
from services.intake.integrations.alertmanager_api import AlertmanagerAlerts
from services.intake.integrations.alertmanager_status import AlertmanagerApi
from services.intake.integrations.cap.dialect import CapIntegration
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.integrations.external_events import ExternalEventReader
from services.intake.integrations.heartbeats import HeartbeatMonitor
from services.intake.integrations.registry import SourceRegistry
from services.intake.integrations.shared_signs import SignExchange
from services.intake.integrations.source_stats import SourceStats
from services.intake.photos import PhotoApi
from services.intake.reports.acceptance import InputAppender, ReportReceiver
from services.intake.reports.answer_follower import AnswerFollower
from services.intake.reports.deduplication import AnswerIndex, KnownReport
from services.intake.reports.geography import TerritoryMap
from services.intake.reports.redaction import LogRedactor
from services.intake.reports.report_checks import RealmCheck, ReservedMeasures
from services.intake.reports.reports_api import ReportApi
from services.intake.routes import Authenticator, FrontApplication
from services.intake.settings import IntakeSettings
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.sessions import Sessions
from services.runtime.kafka.broker_certificate import measure_first_end
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.security import get_security
from services.runtime.process import health
from services.runtime.process.cluster import is_shared
from services.runtime.process.health import Check, create_start_check
from services.runtime.process.machine import freeze_long_lived, now_ms
from services.runtime.process.settings import split_host_port
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.erasure import TextRetention, create_offset_finder
from services.runtime.secrets.front_mark import FrontMark
from services.runtime.secrets.keyring import MasterKey
from services.runtime.secrets.vault import Vault

FLUSH_S: Final = 0.5
CHARGED_MS: Final = 10_000
"""Age of a report of another front beyond which it costs its sender nothing here."""
RETRY_S: Final = 1.0
GRACE_S: Final = 4
"""Seconds that requests in progress get when the process is asked to stop."""
CONSOLE_PROBE_S: Final = 1.5
CONSOLE_START_S: Final = 30.0
"""Seconds that a start waits for the console. Reports are accepted without it."""
log = structlog.get_logger(__name__)


class Intake:
    """All parts of the front.

    Use `async with Intake(settings) as intake`. `intake.front` is the ASGI application.
    """

    def __init__(self, settings: IntakeSettings) -> None:
        self.settings = settings
        master = MasterKey.open(settings.data.secrets)
        self.access = AccessStore.open(settings, "intake", master=master)
        self.vault = Vault.open(settings, master=master, ack_timeout_s=settings.acknowledgement_s)
        words = LogRedactor(master.derive_key("intake.words"))
        self.ledger = AnswerIndex(settings.answers, words)
        self.marks = InputMarks.open(settings.data.secrets)
        self.follower = (
            AnswerFollower(self.ledger, settings.kafka, self.marks, self.charge_elsewhere)
            if is_shared(settings)
            else None
        )
        self.public = PublicPages(settings.answers.with_name("public.json"), settings.live_realm)
        self.inputs = InputAppender(self.vault.writer, self.marks)
        mark = FrontMark(master)
        self.proxy = ConsoleProxy(
            settings.console, settings.console_connect_s, settings.body_timeout_s, mark
        )
        room = BodyMemory(settings.bodies_in_memory_bytes, settings.bodies_reserve_bytes)
        self.backlog = DecisionLag(
            settings.kafka, settings.backlog_s, settings.realm_share_s, self.vault.directory.realms
        )
        self.admission = Admission(
            settings.in_flight, settings.in_flight_reserve, room, self.backlog.has_neighbours
        )
        self.book = SourceStats(settings.sources)
        self.rates = ReportRateLimiter(
            SenderRate(settings.reports_per_s, settings.reports_burst),
            SenderRate(settings.danger_per_s, settings.danger_burst),
            self._note_exceeded,
        )
        self.reserved = ReservedMeasures(settings.territory)
        self.receiver = ReportReceiver(
            self.inputs,
            self.vault.texts,
            self.ledger,
            self.admission,
            self.rates,
            self.backlog,
            master.derive_key("intake.fingerprints"),
            words,
            settings.acknowledgement_s,
            self.reserved,
            RealmCheck(settings.live_realm, self.proxy.get_json),
            self.follower,
        )
        self.refused = DeadLetterStore(
            settings.kafka,
            self.vault.texts,
            self.ledger,
            realm=settings.live_realm,
            days=settings.refused_days,
            per_day=settings.refused_per_day,
            bytes_per_day=settings.refused_bytes_per_day,
        )
        sessions, places, geography = (
            Sessions(self.access),
            SiteCodes(settings.territory),
            TerritoryMap(settings.territory),
        )
        reader = BodyReader(settings.body_limit_bytes, settings.body_timeout_s, room)
        reports = ReportApi(
            self.receiver,
            reader,
            self.vault.texts,
            self.ledger,
            self.refused,
            settings.live_realm,
            settings.batch_items,
            places,
            geography,
        )
        self.ready: dict[str, Check] = {
            "log": self._log_ready,
            "access": self.access.fault,
            "texts": self.vault.fault,
        }
        self.live: dict[str, Check] = {"tasks": self._tasks_live}
        strangers = UnknownSenders()
        self.managers = SiteManagers(self.vault.directory.realms)
        people = PhoneNumbers(
            self.vault.directory, self.access, master.derive_key("intake.numbers"), self.managers
        )
        unknown = AnonymousLimits(
            settings.unknown_per_window, settings.unknown_per_sender, settings.unknown_window_s
        )
        self.sms = SmsIntegration(people, places, unknown, self.vault.texts)
        machines = Dispatcher(
            self.access,
            self.receiver,
            reader,
            self.ledger,
            self.refused,
            strangers,
            self.book,
            settings.live_realm,
            geography,
            self.rates,
            (
                self.sms,
                PosterIntegration(unknown),
                CapIntegration(geography, self.ledger),
                AlertmanagerAlerts(),
            ),
        )
        self.arrived_texts = ArrivedTextReader(
            self.vault.texts, self.sms, machines, (self.ledger.caught_up, self.access.caught_up)
        )
        alertmanager = AlertmanagerApi(
            self.access,
            self.proxy,
            reader,
            self.vault.texts,
            settings.live_realm,
            self.ready.values(),
            machines.keep,
        )
        self.external = ExternalEventReader(
            settings.kafka, self.access, machines, self.ledger, self.refused, self.book
        )
        has_many_fronts = is_shared(settings)
        self.heartbeats = HeartbeatMonitor(
            self.access, machines.transitions, self.ledger, self.book, is_shared=has_many_fronts
        )
        quota = DailyQuota(settings.photos_per_day, settings.photo_bytes_per_day)
        self.signs = (
            SignExchange(
                settings.kafka,
                self.access,
                self.book,
                self.vault.writer,
                master,
                {
                    "photos": quota,
                    "refused": self.refused.quota,
                    "places": unknown.places,
                    "strangers": unknown.senders,
                },
                settings.instance,
            )
            if has_many_fronts
            else None
        )
        photos = PhotoApi(reader, self.vault.texts, quota, settings.live_realm)
        self.front = FrontApplication(
            Authenticator(self.access, sessions),
            reports,
            photos,
            Administration(self.access, sessions, reader, SourceRegistry(self.access, machines)),
            machines,
            alertmanager,
            strangers,
            DeadLetterApi(settings.kafka, self.vault.texts, self.access, settings.live_realm),
            self.ledger,
            self.proxy,
            self.public,
            live=self.live,
            ready=self.ready
            | {"start": self._console_started, "system": create_start_check(settings.data)},
            hsts_s=settings.hsts_s,
            metrics_public=settings.metrics_public,
            process_metrics=ProcessMetrics(settings.data),
            checks={"console": self._console_ready, "decisions": self.backlog.note},
        )
        self._console_until: float | None = time.monotonic() + CONSOLE_START_S
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    def _note_exceeded(self, sender: str) -> None:
        """Mark a source that exceeds its rate. People are not listed there."""
        if self.access.source(sender) is not None:
            self.book.count_over_rate(sender, now_ms())

    def charge_elsewhere(self, report: KnownReport) -> None:
        """Count a report that another front has just accepted against its sender's rate."""
        age_ms = now_ms() - report.recorded_at
        if age_ms > CHARGED_MS or self.receiver.is_under_way(report.report_id):
            return
        principal = self.access.principal(report.sender)
        if principal is not None:
            self.rates.charge(principal, report.realm, danger=report.urgent)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.access)
        await self._stack.enter_async_context(self.vault)
        for name, work in (
            ("inputs", self._connect()),
            ("answers", self._flush_answers()),
            ("bootstrap", self._bootstrap()),
            ("refused", self.refused.run()),
            ("sweep", self.refused.sweep()),
            ("external", self.external.run()),
            ("arrived_texts", self.arrived_texts.run()),
            ("heartbeats", self.heartbeats.run()),
            ("backlog", self.backlog.run()),
            ("measures", self.reserved.follow(self.proxy.get_json)),
            ("managers", self.managers.follow(self.proxy.get_json)),
            ("public", self.public.follow(self.proxy.get_json)),
        ):
            self._tasks.append(_start_task(name, work))
        if self.signs is not None:
            self._tasks.append(_start_task("signs", self.signs.run()))
            self._tasks.append(_start_task("retention", self._retain_refused().run()))
        if (security := get_security()).tls:
            certificate = measure_first_end(self.settings.kafka, security.ca)
            self._tasks.append(_start_task("certificate", certificate))
        return self

    def _retain_refused(self) -> TextRetention:
        """Erase old refused bytes kept by a front that is lost for good."""
        days = {REFUSED_PREFIX: self.settings.refused_days}
        return TextRetention(self.vault.texts, days, create_offset_finder(self.settings.kafka))

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._tasks)
        await self.refused.stop()
        await self.proxy.stop()
        try:
            await self.ledger.flush()
            await self.book.flush()
        except sqlite3.Error as error:
            log.warning(
                "answers.unflushed",
                error=str(error),
                hint="they are read from the log at the next start",
            )
        self.ledger.close()
        self.book.close()
        await self._stack.aclose()

    async def _connect(self) -> None:
        """Connect the producer, then read the reports that earlier runs accepted.

        Reports are accepted from then on. In a cluster, reports of the other fronts are read, too.
        """
        await self.inputs.run()
        while not self.ledger.caught_up.is_set():
            try:
                record_count = await self.ledger.catch_up(self.settings.kafka, self.marks)
                log.info("answers.known", records=record_count)
            except (KafkaError, OSError, sqlite3.Error) as error:
                log.warning("answers.unknown", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_S)
        if self.follower is not None:
            await self.follower.run()

    async def _flush_answers(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.ledger.flush()
                await self.book.flush()
            except sqlite3.Error as error:
                log.error("answers.unflushed", error=str(error), hint="is the disk full?")

    async def _bootstrap(self) -> None:
        while True:
            try:
                await self.access.bootstrap()
                return
            except (BrokerAway, OSError) as error:
                log.warning("access.bootstrap_postponed", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _log_ready(self) -> str | None:
        if not self.ledger.caught_up.is_set():
            return "reading what was accepted before"
        if not await self.inputs.reachable():
            return "Kafka does not answer"
        self.receiver.broker_answers()
        return "Kafka does not acknowledge" if self.receiver.away else None

    async def _console_ready(self) -> str | None:
        try:
            status = await self.proxy.status_of("/readyz", CONSOLE_PROBE_S)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"does not answer ({type(error).__name__})"
        return None if status < 400 else f"not ready (HTTP {status})"

    async def _console_started(self) -> str | None:
        """Return the reason why the console has not answered since this process started, else None.

        Returns None once CONSOLE_START_S has passed.
        """
        if self._console_until is None or time.monotonic() >= self._console_until:
            return None
        if (why := await self._console_ready()) is None:
            self._console_until = None
            return None
        return f"the console {why}"

    def _tasks_live(self) -> str | None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return f"{task.get_name()} ended: {type(error).__name__}"
        return None


def _start_task(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=name)

    def on_task_end(ended_task: asyncio.Task[None]) -> None:
        if not ended_task.cancelled() and (error := ended_task.exception()) is not None:
            log.error("task.ended", task=name, exc_info=error)

    task.add_done_callback(on_task_end)
    return task


def open_listening_socket(settings: IntakeSettings) -> socket.socket:
    """Return the listening socket. Raises OSError.

    The socket is the supervisor's (`VIGIE_HTTP_FD`) if there is one: connections then queue while
    this process restarts. Otherwise, the front opens its own.
    """
    if settings.http_fd is not None:
        return socket.socket(fileno=settings.http_fd)
    return _bind_socket(settings.http)


def _bind_socket(address: str) -> socket.socket:
    host, port = split_host_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(2048)
    return sock


def build_server_config(
    front: Any, settings: IntakeSettings, addresses: ConnectionLimiter | None = None, **tls: Any
) -> uvicorn.Config:
    """Build the uvicorn configuration of one listening address.

    Client address, scheme and host come from the connection, unless a configured proxy names them.
    """
    if settings.proxies:
        front = ForwardedHost(
            ProxyHeadersMiddleware(front, trusted_hosts=settings.proxies), settings.proxies
        )
    limiter = addresses or ConnectionLimiter(settings.connections_per_address, settings.proxies)
    return uvicorn.Config(
        front,
        http=type("Served", (GuardedConnection,), {"addresses": limiter}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        **tls,
    )


class _SignalFreeServer(uvicorn.Server):
    """A uvicorn server that leaves signals to `run`.

    uvicorn raises them again when it ends, which would kill the process before it has flushed.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: IntakeSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises OSError if an address cannot be bound or the certificate cannot be read.
    """
    listening: list[tuple[socket.socket, dict[str, Any]]] = [(open_listening_socket(settings), {})]
    if settings.tls_http:
        listening.append(
            (
                _bind_socket(settings.tls_http),
                {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key},
            )
        )
    freeze_long_lived()
    async with Intake(settings) as intake:
        probe = await health.serve_health(settings, intake.ready, live=intake.live)
        servers = []
        addresses = ConnectionLimiter(settings.connections_per_address, settings.proxies)
        for sock, tls in listening:
            sock.setblocking(False)
            servers.append(
                _SignalFreeServer(build_server_config(intake.front, settings, addresses, **tls))
            )

        def stop(number: int) -> None:
            intake.proxy.leave()
            for server in servers:
                server.handle_exit(number, None)

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        log.info("intake.listening", address=settings.http, tls=settings.tls_http or None)
        try:
            await asyncio.gather(
                *(
                    server.serve(sockets=[sock])
                    for server, (sock, _) in zip(servers, listening, strict=True)
                )
            )
        finally:
            await probe.close()

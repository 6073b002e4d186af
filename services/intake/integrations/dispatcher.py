"""Dispatch requests to integrations: identify the sender, accept the reports, answer.

`services.intake.integrations.reports` turns transitions of alerts into reports. A request may be
repeated as a whole: accepted reports have no second effect.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import structlog

from schemas.crisis.maintenance import Renewal
from schemas.words import EventType
from services.intake.admission import ReportRateLimiter
from services.intake.dead_letters.dead_letter_store import (
    DeadLetterStore,
    RefusedMessage,
    UnknownSenders,
)
from services.intake.http.exchange import (
    BINARY_TYPE,
    BodyReader,
    ClientDisconnected,
    Receive,
    Scope,
    Send,
    get_client_address,
    send_json,
    send_problem,
)
from services.intake.integrations import cloudevents, generic, pagerduty
from services.intake.integrations.discovery import (
    USUAL_KEY_LOCATION,
    Integration,
    load_integrations,
)
from services.intake.integrations.reports import MessageSender, TransitionReporter
from services.intake.integrations.request import IntegrationRequest, Reply, list_keys, read_request
from services.intake.integrations.signals import (
    ForwardedReport,
    Transition,
    TransitionState,
    date_transition,
)
from services.intake.integrations.source_stats import SourceStats
from services.intake.reports.acceptance import AcceptanceReceipt, RawBody, ReportReceiver
from services.intake.reports.deduplication import AnswerIndex
from services.intake.reports.geography import TerritoryMap
from services.intake.reports.native import dump_json
from services.intake.reports.reports_api import BATCH_AT_ONCE
from services.runtime.http.problems import Problem, ProblemError, build_fault
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import BilingualText, Permission, build_forbidden
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms


@runtime_checkable
class CustomIntegration(Protocol):
    """An integration that needs more than the request, such as numbers or limits.

    See `services.intake.field`.
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802  as in modules
    @property
    def PATHS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def PERMISSION(self) -> Permission: ...  # noqa: N802

    def get_storable_bytes(self, request: IntegrationRequest) -> bytes:
        """Return the bytes of a refused request that may be stored."""
        ...

    async def accept_request(
        self,
        machines: "Dispatcher",
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> Any:
        """Accept the reports of a request. Raises ProblemError."""
        ...

    def build_reply(self, request: IntegrationRequest, outcome: Any) -> Reply:
        """Return the response to an accepted request."""
        ...


RETRY_S: Final = 2
MAX_REPEATED_BYTES: Final = 2 << 20
"""Maximum bytes stored for the reports of one request if each stores the whole body.

Beyond, each report stores its own part: a group of 900 alerts would take 900 MB.
"""
TRANSIENT_STATUSES: Final = frozenset({429, 503})
"""Statuses of temporary problems: the same message may be accepted later."""
OPEN_INTEGRATIONS: Final = frozenset({"cap"})
"""Integrations open to every principal that may report, not only to registered sources."""
log = structlog.get_logger(__name__)


class Dispatcher:
    """All integrations of one front."""

    def __init__(
        self,
        access: AccessStore,
        receiver: ReportReceiver,
        reader: BodyReader,
        ledger: AnswerIndex,
        dead_letters: DeadLetterStore,
        strangers: UnknownSenders,
        book: SourceStats,
        live_realm: str,
        geography: TerritoryMap,
        rates: ReportRateLimiter,
        own_doors: Sequence[CustomIntegration] = (),
    ) -> None:
        self._access = access
        self._reader = reader
        self._refused = dead_letters
        self._strangers = strangers
        self.transitions = TransitionReporter(receiver, ledger, live_realm, geography)
        """Turns transitions of alerts into reports."""
        self.book = book
        self.rates = rates
        self._own_doors = own_doors

    @property
    def dialects(self) -> list[Integration | CustomIntegration]:
        """All integrations of this front."""
        return [*load_integrations().values(), *self._own_doors]

    @property
    def names(self) -> list[str]:
        """Names of integrations that a source may have."""
        return list(dict.fromkeys([*load_integrations(), *(d.NAME for d in self._own_doors)]))

    async def handle(
        self, dialect: Integration | CustomIntegration, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Handle one request. Raises ClientGone."""
        principal: Principal | None = None
        request = read_request(scope, b"")
        began = time.perf_counter()
        try:
            # Identify the sender before the body is read, so that even an unreadable body counts as
            # theirs.
            principal = await self._sender(request, list_keys(request))
            if scope["method"] not in ("POST", "PUT") and not scope["path"].startswith(
                "/v2/heartbeats"
            ):
                raise ProblemError("method_not_allowed", allowed="POST")
            body = await self._reader.read(scope, receive)
            try:
                request = read_request(scope, body)
                if (
                    principal is None
                    and dialect.NAME == pagerduty.NAME
                    and (key := pagerduty.read_routing_key(request)) is not None
                ):
                    principal = await self._sender(request, [key])
                if principal is None:
                    raise _build_key_problem(dialect)
                source = self._source_of(principal, dialect, request)
                outcome = await self._accept_request(dialect, principal, source, request)
            finally:
                self._reader.room.give_back(len(body))
        except ProblemError as error:
            await self._refuse(dialect, principal, error.problem, request, scope, send)
            return
        except BrokerAway:
            await self._refuse(
                dialect,
                principal,
                Problem("broker_away", retry_after_s=RETRY_S),
                request,
                scope,
                send,
            )
            return
        except ClientDisconnected:
            raise
        except Exception as error:  # noqa: BLE001  our fault: keep the message
            await self._refuse(
                dialect,
                principal,
                _build_internal_problem(dialect.NAME, error).problem,
                request,
                scope,
                send,
            )
            return
        metrics.observe("vigie_report_seconds", time.perf_counter() - began, dialect=dialect.NAME)
        reply: Reply = dialect.build_reply(request, outcome)
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(reply.status))
        await send_json(send, reply.status, reply.document, list(reply.headers))

    async def _accept_request(
        self,
        dialect: Integration | CustomIntegration,
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> Any:
        if isinstance(dialect, CustomIntegration):
            return await dialect.accept_request(self, principal, source, request)
        signals = dialect.signals(request, source)
        results = await self.take_all(principal, source, dialect.NAME, request, signals)
        problems = [result for result in results if isinstance(result, ProblemError)]
        good = [signal for signal in signals if not isinstance(signal, ProblemError)]
        # Replies to several signals count them: a refused one is not accepted.
        return [*good[: len(signals) - len(problems)], *problems]

    async def _sender(self, request: IntegrationRequest, keys: Sequence[str]) -> Principal | None:
        """Return the principal of the first valid key, and record its sign of life.

        A replay has a sender already and gives no sign of life. Raises ProblemError `starting`.
        """
        if request.sender is not None:
            return request.sender
        principal = await self._holder(keys)
        if principal is None:
            return None
        self.heard(principal)
        return principal

    def heard(self, principal: Principal) -> None:
        """Record a sign of life of a source."""
        if self._access.source(principal.id) is not None:
            self.book.heard(principal.id, now_ms())

    async def _holder(self, keys: Sequence[str]) -> Principal | None:
        for key in keys:
            if (
                principal := self._access.bearer(key) or await self._access.authenticate_bearer(key)
            ) is not None:
                return principal
        return None

    def _source_of(
        self,
        principal: Principal,
        dialect: Integration | CustomIntegration,
        request: IntegrationRequest,
    ) -> Source:
        """Return the source of a principal. Raises ProblemError `forbidden`, `other_door`."""
        permission = (
            dialect.PERMISSION if isinstance(dialect, CustomIntegration) else Permission.REPORT_POST
        )
        source = self._access.source(principal.id)
        if source is None and dialect.NAME in OPEN_INTEGRATIONS:
            source = Source(
                id=principal.id, name=dialect.NAME, dialect=dialect.NAME, type=EventType.INFO
            )
        if source is None or not principal.may(permission):
            raise build_forbidden(principal.role, _describe_key(dialect.NAME))
        if source.dialect != dialect.NAME or (
            dialect.NAME == generic.NAME and request.path.rsplit("/", 1)[-1] != source.name
        ):
            raise ProblemError(
                "other_door",
                source=source.name,
                dialect=source.dialect,
                address=self._address_of(source),
            )
        return source

    def _address_of(self, source: Source) -> str:
        paths = next((d.PATHS for d in self.dialects if source.dialect == d.NAME), ("/",))
        return f"{paths[0]}/{source.name}" if source.dialect == generic.NAME else paths[0]

    async def take_all(
        self,
        principal: Principal,
        source: Source,
        dialect: str,
        request: IntegrationRequest,
        signals: Sequence[Transition | ForwardedReport | ProblemError],
    ) -> list[AcceptanceReceipt | ProblemError]:
        """Accept each transition by itself, and return receipts and refusals.

        A refused one among many is kept and does not affect the others. Raises ProblemError if all
        are refused, or if one may be accepted later.
        """
        speaker = self.transitions.speaker(principal, source, _build_raw(dialect, request))
        turns = asyncio.Semaphore(BATCH_AT_ONCE)
        whole = len(request.body) * len(signals) <= MAX_REPEATED_BYTES

        async def accept_signal(
            signal: Transition | ForwardedReport | ProblemError,
        ) -> AcceptanceReceipt | Renewal | ProblemError | None:
            if isinstance(signal, ProblemError):
                return signal
            transition = (
                date_transition(signal, request.came) if isinstance(signal, Transition) else signal
            )
            async with turns:
                try:
                    took = await self.transitions.accept_signal(
                        speaker if whole else _narrow_to_part(speaker, transition), transition
                    )
                except ProblemError as error:
                    return error
                except BrokerAway:
                    raise
                except Exception as error:  # noqa: BLE001  does not affect the others
                    return _build_internal_problem(dialect, error)
                self.book.count_accepted(principal.id)
                return took

        results = [
            r
            for group in _order_transitions(signals)
            for r in await asyncio.gather(*map(accept_signal, group))
        ]
        await self.transitions.renew(speaker, [r for r in results if isinstance(r, Renewal)])
        problems = [p for p in results if isinstance(p, ProblemError)]
        for problem in problems:
            if problem.problem.status in TRANSIENT_STATUSES:
                raise problem
        if problems and len(problems) == len(signals):
            raise problems[0]
        self.keep_all(principal, problems, request, dialect)
        return [r for r in results if isinstance(r, AcceptanceReceipt | ProblemError)]

    async def _refuse(
        self,
        dialect: Integration | CustomIntegration,
        principal: Principal | None,
        problem: Problem,
        request: IntegrationRequest,
        scope: Scope,
        send: Send,
    ) -> None:
        """Answer with a problem and keep the message of a known sender.

        Temporary problems are a 503 with Retry-After, never a 429.
        """
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(problem.status))
        if problem.status in TRANSIENT_STATUSES or request.sender is not None:
            pass  # The sender of a temporary problem retries; a replayed message is kept already.
        elif principal is None:
            self._strangers.note(
                get_client_address(scope), request.method, request.address, problem.code
            )
        else:
            raw = _build_raw(dialect.NAME, request)
            self.keep(
                principal,
                problem,
                replace(raw, body=dialect.get_storable_bytes(request))
                if isinstance(dialect, CustomIntegration)
                else raw,
                request.address,
            )
        build_refusal = getattr(dialect, "build_refusal", None)
        if build_refusal is None or not (
            problem.status in (403, 422)
            or (problem.status in (401, 413) and dialect.NAME == pagerduty.NAME)
        ):
            await send_problem(scope, send, problem)
            return
        reply = build_refusal(problem)
        await send_json(send, reply.status, reply.document, list(reply.headers))

    def keep_all(
        self,
        principal: Principal,
        problems: Sequence[ProblemError],
        request: IntegrationRequest,
        dialect: str,
    ) -> None:
        """Count each problem of a request, and keep the request once per problem code.

        A replay offers the request as a whole.
        """
        problem_codes: set[str] = set()
        for error in problems:
            if error.problem.code in problem_codes:
                self.book.count_refused(principal.id, error.problem, now_ms())
            else:
                self.keep(principal, error.problem, _build_raw(dialect, request), request.address)
                problem_codes.add(error.problem.code)

    def keep(self, principal: Principal, problem: Problem, raw: RawBody, address: str) -> None:
        """Count a refused message and keep it.

        `address` is the path and query for a replay.
        """
        self.book.count_refused(principal.id, problem, now_ms())
        self._refused.keep(
            RefusedMessage(principal, problem, raw.body, raw.content_type, raw.dialect, address)
        )


def _order_transitions(
    signals: Sequence[Transition | ForwardedReport | ProblemError],
) -> tuple[
    list[Transition | ForwardedReport | ProblemError],
    list[Transition | ForwardedReport | ProblemError],
]:
    """Split transitions into two rounds, so that ends follow beginnings.

    With two alerts on one site, the lasting one must be known before the other ends. Several
    transitions of one alert keep their order.
    """
    words = Counter(s.key for s in signals if isinstance(s, Transition))
    last = [
        isinstance(s, Transition) and s.state is TransitionState.CLOSED and words[s.key] == 1
        for s in signals
    ]
    return [s for s, ends in zip(signals, last, strict=True) if not ends], [
        s for s, ends in zip(signals, last, strict=True) if ends
    ]


def _build_raw(dialect: str, request: IntegrationRequest) -> RawBody:
    """Return the bytes to keep of a request, for reading and replay."""
    body, kind = (
        cloudevents.convert_to_structured(request)
        if dialect == cloudevents.NAME
        else (request.body, request.headers.get("content-type", BINARY_TYPE))
    )
    return RawBody(body, kind, dialect)


def _describe_key(dialect: str) -> BilingualText:
    return {"fr": f"la clé d’une source ({dialect})", "en": f"the key of a source ({dialect})"}


def _build_key_problem(dialect: Integration | CustomIntegration) -> ProblemError:
    where = build_fault(
        getattr(dialect, "KEY_LOCATION", USUAL_KEY_LOCATION),
        "key",
        "la clé d’une source y est attendue",
        "the key of a source is expected there",
    )
    return ProblemError("unauthenticated", faults=(where,))


def _build_internal_problem(dialect: str, error: Exception) -> ProblemError:
    """Return `internal`, and log the exception."""
    reference = secrets.token_hex(6)
    log.error("machine.failed", reference=reference, dialect=dialect, exc_info=error)
    return ProblemError("internal", reference=reference)


def _narrow_to_part(speaker: MessageSender, signal: Transition | ForwardedReport) -> MessageSender:
    """Replace the stored body by the transition's own part.

    Raises ProblemError `invalid` if the part is nested too deeply.
    """
    if signal.part is None:
        return speaker
    return replace(
        speaker,
        raw=replace(
            speaker.raw, body=dump_json(signal.part.document), content_type=signal.part.content_type
        ),
    )

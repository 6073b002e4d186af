"""Dispatch requests to integrations: identify the sender, accept the reports, answer.

`services.intake.integrations.reports` turns transitions of alerts into reports. A request may be
repeated as a whole: accepted reports have no second effect.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import structlog

from schemas.maintenance import Renewal
from schemas.words import EventType
from services.intake.dead_letters.dead_letter_store import Refused, RefusedLane, Strangers
from services.intake.http.exchange import (
    BYTES,
    BodyReader,
    ClientGone,
    Receive,
    Scope,
    Send,
    address_of,
    answer_json,
    answer_problem,
)
from services.intake.integrations import (
    alertmanager,
    apprise,
    cloudevents,
    generic,
    goalert,
    opsgenie,
    pagerduty,
)
from services.intake.integrations.reports import Speaker, Transitions
from services.intake.integrations.request import Asked, Reply, asked_of, secrets_of
from services.intake.integrations.signals import Signal, State, Told, dated
from services.intake.integrations.source_stats import SourceBook
from services.intake.rate_limits import ReportRates
from services.intake.reports.acceptance import Raw, Receipt, Receiver
from services.intake.reports.deduplication import Ledger
from services.intake.reports.geography import Geography
from services.intake.reports.native import dumped
from services.intake.reports.reports_api import BATCH_AT_ONCE
from services.runtime.http.problems import Problem, ProblemError, fault
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source
from services.runtime.identity.role_names import Words, forbidden
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process import metrics


class Dialect(Protocol):
    """Interface of an integration module."""

    NAME: str
    PATHS: tuple[str, ...]

    def signals(self, asked: Asked, source: Source) -> Sequence[Signal | Told | ProblemError]:
        """Read the transitions in a request. Raises ProblemError.

        In a list of many, an invalid item is returned as its ProblemError.
        """
        ...

    def accepted(self, asked: Asked, found: Any) -> Reply:
        """Return the response to an accepted request."""
        ...

    def refused(self, problem: Problem) -> Reply | None:
        """Return the response to a refused request; None for the standard problem document."""
        ...


@runtime_checkable
class OwnDoor(Protocol):
    """An integration that needs more than the request, such as numbers or limits.

    See `services.intake.field`.
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802  as in modules
    @property
    def PATHS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def PERMISSION(self) -> Permission: ...  # noqa: N802

    def kept(self, asked: Asked) -> bytes:
        """Return the bytes of a refused request that may be stored."""
        ...

    async def take(
        self, machines: Machines, principal: Principal, source: Source, asked: Asked
    ) -> Any:
        """Accept the reports of a request. Raises ProblemError."""
        ...

    def accepted(self, asked: Asked, found: Any) -> Reply:
        """Return the response to an accepted request."""
        ...

    def refused(self, problem: Problem) -> Reply | None:
        """Return the response to a refused request; None for the standard problem document."""
        ...


DIALECTS: Final[dict[str, Dialect]] = {
    m.NAME: m for m in (pagerduty, alertmanager, opsgenie, goalert, apprise, cloudevents, generic)
}
RETRY_S: Final = 2
WHOLE_BYTES: Final = 2 << 20
"""Maximum bytes stored for the reports of one request if each stores the whole body.

Beyond, each report stores its own part: a group of 900 alerts would take 900 MB.
"""
TRANSIENT: Final = frozenset({429, 503})
"""Statuses of temporary problems: the same message may be accepted later."""
ANYBODY: Final = frozenset({"cap"})
"""Integrations open to every principal that may report, not only to registered sources."""
_KEY_AT: Final = {
    "pagerduty": "routing_key",
    "opsgenie": "Authorization: GenieKey",
    "goalert": "?token=",
    "apprise": "X-Token",
    "generic": "X-Token",
    "sms": "?token=",
    "poster": "?token=",
}
log = structlog.get_logger(__name__)


class Machines:
    """All integrations of one front."""

    def __init__(
        self,
        access: AccessStore,
        receiver: Receiver,
        reader: BodyReader,
        ledger: Ledger,
        refused: RefusedLane,
        strangers: Strangers,
        book: SourceBook,
        live_realm: str,
        geography: Geography,
        rates: ReportRates,
        own_doors: Sequence[OwnDoor] = (),
    ) -> None:
        self._access = access
        self._reader = reader
        self._refused = refused
        self._strangers = strangers
        self.transitions = Transitions(receiver, ledger, live_realm, geography)
        """Turns transitions of alerts into reports."""
        self.book = book
        self.rates = rates
        self._own_doors = own_doors

    def serving(self, path: str) -> Dialect | OwnDoor | None:
        """Return the integration that serves a path, or None."""
        return next(
            (
                d
                for d in self.dialects
                if any(path == p or path.startswith(f"{p}/") for p in d.PATHS)
            ),
            None,
        )

    @property
    def dialects(self) -> list[Dialect | OwnDoor]:
        """All integrations of this front."""
        return [*DIALECTS.values(), *self._own_doors]

    @property
    def names(self) -> list[str]:
        """Names of integrations that a source may have."""
        return list(dict.fromkeys([*DIALECTS, *(d.NAME for d in self._own_doors)]))

    async def handle(
        self, dialect: Dialect | OwnDoor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Handle one request. Raises ClientGone."""
        principal: Principal | None = None
        asked = asked_of(scope, b"")
        began = time.perf_counter()
        try:
            # Identify the sender before the body is read, so that even an unreadable body counts as
            # theirs.
            principal = await self._sender(asked, secrets_of(asked))
            if scope["method"] not in ("POST", "PUT") and not scope["path"].startswith(
                "/v2/heartbeats"
            ):
                raise ProblemError("method_not_allowed", allowed="POST")
            body = await self._reader.read(scope, receive)
            try:
                asked = asked_of(scope, body)
                if (
                    principal is None
                    and dialect.NAME == pagerduty.NAME
                    and (key := pagerduty.key_in(asked)) is not None
                ):
                    principal = await self._sender(asked, [key])
                if principal is None:
                    raise _nobody(dialect.NAME)
                source = self._source_of(principal, dialect, asked)
                found = await self._found(dialect, principal, source, asked)
            finally:
                self._reader.room.give_back(len(body))
        except ProblemError as error:
            await self._refuse(dialect, principal, error.problem, asked, scope, send)
            return
        except BrokerAway:
            await self._refuse(
                dialect,
                principal,
                Problem("broker_away", retry_after_s=RETRY_S),
                asked,
                scope,
                send,
            )
            return
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001  our fault: keep the message
            await self._refuse(
                dialect, principal, _fault_of_ours(dialect.NAME, error).problem, asked, scope, send
            )
            return
        metrics.observe("vigie_report_seconds", time.perf_counter() - began, dialect=dialect.NAME)
        reply: Reply = dialect.accepted(asked, found)
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(reply.status))
        await answer_json(send, reply.status, reply.document, list(reply.headers))

    async def _found(
        self, dialect: Dialect | OwnDoor, principal: Principal, source: Source, asked: Asked
    ) -> Any:
        if isinstance(dialect, OwnDoor):
            return await dialect.take(self, principal, source, asked)
        signals = dialect.signals(asked, source)
        await self.take_all(principal, source, dialect.NAME, asked, signals)
        return signals

    async def _sender(self, asked: Asked, keys: Sequence[str]) -> Principal | None:
        """Return the principal of the first valid key, and record its sign of life.

        A replay has a sender already and gives no sign of life. Raises ProblemError `starting`.
        """
        if asked.sender is not None:
            return asked.sender
        principal = await self._holder(keys)
        if principal is None:
            return None
        self.heard(principal)
        return principal

    def heard(self, principal: Principal) -> None:
        """Record a sign of life of a source."""
        if self._access.source(principal.id) is not None:
            self.book.heard(principal.id, time.time_ns() // 1_000_000)

    async def _holder(self, keys: Sequence[str]) -> Principal | None:
        for key in keys:
            if (
                found := self._access.bearer(key) or await self._access.authenticate_bearer(key)
            ) is not None:
                return found
        return None

    def _source_of(self, principal: Principal, dialect: Dialect | OwnDoor, asked: Asked) -> Source:
        """Return the source of a principal. Raises ProblemError `forbidden`, `other_door`."""
        needed = dialect.PERMISSION if isinstance(dialect, OwnDoor) else Permission.REPORT_POST
        source = self._access.source(principal.id)
        if source is None and dialect.NAME in ANYBODY:
            source = Source(
                id=principal.id, name=dialect.NAME, dialect=dialect.NAME, type=EventType.INFO
            )
        if source is None or not principal.may(needed):
            raise forbidden(principal.role, _key_of(dialect.NAME))
        if source.dialect != dialect.NAME or (
            dialect.NAME == generic.NAME and asked.path.rsplit("/", 1)[-1] != source.name
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
        asked: Asked,
        signals: Sequence[Signal | Told | ProblemError],
    ) -> list[Receipt | ProblemError]:
        """Accept each transition by itself, and return receipts and refusals.

        A refused one among many is kept and does not affect the others. Raises ProblemError if all
        are refused, or if one may be accepted later.
        """
        speaker = self.transitions.speaker(principal, source, _raw(dialect, asked))
        turns = asyncio.Semaphore(BATCH_AT_ONCE)
        whole = len(asked.body) * len(signals) <= WHOLE_BYTES

        async def taken(
            told: Signal | Told | ProblemError,
        ) -> Receipt | Renewal | ProblemError | None:
            if isinstance(told, ProblemError):
                return told
            said = dated(told, asked.came) if isinstance(told, Signal) else told
            async with turns:
                try:
                    took = await self.transitions.take(
                        speaker if whole else _of_its_part(speaker, said), said
                    )
                except ProblemError as error:
                    return error
                except BrokerAway:
                    raise
                except Exception as error:  # noqa: BLE001  does not affect the others
                    return _fault_of_ours(dialect, error)
                self.book.accepted(principal.id)
                return took

        results = [r for turn in _turns(signals) for r in await asyncio.gather(*map(taken, turn))]
        await self.transitions.renew(speaker, [r for r in results if isinstance(r, Renewal)])
        problems = [p for p in results if isinstance(p, ProblemError)]
        for problem in problems:
            if problem.problem.status in TRANSIENT:
                raise problem
        if problems and len(problems) == len(signals):
            raise problems[0]
        self.keep_all(principal, problems, asked, dialect)
        return [r for r in results if isinstance(r, Receipt | ProblemError)]

    async def _refuse(
        self,
        dialect: Dialect | OwnDoor,
        principal: Principal | None,
        problem: Problem,
        asked: Asked,
        scope: Scope,
        send: Send,
    ) -> None:
        """Answer with a problem and keep the message of a known sender.

        Temporary problems are a 503 with Retry-After, never a 429.
        """
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(problem.status))
        if problem.status in TRANSIENT or asked.sender is not None:
            pass  # The sender of a temporary problem retries; a replayed message is kept already.
        elif principal is None:
            self._strangers.note(address_of(scope), asked.method, asked.address, problem.code)
        else:
            raw = _raw(dialect.NAME, asked)
            self.keep(
                principal,
                problem,
                replace(raw, body=dialect.kept(asked)) if isinstance(dialect, OwnDoor) else raw,
                asked.address,
            )
        reply: Reply | None = None
        if problem.status in (403, 422) or (
            problem.status in (401, 413) and dialect.NAME == pagerduty.NAME
        ):
            reply = dialect.refused(problem)
        if reply is None:
            await answer_problem(scope, send, problem)
        else:
            await answer_json(send, reply.status, reply.document, list(reply.headers))

    def keep_all(
        self, principal: Principal, problems: Sequence[ProblemError], asked: Asked, dialect: str
    ) -> None:
        """Count each problem of a request, and keep the request once per problem code.

        A replay offers the request as a whole.
        """
        kept: set[str] = set()
        for error in problems:
            if error.problem.code in kept:
                self.book.refused(principal.id, error.problem, time.time_ns() // 1_000_000)
            else:
                self.keep(principal, error.problem, _raw(dialect, asked), asked.address)
                kept.add(error.problem.code)

    def keep(self, principal: Principal, problem: Problem, raw: Raw, address: str) -> None:
        """Count a refused message and keep it.

        `address` is the path and query for a replay.
        """
        self.book.refused(principal.id, problem, time.time_ns() // 1_000_000)
        self._refused.keep(
            Refused(principal, problem, raw.body, raw.content_type, raw.dialect, address)
        )


def _turns(
    signals: Sequence[Signal | Told | ProblemError],
) -> tuple[list[Signal | Told | ProblemError], list[Signal | Told | ProblemError]]:
    """Split transitions into two rounds, so that ends follow beginnings.

    With two alerts on one site, the lasting one must be known before the other ends. Several
    transitions of one alert keep their order.
    """
    words = Counter(s.key for s in signals if isinstance(s, Signal))
    last = [
        isinstance(s, Signal) and s.state is State.CLOSED and words[s.key] == 1 for s in signals
    ]
    return [s for s, ends in zip(signals, last, strict=True) if not ends], [
        s for s, ends in zip(signals, last, strict=True) if ends
    ]


def _raw(dialect: str, asked: Asked) -> Raw:
    """Return the bytes to keep of a request, for reading and replay."""
    body, kind = (
        cloudevents.whole(asked)
        if dialect == cloudevents.NAME
        else (asked.body, asked.headers.get("content-type", BYTES))
    )
    return Raw(body, kind, dialect)


def _key_of(dialect: str) -> Words:
    return {"fr": f"la clé d’une source ({dialect})", "en": f"the key of a source ({dialect})"}


def _nobody(dialect: str) -> ProblemError:
    where = fault(
        where_of(dialect),
        "key",
        "la clé d’une source y est attendue",
        "the key of a source is expected there",
    )
    return ProblemError("unauthenticated", faults=(where,))


def _fault_of_ours(dialect: str, error: Exception) -> ProblemError:
    """Return `internal`, and log the exception."""
    reference = secrets.token_hex(6)
    log.error("machine.failed", reference=reference, dialect=dialect, exc_info=error)
    return ProblemError("internal", reference=reference)


def _of_its_part(speaker: Speaker, told: Signal | Told) -> Speaker:
    """Replace the stored body by the transition's own part.

    Raises ProblemError `invalid` if the part is nested too deeply.
    """
    if told.part is None:
        return speaker
    return replace(
        speaker,
        raw=replace(
            speaker.raw, body=dumped(told.part.document), content_type=told.part.content_type
        ),
    )


def where_of(dialect: str) -> str:
    """Return where clients of an integration usually put their key."""
    return _KEY_AT.get(dialect, "Authorization")

"""Machine dialects at the door: who asks, what it says, and the answer that its client understands. What it tells becomes reports in
`transitions`. A request may be repeated as a whole: what was accepted has no second effect.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import structlog

from schemas.maintenance import Renewal
from schemas.words import EventType
from services.intake.exchange import BodyReader, ClientGone, Receive, Scope, Send, address_of, answer_json, answer_problem, redacted
from services.intake.geography import Geography
from services.intake.idempotency import Ledger
from services.intake.lane import SENDER
from services.intake.machines import alertmanager, apprise, cloudevents, generic, goalert, opsgenie, pagerduty
from services.intake.machines.asked import Asked, Reply, asked_of, secrets_of
from services.intake.machines.book import SourceBook
from services.intake.machines.signals import Signal, Told
from services.intake.machines.transitions import Speaker, Transitions
from services.intake.native import dumped
from services.intake.receiving import Raw, Receipt, Receiver
from services.intake.refusals import Refused, RefusedLane, Strangers
from services.intake.reports import BATCH_AT_ONCE
from services.runtime import metrics
from services.runtime.access import AccessStore
from services.runtime.kafka import BrokerAway
from services.runtime.principals import Principal, Source
from services.runtime.problems import Problem, ProblemError, fault
from services.runtime.rights import Permission


class Dialect(Protocol):
    """What a module of this package offers."""

    NAME: str
    PATHS: tuple[str, ...]

    def signals(self, asked: Asked, source: Source) -> Sequence[Signal | Told | ProblemError]:
        """What the request tells; of many, also what is wrong with one. Raises ProblemError."""
        ...

    def accepted(self, asked: Asked, found: Any) -> Reply:
        """The answer to a request that was taken."""
        ...

    def refused(self, problem: Problem) -> Reply | None:
        """The answer to one that was not; None = the usual problem document."""
        ...


@runtime_checkable
class OwnDoor(Protocol):
    """A dialect that must know more than its request: who a number belongs to, how many may come (services.intake.field)."""

    @property
    def NAME(self) -> str: ...  # noqa: N802  as modules have it
    @property
    def PATHS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def PERMISSION(self) -> Permission: ...  # noqa: N802

    def kept(self, asked: Asked) -> bytes:
        """What may be kept of a request that is refused."""
        ...

    async def take(self, machines: Machines, principal: Principal, source: Source, asked: Asked) -> Any:
        """Make its reports. Raises ProblemError."""
        ...

    def accepted(self, asked: Asked, found: Any) -> Reply:
        """As Dialect."""
        ...

    def refused(self, problem: Problem) -> Reply | None:
        """As Dialect."""
        ...


DIALECTS: Final[dict[str, Dialect]] = {m.NAME: m for m in (pagerduty, alertmanager, opsgenie, goalert, apprise, cloudevents, generic)}
RETRY_S: Final = 2
WHOLE_BYTES: Final = 2 << 20
"""What the reports of one request may keep of it together, each the whole body: beyond, each keeps its own part. A group of 900 alerts would be 900 megabytes."""
BYTES: Final = "application/octet-stream"
REPLAYED: Final = "x-vigie-source"
"""With the key of somebody who may replay refused messages: the source whose refused message this is."""
TRANSIENT: Final = frozenset({408, 429, 503})
"""Say nothing about the message: the same may be taken later."""
ANYBODY: Final = frozenset({"cap"})
"""Dialects that whoever may report may pass on, without being a source of that dialect."""
_KEY_AT: Final = {
    "pagerduty": "routing_key", "opsgenie": "Authorization: GenieKey", "goalert": "?token=", "apprise": "X-Token", "generic": "X-Token", "sms": "?token=",
    "poster": "?token=",
}  # fmt: skip
log = structlog.get_logger(__name__)


class Machines:
    """All machine dialects. One per front."""

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
        own_doors: Sequence[OwnDoor] = (),
    ) -> None:
        self._access = access
        self._reader = reader
        self._refused = refused
        self._strangers = strangers
        self.transitions = Transitions(receiver, ledger, live_realm, geography)
        """What a message tells becomes reports there."""
        self.book = book
        self._own_doors = own_doors

    def serving(self, path: str) -> Dialect | OwnDoor | None:
        """The dialect of a path."""
        return next((d for d in self.dialects if any(path == p or path.startswith(f"{p}/") for p in d.PATHS)), None)

    @property
    def dialects(self) -> list[Dialect | OwnDoor]:
        """All that this front understands."""
        return [*DIALECTS.values(), *self._own_doors]

    @property
    def names(self) -> list[str]:
        """Dialects that a source may have."""
        return list(dict.fromkeys([*DIALECTS, *(d.NAME for d in self._own_doors)]))

    async def handle(self, dialect: Dialect | OwnDoor, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises ClientGone."""
        principal: Principal | None = None
        body = b""
        began = time.perf_counter()
        try:
            if scope["method"] not in ("POST", "PUT") and not scope["path"].startswith("/v2/heartbeats"):
                raise ProblemError("method_not_allowed", allowed="POST")
            body = await self._reader.read(scope, receive)
            size = len(body)
            try:
                asked = asked_of(scope, body)
                body = dialect.kept(asked) if isinstance(dialect, OwnDoor) else body
                principal, source = await self._identify(dialect, asked)
                self.book.heard(principal.id, time.time_ns() // 1_000_000)
                found = await self._found(dialect, principal, source, asked)
            finally:
                self._reader.room.give_back(size)
        except ProblemError as error:
            await self._refuse(dialect, principal, error.problem, body, scope, send)
            return
        except BrokerAway:
            await self._refuse(dialect, principal, Problem("broker_away", retry_after_s=RETRY_S), body, scope, send)
            return
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours: what was sent is kept all the same
            await self._refuse(dialect, principal, _fault_of_ours(dialect.NAME, error).problem, body, scope, send)
            return
        metrics.observe("vigie_report_seconds", time.perf_counter() - began, dialect=dialect.NAME)
        reply: Reply = dialect.accepted(asked, found)
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(reply.status))
        await answer_json(send, reply.status, reply.document, list(reply.headers))

    async def _found(self, dialect: Dialect | OwnDoor, principal: Principal, source: Source, asked: Asked) -> Any:
        if isinstance(dialect, OwnDoor):
            return await dialect.take(self, principal, source, asked)
        signals = dialect.signals(asked, source)
        await self.take_all(principal, source, dialect.NAME, asked, signals)
        return signals

    # ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _identify(self, dialect: Dialect | OwnDoor, asked: Asked) -> tuple[Principal, Source]:
        """Raises ProblemError `unauthenticated`, `forbidden`, `starting`, and what is wrong with a body that holds the key."""
        if asked.sender is not None:
            return asked.sender, self._source_of(asked.sender, dialect, asked)
        keys = secrets_of(asked)
        if dialect.NAME == pagerduty.NAME and (key := pagerduty.key_in(asked)) is not None:
            keys.append(key)
        for key in keys:
            principal = self._access.bearer(key) or await self._access.authenticate_bearer(key)
            if principal is None:
                continue
            if (replayed := asked.headers.get(REPLAYED)) is not None and may_replay(principal):
                principal = self._access.principal(replayed) or principal
            return principal, self._source_of(principal, dialect, asked)
        raise ProblemError(
            "unauthenticated",
            faults=(fault(where_of(dialect.NAME), "key", "la clé d’une source y est attendue", "the key of a source is expected there"),),
        )

    def _source_of(self, principal: Principal, dialect: Dialect | OwnDoor, asked: Asked) -> Source:
        needed = dialect.PERMISSION if isinstance(dialect, OwnDoor) else Permission.REPORT_POST
        source = self._access.source(principal.id)
        if source is None and dialect.NAME in ANYBODY:
            source = Source(id=principal.id, name=dialect.NAME, dialect=dialect.NAME, type=EventType.INFO)
        if source is None or not principal.may(needed):
            raise ProblemError("forbidden", role=principal.role.value, permission=f"{needed.value} ({dialect.NAME})")
        if source.dialect != dialect.NAME or (dialect.NAME == generic.NAME and asked.path.rsplit("/", 1)[-1] != source.name):
            raise ProblemError("other_door", source=source.name, dialect=source.dialect, address=self._address_of(source))
        return source

    def _address_of(self, source: Source) -> str:
        paths = next((d.PATHS for d in self.dialects if source.dialect == d.NAME), ("/",))
        return f"{paths[0]}/{source.name}" if source.dialect == generic.NAME else paths[0]

    # ── what ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def principal(self, id: str) -> Principal | None:
        """Whoever may report under this id, unless disabled."""
        found = self._access.principal(id)
        return found if found is not None and found.may(Permission.REPORT_POST) else None

    async def take_all(
        self, principal: Principal, source: Source, dialect: str, asked: Asked, signals: Sequence[Signal | Told | ProblemError]
    ) -> list[Receipt | ProblemError]:
        """Each by itself: what is refused of many is kept and costs the others nothing; receipts of what was told, and these refusals. Raises ProblemError
        when all are refused, or when one may pass again.
        """
        speaker = self.transitions.speaker(principal, source, Raw(asked.body, asked.headers.get("content-type", BYTES), dialect))
        turns = asyncio.Semaphore(BATCH_AT_ONCE)
        whole = len(asked.body) * len(signals) <= WHOLE_BYTES

        async def taken(signal: Signal | Told | ProblemError) -> Receipt | Renewal | ProblemError | None:
            if isinstance(signal, ProblemError):
                return signal
            async with turns:
                try:
                    took = await self.transitions.take(speaker if whole else _of_its_part(speaker, signal), signal)
                except ProblemError as error:
                    return error
                except BrokerAway:
                    raise
                except Exception as error:  # noqa: BLE001  costs the others nothing
                    return _fault_of_ours(dialect, error)
                self.book.accepted(principal.id)
                return took

        results = await asyncio.gather(*map(taken, signals))
        await self.transitions.renew(speaker, [r for r in results if isinstance(r, Renewal)])
        problems = [p for p in results if isinstance(p, ProblemError)]
        for problem in problems:
            if problem.problem.status in TRANSIENT:
                raise problem
        if problems and len(problems) == len(signals):
            raise problems[0]
        self.keep_all(principal, problems, asked, dialect)
        return [r for r in results if isinstance(r, Receipt | ProblemError)]

    # ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _refuse(
        self, dialect: Dialect | OwnDoor, principal: Principal | None, problem: Problem, body: bytes, scope: Scope, send: Send
    ) -> None:
        """Machines get 503 with Retry-After for what may pass again, never 429."""
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(problem.status))
        if problem.status in TRANSIENT or SENDER in scope:
            pass  # it says nothing about the message: the sender comes again; or it lies in the lane already
        elif principal is None:
            self._strangers.note(address_of(scope), scope["method"], redacted(scope), problem.code)
        else:
            content_type = next((v.decode("latin-1") for n, v in scope["headers"] if n.lower() == b"content-type"), BYTES)
            self.keep(principal, problem, body, content_type, dialect.NAME, redacted(scope))
        reply: Reply | None = None
        if problem.status in (403, 422) or (problem.status in (401, 413) and dialect.NAME == pagerduty.NAME):
            reply = dialect.refused(problem)
        if reply is None:
            await answer_problem(scope, send, problem)
        else:
            await answer_json(send, reply.status, reply.document, list(reply.headers))

    def keep_all(self, principal: Principal, problems: Sequence[ProblemError], asked: Asked, dialect: str) -> None:
        """What is wrong with some of a request: each is counted, and the request is kept once for each reason, which its replay offers as a whole."""
        kept: set[str] = set()
        for error in problems:
            if error.problem.code in kept:
                self.book.refused(principal.id, error.problem, time.time_ns() // 1_000_000)
            else:
                self.keep(principal, error.problem, asked.body, asked.headers.get("content-type", BYTES), dialect, asked.path)
                kept.add(error.problem.code)

    def keep(self, principal: Principal, problem: Problem, body: bytes, content_type: str, dialect: str, path: str) -> None:
        self.book.refused(principal.id, problem, time.time_ns() // 1_000_000)
        self._refused.keep(Refused(principal, problem, body, content_type, dialect, path))


def _fault_of_ours(dialect: str, error: Exception) -> ProblemError:
    """`internal`, with the exception in the technical log."""
    reference = secrets.token_hex(6)
    log.error("machine.failed", reference=reference, dialect=dialect, exc_info=error)
    return ProblemError("internal", reference=reference)


def _of_its_part(speaker: Speaker, told: Signal | Told) -> Speaker:
    """Raises ProblemError `invalid`: it may be too deep to be written."""
    if told.part is None:
        return speaker
    return replace(speaker, raw=replace(speaker.raw, body=dumped(told.part.document), content_type=told.part.content_type))


def may_replay(principal: Principal) -> bool:
    """Offer a refused message again in its sender's name: who may read it, and pass on another's word."""
    return principal.may(Permission.DEAD_LETTERS) and principal.may(Permission.REPORT_RELAY)


def where_of(dialect: str) -> str:
    """Where the clients of a dialect put their key, first of the places that are looked at."""
    return _KEY_AT.get(dialect, "Authorization")

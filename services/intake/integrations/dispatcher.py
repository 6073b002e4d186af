"""Machine dialects at the door: who asks, what it says, and the answer that its client understands. What it tells becomes reports in
`transitions`. A request may be repeated as a whole: what was accepted has no second effect.
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

    async def take(
        self, machines: Machines, principal: Principal, source: Source, asked: Asked
    ) -> Any:
        """Make its reports. Raises ProblemError."""
        ...

    def accepted(self, asked: Asked, found: Any) -> Reply:
        """As Dialect."""
        ...

    def refused(self, problem: Problem) -> Reply | None:
        """As Dialect."""
        ...


DIALECTS: Final[dict[str, Dialect]] = {
    m.NAME: m for m in (pagerduty, alertmanager, opsgenie, goalert, apprise, cloudevents, generic)
}
RETRY_S: Final = 2
WHOLE_BYTES: Final = 2 << 20
"""What the reports of one request may keep of it together, each the whole body: beyond, each keeps its own part. A group of 900 alerts would be 900 megabytes."""
TRANSIENT: Final = frozenset({429, 503})
"""Say nothing about the message: the same may be taken later."""
ANYBODY: Final = frozenset({"cap"})
"""Dialects that whoever may report may pass on, without being a source of that dialect."""
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
        rates: ReportRates,
        own_doors: Sequence[OwnDoor] = (),
    ) -> None:
        self._access = access
        self._reader = reader
        self._refused = refused
        self._strangers = strangers
        self.transitions = Transitions(receiver, ledger, live_realm, geography)
        """What a message tells becomes reports there."""
        self.book = book
        self.rates = rates
        self._own_doors = own_doors

    def serving(self, path: str) -> Dialect | OwnDoor | None:
        """The dialect of a path."""
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
        """All that this front understands."""
        return [*DIALECTS.values(), *self._own_doors]

    @property
    def names(self) -> list[str]:
        """Dialects that a source may have."""
        return list(dict.fromkeys([*DIALECTS, *(d.NAME for d in self._own_doors)]))

    async def handle(
        self, dialect: Dialect | OwnDoor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """One request. Raises ClientGone."""
        principal: Principal | None = None
        asked = asked_of(scope, b"")
        began = time.perf_counter()
        try:
            # before the body, so that a refusal to read it is its sender's
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
        except Exception as error:  # noqa: BLE001  a fault of ours: what was sent is kept all the same
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

    # ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sender(self, asked: Asked, keys: Sequence[str]) -> Principal | None:
        """Whose key is among these; heard with that, whatever becomes of what it says, unless somebody else offers it again. Raises ProblemError `starting`."""
        if asked.sender is not None:
            return asked.sender
        principal = await self._holder(keys)
        if principal is None:
            return None
        self.heard(principal)
        return principal

    def heard(self, principal: Principal) -> None:
        """A message came under its key: a sign of life, if it is a source's."""
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
        """Raises ProblemError `forbidden`, `other_door`."""
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

    # ── what ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_all(
        self,
        principal: Principal,
        source: Source,
        dialect: str,
        asked: Asked,
        signals: Sequence[Signal | Told | ProblemError],
    ) -> list[Receipt | ProblemError]:
        """Each by itself: what is refused of many is kept and costs the others nothing; receipts of what was told, and these refusals. Raises ProblemError
        when all are refused, or when one may pass again.
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
                except Exception as error:  # noqa: BLE001  costs the others nothing
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

    # ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _refuse(
        self,
        dialect: Dialect | OwnDoor,
        principal: Principal | None,
        problem: Problem,
        asked: Asked,
        scope: Scope,
        send: Send,
    ) -> None:
        """Machines get 503 with Retry-After for what may pass again, never 429."""
        metrics.count("vigie_reports_total", dialect=dialect.NAME, status=str(problem.status))
        if problem.status in TRANSIENT or asked.sender is not None:
            pass  # it says nothing about the message: the sender comes again; or it lies in the lane already
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
        """What is wrong with some of a request: each is counted, and the request is kept once for each reason, which its replay offers as a whole."""
        kept: set[str] = set()
        for error in problems:
            if error.problem.code in kept:
                self.book.refused(principal.id, error.problem, time.time_ns() // 1_000_000)
            else:
                self.keep(principal, error.problem, _raw(dialect, asked), asked.address)
                kept.add(error.problem.code)

    def keep(self, principal: Principal, problem: Problem, raw: Raw, address: str) -> None:
        """`address`: path and query where it is offered again."""
        self.book.refused(principal.id, problem, time.time_ns() // 1_000_000)
        self._refused.keep(
            Refused(principal, problem, raw.body, raw.content_type, raw.dialect, address)
        )


def _turns(
    signals: Sequence[Signal | Told | ProblemError],
) -> tuple[list[Signal | Told | ProblemError], list[Signal | Told | ProblemError]]:
    """Ends come after beginnings: of two alerts on one site the one that goes on is known before the other is over. Several words on one matter stay in
    their order.
    """
    words = Counter(s.key for s in signals if isinstance(s, Signal))
    last = [
        isinstance(s, Signal) and s.state is State.CLOSED and words[s.key] == 1 for s in signals
    ]
    return [s for s, ends in zip(signals, last, strict=True) if not ends], [
        s for s, ends in zip(signals, last, strict=True) if ends
    ]


def _raw(dialect: str, asked: Asked) -> Raw:
    """What is kept of a request, to be read and offered again."""
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
    """`internal`, with the exception in the technical log."""
    reference = secrets.token_hex(6)
    log.error("machine.failed", reference=reference, dialect=dialect, exc_info=error)
    return ProblemError("internal", reference=reference)


def _of_its_part(speaker: Speaker, told: Signal | Told) -> Speaker:
    """Raises ProblemError `invalid`: it may be too deep to be written."""
    if told.part is None:
        return speaker
    return replace(
        speaker,
        raw=replace(
            speaker.raw, body=dumped(told.part.document), content_type=told.part.content_type
        ),
    )


def where_of(dialect: str) -> str:
    """Where the clients of a dialect put their key, first of the places that are looked at."""
    return _KEY_AT.get(dialect, "Authorization")

"""Machine dialects at the door: who asks, what it says, one native report per transition, and the answer that its client understands.

The native path is the only way into Kafka: a signal becomes the body of a native report and is accepted as any other. A request may be
repeated as a whole: what was accepted has no second effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Protocol, runtime_checkable

import orjson
import structlog

from schemas.base import MINUTE_MS
from schemas.maintenance import Renewal
from schemas.realms import is_live
from schemas.words import EventType
from services.intake.exchange import BodyReader, Receive, Scope, Send, address_of, answer_json, answer_problem, redacted
from services.intake.geography import Geography
from services.intake.idempotency import END, Ledger, keyed_id
from services.intake.lane import SENDER
from services.intake.machines import alertmanager, apprise, cloudevents, generic, goalert, opsgenie, pagerduty
from services.intake.machines.asked import Asked, Reply, asked_of, secrets_of
from services.intake.machines.book import SourceBook
from services.intake.machines.episodes import TOMBSTONE_MS, Episode, Episodes
from services.intake.machines.signals import Signal, State, Told, body_of, credible, kept_labels, meaning_of, short
from services.intake.native import claim_of, ms, parse_one
from services.intake.receiving import Raw, Receipt, Receiver
from services.intake.refusals import Refused, RefusedLane, Strangers
from services.intake.reports import BATCH_AT_ONCE
from services.runtime import metrics
from services.runtime.access import AccessStore
from services.runtime.kafka import BrokerAway, iso
from services.runtime.principals import Principal, Source
from services.runtime.problems import Problem, ProblemError, fault
from services.runtime.rights import Permission


class Dialect(Protocol):
    """What a module of this package offers."""

    NAME: str
    PATHS: tuple[str, ...]

    def signals(self, asked: Asked, source: Source) -> Sequence[Signal | Told]:
        """What the request tells. Raises ProblemError."""
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
BYTES: Final = "application/octet-stream"
REPLAYED: Final = "x-vigie-source"
"""With the key of somebody who may replay dead letters: the source whose refused message this is."""
TRANSIENT: Final = frozenset({408, 429, 503})
"""Say nothing about the message: the same may be taken later."""
ANYBODY: Final = frozenset({"cap"})
"""Dialects that whoever may report may pass on, without being a source of that dialect."""
_EVENT: Final = "event\x1f"
_KEY_AT: Final = {
    "pagerduty": "routing_key", "opsgenie": "Authorization: GenieKey", "goalert": "?token=", "apprise": "X-Token", "generic": "X-Token", "sms": "?token=",
    "poster": "?token=",
}  # fmt: skip
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose message it is, and what belongs to all that it tells."""

    principal: Principal
    source: Source
    realm: str
    raw: Raw


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
        self._receiver = receiver
        self._reader = reader
        self._refused = refused
        self._strangers = strangers
        self._live_realm = live_realm
        self._ledger = ledger
        self._episodes = Episodes(ledger)
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        self.book = book
        self._geography = geography
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
            if principal.may(Permission.DEAD_LETTERS) and (replayed := asked.headers.get(REPLAYED)) is not None:
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

    def speaker(self, principal: Principal, source: Source, raw: Raw) -> Speaker:
        """A source speaks to the first realm of its scope, else to the live one."""
        return Speaker(principal, source, principal.scope.realms[0] if principal.scope.realms else self._live_realm, raw)

    async def take_all(
        self, principal: Principal, source: Source, dialect: str, asked: Asked, signals: Sequence[Signal | Told]
    ) -> list[Receipt | ProblemError]:
        """Each by itself: what is refused of many is kept and costs the others nothing; receipts of what was told, and these refusals. Raises ProblemError
        when all are refused, or when one may pass again.
        """
        speaker = self.speaker(principal, source, Raw(asked.body, asked.headers.get("content-type", BYTES), dialect))
        turns = asyncio.Semaphore(BATCH_AT_ONCE)

        async def taken(signal: Signal | Told) -> Receipt | Renewal | ProblemError | None:
            async with turns:
                try:
                    took = await (self._tell(speaker, signal) if isinstance(signal, Told) else self._take(speaker, signal))
                except ProblemError as error:
                    return error
                self.book.accepted(principal.id)
                return took

        results = await asyncio.gather(*map(taken, signals))
        await self._receiver.renew(speaker.realm, principal.id, [r for r in results if isinstance(r, Renewal)])
        problems = [p for p in results if isinstance(p, ProblemError)]
        for problem in problems:
            if problem.problem.status in TRANSIENT:
                raise problem
        if problems and len(problems) == len(signals):
            raise problems[0]
        for problem in problems:
            self.keep(principal, problem.problem, asked.body, speaker.raw.content_type, dialect, asked.path)
        return [r for r in results if isinstance(r, Receipt | ProblemError)]

    async def _tell(self, speaker: Speaker, told: Told) -> Receipt:
        body = told.body if "realm" in told.body else told.body | {"realm": speaker.realm}
        signed = replace(speaker, raw=replace(speaker.raw, signature=told.signature))
        return await self.accept(signed, body, f"told\x1f{told.key}")

    async def _take(self, speaker: Speaker, signal: Signal) -> Renewal | None:
        """One transition, if it is one; what says that its alert still holds is returned, to be told together."""
        meaning = meaning_of(signal, speaker.source)
        if meaning.drop or (signal.event is not None and self._has_had_effect(speaker, signal.event)):
            return None
        key, now = short(signal.key), datetime.now(UTC)
        body = body_of(signal, meaning, now) | {"realm": speaker.realm}
        content = blake2b(f"{signal.title}\x1f{signal.details}\x1f{meaning.severity}".encode("utf-8", "replace"), digest_size=8).hexdigest()

        def once(otherwise: str) -> str:
            return otherwise if signal.event is None else f"{_EVENT}{signal.event}"

        async with self._lock(speaker.principal.id, key):
            known = self._episodes.newest(speaker.realm, speaker.principal.id, key)
            current = known if known is not None and known.ended is None else None
            if signal.state is State.INFO:
                await self._inform(speaker, body, current, once(f"{key}#info:{content}:{ms(now) // MINUTE_MS}"))
            elif signal.state is State.OPEN and (known is None or _begins(known, signal, now)):
                began = ms(signal.began or now)
                if signal.lease is not None and known is not None and began <= (known.ended or 0):  # over, and here again all the same
                    began = ms(now)
                    body["occurred_at"] = iso(began)
                episode = Episode(key, began, meaning.type, meaning.site, content=content)
                receipt = await self.accept(speaker, body | {"alias": episode.alias}, once(episode.alias), _beside(signal, speaker.realm))
                self._note(speaker, replace(episode, report_id=receipt.report_id))
            elif current is None:
                return None  # the end of something unknown, or what came late
            elif signal.state is State.ACKNOWLEDGED:
                await self._inform(speaker, body, current, once(f"{current.alias}#ack"))
            elif signal.state is State.CLOSED:
                await self._close(speaker, body, current, signal, now, once)
            elif signal.lease is not None:
                lease = signal.lease
                return Renewal(report=current.report_id, until=lease.until, explicit=lease.explicit) if is_live(speaker.realm) else None
            elif signal.began is None and content != current.content:
                update = body | {"msg_type": "Update", "references": [current.report_id], "type": current.type}
                await self.accept(speaker, update, once(f"{current.alias}#{content}:{ms(now)}"))
                self._note(speaker, replace(current, content=content))
        return None

    async def _inform(self, speaker: Speaker, body: dict[str, Any], about: Episode | None, key: str) -> None:
        references = [] if about is None else [about.report_id]
        await self.accept(speaker, body | {"type": EventType.INFO, "severity": 1, "references": references}, key)

    async def _close(
        self, speaker: Speaker, body: dict[str, Any], episode: Episode, signal: Signal, now: datetime, once: Callable[[str], str]
    ) -> None:
        """The end lifts the cause of its own episode. A machine's clock that is behind does not put it before its beginning."""
        ended = max(ms(credible(signal.at, now)), episode.began)
        body |= {
            "type": EventType.REOPENING, "severity": 1, "lifts": [episode.type], "references": [episode.report_id],
            "occurred_at": iso(ended), "alias": f"{episode.alias}{END}",
        }  # fmt: skip
        if episode.site:
            body["site_id"] = episode.site
        await self.accept(speaker, body, once(f"{episode.alias}{END}"))
        self._note(speaker, replace(episode, ended=ms(now)))

    def _note(self, speaker: Speaker, episode: Episode) -> None:
        self._episodes.note(speaker.realm, speaker.principal.id, episode)

    async def accept(self, speaker: Speaker, body: Mapping[str, Any], key: str, beside: Mapping[str, Any] | None = None) -> Receipt:
        """As a native report, with fields that only machines have `beside`. What was accepted under this key before stands, whatever its words are now.

        Raises ProblemError, BrokerAway.
        """
        principal = speaker.principal
        resolve = partial(self._receiver.resolve, principal.id)
        claim = claim_of(parse_one(orjson.dumps(body)), principal, self._live_realm, resolve, self._geography)
        if beside:
            claim = replace(claim, message={**claim.message, **beside})
        return await self._receiver.accept(claim, principal, _hashed(key), speaker.raw, first_stands=True)

    def _has_had_effect(self, speaker: Speaker, event: str) -> bool:
        return self._ledger.get(keyed_id(speaker.realm, speaker.principal.id, _hashed(f"{_EVENT}{event}"))) is not None

    @asynccontextmanager
    async def _lock(self, source: str, key: str) -> AsyncIterator[None]:
        """One transition of a key at a time."""
        place = (source, key)
        lock, users = self._locks.get(place, (asyncio.Lock(), 0))
        self._locks[place] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[place]
            if users == 1:
                del self._locks[place]
            else:
                self._locks[place] = lock, users - 1

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

    def keep(self, principal: Principal, problem: Problem, body: bytes, content_type: str, dialect: str, path: str) -> None:
        self.book.refused(principal.id, problem, time.time_ns() // 1_000_000)
        self._refused.keep(Refused(principal, problem, body, content_type, dialect, path))


def where_of(dialect: str) -> str:
    """Where the clients of a dialect put their key, first of the places that are looked at."""
    return _KEY_AT.get(dialect, "Authorization")


def _beside(signal: Signal, realm: str) -> dict[str, Any]:
    """Labels for maintenance windows; a lease, in real time only: simulated realms have a clock of their own."""
    found: dict[str, Any] = {"labels": labels} if (labels := kept_labels(signal)) else {}
    return found | {"lease": signal.lease.model_dump()} if signal.lease is not None and is_live(realm) else found


def _hashed(key: str) -> str:
    """A key of any length and content within the bounds of an Idempotency-Key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _begins(known: Episode, signal: Signal, now: datetime) -> bool:
    """A new episode of a matter that is known: not the repetition of an open one, not one that only came late."""
    if signal.lease is not None:  # while it holds, another beginning is the same alert; after its end whatever holds now is another
        return known.ended is not None
    if signal.began is not None:
        return ms(signal.began) > known.began
    if known.ended is None:
        return False
    late = signal.at is not None and ms(signal.at) <= known.ended and ms(now) - known.ended < TOMBSTONE_MS
    return not late

"""Let one machine of a cluster read each feed, and keep its memory on all machines.

Kafka's group says whose turn it is (`services.watch.membership`). The topic `feeds` says who holds
a feed: the machine that wrote the newest `hold`. Each machine reads the whole topic into its own
`feeds.db`, so that another goes on with the same memory.

* **Epochs fence.** Each hold has the next epoch. A state of an earlier epoch changes nothing.
* **A round begins on the topic.** The holder writes that it begins, and reads its record back. If
  the hold of another machine came before it, it fetches nothing. So a machine that was frozen or cut
  off asks no publisher for anything.
* **A report is on the topic before it is sent.** The next holder sends it if this one cannot.

Records are sealed with a key that derives from the master key.
"""

import asyncio
import secrets
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import structlog

from services.runtime.kafka.clients import BrokerAway, KeyedWriter
from services.runtime.kafka.compacted_topic import KeyedEntry, TopicFollower
from services.runtime.process.machine import get_or_create_machine_name
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.keyring import MasterKey, decrypt, encrypt
from services.runtime.worker.tuning import Tuning, adapt_tuning
from services.watch.connector import FeedConnector, FetchVerdict
from services.watch.holds import FeedHolds
from services.watch.membership import MemberOffer, Turn, WatchMembership
from services.watch.store import FeedHold, FeedStore, StoredBody
from services.watch.transport import KeyMissing, read_key

TOPIC: Final = "feeds"
PURPOSE: Final = "watch.feeds"
GROUP: Final = "vigie-watch"
SAMPLES_SCOPE: Final = "samples "
"""Beginning of the keys of feeds that are read from samples."""
READ_BACK_S: Final = 5.0
"""Longest wait until an acknowledged record is read back."""
ROUND_S: Final = 120.0
"""Longest wait for the end of a round of a living machine."""
MAX_BODY_BYTES: Final = 1_000_000
"""Largest packed body that is shared; the next holder fetches a larger one as a whole."""
GIVE_UP_FAILURES: Final = 3
"""Failures in a row after which another machine should try."""
GIVE_UP_S: Final = 3600.0
"""Time for which a machine is not preferred for a feed that it could not reach."""
_HOLD: Final = "hold"
_STATE: Final = "state"
_BODY: Final = "body"
log = structlog.get_logger(__name__)


class SharedMemory(Protocol):
    """Memory of one feed or mailbox on this machine."""

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Replace the state by that of another machine. Raises OSError, sqlite3.Error."""
        ...

    def list_bodies(self) -> Sequence[StoredBody]:
        """Return the bodies that belong to the state."""
        ...

    def put_body(self, body: StoredBody) -> None:
        """Keep a body of another machine."""
        ...

    def take_over(self, *, has_open_round: bool) -> None:
        """Prepare to go on; an open round was begun by the last holder and not ended."""
        ...

    def rank(self) -> int | None:
        """Return how well this machine can read it, None if it should not; more is better."""
        ...

    def has_failed(self) -> bool:
        """Return whether this machine has tried, and another one should."""
        ...


class FeedMemory:
    """Memory of one feed."""

    def __init__(
        self, store: FeedStore, connector: FeedConnector, keys: Path, *, samples: bool
    ) -> None:
        """Read the key of the publisher from the folder `keys`; samples need none."""
        self._store = store
        self._spec = connector.spec
        self._keys = keys
        self._needs_key = connector.spec.key is not None and not samples
        self._fetched_before: float | None = None
        """Time of the last round of the holder before this machine."""

    def dump(self) -> dict[str, Any]:
        return self._store.dump_state(self._spec.name)

    def load(self, state: dict[str, Any]) -> None:
        self._store.load_state(self._spec.name, state)

    def list_bodies(self) -> Sequence[StoredBody]:
        return self._store.list_bodies(self._spec.name)

    def put_body(self, body: StoredBody) -> None:
        self._store.put_body(self._spec.name, body)

    def take_over(self, *, has_open_round: bool) -> None:
        """Fetch soon after a round without end or with a refused key: this key may be another."""
        health = self._store.get_health(self._spec.name)
        self._fetched_before = health.fetched_at
        if has_open_round or health.verdict == FetchVerdict.AUTH:
            self._store.resume(self._spec.name)

    def rank(self) -> int | None:
        """Prefer machines with the key, then those with a memory."""
        health = self._store.get_health(self._spec.name)
        if not health.enabled:
            return None
        return 2 * self._has_key() + (health.fetched_at is not None)

    def has_failed(self) -> bool:
        health = self._store.get_health(self._spec.name)
        is_late = health.verdict == FetchVerdict.RETRY and health.failures >= GIVE_UP_FAILURES
        is_own = health.fetched_at != self._fetched_before
        return is_own and (is_late or health.verdict == FetchVerdict.AUTH)

    def _has_key(self) -> bool:
        try:
            return not self._needs_key or bool(read_key(self._keys, self._spec.name))
        except KeyMissing:
            return False


class SharedHolds(FeedHolds):
    """Rights and memories of this machine in a cluster."""

    def __init__(
        self,
        machine: str,
        store: FeedStore,
        memories: Mapping[str, SharedMemory],
        writer: KeyedWriter,
        master: MasterKey,
        scope: str = "",
    ) -> None:
        """Share `memories`; a scope keeps samples apart from the feeds of publishers."""
        self.holder: Final = f"{machine} {secrets.token_hex(4)}"
        """Name of this process as a holder: one that starts again is another."""
        self._store = store
        self._memories = memories
        self._writer = writer
        self._secret = master.derive_key(PURPOSE)
        self._scope = scope
        self._holds = {name: store.get_hold(name) for name in memories}
        self._shared: dict[tuple[str, str], bytes] = {}
        """By kind and name, the digest of what the topic has."""
        self._given_up: dict[str, float] = {}
        """By name, the time until which another machine should rather read it."""
        self._begun: dict[str, float] = {}
        """By name, when this machine read that a round has begun."""
        self._offset = -1
        self._has_read = asyncio.Condition()
        self.turn = Turn()
        """The names whose turn is with this machine, by the group."""
        self.is_current = False
        """Whether everything was read that the topic held at the start."""

    async def run(self, kafka: str, membership: WatchMembership) -> None:
        """Follow the topic, then take part in the group, until cancelled."""
        follower = TopicFollower(
            kafka,
            [TOPIC],
            self.apply,
            positions=lambda: {(TOPIC, 0): self._offset + 1},
            reset=lambda *_: self._begin_anew(),
        )
        tasks = [
            asyncio.create_task(follower.run(), name="watch.follower"),
            asyncio.create_task(self._take_part(follower, membership), name="watch.membership"),
        ]
        try:
            ended_tasks, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended_tasks:
                task.result()
        finally:
            self.is_current = False
            self.turn = Turn()
            await cancel_and_wait(tasks)
            await self._writer.stop()

    def _begin_anew(self) -> None:
        """Read the topic from its beginning: it was made again."""
        self._offset = -1

    async def _take_part(self, follower: TopicFollower, membership: WatchMembership) -> None:
        await follower.caught_up.wait()
        self.is_current = True
        await membership.run(self.make_offer, self._note_turn)

    # -- Turns

    def list_ranks(self) -> dict[str, int]:
        """Return the names that this machine can read, each with its rank."""
        ranks, now = {}, time.monotonic()
        for name, memory in self._memories.items():
            rank = memory.rank()
            if rank is None:
                continue
            is_waiting = self._holds[name].is_fetching
            if self.is_holder(name) and not is_waiting and memory.has_failed():
                self._given_up.setdefault(name, now + GIVE_UP_S)
            if self._given_up.get(name, now) < now:
                del self._given_up[name]
            ranks[name] = 10 * (name not in self._given_up) + rank
        return ranks

    def make_offer(self) -> MemberOffer:
        """Return the offer of this machine to the group."""
        names = [name for name in self._memories if self.is_holder(name)]
        return MemberOffer(self.list_ranks(), names, self.holder)

    def _note_turn(self, turn: Turn) -> None:
        self.turn = turn
        log.info("watch.assigned", names=turn.names)

    # -- Rights

    def is_holder(self, name: str) -> bool:
        """Return whether this machine holds a feed, as far as it has read the topic."""
        return self._holds[name].holder == self.holder

    async def acquire(self, name: str) -> bool:
        """Return whether this machine holds a feed; take it over if it is its turn.

        A living holder ends its round first.
        """
        if not self.is_current:
            return False
        if name not in self.turn.names:
            if self.is_holder(name):
                await self.share(name)  # the next holder waits for the end of a round
            return False
        if self.is_holder(name):
            if (_STATE, name) not in self._shared:  # the brokers did not take the last one
                await self.share(name)
            return True
        if self._has_living_round(name):
            return False
        try:
            return await self._take_over(name)
        except BrokerAway as error:
            log.info("watch.not_taken_over", name=name, error=str(error))
            return False

    def _has_living_round(self, name: str) -> bool:
        """Return whether another machine has begun a round and will end it."""
        hold = self._holds[name]
        is_living = hold.is_fetching and hold.holder in self.turn.holders
        return is_living and time.monotonic() < self._begun.get(name, 0.0) + ROUND_S

    async def _take_over(self, name: str) -> bool:
        """Write the next hold and read it back: the first one of an epoch counts."""
        epoch = self._holds[name].epoch + 1
        offset = await self._put(_HOLD, name, {"epoch": epoch, "holder": self.holder})
        if not await self._read_back(offset):
            return False
        hold = self._holds[name]
        if (hold.epoch, hold.holder) != (epoch, self.holder):
            return False
        self._shared.pop((_STATE, name), None)
        self._memories[name].take_over(has_open_round=hold.is_fetching)
        log.info("watch.taken_over", name=name, epoch=epoch)
        return True

    async def begin_round(self, name: str) -> bool:
        """Write that a round begins and read it back. False: another machine holds the feed."""
        try:
            offset = await self._share_state(name, is_fetching=True)
        except BrokerAway as error:
            log.info("watch.round_not_begun", name=name, error=str(error))
            return False
        return await self._read_back(offset) and self.is_holder(name)

    async def share(self, name: str) -> bool:
        """Write the present state if it is new. False: the other machines do not have it."""
        if not self.is_holder(name):
            return False
        digest = _digest(self._memories[name].dump())
        try:
            if self._shared.get((_STATE, name)) != digest:
                await self._share_bodies(name)
                await self._share_state(name, is_fetching=False)
        except BrokerAway as error:
            log.info("watch.not_shared", name=name, error=str(error))
            return False
        return self.is_holder(name)

    async def _share_state(self, name: str, *, is_fetching: bool) -> int:
        """Write the state and return its offset. Raises BrokerAway."""
        hold = self._holds[name]
        hold = replace(hold, revision=hold.revision + 1, is_fetching=is_fetching)
        self._keep_hold(hold)  # before it is read back: the state here is the newer one
        state = self._memories[name].dump()
        self._shared.pop((_STATE, name), None)
        content = {
            "epoch": hold.epoch,
            "revision": hold.revision,
            "holder": hold.holder,
            "fetching": is_fetching,
            "state": state,
        }
        offset = await self._put(_STATE, name, content)
        if not is_fetching:
            self._shared[_STATE, name] = _digest(state)
        return offset

    async def _share_bodies(self, name: str) -> None:
        """Write new bodies, before the state that was read from them. Raises BrokerAway."""
        for body in self._memories[name].list_bodies():
            place = f"{name}/{body.request}"
            digest = _digest(body._asdict() | {"content": blake2b(body.content).hexdigest()})
            if self._shared.get((_BODY, place)) == digest:
                continue
            head = {
                "epoch": self._holds[name].epoch,
                "validators": body.validators,
                "headers": body.headers,
            }
            if len(_pack(head, body.content)) <= MAX_BODY_BYTES:
                await self._put(_BODY, place, head, body.content)
            self._shared[_BODY, place] = digest

    async def _put(self, kind: str, name: str, head: dict[str, Any], content: bytes = b"") -> int:
        """Write a record and return its offset. Raises BrokerAway."""
        key = f"{self._scope}{kind}:{name}"
        ciphertext = encrypt(self._secret, _pack(head, content), key.encode())
        _, offset = await self._writer.put(TOPIC, key, ciphertext)
        return offset

    async def _read_back(self, offset: int) -> bool:
        """Wait until a record was read; return False if that takes too long."""
        try:
            async with asyncio.timeout(READ_BACK_S), self._has_read:
                await self._has_read.wait_for(lambda: self._offset >= offset)
        except TimeoutError:
            return False
        return True

    # -- Records

    async def apply(self, entries: Sequence[KeyedEntry]) -> None:
        """Take records of the topic in their order. Those of another key change nothing."""
        for entry in entries:
            self._apply_one(entry)
        if entries:
            async with self._has_read:
                self._offset = max(self._offset, entries[-1].offset)
                self._has_read.notify_all()

    def _apply_one(self, entry: KeyedEntry) -> None:
        kind, _, place = entry.key.removeprefix(self._scope).partition(":")
        name, _, request = place.partition("/")
        if not entry.key.startswith(self._scope) or name not in self._memories:
            return
        try:
            head, content = _unpack(decrypt(self._secret, entry.value or b"", entry.key.encode()))
            if kind == _HOLD:
                self._apply_hold(name, head)
            elif kind == _STATE:
                self._apply_state(name, head)
            elif kind == _BODY and not self._is_outdated(name, head):
                body = StoredBody(request, content, head["validators"], head["headers"])
                self._memories[name].put_body(body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("watch.foreign_record", key=entry.key, error=type(error).__name__)

    def _is_outdated(self, name: str, head: dict[str, Any]) -> bool:
        """Return whether a body is of an earlier holder, or of this machine itself."""
        return self.is_holder(name) or int(head["epoch"]) < self._holds[name].epoch

    def _apply_hold(self, name: str, head: dict[str, Any]) -> None:
        hold = self._holds[name]
        if head["epoch"] > hold.epoch:
            self._keep_hold(replace(hold, epoch=head["epoch"], revision=0, holder=head["holder"]))

    def _apply_state(self, name: str, head: dict[str, Any]) -> None:
        """Replace the state here by a newer one; the first holder of an epoch counts."""
        hold = self._holds[name]
        is_newer = (head["epoch"], head["revision"]) > (hold.epoch, hold.revision)
        is_other = head["epoch"] == hold.epoch and head["holder"] != hold.holder
        if not is_newer or is_other:
            return
        self._memories[name].load(head["state"])
        self._keep_hold(
            FeedHold(name, head["epoch"], head["revision"], head["holder"], head["fetching"])
        )
        self._begun[name] = time.monotonic()

    def _keep_hold(self, hold: FeedHold) -> None:
        self._store.put_hold(hold)
        self._holds[hold.name] = hold


def open_holds(
    settings: Settings, store: FeedStore, memories: Mapping[str, SharedMemory], *, samples: bool
) -> tuple[SharedHolds, WatchMembership]:
    """Return the holds of this machine and its membership. Raises OSError, MasterKeyInvalid."""
    if not settings.kafka:
        raise ValueError("machines that share the feeds need VIGIE_KAFKA")
    tuning = adapt_tuning(Tuning(), settings)
    group = f"{GROUP}-samples" if samples else GROUP
    holds = SharedHolds(
        get_or_create_machine_name(settings.data),
        store,
        memories,
        KeyedWriter(settings.kafka),
        MasterKey.open(settings.data.secrets),
        SAMPLES_SCOPE if samples else "",
    )
    membership = WatchMembership(settings.kafka, TOPIC, group, tuning.session_s, tuning.heartbeat_s)
    return holds, membership


def _digest(content: dict[str, Any]) -> bytes:
    return blake2b(orjson.dumps(content), digest_size=16).digest()


def _pack(head: dict[str, Any], content: bytes) -> bytes:
    return zlib.compress(orjson.dumps(head) + b"\n" + content)


def _unpack(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return head and content. Raises ValueError."""
    try:
        head, _, content = zlib.decompress(raw).partition(b"\n")
    except zlib.error as error:
        raise ValueError("not packed") from error
    return orjson.loads(head), content

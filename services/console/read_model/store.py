"""Define the keys of the read model in Redis and the one script that writes it.

The read model is a cache: it may be lost at any time. Everything lives under `vigie:`. Per realm:
`rows:<collection>` (hash id → row JSON, exactly the row of the last row fact), `versions` (hash
collection → counter, raised by each batch that touched it), `lines` and `timeline` (logbook),
indexes, and `stream` (changes, for live readers). Per log partition: `build_position_key`. `vigie:epoch`
identifies the life of the cache: with another epoch, or none, earlier positions and rows are gone.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import NoScriptError, RedisError

from schemas.topics import is_live
from services.console.http.problems import StoreUnavailable

EPOCH: Final = "vigie:epoch"
STATE: Final = "vigie:state"
"""`live`, or `building` while the logs are read again after a loss; nothing is shown then."""
REALMS: Final = "vigie:realms"
PROJECTOR: Final = "vigie:projector"
"""Present while the projector follows the logs; expires `PROJECTOR_KEPT_S` after its last sign.

Without it the rows may be out of date.
"""
PROJECTOR_KEPT_S: Final = 6
COMMANDS: Final = "vigie:commands"
"""Pub/sub channel: ids of answered commands."""
COMMAND_TTL_S: Final = 14 * 86_400
"""Lifetime of an answer, counted from the acceptance of its command.

It is the same if the logs are read again much later.
"""
SIMULATED_COMMAND_TTL_S: Final = 900
"""Lifetime for commands that an exercise sends by the thousand.

See `_FREQUENT_COMMANDS`. Their sender waits for the answer.
"""
_FREQUENT_COMMANDS: Final = frozenset({"StepRequested", "AnswerNotification"})
"""Steps of the clock and answers of simulated people."""
STREAM_KEPT: Final = 20_000
"""Entries per realm that a reconnecting reader can catch up with.

Beyond, it reads everything again.
"""
LINES_KEPT: Final = 50_000
"""Logbook lines per realm in Redis; older ones are read from the logs."""
LINES_SLACK: Final = 5_000
CLOSED_KEPT: Final = 20
"""Closed realms that stay whole in Redis, the last to be closed.

Earlier ones are read from the chronicle and the logs (`EVICTED`).
"""
EVICTED: Final = "aside"
"""Field of a realm with rows and lines evicted from Redis.

An exercise leaves megabytes; once over, it must not take room from running realms.
"""
KEPT_PARTS: Final = ("clock", "rates", "lost", "floor")
"""Parts that stay of an evicted realm."""
NO_LINES: Final = "~"
"""`floor` of an evicted realm: all lines are read from the logs."""


_SENT: Final = b"vigie:sent:"
AUDIT = "vigie:audit"
"""The auditor's newest verdict (JSON); it expires with the auditor."""


def build_position_key(service: str, partition: int) -> str:
    """Return the key of the position of one log partition (JSON)."""
    return f"vigie:position:{service}:{partition}"


def build_realm_key(realm: str, part: str) -> str:
    """Return the key of a part of a realm.

    Parts: `rows:<collection>`, `versions`, `lines`, `timeline`, `rates`, `feeds`, `clock`,
    `stream`, `site_names` (site → name and commune, of every version).
    """
    return f"vigie:{realm}:{part}"


def rows_key(realm: str, collection: str) -> str:
    return f"vigie:{realm}:rows:{collection}"


def reports_key(realm: str, incident: str) -> str:
    """Return the key of the sorted set of report ids of an incident, by `recorded_at`.

    The set may still hold a report that has moved to another incident.
    """
    return f"vigie:{realm}:reports_of:{incident}"


MEMBERS: Final = ("reports", "sources")
"""Collections of which a cause has many items."""


def members_key(realm: str, index: str, cause: str) -> str:
    """Return the key of the sorted set of reports or sources of a cause, in the order they joined.

    `index` is one of `MEMBERS`.
    """
    return f"vigie:{realm}:cause_{index}:{cause}"


def build_timeline_key(realm: str, incident: str) -> str:
    return f"vigie:{realm}:timeline:{incident}"


def build_command_key(id: str) -> str:
    """Return the key of the answer of a command (JSON)."""
    return f"vigie:command:{id}"


def build_sent_key(id: str) -> str:
    """Return the key of the digest of the request that sent a command.

    It lasts until the answer expires; without it no command is under way.
    """
    return f"{_SENT.decode()}{id}"


def get_command_ttl(realm: str, name: str) -> int:
    """Return how many seconds the answer of a command of this name is kept."""
    return (
        SIMULATED_COMMAND_TTL_S
        if name in _FREQUENT_COMMANDS and not is_live(realm)
        else COMMAND_TTL_S
    )


def build_reference_key(version: str) -> str:
    """Return the key of the hash section → JSON of one reference version, shared by all realms."""
    return f"vigie:reference:{version}"


Client = Any
"""`redis.asyncio.Redis`.

Its annotations leave open whether an answer is bytes or str; here it is always bytes.
"""


def connect(url: str) -> Client:
    """Create a client with short limits.

    A store that does not answer is an error within seconds, never a hanging request.
    """
    return redis.Redis.from_url(
        url,
        protocol=2,
        socket_connect_timeout=2,
        socket_timeout=10,
        health_check_interval=15,
        max_connections=64,
        # The client would read the package's metadata for its version, which takes 2 MB
        driver_info=None,
    )


Value = bytes | str | int | float

_WRITE: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 'epoch' end
local at = 2
local n = tonumber(ARGV[at]); at = at + 1
for i = 1, n do
  if (redis.call('GET', ARGV[at]) or '') ~= ARGV[at + 1] then return 'position' end
  at = at + 2
end
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + size))
  at = at + 1 + size
end
return 'ok'
"""
CHUNK: Final = 2_000
"""Values per Redis command inside the script (Lua unpacks at most about 8,000)."""


class EpochLost(RuntimeError):
    """The cache is empty or was started anew.

    Read the positions again, or the logs from the beginning.
    """


class PositionMoved(RuntimeError):
    """Another projector wrote this partition first, or the store came back with an older image.

    Read the position again.
    """


@dataclass(slots=True)
class Batch:
    """Writes that happen together or not at all, if epoch and positions are unchanged."""

    epoch: str
    expected_positions: dict[str, str] = field(default_factory=dict)
    """Position key → its value when the batch began (empty = none)."""
    commands: list[tuple[Value, ...]] = field(default_factory=list)

    def add(self, *command: Value) -> None:
        self.commands.append(command)

    def add_pairs(self, name: str, key: str, pairs: Iterable[tuple[Value, Value]]) -> None:
        """Add a command with many pairs of values."""
        self.add_many(name, key, [value for pair in pairs for value in pair])

    def add_many(self, name: str, key: str, values: Sequence[Value]) -> None:
        """Add a command with many values, split into pieces that cut no pair."""
        for start in range(0, len(values), CHUNK):
            self.commands.append((name, key, *values[start : start + CHUNK]))


class Store:
    """The writer's side. Readers use the keys directly."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._sha = ""

    async def write(self, batch: Batch) -> None:
        """Apply a batch.

        Raises EpochLost or PositionMoved (nothing was written), or redis.RedisError (nothing or all
        was written).
        """
        args: list[Value] = [batch.epoch, len(batch.expected_positions)]
        for key, value in batch.expected_positions.items():
            args += (key, value)
        for one in batch.commands:
            args.append(len(one))
            args += one
        try:
            outcome = (
                await self.client.evalsha(self._sha, 1, EPOCH, *args)
                if self._sha
                else await self._load(args)
            )
        except NoScriptError:
            outcome = await self._load(args)
        match outcome:
            case b"ok":
                return
            case b"epoch":
                raise EpochLost
            case _:
                raise PositionMoved

    async def _load(self, args: list[Value]) -> bytes:
        self._sha = await self.client.script_load(_WRITE)
        outcome: bytes = await self.client.evalsha(self._sha, 1, EPOCH, *args)
        return outcome

    async def begin(self, epoch: str) -> None:
        """Delete everything and start a life under `epoch`, as `building`.

        A concurrent writer's batch fails with EpochLost.
        """
        await self.client.delete(EPOCH, STATE)
        cursor = 0
        while True:
            cursor, batch_keys = await self.client.scan(cursor, match="vigie:*", count=1000)
            if keys := [key for key in batch_keys if not key.startswith(_SENT)]:  # no log holds it
                await self.client.unlink(*keys)
            if cursor == 0:
                break
        await self.client.mset({EPOCH: epoch, STATE: "building"})

    async def epoch(self) -> str | None:
        """Return the epoch now; None after a loss."""
        value = await self.client.get(EPOCH)
        return value.decode() if isinstance(value, bytes) else None


@asynccontextmanager
async def translate_store_errors() -> AsyncIterator[None]:
    """Turn an unreachable Redis into a problem for the client; also a decorator of a reader."""
    try:
        yield
    except RedisError as error:
        raise StoreUnavailable from error

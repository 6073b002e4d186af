"""One record of `<service>.log`: everything that one input caused.

The record is JSON of at most 256 KiB. `prev` is the hash of the last accepted record, so a record
commits to its whole history. See `docs/explanation/log-protocol.md`.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from schemas.base import Fact, Instant, Message, parse_closed

MAX_TRANSACTION_BYTES = 256 * 1024
GENESIS = "0" * 32
"""`prev` of the first record of a chain."""


def compute_digest(raw: bytes | None) -> str:
    """Return the blake2b-128 hash of a record's bytes, in hex.

    Chains and input records use it. A record without a value counts as an empty one.
    """
    return blake2b(raw or b"", digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class TransactionSource:
    """The input that a Transaction applies."""

    topic: str
    partition: int
    offset: int
    digest: str
    """Hash of key and value of the input record, see `inputs.compute_input_digest`."""
    id: str
    type: str
    source: str
    appended_at: Instant
    """Broker append time of the input."""
    correlation_id: str
    causation_id: str
    place: str | None = None
    """`Place` of a forwarded fact (`schemas.wire`)."""
    place_hash: str | None = None
    """Hash of the source log record that held the forwarded fact."""
    beside: int | None = None
    """Offset of the last input applied from the other lane; None if the urgent lane was never used.
    """


@dataclass(frozen=True, slots=True)
class FactRecord:
    """A fact with its derived id and its own logical time."""

    type: str
    id: str
    at: Instant
    data: dict[str, Any]

    def dump(self) -> dict[str, Any]:
        """Return the JSON form that stands in a Transaction."""
        return {"type": self.type, "id": self.id, "at": self.at, "data": self.data}

    def message(self) -> Fact:
        """Return the typed fact.

        Raises UnknownType or ValidationError: a fact that this logic does not know stops a reader.
        """
        fact: Message = parse_closed(self.type, self.data)
        assert isinstance(fact, Fact)
        return fact

    @property
    def name(self) -> str:
        """Short name, such as `SiteStatusChanged` for `vigie.SiteStatusChanged.v1`."""
        return self.type.split(".")[1]


@dataclass(frozen=True, slots=True)
class Transaction:
    logic: int
    seq: int
    prev: str
    history: int
    """Number of LossDeclared and Rebased records of this chain."""
    run: str
    """Id of the writer's process run."""
    service: str
    realm: str
    lineage: str
    src: TransactionSource
    at: Instant
    """Logical time after this input: the realm's clock."""
    facts: tuple[FactRecord, ...]
    next_due: Instant | None
    """Earliest deadline of the realm after this Transaction."""
    traceparent: str | None = field(default=None, compare=False)
    """Trace of the hop that wrote the record, from its header.

    It is in neither the bytes, the hash nor the facts.
    """

    def dump(self) -> bytes:
        """Serialize the transaction to the bytes of a log record."""
        s = self.src
        beside = {} if s.beside is None else {"beside": s.beside}
        return orjson.dumps(
            {
                "v": 1,
                "logic": self.logic,
                "seq": self.seq,
                "prev": self.prev,
                "history": self.history,
                "run": self.run,
                "service": self.service,
                "realm": self.realm,
                "lineage": self.lineage,
                "src": {
                    "topic": s.topic,
                    "partition": s.partition,
                    "offset": s.offset,
                    "digest": s.digest,
                    "id": s.id,
                    "type": s.type,
                    "source": s.source,
                    "appended_at": s.appended_at,
                    "correlation": s.correlation_id,
                    "causation": s.causation_id,
                    "place": s.place,
                    "place_hash": s.place_hash,
                    **beside,
                },
                "at": self.at,
                "facts": [f.dump() for f in self.facts],
                "next_due": self.next_due,
            }
        )

    @classmethod
    def load(cls, raw: bytes) -> "Transaction":
        """Parse the bytes of a log record.

        Raises ValueError or KeyError on bytes that no writer made.
        """
        d = orjson.loads(raw)
        s = d["src"]
        return cls(
            d["logic"],
            d["seq"],
            d["prev"],
            d["history"],
            d["run"],
            d["service"],
            d["realm"],
            d["lineage"],
            TransactionSource(
                s["topic"],
                s["partition"],
                s["offset"],
                s["digest"],
                s["id"],
                s["type"],
                s["source"],
                s["appended_at"],
                s["correlation"],
                s["causation"],
                s["place"],
                s["place_hash"],
                s.get("beside"),
            ),
            d["at"],
            tuple(FactRecord(f["type"], f["id"], f["at"], f["data"]) for f in d["facts"]),
            d["next_due"],
        )

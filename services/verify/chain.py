"""Fold one log partition by the reader's rule and check its conservation laws.

Written from the rule in docs/explanation/log-protocol.md, independently of the runtime.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import orjson

GENESIS = "0" * 32

RouteLookup = Callable[[int, str, str, Mapping[str, Any]], tuple[str, ...]]
"""(logic, service, fact, its data) → services that receive it."""


def hash_record(raw: bytes) -> str:
    """Return the blake2b-128 of a record, hex."""
    return blake2b(raw, digest_size=16).hexdigest()


def hash_input(key: bytes, ce_id: bytes, value: bytes) -> str:
    """Return the digest of its input that a Transaction holds.

    It is a blake2b-128 over lengths and bytes of key, `ce_id` and value.
    """
    return blake2b(
        b"%d,%d,%d,%b%b%b" % (len(key), len(ce_id), len(value), key, ce_id, value), digest_size=16
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class RoutedFact:
    """A routed fact with its place in the source log."""

    fact_id: str
    name: str
    realm: str
    place: tuple[int, int, int]
    """(history, seq, ordinal)"""
    receivers: tuple[str, ...]


COUNTED_SECTIONS: Final = frozenset({"sites", "staffing"})
MAX_SITUATIONS: Final = 8


@dataclass
class LogFold:
    """One partition of one log; feed its records in offset order."""

    service: str
    partition: int
    complain: Callable[[str, str], None]
    """(law, sentence)"""
    seq: int = 0
    head: str = GENESIS
    logic: int = 0
    history: int = 0
    accepted_count: int = 0
    ignored_count: int = 0
    position: int = -1
    """Offset of the last applied input."""
    urgent_position: int = -1
    """Offset of the last input applied from the urgent lane."""
    facts: int = 0
    next_offset: int = 0
    ids: set[bytes] = field(default_factory=set)
    applied_inputs: dict[int, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    """input offset → (digest, input type, names of the facts)"""
    urgent_applied: dict[int, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    """Like `applied`, for the urgent lane."""
    received_facts: dict[str, list[tuple[tuple[int, int, int], str, bool]]] = field(
        default_factory=dict
    )
    """source service → (place, fact id, had an effect), in the order of this log"""
    emitted_facts: list[RoutedFact] = field(default_factory=list)
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(realm, collection) → id → last row"""
    reports: dict[str, list[str]] = field(default_factory=dict)
    """report id → outcomes of the inputs that carried it"""
    planned_ids: dict[str, str] = field(default_factory=dict)
    """notification id → realm, from NotificationPlanned"""
    reference: dict[str, dict[str, Any]] = field(default_factory=dict)
    """realm → section → newest content, of the sections in COUNTED"""
    situations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """realm → request → situation of that proposal, the newest ASKED_KEPT"""

    def feed(
        self, offset: int, raw: bytes, collections: dict[str, str], lookup: RouteLookup
    ) -> None:
        """Process one record of the partition.

        `collections`: fact name → collection.
        """
        self.next_offset = offset + 1
        try:
            tx = orjson.loads(raw)
            seq, prev, logic = tx["seq"], tx["prev"], tx["logic"]
        except (ValueError, KeyError, TypeError):
            self.ignored_count += 1
            return
        if seq != self.seq + 1 or prev != self.head or logic < self.logic:
            self.ignored_count += 1
            return
        self.seq, self.head, self.logic, self.accepted_count = (
            seq,
            hash_record(raw),
            logic,
            self.accepted_count + 1,
        )
        self._position(tx)
        for ordinal, fact in enumerate(tx["facts"]):
            self._fact(tx, ordinal, fact, collections, lookup)
        self._check_source(tx)

    def _position(self, tx: dict[str, Any]) -> None:
        names = tuple(f["type"].split(".")[1] for f in tx["facts"])
        if "LossDeclared" in names or "Rebased" in names:
            self.history += 1
            for f in tx["facts"]:
                if f["type"].split(".")[1] == "Rebased":
                    self.position = f["data"]["next_offset"] - 1
                    self.applied_inputs.clear()
                    if (urgent_next := f["data"].get("urgent_next_offset")) is not None:
                        self.urgent_position = urgent_next - 1
                        self.urgent_applied.clear()
            return
        src = tx["src"]
        if src["partition"] != self.partition:
            self.complain(
                "order", f"{self._here(tx)} applies an input of partition {src['partition']}"
            )
        if src.get("topic") == f"{self.service}.urgent":
            self._urgent(tx, names)
            return
        if src.get("beside") not in (None, self.urgent_position):
            self.complain(
                "order",
                f"{self._here(tx)} follows urgent input {src['beside']}, the log has applied {self.urgent_position}",
            )
        if src["offset"] != self.position + 1:
            self.complain(
                "order",
                f"{self._here(tx)} applies input offset {src['offset']} after {self.position}: one is missing or applied twice",
            )
        self.position = src["offset"]
        self.applied_inputs[src["offset"]] = (src["digest"], src["type"], names)

    def _urgent(self, tx: dict[str, Any], names: tuple[str, ...]) -> None:
        """Check the order of the urgent lane and the position of the other lane in the record."""
        src = tx["src"]
        if src["offset"] != self.urgent_position + 1:
            where = f"urgent input offset {src['offset']} after {self.urgent_position}"
            self.complain(
                "order", f"{self._here(tx)} applies {where}: one is missing or applied twice"
            )
        if src.get("beside") != self.position:
            self.complain(
                "order",
                f"{self._here(tx)} follows input {src.get('beside')}, the log has applied {self.position}",
            )
        self.urgent_position = src["offset"]
        self.urgent_applied[src["offset"]] = (src["digest"], src["type"], names)

    def _fact(
        self,
        tx: dict[str, Any],
        ordinal: int,
        fact: dict[str, Any],
        collections: dict[str, str],
        lookup: RouteLookup,
    ) -> None:
        self.facts += 1
        key = blake2b(fact["id"].encode(), digest_size=12).digest()
        if key in self.ids:
            self.complain("ids", f"{self._here(tx)}: fact id {fact['id']} stands twice in this log")
        self.ids.add(key)
        name = fact["type"].split(".")[1]
        if (collection := collections.get(name)) is not None:
            row = fact["data"]["row"]
            self.rows.setdefault((tx["realm"], collection), {})[row["id"]] = row
        if receivers := lookup(tx["logic"], self.service, name, fact["data"]):
            self.emitted_facts.append(
                RoutedFact(
                    fact["id"], name, tx["realm"], (tx["history"], tx["seq"], ordinal), receivers
                )
            )
        if name == "NotificationPlanned" and self.service == "alerts":
            self.planned_ids[fact["data"]["notification"]] = tx["realm"]
        elif self.service == "continuity":
            self._ground(tx["realm"], name, fact["data"])

    def _ground(self, realm: str, name: str, data: dict[str, Any]) -> None:
        """Keep the reference data and situations that reassignments are counted against."""
        if name == "ReferencePublished" and data["data"]["section"] in COUNTED_SECTIONS:
            self.reference.setdefault(realm, {})[data["data"]["section"]] = data["data"]
        elif name == "ProposalRequested":
            situations = self.situations.setdefault(realm, {})
            situations[data["request"]] = data["situation"]
            while len(situations) > MAX_SITUATIONS:
                del situations[next(iter(situations))]

    def _check_source(self, tx: dict[str, Any]) -> None:
        names = {f["type"].split(".")[1] for f in tx["facts"]}
        if (place := tx["src"].get("place")) is not None:
            service, _, *numbers = place.split("/")
            history, seq, ordinal = (int(n) for n in numbers)
            effect = not names & {"InputDuplicate", "InputFailed", "InputRefused"}
            self.received_facts.setdefault(service, []).append(
                ((history, seq, ordinal), tx["src"]["id"], effect)
            )
        if tx["src"]["type"].startswith("vigie.ReportReceived."):
            outcome = next(
                (o for o in ("InputDuplicate", "InputFailed", "InputRefused") if o in names),
                "applied",
            )
            self.reports.setdefault(tx["src"]["id"], []).append(outcome)

    def _here(self, tx: dict[str, Any]) -> str:
        return f"{self.service}.log/{self.partition} seq {tx['seq']}"

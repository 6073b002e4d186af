"""Track the open items of one partition of the three logs.

Open items are facts on their way, unfinished notifications, claims without outcome and deadlines. A
later record closes each item; an item that stays open too long is a breach. Records are raw JSON,
in log order per service; no model, chain or core of the runtime is used. Memory grows with open
items only.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

GENESIS: Final = "0" * 32
FINAL_STATES: Final = frozenset(
    {"accepted", "received", "answered", "failed", "ambiguous", "superseded", "withdrawn"}
)
"""States in which a notification may stay."""
WAITING_REASONS: Final = frozenset({"held", "paced", "quiet_hours", "bundled", "same_minute"})
"""Reasons for which a notification may stay planned: delivery's own deadlines move it."""
KEPT_HASHES: Final = 512
"""Number of newest record hashes kept per chain, to compare readers."""
ARRIVAL_LIMIT_MS: Final = 60_000
"""Time when a routed fact or an input must arrive, ms."""
LATE_MS: Final = 60_000
"""Delay after which a missed deadline is a breach, ms."""
CLAIM_GRACE_MS: Final = 120_000
"""Time added to the limit of a claim, ms."""

FactPlace = tuple[int, int, int]
"""(history, seq, ordinal) of a fact in the log of its service."""
_BEFORE_ALL_PLACES: Final[FactPlace] = (-1, -1, -1)

Destinations = Callable[[int, str, str, Mapping[str, Any]], tuple[str, ...]]
"""(logic, service, fact, its data) → services that receive it."""


Publishes = Callable[[str, str, str], bool]
"""(source, destination, realm) → whether a publisher forwards it.

False: the conductor of a simulated realm does, in its own time.
"""


@dataclass(frozen=True, slots=True)
class UnfinishedNotification:
    """A notification that must change its state."""

    realm: str
    danger: bool
    state: str
    latest: int


@dataclass(frozen=True, slots=True)
class Breach:
    law: str
    what: str


@dataclass(frozen=True, slots=True)
class Approval:
    """Approval of a reassignment line: person, rules and time."""

    by: str
    rules: tuple[str, ...]
    at: int


@dataclass
class AuditedChain:
    """One log partition, read by the reader's rule (docs/explanation/log-protocol.md)."""

    service: str
    partition: int
    seq: int = 0
    head: str = GENESIS
    logic: int = 0
    history: int = 0
    offset: int = 0
    """Offset of the next record to read."""
    applied: int = -1
    """Offset of the last applied input."""
    urgent: int = -1
    """Offset of the last input applied from the urgent lane."""
    hashes: OrderedDict[int, str] = field(default_factory=OrderedDict)
    ignored: int = 0

    def accepts(self, tx: dict[str, Any], raw: bytes) -> bool:
        """Accept a record if it continues the chain; return whether it does."""
        if tx["seq"] != self.seq + 1 or tx["prev"] != self.head or tx["logic"] < self.logic:
            self.ignored += 1
            return False
        self.seq, self.logic, self.history = tx["seq"], tx["logic"], tx["history"]
        self.head = blake2b(raw, digest_size=16).hexdigest()
        self.hashes[self.seq] = self.head
        while len(self.hashes) > KEPT_HASHES:
            self.hashes.popitem(last=False)
        return True


@dataclass
class OpenItems:
    """Open items of one partition."""

    partition: int
    destinations: Destinations
    publishes: Publishes
    since: int = 0
    """Time before which nothing is late: the start of the auditor or the return of the broker."""
    chains: dict[str, AuditedChain] = field(default_factory=dict)
    on_the_way: dict[str, dict[str, int]] = field(default_factory=dict)
    """`source>destination` → fact id → time, in the order in which they must arrive."""
    arrived: dict[str, dict[str, int]] = field(default_factory=dict)
    """`source>destination` → id that arrived before its source record was read → time of notice."""
    places: dict[str, FactPlace] = field(default_factory=dict)
    """`source>destination` → newest place that arrived."""
    settled: dict[str, FactPlace] = field(default_factory=dict)
    """`source>destination` → newest place that had arrived when either began another history.

    Facts up to there are not waited for.
    """
    moving: dict[str, UnfinishedNotification] = field(default_factory=dict)
    """Notification id → unfinished notification."""
    held: set[str] = field(default_factory=set)
    """Realms that hold their sending."""
    claims: dict[str, int] = field(default_factory=dict)
    """Granted attempt → latest time of its outcome."""
    granted: dict[str, str] = field(default_factory=dict)
    """Granted attempt → notification."""
    due: dict[str, int] = field(default_factory=dict)
    """`service/realm` → next deadline of a live realm."""
    waves: dict[str, int] = field(default_factory=dict)
    """Running escalation of a live realm → time of its next step."""
    approved: dict[str, Approval] = field(default_factory=dict)
    """Approved reassignment lines without an order."""
    broken: dict[str, Breach] = field(default_factory=dict)
    """Breaches that no later record can heal, by law and subject."""
    stuck: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Service or `alerts.urgent` → (last applied offset, its time), while inputs wait."""

    def chain(self, service: str) -> AuditedChain:
        return self.chains.setdefault(service, AuditedChain(service, self.partition))

    def feed(
        self, service: str, offset: int, raw: bytes, tx: dict[str, Any] | None, now: int
    ) -> None:
        """Process one record of this partition, read at `now`.

        `tx` is None if the bytes are no JSON.
        """
        chain = self.chain(service)
        chain.offset = offset + 1
        if tx is None:
            chain.ignored += 1
            return
        history = chain.history
        if not chain.accepts(tx, raw):
            return
        if tx["history"] != history:
            self._forget(service)
        self._position(chain, tx)
        self._arrival(service, tx, now)
        for ordinal, fact in enumerate(tx["facts"]):
            self._fact(service, tx, fact, (tx["history"], tx["seq"], ordinal), now)
        if _is_live(tx["realm"]):
            key = f"{service}/{tx['realm']}"
            if tx["next_due"] is None:
                self.due.pop(key, None)
            else:
                self.due[key] = tx["next_due"]

    def _forget(self, service: str) -> None:
        """Drop the routes of a service that began another history, because they are decided anew.

        Arrived places stay known in `settled`.
        """
        self.settled |= {
            route: place for route, place in self.places.items() if service in route.split(">")
        }
        for table in (self.on_the_way, self.arrived, self.places):
            for route in [r for r in table if service in r.split(">")]:
                del table[route]
        if service == "continuity":
            self.approved.clear()

    def _position(self, chain: AuditedChain, tx: dict[str, Any]) -> None:
        names = {f["type"].split(".")[1] for f in tx["facts"]}
        rebase = next((f for f in tx["facts"] if f["type"].startswith("vigie.Rebased.")), None)
        if rebase is not None:
            chain.applied = rebase["data"]["next_offset"] - 1
            if (urgent_next := rebase["data"].get("urgent_next_offset")) is not None:
                chain.urgent = urgent_next - 1
            return
        if "LossDeclared" in names:
            return
        offset = tx["src"]["offset"]
        if tx["src"].get("topic") == f"{chain.service}.urgent":
            if offset != chain.urgent + 1:
                where = f"{chain.service}.log/{chain.partition} seq {tx['seq']}"
                self._break(
                    "order", where, f"{where}: urgent input {offset} follows {chain.urgent}"
                )
            chain.urgent = offset
            return
        if chain.applied >= 0 and offset != chain.applied + 1:
            where = f"{chain.service}.log/{chain.partition} seq {tx['seq']}"
            self._break("order", where, f"{where}: input {offset} follows {chain.applied}")
        chain.applied = offset

    def _arrival(self, service: str, tx: dict[str, Any], now: int) -> None:
        place = tx["src"].get("place")
        if place is None:
            return
        names = {f["type"].split(".")[1] for f in tx["facts"]}
        source, _, *numbers = place.split("/")
        route, id = f"{source}>{service}", tx["src"]["id"]
        if "InputDuplicate" in names or not self.publishes(source, service, tx["realm"]):
            return
        if tx["src"]["type"].startswith("vigie.NotificationPlanned.") and not names & {
            "NotificationChanged",
            "InputFailed",
            "InputRefused",
        }:
            self._break(
                "notification", id, f"a planned notification ({id}) reached delivery and has no row"
            )
        at = (int(numbers[0]), int(numbers[1]), int(numbers[2]))
        if at <= self.places.get(route, _BEFORE_ALL_PLACES):
            self._break(
                "forward",
                f"{route}/{id}",
                f"{route} partition {self.partition}: fact {id} took effect out of order or twice",
            )
        self.places[route] = at
        if self.on_the_way.get(route, {}).pop(id, None) is not None:
            return
        origin = self.chain(source)
        ahead = (origin.history, origin.seq) < at[:2]  # Source logs are read in parallel.
        if ahead or not (self.chain(service).history or origin.history):
            self.arrived.setdefault(route, {})[id] = now

    def _fact(
        self, service: str, tx: dict[str, Any], fact: dict[str, Any], place: FactPlace, now: int
    ) -> None:
        name = fact["type"].split(".")[1]
        for destination in self.destinations(tx["logic"], service, name, fact["data"]):
            if self.publishes(service, destination, tx["realm"]):
                self._note_sent(f"{service}>{destination}", fact["id"], place, now)
        if not _is_live(tx["realm"]):
            return
        match name:
            case "HoldChanged":
                (self.held.add if fact["data"]["row"]["held"] else self.held.discard)(tx["realm"])
            case "NotificationChanged":
                self._notification(tx["realm"], fact["data"]["row"], tx["at"])
            case "AttemptGranted":
                data = fact["data"]
                self.claims[data["attempt"]] = tx["at"] + data["limit_ms"] + CLAIM_GRACE_MS
                self.granted[data["attempt"]] = data["notification"]
            case "EscalationChanged":
                self._ladder(fact["data"]["row"])
            case "ProposalChanged" if fact["data"]["change"] == "approved":
                self._approval(fact["data"]["row"]["decisions"][-1], tx["at"])
            case "ReassignmentChanged" if fact["data"]["change"] == "dispatched":
                self._check_dispatch(fact["data"]["row"])
            case "ReassignmentOrdered":
                self._check_order(fact["data"]["row"])

    def _note_sent(self, route: str, id: str, place: FactPlace, now: int) -> None:
        if self.arrived.get(route, {}).pop(id, None) is None and place > self.settled.get(
            route, _BEFORE_ALL_PLACES
        ):
            self.on_the_way.setdefault(route, {})[id] = now

    def _notification(self, realm: str, row: dict[str, Any], at: int) -> None:
        id, state, why = row["id"], row["state"], row.get("why")
        for attempt in row.get("attempts", ()):
            if attempt["state"] != "granted":
                self.claims.pop(attempt["id"], None)
                self.granted.pop(attempt["id"], None)
        if state in FINAL_STATES:
            self.moving.pop(id, None)
            return
        dues = [a["due"] for a in row.get("attempts", ()) if a.get("due") is not None]
        if why in WAITING_REASONS:
            latest = row["not_before"] if row.get("not_before") is not None else _NEVER
        else:
            latest = max([at + CLAIM_GRACE_MS, *dues])
        self.moving[id] = UnfinishedNotification(
            realm, bool(row.get("danger")), f"{state}{f' ({why})' if why else ''}", latest
        )

    def _ladder(self, row: dict[str, Any]) -> None:
        if row["state"] == "running" and row.get("next_at") is not None:
            self.waves[row["id"]] = row["next_at"]
        else:
            self.waves.pop(row["id"], None)

    def _approval(self, decision: dict[str, Any], at: int) -> None:
        if not (decision["by"] and decision["role"] and decision["rules"]):
            self._break(
                "reassignment",
                decision["id"],
                f"approval {decision['id']} names no person, no role or no rule",
            )
        for line in decision["lines"]:
            self.approved[line] = Approval(decision["by"], tuple(decision["rules"]), at)

    def _check_dispatch(self, row: dict[str, Any]) -> None:
        approval = self.approved.get(row["id"])
        if approval is not None and (approval.by, approval.rules) != (
            row["approved_by"],
            tuple(row["rules"]),
        ):
            self._break(
                "reassignment",
                row["id"],
                f"the order of line {row['id']} does not name the person and rule of its approval",
            )
        elif approval is None and not self.chain("continuity").history:
            self._break(
                "reassignment",
                row["id"],
                f"line {row['id']} was dispatched and nobody approved it, or it was before",
            )

    def _check_order(self, row: dict[str, Any]) -> None:
        for line in row["lines"]:
            if self.approved.pop(line, None) is None and not self.chain("continuity").history:
                self._break(
                    "reassignment",
                    line,
                    f"order {row['id']} holds line {line}, which nobody approved or which was ordered before",
                )

    def _break(self, law: str, about: str, what: str) -> None:
        if len(self.broken) < _MAX_BREACHES:
            self.broken.setdefault(f"{law}/{about}", Breach(law, what))

    def breaches(self, now: int, input_ends: Mapping[str, int]) -> Iterator[Breach]:
        """Yield the breaches at `now`; call it every few seconds.

        `input_ends`: service, or `alerts.urgent` for its urgent lane → end of that input on this
        partition.
        """
        yield from self.broken.values()
        yield from self._forwarding(now)
        for id, moving in self.moving.items():
            if self._late(moving.latest, now) and (moving.danger or moving.realm not in self.held):
                yield Breach(
                    "notification", f"notification {id} is {moving.state} and nothing moves it"
                )
        for attempt, latest in self.claims.items():
            if self._late(latest, now):
                yield Breach(
                    "claim",
                    f"attempt {attempt} of notification {self.granted[attempt]} is granted and has no outcome",
                )
        for id, at in self.waves.items():
            if self._late(at, now):
                yield Breach("wave", f"ladder {id}: its next wave is {(now - at) // 1000} s late")
        late = [line for line, approval in self.approved.items() if self._late(approval.at, now)]
        if late:
            yield Breach(
                "reassignment", f"{len(late)} approved lines have no order, first {late[0]}"
            )
        for key, at in self.due.items():
            if self._late(at, now):
                yield Breach("due", f"{key}: a deadline is {(now - at) // 1000} s late")
        yield from self._inputs(now, input_ends)

    def _late(self, at: int, now: int) -> bool:
        return now > max(at, self.since) + LATE_MS

    def _forwarding(self, now: int) -> Iterator[Breach]:
        for route, waiting in self.on_the_way.items():
            late = [
                id for id, at in waiting.items() if now > max(at, self.since) + ARRIVAL_LIMIT_MS
            ]
            if late:
                yield Breach(
                    "forward",
                    f"{route} partition {self.partition}: {len(late)} facts have not arrived, first {late[0]}",
                )
        for route, strangers in self.arrived.items():
            missing_ids = [id for id, at in strangers.items() if now > at + ARRIVAL_LIMIT_MS]
            if missing_ids:
                yield Breach(
                    "forward",
                    f"{route} partition {self.partition}: {len(missing_ids)} facts come from nowhere, first {missing_ids[0]}",
                )

    def _inputs(self, now: int, input_ends: Mapping[str, int]) -> Iterator[Breach]:
        for input_, end in input_ends.items():
            service, _, lane = input_.partition(".")
            chain = self.chain(service)
            applied_offset = chain.urgent if lane else chain.applied
            if end <= applied_offset + 1:
                self.stuck.pop(input_, None)
                continue
            before = self.stuck.get(input_)
            if before is None or before[0] != applied_offset:
                self.stuck[input_] = (applied_offset, now)
            elif now > before[1] + ARRIVAL_LIMIT_MS:
                yield Breach(
                    "applied",
                    f"{service}.{lane or 'inputs'}/{self.partition}: {end - applied_offset - 1} inputs wait and none is applied",
                )

    def compare(self, service: str, reader: str, seq: int, hash: str) -> None:
        """Check that a reader saw the same record at `seq` of a chain."""
        earlier_hash = self.chain(service).hashes.get(seq)
        if earlier_hash is not None and earlier_hash != hash:
            where = f"{service}.log/{self.partition} seq {seq}"
            self._break(
                "reader", f"{reader}/{where}", f"{reader} has read another record at {where}"
            )


_NEVER: Final = 1 << 62
_MAX_BREACHES: Final = 200


def _is_live(realm: str) -> bool:
    return "~" not in realm

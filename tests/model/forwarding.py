"""Model of forwarding: accepted facts of one log become inputs of a peer, in order.

At least once. alerts (A) ⇄ continuity (C) → delivery (D), A → D. A log holds accepted records only
(see the model of the chain); a decider applies one input atomically. Publishers come and go,
several at once, sends fail, versions rise, and alerts may lose the tail of its log, with its
inputs decided again with other facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from tests.model.worlds import Action, Broken, remaining, spent

GUARDS: Final = {
    "watermark": "the receiver takes a fact only from after the newest place that it has of that source",
    "in-order": "a publisher stops at its first failed send",
    "begin": "a publisher begins at the receiver's watermark, read from the receiver's log",
    "table": "a record is routed by the table of its own logic version",
    "stop": "a publisher stops at a record of a logic that it does not know",
    "history": "places carry the history: after a declared loss every place is newer than before",
}
TWICE: Final = "a forwarded fact had two effects"
GAP: Final = "a forwarded fact was skipped or came out of order"
NOWHERE_FACT: Final = "a fact from nowhere"
ROUTES: Final = ("AC", "CA", "AD", "CD")
SERVICES: Final = "ACD"

Place = tuple[int, int, int]
"""(history, seq, ordinal) in the source log."""
NOWHERE: Final[Place] = (0, 0, 0)


class Fact(NamedTuple):
    id: str
    hops: int
    new: bool
    """Routed by the table of logic 2 only."""


class Sent(NamedTuple):
    """A forwarded fact as an input."""

    source: str
    place: Place
    fact: Fact


class Record(NamedTuple):
    history: int
    seq: int
    logic: int
    given: Fact | Sent
    facts: tuple[Fact, ...]
    effective: bool
    """False: a duplicate, recorded without effect."""


class Publisher(NamedTuple):
    route: str
    position: int
    """Index of the next record to read."""
    queue: tuple[tuple[Sent, int], ...] = ()
    """Sends under way with the index of their record."""
    code: int = 1


ROUNDS: Final = 12
"""More than any chain of reactions is long."""
LOST_POSITION: Final = 10**6
"""Position of a publisher of a lost history: it reads nothing, but its sends may still land."""


class Forwarding:
    """`cut`: how often alerts loses the tail of its log."""

    RANDOM: ClassVar[frozenset[str]] = frozenset({"cut"})

    def __init__(self, without: str | None = None, cut: int = 0) -> None:
        self.guards = frozenset(GUARDS) - {without}
        self.budget: tuple[tuple[str, int], ...] = (
            ("start", 6),
            ("fail", 2),
            ("raise", 1),
            ("cut", cut),
        )
        self.inputs: dict[str, tuple[Fact | Sent, ...]] = {
            "A": (Fact("r1", 3, False), Fact("r2", 3, False), Fact("r3", 2, False)),
            "C": (),
            "D": (),
        }
        self.logs: dict[str, tuple[Record, ...]] = dict.fromkeys(SERVICES, ())
        self.logic = dict.fromkeys(SERVICES, 1)
        self.lives = dict.fromkeys(SERVICES, 0)
        """How often a service lost its tail: decided again, the facts differ."""
        self.committed = dict.fromkeys(ROUTES, 0)
        """What a publisher would keep by itself; used only without `begin`."""
        self.publishers: tuple[Publisher, ...] = ()

    def actions(self) -> list[Action]:
        """List the next possible actions, see World."""
        todo: list[Action] = [
            (2, "decide", s) for s in SERVICES if len(self.logs[s]) < len(self.inputs[s])
        ]
        if remaining(self.budget, "start") > 0:
            todo += [(0.4, "start", route) for route in ROUTES]
        if remaining(self.budget, "raise"):
            todo.append((0.2, "upgrade"))
        for j, publisher in enumerate(self.publishers):
            if publisher.position < len(self.logs[publisher.route[0]]) and len(publisher.queue) < 4:
                todo.append((2, "read", j))
            if publisher.queue:
                todo.append((2, "land", j))
                if remaining(self.budget, "fail") > 0:
                    todo.append((0.3, "fail", j))
        if remaining(self.budget, "cut"):
            todo.append((0.2, "cut"))
        return todo

    # ── the receiver ───────────────────────────────────────────────────────────────────────────────────────────────

    def watermark(self, receiver: str, source: str) -> Place:
        """Return the newest place of `source` with an effect in the receiver's log."""
        places = [
            r.given.place
            for r in self.logs[receiver]
            if isinstance(r.given, Sent) and r.given.source == source and r.effective
        ]
        return max(places, default=NOWHERE)

    def decide(self, service: str) -> None:
        """Apply the next input of a service."""
        log = self.logs[service]
        next_input = self.inputs[service][len(log)]
        fact = next_input.fact if isinstance(next_input, Sent) else next_input
        effective = self.is_new(service, next_input)
        again = "x" * self.lives[service]
        reacts = fact.hops and effective and service != "D"
        facts = (
            tuple(Fact(f"{fact.id}.{service}{n}{again}", fact.hops - 1, n == 1) for n in range(3))
            if reacts
            else ()
        )
        history = self.lives[service] if "history" in self.guards else 0
        record = Record(history, len(log) + 1, self.logic[service], next_input, facts, effective)
        self.logs = {**self.logs, service: (*log, record)}

    def is_new(self, service: str, given: Fact | Sent) -> bool:
        if not isinstance(given, Sent) or "watermark" not in self.guards:
            return True
        return given.place > self.watermark(service, given.source)

    # ── the publisher ──────────────────────────────────────────────────────────────────────────────────────────────

    def routed(
        self, route: str, code: int, upto: int | None = None
    ) -> Iterator[tuple[int, Place, Fact]]:
        """(index, place, fact) of everything that this route carries: a function of the log."""
        for i, record in enumerate(self.logs[route[0]][:upto]):
            table = min(record.logic, code) if "table" in self.guards else code
            for n, fact in enumerate(record.facts):
                if not fact.new or table > 1:
                    yield i, (record.history, record.seq, n), fact

    def begin(self, route: str) -> int:
        if "begin" not in self.guards:
            return self.committed[route]
        mark = self.watermark(route[1], route[0])
        return max((i for i, place, _ in self.routed(route, 2) if place <= mark), default=0)

    def start(self, route: str) -> None:
        """Start a publisher, unknown to the older ones of its route."""
        self.budget = spent(self.budget, "start")
        self.publishers += (Publisher(route, self.begin(route), code=self.logic["A"]),)

    def upgrade(self) -> None:
        self.budget = spent(self.budget, "raise")
        self.logic = dict.fromkeys(SERVICES, 2)

    def replace(self, j: int, *publisher: Publisher) -> None:
        self.publishers = (*self.publishers[:j], *publisher, *self.publishers[j + 1 :])

    def read(self, j: int) -> None:
        """Read one record and queue its facts."""
        p = self.publishers[j]
        if self.logs[p.route[0]][p.position].logic > p.code and "stop" in self.guards:
            return self.replace(j)
        rows = self.routed(p.route, p.code, p.position + 1)
        queue = tuple(
            (Sent(p.route[0], place, fact), i) for i, place, fact in rows if i == p.position
        )
        if not queue and not p.queue:
            self.committed = {**self.committed, p.route: p.position + 1}
        self.replace(j, p._replace(position=p.position + 1, queue=p.queue + queue))
        return None

    def land(self, j: int) -> None:
        """Deliver the oldest pending send."""
        p = self.publishers[j]
        (pending_send, index), *rest = p.queue
        self.inputs = {**self.inputs, p.route[1]: (*self.inputs[p.route[1]], pending_send)}
        if not any(i == index for _, i in rest):
            self.committed = {**self.committed, p.route: index + 1}
        self.replace(j, p._replace(queue=tuple(rest)))

    def fail(self, j: int) -> None:
        """Fail a send: the publisher ends; without `in-order` it continues with the next."""
        self.budget = spent(self.budget, "fail")
        p = self.publishers[j]
        self.replace(j, *([] if "in-order" in self.guards else [p._replace(queue=p.queue[1:])]))

    def cut(self, rnd: random.Random) -> None:
        """Cut the tail of alerts' log, declare it and decide its inputs again."""
        self.budget = spent(self.budget, "cut")
        log_length = rnd.randint(0, len(self.logs["A"]))
        self.lives = {**self.lives, "A": self.lives["A"] + 1}
        self.logs = {**self.logs, "A": self.logs["A"][:log_length]}
        self.committed = {
            r: min(c, log_length) if r[0] == "A" else c for r, c in self.committed.items()
        }
        self.publishers = tuple(
            p._replace(position=LOST_POSITION) if p.route[0] == "A" else p for p in self.publishers
        )

    # ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Deliver late sends and keep one newest publisher per route.

        Then every fact has had its effect, once, in order.
        """
        while any(p.queue for p in self.publishers):
            self.land(next(j for j, p in enumerate(self.publishers) if p.queue))
        self.publishers, self.budget = (), tuple((k, 0) for k, _ in self.budget)
        effects = -1
        for _ in range(ROUNDS):
            before, effects = effects, self.decide_all()
            if effects == before:
                break
            for route in ROUTES:
                self.publishers = (Publisher(route, self.begin(route), code=2),)
                while self.publishers[0].position < len(self.logs[route[0]]):
                    self.read(0)
                while self.publishers[0].queue:
                    self.land(0)
        for route in ROUTES:
            self.check(route)

    def decide_all(self) -> int:
        """Apply everything that arrived; returns how many inputs have had an effect so far."""
        for service in SERVICES:
            while len(self.logs[service]) < len(self.inputs[service]):
                self.decide(service)
        return sum(record.effective for log in self.logs.values() for record in log)

    def check(self, route: str) -> None:
        expected_ids = [fact.id for _, _, fact in self.routed(route, 2)]
        took = [
            r.given.fact.id
            for r in self.logs[route[1]]
            if isinstance(r.given, Sent) and r.given.source == route[0] and r.effective
        ]
        if len(took) != len(set(took)):
            raise Broken(TWICE)
        if [id for id in took if id in set(expected_ids)] != expected_ids:
            raise Broken(GAP)
        if not any(self.lives.values()) and took != expected_ids:
            raise Broken(NOWHERE_FACT)

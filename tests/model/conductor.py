"""Model of a simulated realm: order-sensitive services give the same facts in any schedule.

alerts (A), continuity (C) and delivery (D) each apply inputs in order of arrival, and their
answers depend on that order. A step makes a service answer only if its newest record has a
deadline due. `free`: publishers and steps run freely. `gated`: the routes of alerts and continuity
run free; answers from delivery and steps come one at a time without pending facts. Steps with only
the last one at work come together, and before them the answers of the simulated sender, together
(the product). `single`: the conductor alone writes every input.
"""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar, Final, Literal, NamedTuple

from tests.model.worlds import Action, digest

Mode = Literal["free", "gated", "single"]
SERVICES: Final = "ACD"
ROUTES: Final = ("AC", "AD", "CA", "CD", "DD", "DA")
"""In the order in which the conductor forwards. DD: the simulated sender answers delivery."""
TARGETS: Final = {"A": "CDC", "C": "AA", "D": "DDA"}
"""Receivers of the facts of a service."""
LAST_STEP: Final = 8

Key = tuple[object, ...]
"""Identity of an input: a forwarded fact by its place, a step by its time."""


class Fact(NamedTuple):
    hops: int
    """Return the number of services that will still react to it."""
    what: str


class Item(NamedTuple):
    """An input on its way to a service."""

    service: str
    key: Key
    fact: Fact


class Applied(NamedTuple):
    """One record of a log."""

    key: Key
    facts: tuple[tuple[str, Fact], ...]
    """(receiver, fact)."""
    due: bool
    """The next step makes the service say something."""


Logs = dict[str, tuple[Applied, ...]]


def is_due(log: tuple[Applied, ...]) -> bool:
    """Return True if the next step has work; the first one has."""
    return not log or log[-1].due


class Held(NamedTuple):
    """One conductor's readings so far, and its next item."""

    read: tuple[tuple[Applied, ...], ...] = ()
    item: Item | None = None


class Conductor:
    """World of the conductor.

    `atomic`: a conductor that reads the three logs acts only if none moved meanwhile. Two
    conductors run at once. Mutants: `answers_first` forwards answers from delivery before the rest
    of a group that a crash cut short. `blind` makes all steps of a time together, with any
    deadlines due. `hasty` sends the last step of a group before the inputs of the others hold
    theirs.
    """

    RANDOM: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        mode: Mode,
        *,
        atomic: bool = True,
        conductors: int = 2,
        answers_first: bool = False,
        blind: bool = False,
        hasty: bool = False,
    ) -> None:
        self.mode, self.atomic, self.blind, self.hasty = mode, atomic, blind, hasty
        self.routes = (
            tuple(sorted(ROUTES, key=("AC", "AD", "CA", "CD", "DA", "DD").index))
            if answers_first
            else ROUTES
        )
        self.inputs: dict[str, tuple[Item, ...]] = dict.fromkeys(SERVICES, ())
        self.logs: Logs = dict.fromkeys(SERVICES, ())
        self.state = {s: s for s in SERVICES}
        self.conductors = {i: Held() for i in range(conductors)}
        self.repeats_left = 3
        self.sending: tuple[Item, ...] = ()

    # ── what is missing where: pure functions of the logs ──────────────────────────────────────────────────────────

    def pending(self, route: str, logs: Logs) -> list[Item]:
        """List facts of this route missing in its receiver's log, in order."""
        source, receiver = route[0], route[1]
        items = [
            Item(receiver, ("fact", source, i, n), fact)
            for i, record in enumerate(logs[source])
            for n, (to, fact) in enumerate(record.facts)
            if to == receiver
        ]
        done = {record.key for record in logs[receiver]}
        return [item for item in items if item.key not in done]

    def steps(self, logs: Logs) -> list[Item]:
        """List missing steps, in order of time, then service."""
        done = {s: {record.key for record in logs[s]} for s in SERVICES}
        every = (
            Item(s, ("step", t, s), Fact(4, f"t{t}"))
            for t in range(1, LAST_STEP + 1)
            for s in SERVICES
        )
        return [item for item in every if item.key not in done[item.service]]

    def following(self, logs: Logs) -> Item | None:
        """Return the next input of the realm."""
        return next(iter(self.together(logs)), None)

    def together(self, logs: Logs) -> list[Item]:
        """Return the next inputs of the realm.

        All answers of the simulated sender, or steps to one time up to the first with work,
        otherwise one.
        """
        for route in self.routes:
            if missing := self.pending(route, logs):
                return missing if route == "DD" else missing[:1]
        group: list[Item] = []
        for item in self.steps(logs):
            if group and item.key[1] != group[0].key[1]:
                break
            group.append(item)
            if not self.blind and is_due(logs[item.service]):
                break
        return group

    def is_quiet(self) -> bool:
        return not any(self.pending(route, self.logs) for route in ROUTES)

    # ── what may happen ────────────────────────────────────────────────────────────────────────────────────────────

    def actions(self) -> list[Action]:
        """List the next possible actions, see World."""
        todo: list[Action] = [(2, "decide", s) for s in SERVICES if self.inputs[s]]
        if self.mode == "single":
            todo += [
                (2, "send", i) if conductor.item else (2, "look", i)
                for i, conductor in self.conductors.items()
            ]
            return todo if self.following(self.logs) else []
        routes = ROUTES if self.mode == "free" else [r for r in ROUTES if r[0] != "D"]
        missing = {route: self.pending(route, self.logs) for route in routes}
        todo += [
            (1, "forward", r)
            for r, items in missing.items()
            if any(item not in self.inputs[r[1]] for item in items)
        ]
        if self.repeats_left:
            todo += [(0.2, "forward_again", r) for r, items in missing.items() if items]
        may_step = (
            not todo
            if self.mode == "gated"
            else not self.sending and not any(self.inputs.values()) and self.is_quiet()
        )
        if may_step and (group := self.together(self.logs)):
            todo += [
                (1, "step", some)
                for some in (self.sendings(group) if self.mode == "gated" else [(group[0],)])
            ]
        if self.mode == "free":
            todo += [(1, "send_step", item) for item in self.sending]
        return todo

    def put(self, item: Item) -> None:
        self.inputs = {**self.inputs, item.service: (*self.inputs[item.service], item)}

    def forward(self, route: str) -> None:
        """Forward the first fact that is not on its way."""
        self.put(
            next(
                item
                for item in self.pending(route, self.logs)
                if item not in self.inputs[item.service]
            )
        )

    def forward_again(self, route: str) -> None:
        """Forward a fact again after a restart of the publisher."""
        self.repeats_left -= 1
        self.put(self.pending(route, self.logs)[0])

    def sendings(self, group: list[Item]) -> list[tuple[Item, ...]]:
        """List the parts of a group that the inputs may hold.

        All, or fewer after the death of the conductor. One input gets everything in order; several
        get any order, with the last item after all others.
        """
        if group[0].service == group[-1].service:
            return [tuple(group[:n]) for n in range(1, len(group) + 1)]
        others = group if self.hasty else group[:-1]
        return [
            *(some for n in range(1, len(others) + 1) for some in combinations(others, n)),
            tuple(group),
        ]

    def step(self, some: tuple[Item, ...]) -> None:
        if self.mode == "free":  # the step of this time goes to all three, in any order
            self.sending = tuple(s for s in self.steps(self.logs) if s.key[1] == some[0].key[1])
        else:
            for item in some:
                self.put(item)

    def send_step(self, item: Item) -> None:
        self.sending = tuple(s for s in self.sending if s != item)
        self.put(item)

    def look(self, i: int) -> None:
        """Read one log after the other, as a conductor."""
        read = (*self.conductors[i].read, self.logs[SERVICES[len(self.conductors[i].read)]])
        item = None
        if len(read) == len(SERVICES):
            logs = dict(zip(SERVICES, read, strict=True))
            if not self.atomic or all(len(logs[s]) == len(self.logs[s]) for s in SERVICES):
                item = self.following(logs)
            read = ()
        self.conductors = {**self.conductors, i: Held(read, item)}

    def send(self, i: int) -> None:
        item = self.conductors[i].item
        assert item is not None
        self.put(item)
        self.conductors = {**self.conductors, i: Held()}

    def decide(self, service: str) -> None:
        """Apply the next input; a repetition is recorded nowhere and has no facts."""
        item, self.inputs = (
            self.inputs[service][0],
            {**self.inputs, service: self.inputs[service][1:]},
        )
        if item.key in {record.key for record in self.logs[service]}:
            return
        if item.key[0] == "step" and not is_due(self.logs[service]):
            self.logs = {
                **self.logs,
                service: (*self.logs[service], Applied(item.key, (), due=False)),
            }
            return
        state = digest(self.state[service], item.fact.what)
        self.state = {**self.state, service: state}
        bits, hops = int(state[:2], 16), item.fact.hops
        facts = tuple(
            (to, Fact(hops - 1, state[n : n + 4]))
            for n, to in enumerate(TARGETS[service])
            if hops and bits >> n & 1
        )
        self.logs = {
            **self.logs,
            service: (*self.logs[service], Applied(item.key, facts, due=bits >> 4 & 3 > 0)),
        }

    def finish(self) -> None:
        """Require nothing; `history` is compared over many runs instead."""

    def history(self) -> tuple[tuple[tuple[tuple[str, Fact], ...], ...], ...]:
        """Return the facts of each service, in order."""
        return tuple(tuple(record.facts for record in self.logs[s]) for s in SERVICES)

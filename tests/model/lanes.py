"""Model of a decider with two inputs: `tests.model.chain` with an urgent lane beside it.

A worker takes the next record of either lane, in any order, without knowing the next of the other.
Answers, ticks and reports of incident 1 are urgent. The log gives the order; every fold of it
reaches the same state, and the next worker continues in both lanes.
"""

from __future__ import annotations

import random
from typing import Final

from tests.model.chain import BUDGET, CASES, LOSS, REBASED, Chain, Tx, View, script
from tests.model.ladders import Input, fire
from tests.model.worlds import Action, digest

LANE: Final = "lane"
"""Guard: before an ordinary input fires a deadline, the urgent lane is applied."""
POSITIONS: Final = "positions"
"""The guard: a position holds the offset of each lane."""
GUARDS: Final = (LANE, POSITIONS)


class Lanes(Chain):
    """Chain with `urgent` as its second input topic."""

    def __init__(
        self, inputs: list[tuple[str, str, int]], without: tuple[str, ...] = (), **budget: int
    ) -> None:
        self.urgent: tuple[Input, ...] = ()
        super().__init__(inputs, without, **budget)
        self.guards |= frozenset(GUARDS) - set(without)

    def given(self) -> tuple[Input, ...]:
        return self.inputs + self.urgent

    def arrive(self, id: str, kind: str, incident: int) -> None:
        """Append to the lane of this kind."""
        self.born += 1
        record = Input(id, kind, incident, self.clock, self.born)
        self.made += (record,)
        if kind in ("ack", "tick") or incident == 1:
            self.urgent += (record,)
        else:
            self.inputs += (record,)

    def actions(self) -> list[Action]:
        """List the actions of Chain, with one for each urgent lane with records."""
        all_actions = super().actions()
        for i, worker in enumerate(self.workers):
            if (
                worker.view is not None
                and len(worker.queue) + len(worker.acks) < 3
                and worker.view.urgent + 1 != len(self.urgent)
            ):
                all_actions.append((4, "apply_urgent", i))
        return all_actions

    def apply(self, i: int) -> None:
        """Decide the next ordinary input; the urgent ones first if it would fire a deadline."""
        view = self.workers[i].view
        assert view is not None
        offset = view.applied + 1
        if LANE in self.guards and offset < len(self.inputs) and view.urgent + 1 < len(self.urgent):
            t = max(view.state.now, self.inputs[offset].t)
            if fire(view.state, t, 2, apart=True):
                return self.apply_urgent(i)
        return super().apply(i)

    def apply_urgent(self, i: int) -> None:
        """Decide the next urgent input."""
        view = self.workers[i].view
        assert view is not None
        offset = view.urgent + 1
        if offset > len(self.urgent):
            if "reset" in self.guards:
                self.stop(i, "input.reset")
            return None
        return self.send(i, self.urgent[offset], ("urgent", offset))

    def apply_one(self, i: int) -> None:
        view = self.workers[i].view
        if view and view.urgent + 1 != len(self.urgent):
            self.apply_urgent(i)
        else:
            super().apply_one(i)

    def moved(self, view: View, tx: Tx) -> View:
        if isinstance(tx.source, tuple):
            if POSITIONS not in self.guards:
                return view._replace(applied=tx.source[1], mark=tx.input)
            return view._replace(urgent=tx.source[1], urgent_mark=tx.input)
        after = super().moved(view, tx)
        return after._replace(urgent=-1, urgent_mark="") if tx.source == REBASED else after

    def follows(self, before: View, tx: Tx) -> bool:
        if isinstance(tx.source, tuple):
            return tx.source[1] == before.urgent + 1
        return super().follows(before, tx)

    def still_applied(self, view: View) -> bool:
        urgent_holds = (
            view.urgent < 0
            or not view.urgent_mark
            or self.lies_at(self.urgent, view.urgent, view.urgent_mark)
        )
        return urgent_holds and super().still_applied(view)

    def lies_at(self, topic: tuple[Input, ...], offset: int, mark: str) -> bool:
        """Return True if the topic holds the record with this digest there."""
        return offset < len(topic) and digest(topic[offset]) == mark

    def cut_input(self, rnd: random.Random | None = None) -> None:
        """Cut the tail of one lane, or of both."""
        if rnd is None or rnd.random() < 0.5:
            self.urgent = self.urgent[
                : rnd.randint(0, len(self.urgent)) if rnd else len(self.urgent) // 2
            ]
        super().cut_input(rnd)

    def fail_over(self, rnd: random.Random | None = None) -> None:
        """Move to another cluster with both lanes mirrored to different points."""
        last = rnd.randint(0, len(self.urgent)) if rnd else 0
        self.urgent = self.urgent[rnd.randint(0, last) if rnd else 0 :][: last or None]
        super().fail_over(rnd)

    def audit_input(self) -> None:
        super().audit_input()
        if "audit" not in self.guards or REBASED in self.exits:
            return
        for tx in self.accepted:
            if isinstance(tx.source, tuple) and not self.lies_at(
                self.urgent, tx.source[1], tx.input
            ):
                self.exits |= {"input.rewritten"}

    def order(self) -> list[str]:
        """Return the applied inputs of the log, in order, as lane and offset."""
        return [str(tx.source) for tx in self.accepted if tx.source not in (LOSS, REBASED)]


def lanes(seed: int, case: str, without: tuple[str, ...] = ()) -> Lanes:
    """Return the world of a case with the script of a seed."""
    return Lanes(script(seed), without, **{**BUDGET, **CASES[case]})

"""A worker with deadlines only, on the agenda that alerts and delivery use.

`python -m tests.bench.timers_worker`, settings by VIGIE_*.
"""

# ruff: noqa: ARG002  the protocol gives more than timers need
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from schemas.base import Fact, Instant, Message, register_message
from schemas.topics import ROUTES
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline, Deadlines, Firing, Input
from services.runtime.process.settings import Settings
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.worker import run_worker


@register_message
class ArmTimers(Message):
    """`count` deadlines `every_us` apart, the first at `due`."""

    name: str
    due: Instant
    count: int
    every_us: int


@register_message
class TimersArmed(Fact):
    name: str
    due: Instant
    count: int
    every_us: int


@register_message
class TimerFired(Fact):
    key: str
    due: Instant


@dataclass(frozen=True, slots=True)
class Timers:
    agenda: Deadlines = field(default_factory=Deadlines)


def register(suffix: str) -> str:
    """Register the routes of one such service and return its name."""
    service = f"timers{suffix}"
    for logic in (1, 2):
        ROUTES.setdefault(logic, {})[service] = {}
    return service


class TimersDecider:
    logic = 1

    def __init__(self, suffix: str) -> None:
        self.service = register(suffix)

    def initial(self, realm: str, lineage: str) -> Timers:
        return Timers()

    def decide(self, state: Timers, current_input: Input) -> Sequence[Fact]:
        match current_input.message:
            case ArmTimers(name=name, due=due, count=count, every_us=every):
                return (TimersArmed(name=name, due=due, count=count, every_us=every),)
        return ()

    def fire(self, state: Timers, firing: Firing) -> Sequence[Fact]:
        return (TimerFired(key=firing.deadline.key, due=firing.deadline.due),)

    def evolve(self, state: Timers, fact: Fact, fact_id: str, at: Instant) -> Timers:
        agenda = state.agenda
        match fact:
            case TimersArmed(name=name, due=due, count=count, every_us=every):
                for n in range(count):
                    agenda = agenda.arm(f"{name}-{n}", due + n * every // 1000)
            case TimerFired(key=key):
                agenda = agenda.disarm(key)
        return replace(state, agenda=agenda)

    def next_deadline(self, state: Timers) -> Deadline | None:
        return state.agenda.first()

    def dump(self, state: Timers) -> dict[str, list[tuple[str, object]]]:
        return {"due": list(state.agenda.due.items())}

    def load(self, realm: str, lineage: str, dumped: dict[str, list[tuple[str, object]]]) -> Timers:
        return Timers(
            Deadlines.restore(Map({key: int(str(at)) for key, at in dumped.get("due", [])}))
        )


if __name__ == "__main__":
    run_worker(
        TimersDecider(os.environ.get("TOY_SUFFIX", "")),
        Settings(),
        Tuning(snapshot_every=2_000, snapshot_pause_s=2),
    )

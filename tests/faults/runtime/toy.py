"""A toy domain with every part of the protocol: reports, escalations, deadlines, answers, poison.

Two deciders: `toy` decides, `toyecho` counts the escalations that the publisher of toy forwards.
"""

# ruff: noqa: ARG002  the protocol gives more than a toy needs
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.base import Fact, Instant, Message, register_message
from schemas.runtime import DeadlineFailed, LossDeclared
from schemas.topics import PUBLIC_FACTS, ROUTES, SERVICES_WITH_URGENT_LANE
from services.runtime.decider.codec import StateCodec
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline, Firing, Input

RUNGS = 3


@register_message
class ToyReport(Message):
    """`delay_ms`: arm an escalation of three steps this far apart.

    `does`: misbehaviour of the domain.
    """

    incident: str
    n: int
    delay_ms: int | None = None
    does: str = "well"
    blob: str = ""


@register_message
class ToyAck(Message):
    incident: str


@register_message
class ToyReported(Fact):
    incident: str
    n: int
    blob: str = ""


@register_message
class ToyArmed(Fact):
    incident: str
    due: Instant
    delay_ms: int
    cursed: bool = False


@register_message
class ToyAcked(Fact):
    incident: str


@register_message
class ToyEscalated(Fact):
    incident: str
    rung: int


@register_message
class ToyEchoed(Fact):
    incident: str
    rung: int


def register(suffix: str = "") -> None:
    """Register the routes of one toy system.

    Service `toy<suffix>` has an urgent lane; `toyecho<suffix>` and topic `toypublic<suffix>`
    follow.
    """
    SERVICES_WITH_URGENT_LANE.add(f"toy{suffix}")
    for logic in (1, 2):
        table = ROUTES.setdefault(logic, {})
        table[f"toy{suffix}"] = {
            "RealmOpened": (f"toyecho{suffix}",),
            "ToyEscalated": (f"toyecho{suffix}",),
        }
        table[f"toyecho{suffix}"] = {}
    PUBLIC_FACTS[f"toypublic{suffix}"] = ("ToyReported",)


register()


@dataclass(frozen=True, slots=True)
class Ladder:
    due: Instant
    delay_ms: int
    rung: int = 0
    cursed: bool = False


@dataclass(frozen=True, slots=True)
class ToyState:
    counts: Map[str, int] = Map()
    ladders: Map[str, Ladder] = Map()
    agenda: tuple[tuple[Instant, str], ...] = ()
    losses: int = 0
    lineage: str = ""


CODEC = StateCodec(ToyState)


def _with(state: ToyState, incident: str, ladder: Ladder | None) -> ToyState:
    old = state.ladders.get(incident)
    agenda = [entry for entry in state.agenda if old is None or entry != (old.due, incident)]
    if ladder is None:
        ladders = state.ladders.delete(incident) if old else state.ladders
    else:
        ladders = state.ladders.set(incident, ladder)
        agenda.append((ladder.due, incident))
    return replace(state, ladders=ladders, agenda=tuple(sorted(agenda)))


class ToyDecider:
    """The deciding toy. `logic` 2 is the fixed version: poison is applied."""

    base = "toy"

    def __init__(self, logic: int = 1, suffix: str = "") -> None:
        self.logic = logic
        self.service = self.base + suffix

    def initial(self, realm: str, lineage: str) -> ToyState:
        return ToyState(lineage=lineage)

    def decide(self, state: ToyState, current_input: Input) -> Sequence[Fact]:
        match current_input.message:
            case ToyReport(does="raise") if self.logic == 1:
                raise ValueError("poison")
            case ToyReport(does="swell"):
                return (
                    ToyReported(
                        incident=current_input.message.incident,
                        n=current_input.message.n,
                        blob="x" * 300_000,
                    ),
                )
            case ToyReport(does="overflow"):
                return (ToyReported(incident=current_input.message.incident, n=2**70),)
            case ToyReport(incident=incident, n=n, delay_ms=delay, does=does, blob=blob):
                reported = ToyReported(incident=incident, n=n, blob=blob)
                if delay is None:
                    return (reported,)
                return (
                    reported,
                    ToyArmed(
                        incident=incident,
                        due=current_input.now + delay,
                        delay_ms=delay,
                        cursed=does == "curse",
                    ),
                )
            case ToyAck(incident=incident) if incident in state.ladders:
                return (ToyAcked(incident=incident),)
        return ()

    def fire(self, state: ToyState, firing: Firing) -> Sequence[Fact]:
        ladder = state.ladders[firing.deadline.key]
        if ladder.cursed:
            raise RuntimeError("cursed")
        return (ToyEscalated(incident=firing.deadline.key, rung=ladder.rung + 1),)

    def evolve(self, state: ToyState, fact: Fact, fact_id: str, at: Instant) -> ToyState:
        match fact:
            case ToyReported(incident=incident):
                return replace(
                    state, counts=state.counts.set(incident, state.counts.get(incident, 0) + 1)
                )
            case ToyArmed(incident=incident, due=due, delay_ms=delay, cursed=cursed):
                return _with(state, incident, Ladder(due, delay, 0, cursed))
            case ToyAcked(incident=incident):
                return _with(state, incident, None)
            case ToyEscalated(incident=incident, rung=rung):
                ladder = state.ladders[incident]
                return _with(
                    state,
                    incident,
                    None
                    if rung == RUNGS
                    else replace(ladder, rung=rung, due=ladder.due + ladder.delay_ms),
                )
            case DeadlineFailed(key=incident):
                return _with(state, incident, None)
            case LossDeclared():
                return replace(state, losses=state.losses + 1)
        return state

    def next_deadline(self, state: ToyState) -> Deadline | None:
        return Deadline(*state.agenda[0]) if state.agenda else None

    def dump(self, state: ToyState) -> dict[str, list[tuple[str, object]]]:
        return CODEC.dump(state)

    def load(
        self, realm: str, lineage: str, dumped: dict[str, list[tuple[str, object]]]
    ) -> ToyState:
        return CODEC.load(dumped)


class EchoDecider(ToyDecider):
    """Decider that counts its inputs from toy, under `counts`."""

    base = "toyecho"

    def decide(self, state: ToyState, current_input: Input) -> Sequence[Fact]:
        match current_input.message:
            case ToyEscalated(incident=incident, rung=rung):
                return (ToyEchoed(incident=incident, rung=rung),)
        return ()

    def evolve(self, state: ToyState, fact: Fact, fact_id: str, at: Instant) -> ToyState:
        match fact:
            case ToyEchoed(incident=incident):
                return replace(
                    state, counts=state.counts.set(incident, state.counts.get(incident, 0) + 1)
                )
        return state

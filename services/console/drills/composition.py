"""Compose a drill of 15 minutes for one plan, as an exercise file. Rule D95. Pure.

The file has the format of docs/how-to/write-an-exercise.md. The same weakness, day and seed give
the same file.

A card may count from the day of a strike: it is due on a day before, or on its morning. The drill
ends when it is due, and the notice names the day that makes it so. Rule D50.

The weakest plans come first: readiness hole × loss × cards never exercised.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any, Final

from ruamel.yaml import YAML

from schemas import reference as ref
from schemas.plans import Card, CardOrigin
from services.console.dependencies.losses import EvaluatedLoss
from services.console.dependencies.network import DependencyNetwork, LostResource
from services.console.drills.stimuli import DAY_MIN, STRIKE_STARTS_MIN, Stimulus, StimulusWriter
from services.console.proof.judgement import PlanProof, ProofItem, ProofKind
from services.console.texts.names import TerritoryNames

LEAST_FACTOR: Final = 0.1
"""Least value of a factor, so that one strength does not hide two weaknesses."""
DRILL_MIN: Final = 15
"""Length of a drill in minutes."""
PROPOSED_WITHIN_MIN: Final = 5
DECIDED_WITHIN_MIN: Final = 10
MOST_CARDS: Final = 3
"""Most cards that one drill exercises."""
SHORTEST_CARD_MIN: Final = 5
"""Shortest time of a card that a drill exercises: the plan is decided first."""
CONTACT_AT_MIN: Final = 3
FULL_HOST_AT_MIN: Final = 7
SPREAD_MIN: Final = 3
"""Minutes within which the reports of the trigger arrive."""
COORDINATOR: Final = "coordinateur_pca"
PREFIX: Final = "court"
"""First word of the name of every drill."""
MAX_SEED: Final = 9999
_STARTS: Final = (time(9, 30), time(10, 0), time(14, 0), time(15, 0))
_DAYS: Final = frozenset({1, 3})
"""Days of the week on which drills begin: Tuesday and Thursday."""
_LONGEST_NAME: Final = 31
OFFICE_MIN: Final = (7 * 60, 18 * 60)
"""Minutes of a day between which a due time is preferred."""


@dataclass(frozen=True, slots=True)
class PlanWeakness:
    """Weakness of one plan, with the cards, contacts and hosts that nobody proved."""

    plan: str
    hole: float
    """Share of the people and partners that nobody reached in the last 30 days."""
    loss: float
    """Share of all activities that stop in the worst loss that calls for the plan."""
    unexercised: float
    """Share of the cards that nobody did in time in the last 12 months."""
    cards: tuple[str, ...]
    """Cards never exercised."""
    contacts: tuple[str, ...]
    """Roles of which somebody is not reached, as the proof names them."""
    full_hosts: tuple[str, ...]
    """Kinds of fallback site without a free place."""
    worst: LostResource | None = None
    """Resource of the worst loss that calls for the plan."""
    at_once: LostResource | None = None
    """Resource of the worst loss that calls for the plan at once."""
    stopped: int = 0
    """Activities that stop in the worst loss."""

    @property
    def score(self) -> float:
        factors = (self.hole, self.loss, self.unexercised)
        product = 1.0
        for factor in factors:
            product *= max(factor, LEAST_FACTOR)
        return round(product, 6)


@dataclass(frozen=True, slots=True)
class _PlanLosses:
    worst: EvaluatedLoss | None = None
    at_once: EvaluatedLoss | None = None


def rank_weaknesses(
    proofs: Mapping[str, PlanProof], losses: Iterable[EvaluatedLoss], activities: int
) -> list[PlanWeakness]:
    """Return the weakness of each plan, the weakest first.

    `losses` come the worst first, with the plans that each calls for.
    """
    by_plan = _index_losses(losses)
    weaknesses = [
        _measure(proof, by_plan.get(id, _PlanLosses()), activities) for id, proof in proofs.items()
    ]
    return sorted(weaknesses, key=lambda one: (-one.score, one.plan))


def _index_losses(losses: Iterable[EvaluatedLoss]) -> dict[str, _PlanLosses]:
    losses_by_plan: dict[str, _PlanLosses] = {}
    for loss in losses:
        for plan in loss.plans:
            plan_losses = losses_by_plan.get(plan.plan, _PlanLosses())
            soon = plan_losses.at_once or (loss if plan.after_h == 0 else None)
            losses_by_plan[plan.plan] = _PlanLosses(plan_losses.worst or loss, soon)
    return losses_by_plan


def _measure(proof: PlanProof, losses: _PlanLosses, activities: int) -> PlanWeakness:
    cards = _list_missing(proof, ProofKind.CARDS)
    contacts = _list_missing(proof, ProofKind.CONTACTS)
    hosts = _list_missing(proof, ProofKind.HOSTS)
    worst, at_once = losses.worst, losses.at_once
    stopped_count = len(worst.stops) if worst is not None else 0
    return PlanWeakness(
        plan=proof.plan,
        hole=1 - proof.shares.get(ProofKind.CONTACTS, 1.0),
        loss=stopped_count / activities if activities else 0.0,
        unexercised=1 - proof.shares.get(ProofKind.CARDS, 1.0),
        cards=tuple(item.key for item in cards),
        contacts=tuple(item.key for item in sorted(contacts, key=_get_share)),
        full_hosts=tuple(item.key for item in hosts if not item.proven),
        worst=worst.resources[0] if worst is not None else None,
        at_once=at_once.resources[0] if at_once is not None else None,
        stopped=stopped_count,
    )


def _list_missing(proof: PlanProof, kind: ProofKind) -> list[ProofItem]:
    return [i for i in proof.items if i.kind is kind and i.proven < i.total]


def _get_share(item: ProofItem) -> tuple[float, str]:
    return item.share, item.key


@dataclass(frozen=True, slots=True)
class StrikeMoment:
    """Time when cards of a strike are due."""

    days_before: int
    """Days from the drill to the strike."""
    due_min: int
    """Minutes from midnight of the day of the drill."""


def find_moment(card: Card) -> StrikeMoment:
    """Return when a card is due: it counts from the start of the strike day."""
    days, minute = divmod(STRIKE_STARTS_MIN + card.t_min, DAY_MIN)
    return StrikeMoment(-days, minute)


def choose_strike_cards(
    plan: ref.Plan, weakness: PlanWeakness, random: Random
) -> tuple[list[Card], StrikeMoment | None]:
    """Choose cards never exercised that are due at one moment, in office hours if possible."""
    by_moment: dict[StrikeMoment, list[Card]] = {}
    for card in plan.cards:
        is_open = card.id in weakness.cards and not card.depends_on
        if is_open and card.origin is CardOrigin.STRIKE_DAY:
            by_moment.setdefault(find_moment(card), []).append(card)
    in_office = [one for one in by_moment if OFFICE_MIN[0] <= one.due_min <= OFFICE_MIN[1]]
    moments = sorted(in_office or by_moment, key=lambda one: (one.days_before, one.due_min))
    if not moments:
        return [], None
    moment = random.choice(moments)
    return by_moment[moment], moment


@dataclass(frozen=True, slots=True)
class ComposedDrill:
    """One drill: its exercise file as data, and the weakness that it tries."""

    weakness: PlanWeakness
    seed: int
    document: dict[str, Any]
    cards: tuple[str, ...]
    """Cards that it exercises."""

    def write_file(self) -> str:
        """Write the exercise file."""
        yaml = YAML()
        yaml.default_flow_style = False
        yaml.allow_unicode = True
        yaml.width = 4096
        buffer = io.StringIO()
        yaml.dump(self.document, buffer)
        return buffer.getvalue()


def compose_drill(
    plan: ref.Plan,
    weakness: PlanWeakness,
    network: DependencyNetwork,
    names: TerritoryNames,
    today: date,
    seed: int,
) -> ComposedDrill | None:
    """Compose the drill of a plan; None if no report can make its trigger hold."""
    random = Random(f"{seed}:{plan.id}")  # noqa: S311  repeatable choices, no secret
    writer = StimulusWriter(network, names, random)
    stimuli = _choose_stimuli(plan, weakness, writer, random)
    if not stimuli:
        return None
    cards, moment = _choose_cards(plan, weakness, random), None
    if not cards:
        cards, moment = choose_strike_cards(plan, weakness, random)
    if moment is not None:
        stimuli = writer.announce_strike(moment.days_before)
    roles = _list_roles(network, plan)
    events = [*_place_stimuli(stimuli), *_write_full_hosts(weakness, network, random)]
    document: dict[str, Any] = {
        "exercise": f"{PREFIX}{seed}-{plan.id}"[:_LONGEST_NAME],
        "title": f"Exercice court : {plan.title}",
        "start": _choose_start(today, random, moment).isoformat(timespec="minutes"),
        "events": events,
    }
    if actions := list(_write_actions(plan, weakness, roles, events[0]["id"])):
        document["actions"] = actions
    calling = next((event["id"] for event in events if _opens_incident(event)), None)
    document["expectations"] = list(_write_expectations(plan, cards, calling))
    return ComposedDrill(weakness, seed, document, tuple(card.id for card in cards))


def _list_roles(network: DependencyNetwork, plan: ref.Plan) -> frozenset[str]:
    """Return the roles that the cards of the plans name."""
    plans = (*network.plans.values(), plan)
    return frozenset(card.role for one in plans for card in one.cards)


def _choose_stimuli(
    plan: ref.Plan, weakness: PlanWeakness, writer: StimulusWriter, random: Random
) -> list[Stimulus]:
    """Return the loss that calls for the plan at once, or else one way to hold a trigger."""
    if weakness.at_once is not None and (loss := writer.write_loss(weakness.at_once)):
        return loss
    ways = [way for trigger in plan.triggers for way in writer.list_alternatives(trigger.when)]
    return random.choice(ways) if ways else []


def _place_stimuli(stimuli: Sequence[Stimulus]) -> Iterator[dict[str, Any]]:
    """Yield events in order, within the first minutes; those of earlier days come first."""
    for number, stimulus in enumerate(stimuli):
        fields = dict(stimulus)
        day = fields.pop("day", 0)
        minute = number * SPREAD_MIN // len(stimuli)
        yield {"id": f"E{number + 1}", "at": day * DAY_MIN + minute, **fields}


def _opens_incident(event: Stimulus) -> bool:
    """Return whether an event opens an incident: no rate, rumour or yellow colour does."""
    return event["type"] != "info" and "certainty" not in event and event.get("colour") != "jaune"


def _write_full_hosts(
    weakness: PlanWeakness, network: DependencyNetwork, random: Random
) -> Iterator[dict[str, Any]]:
    """Yield the news that one of the full fallback sites takes nobody."""
    kinds = frozenset(weakness.full_hosts)
    sites = sorted(site.id for site in network.sites.values() if site.kind in kinds)
    if sites:
        site = network.sites[random.choice(sites)]
        yield {
            "id": "H1",
            "at": FULL_HOST_AT_MIN,
            "from": "site_manager",
            "type": "info",
            "severity": 1,
            "site": site.id,
            "headline": f"{site.name} n’a plus de place pour accueillir",
        }


def _choose_cards(plan: ref.Plan, weakness: PlanWeakness, random: Random) -> list[Card]:
    """Choose cards never exercised that can be done within the drill, those due first likelier."""
    open_cards = [
        card
        for card in plan.cards
        if card.id in weakness.cards
        and card.origin is CardOrigin.TRIGGER
        and not card.depends_on
        and card.t_min >= SHORTEST_CARD_MIN
    ]
    soonest = sorted(open_cards, key=lambda card: (card.t_min, card.id))[: 2 * MOST_CARDS]
    drill_cards = random.sample(soonest, min(MOST_CARDS, len(soonest)))
    return sorted(drill_cards, key=lambda card: (card.t_min, card.id))


def _write_actions(
    plan: ref.Plan, weakness: PlanWeakness, roles: Iterable[str], about: str
) -> Iterator[dict[str, Any]]:
    """Yield the request to reach the people of the role that is reached least."""
    if not weakness.contacts:
        return
    yield {
        "at": CONTACT_AT_MIN,
        "due": DRILL_MIN,
        "title": "Joignez de vive voix les contacts du plan non joints depuis 30 jours",
        "to": COORDINATOR if COORDINATOR in roles else plan.cards[0].role,
        "about": about,
        "plan": plan.id,
    }


def _write_expectations(
    plan: ref.Plan, cards: Iterable[Card], calling: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the results of the machine, and then those of people."""
    yield {
        "id": "P1",
        "at_min": DRILL_MIN,
        "kind": "plan_proposed",
        "plan": plan.id,
        "between": [0, PROPOSED_WITHIN_MIN],
        "why": "le plan est proposé",
    }
    if calling is not None:
        yield {
            "id": "P2",
            "at_min": DRILL_MIN,
            "kind": "acknowledged",
            "event": calling,
            "between": [0, DECIDED_WITHIN_MIN],
            "why": "quelqu’un prend l’incident en charge",
        }
    yield {
        "id": "P3",
        "at_min": DRILL_MIN,
        "kind": "plan_decided",
        "plan": plan.id,
        "between": [0, DECIDED_WITHIN_MIN],
        "why": "le plan est activé, différé ou refusé",
    }
    for number, card in enumerate(cards, start=1):
        yield {
            "id": f"F{number}",
            "at_min": DRILL_MIN,
            "kind": "card_done",
            "plan": plan.id,
            "card": card.id,
            "between": [0, _find_time_allowed(card)],
            "why": card.task,
        }


def _find_time_allowed(card: Card) -> int:
    """Return the minutes for a card; one of a strike is due at the end of its drill."""
    return DRILL_MIN if card.origin is CardOrigin.STRIKE_DAY else min(DRILL_MIN, card.t_min)


def _choose_start(today: date, random: Random, moment: StrikeMoment | None) -> datetime:
    """Return a Tuesday or Thursday of the next week, in office hours or before a due time."""
    days = [today + timedelta(days=n) for n in range(1, 8)]
    day = random.choice([one for one in days if one.weekday() in _DAYS])
    if moment is not None:
        return datetime.combine(day, time()) + timedelta(minutes=moment.due_min - DRILL_MIN)
    return datetime.combine(day, random.choice(_STARTS))

"""Action cards and written content of continuity plans, as reference data.

A `Card` holds what decisions need: its owner, scope, time limit and dependencies. A `PlanContent`
holds what people read: purpose, minimal mode, recovery order, documents, and the steps of each
card. Content is published in parts, because all of it exceeds one record. Rules D83 and D84.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from schemas.base import Model, optional
from schemas.words import Effect, EventType, SiteStatus


class CardPhase(StrEnum):
    """Phase of a plan where a card stands; cards of `return` open when the plan recovers."""

    REFLEX = "reflex"
    CONTINUITY = "continuity"
    DURATION = "duration"
    RETURN = "return"


PHASE_ORDER: Final = tuple(CardPhase)


class CardOrigin(StrEnum):
    """Event that starts the time limit of a card.

    `stand_down` is the start of the recovery, `request` the choice of the site by a person.
    """

    TRIGGER = "trigger"
    SITE_EVENT = "site_event"
    REQUEST = "request"
    CARD = "card"
    STAND_DOWN = "stand_down"
    STRIKE_DAY = "strike_day"
    LOCAL_TIME = "local_time"
    FORECAST_THRESHOLD = "forecast_threshold"


class Evidence(StrEnum):
    """Evidence that completes a card."""

    NONE = "none"
    PHOTO = "photo"
    NUMBER = "number"
    TIME = "time"


class CardScope(Model):
    """Places or persons that each get a card of their own.

    An empty list selects everything; `flags` maps a column of the sites to accepted values, where
    `*` accepts every value that is not empty.
    """

    type: Literal["site", "person"]
    where: Literal["concerned", "all", "chosen"] = Field(
        default="concerned",
        description=(
            "concerned: sites in trouble or in the zone of the incident; all: every selected "
            "site; chosen: those that a person opens"
        ),
    )
    kinds: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    statuses: tuple[SiteStatus, ...] = ()
    causes: tuple[EventType, ...] = ()
    communes: tuple[str, ...] = Field(default=(), description="INSEE codes")
    flags: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    group: str | None = Field(default=None, description="group of roles, for the scope person")
    expected: int | None = Field(default=None, ge=0, description="number of sites at planning")


def _absent(value: object) -> bool:
    return not value


class Card(Model):
    """Action card of a plan, due `t_min` minutes after its origin.

    Rules D50 and D84.
    """

    id: str
    t_min: int
    role: str
    pole: str | None = None
    task: str = Field(description="title, French text of the territory file")
    effect: Effect | None = Field(
        default=None, description="measure of reports with the effect of the card (D61)"
    )
    phase: CardPhase | None = optional()
    deputy_role: str | None = optional("role asked after the owner and its deputy")
    deputy_pole: str | None = optional()
    scope: CardScope | None = optional("null: one card for the plan")
    origin: CardOrigin = Field(
        default=CardOrigin.TRIGGER, exclude_if=lambda origin: origin is CardOrigin.TRIGGER
    )
    local_min: int | None = optional("minutes from local midnight, for the origin local_time")
    depends_on: tuple[str, ...] = Field(default=(), exclude_if=_absent)
    evidence: Evidence = Field(
        default=Evidence.NONE, exclude_if=lambda evidence: evidence is Evidence.NONE
    )
    formerly: str | None = optional(
        "id in earlier versions; a running plan keeps the progress of its card"
    )


class CardContent(Model):
    """Instructions of one action card, French text of the territory file."""

    id: str
    steps: tuple[str, ...] = ()
    done_when: str = ""
    evidence: str = Field(default="", description="photo, number or time to give")
    activities: tuple[str, ...] = ()
    metiers: dict[str, int] = Field(default_factory=dict, description="métier → agents, at least")
    systems: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    contacts: tuple[str, ...] = Field(default=(), description="roles, or ids of contacts")
    documents: tuple[str, ...] = ()
    solidarity: str = Field(default="", exclude_if=_absent)
    working_conditions: str = Field(default="", exclude_if=_absent)
    environment: str = Field(default="", exclude_if=_absent)
    rule: str = Field(default="", exclude_if=_absent)


class PlanDeputy(Model):
    """Deputies of a role in a plan: a role, or a sentence that says where the deputy stands."""

    role: str
    pole: str | None = None
    deputy: str
    then: str


class StoppedActivity(Model):
    activity: str
    detail: str = ""


class KeptActivity(Model):
    """Activity that goes on in the minimal mode, with its MBCO and staff of the first day."""

    activity: str
    mbco_pct: float
    minimum_staff: int
    how: str = ""


class RecoveryStep(Model):
    activity: str
    reason: str = ""


class PlanDocument(Model):
    id: str
    title: str
    support: str = Field(default="", description="form and place, e.g. paper in the red binder")


class PlanReview(Model):
    """Review of a plan; `next_on` in the past makes it overdue."""

    owner_role: str
    owner_pole: str | None = None
    last_on: date | None = None
    next_on: date
    every_months: int = Field(ge=1, le=120)
    exercise_every_months: int | None = Field(default=None, ge=1, le=120)


class PlanContent(Model):
    """Written content of one plan. Rule D83."""

    id: str
    purpose: str = ""
    status: str = Field(default="", description="maturity, e.g. a draft to be validated")
    review: PlanReview | None = None
    deputies: tuple[PlanDeputy, ...] = ()
    stops: tuple[StoppedActivity, ...] = ()
    goes_on: tuple[KeptActivity, ...] = ()
    recovery: tuple[RecoveryStep, ...] = Field(default=(), description="in order")
    documents: tuple[PlanDocument, ...] = ()
    cards: tuple[CardContent, ...] = ()

    def find_card(self, card: str) -> CardContent | None:
        """Return the content of a card."""
        return next((content for content in self.cards if content.id == card), None)


def find_card_faults(plan: str, cards: Sequence[Card]) -> Iterator[tuple[int, str]]:
    """Yield (position of the card, sentence) for ids and dependencies that cannot work."""
    positions: dict[str, int] = {}
    for n, card in enumerate(cards):
        if card.id in positions:
            yield n, f"plan {plan}: card {card.id} stands twice"
        positions.setdefault(card.id, n)
    for n, card in enumerate(cards):
        yield from (
            (n, f"plan {plan}: card {card.id} depends on {other!r}, which the plan does not have")
            for other in card.depends_on
            if other not in positions
        )
        if card.origin is CardOrigin.CARD and not card.depends_on:
            yield n, f"plan {plan}: card {card.id} counts from a card and depends on none"
        if (card.origin is CardOrigin.LOCAL_TIME) != (card.local_min is not None):
            yield n, f"plan {plan}: card {card.id}: local_time needs a time, other origins none"
    if cycle := _find_cycle({card.id: card.depends_on for card in cards}):
        yield positions[cycle[0]], f"plan {plan}: cards depend on each other: {' → '.join(cycle)}"


def _find_cycle(depends: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a cycle of dependencies, its first id repeated at the end; empty: none."""
    done_ids: set[str] = set()
    for start in depends:
        path: list[str] = []
        stack = [(start, iter(depends[start]))] if start not in done_ids else []
        path.extend(card for card, _ in stack)
        while stack:
            card, rest = stack[-1]
            following = next((other for other in rest if other in depends), None)
            if following is None:
                done_ids.add(card)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done_ids:
                path.append(following)
                stack.append((following, iter(depends[following])))
    return []

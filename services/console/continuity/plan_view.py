"""Parts of the page `/plans/{id}`, as its template shows them. Rules D83 and D84."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.console.resources import CardProgress


@dataclass(frozen=True, slots=True)
class Detail:
    """A labelled line under the steps of a card."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanCard:
    """An action card as displayed."""

    id: str
    title: str
    owner: str
    delay: str
    due_at: datetime | None
    late: timedelta | None
    at: datetime | None
    state: str
    """Empty while the plan is not active."""
    waits_for: list[str]
    depends_on: list[str]
    where: str
    """Sites that get a card of their own; empty for a card of the plan."""
    progress: CardProgress | None
    steps: tuple[str, ...]
    done_when: str
    evidence: str
    evidence_kind: str
    photo: str | None
    lacks_photo: bool
    """It was completed without the photo that it asks for."""
    details: list[Detail]
    works: bool
    """The reader may start, complete or skip it here."""
    opens: bool
    """The reader may open it at a site of choice."""

    @property
    def open_card_count(self) -> int:
        """Number of site cards that are not closed."""
        progress = self.progress
        return 0 if progress is None else progress.waiting + progress.to_do + progress.doing


@dataclass(frozen=True, slots=True)
class CardGroup:
    key: str
    title: str
    cards: list[PlanCard]


@dataclass(frozen=True, slots=True)
class PlanLineItem:
    """A named thing with a remark: an activity, a deputy, a document, a partner."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanSections:
    """Written content of a plan by section, without ids."""

    purpose: str
    review: str
    overdue: bool
    deputies: list[PlanLineItem]
    stops: list[PlanLineItem]
    goes_on: list[PlanLineItem]
    recovery: list[PlanLineItem]
    documents: list[PlanLineItem]
    partners: list[PlanLineItem]
    systems: list[str]


@dataclass(frozen=True, slots=True)
class ActivationEffects:
    """Effects of an activation in sentences; `sites` names the first ones."""

    cards: str
    roles: str
    sites: str
    messages: str
    later: str


@dataclass(frozen=True, slots=True)
class SiteCardLine:
    """Card of one site as displayed in the list of one card."""

    site: str | None
    name: str
    state: str
    word: str
    due_at: datetime
    overdue: bool
    at: datetime | None
    photo: str | None
    lacks_photo: bool


@dataclass(frozen=True, slots=True)
class PlanView:
    triggers: list[list[str]]
    """Conditions of each trigger; one is enough."""
    stand_down: list[str]
    groups: list[CardGroup]
    contents: PlanSections | None
    activation: ActivationEffects
    done: int
    total: int
    """Cards of the plan, closed and in all; 0 while it is not active."""
    site_done: int
    site_total: int
    """Cards of its sites, closed and in all."""
    active: bool

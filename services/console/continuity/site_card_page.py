"""List cards of the own sites on `/mes-sites`: in due order, with their open dependencies. D84."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.plans import Card, CardContent, PlanContent
from schemas.words import CardState
from services.console.continuity.plan_page import OPEN_CARDS, is_photo_missing
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Plan, SiteCard

CLOSED_SHOWN: Final = 3
"""Closed cards of a site that stay shown, the newest; those without their photo always do."""


@dataclass(frozen=True, slots=True)
class MyCard:
    """A card of a site as its manager sees it."""

    card: SiteCard
    plan: str
    """Title of the plan."""
    steps: tuple[str, ...]
    done_when: str
    evidence: str
    evidence_kind: str
    waits_for: list[str]
    """Titles of cards that come first and are not closed."""
    holds_up: list[str]
    """Titles of the site's cards that wait for this one."""
    works: bool

    @property
    def lacks_photo(self) -> bool:
        """Whether it was completed without the photo that it asks for."""
        return is_photo_missing(self.card.state, self.evidence_kind, self.card.proof)

    @property
    def is_open(self) -> bool:
        return self.card.state in OPEN_CARDS


@dataclass(frozen=True, slots=True)
class MySiteCards:
    """Cards of one site: those that can be done, then those that wait, then closed ones."""

    open: list[MyCard]
    waiting: list[MyCard]
    closed: list[MyCard]

    @property
    def overdue(self) -> int:
        return sum(one.card.overdue for one in self.open)

    @property
    def next_due(self) -> datetime | None:
        return self.open[0].card.due_at if self.open else None


def group_my_cards(
    cards: Iterable[SiteCard],
    plans: Mapping[str, Plan],
    contents: Mapping[str, PlanContent],
    reference: IndexedReference,
    may_work: Callable[[str], bool],
) -> dict[str, MySiteCards]:
    """Group the cards of sites by site; `may_work` tells whether the reader works for a role."""
    by_site: dict[str, list[SiteCard]] = {}
    for one in cards:
        if one.site is not None:
            by_site.setdefault(one.site, []).append(one)
    return {
        site: _build_site_cards(site_cards, plans, contents, reference, may_work)
        for site, site_cards in by_site.items()
    }


def _build_site_cards(
    cards: list[SiteCard],
    plans: Mapping[str, Plan],
    contents: Mapping[str, PlanContent],
    reference: IndexedReference,
    may_work: Callable[[str], bool],
) -> MySiteCards:
    states = {(one.plan, one.card): one.state for one in cards}
    my_cards = []
    for one in sorted(cards, key=lambda one: (one.due_at, one.id)):
        static = _find_card(reference, one)
        if static is None:
            continue
        content = _find_content(contents, one)
        my_cards.append(
            MyCard(
                one,
                reference.names.plan(one.plan),
                content.steps if content is not None else (),
                content.done_when if content is not None else "",
                content.evidence if content is not None else "",
                static.evidence.value,
                _list_open_dependencies(one, static, states, plans.get(one.plan), reference),
                [
                    other.task
                    for other in cards
                    if other.plan == one.plan
                    and other.state is CardState.WAITING
                    and _depends_on(reference, other, one.card)
                ],
                may_work(one.role),
            )
        )
    closed_cards = [one for one in my_cards if not one.is_open]
    closed_cards.sort(key=lambda one: one.card.at or one.card.due_at, reverse=True)
    return MySiteCards(
        [one for one in my_cards if one.is_open and one.card.state is not CardState.WAITING],
        [one for one in my_cards if one.card.state is CardState.WAITING],
        [one for n, one in enumerate(closed_cards) if n < CLOSED_SHOWN or one.lacks_photo],
    )


def _find_card(reference: IndexedReference, one: SiteCard) -> Card | None:
    plan = reference.plans.get(one.plan)
    return next((c for c in plan.cards if c.id == one.card), None) if plan is not None else None


def _find_content(contents: Mapping[str, PlanContent], one: SiteCard) -> CardContent | None:
    content = contents.get(one.plan)
    return content.find_card(one.card) if content is not None else None


def _depends_on(reference: IndexedReference, one: SiteCard, card: str) -> bool:
    static = _find_card(reference, one)
    return static is not None and card in static.depends_on


def _list_open_dependencies(
    one: SiteCard,
    static: Card,
    states: Mapping[tuple[str, str], CardState],
    plan: Plan | None,
    reference: IndexedReference,
) -> list[str]:
    """List the titles of open dependencies: cards of the plan, or those of the same site."""
    if one.state is not CardState.WAITING:
        return []
    library = {c.id: c for c in reference.plans[one.plan].cards}
    of_plan = {c.id: c.state for c in plan.cards} if plan is not None else {}
    open_dependencies = []
    for other in static.depends_on:
        before = library.get(other)
        if before is None:
            continue
        state = of_plan.get(other) if before.scope is None else states.get((one.plan, other))
        if state in OPEN_CARDS:
            open_dependencies.append(before.task)
    return open_dependencies

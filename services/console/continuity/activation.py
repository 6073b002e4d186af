"""Foresee the effects of activating a plan: cards, roles, sites, messages. Rule D83."""

from collections.abc import Iterable, Mapping

from schemas import alerts as a
from schemas import reference as ref
from schemas.card_scopes import is_selected
from schemas.plans import Card, CardPhase
from schemas.words import SiteStatus
from services.console import resources as r


def foresee_activation(
    plan: ref.Plan, sites: Iterable[ref.Site], rows: Mapping[str, a.SiteRow]
) -> r.Activation:
    """Count the cards that would open now, their roles, and the sites with cards of their own.

    Cards of the return open later, and so do cards at sites that a person chooses.
    """
    opening_cards = [card for card in plan.cards if card.phase is not CardPhase.RETURN]
    places = list(sites)
    site_ids = {
        site.id
        for card in opening_cards
        for site in places
        if _opens_at(plan, card, site, rows.get(site.id))
    }
    return r.Activation(
        cards=sum(card.scope is None for card in opening_cards),
        roles=sorted({card.role for card in opening_cards}),
        sites=sorted(site_ids),
        messages=len(site_ids),
    )


def _opens_at(plan: ref.Plan, card: Card, site: ref.Site, row: a.SiteRow | None) -> bool:
    """Check whether a card would open at a site now, as the decider does."""
    scope = card.scope
    if scope is None or scope.type != "site" or scope.where == "chosen":
        return False
    if not is_selected(scope, site):
        return False
    status = SiteStatus.NORMAL if row is None else row.status
    causes = {cause.type for cause in row.causes if not cause.planned} if row is not None else set()
    if scope.statuses and status not in scope.statuses:
        return False
    if scope.causes and causes.isdisjoint(scope.causes):
        return False
    is_exposed = site.flood_exposure in plan.zone_by_threshold_m and (
        "flood_exposure" in scope.flags or bool(scope.communes)
    )
    return scope.where == "all" or is_exposed or bool(causes)

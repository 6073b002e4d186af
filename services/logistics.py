"""Rank stocks and partners for a resource request, and estimate arrivals and costs.

A library of the decider and the console. Rule D88, resource requests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import asin, ceil, cos, radians, sin, sqrt
from typing import Final, Literal, Protocol, Self, TypeVar

from schemas import reference as ref
from schemas.base import DAY_MS, MINUTE_MS, Instant
from schemas.crisis.resource_requests import RequestPriority

EARTH_KM: Final = 6371.0
DETOUR: Final = 1.3
_UNKNOWN_COST: Final = 1 << 60
Why = Literal["only", "nearest", "cheapest", "farther", "dearer", "unpriced", "late", "short"]
"""Reason for the place of a suggestion; the first is the best."""


@dataclass(frozen=True, slots=True)
class ResourceCatalogue:
    """Kinds, stocks, partners and the positions of sites; empty without `moyens.yaml`."""

    rules: ref.ResourceRules = field(default_factory=lambda: ref.ResourceRules(kinds=()))
    kinds: Mapping[str, ref.ResourceKind] = field(default_factory=dict)
    stocks: Mapping[str, ref.Stock] = field(default_factory=dict)
    partners: Mapping[str, ref.ResourcePartner] = field(default_factory=dict)
    sites: Mapping[str, ref.Site] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: ref.ResourceRules | None, sites: Mapping[str, ref.Site]) -> Self:
        """Build the index; without rules, nothing may be requested."""
        if rules is None:
            return cls(sites=sites)
        return cls(
            rules,
            {kind.id: kind for kind in rules.kinds},
            {stock.id: stock for stock in rules.stocks},
            {partner.id: partner for partner in rules.partners},
            sites,
        )

    @classmethod
    def of_sections(cls, sections: Iterable[ref.SectionData]) -> Self:
        """Build the index from the sections of a version."""
        rules: ref.ResourceRules | None = None
        sites: Mapping[str, ref.Site] = {}
        for section in sections:
            match section:
                case ref.ResourcesSection(rules=resource_rules):
                    rules = resource_rules
                case ref.Sites(sites=site_list):
                    sites = {site.id: site for site in site_list}
        return cls.of(rules, sites)

    def get_site(self, stock: str | None) -> str | None:
        """Return the site of a stock; None for a partner or a stock that is not listed."""
        listed_stock = self.stocks.get(stock or "")
        return None if listed_stock is None else listed_stock.site

    def is_consumable(self, kind: str) -> bool:
        """Return whether a kind is used up where it arrives."""
        return kind in self.kinds and self.kinds[kind].consumable


@dataclass(frozen=True, slots=True)
class Need:
    """The part of a resource request that decides which offer fits."""

    kind: str
    metier: str | None
    quantity: int
    site: str
    needed_from: Instant | None
    needed_until: Instant | None
    priority: RequestPriority


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Offer that could be made now."""

    stock: str | None
    partner: str | None
    quantity: int
    eta_at: Instant
    cost_eur: int | None
    distance_km: float | None
    late_ms: int
    """Delay after the requested time; 0: in time."""
    why: Why = "only"


class RankedOffer(Protocol):
    """The part of an offer or suggestion that its rank depends on."""

    @property
    def stock(self) -> str | None: ...
    @property
    def partner(self) -> str | None: ...
    @property
    def quantity(self) -> int: ...
    @property
    def eta_at(self) -> Instant: ...
    @property
    def cost_eur(self) -> int | None: ...


_Offer = TypeVar("_Offer", bound=RankedOffer)


def measure_distance_km(start: ref.Site, end: ref.Site) -> float:
    """Return the length of the way between two sites, with the detour."""
    lat, lon = radians(end.lat - start.lat), radians(end.lon - start.lon)
    chord = sin(lat / 2) ** 2 + cos(radians(start.lat)) * cos(radians(end.lat)) * sin(lon / 2) ** 2
    return DETOUR * 2 * EARTH_KM * asin(sqrt(chord))


def estimate_stock_offer(
    catalogue: ResourceCatalogue, stock: ref.Stock, need: Need, quantity: int, now: Instant
) -> Suggestion:
    """Estimate arrival and cost of a quantity from a stock."""
    start, end = catalogue.sites.get(stock.site), catalogue.sites.get(need.site)
    km = measure_distance_km(start, end) if start is not None and end is not None else None
    travel_min = ceil((km or 0) / catalogue.rules.speed_kmh * 60)
    eta = now + (stock.ready_min + travel_min) * MINUTE_MS
    cost = _compute_cost(catalogue, need, stock.unit_cost_eur, quantity, eta)
    distance_km = None if km is None else round(km, 1)
    return Suggestion(stock.id, None, quantity, eta, cost, distance_km, _measure_delay(need, eta))


def estimate_partner_offer(
    catalogue: ResourceCatalogue,
    partner: ref.ResourcePartner,
    need: Need,
    quantity: int,
    now: Instant,
) -> Suggestion:
    """Estimate arrival and cost of a quantity from a partner."""
    eta = now + partner.ready_min * MINUTE_MS
    cost = (
        None
        if partner.unit_cost_eur is None
        else _compute_cost(catalogue, need, partner.unit_cost_eur, quantity, eta)
    )
    return Suggestion(None, partner.id, quantity, eta, cost, None, _measure_delay(need, eta))


def _compute_cost(
    catalogue: ResourceCatalogue, need: Need, unit_eur: float, quantity: int, eta: Instant
) -> int:
    """Return the cost in euros: per unit if it is used up, else per unit and begun day."""
    if catalogue.is_consumable(need.kind) or need.needed_until is None:
        return ceil(round(unit_eur * quantity, 2))
    start = eta if need.needed_from is None else max(eta, need.needed_from)
    days = max(ceil((need.needed_until - start) / DAY_MS), 1)
    return ceil(round(unit_eur * quantity * days, 2))


def _measure_delay(need: Need, eta: Instant) -> int:
    return 0 if need.needed_from is None else max(eta - need.needed_from, 0)


def rank_offers(need: Need, offers: Iterable[_Offer]) -> list[_Offer]:
    """Return the offers, best first.

    For life, the earliest arrival comes first, then the lower cost. For the rest, an arrival in
    time comes first, then the lower cost, then the earlier arrival.
    """
    return sorted(offers, key=lambda offer: _build_rank(need, offer))


def _build_rank(need: Need, offer: RankedOffer) -> tuple[int | str, ...]:
    cost = _UNKNOWN_COST if offer.cost_eur is None else offer.cost_eur
    short, name = max(need.quantity - offer.quantity, 0), offer.stock or offer.partner or ""
    if need.priority is RequestPriority.LIFE:
        return (offer.eta_at, short, cost, name)
    late = _measure_delay(need, offer.eta_at)
    return (int(short > 0), late, cost, offer.eta_at, short, name)


def rank_suggestions(
    catalogue: ResourceCatalogue, need: Need, available: Mapping[str, int], now: Instant
) -> list[Suggestion]:
    """Return all stocks and partners that could offer now, best first, each with its reason.

    `available` maps each stock to the quantity that nobody has reserved.
    """
    offers = [
        estimate_stock_offer(catalogue, stock, need, min(free, need.quantity), now)
        for stock in catalogue.stocks.values()
        if (stock.kind, stock.metier) == (need.kind, need.metier)
        and (free := available.get(stock.id, stock.quantity)) > 0
    ]
    offers += [
        estimate_partner_offer(catalogue, partner, need, need.quantity, now)
        for partner in catalogue.partners.values()
        if need.kind in partner.kinds
    ]
    ranked_offers = rank_offers(need, offers)
    return [
        replace(one, why=_explain_rank(need, one, n, len(ranked_offers)))
        for n, one in enumerate(ranked_offers)
    ]


def _explain_rank(need: Need, one: Suggestion, rank: int, count: int) -> Why:
    if one.quantity < need.quantity:
        return "short"
    if one.late_ms:
        return "late"
    if count == 1:
        return "only"
    if need.priority is RequestPriority.LIFE:
        return "nearest" if rank == 0 else "farther"
    if one.cost_eur is None:
        return "unpriced"
    return "cheapest" if rank == 0 else "dearer"

"""Turn rows of resource requests and stocks into resources. Pure."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from schemas import reference as ref
from schemas.base import MINUTE_MS, Instant
from schemas.crisis.resource_requests import OfferRow, ResourceRequestRow, StockRow
from services.console.i18n import N_, Translator, get_translator
from services.console.logistics.resources import (
    ResourceOffer,
    ResourceRequest,
    ResourceSuggestion,
    StockLevel,
)
from services.console.read_model.reference_index import IndexedReference
from services.console.resource_base import to_optional_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.logistics import Need, Suggestion, rank_suggestions

SUGGESTIONS_SHOWN: Final = 5
WHY: Final = {
    "only": N_("seul moyen disponible"),
    "nearest": N_("le plus tôt sur place"),
    "cheapest": N_("à temps, le moins cher"),
    "farther": N_("plus tard sur place"),
    "dearer": N_("à temps, plus cher"),
    "unpriced": N_("à temps, coût à demander"),
    "late": N_("en retard de {delay}"),
    "short": N_("{quantity} sur {needed} seulement"),
}
"""Reason of a suggestion → its words."""


def name_resource(names: TerritoryNames, row: ResourceRequestRow, lang: str) -> str:
    """Return quantity and kind: « 2 groupes électrogènes », « 3 agents (chauffeur) »."""
    text = names.resource(row.kind, row.quantity, lang)
    quantity_text = f"{w.format_number(row.quantity, lang)} {text}"
    return (
        quantity_text
        if row.metier is None
        else f"{quantity_text} ({names.metier(row.metier, lang)})"
    )


def build_need(row: ResourceRequestRow) -> Need:
    return Need(
        row.kind,
        row.metier,
        row.quantity,
        row.site,
        row.needed_from,
        row.needed_until,
        row.priority,
    )


def build_request(
    realm: str, row: ResourceRequestRow, names: TerritoryNames, lang: str, text: str | None = None
) -> ResourceRequest:
    """Build a request; `text` holds its words if the reader may read them."""
    costs = [offer.cost_eur for offer in row.committed_offers]
    stated_costs = [cost for cost in costs if cost is not None]
    return ResourceRequest.from_row(
        row,
        realm=realm,
        title=name_resource(names, row, lang),
        site_name=names.site(row.site),
        start=to_optional_datetime(row.needed_from),
        until=to_optional_datetime(row.needed_until),
        text=text,
        offers=[_build_offer(row, offer, names) for offer in row.offers],
        cost_eur=sum(stated_costs) if stated_costs and len(stated_costs) == len(costs) else None,
    )


def _build_offer(row: ResourceRequestRow, offer: OfferRow, names: TerritoryNames) -> ResourceOffer:
    return ResourceOffer.from_row(
        offer,
        name=names.giver(offer.stock, offer.partner),
        late_min=_count_minutes(offer.eta_at - (row.needed_from or offer.eta_at)),
    )


def suggest_offers(
    reference: IndexedReference,
    row: ResourceRequestRow,
    levels: Mapping[str, StockRow],
    barred_sites: Collection[str],
    now: Instant,
    lang: str,
) -> list[ResourceSuggestion]:
    """Return the best offers that could be made now, each with its reason.

    Nothing leaves a site that people had to leave, or where they shelter.
    """
    need, _ = build_need(row), get_translator(lang)
    available = {id: level.available for id, level in levels.items()}
    stocks = reference.resources.stocks.values()
    available |= {stock.id: 0 for stock in stocks if stock.site in barred_sites}
    suggestions = rank_suggestions(reference.resources, need, available, now)
    return [
        ResourceSuggestion.from_row(
            one,
            name=reference.names.giver(one.stock, one.partner),
            late_min=_count_minutes(one.late_ms),
            text=_explain(need, one, _),
        )
        for one in suggestions[:SUGGESTIONS_SHOWN]
    ]


def _explain(need: Need, one: Suggestion, _: Translator) -> str:
    late = _count_minutes(one.late_ms)
    return _(
        WHY[one.why],
        delay=times.format_duration(timedelta(minutes=late), _.lang),
        quantity=one.quantity,
        needed=need.quantity,
    )


def build_stock(
    realm: str, stock: ref.Stock, row: StockRow | None, names: TerritoryNames, lang: str
) -> StockLevel:
    """Build the level of a stock; one without a row is whole."""
    return StockLevel.from_row(
        stock,
        realm=realm,
        kind_name=names.resource(stock.kind, 2, lang),
        site_name=names.site(stock.site),
        quantity=row.quantity if row else stock.quantity,
        reserved=row.reserved if row else 0,
        engaged=row.engaged if row else 0,
        available=row.available if row else stock.quantity,
        counted_at=to_optional_datetime(row.counted_at) if row else None,
        counted_by=row.counted_by if row else None,
    )


def _count_minutes(ms: int) -> int:
    return max(-(-ms // MINUTE_MS), 0)

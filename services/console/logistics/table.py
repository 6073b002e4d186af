"""Columns of resource requests and of stocks as CSV, without the words of requests."""

from __future__ import annotations

from schemas.crisis.resource_requests import OfferState
from services.console.exports.tables import Column, Columns
from services.console.i18n import N_, Translator
from services.console.resources import ResourceRequest, StockLevel
from services.console.texts import words as w


def list_request_columns(_: Translator) -> Columns[ResourceRequest]:
    """Return the columns of the table of resource requests."""
    return (
        Column(N_("N°"), lambda r: r.number),
        Column(N_("Moyen"), lambda r: r.title),
        Column(N_("Quantité"), lambda r: r.quantity),
        Column(N_("Priorité"), lambda r: w.translate_code(w.REQUEST_PRIORITY, r.priority, _)),
        Column(N_("État"), lambda r: w.translate_code(w.REQUEST_STATE, r.state, _)),
        Column(N_("Site"), lambda r: r.site_name),
        Column(N_("Code du site"), lambda r: r.site),
        Column(N_("Incident"), lambda r: r.incident),
        Column(N_("À partir de (Paris)"), lambda r: r.start),
        Column(N_("Jusqu’à (Paris)"), lambda r: r.until),
        Column(N_("Demandé à (Paris)"), lambda r: r.requested_at),
        Column(N_("Promis"), lambda r: r.committed),
        Column(N_("Promis par"), list_givers),
        Column(N_("Promis à (Paris)"), lambda r: r.committed_at),
        Column(N_("Arrivée annoncée (Paris)"), lambda r: r.eta_at),
        Column(N_("Parti à (Paris)"), lambda r: r.departed_at),
        Column(N_("Sur place à (Paris)"), lambda r: r.arrived_at),
        Column(N_("Terminé à (Paris)"), lambda r: r.ended_at),
        Column(N_("Coût (€)"), lambda r: r.cost_eur),
        Column(N_("En retard depuis (Paris)"), lambda r: r.late_at),
        Column(N_("Non satisfait depuis (Paris)"), lambda r: r.unfilled_at),
        Column(N_("Identifiant"), lambda r: r.id),
    )


def list_givers(request: ResourceRequest) -> list[str]:
    """Return the names of the stocks and partners that gave their promise."""
    return [offer.name for offer in request.offers if offer.state is OfferState.COMMITTED]


def list_stock_columns(_: Translator) -> Columns[StockLevel]:
    """Return the columns of the table of stocks."""
    return (
        Column(N_("Moyen"), lambda s: s.name),
        Column(N_("Nature"), lambda s: s.kind_name),
        Column(N_("Lieu"), lambda s: s.site_name),
        Column(N_("Code du site"), lambda s: s.site),
        Column(N_("Libre"), lambda s: s.available),
        Column(N_("Réservé"), lambda s: s.reserved),
        Column(N_("Engagé"), lambda s: s.engaged),
        Column(N_("En tout"), lambda s: s.quantity),
        Column(N_("Coût unitaire (€)"), lambda s: s.unit_cost_eur),
        Column(N_("Compté à (Paris)"), lambda s: s.counted_at),
        Column(N_("Identifiant"), lambda s: s.id),
    )

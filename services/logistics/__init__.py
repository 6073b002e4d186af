"""Rank stocks and partners for a resource request, and estimate arrivals and costs.

A library of the decider and the console. Rule D88, resource requests.
"""

from services.logistics.ranking import (
    Need,
    ResourceCatalogue,
    Suggestion,
    estimate_partner_offer,
    estimate_stock_offer,
    rank_offers,
    rank_suggestions,
)

__all__ = [
    "Need",
    "ResourceCatalogue",
    "Suggestion",
    "estimate_partner_offer",
    "estimate_stock_offer",
    "rank_offers",
    "rank_suggestions",
]

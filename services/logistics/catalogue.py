"""Index the kinds, stocks and partners of one reference version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from schemas import reference as ref


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
                case ref.Sites(sites=listed):
                    sites = {site.id: site for site in listed}
        return cls.of(rules, sites)

    def is_consumable(self, kind: str) -> bool:
        """Return whether a kind is used up where it arrives."""
        return kind in self.kinds and self.kinds[kind].consumable

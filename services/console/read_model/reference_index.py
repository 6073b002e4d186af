"""Index the reference data in force for joins, one value per version."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from schemas import reference as ref
from schemas.card_scopes import list_selected_sites
from services.console.texts.names import TerritoryNames
from services.console.texts.world import FORMER_KIND
from services.logistics import ResourceCatalogue
from services.messages import MessageNames
from services.messages.names import shorten_name

_SECTION: TypeAdapter[ref.SectionData] = TypeAdapter(ref.SectionData)


@dataclass(frozen=True, slots=True)
class IndexedReference:
    """Sections of one version; empty maps for sections that are not published."""

    version: str | None = None
    names: TerritoryNames = field(default_factory=TerritoryNames)
    sections: tuple[ref.SectionData, ...] = ()
    message_names: MessageNames = field(default_factory=MessageNames)
    """Names as messages write them."""
    resources: ResourceCatalogue = field(default_factory=ResourceCatalogue)
    """Kinds, stocks and partners for resource requests."""
    card_sites: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(plan, card) → sites that the fixed part of its scope selects, for cards of sites."""
    former_sites: Mapping[str, ref.Site] = field(default_factory=dict)
    """Sites of earlier versions that this one does not have, as far as they are known."""

    @property
    def sites(self) -> Mapping[str, ref.Site]:
        return self.names.sites

    def find_site(self, id: str) -> ref.Site | None:
        """Return a site of this version, or one that left."""
        return self.sites.get(id) or self.former_sites.get(id)

    @property
    def communes(self) -> Mapping[str, ref.Commune]:
        return self.names.communes

    @property
    def poles(self) -> Mapping[str, ref.Pole]:
        return self.names.poles

    @property
    def activities(self) -> Mapping[str, ref.Activity]:
        return self.names.activities

    @property
    def plans(self) -> Mapping[str, ref.Plan]:
        return self.names.plans

    @property
    def policy(self) -> ref.Escalation | None:
        sections = (s for s in self.sections if isinstance(s, ref.EscalationPolicy))
        return next((section.policy for section in sections), None)

    @property
    def roster(self) -> ref.Roster | None:
        sections = (s for s in self.sections if isinstance(s, ref.RosterSection))
        return next((section.roster for section in sections), None)

    def with_former_sites(self, sites: Mapping[str, tuple[str, str]]) -> "IndexedReference":
        """Return this version with the name and commune of sites that earlier versions had."""
        former_sites = {id: name for id, name in sites.items() if id not in self.sites}
        if not former_sites:
            return self
        messages = self.message_names
        former_names = {id: (shorten_name(n), commune) for id, (n, commune) in former_sites.items()}
        names = replace(self.names, former_sites=former_sites)
        return replace(
            self,
            names=names,
            former_sites={id: _build_former_site(id, names) for id in former_sites},
            message_names=replace(messages, sites={**former_names, **messages.sites}),
        )

    def find_level_rule(self, level: int) -> ref.LevelRule | None:
        """Return the territory's rule of a level."""
        rules = self.policy.levels if self.policy is not None else ()
        return next((rule for rule in rules if rule.level == level), None)

    @classmethod
    def of(cls, version: str | None, contents: Mapping[str, Any]) -> "IndexedReference":
        """Build the index from section name → published JSON, in any order."""
        sections = tuple(
            sorted(
                map(_SECTION.validate_python, contents.values()),
                key=lambda one: ref.PUBLISHING_ORDER.index(one.section),
            )
        )
        return cls.of_sections(version, sections)

    @classmethod
    def of_sections(
        cls, version: str | None, sections: tuple[ref.SectionData, ...]
    ) -> "IndexedReference":
        """Build the index from sections in publishing order."""
        names = TerritoryNames.of(sections)
        return cls(
            version,
            names,
            sections,
            MessageNames.of(sections),
            ResourceCatalogue.of_sections(sections),
            _select_card_sites(names),
        )


def _build_former_site(id: str, names: TerritoryNames) -> ref.Site:
    """Build the record of a site that left: its name and the centre of its commune are known."""
    commune_name = names.commune_of(id) or ""
    communes = list(names.communes.values())
    here = next((one for one in communes if one.name == commune_name), None)
    centre = here or next(iter(communes), None)
    return ref.Site(
        id=id,
        name=names.site(id),
        kind=FORMER_KIND,
        commune=here.insee if here is not None else "",
        commune_name=commune_name,
        lat=centre.lat if centre is not None else 0.0,
        lon=centre.lon if centre is not None else 0.0,
        position="approximate",
        pole="multi",
        staff=0,
        desks=0,
        public_capacity=0,
        flood_exposure="non",
        generator=False,
        kitchen=None,
        name_is="fact",
    )


def _select_card_sites(names: TerritoryNames) -> dict[tuple[str, str], tuple[str, ...]]:
    card_sites = {}
    for plan in names.plans.values():
        for card in plan.cards:
            if card.scope is not None and card.scope.type == "site":
                selected_sites = list_selected_sites(card.scope, names.sites.values())
                card_sites[plan.id, card.id] = tuple(site.id for site in selected_sites)
    return card_sites


NO_REFERENCE = IndexedReference()

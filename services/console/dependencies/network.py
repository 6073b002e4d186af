"""Index the resources that activities need, and earlier failures. Rule D130. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas import reference as ref
from services.oncall.schedule import OnCallPair, ScopedRole

MEALS_ACTIVITY: Final = "EDU-01"
"""Activity that depends on kitchens. Rules D13, D40."""
ON_SITE_KITCHEN: Final = "sur-place"
"""Kitchen of a site for itself: lost with the site, no resource of its own."""
FULL_PCT: Final = 100.0
NOBODY: Final = OnCallPair(None, None)


class ResourceKind(StrEnum):
    SYSTEM = "system"
    SUPPLIER = "supplier"
    KITCHEN = "kitchen"
    LINE = "line"
    SITE_KIND = "kind"
    SITE = "site"
    PERSON = "person"


KIND_ORDER: Final = tuple(ResourceKind)


@dataclass(frozen=True, slots=True, order=True)
class LostResource:
    """One resource that may be lost; its text is `system:ad`."""

    kind: ResourceKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "LostResource | None":
        """Return the resource of a text; None if it names no kind of resource."""
        kind, _sign, id = text.partition(":")
        return cls(ResourceKind(kind), id) if kind in set(ResourceKind) and id else None


@dataclass(frozen=True, slots=True)
class WeightedSites:
    """Sites of one kind that count for an activity, with their weights. Rule D40."""

    kind: str
    weights: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.weights.values())


@dataclass(frozen=True, slots=True)
class PresentState:
    """Facts of the current crisis before a further loss."""

    sites: Mapping[str, float] = field(default_factory=dict)
    """Site → capacity in percent; a site that is not named works."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """`system:…`, `supplier:…`, `kitchen:…` → share in percent that it still gives."""
    stopped_activities: frozenset[str] = frozenset()
    """Activities that are interrupted already."""
    plans: frozenset[str] = frozenset()
    """Plans that are proposed or in effect already."""
    on_call: Mapping[ScopedRole, OnCallPair] = field(default_factory=dict)
    """Role in its scope → its holder and deputy now."""
    lines: frozenset[str] = frozenset()
    """Transport lines that do not run now."""


NOTHING_LOST: Final = PresentState()


@dataclass(frozen=True, slots=True)
class DependencyNetwork:
    """Activities, sites, kitchens and plans of one reference version, indexed by resource."""

    activities: Mapping[str, ref.Activity]
    sites: Mapping[str, ref.Site]
    plans: Mapping[str, ref.Plan]
    groups: Mapping[str, tuple[WeightedSites, ...]]
    """Activity → its sites by kind, without places that it only serves."""
    kitchens: Mapping[str, tuple[str, ...]]
    """Kitchen → sites that it feeds."""
    users: Mapping[str, tuple[str, ...]]
    """Resource as text → activities that need it, by id."""
    closing_is_work: frozenset[str]
    """Activities that lose nothing by a closure."""
    lines: Mapping[str, ref.TransportLine] = field(default_factory=dict)
    """Transport lines by id; empty if no file ties them to communes."""
    agents: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Site → activity → its agents there."""
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Commune → its sites."""

    @classmethod
    def of(cls, sections: Iterable[ref.SectionData]) -> "DependencyNetwork":
        """Index the sections of a reference version; any may be missing."""
        activities: dict[str, ref.Activity] = {}
        sites: dict[str, ref.Site] = {}
        plans: dict[str, ref.Plan] = {}
        served_places: Mapping[str, tuple[str, ...]] = {}
        closing: tuple[str, ...] = ()
        lines: dict[str, ref.TransportLine] = {}
        agents: dict[str, dict[str, int]] = {}
        for section in sections:
            match section:
                case ref.Activities():
                    activities = {a.id: a for a in sorted(section.activities, key=lambda a: a.id)}
                case ref.Sites():
                    sites = {site.id: site for site in section.sites}
                case ref.Plans():
                    plans = {plan.id: plan for plan in section.plans}
                case ref.EscalationPolicy(policy=policy):
                    served_places, closing = policy.served_places, policy.closure_without_loss
                case ref.TransportLines():
                    lines = {line.id: line for line in section.lines}
                case ref.Staffing():
                    agents = _count_agents(section.cells)
        kitchens = _index_kitchens(sites.values())
        groups = {
            id: tuple(_iterate_groups(activity, sites.values(), served_places.get(id, ())))
            for id, activity in activities.items()
        }
        users = _index_users(activities.values(), groups, kitchens, frozenset(closing))
        return cls(
            activities,
            sites,
            plans,
            groups,
            kitchens,
            users,
            frozenset(closing),
            lines,
            agents,
            _index_places(sites.values()),
        )

    def list_sites_of_kind(self, kind: str) -> list[str]:
        return [site.id for site in self.sites.values() if site.kind == kind]

    def list_resources(self) -> tuple[LostResource, ...]:
        """Return every resource that an activity needs, and transport lines; people come apart."""
        resources = [one for text in self.users if (one := LostResource.parse(text)) is not None]
        resources += [LostResource(ResourceKind.LINE, line) for line in self.lines]
        return tuple(sorted(resources, key=lambda one: (KIND_ORDER.index(one.kind), one.id)))

    def knows(self, resource: LostResource) -> bool:
        """Return whether the reference data name the resource; people come apart."""
        match resource.kind:
            case ResourceKind.SITE:
                return resource.id in self.sites
            case ResourceKind.LINE:
                return resource.id in self.lines
            case _:
                return str(resource) in self.users


def _index_kitchens(sites: Iterable[ref.Site]) -> dict[str, tuple[str, ...]]:
    """Return the kitchens that feed several sites."""
    fed: dict[str, list[str]] = {}
    for site in sites:
        if site.kitchen is not None:
            fed.setdefault(site.kitchen, []).append(site.id)
    return {kitchen: tuple(ids) for kitchen, ids in fed.items() if kitchen != ON_SITE_KITCHEN}


def _count_agents(cells: Iterable[ref.StaffCell]) -> dict[str, dict[str, int]]:
    """Return the agents of each site by activity."""
    agents: dict[str, dict[str, int]] = {}
    for cell in cells:
        if cell.staff:
            by_activity = agents.setdefault(cell.site, {})
            by_activity[cell.activity] = by_activity.get(cell.activity, 0) + cell.staff
    return agents


def _index_places(sites: Iterable[ref.Site]) -> dict[str, tuple[str, ...]]:
    """Return the sites of each commune."""
    places: dict[str, list[str]] = {}
    for site in sites:
        places.setdefault(site.commune, []).append(site.id)
    return {insee: tuple(ids) for insee, ids in places.items()}


def _iterate_groups(
    activity: ref.Activity, sites: Collection[ref.Site], served_kinds: Collection[str]
) -> Iterator[WeightedSites]:
    for kind in activity.site_kinds:
        weights = {
            site.id: max(site.staff, 1)
            for site in sites
            if site.kind == kind and (activity.id != MEALS_ACTIVITY or site.kitchen is not None)
        }
        if weights and kind not in served_kinds:
            yield WeightedSites(kind, weights)


def _index_users(
    activities: Iterable[ref.Activity],
    groups: Mapping[str, tuple[WeightedSites, ...]],
    kitchens: Mapping[str, tuple[str, ...]],
    closing_is_work: frozenset[str],
) -> dict[str, tuple[str, ...]]:
    users: dict[str, dict[str, None]] = {}

    def add(kind: ResourceKind, id: str, activity: str) -> None:
        users.setdefault(f"{kind}:{id}", {})[activity] = None

    for activity in activities:
        for system in activity.systems:
            add(ResourceKind.SYSTEM, system, activity.id)
        for supplier in activity.suppliers:
            add(ResourceKind.SUPPLIER, supplier, activity.id)
        if activity.id == MEALS_ACTIVITY:
            for kitchen in kitchens:
                add(ResourceKind.KITCHEN, kitchen, activity.id)
        if activity.id in closing_is_work:
            continue
        for group in groups[activity.id]:
            add(ResourceKind.SITE_KIND, group.kind, activity.id)
            for site in group.weights:
                add(ResourceKind.SITE, site, activity.id)
    return {resource: tuple(ids) for resource, ids in users.items()}

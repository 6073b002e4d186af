"""Plans of pôles that count on the same fallback sites, shown before one is activated. Rule D51.

A plan counts on the kinds of site that SR-SITE names for the affected activities of its pôle. Two
plans collide over a kind if its available sites have fewer free places than both need, or if
strategies of the other plan's pôle hold one already. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas import reference as ref
from schemas.crisis.area_orders import AreaOrderRow, list_barred_sites
from schemas.words import ACTIVE_PLAN_STATES, ActivityState, IncidentState, PlanState, SiteStatus
from services.console.read_model.reference_index import IndexedReference
from services.console.texts.names import SITE_STRATEGY

FLOOD_KIND: Final = "flood"
NO_FLOOD_EXPOSURE: Final = "non"
COUNTED_STATES: Final = ACTIVE_PLAN_STATES | {PlanState.PROPOSED, PlanState.POSTPONED}
ACTIVATABLE_STATES: Final = (
    frozenset(PlanState)
    - ACTIVE_PLAN_STATES
    - {PlanState.DRAFT, PlanState.IN_REVIEW, PlanState.ARCHIVED}
)
"""States in which a person may put a plan into effect."""
_CLOSED_STATES: Final = (
    SiteStatus.CLOSED,
    SiteStatus.EVACUATED,
    SiteStatus.SHELTERING,
    SiteStatus.UNKNOWN,
)
_ENDED_LINES: Final = (g.LineState.RELEASED, g.LineState.VOID, g.LineState.REFUSED)
_ENDED_INCIDENTS: Final = (IncidentState.CLOSED, IncidentState.MERGED)


@dataclass(frozen=True, slots=True)
class RealmRows:
    """Rows of one realm, by id."""

    sites: Mapping[str, a.SiteRow] = field(default_factory=dict)
    incidents: Mapping[str, a.IncidentRow] = field(default_factory=dict)
    activities: Mapping[str, c.ActivityRow] = field(default_factory=dict)
    plans: Mapping[str, c.PlanRow] = field(default_factory=dict)
    strategies: Mapping[str, c.StrategyRow] = field(default_factory=dict)
    reassignments: Mapping[str, g.ReassignmentRow] = field(default_factory=dict)
    area_orders: Mapping[str, AreaOrderRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanCollision:
    """Two plans that count on sites of the same kind.

    A person may put `plan` into effect; `other` is proposed or in effect.
    """

    plan: str
    other: str
    kind: str
    activities: tuple[str, ...]
    """Activities of both plans."""
    needed: int
    """Places that these activities need at least."""
    free: int
    sound: int
    """Number of sites of this kind that may take people in."""
    held: tuple[str, ...]
    """Sites of this kind that strategies of the other plan's pôle hold."""


def find_collisions(reference: IndexedReference, now: RealmRows) -> list[PlanCollision]:
    """List the collisions, ordered by plan, other plan and kind."""
    states = {id: _get_plan_state(now, id) for id, plan in reference.plans.items() if plan.pole}
    wants = {
        id: _group_activities_by_kind(reference, now, reference.plans[id].pole)
        for id, state in states.items()
        if state in COUNTED_STATES | ACTIVATABLE_STATES
    }
    places = FreePlaces(reference, now)
    collisions = []
    for plan in (id for id in sorted(wants) if states[id] in ACTIVATABLE_STATES):
        for other in (id for id in sorted(wants) if id != plan and states[id] in COUNTED_STATES):
            for kind, mine in sorted(wants[plan].items()):
                theirs, occupants = (
                    wants[other].get(kind, []),
                    places.list_used_sites(kind, reference.plans[other].pole),
                )
                needed_places = sum(x.minimum_staff for x in (*mine, *theirs))
                if occupants or (theirs and needed_places > places.free(kind)):
                    ids = tuple(sorted(x.id for x in (*mine, *theirs)))
                    collisions.append(
                        PlanCollision(
                            plan,
                            other,
                            kind,
                            ids,
                            needed_places,
                            places.free(kind),
                            places.sound(kind),
                            occupants,
                        )
                    )
    return collisions


def _get_plan_state(now: RealmRows, plan: str) -> PlanState:
    row = now.plans.get(plan)
    return row.state if row is not None else PlanState.VALID


def _group_activities_by_kind(
    reference: IndexedReference, now: RealmRows, pole: str | None
) -> dict[str, list[ref.Activity]]:
    """Return kind of site → affected activities of the pôle that still need such a site.

    Only the kinds that their SR-SITE strategies name count; free text names no kind.
    """
    kinds, activities_by_kind = (
        {site.kind for site in reference.sites.values()},
        dict[str, list[ref.Activity]](),
    )
    for activity in reference.activities.values():
        row = now.activities.get(activity.id)
        if (
            activity.pole != pole
            or row is None
            or row.state is ActivityState.NOMINAL
            or _has_fallback_site(now, activity)
        ):
            continue
        strategy_kinds = {
            kind.strip()
            for s in activity.strategies
            if s.startswith(f"{SITE_STRATEGY}:")
            for kind in s.partition(":")[2].split("|")
        }
        for kind in strategy_kinds & kinds:
            activities_by_kind.setdefault(kind, []).append(activity)
    return activities_by_kind


def _has_fallback_site(now: RealmRows, activity: ref.Activity) -> bool:
    """Return True if the activity already has its fallback site."""
    return any(
        s.activity == activity.id and s.site is not None for s in _list_active_strategies(now)
    )


def _list_active_strategies(now: RealmRows) -> Iterable[c.StrategyRow]:
    return (s for s in now.strategies.values() if s.state == "active")


class FreePlaces:
    """Free places at available sites.

    Desks of their own staff, of strategies and of approved reassignments are taken.
    """

    def __init__(self, reference: IndexedReference, now: RealmRows) -> None:
        self._reference, self._now = reference, now
        flood = any(
            i.kind == FLOOD_KIND and i.state not in _ENDED_INCIDENTS for i in now.incidents.values()
        )
        barred_sites = list_barred_sites(now.area_orders.values())
        self._sound = [
            s
            for s in reference.sites.values()
            if self._is_sound(s)
            and s.id not in barred_sites
            and not (flood and s.flood_exposure != NO_FLOOD_EXPOSURE)
        ]
        staffing = next((s for s in reference.sections if isinstance(s, ref.Staffing)), None)
        needs_desk = (
            {rule.activity for rule in staffing.rules if rule.needs_desk} if staffing else set()
        )
        places_in_use: dict[str, int] = {}
        for cell in staffing.cells if staffing else ():
            if cell.activity in needs_desk:
                places_in_use[cell.site] = places_in_use.get(cell.site, 0) + cell.staff
        for s in _list_active_strategies(now):
            if s.site is not None:
                places_in_use[s.site] = places_in_use.get(s.site, 0) + (s.desks or 0)
        for line in now.reassignments.values():
            if line.state not in _ENDED_LINES and line.place != line.site:
                places_in_use[line.place] = places_in_use.get(line.place, 0) + line.count
        self._taken = places_in_use

    def _is_sound(self, site: ref.Site) -> bool:
        row = self._now.sites.get(site.id)
        return row is None or row.status not in _CLOSED_STATES

    def sound(self, kind: str) -> int:
        return sum(s.kind == kind for s in self._sound)

    def free(self, kind: str) -> int:
        return sum(self.count_by_site(kind).values())

    def count_by_site(self, kind: str) -> dict[str, int]:
        """Return site of this kind → its free places; 0 for one that may take nobody in."""
        sound = {site.id for site in self._sound}
        return {
            site.id: max(0, site.places - self._taken.get(site.id, 0)) if site.id in sound else 0
            for site in self._reference.sites.values()
            if site.kind == kind
        }

    def list_used_sites(self, kind: str, pole: str | None) -> tuple[str, ...]:
        sites, activities = self._reference.sites, self._reference.activities
        mine = (
            s.site
            for s in _list_active_strategies(self._now)
            if s.site is not None
            and s.activity in activities
            and activities[s.activity].pole == pole
        )
        return tuple(sorted({id for id in mine if id in sites and sites[id].kind == kind}))

"""Plans of pôles that count on the same fallback sites, shown before one is activated. Rule D51.

A plan counts on the kinds of site that SR-SITE names for the affected activities of its pôle. Two
plans collide over a kind if its available sites have fewer free places than both need, or if
strategies of the other plan's pôle hold one already. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas import reference as ref
from schemas.words import ACTIVATED, ActivityState, IncidentState, PlanState, SiteStatus
from services.console.read_model.reference_index import Reference
from services.console.texts.strategies import SITE

FLOOD: Final = "flood"
NOT_EXPOSED: Final = "non"
COUNTS: Final = ACTIVATED | {PlanState.PROPOSED, PlanState.POSTPONED}
MAY_BEGIN: Final = (
    frozenset(PlanState) - ACTIVATED - {PlanState.DRAFT, PlanState.IN_REVIEW, PlanState.ARCHIVED}
)
"""States in which a person may put a plan into effect."""
_OUT: Final = (SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING, SiteStatus.UNKNOWN)
_GONE: Final = (g.LineState.RELEASED, g.LineState.VOID)
_OVER: Final = (IncidentState.CLOSED, IncidentState.MERGED)


@dataclass(frozen=True, slots=True)
class Situation:
    """Rows of one realm, by id."""

    sites: Mapping[str, a.SiteRow] = field(default_factory=dict)
    incidents: Mapping[str, a.IncidentRow] = field(default_factory=dict)
    activities: Mapping[str, c.ActivityRow] = field(default_factory=dict)
    plans: Mapping[str, c.PlanRow] = field(default_factory=dict)
    strategies: Mapping[str, c.StrategyRow] = field(default_factory=dict)
    moved: Mapping[str, g.ReassignmentRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collision:
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


def collisions(reference: Reference, now: Situation) -> list[Collision]:
    """List the collisions, ordered by plan, other plan and kind."""
    states = {id: _state(now, id) for id, plan in reference.plans.items() if plan.pole}
    wants = {
        id: _wants(reference, now, reference.plans[id].pole)
        for id, state in states.items()
        if state in COUNTS | MAY_BEGIN
    }
    places = _Places(reference, now)
    found = []
    for plan in (id for id in sorted(wants) if states[id] in MAY_BEGIN):
        for other in (id for id in sorted(wants) if id != plan and states[id] in COUNTS):
            for kind, mine in sorted(wants[plan].items()):
                theirs, held = (
                    wants[other].get(kind, []),
                    places.held(kind, reference.plans[other].pole),
                )
                needed = sum(x.minimum_staff for x in (*mine, *theirs))
                if held or (theirs and needed > places.free(kind)):
                    ids = tuple(sorted(x.id for x in (*mine, *theirs)))
                    found.append(
                        Collision(
                            plan,
                            other,
                            kind,
                            ids,
                            needed,
                            places.free(kind),
                            places.sound(kind),
                            held,
                        )
                    )
    return found


def _state(now: Situation, plan: str) -> PlanState:
    row = now.plans.get(plan)
    return row.state if row is not None else PlanState.VALID


def _wants(reference: Reference, now: Situation, pole: str | None) -> dict[str, list[ref.Activity]]:
    """Return kind of site → affected activities of the pôle that still need such a site.

    Only the kinds that their SR-SITE strategies name count; free text names no kind.
    """
    kinds, found = {site.kind for site in reference.sites.values()}, dict[str, list[ref.Activity]]()
    for activity in reference.activities.values():
        row = now.activities.get(activity.id)
        if (
            activity.pole != pole
            or row is None
            or row.state is ActivityState.NOMINAL
            or _has_site(now, activity)
        ):
            continue
        named = {
            kind.strip()
            for s in activity.strategies
            if s.startswith(f"{SITE}:")
            for kind in s.partition(":")[2].split("|")
        }
        for kind in named & kinds:
            found.setdefault(kind, []).append(activity)
    return found


def _has_site(now: Situation, activity: ref.Activity) -> bool:
    """Return True if the activity already has its fallback site."""
    return any(s.activity == activity.id and s.site is not None for s in _active(now))


def _active(now: Situation) -> Iterable[c.StrategyRow]:
    return (s for s in now.strategies.values() if s.state == "active")


class _Places:
    """Free places at available sites.

    Desks of their own staff, of strategies and of approved reassignments are taken.
    """

    def __init__(self, reference: Reference, now: Situation) -> None:
        self._reference, self._now = reference, now
        flood = any(i.kind == FLOOD and i.state not in _OVER for i in now.incidents.values())
        self._sound = [
            s
            for s in reference.sites.values()
            if self._is_sound(s) and not (flood and s.flood_exposure != NOT_EXPOSED)
        ]
        staffing = next((s for s in reference.sections if isinstance(s, ref.Staffing)), None)
        needs_desk = (
            {rule.activity for rule in staffing.rules if rule.needs_desk} if staffing else set()
        )
        taken: dict[str, int] = {}
        for cell in staffing.cells if staffing else ():
            if cell.activity in needs_desk:
                taken[cell.site] = taken.get(cell.site, 0) + cell.staff
        for s in _active(now):
            if s.site is not None:
                taken[s.site] = taken.get(s.site, 0) + (s.desks or 0)
        for line in now.moved.values():
            if line.state not in _GONE and line.place != line.site:
                taken[line.place] = taken.get(line.place, 0) + line.count
        self._taken = taken

    def _is_sound(self, site: ref.Site) -> bool:
        row = self._now.sites.get(site.id)
        return row is None or row.status not in _OUT

    def sound(self, kind: str) -> int:
        return sum(s.kind == kind for s in self._sound)

    def free(self, kind: str) -> int:
        return sum(
            max(0, s.places - self._taken.get(s.id, 0)) for s in self._sound if s.kind == kind
        )

    def held(self, kind: str, pole: str | None) -> tuple[str, ...]:
        sites, activities = self._reference.sites, self._reference.activities
        mine = (
            s.site
            for s in _active(self._now)
            if s.site is not None
            and s.activity in activities
            and activities[s.activity].pole == pole
        )
        return tuple(sorted({id for id in mine if id in sites and sites[id].kind == kind}))

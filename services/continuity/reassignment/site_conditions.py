"""Describe the effect of a crisis on sites for the reassignment model: seats, staff, hosts.

See `docs/reference/reassignment-model.md`, §1.

Agents start work elsewhere and are expected back at computed times, rule D80. The start is the next opening of the work; the end is the announced end of the causes at a site.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from schemas import reference as ref
from schemas.alerts import Confinement
from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.continuity import CauseHeard, SiteHeard
from schemas.reassignment import LineRow, RefusedMove, SiteCondition, Situation
from schemas.wire import share_object
from schemas.words import EventType, SiteStatus
from services.continuity.activities.capacity import forecast_cause_end, get_effective_start
from services.continuity.activities.impact_analysis import ISOLATION_FLAG, ImpactAnalysis
from services.continuity.state import ContinuityState

TELEWORK: Final = "telework"
FLOOD_KIND: Final = "flood"
NOT_FLOOD_EXPOSED: Final = "non"
HIT_ZONE_SITES: Final = 3
"""Sites without seats that make a commune a hit zone, in which no site is a host."""
_SHELTERING: Final[Confinement] = "sheltering"
TRANSIT_FLAG: Final = "network:transit"
_ABSENCE_TYPE: Final = EventType.STAFF_SHORTAGE
_REQUIRED_SECTIONS: Final = frozenset((ref.Section.SITES, ref.Section.STAFFING))


class LineTimes(NamedTuple):
    """Start of a line, and its expected end; None: unknown."""

    starts_at: Instant
    ends_at: Instant | None


def find_announced_end(
    state: ContinuityState, causes: Iterable[CauseHeard], now: Instant
) -> Instant | None:
    """Return the latest announced end of these causes; None if one of them has no announced end."""
    ends = [forecast_cause_end(state, cause, now) for cause in causes if cause.loss_pct]
    announced_ends = [end for end in ends if end is not None]
    return max(announced_ends) if announced_ends and len(announced_ends) == len(ends) else None


def find_opening(bia: ImpactAnalysis, activity: str, now: Instant) -> Instant:
    """Return when the work of an activity continues: now, or at its next opening."""
    need = bia.needs.get(activity)
    hours = None if need is None else need.work_hours
    if hours is None or hours.is_open(now):
        return now
    return hours.next_edge(now) or now


def list_openings(bia: ImpactAnalysis, now: Instant) -> dict[str, Instant]:
    """Return the next opening of each activity that is closed now."""
    openings = {activity: find_opening(bia, activity, now) for activity in sorted(bia.needs)}
    return {activity: opens for activity, opens in openings.items() if opens > now}


def compute_line_times(state: ContinuityState, line: LineRow, now: Instant) -> LineTimes:
    """Return from when and until when the agents of a line work elsewhere."""
    assert state.bia is not None
    site_state = state.sites.get(line.need_site or line.site)
    end = None if site_state is None else find_announced_end(state, site_state.causes, now)
    return LineTimes(find_opening(state.bia, line.need_activity or line.activity, now), end)


def is_too_late(situation: Situation, condition: SiteCondition | None, line: LineRow) -> bool:
    """Check whether the site of the work is back before the agents of a line would be at work."""
    if condition is None or condition.ends_at is None or situation.at is None:
        return False
    left_min = (condition.ends_at - situation.at) / MINUTE_MS
    opens = situation.opens.get(line.need_activity or line.activity, situation.at)
    if line.place == line.site:
        on_the_way = 0
    else:
        on_the_way = (
            situation.home_min if line.place == TELEWORK else line.minutes + situation.setup_min
        )
    return on_the_way > left_min or opens >= condition.ends_at


@dataclass
class PublishedTables:
    """Sites and staffing in force in a realm. A version counts once its last section is there."""

    reference: str = ""
    _sections: dict[ref.Section, ref.SectionData] = field(default_factory=dict)
    _incoming: dict[ref.Section, ref.SectionData] = field(default_factory=dict)

    def apply_publication(self, data: dict[str, Any]) -> None:
        """Apply the content of a ReferencePublished."""
        publication = ref.ReferencePublished.model_validate(data)
        if publication.data.section in _REQUIRED_SECTIONS:
            self._incoming[publication.data.section] = share_object(publication.data)
        if publication.last:
            self._sections |= self._incoming
            self._incoming, self.reference = {}, publication.reference

    @property
    def tables(self) -> tuple[ref.Sites, ref.Staffing] | None:
        """Both tables, or None while one of them is missing."""
        sites, staffing = (
            self._sections.get(ref.Section.SITES),
            self._sections.get(ref.Section.STAFFING),
        )
        return (
            (sites, staffing)
            if isinstance(sites, ref.Sites) and isinstance(staffing, ref.Staffing)
            else None
        )


def describe_situation(state: ContinuityState, now: Instant) -> Situation:
    """Return the condition of each site that differs from a quiet day, by id.

    Some sites cannot host: those with lost seats, in a hit zone or of unknown status, exposed sites
    during a flood, sites in the area of an order (D102), and sites with desks that a strategy holds.
    Agents neither leave nor join a site that shelters or counts its people, and are not replaced
    there (D78).
    """
    assert state.bia is not None
    sites = state.bia.sites
    sites_in_scope = {id: site for id, site in state.sites.items() if id in sites}
    seats_left = _compute_capacity_left(sites_in_scope, absence=False)
    staff_left = _compute_capacity_left(sites_in_scope, absence=True)
    confined_sites = find_confined_sites(state, now)
    ordered_sites = find_ordered_sites(state)
    seats = {id: share for id, share in seats_left.items() if id not in confined_sites}
    staff = {id: share for id, share in staff_left.items() if id not in confined_sites}
    communes = Counter(sites[id].commune for id in seats_left)
    hit_zone = {commune for commune, count in communes.items() if count >= HIT_ZONE_SITES}
    strategy_sites = {s.site for s in state.strategies.values() if s.state == "active" and s.desks}
    flood = any(i.open and i.kind == FLOOD_KIND for i in state.incidents.values())
    barred_sites = {
        id
        for id, site in sites.items()
        if id in seats_left
        or id in confined_sites
        or id in ordered_sites
        or id in strategy_sites
        or site.commune in hit_zone
        or (flood and site.flood_exposure != NOT_FLOOD_EXPOSED)
        or (id in sites_in_scope and sites_in_scope[id].status is SiteStatus.UNKNOWN)
    }
    ends = {
        id: find_announced_end(state, sites_in_scope[id].causes, now) for id in {*seats, *staff}
    }
    conditions = tuple(
        SiteCondition(
            site=id,
            staff_pct=staff.get(id, 100),
            seat_pct=seats.get(id, 100),
            host_ok=id not in barred_sites,
            confinement=confined_sites.get(id),
            ordered=id in ordered_sites,
            ends_at=ends.get(id),
            estimated=id in sites_in_scope and is_estimated(state, sites_in_scope[id], now),
        )
        for id in sorted(barred_sites | staff.keys())
    )
    since = min(
        (c.since for id in {**seats, **staff} for c in sites_in_scope[id].causes if c.loss_pct),
        default=now,
    )
    return Situation(
        sites=conditions,
        elapsed_h=round(max(now - since, 0) / HOUR_MS, 2),
        transit=is_transit_running(state, now),
        telework=is_telework_working(state, now),
        refused=_list_refused_moves(state),
        **_describe_horizon(state, now) if any(ends.values()) else {},
    )


def _list_refused_moves(state: ContinuityState) -> tuple[RefusedMove, ...]:
    """Return the moves that a site refused, but for those that another order still makes.

    Rule D101.
    """
    under_way = {(row.site, row.activity, row.metier, row.place) for row in state.moved.values()}
    moves = {
        (move.site, move.activity, move.metier, move.place): move for move in state.refused.values()
    }
    return tuple(moves[key] for key in sorted(moves.keys() - under_way))


def find_confined_sites(state: ContinuityState, now: Instant) -> dict[str, Confinement]:
    """Return site → reason for sites that shelter or count their people.

    A site in the area of an order to shelter counts as one until it says no. Rules D78 and D102.
    """
    assert state.bia is not None
    sheltering_areas = (
        row.sites for row in state.area_orders.values() if row.status is SiteStatus.SHELTERING
    )
    in_area = dict.fromkeys(
        (id for sites in sheltering_areas for id in sites if id in state.bia.sites),
        _SHELTERING,
    )
    return in_area | {
        id: site.confinement
        for id, site in state.sites.items()
        if site.confinement is not None
        and id in state.bia.sites
        and not is_estimated(state, site, now)
    }


def find_ordered_sites(state: ContinuityState) -> frozenset[str]:
    """Return the sites in the area of an order that have not said that they lie outside. D102."""
    return frozenset(site for row in state.area_orders.values() for site in row.sites)


def is_estimated(state: ContinuityState, site: SiteHeard, now: Instant) -> bool:
    """Tell whether an evacuated site counts with its planned staff by now. Rule D78."""
    at = get_estimation_start(state, site)
    return at is not None and at <= now


def get_estimation_start(state: ContinuityState, site: SiteHeard) -> Instant | None:
    """Return when an evacuated site begins to count with its planned staff.

    The result is None if there is a headcount. Rule D78.
    """
    assert state.bia is not None
    within = state.bia.policy.reassignment.count_within_min * MINUTE_MS
    return None if site.uncounted_since is None else site.uncounted_since + within


def _describe_horizon(state: ContinuityState, now: Instant) -> dict[str, Any]:
    """Return the times that decide whether a reassignment still pays off (D80)."""
    assert state.bia is not None
    policy = state.bia.policy.reassignment
    return {
        "at": now,
        "opens": list_openings(state.bia, now),
        "setup_min": policy.setup_min,
        "home_min": policy.home_min,
    }


def _compute_capacity_left(sites: Mapping[str, SiteHeard], *, absence: bool) -> dict[str, int]:
    """Return site → per cent left of its seats, or with `absence` of its staff, if it lost any."""
    losses = {
        id: max(
            (round(c.loss_pct) for c in site.causes if (c.type is _ABSENCE_TYPE) is absence),
            default=0,
        )
        for id, site in sites.items()
    }
    return {id: 100 - loss for id, loss in losses.items() if loss > 0}


def get_lost_seats_pct(site: SiteHeard | None) -> int:
    """Return the per cent of its seats that a site has lost."""
    causes = () if site is None else site.causes
    return max((round(c.loss_pct) for c in causes if c.type is not _ABSENCE_TYPE), default=0)


def is_hit(situation: Situation) -> bool:
    """Check whether some site lost seats or staff."""
    return any(c.seat_pct < 100 or c.staff_pct < 100 for c in situation.sites)


def is_telework_working(state: ContinuityState, now: Instant) -> bool:
    """Return the declared state of telework, else False while all systems are isolated."""
    if state.travel.telework is not None:
        return state.travel.telework
    isolation = state.dependencies.get(ISOLATION_FLAG)
    return not (
        isolation is not None and isolation.value is True and get_effective_start(isolation) <= now
    )


def is_transit_running(state: ContinuityState, now: Instant) -> bool:
    """Return the declared state of public transport, else that of the operators."""
    if state.travel.transit is not None:
        return state.travel.transit
    flag = state.dependencies.get(TRANSIT_FLAG)
    return not (flag is not None and flag.value == "down" and get_effective_start(flag) <= now)


def find_main_incident(state: ContinuityState, situation: Situation) -> str | None:
    """Return the incident that hits most of these sites; ties go by id."""
    incident_counts = Counter(
        cause.incident
        for c in situation.sites
        if (site := state.sites.get(c.site)) is not None
        for cause in _select_causes_by_incident(site)
        if cause.incident is not None
    )
    return min(incident_counts, key=lambda id: (-incident_counts[id], id), default=None)


def _select_causes_by_incident(site: SiteHeard) -> tuple[CauseHeard, ...]:
    """Select one cause per incident, so that a site counts once for each."""
    return tuple({c.incident: c for c in site.causes if c.loss_pct}.values())

"""Derive the quantities of the model from the effect of a situation on sites.

See `docs/reference/reassignment-model.md`, §2.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.reassignment import HOME_MIN, SETUP_MIN
from services.continuity.reassignment.model.tables import ReferenceTables

HOSTS_PER_NEED = 12
"""Nearest hosts considered for a site and an activity."""
UNKNOWN_LEFT_MIN = 240
"""Assumed duration of an outage without an announced end."""
OPTIMISED_CRITICALITIES = (1, 2, 3)
"""Criticalities for which missing agents are a demand."""


@dataclass(frozen=True, slots=True)
class SiteCapacityState:
    """State of a site in a situation.

    `host_ok`: it may receive agents of other sites. `is_confined`: its agents do not leave it for
    other work (D78).
    """

    staff_pct: int = 100
    seat_pct: int = 100
    host_ok: bool = True
    is_confined: bool = False
    admits: bool = True
    """Agents may come to work there (D102)."""
    left_min: int | None = None
    """Minutes until its announced return (D80); None: unknown."""


UNTOUCHED_SITE = SiteCapacityState()


@dataclass(frozen=True, slots=True)
class WorkHorizon:
    """Time until agents work elsewhere. Rule D80."""

    opens_min: Mapping[str, int] = field(default_factory=dict)
    """Minutes until the work of a closed activity opens."""
    setup_min: int = SETUP_MIN
    """Minutes from arrival at another site to work."""
    home_min: int = HOME_MIN
    """Minutes until an agent works at home."""


@dataclass(frozen=True, slots=True)
class ModelSituation:
    """Situation of a territory.

    `sites` holds the touched ones only; `elapsed_h` are the hours since the first fact.
    """

    sites: Mapping[str, SiteCapacityState] = field(default_factory=dict)
    elapsed_h: float = 0
    transit: bool = True
    telework: bool = True
    horizon: WorkHorizon = WorkHorizon()
    refused: frozenset[tuple[str, str, str, str]] = frozenset()
    """(site, activity, métier, place) of moves that a site refused. Rule D101."""

    def left_min(self, site: str, activity: str) -> int:
        """Return the minutes within which agents must be at work; negative if it opens too late.

        Without an announced end it is UNKNOWN_LEFT_MIN. Rule D80.
        """
        announced_min = self.of(site).left_min
        if announced_min is None:
            return UNKNOWN_LEFT_MIN
        return announced_min if self.horizon.opens_min.get(activity, 0) < announced_min else -1

    def of(self, site: str) -> SiteCapacityState:
        return self.sites.get(site, UNTOUCHED_SITE)


@dataclass(frozen=True, slots=True)
class AgentDemand:
    """Missing agents of a cell."""

    cell: int
    need: int
    urgency: int
    own_site: bool
    """May be filled at the cell's own site; it has seats or is the only place."""
    tele_cap: int
    """Most of the agents that may telework."""


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights`: largest remainder, ties to the first."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * w // whole for w in weights]
    by_remainder = sorted(range(len(weights)), key=lambda n: (-(total * weights[n] % whole), n))
    for n in by_remainder[: total - sum(parts)]:
        parts[n] += 1
    return parts


def compute_percent(count: int, pct: int) -> int:
    """Return `pct` percent of a count, rounded half up."""
    return (count * pct + 50) // 100


def compute_urgency(rto_h: float, elapsed_h: float) -> int:
    """Compute the weight of a demand from the hours left until its RTO."""
    remaining_hours = rto_h - elapsed_h
    return (
        8
        if remaining_hours <= 4
        else 4
        if remaining_hours <= 12
        else 2
        if remaining_hours <= 24
        else 1
    )


class Quantities:
    """Present, seats, displaced, releasable, demands and free desks of one situation.

    Only touched sites are shared out again; the others cost no more than a sum.
    """

    def __init__(self, tables: ReferenceTables, situation: ModelSituation) -> None:
        self.tables, self.situation = tables, situation
        cells = tables.cells
        self.present = [c.staff for c in cells]
        self.seats = [c.staff for c in cells]
        for site, state in situation.sites.items():
            self._share(site, state)
        self.working = [min(p, c) for p, c in zip(self.present, self.seats, strict=True)]
        self.displaced = [p - w for p, w in zip(self.present, self.working, strict=True)]
        self.releasable = [
            max(
                0,
                min(w - c.minimum, compute_percent(c.staff, tables.rules[c.activity].release_pct)),
            )
            for w, c in zip(self.working, cells, strict=True)
        ]
        self.confined = frozenset(self._list_cells(lambda state: state.is_confined))
        self.unadmitted = frozenset(self._list_cells(lambda state: not state.admits))
        for n in self.confined:
            self.displaced[n] = self.releasable[n] = 0
        self.demands: list[AgentDemand] = []
        self.suspended: dict[int, int] = {}
        self._find_demands()
        self.desks_left = self._desks_left()
        self.free_desks = [
            desks if situation.of(s.id).host_ok and situation.of(s.id).seat_pct == 100 else 0
            for desks, s in zip(self.desks_left, tables.sites, strict=True)
        ]
        self.is_host = [
            situation.of(s.id).host_ok and situation.of(s.id).seat_pct == 100 for s in tables.sites
        ]
        self._hosts: dict[tuple[int, str], tuple[int, ...]] = {}

    def _share(self, site: str, state: SiteCapacityState) -> None:
        index = self.tables.site_index.get(site)
        cells = self.tables.cells_of_site.get(index, ()) if index is not None else ()
        staff = [self.tables.cells[n].staff for n in cells]
        there = share_out(compute_percent(sum(staff), state.staff_pct), staff)
        seat_counts = share_out(compute_percent(sum(staff), state.seat_pct), staff)
        for n, present, seats in zip(cells, there, seat_counts, strict=True):
            self.present[n], self.seats[n] = present, seats

    def _list_cells(self, is_meant: Callable[[SiteCapacityState], bool]) -> Iterator[int]:
        """Yield the cells of the touched sites in this state."""
        for site, state in self.situation.sites.items():
            index = self.tables.site_index.get(site)
            if is_meant(state) and index is not None:
                yield from self.tables.cells_of_site.get(index, ())

    def _find_demands(self) -> None:
        for n, cell in enumerate(self.tables.cells):
            working = self.working[n]
            if cell.minimum <= working or n in self.confined:
                continue
            rule = self.tables.rules[cell.activity]
            if rule.criticality not in OPTIMISED_CRITICALITIES:
                continue
            required_agents = cell.minimum
            if rule.site_bound:
                # Nobody else may come to a site in the area of an order (D102).
                possible_agents = working if n in self.unadmitted else self.seats[n]
                if cell.minimum > possible_agents:
                    self.suspended[n] = cell.minimum - possible_agents
                required_agents = min(required_agents, possible_agents)
            if (need := required_agents - working) > 0:
                own_site = n not in self.unadmitted and (rule.site_bound or working < self.seats[n])
                tele = (
                    need * rule.tele_pct // 100
                    if self.situation.telework and rule.needs_desk
                    else 0
                )
                self.demands.append(
                    AgentDemand(
                        n,
                        need,
                        compute_urgency(rule.rto_h, self.situation.elapsed_h),
                        own_site,
                        tele,
                    )
                )

    def _desks_left(self) -> list[int]:
        used = [0] * len(self.tables.sites)
        for n, site in enumerate(self.tables.cell_site.tolist()):
            if self.tables.rules[self.tables.cells[n].activity].needs_desk:
                used[site] += self.present[n]
        return [max(0, self.tables.desks(site) - count) for site, count in enumerate(used)]

    def hosts(self, site: int, activity: str) -> tuple[int, ...]:
        """Return the nearest hosts of an activity that is not bound to its site, near to far."""
        key = (site, activity)
        nearest_hosts = self._hosts.get(key)
        if nearest_hosts is None:
            rule = self.tables.rules[activity]
            able: list[int] = []
            for other in self.tables.nearest[site]:
                if (
                    self.is_host[other]
                    and self.tables.sites[other].kind in rule.host_kinds
                    and (not rule.needs_desk or self.free_desks[other] > 0)
                ):
                    able.append(other)
                    if len(able) == HOSTS_PER_NEED:
                        break
            nearest_hosts = self._hosts[key] = tuple(able)
        return nearest_hosts

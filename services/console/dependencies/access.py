"""Find the sites with fewer lines for agents, or none, when lines are lost. Rule D130. Pure.

A lost line closes no site: the share of agents who come by it is unknown. So it takes no capacity,
and is judged by the sites and agents whose commune has no line left.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas import alerts as a
from schemas.base import Instant
from schemas.catalogue.sources import LINE_OBJECT
from schemas.reports import Window
from schemas.words import EventType, MsgType
from services.console.dependencies.network import DependencyNetwork

TRANSIT_FLAG: Final = "network:transit"
INTERRUPTED_FROM: Final = 3
"""Least severity of a report that says that a line is interrupted."""
BELIEVED_FOR_MS: Final = 24 * 3_600_000
"""A report without an end that is older says nothing about now."""
_TYPES: Final = frozenset({EventType.INFO, EventType.TRANSPORT_DISRUPTION})


@dataclass(frozen=True, slots=True)
class ServedCommune:
    """One commune that loses lines and has sites."""

    insee: str
    lost: tuple[str, ...]
    """Lines that it loses, in the order of the territory."""
    left: tuple[str, ...]
    """Lines that still run."""
    sites: tuple[str, ...]
    staff: int

    @property
    def is_cut_off(self) -> bool:
        """Return whether no line is left."""
        return not self.left


@dataclass(frozen=True, slots=True)
class ActivityAccess:
    """Sites and agents of one activity in the communes that lose lines."""

    activity: str
    sites: int
    staff: int
    cut_sites: int
    """Sites without a line, out of `sites`."""
    cut_staff: int


def find_interrupted_lines(
    network: DependencyNetwork,
    flags: Mapping[str, a.FlagRow],
    reports: Iterable[a.ReportRow],
    now: Instant,
) -> frozenset[str]:
    """Return the lines that do not run now, after confirmed reports that stand.

    If the whole network is down, no line runs.
    """
    transit = flags.get(TRANSIT_FLAG)
    if transit is not None and transit.value == "down":
        return frozenset(network.lines)
    interrupted_ids = {
        object.removeprefix(LINE_OBJECT)
        for report in reports
        if _is_interruption(report, now)
        for object in (report.measure.object or "").split("|")  # type: ignore[union-attr]
        if object.startswith(LINE_OBJECT)
    }
    return frozenset(interrupted_ids & network.lines.keys())


def _is_interruption(report: a.ReportRow, now: Instant) -> bool:
    return (
        report.type in _TYPES
        and report.measure is not None
        and report.severity >= INTERRUPTED_FROM
        and report.msg_type is not MsgType.CANCEL
        and report.confirmation == "confirmed"
        and not {"cancelled", "superseded"}.intersection(report.flags)
        and (not report.effective or any(_holds(window, now) for window in report.effective))
        and now - report.occurred_at <= BELIEVED_FOR_MS
        and (report.expected_end is None or report.expected_end > now)
    )


def _holds(window: Window, now: Instant) -> bool:
    """Return whether an announced interruption has begun and is not over. Rule D9."""
    return window.start <= now and (window.end is None or now < window.end)


def find_served_communes(
    network: DependencyNetwork, lost_ids: Collection[str], out: Collection[str] = ()
) -> tuple[ServedCommune, ...]:
    """Return the communes with sites that lose a line, those without a line and the largest first.

    `out` names lines that do not run already: they are not lost again, and none of them is left.
    """
    reached_communes = {
        insee for id in lost_ids if id in network.lines for insee in network.lines[id].communes
    }
    communes = []
    for insee in reached_communes & network.places.keys():
        serving = [
            id for id, line in network.lines.items() if insee in line.communes and id not in out
        ]
        lost_lines = tuple(id for id in serving if id in lost_ids)
        if lost_lines:
            remaining_lines = tuple(id for id in serving if id not in lost_ids)
            sites = network.places[insee]
            staff = sum(network.sites[id].staff for id in sites)
            communes.append(ServedCommune(insee, lost_lines, remaining_lines, sites, staff))
    return tuple(sorted(communes, key=lambda one: (not one.is_cut_off, -one.staff, one.insee)))


def list_activity_access(
    network: DependencyNetwork, communes: Collection[ServedCommune]
) -> tuple[ActivityAccess, ...]:
    """Return the activities with agents in these communes, the most critical first.

    Activities with agents in a commune without a line come before the others.
    """
    totals: dict[str, list[int]] = {}
    for commune in communes:
        for site in commune.sites:
            for activity, staff in network.agents.get(site, {}).items():
                count = totals.setdefault(activity, [0, 0, 0, 0])
                count[0] += 1
                count[1] += staff
                if commune.is_cut_off:
                    count[2] += 1
                    count[3] += staff
    affected_activities = [
        ActivityAccess(activity, *count)
        for activity, count in totals.items()
        if activity in network.activities
    ]
    activities = network.activities
    return tuple(
        sorted(
            affected_activities,
            key=lambda one: (
                not one.cut_sites,
                activities[one.activity].criticality,
                activities[one.activity].rto_h,
                one.activity,
            ),
        )
    )

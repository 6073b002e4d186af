"""Read outages and declared degradations of recorded crises from versions of rows. D131. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.base import HOUR_MS, Instant
from schemas.words import ActivityState, SiteStatus
from services.console.dependencies.hidden import Degradation, Outage, RecordedCrisis
from services.console.dependencies.network import ResourceKind

QUIET_MS: Final = 48 * HOUR_MS
"""Time without outage or degradation that parts two crises of the live realm."""
OUT: Final = frozenset({SiteStatus.CLOSED, SiteStatus.EVACUATED})
BAD: Final = frozenset({ActivityState.DEGRADED, ActivityState.INTERRUPTED})
DEPENDENCIES: Final = ("system:", "supplier:", "kitchen:")


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as one fact wrote it."""

    id: str
    at: Instant
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RealmVersions:
    """Versions of one realm, in the order of its log."""

    realm: str
    flags: Sequence[RowVersion]
    sites: Sequence[RowVersion]
    activities: Sequence[RowVersion]


def collect_crises(versions: RealmVersions, kinds: Mapping[str, str]) -> list[RecordedCrisis]:
    """Return the crises of a realm; `kinds`: site → its kind.

    Two quiet days part crises. An outage belongs to the crisis where it began.
    """
    outages = [
        *_iterate_flag_outages(versions.flags),
        *_iterate_site_outages(versions.sites, kinds),
    ]
    degradations = list(_iterate_degradations(versions.activities))
    events: list[tuple[Instant, Outage | Degradation]] = [(o.since, o) for o in outages]
    events += [(one.at, one) for one in degradations]
    crises: list[RecordedCrisis] = []
    group: list[Outage | Degradation] = []
    last: Instant | None = None
    for at, event in sorted(events, key=lambda pair: pair[0]):
        if last is not None and at - last > QUIET_MS:
            crises.append(_build_crisis(versions.realm, len(crises), group))
            group = []
        group.append(event)
        last = at
    if group:
        crises.append(_build_crisis(versions.realm, len(crises), group))
    return crises


def _build_crisis(
    realm: str, number: int, events: Sequence[Outage | Degradation]
) -> RecordedCrisis:
    return RecordedCrisis(
        f"{realm}#{number + 1}",
        tuple(event for event in events if isinstance(event, Outage)),
        tuple(event for event in events if isinstance(event, Degradation)),
    )


def _iterate_flag_outages(versions: Iterable[RowVersion]) -> Iterator[Outage]:
    """Yield the outages of systems, suppliers and kitchens."""
    began: dict[str, Instant] = {}
    for version in versions:
        if not version.id.startswith(DEPENDENCIES):
            continue
        out = _is_out(version.row.get("value"))
        since = _find_start(version)
        if out and version.id not in began:
            began[version.id] = since
        elif not out and version.id in began:
            start = began.pop(version.id)
            yield Outage(version.id, start, max(start, since))
    yield from (Outage(id, start) for id, start in began.items())


def _is_out(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value == "down" if isinstance(value, str) else value == 0


def _find_start(version: RowVersion) -> Instant:
    """Return when a row begins to hold."""
    since = version.row.get("since", version.at)
    effective = version.row.get("effective_from")
    return int(since) if effective is None else max(int(since), int(effective))


def _iterate_site_outages(
    versions: Iterable[RowVersion], kinds: Mapping[str, str]
) -> Iterator[Outage]:
    """Yield the times when a site of a kind was closed or evacuated."""
    out: dict[str, set[str]] = {}
    began: dict[str, Instant] = {}
    for version in versions:
        kind = kinds.get(version.id)
        if kind is None:
            continue
        there = out.setdefault(kind, set())
        if version.row.get("status") in OUT:
            there.add(version.id)
            began.setdefault(kind, _find_start(version))
        elif version.id in there:
            there.discard(version.id)
            if not there:
                start = began.pop(kind)
                end = max(start, _find_start(version))
                yield Outage(f"{ResourceKind.SITE_KIND}:{kind}", start, end)
    yield from (Outage(f"{ResourceKind.SITE_KIND}:{kind}", at) for kind, at in began.items())


def _iterate_degradations(versions: Iterable[RowVersion]) -> Iterator[Degradation]:
    """Yield each time a person declares an activity degraded or interrupted."""
    bad: set[str] = set()
    for version in versions:
        if version.row.get("declared") not in BAD:
            bad.discard(version.id)
        elif version.id not in bad:
            bad.add(version.id)
            yield Degradation(version.id, version.at)

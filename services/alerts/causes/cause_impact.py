"""Tell the impact of a cause on its site: lost capacity, status, marks. Rules D14 and D29."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from schemas.alerts import MAX_SHOWN_MEMBERS, CauseRow
from schemas.catalogue.event_types import EVENT_TYPES
from schemas.catalogue.sources import MANAGER
from schemas.crisis.causes import MEALS_FAIL_BELOW, Cause, compute_meals_left, compute_meals_lost
from schemas.reference import Site
from schemas.words import EventType as T
from schemas.words import SiteStatus as S
from services.alerts.reference.territory import (
    CLOSED_BY_POWER_PCT,
    CLOSURE_TYPES,
    COLD_CHAIN_MEASURE,
    GENERATOR_LOSS_PCT,
    MEALS_MARK,
)
from services.alerts.reports.report_facts import (
    get_absent_pct,
    list_named,
)

_CACHED_SITES: Final = 4096
"""Most sites, over all realms of a version, that the cache holds."""
_TOTAL_LOSS_TYPES = frozenset(row.type for row in EVENT_TYPES.values() if row.total_loss)
"""Types that take the whole capacity, whichever loss the report names."""


class CauseImpact(NamedTuple):
    """The impact of a cause: a function of the cause, its site and the version."""

    cause: Cause
    loss: float
    effect: S
    row: CauseRow
    marks: tuple[str, ...]
    """Marks of the site while the cause acts."""


class CauseImpactCache:
    """A cache of impacts for one version.

    It compares causes by identity: with a hundred open causes at a site, a report changes one of
    them.
    """

    def __init__(self, presence_pcts: Sequence[float], ordinary: Iterable[str] = ()) -> None:
        self._presence_pcts, self._ordinary = presence_pcts, frozenset(ordinary)
        self._known: dict[tuple[str, str], dict[str, CauseImpact]] = {}

    def of(
        self, realm: str, site_id: str, site: Site | None, causes: Iterable[Cause]
    ) -> list[CauseImpact]:
        """Return the impacts in the order of the causes.

        `site` is None if the version does not know its id.
        """
        cached_impacts = self._known.pop((realm, site_id), {})
        cause_impacts = [
            s
            if (s := cached_impacts.get(c.id)) is not None and s.cause is c
            else self._look(c, site)
            for c in causes
        ]
        if len(self._known) >= _CACHED_SITES:
            self._known.pop(next(iter(self._known)))
        self._known[realm, site_id] = {s.cause.id: s for s in cause_impacts}
        return cause_impacts

    def _look(self, cause: Cause, site: Site | None) -> CauseImpact:
        loss_pct, status = compute_loss(cause, site), derive_status(cause, site)
        ordinary = cause.type in CLOSURE_TYPES and site is not None and site.kind in self._ordinary
        weighs = 0 if ordinary else cause.severity
        return CauseImpact(
            cause,
            loss_pct,
            status,
            _build_row(cause, site, loss_pct, status),
            tuple(_list_all_marks(cause, site, weighs, loss_pct, status, self._presence_pcts)),
        )


def compute_loss(cause: Cause, site: Site | None) -> float:
    """Return the capacity that a cause takes from its site, in per cent."""
    if cause.type in _TOTAL_LOSS_TYPES:
        return 100.0
    if cause.type is T.OUTAGE_POWER:
        loss_pct = 100.0 if cause.loss_pct is None else cause.loss_pct
        return min(loss_pct, GENERATOR_LOSS_PCT) if is_sustained(cause, site) else loss_pct
    if cause.type is T.STAFF_SHORTAGE:
        return get_absent_pct(cause)
    if cause.type is T.SUPPLIER_FAILURE:  # the served activity loses capacity, not the site (D40)
        return 0.0
    return cause.loss_pct or 0.0


def is_sustained(cause: Cause, site: Site | None) -> bool:
    """Return whether a generator lightens this power cut at its site.

    It does not once the manager has reported the cut and its loss is 100 %: that site is closed,
    with its generator or without it.
    """
    is_closed_by_manager = cause.loss_pct == 100.0 and MANAGER in cause.sources
    return (
        cause.type is T.OUTAGE_POWER
        and site is not None
        and site.generator
        and not is_closed_by_manager
    )


def compute_lost_meals(cause: Cause, site: Site | None) -> float:
    """Return the share of a site's meals that a water cut or a supplier failure takes.

    It comes on top of the site's own loss. A failed supplier of another kitchen is a flag.
    """
    kitchen = site.kitchen if site is not None else None
    return compute_meals_lost(cause.type, cause.loss_pct, list_named(cause, "supplier:"), kitchen)


def derive_status(cause: Cause, site: Site | None) -> S:
    """Return the status that a cause alone gives its site.

    The table is in `docs/reference/rules.md`, section 3.
    """
    match cause.type:
        case T.CLOSURE:
            return S.CLOSED
        case T.EVACUATION | T.FIRE:
            return S.EVACUATED
        case T.SHELTER_IN_PLACE:
            return S.SHELTERING
        case T.OUTAGE_POWER:
            return S.CLOSED if compute_loss(cause, site) >= CLOSED_BY_POWER_PCT else S.DEGRADED
        case T.SANITARY_ALERT:
            return S.DEGRADED if cause.severity >= 3 or compute_loss(cause, site) > 0 else S.NORMAL
        case T.SUPPLIER_FAILURE:
            return S.NORMAL
        case _:
            return S.DEGRADED


def _build_row(cause: Cause, site: Site | None, loss_pct: float, effect: S) -> CauseRow:
    """Return the cause as the row of its site shows it.

    The row names only the first reports, so that it does not grow with every report.
    """
    visible_range = slice(None if cause.reports_count is None else MAX_SHOWN_MEMBERS)
    sources, reports = cause.sources[visible_range], cause.reports[visible_range]
    return CauseRow(
        id=cause.id,
        incident=cause.incident,
        type=cause.type,
        effect=effect,
        since=cause.since,
        certainty=cause.certainty,
        severity=cause.severity,
        loss_pct=loss_pct,
        contested=cause.contested,
        planned=not cause.acting,
        overdue=cause.overdue,
        sources=sources,
        reports=reports,
        reports_count=cause.reports_count,
        expected_end=cause.expected_end,
        windows=cause.windows,
        measure=cause.measure,
        maintenance=cause.maintenance,
        inhibited_by=cause.inhibited_by,
        meals_lost_pct=compute_lost_meals(cause, site),
    )


def _list_all_marks(
    cause: Cause,
    site: Site | None,
    severity: int,
    loss_pct: float,
    effect: S,
    presence_pcts: Sequence[float],
) -> list[str]:
    """Return the marks that a cause gives its site, its meals among them."""
    names = _list_marks(cause, severity, loss_pct, effect, presence_pcts)
    fails = (
        site is not None
        and bool(site.kitchen)
        and compute_meals_left((loss_pct, compute_lost_meals(cause, site))) < MEALS_FAIL_BELOW
    )
    return [*names, MEALS_MARK] if fails else names


def _list_marks(
    cause: Cause, severity: int, loss_pct: float, effect: S, presence_pcts: Sequence[float]
) -> list[str]:
    """Return the marks that a cause of this severity gives its site. Rules D29 and D72."""
    names = [f"cause:{cause.type.value}"]
    if severity >= 3:
        names.append("hit")
    if effect in (S.CLOSED, S.EVACUATED, S.SHELTERING):
        names += ["closed", "out"] if severity >= 3 else ["closed"]
    if effect is S.EVACUATED:
        names.append("evacuated")
    if cause.type is T.STAFF_SHORTAGE:
        names += [f"staff:{pct}" for pct in presence_pcts if 100.0 - loss_pct <= pct]
    if cause.type in (T.OUTAGE_WATER, T.OUTAGE_HEATING) or (
        cause.measure is not None and cause.measure.name == COLD_CHAIN_MEASURE
    ):
        names.append("logistics")
    return names

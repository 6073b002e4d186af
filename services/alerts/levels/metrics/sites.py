# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics that count sites by their marks. Rule D29, hit and out sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from schemas.base import HOUR_MS
from schemas.causes import Cause
from schemas.reference import Site
from schemas.words import EventType, SiteStatus
from services.alerts.causes.site_impact import effect
from services.alerts.levels.metrics.base import (
    SHOWN_REPORTS,
    Args,
    Asked,
    Maker,
    Metric,
    Scope,
    none,
    several,
    topics,
)
from services.alerts.reports.report_facts import began

if TYPE_CHECKING:
    from services.alerts.decision import Draft


def _groups(args: Args) -> tuple[str, ...]:
    kinds = several(args, "kind", "kinds")
    return tuple(f"kind:{k}" for k in kinds) if kinds else ("",)


def marked(mark: str) -> Maker:
    def make(of: Asked) -> Metric:
        if of.args.get("per") == "pole":
            poles = tuple(f"pole:{p}" for p in of.territory.poles)

            def worst(draft: Draft, scope: Scope) -> float:
                counts, owner = draft.state.counts, scope or ""
                return max((counts.get((owner, mark, p), 0) for p in poles), default=0)

            def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
                counts, owner = draft.state.counts, scope or ""
                pole = max(poles, key=lambda p: counts.get((owner, mark, p), 0), default="")
                return reports_of_marked(draft, scope, mark, (pole,))

            return Metric(worst, topics(f"mark:{mark}"), reports)
        groups = _groups(of.args)

        def value(draft: Draft, scope: Scope) -> float:
            counts, owner = draft.state.counts, scope or ""
            return sum(counts.get((owner, mark, g), 0) for g in groups)

        return Metric(
            value,
            topics(f"mark:{mark}"),
            lambda draft, scope: reports_of_marked(draft, scope, mark, groups),
        )

    return make


def reports_of_marked(
    draft: Draft, scope: Scope, mark: str, groups: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the first report of each site with a mark.

    Walks over all marked sites: call it only when a predicate begins to hold.
    """
    found: list[str] = []
    for site in sites_marked(draft, scope, mark, groups):
        causes = [draft.state.causes[c] for c in draft.state.site_causes.get(site, ())]
        worst = max(causes, key=lambda c: (c.severity, c.id), default=None)
        if worst and worst.reports:
            found.append(worst.reports[0])
    return tuple(found[:SHOWN_REPORTS])


def sites_marked(draft: Draft, scope: Scope, mark: str, groups: tuple[str, ...]) -> Iterator[str]:
    sites = draft.state.territory.sites
    for site in sorted(draft.state.marks):
        by = draft.state.marks[site].get(mark)
        if by is None or (scope is not None and scope not in by) or site not in sites:
            continue
        known = sites[site]
        if any(g in ("", f"kind:{known.kind}", f"pole:{known.pole}") for g in groups):
            yield site


def poles_out(of: Asked) -> Metric:
    poles, least = tuple(f"pole:{p}" for p in of.territory.poles), int(of.args.get("min_sites", 1))

    def hit(draft: Draft, scope: Scope) -> tuple[str, ...]:
        counts, owner = draft.state.counts, scope or ""
        return tuple(p for p in poles if counts.get((owner, "out", p), 0) >= least)

    return Metric(
        lambda draft, scope: len(hit(draft, scope)),
        topics("mark:out"),
        lambda draft, scope: reports_of_marked(draft, scope, "out", hit(draft, scope)),
    )


def with_cause(of: Asked) -> Metric:
    return marked(f"cause:{of.args['cause']}")(of)


def staff_at_most(of: Asked) -> Metric:
    return marked(f"staff:{of.args['pct']}")(of)


def restored_share(of: Asked) -> Metric:
    cause = of.args["cause"]

    def value(draft: Draft, scope: Scope) -> float | None:
        counts, owner = draft.state.counts, scope or ""
        open_, lifted = (
            counts.get((owner, f"cause:{cause}", ""), 0),
            counts.get((owner, f"lifted:{cause}", ""), 0),
        )
        return 100 * lifted / (open_ + lifted) if open_ + lifted else None

    return Metric(value, topics(f"mark:cause:{cause}", f"mark:lifted:{cause}"), margin=none)


def unavailability(
    draft: Draft, scope: Scope, kinds: Iterable[str]
) -> tuple[float, tuple[str, ...]]:
    """Return the longest expected duration (hours) of a cause that puts a site of these kinds out.

    Also returns its reports.
    """
    state, best = draft.state, 0.0
    reports: tuple[str, ...] = ()
    for kind in kinds:
        if not state.counts.get((scope or "", "out", f"kind:{kind}"), 0):
            continue
        for site in state.territory.by_kind.get(kind, ()):
            by = state.marks.get(site)
            if by is None or "out" not in by or (scope is not None and scope not in by["out"]):
                continue
            for cause in (state.causes[c] for c in state.site_causes.get(site, ())):
                counted = (
                    cause.acting
                    and not cause.maintenance
                    and cause.severity >= 3
                    and _puts_out(cause, state.territory.sites.get(site))
                )
                if counted and cause.expected_end is not None:
                    hours = (cause.expected_end - began(cause, draft.now)) / HOUR_MS
                    if hours > best:
                        best, reports = hours, cause.reports[:SHOWN_REPORTS]
    return best, reports


def _puts_out(cause: Cause, site: Site | None) -> bool:
    """Return whether a cause by itself puts its site out.

    The duration of other causes does not count.
    """
    return effect(cause, site) in (SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING)


def expected_unavailability(of: Asked) -> Metric:
    kinds = several(of.args, "kind", "kinds") or tuple(of.territory.by_kind)
    return Metric(
        lambda draft, scope: unavailability(draft, scope, kinds)[0],
        topics(*(f"out:{k}" for k in kinds)),
        lambda draft, scope: unavailability(draft, scope, kinds)[1],
    )


def gas_distance(of: Asked) -> Metric:
    """Measure the distance from a gas leak to the nearest site.

    It is 0 m for a leak on a site or in an area with sites; any other distance is unknown.
    """

    def around(draft: Draft, scope: Scope) -> tuple[str, ...]:
        leaks = (
            draft.state.causes[c]
            for c in sorted(draft.state.placeless.get(EventType.GAS_LEAK.value, ()))
        )
        here = (
            c for c in leaks if c.acting and (scope is None or draft.standing(c.incident) == scope)
        )
        return tuple(
            r
            for c in here
            for r in c.reports
            if (told := draft.state.reports.get(r)) is not None and told.sites
        )[:SHOWN_REPORTS]

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        return reports_of_marked(draft, scope, "cause:gas_leak", ("",)) or around(draft, scope)

    def value(draft: Draft, scope: Scope) -> float | None:
        at_site = next(sites_marked(draft, scope, "cause:gas_leak", ("",)), None)
        return 0.0 if at_site is not None or around(draft, scope) else None

    return Metric(value, topics("mark:cause:gas_leak", "placeless"), reports, none)


def logistics_need(of: Asked) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        centres = (
            sum(
                1
                for key, r in draft.state.readings.items()
                if key.startswith("reception_centre|") and r.value > 0
            )
            if scope is None
            else 0
        )
        return draft.state.counts.get((scope or "", "logistics", ""), 0) + centres

    return Metric(
        value,
        topics("mark:logistics", "readings"),
        lambda draft, scope: reports_of_marked(draft, scope, "logistics", ("",)),
    )

# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics of declarations of authorities and operators, read from the flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from schemas.alerts import FlagRow
from schemas.meals import MEALS_FAIL_BELOW, meals_left, meals_served_by
from services.alerts.levels.metrics.base import (
    SHOWN_REPORTS,
    Args,
    Asked,
    Maker,
    Metric,
    Scope,
    Shown,
    as_shown,
    none,
    several,
    topics,
)
from services.alerts.levels.metrics.sites import reports_of_marked, unavailability
from services.alerts.reference.constants import (
    CENTRAL,
    COLOURS,
    ISOLATION,
    MEALS_MARK,
    TRANSVERSE_H,
    colour_rank,
)

if TYPE_CHECKING:
    from services.alerts.decision import Draft


def is_true(row: FlagRow | None) -> bool:
    """Return whether a flag is true and in force, and not by planned works alone.

    Rule D64, maintenance windows.
    """
    return (
        row is not None and not row.maintenance and row.effective_from is None and row.value is True
    )


def is_of(draft: Draft, row: FlagRow, scope: Scope) -> bool:
    """Return whether this incident, or one merged into it, raised the flag.

    True for the territory.
    """
    return scope is None or draft.standing(row.incident) == scope


def flag_in(draft: Draft, scope: Scope, id: str) -> FlagRow | None:
    row = draft.state.flags.get(id)
    if row is None or row.maintenance:
        return None
    return row if is_of(draft, row, scope) else None


def from_flag(
    make_id: Callable[[Args], str],
    read: Callable[[FlagRow], float],
    margin: Callable[[float], float] = none,
    shown: Callable[[float], Shown] = as_shown,
    absent: float | None = 0.0,
) -> Maker:
    def make(of: Asked) -> Metric:
        id = make_id(of.args)

        def value(draft: Draft, scope: Scope) -> float | None:
            row = flag_in(draft, scope, id)
            return absent if row is None else read(row)

        def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
            row = flag_in(draft, scope, id)
            return row.reports if row else ()

        return Metric(value, topics("flags"), reports, margin, shown)

    return make


def vigilance(of: Asked) -> Metric:
    named = None if of.args["phenomenon"] == "any" else frozenset(several(of.args, "phenomenon"))

    def worst(draft: Draft, scope: Scope) -> FlagRow | None:
        rows = [
            row
            for id, row in draft.state.flags.items()
            if id.startswith("vigilance:")
            and (named is None or id[10:] in named)
            and is_of(draft, row, scope)
        ]
        return max(rows, key=lambda r: (colour_rank(str(r.value)), r.id), default=None)

    def value(draft: Draft, scope: Scope) -> float:
        row = worst(draft, scope)
        return colour_rank(str(row.value)) if row else 0

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        row = worst(draft, scope)
        return row.reports if row else ()

    return Metric(
        value,
        topics("flags"),
        reports,
        none,
        lambda v: COLOURS[max(int(v), 0)],
        lambda text: float(colour_rank(text)),
    )


def system_down(of: Asked) -> Metric:
    systems = several(of.args, "systems")
    spared = (
        frozenset(of.territory.policy.systems_spared) if of.territory.policy else frozenset[str]()
    )

    def down(draft: Draft, scope: Scope) -> list[FlagRow]:
        isolation, found = draft.state.flags.get(f"flag:{ISOLATION}"), []
        for system in systems:
            row = draft.state.flags.get(f"system:{system}")
            cut = is_true(isolation) and system not in spared and isolation is not None
            if cut and isolation is not None and (row is None or row.since < isolation.since):
                row = isolation  # an isolation downs it until it is reported restored (D40)
            elif row is None or row.value != "down" or row.maintenance:
                continue
            if is_of(draft, row, scope):
                found.append(row)
        return found

    return Metric(
        lambda draft, scope: len(down(draft, scope)),
        topics("flags"),
        lambda draft, scope: tuple(
            dict.fromkeys(r for row in down(draft, scope) for r in row.reports)
        )[:SHOWN_REPORTS],
        none,
    )


def served_pct(row: FlagRow) -> float:
    """Return the meals that a kitchen or supplier still serves, in per cent.

    An announced failure has not begun.
    """
    if row.effective_from is not None:
        return 100.0
    return meals_served_by(row.value)


def catering_down(of: Asked) -> Metric:
    """Count sites with a kitchen that serve less than half of their meals.

    The reason may be at the site, at the kitchen that serves it, or at the supplier. Rules D13 and
    D40.
    """
    kinds = several(of.args, "kind", "kinds")
    groups = tuple(f"kind:{kind}" for kind in kinds)
    served = {
        k: tuple(s for s in sites if of.territory.kind(s) in kinds)
        for k, sites in of.territory.kitchens.items()
    }

    def failed(draft: Draft, scope: Scope) -> list[FlagRow]:
        rows = (
            row for id, row in draft.state.flags.items() if id.startswith(("kitchen:", "supplier:"))
        )
        return [row for row in rows if not row.maintenance and is_of(draft, row, scope)]

    def value(draft: Draft, scope: Scope) -> float:
        marks, owner = draft.state.marks, scope or ""
        total = sum(draft.state.counts.get((owner, MEALS_MARK, group), 0) for group in groups)
        for row in failed(draft, scope):
            kitchen = row.id.removeprefix("kitchen:")
            if (
                row.id.startswith("kitchen:")
                and meals_left((100.0 - served_pct(row),)) < MEALS_FAIL_BELOW
            ):
                total += sum(
                    not _is_marked(marks.get(site), scope) for site in served.get(kitchen, ())
                )
            elif (
                row.id.startswith("supplier:") and row.effective_from is None and row.value != "up"
            ):
                total += int(
                    max((draft.measured(r, "sites_not_delivered") for r in row.reports), default=0)
                )
        return total

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        declared = (
            r
            for row in failed(draft, scope)
            if served_pct(row) < MEALS_FAIL_BELOW or row.id.startswith("supplier:")
            for r in row.reports
        )
        return tuple(
            dict.fromkeys((*declared, *reports_of_marked(draft, scope, MEALS_MARK, groups)))
        )[:SHOWN_REPORTS]

    return Metric(value, topics("flags", f"mark:{MEALS_MARK}"), reports)


def _is_marked(marks: Mapping[str, tuple[str, ...]] | None, scope: Scope) -> bool:
    by = marks.get(MEALS_MARK) if marks is not None else None
    return by is not None and (scope is None or scope in by)


def transverse_loss(of: Asked) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        isolated = flag_in(draft, scope, f"flag:{ISOLATION}")
        return float(
            is_true(isolated) or unavailability(draft, scope, (CENTRAL,))[0] >= TRANSVERSE_H
        )

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        isolated = flag_in(draft, scope, f"flag:{ISOLATION}")
        if isolated is not None and is_true(isolated):
            return isolated.reports
        return unavailability(draft, scope, (CENTRAL,))[1]

    return Metric(value, topics("flags", f"out:{CENTRAL}"), reports, none, bool)

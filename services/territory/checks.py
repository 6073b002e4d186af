"""Reject impossible values of a territory.

They would stop a decider, run a clock backwards or call nobody.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from typing import Any, Final

from schemas import reference as ref
from schemas.alerts import FAMILIES
from schemas.predicates import (
    CONTINUITY_METRICS,
    AllOf,
    AnyOf,
    Manual,
    Measured,
    Not,
    Predicate,
    has_box,
    list_measured,
)
from schemas.words import Channel, EventType
from services.territory.source import SourceFile, find_line

MAX_LIMIT_H: Final = 10 * 365 * 24
"""Longest time limit: ten years, in hours.

More is a typing error, and its deadline might lie beyond the calendar.
"""
MAX_LIMIT_MIN: Final = 366 * 24 * 60
_TYPES: Final = frozenset(t.value for t in EventType)
_DAYS: Final = frozenset(range(1, 8))
_ID: Final = re.compile(r"[^\s:|/]{1,64}")
"""Form of ids; they are joined by `:`, `|` and `/`."""


def check_site(f: SourceFile, n: int, site: ref.Site) -> None:
    """Check the id, position and counts of a site."""
    if not _ID.fullmatch(site.id):
        f.fault(n, f"site {site.id!r}: an id has 1 to 64 characters and no space, ':', '|' or '/'")
    if not (-90 <= site.lat <= 90 and -180 <= site.lon <= 180):
        f.fault(n, f"site {site.id!r}: {site.lat:g}, {site.lon:g} is no place on Earth")
    for name in ("staff", "desks", "public_capacity"):
        if getattr(site, name) < 0:
            f.fault(n, f"site {site.id!r}: {name} is below 0")


def check_activity(f: SourceFile, node: Any, activity: ref.Activity) -> None:
    """Check the time limits and the minimum of an activity."""
    for name in ("rto_h", "dmia_h"):
        if not 0 < getattr(activity, name) <= MAX_LIMIT_H:
            f.fault(
                find_line(node, name),
                f"activity {activity.id}: {name} must be more than 0 and at most {MAX_LIMIT_H} h",
            )
    if not 0 <= activity.pdma_h <= MAX_LIMIT_H:
        f.fault(
            find_line(node, "pdma_h"),
            f"activity {activity.id}: pdma_h must be from 0 to {MAX_LIMIT_H} h",
        )
    if not 0 <= activity.mbco_pct <= 100:
        f.fault(
            find_line(node, "mbco_pct"), f"activity {activity.id}: mbco_pct must be from 0 to 100"
        )


def _check_natures(f: SourceFile, doc: Any, policy: ref.Escalation) -> None:
    """Name kinds of event that no incident has, and roles that nobody declared for them."""
    for nature, role in policy.role_by_nature.items():
        line = find_line(doc["qui_par_nature"], nature)
        if nature not in FAMILIES and nature not in set(EventType):
            f.fault(
                line,
                f"calls for {nature!r}: it is neither a type of report nor a family of incidents",
            )
        if role not in policy.roles:
            f.fault(line, f"calls for {nature}: role {role!r} is not declared")


def check_policy(
    f: SourceFile, doc: Any, policy: ref.Escalation, activities: Collection[str]
) -> None:
    """Check calendars, holidays, shorter limits, and roles of levels and alarms."""
    _check_calendars(f, doc, policy)
    for fault in ref.find_quiet_hour_faults(policy):
        f.fault(find_line(doc, "heures_silence"), fault)
    for where, fault in ref.find_escalation_faults(policy):
        f.fault(
            find_line(doc, "apres_derniere_vague")
            if where is None
            else find_line(doc["vagues"][where[0]], where[1]),
            fault,
        )
    for k, level in enumerate(policy.levels):
        for role in sorted(set(level.pilots) - policy.roles.keys()):
            f.fault(
                find_line(doc["niveaux"], k), f"level {level.level}: role {role!r} is not declared"
            )
        if level.sitrep_every_min is not None and level.sitrep_every_min < 1:
            f.fault(
                find_line(doc["niveaux"], k),
                f"level {level.level}: points de situation come at least one minute apart",
            )
    for k, alarm in enumerate(policy.alarms):
        for role in sorted(set(alarm.to) - policy.roles.keys()):
            f.fault(
                find_line(doc["alarmes_rto"], k),
                f"alarm {alarm.base} {alarm.pct} %: role {role!r} is not declared",
            )
        if alarm.pct < 1:
            f.fault(
                find_line(doc["alarmes_rto"], k), f"alarm {alarm.base}: a percentage is 1 at least"
            )
    _check_natures(f, doc, policy)
    digest = policy.vigilance_digest
    for role in sorted(set(digest.to) - policy.roles.keys()) if digest is not None else ():
        f.fault(
            find_line(doc, "vigilance_jaune"), f"yellow vigilance: role {role!r} is not declared"
        )
    if digest is not None and Channel.VOICE in digest.channels:
        f.fault(
            find_line(doc, "vigilance_jaune"),
            "yellow vigilance: it calls nobody, so the voice is none of its channels",
        )
    for k, surcharge in enumerate(policy.surcharges):
        for what in _find_surcharge_faults(surcharge, activities):
            f.fault(
                find_line(doc["surcharges_dmia"], k),
                f"shorter limit of {surcharge.activity}: {what}",
            )


def _check_calendars(f: SourceFile, doc: Any, policy: ref.Escalation) -> None:
    for calendar in policy.calendars:
        where = find_line(doc["calendriers"], calendar.id)
        if not 0 <= calendar.open_min < calendar.close_min <= 24 * 60:
            f.fault(
                where,
                f"calendar {calendar.id!r}: it must open before it closes, on the same day (24:00 is its end)",
            )
        if not calendar.weekdays or not set(calendar.weekdays) <= _DAYS:
            f.fault(
                where, f"calendar {calendar.id!r}: days are 1 (Monday) to 7 (Sunday), at least one"
            )
    for day in policy.holidays:
        if not _is_day(day):
            f.fault(find_line(doc, "jours_feries"), f"{day!r} is not a day such as 2026-11-11")
    for first, last in policy.school_holidays:
        if not (_is_day(first) and _is_day(last) and first <= last):
            f.fault(
                find_line(doc, "vacances_scolaires"),
                f"{first!r} to {last!r} are not two days such as 2026-10-17, the first before the last",
            )


def _find_surcharge_faults(surcharge: ref.Surcharge, activities: Collection[str]) -> Iterator[str]:
    if surcharge.activity not in activities:
        yield "no such activity"
    if not 0 < surcharge.dmia_h <= MAX_LIMIT_H or (
        surcharge.rto_h is not None and not 0 < surcharge.rto_h <= surcharge.dmia_h
    ):
        yield "dmia_h and rto_h must be more than 0, and rto_h not longer than dmia_h"
    if not all(1 <= day <= 31 for day in surcharge.days_of_month):
        yield "days of a month are 1 to 31"


def check_plan(f: SourceFile, node: Any, plan: ref.Plan) -> None:
    """Check the times of a plan's cards and of its stand-down."""
    for k, card in enumerate(plan.cards):
        if abs(card.t_min) > MAX_LIMIT_MIN:
            f.fault(
                find_line(node["fiches"], k),
                f"plan {plan.id}: t_min {card.t_min} is more than a year away",
            )
    if plan.stand_down is not None and not 0 <= plan.stand_down.hold_min <= MAX_LIMIT_MIN:
        f.fault(
            find_line(node, "levee"),
            f"plan {plan.id}: maintien_min must be from 0 to {MAX_LIMIT_MIN}",
        )
    if (
        plan.stand_down is not None
        and plan.stand_down.when is not None
        and _count_measured_places(plan.stand_down.when) > 1
    ):
        f.fault(
            find_line(node, "levee"),
            f"plan {plan.id}: measured conditions must stand together, apart from boxes to tick, and no box under `not`",
        )


def _count_measured_places(predicate: Predicate) -> int:
    """Count the places of a stand-down where measured conditions stand beside boxes.

    Measured conditions have one common value, which can be shown at one place only.
    """
    match predicate:
        case Manual():
            return 0
        case AnyOf(any=parts) | AllOf(all=parts):
            places = [_count_measured_places(part) for part in parts]
            together = any(
                place == 1 and not has_box(part) for part, place in zip(parts, places, strict=True)
            )
            return int(together) + sum(
                place for part, place in zip(parts, places, strict=True) if has_box(part)
            )
        case Not(negated=part):
            return 2 if has_box(part) else 1
        case _:
            return 1


def check_predicates(
    f: SourceFile, line: int, what: str, predicates: Iterable[Any], activities: Collection[str]
) -> None:
    """Check that predicates name existing report types and activities, and numbers and lists."""
    for comparison in (m for predicate in predicates for m in list_measured(predicate)):
        if comparison.metric == "max_severity":
            for unknown in sorted(
                {*comparison.args.get("types", ()), *comparison.args.get("sauf_types", ())} - _TYPES
            ):
                f.fault(line, f"{what}: {comparison.metric}: {unknown!r} is no type of report")
        for fault in (
            _find_metric_faults(comparison, activities)
            if comparison.metric in CONTINUITY_METRICS
            else ()
        ):
            f.fault(line, f"{what}: {comparison.metric}: {fault}")


def _find_metric_faults(comparison: Measured, activities: Collection[str]) -> Iterator[str]:
    if isinstance(comparison.value, bool | str):
        yield f"value {comparison.value!r} is not a number"
    for name in ("criticality", "activities", "sauf_activites"):
        if not isinstance(comparison.args.get(name, []), list):
            yield f"{name} is a list"
            return
    activity_ids = (
        *comparison.args.get("activities", []),
        *comparison.args.get("sauf_activites", []),
    )
    yield from (f"activity {a!r} is not declared" for a in activity_ids if a not in activities)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True

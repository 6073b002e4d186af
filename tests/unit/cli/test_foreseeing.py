"""The effect of a change on recorded crises, in figures (D63)."""

from __future__ import annotations

from schemas.base import MINUTE_MS
from schemas.reference_changes import Foreseen, PlanTime
from services.simulation.effects import MAX_NAMED_REALMS, Comparison, sum_up_effects
from services.simulation.history import Difference, HistorySummary, Milestone


def outcome(realm: str, *found: Difference) -> Comparison:
    return Comparison(realm, (10, 10), HistorySummary(), HistorySummary(), list(found), 0.1)


def person(what: str, before: int | None, after: int | None) -> Difference:
    def at(minute: int | None) -> int | None:
        return None if minute is None else minute * MINUTE_MS

    return Difference(Milestone("person", "maire", what, "S-1"), at(before), at(after))


def test_calls_are_counted_once_by_their_change() -> None:
    sooner = outcome(
        "92~ex-1", person("called", 20, 15), person("reached", 21, 16), person("called", None, 30)
    )
    later = outcome(
        "92~ex-2",
        person("called", 20, 25),
        person("called", 20, None),
        Difference(Milestone("level", "territory", "N2"), 1, None),
    )
    calm = outcome("92~ex-3")
    assert sum_up_effects([sooner, later, calm], unread=2) == Foreseen(
        crises=3,
        moved=2,
        earlier=1,
        later=1,
        lost=1,
        added=1,
        levels=1,
        unread=2,
        worse=("92~ex-2",),
    )


def test_plans_and_activities_are_counted_apart() -> None:
    crisis_outcome = outcome(
        "92",
        Difference(Milestone("plan", "PT-CRUE", "active"), 1, 2),
        Difference(Milestone("activity", "SOL-01", "degraded"), None, 2),
    )
    plan_time = PlanTime(realm="92", plan="PT-CRUE", state="active", before=1, after=2)
    assert sum_up_effects([crisis_outcome], 0) == Foreseen(
        crises=1, moved=1, plans=1, activities=1, plan_times=(plan_time,)
    )


def test_without_a_crisis_there_is_nothing_to_weigh() -> None:
    assert sum_up_effects([], 0) == Foreseen(crises=0)


def test_only_the_first_of_many_worse_crises_are_named() -> None:
    many = [outcome(f"92~ex-{n}", person("called", 1, 2)) for n in range(MAX_NAMED_REALMS + 5)]
    assert len(sum_up_effects(many, 0).worse) == MAX_NAMED_REALMS

"""The law of reassignments: a log that keeps it, and one mutant per way of breaking it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.base import RowFact, load_messages
from schemas.topics import PARTITION_COUNT, list_destinations, partition_of
from schemas.words import EventType
from services.verify.chain import LogFold
from services.verify.laws import Findings, check_reassignments
from tests.unit.continuity.test_reassigning import answer, approve, current, fire
from tests.unit.continuity.world import REALM, World

COLLECTIONS = {
    cls.__name__: cls.collection for cls in load_messages().values() if issubclass(cls, RowFact)
}
PARTITION = partition_of(REALM, PARTITION_COUNT)


@pytest.fixture(scope="module")
def decided() -> World:
    world = World()
    world.hit("cen-2", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:50")
    fire(world)
    return world


def judged(
    world: World, change: Callable[[dict[tuple[str, str], dict[str, Any]]], None] | None = None
) -> Findings:
    findings = Findings()
    fold = LogFold("continuity", PARTITION, findings.breach)
    for stored in world.service.log.of(REALM):
        fold.feed(stored.offset, stored.raw, COLLECTIONS, list_destinations)
    fold.rows = json.loads(json.dumps({"|".join(key): rows for key, rows in fold.rows.items()}))
    fold.rows = {tuple(key.split("|")): rows for key, rows in fold.rows.items()}  # type: ignore[misc]  # a copy that a test may damage
    if change is not None:
        change(fold.rows)
    check_reassignments({("continuity", PARTITION): fold}, findings)
    return findings


def test_sound_history_has_no_breach(decided: World) -> None:
    findings = judged(decided)
    assert (findings.broken, findings.pending) == ([], {})
    assert current(decided).decisions


def _forged(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    one = next(iter(rows[REALM, "reassignments"].values()))
    rows[REALM, "reassignments"]["forged"] = one | {"id": "forged"}


def _twice(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    one = next(order for order in rows[REALM, "reassignment_orders"].values() if order["lines"])
    rows[REALM, "reassignment_orders"]["again"] = one | {"id": "again"}


def _nameless(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    next(iter(rows[REALM, "reassignments"].values()))["approved_by"] = ""


def _without_a_rule(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    next(p for p in rows[REALM, "proposals"].values() if p["decisions"])["decisions"][0][
        "rules"
    ] = []


def _without_a_role(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    next(p for p in rows[REALM, "proposals"].values() if p["decisions"])["decisions"][0]["role"] = (
        ""
    )


def _decided_again(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    decisions = next(p for p in rows[REALM, "proposals"].values() if p["decisions"])["decisions"]
    decisions.append(decisions[0] | {"id": "again", "verb": "decline"})


def _more_than_approved(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    next(iter(rows[REALM, "reassignments"].values()))["count"] += 1


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_forged, "nobody approved"),
        (_twice, "two orders"),
        (_nameless, "does not name"),
        (_without_a_rule, "no rule"),
        (_without_a_role, "no role"),
        (_decided_again, "decided 2 times"),
        (_more_than_approved, "differs from what was approved in count"),
    ],
)
def test_each_breach_has_its_sentence(
    decided: World, damage: Callable[[Any], None], says: str
) -> None:
    assert any(
        law == "reassignment" and says in sentence
        for law, sentence in judged(decided, damage).broken
    )


def test_an_approval_without_its_order_is_missed(decided: World) -> None:
    def lose(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
        rows[REALM, "reassignments"].popitem()

    findings = judged(decided, lose)
    assert findings.broken == []
    assert [law for law, _ in findings.pending] == ["reassignment"]


def _agents_twice(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    next(iter(rows[REALM, "reassignments"].values()))["needed"] += 1000


def _desks_twice(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    moved = rows[REALM, "reassignments"].values()
    host = next(
        row["place"]
        for row in moved
        if row["place"] not in ("telework", row["need_site"] or row["site"])
    )
    for row in moved:
        row["place"] = host


@pytest.mark.parametrize(
    ("damage", "says"),
    [(_agents_twice, "are reassigned and there are"), (_desks_twice, "free desks")],
)
def test_agents_and_desks_count_once(
    decided: World, damage: Callable[[Any], None], says: str
) -> None:
    """Pending at first: a new version of the staff is taken back by the next proposal."""
    assert any(
        law == "reassignment" and says in sentence
        for (law, _), sentence in judged(decided, damage).pending.items()
    )


def test_returned_agents_may_leave_again(decided: World) -> None:
    def released(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
        _agents_twice(rows)
        next(iter(rows[REALM, "reassignments"].values()))["state"] = "released"

    assert judged(decided, released).pending == {}

"""The auditor's law of reassignments, on a real log of continuity and damaged copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.topics import PARTITION_COUNT, list_destinations, partition_of
from schemas.words import EventType
from services.verify.auditor.open_items import OpenItems
from tests.unit.continuity.test_reassigning import answer, approve, fire
from tests.unit.continuity.world import REALM, World

LIVE = "92"
HOUR = 3_600_000
Record = dict[str, Any]


@pytest.fixture(scope="module")
def log() -> list[Record]:
    """Build the records of a live realm: closed, proposed, approved, ordered."""
    world = World()
    world.hit("cen-2", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:50")
    fire(world)
    return [json.loads(stored.raw) for stored in world.service.log.of(REALM)]


def judged(log: list[Record], damage: Callable[[Record], None] | None = None) -> list[str]:
    """Return the breaches of this law after an hour. Every record is chained anew."""
    books = OpenItems(partition_of(LIVE, PARTITION_COUNT), list_destinations, lambda *_: False)
    at = 0
    for offset, record in enumerate(json.loads(json.dumps(log))):
        if damage is not None:
            damage(record)
        chain, at = books.chain("continuity"), max(at, record["at"])
        record |= {"realm": LIVE, "seq": chain.seq + 1, "prev": chain.head, "next_due": None}
        books.feed("continuity", offset, json.dumps(record).encode(), record, record["at"])
    return [b.what for b in books.breaches(at + HOUR, {}) if b.law == "reassignment"]


def of(tx: Record, name: str) -> list[Record]:
    return [f["data"] for f in tx["facts"] if f["type"].startswith(f"vigie.{name}.")]


def drop(name: str) -> Callable[[Record], None]:
    def damage(tx: Record) -> None:
        tx["facts"] = [f for f in tx["facts"] if not f["type"].startswith(f"vigie.{name}.")]

    return damage


def forget_approval(tx: Record) -> None:
    tx["facts"] = [
        f
        for f in tx["facts"]
        if not (
            f["type"].startswith("vigie.ProposalChanged.") and f["data"]["change"] == "approved"
        )
    ]


def order_again(tx: Record) -> None:
    tx["facts"] += [f for f in tx["facts"] if f["type"].startswith("vigie.ReassignmentOrdered.")]


def another_author(tx: Record) -> None:
    for data in of(tx, "ReassignmentChanged"):
        data["row"]["approved_by"] = "somebody else"


def without_a_rule(tx: Record) -> None:
    for data in of(tx, "ProposalChanged"):
        for decision in data["row"]["decisions"]:
            decision["rules"] = []


def test_approved_lines_are_ordered_once(log: list[Record]) -> None:
    assert any(of(tx, "ReassignmentOrdered") for tx in log)
    assert judged(log) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (drop("ReassignmentOrdered"), "have no order"),
        (forget_approval, "nobody approved"),
        (order_again, "was ordered before"),
        (another_author, "does not name the person"),
        (without_a_rule, "no rule"),
    ],
)
def test_each_breach_has_its_sentence(
    log: list[Record], damage: Callable[[Record], None], says: str
) -> None:
    assert any(says in what for what in judged(log, damage))


def test_approvals_before_a_loss_of_history_are_not_missing(log: list[Record]) -> None:
    """The new history decides again; an order without its approval is then no breach."""

    def lost(tx: Record) -> None:
        tx["history"] = 1
        forget_approval(tx)

    assert judged(log, lost) == []

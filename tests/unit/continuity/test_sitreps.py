"""Situation reports follow the level's rhythm and are numbered and frozen by hash (D54).

Improvement actions have an owner and a date (D53).
"""

from __future__ import annotations

from schemas.alerts import AttentionRequested
from schemas.commands import AddImprovement, CloseImprovement, IssueSitrep
from schemas.continuity import ImprovementChanged, SitrepIssued
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Level
from tests.unit.continuity.world import World, clock

SHA = "ab" * 32


def issue(world: World, number: int, as_of: str, known: str, role: str = "cell") -> str:
    """Validate a point as a person; return `applied` or the refusal."""
    command = IssueSitrep(
        author="p-1",
        role=role,
        number=number,
        as_of=world.instant(as_of),
        text_id=f"t-{number}",
        sha256=SHA,
        counts={"sites:closed": 3},
        incidents=("i-1",),
    )
    return said(world.say(command, known))


def said(answer: CommandApplied | CommandRefused) -> str:
    return "applied" if isinstance(answer, CommandApplied) else f"{answer.status} {answer.code}"


def dues(world: World) -> list[str | None]:
    """List the times of the requests for a point."""
    name = AttentionRequested.__name__
    return [
        clock(r.at) for r in world.records() if r.name == name and r.data["code"] == "sitrep_due"
    ]


def test_the_rhythm_of_the_level_makes_the_next_point_due() -> None:
    world = World()
    world.level(Level.N2, "09:41")
    world.until("10:40")
    assert dues(world) == []
    world.until("14:00")
    assert dues(world) == ["10:41"], "asked for once: the task stays open until somebody validates"
    assert issue(world, 1, "14:00", "14:01") == "applied"
    row = world.facts(SitrepIssued)[-1].row
    assert (row.number, row.level, clock(row.as_of), clock(row.issued_at), clock(row.next_at)) == (
        1,
        2,
        "14:00",
        "14:01",
        "15:00",
    )
    assert (row.sha256, row.counts, row.incidents) == (SHA, {"sites:closed": 3}, ("i-1",))
    world.until("15:30")
    assert dues(world) == ["10:41", "15:00"]


def test_a_higher_level_makes_the_point_due_sooner_and_no_level_never() -> None:
    world = World()
    world.level(Level.N1, "09:41")
    world.level(Level.N2, "11:00")
    assert dues(world) == ["11:00"], "60 min after 09:41 is past"
    world.level(Level.N0, "11:10")
    assert issue(world, 1, "11:15", "11:16") == "applied"
    assert world.facts(SitrepIssued)[-1].row.next_at is None
    world.until("18:00")
    assert dues(world) == ["11:00"]


def test_numbers_and_times_of_points_increase() -> None:
    world = World()
    world.level(Level.N3, "09:41")
    assert issue(world, 1, "10:16", "10:16") == "applied"
    assert issue(world, 1, "10:17", "10:17") == "412 sitrep_number"
    assert issue(world, 3, "10:18", "10:18") == "412 sitrep_number"
    assert issue(world, 2, "10:16", "10:19") == "409 sitrep_older"
    assert issue(world, 2, "10:30", "10:20") == "409 sitrep_ahead"
    assert issue(world, 2, "10:21", "10:21", role="observer") == "403 not_allowed"
    assert issue(world, 2, "10:21", "10:22") == "applied"
    assert [f.row.number for f in world.facts(SitrepIssued)] == [1, 2]


def test_an_improvement_has_an_owner_and_a_date_and_ends_with_a_comment() -> None:
    world = World()
    due = world.instant("2027-03-11 18:00")
    add = AddImprovement(
        author="p-1", role="coordinator", text_id="t-1", owner="coordinateur_pca", due_at=due
    )
    assert said(world.say(add, "10:00")) == "applied"
    row = world.facts(ImprovementChanged)[-1].row
    assert (row.state, row.owner, row.due_at, list(world.state.improvements)) == (
        "open",
        "coordinateur_pca",
        due,
        [row.id],
    )
    assert (
        said(world.say(add.model_copy(update={"owner": "nobody"}), "10:01")) == "404 role_not_found"
    )
    assert (
        said(world.say(add.model_copy(update={"due_at": world.instant("09:59")}), "10:02"))
        == "409 until_past"
    )
    drop = CloseImprovement(author="p-2", role="coordinator", improvement=row.id, dropped=True)
    assert said(world.say(drop, "10:03")) == "409 reason_required"
    assert said(world.say(drop.model_copy(update={"dropped": False}), "10:04")) == "applied"
    closed = world.facts(ImprovementChanged)[-1].row
    assert (closed.state, closed.closed_by, clock(closed.closed_at)) == ("done", "p-2", "10:04")
    assert said(world.say(drop, "10:05")) == "404 improvement_not_found"
    assert not world.state.improvements

"""Idle agents away from their site are recalled, and new lines count on them."""

from __future__ import annotations

from schemas import reassignment as m
from schemas import reference as ref
from services.continuity.reassignment.model.moves import DISPLACED, LineKey
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from services.continuity.reassignment.recalls import IdleAgents, count_idle_agents
from tests.unit.continuity.reassignment.cases import cell, rule, site

CELL = ("a", "SOL-04", "infirmier")


def line(place: str = "b") -> LineKey:
    return LineKey(*CELL, DISPLACED, "", "", "", place)


def sent(id: str, count: int, needed: int) -> m.ReassignmentRow:
    """Return agents of the cell sent elsewhere by an approved line."""
    return m.ReassignmentRow(
        id=id,
        site=CELL[0],
        activity=CELL[1],
        metier=CELL[2],
        supply="displaced",
        place="c",
        count=count,
        criticality=1,
        proposal="p",
        decision="d",
        state=m.LineState.DISPATCHED,
        needed=needed,
        approved_by="p-1",
        approved_role="director",
        approved_at=0,
        rules=("D49",),
    )


def of(
    new: list[int], *moved: m.ReassignmentRow, kept: tuple[m.KeptRow, ...] = ()
) -> list[IdleAgents]:
    """Return the idle agents of a site with ten agents of the cell and no seats."""
    staffing = ref.Staffing(
        cells=(cell("a", "SOL-04", "infirmier", 10, 4),),
        rules=(rule("SOL-04", 1),),
        substitutions=(),
    )
    tables = ReferenceTables([site("a"), site("b", 500), site("c", 500)], staffing)
    situation = ModelSituation({"a": SiteCapacityState(100, 0, False)}, 0, True, True)
    return count_idle_agents(tables, situation, moved, kept, [(line(), count) for count in new])


def test_needed_agents_are_not_recalled() -> None:
    assert of([3, 4], sent("x", 3, 3)) == [IdleAgents(), IdleAgents()]


def test_agents_without_an_order_go_first() -> None:
    """Ten agents, four unneeded elsewhere: six are free, the seventh and eighth are recalled."""
    assert of([5, 3], sent("x", 4, 0)) == [IdleAgents(), IdleAgents(recalled_count=2)]


def test_an_unneeded_line_ends_before_a_partly_needed_one() -> None:
    """Two free, two on an unneeded line, four beyond the need of another line."""
    assert of([3, 4], sent("x", 2, 0), sent("y", 6, 2)) == [
        IdleAgents(recalled_count=1),
        IdleAgents(recalled_count=1, held_count=3),
    ]


def test_the_new_situation_gives_the_needs() -> None:
    moved = (sent("x", 6, 6), sent("y", 4, 4))
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=4),)) == [IdleAgents(held_count=2)]
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=0),)) == [IdleAgents(recalled_count=2)]
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=0, void=True),)) == [IdleAgents()], (
        "they are back: their place was lost"
    )


def test_agents_of_a_dropped_cell_do_not_count() -> None:
    row = sent("x", 2, 0).model_copy(update={"metier": "gone"})
    assert of([3], row) == [IdleAgents()]

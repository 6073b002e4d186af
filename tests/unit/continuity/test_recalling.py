"""Who is elsewhere for nothing, and which of the new lines count on them."""

from __future__ import annotations

from schemas import reassignment as m
from schemas import reference as ref
from services.continuity.reassignment.model.previous import DISPLACED, LineKey
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from services.continuity.reassignment.recalls import IdleAgents, count_idle_agents
from tests.unit.continuity.reassignment.cases import cell, rule, site

CELL = ("a", "SOL-04", "infirmier")


def line(place: str = "b") -> LineKey:
    return LineKey(*CELL, DISPLACED, "", "", "", place)


def sent(id: str, count: int, needed: int) -> m.ReassignmentRow:
    """Agents of the cell whom an approved line sent elsewhere."""
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
    """The site has ten agents of the cell and no seats."""
    staffing = ref.Staffing(
        cells=(cell("a", "SOL-04", "infirmier", 10, 4),),
        rules=(rule("SOL-04", 1),),
        substitutions=(),
    )
    tables = ReferenceTables([site("a"), site("b", 500), site("c", 500)], staffing)
    situation = ModelSituation({"a": SiteCapacityState(100, 0, False)}, 0, True, True)
    return count_idle_agents(tables, situation, moved, kept, [(line(), count) for count in new])


def test_nobody_is_called_back_while_all_who_were_sent_are_needed() -> None:
    assert of([3, 4], sent("x", 3, 3)) == [IdleAgents(), IdleAgents()]


def test_who_has_no_order_goes_first() -> None:
    """Ten agents, four elsewhere for nothing: six are free, the seventh and eighth are called back."""
    assert of([5, 3], sent("x", 4, 0)) == [IdleAgents(), IdleAgents(recalled=2)]


def test_a_line_that_needs_nobody_is_ended_before_one_that_needs_some_is_touched() -> None:
    """Two free, two on a line that needs nobody, four beyond what another line needs."""
    assert of([3, 4], sent("x", 2, 0), sent("y", 6, 2)) == [
        IdleAgents(recalled=1),
        IdleAgents(recalled=1, held=3),
    ]


def test_what_the_new_situation_needs_counts_and_not_what_the_former_did() -> None:
    moved = (sent("x", 6, 6), sent("y", 4, 4))
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=4),)) == [IdleAgents(held=2)]
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=0),)) == [IdleAgents(recalled=2)]
    assert of([2], *moved, kept=(m.KeptRow(line="x", needed=0, void=True),)) == [IdleAgents()], (
        "they are back: their place was lost"
    )


def test_agents_of_a_cell_that_the_data_dropped_are_nobody() -> None:
    row = sent("x", 2, 0).model_copy(update={"metier": "gone"})
    assert of([3], row) == [IdleAgents()]

"""The fault matrix shows exactly the faults that the tests declare."""

from __future__ import annotations

from tests.faults.matrix import ABSENT, COMPONENTS, FAULTS, PAGE, cells, page, read_measured


def test_the_fault_matrix_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_measured()), (
        "python -m tests.faults.matrix"
    )


def test_figures_belong_to_tests_that_prove_something() -> None:
    assert set(read_measured()) <= {c.test for c in cells()}, (
        "a test was renamed or proves nothing any more: take its figures away"
    )


def test_an_empty_cell_is_declared_empty() -> None:
    filled = {(c.component, c.fault) for c in cells()}
    cell_rows = [row.split(" | ")[1:] for row in page({}).splitlines() if row.startswith("| **")]
    assert len(cell_rows) == len(COMPONENTS)
    empty = sum(cell.strip(" |") == "–" for row in cell_rows for cell in row)
    assert empty == len(COMPONENTS) * len(FAULTS) - len(filled | ABSENT.keys())


def test_an_impossible_cell_has_no_test() -> None:
    assert not ABSENT.keys() & {(c.component, c.fault) for c in cells()}


def test_every_loss_is_named() -> None:
    assert {c.lost for c in cells()} <= {"0", "named"}
    assert {c.doubled for c in cells()} <= {"0", "said"}

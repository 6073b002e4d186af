"""Every commune has its own tile in the cartogram, near its place and always the same."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.console.sites.cartogram import (
    abbreviate_name,
    assign_columns,
    place_points,
    split_name,
)
from tests.shipped import territory

tables = st.integers(1, 5).flatmap(
    lambda rows: st.integers(rows, 6).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 30), min_size=columns, max_size=columns),
            min_size=rows,
            max_size=rows,
        )
    )
)


@given(tables)
def test_the_assignment_is_the_cheapest_of_all(costs: list[list[int]]) -> None:
    assignment = assign_columns(costs)
    assert len(set(assignment)) == len(costs)
    every = itertools.permutations(range(len(costs[0])), len(costs))
    assert sum(costs[i][k] for i, k in enumerate(assignment)) == min(
        sum(costs[i][k] for i, k in enumerate(way)) for way in every
    )


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=40))
def test_no_two_communes_share_a_tile(points: list[tuple[float, float]]) -> None:
    cells = place_points(tuple(points))
    assert len(cells) == len(points)
    assert len(points) < 2 or len(set(cells)) == len(points)
    assert not cells or (min(col for col, _ in cells), min(row for _, row in cells)) == (0, 0)


def test_neighbours_keep_their_sides() -> None:
    points = tuple((100.0 * col, 100.0 * row) for col in range(4) for row in range(3))
    cells = dict(zip(points, place_points(points), strict=True))
    for (x, y), (col, row) in cells.items():
        assert (x + 100, y) not in cells or cells[x + 100, y][0] >= col
        assert (x, y + 100) not in cells or cells[x, y + 100][1] >= row


def test_names_are_cut_at_allowed_places() -> None:
    assert split_name("Nanterre") == ("Nanterre",)
    assert split_name("Boulogne-Billancourt") == ("Boulogne-", "Billancourt")
    assert split_name("Le Plessis-Robinson") == ("Le Plessis-", "Robinson")
    assert split_name("Villeneuve-la-Garenne") == ("Villeneuve-", "la-Garenne")
    assert [
        abbreviate_name(n)
        for n in ("Nanterre", "Fontenay-aux-Roses", "Ville-d'Avray", "La Garenne-Colombes")
    ] == ["Nant", "FoRo", "ViAv", "GaCo"]


def test_no_two_communes_of_the_territory_have_the_same_letters() -> None:
    names = [c.name for c in territory().communes]
    assert len({abbreviate_name(name) for name in names}) == len(names) == 36

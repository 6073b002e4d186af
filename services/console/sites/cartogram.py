"""Map of the territory as tiles of one size, so that small communes are easy to find and touch.

Each commune gets a cell of a grid. The sum of squared distances to the real positions is minimal,
so neighbours stay near each other.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Final

from schemas.words import SiteStatus
from services.console.resources import Commune
from services.console.sites.map import WORST_FIRST

TILE_SIZE: Final = 100.0
GRID_FACTOR: Final = 1.2
"""Size of a grid cell, as a multiple of the median distance to the nearest neighbour.

Lower values keep more of the shape, higher ones make larger tiles.
"""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tile:
    insee: str
    name: str
    lines: tuple[str, ...]
    """Name in at most two lines that fit a large tile."""
    short: str
    """Name in four letters, for a small tile."""
    x: float
    y: float
    worst: SiteStatus
    affected_count: int
    hit: bool


@dataclass(frozen=True, slots=True)
class Tiles:
    box: str
    tiles: list[Tile]


def build_tiles(communes: Sequence[Commune]) -> Tiles:
    """Place all communes; the same communes always get the same places."""
    ordered_communes = sorted(communes, key=lambda c: c.insee)
    cells = place_points(tuple((c.x, c.y) for c in ordered_communes))
    tiles = [
        Tile(
            c.insee,
            c.name,
            split_name(c.name),
            abbreviate_name(c.name),
            col * TILE_SIZE,
            row * TILE_SIZE,
            next(s for s in WORST_FIRST if c.sites.get(s) or s is SiteStatus.NORMAL),
            sum(n for status, n in c.sites.items() if status is not SiteStatus.NORMAL),
            bool(c.incidents),
        )
        for c, (col, row) in zip(ordered_communes, cells, strict=True)
    ]
    wide, high = (
        max((col for col, _ in cells), default=0) + 1,
        max((row for _, row in cells), default=0) + 1,
    )
    return Tiles(f"-4 -4 {wide * TILE_SIZE + 8:g} {high * TILE_SIZE + 8:g}", tiles)


def split_name(name: str, fits: int = 11) -> tuple[str, ...]:
    """Split a name into at most two lines; a longer line ends with a dot.

    `Boulogne-Billancourt` → `Boulogne-`, `Billancourt`.
    """
    parts = name.replace("-", "-\0").replace(" ", " \0").split("\0")
    lines = [""]
    for part in parts:
        if len((lines[-1] + part).strip()) <= fits or not lines[-1]:
            lines[-1] += part
        else:
            lines.append(part)
    name_lines = [line.strip() for line in lines[:2]]
    return tuple(line if len(line) <= fits + 1 else line[:fits] + "." for line in name_lines)


def abbreviate_name(name: str) -> str:
    """Shorten a name to four letters: `Nanterre` → `Nant`, `Fontenay-aux-Roses` → `FoRo`.

    Two letters of the last word keep names apart that begin alike.
    """
    words = [
        word for word in re.split(r"[-’' ]", name) if word.lower() not in _MINOR_WORDS and word
    ]
    return words[0][:2] + words[-1][:2] if len(words) > 1 else "".join(words)[:4]


_MINOR_WORDS: Final = frozenset(
    {"la", "le", "les", "l", "de", "du", "des", "d", "sur", "sous", "aux", "au", "en", "lès"}
)


@lru_cache(maxsize=8)
def place_points(points: tuple[Point, ...]) -> tuple[tuple[int, int], ...]:
    """Give each point its own cell (column, row), counted from 0."""
    if len(points) < 2:
        return tuple((0, 0) for _ in points)
    nearest = [
        min(math.dist(a, b) for j, b in enumerate(points) if j != i) for i, a in enumerate(points)
    ]
    west, north = min(x for x, _ in points), min(y for _, y in points)
    width, height = max(x for x, _ in points) - west, max(y for _, y in points) - north
    side = max(
        median(nearest) * GRID_FACTOR, max(width, height) / (3 * math.sqrt(len(points))), 1e-6
    )  # stacked points need no finer grid
    wide, high = width / side, height / side
    while (math.ceil(wide) + 1) * (math.ceil(high) + 1) < len(points):
        wide, high = wide + 0.5, high + 0.5
    cells = [(col, row) for row in range(math.ceil(high) + 1) for col in range(math.ceil(wide) + 1)]
    costs = [
        [((x - west) / side - col) ** 2 + ((y - north) / side - row) ** 2 for col, row in cells]
        for x, y in points
    ]
    chosen_cells = [cells[k] for k in assign_columns(costs)]
    left, top = min(col for col, _ in chosen_cells), min(row for _, row in chosen_cells)
    return tuple((col - left, row - top) for col, row in chosen_cells)


def assign_columns(costs: Sequence[Sequence[float]]) -> list[int]:
    """Assign each row its own column at the least total cost.

    Hungarian method with potentials, O(rows² columns). Needs at least as many columns as rows.
    """
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner, before = (
        [0] * (columns + 1),
        [0] * (columns + 1),
    )  # rows and columns count from 1; 0 is free
    for row in range(1, rows + 1):
        owner[0], at = row, 0
        shortest, done_columns = [math.inf] * (columns + 1), [False] * (columns + 1)
        while owner[at] != 0:
            done_columns[at], here = True, owner[at]
            for column in range(1, columns + 1):
                reduced_cost = costs[here - 1][column - 1] - row_price[here] - column_price[column]
                if not done_columns[column] and reduced_cost < shortest[column]:
                    shortest[column], before[column] = reduced_cost, at
            following = min(
                (c for c in range(1, columns + 1) if not done_columns[c]), key=shortest.__getitem__
            )
            step = shortest[following]
            for column in range(columns + 1):
                if done_columns[column]:
                    row_price[owner[column]] += step
                    column_price[column] -= step
                else:
                    shortest[column] -= step
            at = following
        while at:
            owner[at], at = owner[before[at]], before[at]
    assignment = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            assignment[owner[column] - 1] = column - 1
    return assignment

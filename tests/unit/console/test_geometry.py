"""The map of the shipped territory: 36 outlines, every site inside the picture."""

from __future__ import annotations

import csv
import re

from services.console.sites.geometry import MARGIN, WIDTH, draw_path, fit_plane, load_outlines
from tests.shipped import FOLDER


def test_every_outline_lies_in_the_view_box() -> None:
    outlines = load_outlines(FOLDER)
    assert len(outlines.paths) == 36
    for path in outlines.paths.values():
        assert path.startswith("M")
        assert path.endswith("Z")
        numbers = [
            tuple(map(float, pair.split(","))) for pair in re.findall(r"[-\d.]+,[-\d.]+", path)
        ]
        assert all(0 <= x <= WIDTH and 0 <= y <= outlines.plane.height for x, y in numbers)


def test_every_site_lies_in_the_view_box() -> None:
    plane = load_outlines(FOLDER).plane
    with (FOLDER / "sites.csv").open(encoding="utf-8", newline="") as f:
        places = [plane.point(float(row["lon"]), float(row["lat"])) for row in csv.DictReader(f)]
    assert len(places) == 253
    assert all(0 <= x <= WIDTH and 0 <= y <= plane.height for x, y in places)


def test_north_is_up_and_a_ring_is_closed_once() -> None:
    plane = fit_plane([(2.0, 48.0), (3.0, 49.0)])
    assert plane.point(2.0, 49.0) == (MARGIN, MARGIN)
    assert plane.point(3.0, 48.0)[1] == plane.height - MARGIN
    assert draw_path([[[2.0, 48.0], [3.0, 48.0], [3.0, 49.0], [2.0, 48.0]]], plane).count("L") == 2

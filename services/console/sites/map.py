"""Map of affected communes and sites, with glyphs that do not overlap."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.words import SiteStatus
from services.console.resources import Commune, Site
from services.console.texts.names import shorten_site_name

WORST_FIRST: Final = (
    SiteStatus.EVACUATED,
    SiteStatus.SHELTERING,
    SiteStatus.CLOSED,
    SiteStatus.UNKNOWN,
    SiteStatus.DEGRADED,
    SiteStatus.NORMAL,
)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Glyph:
    id: str
    name: str
    commune: str
    status: SiteStatus
    x: float
    y: float
    """Upper left corner of the glyph."""
    size: float


@dataclass(frozen=True, slots=True)
class MapArea:
    insee: str
    name: str
    path: str
    hit: bool
    affected_count: int
    """Number of sites that are not normal."""
    label: Point | None
    """Position of the name (middle of the baseline), or None without a name."""


@dataclass(frozen=True, slots=True)
class MapView:
    box: str
    areas: list[MapArea]
    dots: list[Point]
    """Positions of normal sites."""
    glyphs: list[Glyph]
    dot: float
    """Radius of a dot."""


@lru_cache(maxsize=64)
def push_apart(points: tuple[Point, ...], gap: float) -> tuple[Point, ...]:
    """Push points apart until they are about `gap` from each other.

    The result is deterministic. The few rounds keep crowds together.
    """
    positions = [list(p) for p in points]
    for _round in range(14):
        has_moved = False
        for i, a in enumerate(positions):
            for j in range(i):
                b = positions[j]
                dx, dy = a[0] - b[0], a[1] - b[1]
                if abs(dx) >= gap or abs(dy) >= gap:
                    continue
                distance = (dx * dx + dy * dy) ** 0.5
                if distance >= gap:
                    continue
                has_moved = True
                if distance < 0.01:
                    dx, dy, distance = (
                        (1.0, 0.35 * (j % 3 - 1), 1.06) if i % 2 else (0.35, 1.0, 1.06)
                    )
                push = (gap - distance) / 2 / distance
                a[0], a[1], b[0], b[1] = (
                    a[0] + dx * push,
                    a[1] + dy * push,
                    b[0] - dx * push,
                    b[1] - dy * push,
                )
        if not has_moved:
            break
    return tuple((round(x, 1), round(y, 1)) for x, y in positions)


def sort_worst_last(sites: Iterable[Site]) -> list[Site]:
    """Sort the gravest status last, so that it is drawn above the others."""
    return sorted(sites, key=lambda s: (-WORST_FIRST.index(s.status), s.id))


Box = tuple[float, float, float, float]
"""x, y, width and height of a rectangle."""


@lru_cache(maxsize=256)
def compute_extent(path: str) -> Box:
    """Return the rectangle around an outline."""
    numbers = [float(n) for n in _NUMBER.findall(path)]
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


def is_overlapping(a: Box, b: Box) -> bool:
    """Return True if two rectangles overlap."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def place_labels(
    labels: Sequence[tuple[str, Point, str]], glyphs: Sequence[Glyph], box: Box, font: float
) -> dict[str, Point]:
    """Place each name in or beside its commune, away from glyphs and other names.

    A name that would cover another is left out: the table has it. `labels` holds (name, town hall, outline), the most important first.
    """
    label_boxes: list[Box] = []
    positions: dict[str, Point] = {}
    for name, home, path in labels:
        width, (x, y, w, h) = 0.6 * font * len(name), compute_extent(path)
        beside = [
            (x + w / 2, y - font * 0.4),
            (x + w / 2, y + h + font),
            (x - width / 2, y + h / 2),
            (x + w + width / 2, y + h / 2),
        ]
        corners = [
            (x + w * u, y + h * v) for u in (0.12, 0.5, 0.88) for v in (0.08, 0.3, 0.7, 0.95)
        ]
        spots = [home, *beside, *corners]

        def cost(at: Point, width: float = width, home: Point = home) -> float:
            mine = (at[0] - width / 2, at[1] - font * 0.8, width, font)
            inside = (
                mine[0] >= box[0]
                and mine[1] >= box[1]
                and mine[0] + mine[2] <= box[0] + box[2]
                and at[1] <= box[1] + box[3]
            )
            glyph_overlaps = sum(is_overlapping(mine, (g.x, g.y, g.size, g.size)) for g in glyphs)
            label_overlaps = sum(is_overlapping(mine, other) for other in label_boxes)
            away = (abs(at[0] - home[0]) + abs(at[1] - home[1])) / font
            return (0 if inside else 1000) + 100 * label_overlaps + 3 * glyph_overlaps + 0.5 * away

        best = min(spots, key=cost)
        best_box = (best[0] - width / 2, best[1] - font * 0.8, width, font)
        if any(is_overlapping(best_box, other) for other in label_boxes):
            continue
        label_boxes.append(best_box)
        positions[name] = (round(best[0], 1), round(best[1], 1))
    return positions


def _build_view(
    communes: Sequence[Commune],
    sites: Sequence[Site],
    box: Box,
    size: float,
    labels: int,
    font: float,
) -> MapView:
    abnormal = sort_worst_last(s for s in sites if s.status is not SiteStatus.NORMAL)
    at = push_apart(tuple((s.x, s.y) for s in abnormal), size * 1.12)
    half = size / 2
    glyphs = [
        Glyph(
            s.id,
            shorten_site_name(s.name),
            s.commune_name,
            s.status,
            round(x - half, 1),
            round(y - half, 1),
            size,
        )
        for s, (x, y) in zip(abnormal, at, strict=True)
    ]
    affected_counts = {
        c.insee: sum(n for status, n in c.sites.items() if status is not SiteStatus.NORMAL)
        for c in communes
    }
    hit = {c.insee for c in communes if c.incidents}
    order = sorted(
        communes, key=lambda c: (c.insee not in hit, -affected_counts[c.insee], -c.population)
    )[:labels]
    label_places = place_labels([(c.name, (c.x, c.y), c.path) for c in order], glyphs, box, font)
    areas = [
        MapArea(
            c.insee,
            c.name,
            c.path,
            c.insee in hit,
            affected_counts[c.insee],
            label_places.get(c.name),
        )
        for c in sorted(communes, key=lambda c: (c.insee in hit, c.insee))
    ]
    dots = [(s.x, s.y) for s in sites if s.status is SiteStatus.NORMAL]
    return MapView(" ".join(f"{v:g}" for v in box), areas, dots, glyphs, round(size / 7, 1))


def draw_territory(
    communes: Sequence[Commune],
    sites: Sequence[Site],
    width: float,
    height: float,
    *,
    size: float = 25,
    labels: int = 0,
    font: float = 33,
) -> MapView:
    """Draw the whole territory."""
    return _build_view(communes, sites, (-10, -10, width + 20, height + 20), size, labels, font)


def draw_affected_part(
    communes: Sequence[Commune],
    sites: Sequence[Site],
    *,
    ratio: float,
    size_share: float = 0.04,
    font: float = 26,
) -> MapView | None:
    """Draw the affected part of the territory; `ratio` is width / height.

    Return None if nothing is affected, or if the part is nearly the whole territory.
    """
    boxes = [compute_extent(c.path) for c in communes if c.incidents]
    boxes += [(s.x, s.y, 0, 0) for s in sites if s.status is not SiteStatus.NORMAL]
    if not boxes:
        return None
    west, north = min(b[0] for b in boxes), min(b[1] for b in boxes)
    width, height = max(b[0] + b[2] for b in boxes) - west, max(b[1] + b[3] for b in boxes) - north
    side = max(width * 1.1, height * 1.1 * ratio, 240)
    if side > _MAX_PART_WIDTH:
        return None
    box = (
        round(west + width / 2 - side / 2),
        round(north + height / 2 - side / ratio / 2),
        round(side),
        round(side / ratio),
    )
    inside = [
        s for s in sites if box[0] <= s.x <= box[0] + box[2] and box[1] <= s.y <= box[1] + box[3]
    ]
    return _build_view(
        communes,
        inside,
        box,
        round(side * size_share, 1),
        sum(1 for c in communes if c.incidents),
        font,
    )


_MAX_PART_WIDTH: Final = 850
"""Width (of 1000) beyond which the part counts as the whole territory."""

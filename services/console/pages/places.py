"""The map: which communes are hit, which sites have a glyph, and where it stands so that no two cover each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.words import SiteStatus
from services.console.resources import Commune, Site
from services.console.texts.names import short

_WORST: Final = (SiteStatus.EVACUATED, SiteStatus.SHELTERING, SiteStatus.CLOSED, SiteStatus.UNKNOWN, SiteStatus.DEGRADED, SiteStatus.NORMAL)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Glyph:
    id: str
    name: str
    commune: str
    status: SiteStatus
    x: float
    y: float
    """Upper left corner."""
    size: float


@dataclass(frozen=True, slots=True)
class Area:
    insee: str
    name: str
    path: str
    hit: bool
    touched: int
    """Sites that are not normal."""
    x: float
    y: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class MapView:
    box: str
    areas: list[Area]
    dots: list[Point]
    """Normal sites."""
    glyphs: list[Glyph]
    dot: float
    """Radius of a dot."""


@lru_cache(maxsize=64)
def spread(points: tuple[Point, ...], gap: float) -> tuple[Point, ...]:
    """The points, pushed apart until they are about `gap` from each other. Deterministic; few rounds, so crowds stay crowds."""
    placed = [list(p) for p in points]
    for _round in range(14):
        moved = False
        for i, a in enumerate(placed):
            for j in range(i):
                b = placed[j]
                dx, dy = a[0] - b[0], a[1] - b[1]
                if abs(dx) >= gap or abs(dy) >= gap:
                    continue
                distance = (dx * dx + dy * dy) ** 0.5
                if distance >= gap:
                    continue
                moved = True
                if distance < 0.01:
                    dx, dy, distance = (1.0, 0.35 * (j % 3 - 1), 1.06) if i % 2 else (0.35, 1.0, 1.06)
                push = (gap - distance) / 2 / distance
                a[0], a[1], b[0], b[1] = a[0] + dx * push, a[1] + dy * push, b[0] - dx * push, b[1] - dy * push
        if not moved:
            break
    return tuple((round(x, 1), round(y, 1)) for x, y in placed)


def worst_first(sites: Iterable[Site]) -> list[Site]:
    """Gravest status last, so that it is drawn above the others."""
    return sorted(sites, key=lambda s: (-_WORST.index(s.status), s.id))


def _view(communes: Sequence[Commune], sites: Sequence[Site], box: tuple[float, float, float, float], size: float, labels: int) -> MapView:
    abnormal = worst_first(s for s in sites if s.status is not SiteStatus.NORMAL)
    at = spread(tuple((s.x, s.y) for s in abnormal), size * 1.12)
    half = size / 2
    glyphs = [
        Glyph(s.id, short(s.name), s.commune_name, s.status, round(x - half, 1), round(y - half, 1), size)
        for s, (x, y) in zip(abnormal, at, strict=True)
    ]
    touched = {c.insee: sum(n for status, n in c.sites.items() if status is not SiteStatus.NORMAL) for c in communes}
    hit = {c.insee for c in communes if c.incidents}
    named = {c.insee for c in sorted(communes, key=lambda c: (c.insee not in hit, -touched[c.insee], -c.population))[:labels]}
    areas = [
        Area(c.insee, c.name, c.path, c.insee in hit, touched[c.insee], round(c.x, 1), round(c.y, 1), c.insee in named)
        for c in sorted(communes, key=lambda c: (c.insee in hit, c.insee))
    ]
    dots = [(s.x, s.y) for s in sites if s.status is SiteStatus.NORMAL]
    return MapView(" ".join(f"{v:g}" for v in box), areas, dots, glyphs, round(size / 7, 1))


def whole(communes: Sequence[Commune], sites: Sequence[Site], width: float, height: float, *, size: float = 25, labels: int = 0) -> MapView:
    """The whole territory."""
    return _view(communes, sites, (-10, -10, width + 20, height + 20), size, labels)


def near(communes: Sequence[Commune], sites: Sequence[Site], *, ratio: float, size_share: float = 0.032) -> MapView | None:
    """The part around what is hit, or None when nothing is, or when it is most of the territory anyway. `ratio` = width / height."""
    hit = {c.insee for c in communes if c.incidents}
    xs = [s.x for s in sites if s.commune in hit or s.status is not SiteStatus.NORMAL] + [c.x for c in communes if c.insee in hit]
    ys = [s.y for s in sites if s.commune in hit or s.status is not SiteStatus.NORMAL] + [c.y for c in communes if c.insee in hit]
    if not xs:
        return None
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    side = max(width * 1.3, height * 1.3 * ratio, 240)
    if side > 900:
        return None
    x, y = (min(xs) + max(xs)) / 2 - side / 2, (min(ys) + max(ys)) / 2 - side / ratio / 2
    box = (round(x), round(y), round(side), round(side / ratio))
    inside = [s for s in sites if box[0] <= s.x <= box[0] + box[2] and box[1] <= s.y <= box[1] + box[3]]
    return _view(communes, inside, box, round(side * size_share, 1), len(hit))

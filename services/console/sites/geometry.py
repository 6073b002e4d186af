"""Outlines of communes as SVG paths, and positions in the same plane; no tiles, no third party.

The plane is equirectangular around the middle latitude, `WIDTH` units wide, with y downwards. Over
a département, the distortion is far below the precision of the simplified outlines.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

WIDTH: Final = 1000.0
MARGIN: Final = 12.0
ATTRIBUTION: Final = "IGN ADMIN EXPRESS, Licence Ouverte 2.0"
Ring = list[list[float]]


@dataclass(frozen=True, slots=True)
class MapPlane:
    """Projection of longitude and latitude onto the plane."""

    west: float
    north: float
    scale: float
    squeeze: float
    height: float

    def point(self, lon: float, lat: float) -> tuple[float, float]:
        """Project a position to (x, y), with one decimal."""
        x = MARGIN + (lon - self.west) * self.squeeze * self.scale
        return round(x, 1), round(MARGIN + (self.north - lat) * self.scale, 1)


@dataclass(frozen=True, slots=True)
class Outlines:
    """Outlines of the territory by INSEE code."""

    plane: MapPlane
    paths: Mapping[str, str]
    """SVG path data of each commune."""
    shapes: Mapping[str, Sequence[Ring]] = field(default_factory=dict)
    """Outer rings of each commune, as longitude and latitude."""


def _list_rings(geometry: Mapping[str, Any]) -> list[Ring]:
    match geometry["type"]:
        case "Polygon":
            return list(geometry["coordinates"])
        case "MultiPolygon":
            return [ring for polygon in geometry["coordinates"] for ring in polygon]
        case other:
            raise ValueError(f"outline of type {other}: only Polygon and MultiPolygon")


def _list_outer_rings(geometry: Mapping[str, Any]) -> list[Ring]:
    polygons = (
        geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    )
    return [polygon[0] for polygon in polygons]


def fit_plane(points: Iterable[tuple[float, float]]) -> MapPlane:
    """Compute a plane around (lon, lat) points. Raises ValueError without points."""
    lons, lats = zip(*points, strict=True)
    west, east, south, north = min(lons), max(lons), min(lats), max(lats)
    squeeze = math.cos(math.radians((south + north) / 2))
    scale = (WIDTH - 2 * MARGIN) / max((east - west) * squeeze, 1e-9)
    return MapPlane(west, north, scale, squeeze, round((north - south) * scale + 2 * MARGIN, 1))


def draw_path(rings: Iterable[Ring], plane: MapPlane) -> str:
    """Return SVG path data: `M x,y L … Z` per ring."""
    pieces = []
    for ring in rings:
        points = [plane.point(lon, lat) for lon, lat in ring]
        if len(points) > 1 and points[0] == points[-1]:
            points.pop()
        pieces.append("M" + "L".join(f"{x:g},{y:g}" for x, y in points) + "Z")
    return "".join(pieces)


def load_outlines(folder: Path) -> Outlines:
    """Load outlines from `communes.geojson` of a territory folder (property `insee`).

    Raises OSError, ValueError.
    """
    features = orjson.loads((folder / "communes.geojson").read_bytes())["features"]
    shapes = {f["properties"]["insee"]: _list_rings(f["geometry"]) for f in features}
    plane = fit_plane(
        (lon, lat) for rings in shapes.values() for ring in rings for lon, lat in ring
    )
    outer = {f["properties"]["insee"]: _list_outer_rings(f["geometry"]) for f in features}
    return Outlines(
        plane, {insee: draw_path(rings, plane) for insee, rings in shapes.items()}, outer
    )

"""Find the communes and sites of a geometry or code, and name the doubts about a place (rule D8).

The territory's files are read again when they change. No report is refused for a doubt: it is
accepted, and a person links it to a site or asks its sender.
"""

import csv
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import shapely
import structlog
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from schemas.reports import lacks_place
from schemas.words import EventType, MsgType
from services.runtime.http.problems import FieldFault, ProblemError, build_fault

Geometry = Any
"""A shapely geometry; x is longitude, y latitude, in degrees."""
RETRY_S: Final = 2
LOOK_S: Final = 1.0
"""Interval at which the files are looked at: every report asks the map several times."""
EARTH_KM: Final = 6371.0088
MIN_OVERLAP: Final = 0.005
"""Least overlap of two areas, as a share of the smaller one.

Outlines are simplified, so areas that only touch overlap a little.
"""
MAX_POINTS: Final = 100_000
_FILES: Final = ("communes.geojson", "communes.csv", "sites.csv", "geocodes.csv", "activities.yaml")
_NO_SUPPLIER: Final = build_fault(
    "measure.object",
    "no_supplier",
    "défaillance sans fournisseur : nommez-le, supplier:… ; sans lui, elle n’arrête rien",
    "failure without a supplier: name it, supplier:…; without it, it stops nothing",
)
_CIRCLE_CORNERS: Final = 32
"""Corners of a circle."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Location:
    """Communes and sites in an area."""

    communes: tuple[str, ...]
    sites: tuple[str, ...] = ()
    whole: bool = False

    @property
    def zone(self) -> tuple[str, ...]:
        """Communes that a report names; none if it concerns the whole territory."""
        return () if self.whole else self.communes


@dataclass(frozen=True, slots=True)
class _Geocode:
    communes: frozenset[str]
    sender: str
    """Part of the sender's name; empty for any sender."""


@dataclass(frozen=True, slots=True)
class _Territory:
    communes: Mapping[str, Geometry]
    sites: Mapping[str, Geometry]
    sites_by_fold: Mapping[str, str]
    """Site without case → its id."""
    communes_of_sites: Mapping[str, str]
    poles: Mapping[str, str]
    """Site → pôle."""
    site_tree: shapely.STRtree
    commune_tree: shapely.STRtree
    names: frozenset[str]
    """All commune codes, including those without an outline."""
    codes: Mapping[tuple[str, str], tuple[_Geocode, ...]]
    systems: frozenset[str]
    """Code systems with an entry for the territory."""
    suppliers: frozenset[str]
    """Kitchens of sites, and suppliers on which an activity depends."""


class TerritoryMap:
    """Map of one territory folder."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = tuple(folder / name for name in _FILES)
        self._folder = folder
        self._clock = clock
        self._looked_at = -LOOK_S
        self._stamp: tuple[int, ...] = ()
        self._known: _Territory | None = None

    def locate(self, area: str | Mapping[str, Any]) -> Location | None:
        """Locate a geometry (WKT or GeoJSON, longitude first).

        Returns None if it is unreadable, and no communes if it lies elsewhere.
        """
        geometry = parse_geometry(area)
        return None if geometry is None else self.within([geometry])

    def knows(self, site: str | None) -> bool:
        """Return whether a site belongs to the territory."""
        return site is not None and site in self._territory().sites

    def knows_commune(self, code: str) -> bool:
        """Return whether a commune belongs to the territory."""
        return code in self._territory().names

    def knows_supplier(self, name: str) -> bool:
        """Return whether a site or an activity depends on a supplier, or none is known."""
        suppliers = self._territory().suppliers
        return name in suppliers or not suppliers

    def find_site(self, site: str) -> str:
        """Return the known site with this id, without regard to case and spaces; else the text."""
        territory = self._territory()
        return (
            site
            if site in territory.sites
            else territory.sites_by_fold.get(site.strip().casefold(), site)
        )

    def commune_of(self, site: str | None) -> str | None:
        """Return the commune of a site, or None."""
        return self._territory().communes_of_sites.get(site or "")

    def pole_of(self, site: str | None) -> str | None:
        """Return the pôle of a site, `multi` for a shared site, None for an unknown one."""
        return self._territory().poles.get(site or "")

    def within(self, geometries: Sequence[Geometry]) -> Location:
        """Return communes and sites that lie in any geometry."""
        territory = self._territory()
        sites = {int(n) for n in territory.site_tree.query(geometries, predicate="intersects")[1]}
        touching: dict[int, list[Geometry]] = {}
        for geometry_index, n in territory.commune_tree.query(geometries, predicate="intersects").T:
            touching.setdefault(int(n), []).append(geometries[int(geometry_index)])
        outlines = list(territory.communes.items())
        communes = tuple(
            outlines[n][0]
            for n in sorted(touching)
            if any(_has_overlap(g, outlines[n][1]) for g in touching[n])
        )
        names = tuple(territory.sites)
        return Location(
            communes,
            tuple(names[n] for n in sorted(sites)),
            whole=len(communes) == len(territory.names) > 0,
        )

    def locate_codes(self, geocodes: Iterable[tuple[str, str]], sender: str) -> Location | None:
        """Locate geocodes. Returns None without a known code system.

        Codes of other places give no communes.
        """
        territory = self._territory()
        matching_communes: set[str] = set()
        has_system = False
        for name, value in geocodes:
            system = _normalize_name(name)
            has_system = has_system or system in territory.systems
            if system.startswith("insee") and value in territory.names:
                matching_communes.add(value)
            for code in territory.codes.get((system, value.strip().casefold()), ()):
                if code.sender in sender.casefold():
                    matching_communes |= code.communes
        if not has_system:
            return None
        communes = tuple(c for c in sorted(territory.names) if c in matching_communes)
        return Location(communes, whole=len(communes) == len(territory.names))

    def _territory(self) -> _Territory:
        now = self._clock()
        if self._known is None or now - self._looked_at >= LOOK_S:
            self._looked_at = now
            stamp = tuple(map(_get_change_time, self._files))
            if self._known is None or stamp != self._stamp:
                self._known, self._stamp = self._read(), stamp
        return self._known

    def _read(self) -> _Territory:
        """Read the map, or keep the last one. Raises ProblemError `starting` without any."""
        try:
            return _load_territory(self._folder)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            shapely.errors.ShapelyError,
        ) as error:
            log.error(
                "geography.unreadable",
                folder=str(self._folder),
                error=f"{type(error).__name__}: {error}",
                then="the map stays as it was",
            )
            if self._known is None:
                raise ProblemError("starting", retry_after_s=RETRY_S) from error
            return self._known


def _get_change_time(file: Path) -> int:
    """Return the time of the last change in nanoseconds, 0 without a file."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _has_overlap(area: Geometry, outline: Geometry) -> bool:
    smaller = min(area.area, outline.area)
    return bool(smaller == 0 or area.intersection(outline).area >= MIN_OVERLAP * smaller)


def _load_territory(folder: Path) -> _Territory:
    names = frozenset(row["insee"] for row in _read_rows(folder / "communes.csv"))
    features = orjson.loads((folder / "communes.geojson").read_bytes())["features"]
    communes = {
        f["properties"]["insee"]: _make_valid(shapely.from_geojson(orjson.dumps(f["geometry"])))
        for f in features
    }
    rows = _read_rows(folder / "sites.csv")
    sites = {row["site_id"]: shapely.Point(float(row["lon"]), float(row["lat"])) for row in rows}
    communes_of_sites = {row["site_id"]: row["insee"] for row in rows}
    poles = {row["site_id"]: row.get("pole") or "" for row in rows}
    codes: dict[tuple[str, str], tuple[_Geocode, ...]] = {}
    if (file := folder / "geocodes.csv").exists():
        for row in _read_rows(file):
            place = _normalize_name(row["value_name"]), row["value"].casefold()
            code_communes = (
                names if row["communes"] == "*" else frozenset(row["communes"].split("|"))
            )
            codes[place] = (
                *codes.get(place, ()),
                _Geocode(code_communes, row["sender"].casefold()),
            )
    trees = shapely.STRtree(list(sites.values())), shapely.STRtree(list(communes.values()))
    systems = frozenset({"insee", "inseecom", *(system for system, _ in codes)})
    by_fold = {id.casefold(): id for id in sites}
    return _Territory(
        communes,
        sites,
        by_fold,
        communes_of_sites,
        poles,
        *trees,
        names,
        codes,
        systems,
        _read_suppliers(folder, rows),
    )


def _read_suppliers(folder: Path, sites: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """Return the kitchens of these sites and the suppliers of the activities.

    Return none while the activities cannot be read: no report waits for them.
    """
    kitchens = {row["kitchen"] for row in sites if row.get("kitchen")}
    try:
        text = folder.joinpath("activities.yaml").read_text(encoding="utf-8-sig")
        activities = YAML(typ="safe").load(text)["activites"]
        suppliers = [activity.get("fournisseurs_partenaires") or () for activity in activities]
        return frozenset(kitchens.union(*suppliers))
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("geography.suppliers_unreadable", error=f"{type(error).__name__}: {error}")
        return frozenset()


def _read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def _normalize_name(name: str) -> str:
    """Simplify a system's name: `EMMA_ID`, `emma-id` and `Emma Id` are the same."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def parse_geometry(area: str | Mapping[str, Any]) -> Geometry | None:
    """Read a valid geometry of WKT or GeoJSON (also a Feature); None if unreadable."""
    try:
        if isinstance(area, str):
            geometry = shapely.from_wkt(area)
        else:
            geometry = shapely.from_geojson(
                orjson.dumps(area["geometry"] if area.get("type") == "Feature" else area)
            )
        if (
            geometry is None
            or geometry.is_empty
            or shapely.get_num_coordinates(geometry) > MAX_POINTS
        ):
            return None
        bounds = geometry.bounds
        if (
            any(map(math.isnan, bounds))
            or bounds[0] < -180
            or bounds[1] < -90
            or bounds[2] > 180
            or bounds[3] > 90
        ):
            return None
        return _make_valid(shapely.force_2d(geometry))
    except (shapely.errors.ShapelyError, TypeError, ValueError, KeyError, NotImplementedError):
        # Curves raise NotImplementedError.
        return None


def _make_valid(geometry: Geometry) -> Geometry:
    """Replace an outline that crosses itself by its convex hull.

    Untangling an outline of 150 points takes 3 s.
    """
    return geometry if geometry.is_valid else geometry.convex_hull


def build_polygon(points: Sequence[tuple[float, float]]) -> Geometry:
    """Build a polygon of latitude-longitude pairs, the last equal to the first."""
    return _make_valid(shapely.Polygon([(lon, lat) for lat, lon in points]))


def build_circle(centre: tuple[float, float], radius_km: float) -> Geometry:
    """Build a circle on the ground; a point without a radius."""
    lat, lon = centre
    if radius_km == 0:
        return shapely.Point(lon, lat)
    high = math.degrees(radius_km / EARTH_KM)
    wide = min(high / max(math.cos(math.radians(lat)), 1e-6), 180.0)
    ring = [
        (lon + wide * math.cos(angle), lat + high * math.sin(angle))
        for angle in (2 * math.pi * n / _CIRCLE_CORNERS for n in range(_CIRCLE_CORNERS))
    ]
    return shapely.Polygon(ring)


def list_place_warnings(
    message: Mapping[str, Any], geography: TerritoryMap, *, has_area: bool
) -> tuple[FieldFault, ...]:
    """Return the doubts about the place of a report, and about the supplier that fails.

    Return none while the map cannot be read. `has_area` says that the report names an area, even
    one that the map does not have.
    """
    try:
        warnings = _list_unknown_places(message, geography)
    except ProblemError:
        return ()
    if (doubt := _doubt_supplier(message, geography)) is not None:
        warnings.append(doubt)
    if not has_area and _lacks_place(message):
        warnings.append(
            build_fault(
                "site_id",
                "missing",
                "danger sans lieu : dites où, par une mise à jour de ce signalement",
                "danger without a place: say where, by an update of this report",
            )
        )
    return tuple(warnings)


def _list_unknown_places(message: Mapping[str, Any], geography: TerritoryMap) -> list[FieldFault]:
    warnings, site = [], message.get("site_id")
    if site is not None and not geography.knows(site):
        warnings.append(
            build_fault(
                "site_id",
                "unknown",
                "site inconnu : le signalement attend qu’une personne le rattache à un site",
                "unknown site: the report waits until a person links it to a site",
            )
        )
    for name, codes in (("commune", (message.get("commune"),)), ("zone", message.get("zone", ()))):
        unknown = [code for code in codes if code and not geography.knows_commune(code)]
        if unknown:
            code_list = ", ".join(unknown)
            warnings.append(
                build_fault(
                    name,
                    "unknown",
                    f"hors du territoire : {code_list} ; vérifiez le code",
                    f"outside the territory: {code_list}; check the code",
                )
            )
    return warnings


def _doubt_supplier(message: Mapping[str, Any], geography: TerritoryMap) -> FieldFault | None:
    """Return the doubt about a supplier failure that stops no supplier. Rule D40, capacity.

    A failure at a site may leave the name out: it stops the kitchen of the site. So may a message
    about an earlier report.
    """
    if message["type"] is not EventType.SUPPLIER_FAILURE or message["msg_type"] is MsgType.CANCEL:
        return None
    names = [
        name for name in ((message.get("measure") or {}).get("object") or "").split("|") if name
    ]
    if not names:
        return None if message.get("site_id") or message.get("references") else _NO_SUPPLIER
    suppliers = [name.removeprefix("supplier:") for name in names if name.startswith("supplier:")]
    if not suppliers:
        return _NO_SUPPLIER
    unknown = [name for name in suppliers if not geography.knows_supplier(name)]
    if not unknown:
        return None
    name_list = ", ".join(unknown)
    return build_fault(
        "measure.object",
        "unknown",
        f"fournisseur inconnu : {name_list} ; rien n’en dépend, vérifiez le nom",
        f"unknown supplier: {name_list}; nothing depends on it, check the name",
    )


def _lacks_place(message: Mapping[str, Any]) -> bool:
    measure = message.get("measure") or {}
    places = [message.get(name) for name in ("site_id", "commune", "zone", "sites")]
    return lacks_place(
        message["type"],
        message["severity"],
        message["certainty"],
        message["msg_type"],
        places=(*places, measure.get("object"), measure.get("scope")),
        references=message.get("references", ()),
    )

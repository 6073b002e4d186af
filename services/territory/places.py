"""Read communes, sites, pôles, activities and lines of public transport."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Final

from schemas import reference as ref
from services.territory.checks import check_activity, check_site
from services.territory.source import SourceFile, find_line, to_plain_value

_POLE_TYPES = {"opérationnel": "operational", "fonctionnel": "functional"}
_FIELDS: Final = {"id": "id", "nom": "name", "mode": "mode", "communes": "communes"}
"""Field in the file → field of a line."""


def read_communes(f: SourceFile) -> list[ref.Commune]:
    communes = (
        f.make(
            ref.Commune,
            n,
            insee=r["insee"],
            name=r["name"],
            population=r["population"],
            lat=r["lat"],
            lon=r["lon"],
            seine_flood_plan=r["seine_flood_plan"] == "oui",
        )
        for n, r in f.rows()
    )
    return [c for c in communes if c]


def read_sites(f: SourceFile, communes: dict[str, ref.Commune], poles: set[str]) -> list[ref.Site]:
    sites: dict[str, ref.Site] = {}
    for n, r in f.rows():
        site = f.make(
            ref.Site,
            n,
            id=r["site_id"],
            name=r["name"],
            kind=r["kind"],
            commune=r["insee"],
            commune_name=r["commune"],
            lat=r["lat"],
            lon=r["lon"],
            position=r["position"],
            pole=r["pole"],
            staff=r["staff"],
            desks=r["desks"],
            public_capacity=r["public_capacity"],
            flood_exposure=r["flood_exposure"],
            generator=r["generator"] == "oui",
            kitchen=r["kitchen"] or None,
            name_is=r["name_is"],
            code=r.get("code") or None,
            vulnerable_public=r.get("vulnerable_public") or 0,
        )
        if site is None:
            continue
        if site.id in sites:
            f.fault(n, f"site {site.id!r} stands twice")
        if site.code and (
            other := next((s.id for s in sites.values() if s.code == site.code), None)
        ):
            f.fault(n, f"site {site.id!r}: code {site.code} is that of {other!r}")
        if site.commune not in communes:
            f.fault(n, f"site {site.id!r}: commune {site.commune!r} is not in communes.csv")
        if site.pole not in poles | {"multi"}:
            f.fault(n, f"site {site.id!r}: pôle {site.pole!r} is not in activities.yaml")
        check_site(f, n, site)
        sites[site.id] = site
    return list(sites.values())


def _read_assessment_day(f: SourceFile, meta: Any) -> date | None:
    """Return the day of the business impact analysis: `meta.generated`."""
    day_text = str(meta.get("generated") or "")
    try:
        return date.fromisoformat(day_text) if day_text else None
    except ValueError:
        f.fault(find_line(meta, "generated"), f"{day_text!r} is not a day such as 2026-11-24")
        return None


def read_activities(f: SourceFile, kinds: set[str] | None = None) -> ref.Activities:
    """Read pôles, activities, the day of their assessment, and names of systems."""
    doc = f.yaml()
    poles = [
        f.make(
            ref.Pole,
            find_line(p),
            id=p["id"],
            name=p["nom"],
            name_en=p["nom_en"],
            type=_POLE_TYPES.get(p["type"], p["type"]),
        )
        for p in doc.get("poles", [])
    ]
    pole_ids = {p.id for p in poles if p}
    activities: list[ref.Activity] = []
    for a in doc.get("activites", []):
        activity = f.make(
            ref.Activity,
            find_line(a),
            id=a.get("id"),
            pole=a.get("pole"),
            name=a.get("nom"),
            name_en=a.get("nom_en"),
            criticality=a.get("criticite"),
            dmia_h=a.get("dmia_h"),
            rto_h=a.get("rto_h"),
            pdma_h=a.get("pdma_h"),
            mbco_pct=a.get("mbco_pct"),
            staff=a.get("effectif_normal"),
            minimum_staff=a.get("effectif_minimal_j1"),
            site_kinds=to_plain_value(a.get("sites", [])),
            systems=to_plain_value(a.get("si", [])),
            suppliers=to_plain_value(a.get("fournisseurs_partenaires", [])),
            strategies=to_plain_value(a.get("strategies_repli", [])),
            telework=str(to_plain_value(a.get("teletravail", ""))),
            short_name=a.get("nom_court"),
            continuous=a.get("duree") == "continue",
            vulnerable_public=a.get("vulnerable_public", 0),
            reviewed_on=a.get("relu_le"),
        )
        if activity is None:
            continue
        if activity.pole not in pole_ids:
            f.fault(
                find_line(a, "pole"),
                f"activity {activity.id}: pôle {activity.pole!r} is not declared",
            )
        if a.get("duree") not in (None, "continue"):
            f.fault(
                find_line(a, "duree"), f"activity {activity.id}: duree is « continue », or nothing"
            )
        if activity.rto_h > activity.dmia_h:
            f.fault(
                find_line(a, "rto_h"),
                f"activity {activity.id}: rto_h {activity.rto_h:g} is longer than dmia_h {activity.dmia_h:g}",
            )
        for k, kind in enumerate(activity.site_kinds):
            if kinds is not None and kind not in kinds:
                f.fault(
                    find_line(a.get("sites"), k),
                    f"activity {activity.id}: no site of kind {kind!r} in sites.csv",
                )
        if activity.id in {other.id for other in activities}:
            f.fault(find_line(a), f"activity {activity.id} stands twice")
        check_activity(f, a, activity)
        activities.append(activity)
    return ref.Activities(
        poles=tuple(p for p in poles if p),
        activities=tuple(activities),
        assessed_on=_read_assessment_day(f, doc.get("meta", {})),
        systems=_read_system_names(f, doc.get("systemes", [])),
    )


def _read_system_names(f: SourceFile, doc: Any) -> tuple[ref.SystemName, ...]:
    """Read the names of systems; each stands once."""
    names_by_id: dict[str, ref.SystemName] = {}
    for entry in doc:
        system = f.make(
            ref.SystemName,
            find_line(entry),
            id=entry.get("id"),
            name=entry.get("nom"),
            name_en=entry.get("nom_en"),
        )
        if system is not None and names_by_id.setdefault(system.id, system) is not system:
            f.fault(find_line(entry), f"system {system.id} stands twice")
    return tuple(names_by_id.values())


def read_watched_names(f: SourceFile) -> Mapping[str, str] | None:
    """Return id → name of the lines in `flux.yaml`; None for a territory without feeds."""
    if not f.exists():
        return None
    lines = to_plain_value(f.yaml().get("lignes")) or {}
    return {str(id): str(name) for id, name in (lines.get("noms") or {}).items()}


def read_transport(
    f: SourceFile, communes: Collection[str], watched_lines: Mapping[str, str] | None
) -> ref.TransportLines | None:
    """Read `transport.yaml`; a territory without it ties no line to a site.

    `watched_lines` holds the lines of `flux.yaml`. Reports name lines by these ids, so an id
    that the feed does not know, or knows under another name, is a fault.
    """
    if not f.exists():
        return None
    document = f.yaml()
    nodes = document.get("lignes") if isinstance(document, dict) else None
    if not isinstance(nodes, list) or not nodes:
        f.fault(find_line(document, "lignes"), "lignes: a list of lines is expected")
        return None
    lines: dict[str, ref.TransportLine] = {}
    for k, node in enumerate(nodes):
        place = find_line(nodes, k)
        line = _read_line(f, node, place)
        if line is None:
            continue
        if line.id in lines:
            f.fault(place, f"line {line.id!r} stands twice")
        elif line.name in {other.name for other in lines.values()}:
            f.fault(place, f"line {line.id!r}: another line is named {line.name!r}, too")
        lines.setdefault(line.id, line)
        _check_line(f, place, line, communes, watched_lines)
    return f.make(ref.TransportLines, 1, lines=tuple(lines.values()))


def _read_line(f: SourceFile, node: Any, place: int) -> ref.TransportLine | None:
    if not isinstance(node, dict):
        f.fault(place, f"a line has {', '.join(_FIELDS)}")
        return None
    values = to_plain_value(node)
    for name in sorted(values.keys() - _FIELDS.keys()):
        f.fault(place, f"line {values.get('id')!r}: no field {name!r}")
    return f.make(
        ref.TransportLine,
        place,
        **{field: values[name] for name, field in _FIELDS.items() if name in values},
    )


def _check_line(
    f: SourceFile,
    place: int,
    line: ref.TransportLine,
    communes: Collection[str],
    watched_lines: Mapping[str, str] | None,
) -> None:
    """Report communes that the territory lacks or that stand twice, and ids of no watched line."""
    for insee in dict.fromkeys(line.communes):
        if insee not in communes:
            f.fault(place, f"line {line.id!r}: no commune {insee!r} in communes.csv")
        if line.communes.count(insee) > 1:
            f.fault(place, f"line {line.id!r}: commune {insee!r} stands twice")
    if watched_lines is None:
        return
    if line.id not in watched_lines:
        f.fault(place, f"line {line.id!r}: flux.yaml watches no line of this id")
    elif watched_lines[line.id] != line.name:
        f.fault(place, f"line {line.id!r}: flux.yaml names it {watched_lines[line.id]!r}")

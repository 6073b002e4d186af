"""Read communes, sites, pôles and activities."""

from __future__ import annotations

from datetime import date
from typing import Any

from schemas import reference as ref
from services.territory.checks import check_activity, check_site
from services.territory.source import Source, line_of, plain

_POLE_TYPES = {"opérationnel": "operational", "fonctionnel": "functional"}


def communes_of(f: Source) -> list[ref.Commune]:
    made = (
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
    return [c for c in made if c]


def sites_of(f: Source, communes: dict[str, ref.Commune], poles: set[str]) -> list[ref.Site]:
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


def _assessed_on(f: Source, meta: Any) -> date | None:
    """Return the day of the business impact analysis: `meta.generated`."""
    said = str(meta.get("generated") or "")
    try:
        return date.fromisoformat(said) if said else None
    except ValueError:
        f.fault(line_of(meta, "generated"), f"{said!r} is not a day such as 2026-11-24")
        return None


def activities_of(
    f: Source, kinds: set[str] | None = None
) -> tuple[list[ref.Pole], list[ref.Activity], date | None]:
    """Read pôles, activities and the day of their assessment."""
    doc = f.yaml()
    poles = [
        f.make(
            ref.Pole,
            line_of(p),
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
        made = f.make(
            ref.Activity,
            line_of(a),
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
            site_kinds=plain(a.get("sites", [])),
            systems=plain(a.get("si", [])),
            suppliers=plain(a.get("fournisseurs_partenaires", [])),
            strategies=plain(a.get("strategies_repli", [])),
            telework=str(plain(a.get("teletravail", ""))),
            short_name=a.get("nom_court"),
            continuous=a.get("duree") == "continue",
            vulnerable_public=a.get("vulnerable_public", 0),
        )
        if made is None:
            continue
        if made.pole not in pole_ids:
            f.fault(line_of(a, "pole"), f"activity {made.id}: pôle {made.pole!r} is not declared")
        if a.get("duree") not in (None, "continue"):
            f.fault(line_of(a, "duree"), f"activity {made.id}: duree is « continue », or nothing")
        if made.rto_h > made.dmia_h:
            f.fault(
                line_of(a, "rto_h"),
                f"activity {made.id}: rto_h {made.rto_h:g} is longer than dmia_h {made.dmia_h:g}",
            )
        for k, kind in enumerate(made.site_kinds):
            if kinds is not None and kind not in kinds:
                f.fault(
                    line_of(a.get("sites"), k),
                    f"activity {made.id}: no site of kind {kind!r} in sites.csv",
                )
        if made.id in {other.id for other in activities}:
            f.fault(line_of(a), f"activity {made.id} stands twice")
        check_activity(f, a, made)
        activities.append(made)
    return [p for p in poles if p], activities, _assessed_on(f, doc.get("meta", {}))

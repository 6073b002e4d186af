"""Sites as a table and as a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.console.exports.tables import Column, MapPoint, build_feature
from services.console.i18n import N_, Translator
from services.console.resources import Site
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name


def list_site_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[Site]]:
    """Return the columns of the table of sites."""
    return (
        Column(N_("Site"), lambda s: shorten_site_name(s.name)),
        Column(N_("Code du site"), lambda s: s.id),
        Column(N_("Nature"), lambda s: w.translate_code(world.KIND_ONE, s.kind, _)),
        Column(N_("Commune"), lambda s: s.commune_name),
        Column(N_("Code INSEE"), lambda s: s.commune),
        Column(N_("Pôle"), lambda s: name_site_pole(s, names, _)),
        Column(N_("État"), lambda s: w.translate_code(w.SITE_STATUS, s.status, _)),
        Column(N_("Depuis"), lambda s: s.since),
        Column(N_("Capacité (%)"), lambda s: s.capacity_pct),
        Column(N_("Causes"), lambda s: list_cause_names(s, _)),
        Column(N_("Dernière nouvelle"), lambda s: s.last_word_at),
        Column(N_("Agents"), lambda s: s.staff),
        Column(N_("Postes de travail"), lambda s: s.desks),
        Column(N_("Capacité d’accueil du public"), lambda s: s.public_capacity),
        Column(N_("Public vulnérable (0 à 3)"), lambda s: s.vulnerable_public),
        Column(N_("Groupe électrogène"), lambda s: s.generator),
        Column(N_("Latitude"), lambda s: s.lat),
        Column(N_("Longitude"), lambda s: s.lon),
    )


def list_site_features(sites: Iterable[Site], _: Translator) -> list[dict[str, Any]]:
    """Return the sites as features of a map; property names are those of the API."""
    return [
        build_feature(
            s.id,
            MapPoint(s.lat, s.lon),
            {
                "name": shorten_site_name(s.name),
                "kind": s.kind,
                "commune": s.commune,
                "commune_name": s.commune_name,
                "pole": s.pole,
                "status": s.status,
                "status_text": w.translate_code(w.SITE_STATUS, s.status, _),
                "since": None if s.since is None else s.since.isoformat(),
                "capacity_pct": s.capacity_pct,
                "causes": [cause.type for cause in s.causes],
                "flood_exposure": s.flood_exposure,
                "vulnerable_public": s.vulnerable_public,
                "position": s.position,
            },
        )
        for s in sites
    ]


def list_cause_names(site: Site, _: Translator) -> list[str]:
    """Return the open causes of a site in words, each once."""
    return list(dict.fromkeys(w.translate_code(w.EVENT, cause.type, _) for cause in site.causes))


def name_site_pole(site: Site, names: TerritoryNames, _: Translator) -> str:
    """Name the pôle of a site; central sites belong to several."""
    return _("plusieurs pôles") if site.pole == "multi" else names.pole(site.pole, _.lang)

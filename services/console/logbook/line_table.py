"""The logbook as a table and as a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.console.exports.tables import Column, MapPoint, build_feature
from services.console.i18n import N_, Translator
from services.console.logbook.line_list import format_author, label_kind
from services.console.resources import Line, format_iso
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames


def list_line_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[Line]]:
    """Return the columns of the table of logbook lines."""
    return (
        Column(N_("Heure du fait (Paris)"), lambda e: e.occurred_at),
        Column(N_("Connu à (Paris)"), lambda e: e.recorded_at),
        Column(N_("Type"), lambda e: label_kind(e, _)),
        Column(N_("Ligne"), lambda e: e.text),
        Column(N_("Source"), lambda e: world.name_source(e.source, _)),
        Column(N_("Certitude"), lambda e: w.translate_code(w.CERTAINTY, e.certainty, _)),
        Column(N_("Auteur"), lambda e: format_author(e, names, _)),
        Column(N_("Site"), lambda e: names.site(e.site) if e.site else None),
        Column(N_("Commune"), lambda e: names.commune_of(e.site) if e.site else None),
        Column(N_("Code de l’incident"), lambda e: e.incident),
        Column(N_("Code de la ligne"), lambda e: e.id),
        Column(N_("Corrige la ligne"), lambda e: e.corrects),
        Column(N_("Place dans le journal"), lambda e: e.place),
    )


def list_line_features(lines: Iterable[Line], names: TerritoryNames) -> list[dict[str, Any]]:
    """Return the lines as features of a map; a line without a site has no geometry."""
    return [
        build_feature(
            line.id,
            _find_place(line.site, names),
            {
                "occurred_at": format_iso(line.occurred_at),
                "recorded_at": format_iso(line.recorded_at),
                "kind": line.kind,
                "text": line.text,
                "site": line.site,
                "incident": line.incident,
                "author": line.author,
                "role": line.role,
            },
        )
        for line in lines
    ]


def _find_place(site: str | None, names: TerritoryNames) -> MapPoint | None:
    site_record = names.sites.get(site) if site is not None else None
    return None if site_record is None else MapPoint(site_record.lat, site_record.lon)

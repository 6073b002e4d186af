"""Names and units of the metrics in reasons: one row per metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.console.i18n import Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

Scalar = str | int | float | bool | None
Args = Mapping[str, Scalar | list[str] | list[int]]


@dataclass(frozen=True, slots=True)
class MetricText:
    """Words for a metric."""

    name: Callable[[Args, TerritoryNames, Translator], str]
    """The quantity that it counts, without its value."""
    unit: str = ""


def _to_list(value: Scalar | list[str] | list[int] | None) -> list[str]:
    return (
        []
        if value is None
        else [str(v) for v in value]
        if isinstance(value, list)
        else [str(value)]
    )


def _name_kinds(args: Args, _: Translator) -> str:
    kinds = _to_list(args.get("kinds")) or _to_list(args.get("kind"))
    return (
        w.join_words([w.translate_code(world.KIND_MANY, k, _) for k in kinds], _)
        if kinds
        else _("sites")
    )


def _name_scope(scope: str | None, names: TerritoryNames, _: Translator) -> str:
    match (scope or "global").split(":", 1):
        case ["kind", kind]:
            return w.translate_code(world.KIND_MANY, kind, _)
        case ["pole", pole]:
            return names.pole(pole, _.lang)
        case ["site", site]:
            return names.site(site)
        case _:
            return _("tout le Département")


def _name_activities(args: Args, names: TerritoryNames, _: Translator) -> str:
    if ids := _to_list(args.get("activities")):
        return ", ".join(names.activity_label(id, _.lang) for id in ids)
    if crit := _to_list(args.get("criticality")):
        label = _(
            "les activités de criticité {list}",
            list=_("{first} ou {last}", first=crit[0], last=crit[-1]) if len(crit) > 1 else crit[0],
        )
        return f"{label}, {names.pole(str(args['pole']), _.lang)}" if "pole" in args else label
    return _("les activités")


def _get_first(value: Scalar | list[str] | list[int] | None) -> str | None:
    return next(iter(_to_list(value)), None)


def _name_severity(args: Args, _: Translator) -> str:
    if args.get("where") == "field":
        return _("gravité la plus forte sur le terrain")
    if args.get("where") == "territory":
        return _("gravité annoncée pour tout le territoire")
    return _("gravité la plus forte, {kinds}", kinds=_name_kinds(args, _))


METRIC_TEXTS: Final[Mapping[str, MetricText]] = {
    "open_incidents": MetricText(lambda _args, _names, _: _("incidents ouverts")),
    "level": MetricText(lambda _args, _names, _: _("niveau du territoire")),
    "vigilance": MetricText(
        lambda args, _names, _: _(
            "vigilance {phenomenon}",
            phenomenon=w.join_words(
                [
                    w.translate_code(world.PHENOMENON, p, _)
                    for p in _to_list(args.get("phenomenon"))
                ],
                _,
            ),
        )
    ),
    "river_level": MetricText(
        lambda args, _names, _: _(
            "niveau de la Seine à {station}",
            station=world.name_station(str(args.get("station", ""))),
        ),
        unit="m",
    ),
    "flag": MetricText(
        lambda args, _names, _: w.translate_code(world.FLAG, str(args.get("name", "")), _)
    ),
    "measure": MetricText(
        lambda args, _names, _: w.translate_code(world.MEASURE, str(args.get("name", "")), _)
    ),
    "max_severity": MetricText(lambda args, _names, _: _name_severity(args, _)),
    "sites_hit": MetricText(
        lambda args, _names, _: (
            _("sites touchés dans un même pôle")
            if args.get("per") == "pole"
            else _("{kinds} touchés", kinds=_name_kinds(args, _))
        )
    ),
    "sites_out": MetricText(
        lambda args, _names, _: _("{kinds} hors service", kinds=_name_kinds(args, _))
    ),
    "sites_closed": MetricText(
        lambda args, _names, _: _("{kinds} fermés", kinds=_name_kinds(args, _))
    ),
    "sites_evacuated": MetricText(
        lambda args, _names, _: _("{kinds} évacués", kinds=_name_kinds(args, _))
    ),
    "sites_partially_closed": MetricText(
        lambda args, _names, _: _(
            "{kinds} fermés, même en partie, sous {n} h",
            kinds=_name_kinds(args, _),
            n=args.get("horizon_h", 0),
        )
    ),
    "sites_staff_at_most": MetricText(
        lambda args, _names, _: _(
            "{kinds} à {pct} % d’agents au plus", kinds=_name_kinds(args, _), pct=args.get("pct", 0)
        )
    ),
    "sites_below_opening": MetricText(
        lambda args, _names, _: _("{kinds} sous le minimum d’ouverture", kinds=_name_kinds(args, _))
    ),
    "poles_out": MetricText(
        lambda args, _names, _: _(
            "pôles ayant chacun au moins {n} sites hors service", n=args.get("min_sites", 0)
        )
    ),
    "sites_with_cause": MetricText(
        lambda args, _names, _: (
            f"{_name_kinds(args, _)} {w.translate_code(w.CAUSE, str(args.get('cause', '')), _)}"
        )
    ),
    "outage_power_sites": MetricText(
        lambda args, _names, _: _("sites privés de courant en {n} min", n=args.get("window_min", 0))
    ),
    "expected_unavailability_h": MetricText(
        lambda args, _names, _: _("indisponibilité prévue ({kinds})", kinds=_name_kinds(args, _)),
        unit="h",
    ),
    "customers_cut": MetricText(lambda _args, _names, _: _("clients coupés")),
    "supplier_illness": MetricText(
        lambda args, _names, _: _(
            "malades rattachés à une même cuisine en {n} h",
            n=int(float(str(args.get("window_min") or 0)) / 60),
        )
    ),
    "catering_down": MetricText(
        lambda args, _names, _: _("{kinds} sans repas", kinds=_name_kinds(args, _))
    ),
    "absence_rate": MetricText(
        lambda args, names, _: _(
            "absences, {scope}", scope=_name_scope(_get_first(args.get("scope")), names, _)
        ),
        unit="%",
    ),
    "forecast_absence": MetricText(
        lambda args, names, _: _(
            "absences annoncées, {scope}",
            scope=_name_scope(_get_first(args.get("scope")), names, _),
        ),
        unit="%",
    ),
    "evacuees": MetricText(lambda _args, _names, _: _("personnes évacuées")),
    "security_events": MetricText(
        lambda args, _names, _: (
            _("événements de sûreté dans une commune")
            if args.get("per") == "commune"
            else _("événements de sûreté")
        )
    ),
    "security_communes": MetricText(
        lambda _args, _names, _: _("communes touchées par des violences")
    ),
    "road_closed": MetricText(
        lambda args, _names, _: _("{road} fermée", road=args.get("road", ""))
    ),
    "gas_leak_distance_m": MetricText(
        lambda _args, _names, _: _("fuite de gaz, distance du site le plus proche"), unit="m"
    ),
    "activity_rto_pct": MetricText(
        lambda args, names, _: _(
            "RTO consommé, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activity_dmia_pct": MetricText(
        lambda args, names, _: _(
            "DMIA consommée, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activity_capacity_min": MetricText(
        lambda args, names, _: _(
            "capacité la plus basse, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activities_interrupted": MetricText(lambda _args, _names, _: _("activités interrompues")),
    "transverse_loss": MetricText(
        lambda _args, _names, _: _("perte transverse : isolement total ou site central perdu 72 h")
    ),
    "system_down": MetricText(
        lambda args, names, _: _(
            "systèmes arrêtés : {systems}",
            systems=", ".join(
                world.name_system(s, names, _) for s in _to_list(args.get("systems"))
            ),
        )
    ),
    "rumour_severity": MetricText(lambda _args, _names, _: _("rumeur la plus grave")),
    "logistics_need_sites": MetricText(
        lambda _args, _names, _: _("sites ayant besoin d’eau, de chauffage ou de froid")
    ),
    "restored_share": MetricText(lambda _args, _names, _: _("sites rétablis"), unit="%"),
    "headcount_pct": MetricText(lambda _args, _names, _: _("recensement"), unit="%"),
}

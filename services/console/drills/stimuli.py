"""Write the reports that make the trigger of a plan hold, as events of an exercise file.

Pure: the same network and the same random source give the same reports. Texts are those of an
exercise, in French. Rule D95.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, Final

from schemas import reference as ref
from schemas.predicates import AllOf, AnyOf, Measured, Predicate
from services.console.dependencies.drawing import name_resource
from services.console.dependencies.network import DependencyNetwork, LostResource, ResourceKind
from services.console.i18n import get_translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames

Stimulus = dict[str, Any]
"""One event of an exercise file, without id and time."""
MOST_STIMULI: Final = 12
"""Most reports of one drill: it lasts 15 minutes."""
DAY_MIN: Final = 24 * 60
STRIKE_STARTS_MIN: Final = 6 * 60
"""Minute of its day from which a strike counts (D50)."""
_COLOUR_SEVERITY: Final = {"jaune": 2, "orange": 3, "rouge": 5}
_STILL_TO_SPARE: Final = 1.5
"""Factor above a threshold, so that a report does not stand on its edge."""
_ = get_translator("fr")


@dataclass(frozen=True, slots=True)
class _FlagForm:
    """Report that declares a flag."""

    type: str
    source: str
    severity: int
    headline: str
    object: str | None = None
    has_zone: bool = False


_FLAGS: Final[Mapping[str, _FlagForm]] = {
    "edr_critical": _FlagForm(
        "outage_it", "edr", 4, "Chiffrement détecté sur des serveurs", "system:ad"
    ),
    "ciso_declaration": _FlagForm("outage_it", "rssi", 4, "Le RSSI déclare une attaque"),
    "total_isolation": _FlagForm(
        "outage_it", "rssi", 5, "Décision : isolement total du système d’information", "system:*"
    ),
    "water_alert": _FlagForm(
        "sanitary_alert", "concessionnaire_eau", 3, "Analyse d’eau non conforme", has_zone=True
    ),
    "water_restriction": _FlagForm(
        "outage_water", "prefecture", 3, "Arrêté : ne pas boire l’eau du robinet", has_zone=True
    ),
    "prefecture_instruction": _FlagForm("info", "prefecture", 3, "Consigne de la préfecture"),
    "rehousing_needed": _FlagForm("info", "prefecture", 4, "Des ménages sont à reloger"),
    "strike_notice": _FlagForm("info", "rh", 3, "Préavis de grève déposé"),
}


@dataclass(frozen=True, slots=True)
class StimulusWriter:
    """Writer of reports for one territory, with its source of choices."""

    network: DependencyNetwork
    names: TerritoryNames
    random: Random

    def list_alternatives(self, when: Predicate) -> list[list[Stimulus]]:
        """List the sets of reports, any of which makes a predicate hold."""
        match when:
            case Measured():
                write = _WRITERS.get(when.metric)
                stimuli = write(self, when) if write is not None else None
                return [stimuli] if stimuli and len(stimuli) <= MOST_STIMULI else []
            case AnyOf(any=parts):
                return [one for part in parts for one in self.list_alternatives(part)]
            case AllOf(all=parts):
                every = [self.list_alternatives(part) for part in parts]
                return [
                    [s for some in combination for s in some] for combination in product(*every)
                ]
            case _:
                return []

    def write_loss(self, resource: LostResource) -> list[Stimulus]:
        """Return the reports of a lost resource; none if they are too many."""
        match resource.kind:
            case ResourceKind.SYSTEM:
                return [self._report_system(resource.id)]
            case ResourceKind.SUPPLIER:
                return [
                    {
                        "from": "cellule",
                        "type": "supplier_failure",
                        "severity": 4,
                        "lost_pct": 100,
                        "measure": {"object": f"supplier:{resource.id}"},
                        "headline": f"Défaillance : {name_resource(resource, self.names, _)}",
                    }
                ]
            case ResourceKind.KITCHEN:
                return [self._report_kitchen(resource.id)]
            case ResourceKind.SITE_KIND:
                sites = self._list_sites((resource.id,))
                return self._close(sites) if len(sites) <= MOST_STIMULI else []
            case ResourceKind.SITE:
                return self._close([self.network.sites[resource.id]])
            case _:
                return []

    def announce_strike(self, days_before: int) -> list[Stimulus]:
        """Report the notice of a strike in so many days."""
        notice = _report_flag(self, "strike_notice") or []
        start = f"+{days_before}d {STRIKE_STARTS_MIN // 60:02d}:00"
        return [stimulus | {"effective": {"from": start}} for stimulus in notice]

    def _list_sites(self, kinds: Iterable[str] = ()) -> list[ref.Site]:
        chosen_kinds = tuple(kinds)
        sites = sorted(self.network.sites.values(), key=lambda site: site.id)
        return [site for site in sites if not chosen_kinds or site.kind in chosen_kinds]

    def draw_sites(self, kinds: Iterable[str], count: int) -> list[ref.Site] | None:
        """Draw so many sites of these kinds; None if there are fewer."""
        sites = self._list_sites(kinds)
        if not 0 < count <= len(sites):
            return None
        return sorted(self.random.sample(sites, count), key=lambda site: site.id)

    def draw_commune(self) -> str:
        """Draw a commune that has a site."""
        return self.random.choice(sorted({site.commune for site in self.network.sites.values()}))

    def draw_neighbours(self, count: int) -> list[ref.Site] | None:
        """Draw so many sites of one commune; None if no commune has so many."""
        by_commune: dict[str, list[ref.Site]] = {}
        for site in self._list_sites():
            by_commune.setdefault(site.commune, []).append(site)
        crowded_communes = sorted(one for one, sites in by_commune.items() if len(sites) >= count)
        if not crowded_communes:
            return None
        sites = by_commune[self.random.choice(crowded_communes)]
        return sorted(self.random.sample(sites, count), key=lambda site: site.id)

    def _close(self, sites: Sequence[ref.Site]) -> list[Stimulus]:
        return report_sites(sites, "closure", 4, lost_pct=100)

    def _report_system(self, system: str) -> Stimulus:
        name = name_resource(LostResource(ResourceKind.SYSTEM, system), self.names, _)
        return {
            "from": "cellule_si",
            "type": "outage_it",
            "severity": 4,
            "lost_pct": 100,
            "measure": {"object": f"system:{system}"},
            "headline": f"Panne : {name}",
        }

    def _report_kitchen(self, kitchen: str) -> Stimulus:
        fed = len(self.network.kitchens[kitchen])
        name = name_resource(LostResource(ResourceKind.KITCHEN, kitchen), self.names, _)
        return {
            "from": "concessionnaire_restauration",
            "type": "supplier_failure",
            "severity": 4,
            "lost_pct": 100,
            "measure": {
                "name": "sites_not_delivered",
                "value": fed,
                "unit": "count",
                "object": f"supplier:{kitchen}",
            },
            "headline": f"Arrêt : {name}, {fed} sites sans livraison",
        }

    def report_systems(self, systems: Sequence[str], count: int) -> list[Stimulus] | None:
        """Report so many of these systems as down."""
        if not 0 < count <= len(systems):
            return None
        drawn_systems = sorted(self.random.sample(sorted(systems), count))
        return [self._report_system(system) for system in drawn_systems]

    def report_fed_sites(self, least: int) -> list[Stimulus] | None:
        """Report a kitchen that feeds so many sites as stopped."""
        large = sorted(k for k, fed in self.network.kitchens.items() if len(fed) >= least)
        return [self._report_kitchen(self.random.choice(large))] if large else None

    def report_illness(self, sites: int, persons: int) -> list[Stimulus] | None:
        """Report ill persons at sites of one kitchen."""
        large = sorted(k for k, fed in self.network.kitchens.items() if len(fed) >= sites)
        if not large:
            return None
        kitchen = self.random.choice(large)
        fed = self.random.sample(sorted(self.network.kitchens[kitchen]), sites)
        ill = math.ceil(persons / sites)
        kitchen_sites = [self.network.sites[id] for id in sorted(fed)]
        measure = {"name": "ill_persons", "value": ill, "unit": "persons", "scope": "site"}
        return report_sites(
            kitchen_sites, "sanitary_alert", 4, source="samu", persons=ill, measure=measure
        )


def report_sites(
    sites: Iterable[ref.Site],
    type: str,
    severity: int,
    *,
    source: str = "site_manager",
    **fields: Any,
) -> list[Stimulus]:
    """Return one report per site."""
    what = w.translate_code(w.EVENT, type, _)
    return [
        {
            "from": source,
            "type": type,
            "severity": severity,
            "site": site.id,
            **fields,
            "headline": f"{what} : {site.name}",
        }
        for site in sites
    ]


def _get_least(when: Measured) -> int:
    """Return the smallest whole number that passes a threshold from below."""
    value = float(when.value)
    return math.floor(value) + 1 if when.op == ">" else math.ceil(value)


def _list_words(when: Measured, *names: str) -> list[str]:
    words: list[str] = []
    for name in names:
        argument: Any = when.args.get(name, ())
        words += [argument] if isinstance(argument, str) else [str(one) for one in argument]
    return words


def _passes_upwards(when: Measured) -> bool:
    return when.op in (">=", ">")


def _write_vigilance(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    colour = str(when.value)
    phenomena = _list_words(when, "phenomenon")
    if colour not in _COLOUR_SEVERITY or not phenomena or not _passes_upwards(when):
        return None
    phenomenon = writer.random.choice(sorted(phenomena))
    return [
        {
            "from": "vigicrues" if phenomenon == "crues" else "meteo_france",
            "type": "weather_alert",
            "severity": _COLOUR_SEVERITY[colour],
            "phenomenon": phenomenon,
            "colour": colour,
            "headline": f"Vigilance {phenomenon} {colour}",
        }
    ]


def _write_river(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:  # noqa: ARG001
    level, station = float(when.value), str(when.args.get("station", ""))
    if not station or not _passes_upwards(when):
        return None
    measure = {"name": "river_level", "value": level, "unit": "m", "object": f"station:{station}"}
    sentence = f"{level:.2f}".replace(".", ",")
    return [
        {
            "from": "vigicrues",
            "type": "flood_level",
            "severity": 4,
            "measure": measure,
            "headline": f"Hauteur d’eau {sentence} m",
        }
    ]


def _write_sites(type: str, severity: int, lost_pct: int) -> "Writer":
    def write(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
        if not _passes_upwards(when):
            return None
        sites = writer.draw_sites(_list_words(when, "kind", "kinds"), _get_least(when))
        return None if sites is None else report_sites(sites, type, severity, lost_pct=lost_pct)

    return write


def _write_systems(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    return writer.report_systems(_list_words(when, "systems"), _get_least(when))


def _write_catering(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    return writer.report_fed_sites(_get_least(when))


def _write_illness(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    return writer.report_illness(int(when.args.get("min_sites", 1)), _get_least(when))


def _write_customers(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    customers = round(_get_least(when) * _STILL_TO_SPARE)
    measure = {
        "name": "customers_cut",
        "value": customers,
        "unit": "count",
        "object": "network:electricity",
    }
    return [
        {
            "from": "enedis",
            "type": "outage_power",
            "severity": 4,
            "zone": [writer.draw_commune()],
            "measure": measure,
            "headline": f"Poste source hors service : {customers} clients coupés",
        }
    ]


def _write_power_sites(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    sites = writer.draw_sites((), _get_least(when))
    return None if sites is None else report_sites(sites, "outage_power", 3, lost_pct=60)


def _write_cause(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    sites = writer.draw_sites(_list_words(when, "kinds", "kind"), _get_least(when))
    cause = str(when.args.get("cause", ""))
    return None if sites is None or not cause else report_sites(sites, cause, 4, lost_pct=100)


def _write_flag(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    return _report_flag(writer, str(when.args.get("name", ""))) if when.value is True else None


def _report_flag(writer: StimulusWriter, name: str) -> list[Stimulus] | None:
    form = _FLAGS.get(name)
    if form is None:
        return None
    measure: dict[str, Any] = {"name": name, "value": True, "unit": "bool"}
    stimulus: Stimulus = {
        "from": form.source,
        "type": form.type,
        "severity": form.severity,
        "measure": measure if form.object is None else measure | {"object": form.object},
        "headline": form.headline,
    }
    return [stimulus | ({"zone": [writer.draw_commune()]} if form.has_zone else {})]


def _write_severity(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    sites = writer.draw_sites(_list_words(when, "kinds", "kind"), 1)
    types = _list_words(when, "types")
    if sites is None or not types:
        return None
    flag = when.args.get("and_flag")
    before = [] if flag is None else _report_flag(writer, str(flag))
    if before is None:
        return None
    source = "cellule_si" if types[0] == "outage_it" else "site_manager"
    return before + report_sites(sites, types[0], _get_least(when), source=source, lost_pct=60)


def _write_absence(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:  # noqa: ARG001
    """Report the rate of each day that the metric averages, the present day last."""
    days, scope = int(when.args.get("days", 1)), str(when.args.get("scope", "global"))
    rate = _get_least(when) + 1
    measure = {"name": "absence_rate", "value": rate, "unit": "%", "scope": scope}
    return [
        {
            "day": -days_ago,
            "from": "rh",
            "type": "staff_shortage" if scope == "global" else "info",
            "severity": 3,
            "measure": measure,
            "headline": f"Taux d’absence : {rate} %",
        }
        for days_ago in reversed(range(days))
    ]


def _write_forecast(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:  # noqa: ARG001
    rate, scope = _get_least(when) + 1, str(when.args.get("scope", "global"))
    measure = {"name": "forecast_absence", "value": rate, "unit": "%", "scope": scope}
    return [
        {
            "from": "rh",
            "type": "info",
            "severity": 3,
            "measure": measure,
            "headline": f"Absence prévue : {rate} %",
        }
    ]


def _write_evacuees(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    people = round(_get_least(when) * _STILL_TO_SPARE)
    measure = {"name": "evacuees", "value": people, "unit": "persons", "scope": "zone"}
    return [
        {
            "from": "prefecture",
            "type": "evacuation",
            "severity": 4,
            "commune": writer.draw_commune(),
            "persons": people,
            "measure": measure,
            "headline": f"Évacuation d’un quartier : {people} personnes",
        }
    ]


def _write_security(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    severity = int(when.args.get("min_severity", 3))
    sites = writer.draw_neighbours(_get_least(when))
    return None if sites is None else report_sites(sites, "security_incident", severity)


def _write_road(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:  # noqa: ARG001
    road = str(when.args.get("road", ""))
    measure = {"name": "road_closed", "value": True, "unit": "bool", "object": f"road:{road}"}
    return [
        {
            "from": "dirif",
            "type": "transport_disruption",
            "severity": 3,
            "measure": measure,
            "headline": f"{road} fermée",
        }
    ]


def _write_gas(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    sites = writer.draw_sites((), 1) if when.op in ("<", "<=") else None
    return None if sites is None else report_sites(sites, "gas_leak", 4, source="pompiers")


def _write_rumour(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    return [
        {
            "from": "rumour",
            "certainty": "rumour",
            "type": "info",
            "severity": _get_least(when),
            "commune": writer.draw_commune(),
            "headline": "Rumeur : un service public du département aurait fermé",
        }
    ]


def _write_logistics(writer: StimulusWriter, when: Measured) -> list[Stimulus] | None:
    sites = writer.draw_sites((), _get_least(when))
    return None if sites is None else report_sites(sites, "outage_water", 3, lost_pct=40)


Writer = Callable[[StimulusWriter, Measured], list[Stimulus] | None]
_WRITERS: Final[Mapping[str, Writer]] = {
    "vigilance": _write_vigilance,
    "river_level": _write_river,
    "sites_out": _write_sites("closure", 4, 100),
    "sites_hit": _write_sites("closure", 4, 100),
    "sites_closed": _write_sites("closure", 4, 100),
    "sites_evacuated": _write_sites("evacuation", 4, 100),
    "sites_partially_closed": _write_sites("partial_closure", 3, 50),
    "system_down": _write_systems,
    "catering_down": _write_catering,
    "supplier_illness": _write_illness,
    "customers_cut": _write_customers,
    "outage_power_sites": _write_power_sites,
    "sites_with_cause": _write_cause,
    "flag": _write_flag,
    "max_severity": _write_severity,
    "absence_rate": _write_absence,
    "forecast_absence": _write_forecast,
    "evacuees": _write_evacuees,
    "security_events": _write_security,
    "road_closed": _write_road,
    "gas_leak_distance_m": _write_gas,
    "rumour_severity": _write_rumour,
    "logistics_need_sites": _write_logistics,
}
"""Metric → writer of the reports that move it. Other metrics have no report of their own."""

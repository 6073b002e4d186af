"""Show the condition of a trigger as rows of choices, and read them back. Rule D86."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.datastructures import QueryParams

from schemas import reference as ref
from schemas.predicates import list_measured
from services.console.i18n import N_, Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.resources import RecordChoice
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.reasons import describe_condition
from services.territory.editing.conditions import (
    COLOURS,
    MAX_COMPARISONS,
    METRIC_FORMS,
    Argument,
    ConditionInvalid,
    build_measured,
    list_argument_values,
    read_conditions,
)
from services.territory.editing.record_checks import list_known_ids

METRIC_LABELS: Final[Mapping[str, str]] = {
    "vigilance": N_("Couleur de vigilance météo ou crues"),
    "river_level": N_("Niveau de la Seine, en mètres"),
    "flag": N_("Signal reçu d’une autorité ou d’un opérateur"),
    "measure": N_("Valeur d’une mesure pour tout le Département"),
    "level": N_("Niveau du territoire"),
    "sites_out": N_("Nombre de sites hors service"),
    "sites_closed": N_("Nombre de sites fermés"),
    "sites_evacuated": N_("Nombre de sites évacués"),
    "sites_hit": N_("Nombre de sites touchés"),
    "sites_partially_closed": N_("Nombre de sites fermés, même en partie, ou qui le seront"),
    "sites_staff_at_most": N_("Nombre de sites avec trop peu d’agents"),
    "sites_below_opening": N_("Nombre de sites sous le minimum d’ouverture"),
    "sites_with_cause": N_("Nombre de sites touchés par un événement donné"),
    "max_severity": N_("Gravité la plus forte d’un signalement"),
    "outage_power_sites": N_("Nombre de sites privés de courant en peu de temps"),
    "expected_unavailability_h": N_("Indisponibilité prévue d’un site, en heures"),
    "catering_down": N_("Nombre de sites sans repas"),
    "poles_out": N_("Nombre de pôles ayant plusieurs sites hors service"),
    "customers_cut": N_("Clients privés d’électricité"),
    "evacuees": N_("Personnes évacuées"),
    "absence_rate": N_("Absences constatées, en %"),
    "forecast_absence": N_("Absences annoncées, en %"),
    "supplier_illness": N_("Malades rattachés à une même cuisine"),
    "security_events": N_("Événements de sûreté en peu de temps"),
    "security_communes": N_("Communes touchées par des violences"),
    "rumour_severity": N_("Gravité de la rumeur la plus grave"),
    "road_closed": N_("Route fermée"),
    "gas_leak_distance_m": N_("Distance d’une fuite de gaz à un site, en mètres"),
    "logistics_need_sites": N_("Nombre de sites ayant besoin d’eau, de chauffage ou de froid"),
    "open_incidents": N_("Nombre d’incidents ouverts"),
    "system_down": N_("Nombre de systèmes arrêtés"),
    "transverse_loss": N_("Perte transverse : isolement total ou site central perdu"),
    "activity_rto_pct": N_("Délai de reprise (RTO) consommé, en %"),
    "activity_dmia_pct": N_("Interruption admissible (DMIA) consommée, en %"),
    "activity_capacity_min": N_("Capacité la plus basse d’activités, en %"),
    "activities_interrupted": N_("Nombre d’activités interrompues"),
}
ARGUMENT_LABELS: Final = {
    "kinds": N_("Genres de sites"),
    "kind": N_("Genre de site"),
    "phenomenon": N_("Phénomène"),
    "station": N_("Station"),
    "name": N_("Signal"),
    "horizon_h": N_("Horizon, en heures"),
    "pct": N_("Part d’agents présents au plus, en %"),
    "days": N_("Jours de suite"),
    "cause": N_("Événement"),
    "types": N_("Genres d’événement"),
    "and_flag": N_("Seulement avec ce signal"),
    "min_sites": N_("Sites au moins"),
    "scope": N_("Où"),
    "per": N_("Compté par"),
    "min_severity": N_("Gravité au moins"),
    "window_min": N_("Durée, en minutes"),
    "road": N_("Route"),
    "systems": N_("Systèmes"),
    "pole": N_("Pôle"),
    "criticality": N_("Criticités"),
    "activities": N_("Activités"),
}
_OPERATORS: Final = {
    ">=": N_("au moins"),
    ">": N_("plus de"),
    "<=": N_("au plus"),
    "<": N_("moins de"),
    "==": N_("exactement"),
}
_AREAS: Final = {"commune": N_("commune"), "territory": N_("département")}


@dataclass(frozen=True, slots=True)
class ArgumentField:
    """An argument of a comparison in the form."""

    name: str
    label: str
    kind: str
    choices: Sequence[RecordChoice]
    chosen: Sequence[str]


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """A comparison in the form; `metric` is empty in the row that adds one."""

    number: int
    joint: str
    metric: str
    op: str
    value: str
    value_kind: str
    arguments: Sequence[ArgumentField]


@dataclass(frozen=True, slots=True)
class ConditionForm:
    """Rows of a condition, with its sentence or its fault."""

    rows: Sequence[ConditionRow]
    lines: Sequence[str]
    sentence: str
    fault: str
    metrics: Sequence[tuple[str, str]]
    operators: Sequence[tuple[str, str]]
    colours: Sequence[tuple[str, str]]

    @property
    def is_begun(self) -> bool:
        """Return whether a comparison is chosen; the last row is an empty one."""
        return len(self.rows) > 1


def build_condition_form(
    reference: IndexedReference, lines: Sequence[str], query: QueryParams, level: str, _: Translator
) -> ConditionForm:
    """Build the rows from the address of the form, else from the given alternatives."""
    form_rows = _read_rows(query)
    comparisons = form_rows or _list_comparisons(lines)
    lines = _write_lines(comparisons) if form_rows else lines
    choices = _list_choices(reference, _)
    rows = [
        _build_row(n, joint, comparison, choices, _)
        for n, (joint, comparison) in enumerate(comparisons[:MAX_COMPARISONS], 1)
    ]
    rows.append(ConditionRow(len(rows) + 1, "or", "", ">=", "", "", ()))
    sentence, fault = _describe(reference, lines, level, _)
    return ConditionForm(
        rows=rows,
        lines=lines,
        sentence=sentence,
        fault=fault,
        metrics=[(metric, _(label)) for metric, label in METRIC_LABELS.items()],
        operators=[(op, _(label)) for op, label in _OPERATORS.items()],
        colours=[(one, _(world.COLOUR[one])) for one in COLOURS],
    )


_Comparison = tuple[str, dict[str, Any]]
"""Joint with the comparison before, and the JSON data."""


def _list_comparisons(lines: Sequence[str]) -> list[_Comparison]:
    comparisons: list[_Comparison] = []
    for line in lines:
        for n, comparison in enumerate(orjson.loads(line)):
            comparisons.append(("and" if n else "or", comparison))
    return comparisons


def _read_rows(query: QueryParams) -> list[_Comparison]:
    """Return the comparisons that the address of the form says."""
    comparisons: list[_Comparison] = []
    for n in range(1, MAX_COMPARISONS + 2):
        metric = query.get(f"c{n}.metric", "")
        if metric not in METRIC_FORMS:
            continue
        arguments = {
            argument.name: query.getlist(f"c{n}.{argument.name}")
            for argument in METRIC_FORMS[metric].arguments
        }
        op, value = query.get(f"c{n}.op", ">="), query.get(f"c{n}.value", "")
        if METRIC_FORMS[metric].value == "bool" and not value:
            value = "true"
        comparison = build_measured(metric, arguments, op if op in _OPERATORS else ">=", value)
        comparisons.append(
            ("and" if query.get(f"c{n}.joint") == "and" and comparisons else "or", comparison)
        )
    return comparisons


def _write_lines(comparisons: Iterable[_Comparison]) -> tuple[str, ...]:
    alternatives: list[list[dict[str, Any]]] = []
    for joint, comparison in comparisons:
        if joint == "and" and alternatives:
            alternatives[-1].append(comparison)
        else:
            alternatives.append([comparison])
    return tuple(orjson.dumps(one).decode() for one in alternatives)


def _describe(
    reference: IndexedReference, lines: Sequence[str], level: str, _: Translator
) -> tuple[str, str]:
    """Return the sentence of a condition, and its fault."""
    try:
        predicate = read_conditions(lines)
    except ConditionInvalid as error:
        return "", error.en if _.lang == "en" else error.fr
    sentence = describe_condition(predicate, reference.names, _.lang)
    if level in ("", "0"):
        return _("Le plan est proposé dès que : {condition}.", condition=sentence), ""
    return _(
        "Le plan est proposé, et l’incident passe au moins à N{level}, dès que : {condition}.",
        level=level,
        condition=sentence,
    ), ""


def _build_row(
    number: int,
    joint: str,
    comparison: Mapping[str, Any],
    choices: Mapping[str, Sequence[RecordChoice]],
    _: Translator,
) -> ConditionRow:
    form = METRIC_FORMS[comparison["metric"]]
    value = comparison["value"]
    return ConditionRow(
        number=number,
        joint=joint,
        metric=comparison["metric"],
        op=comparison["op"],
        value=str(value).lower() if isinstance(value, bool) else str(value),
        value_kind=form.value,
        arguments=[
            _build_argument(argument, comparison["args"], choices, _) for argument in form.arguments
        ],
    )


def _build_argument(
    argument: Argument,
    args: Mapping[str, Any],
    choices: Mapping[str, Sequence[RecordChoice]],
    _: Translator,
) -> ArgumentField:
    chosen_values = list_argument_values(argument, args)
    offered_choices = list(choices.get(argument.refers, ()))
    if argument.kind == "numbers":
        offered_choices = [RecordChoice(id=str(n), name=str(n)) for n in range(1, 5)]
    names = {one.id for one in offered_choices}
    if argument.refers:
        offered_choices += [
            RecordChoice(id=one, name=one) for one in chosen_values if one not in names
        ]
    return ArgumentField(
        name=argument.name,
        label=_(ARGUMENT_LABELS[argument.name]),
        kind="list" if argument.kind == "numbers" else argument.kind,
        choices=offered_choices,
        chosen=chosen_values,
    )


def _list_choices(reference: IndexedReference, _: Translator) -> dict[str, list[RecordChoice]]:
    """Return kind of reference → values to choose from."""
    names, ids_by_kind = reference.names, list_known_ids(reference.sections)
    used = _list_used_values(reference.sections)
    causes = {str(id): _(name) for id, name in w.CAUSE.items()}
    kinds = {id: w.translate_code(world.KIND_MANY, id, _) for id in ids_by_kind["site_kind"]}
    poles = {id: names.pole(id, _.lang) for id in ids_by_kind["pole"]}
    names_by_reference: dict[str, Mapping[str, str]] = {
        "site_kind": kinds,
        "pole": poles,
        "system": {id: world.name_system(id, names, _) for id in ids_by_kind["system"]},
        "activity": {id: names.activity_label(id, _.lang) for id in ids_by_kind["activity"]},
        "cause": causes,
        "event_type": causes,
        "phenomenon": {id: _(name) for id, name in world.PHENOMENON.items()},
        "flag": {id: _(name) for id, name in world.FLAG.items()},
        "measure": {id: _(name) for id, name in world.MEASURE.items()},
        "station": {id: world.name_station(id) for id in used.get("station", ())},
        "road": {id: id for id in used.get("road", ())},
        "area": {id: _(name) for id, name in _AREAS.items()},
        "territory": {"territory": _("tout le Département")},
        "rated": {
            "global": _("tout le Département"),
            **{f"kind:{id}": name for id, name in kinds.items()},
            **{f"pole:{id}": name for id, name in poles.items()},
        },
    }
    return {
        refers: [RecordChoice(id=id, name=name) for id, name in values.items()]
        for refers, values in names_by_reference.items()
    }


def _list_used_values(sections: Sequence[Any]) -> dict[str, set[str]]:
    """Return argument → texts that the conditions in force give it."""
    conditions = [
        trigger.when
        for section in sections
        if isinstance(section, ref.Plans)
        for plan in section.plans
        for trigger in plan.triggers
    ]
    values_by_argument: dict[str, set[str]] = {}
    for condition in conditions:
        for comparison in list_measured(condition):
            for name, value in comparison.args.items():
                if isinstance(value, str):
                    values_by_argument.setdefault(name, set()).add(value)
    return values_by_argument

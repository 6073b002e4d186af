"""Write the condition of a trigger as alternatives that people choose from lists. Rule D86.

A condition is a list of alternatives; each is a list of comparisons that hold together. An
alternative is written as JSON, one a line: `[{"metric": …, "args": {…}, "op": …, "value": …}]`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from schemas.predicates import AllOf, AnyOf, Measured, Predicate

ArgumentKind = Literal["list", "one", "number", "numbers"]
ValueKind = Literal["number", "bool", "colour"]
MAX_COMPARISONS: Final = 12
COLOURS: Final = ("jaune", "orange", "rouge")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a metric."""

    name: str
    kind: ArgumentKind
    refers: str = ""
    """Kind of the ids in it; empty: a number."""
    is_needed: bool = True
    single: str = ""
    """Name of the argument with one value; empty: the same."""


@dataclass(frozen=True, slots=True)
class MetricForm:
    """Arguments and value of a metric."""

    arguments: tuple[Argument, ...] = ()
    value: ValueKind = "number"


_KINDS: Final = Argument("kinds", "list", "site_kind", is_needed=False, single="kind")
_KIND: Final = Argument("kinds", "list", "site_kind", single="kind")
_ONE_KIND: Final = Argument("kind", "one", "site_kind")
_ANY_KINDS: Final = Argument("kinds", "list", "site_kind", is_needed=False)
_WINDOW: Final = Argument("window_min", "number")
_SEVERITY: Final = Argument("min_severity", "number", is_needed=False)
_ACTIVITIES: Final = Argument("activities", "list", "activity", is_needed=False)
_POLE: Final = Argument("pole", "one", "pole", is_needed=False)
_CRITICALITY: Final = Argument("criticality", "numbers", is_needed=False)
_RATED: Final = Argument("scope", "one", "rated")

METRIC_FORMS: Final[Mapping[str, MetricForm]] = {
    "vigilance": MetricForm(
        (Argument("phenomenon", "list", "phenomenon", single="phenomenon"),), "colour"
    ),
    "river_level": MetricForm((Argument("station", "one", "station"),)),
    "flag": MetricForm((Argument("name", "one", "flag"),), "bool"),
    "measure": MetricForm((Argument("name", "one", "measure"),)),
    "level": MetricForm((Argument("scope", "one", "territory"),)),
    "sites_out": MetricForm((_KINDS,)),
    "sites_closed": MetricForm((_KINDS,)),
    "sites_evacuated": MetricForm((_KINDS,)),
    "sites_hit": MetricForm((_KINDS,)),
    "sites_partially_closed": MetricForm((_KIND, Argument("horizon_h", "number"))),
    "sites_staff_at_most": MetricForm((_KIND, Argument("pct", "number"))),
    "sites_below_opening": MetricForm((_ONE_KIND, Argument("days", "number"))),
    "sites_with_cause": MetricForm((Argument("cause", "one", "cause"), _ANY_KINDS)),
    "max_severity": MetricForm(
        (
            _ANY_KINDS,
            Argument("types", "list", "event_type", is_needed=False),
            Argument("and_flag", "one", "flag", is_needed=False),
        )
    ),
    "outage_power_sites": MetricForm((_WINDOW,)),
    "expected_unavailability_h": MetricForm((_KIND,)),
    "catering_down": MetricForm((_KIND,)),
    "poles_out": MetricForm((Argument("min_sites", "number"),)),
    "customers_cut": MetricForm(),
    "evacuees": MetricForm(),
    "absence_rate": MetricForm((_RATED, Argument("days", "number", is_needed=False))),
    "forecast_absence": MetricForm((_RATED,)),
    "supplier_illness": MetricForm((Argument("min_sites", "number", is_needed=False), _WINDOW)),
    "security_events": MetricForm(
        (Argument("per", "one", "area", is_needed=False), _SEVERITY, _WINDOW)
    ),
    "security_communes": MetricForm((_SEVERITY, _WINDOW)),
    "rumour_severity": MetricForm(),
    "road_closed": MetricForm((Argument("road", "one", "road"),), "bool"),
    "gas_leak_distance_m": MetricForm(),
    "logistics_need_sites": MetricForm(),
    "open_incidents": MetricForm(),
    "system_down": MetricForm((Argument("systems", "list", "system"),)),
    "transverse_loss": MetricForm((), "bool"),
    "activity_rto_pct": MetricForm((_POLE, _CRITICALITY, _ACTIVITIES)),
    "activity_dmia_pct": MetricForm((_POLE, _CRITICALITY, _ACTIVITIES)),
    "activity_capacity_min": MetricForm((_ACTIVITIES,)),
    "activities_interrupted": MetricForm((_POLE, _CRITICALITY)),
}
"""Metrics that people may choose, in the order of the list that they choose from."""
_ALTERNATIVE: TypeAdapter[tuple[Measured, ...]] = TypeAdapter(tuple[Measured, ...])


class ConditionInvalid(ValueError):
    """Signal a comparison that a person wrote wrongly."""

    def __init__(self, code: str, fr: str, en: str) -> None:
        super().__init__(en)
        self.code, self.fr, self.en = code, fr, en


def write_conditions(predicate: Predicate) -> tuple[str, ...] | None:
    """Return the alternatives of a condition; None if they cannot say it."""
    alternatives = predicate.any if isinstance(predicate, AnyOf) else (predicate,)
    lines = []
    for one in alternatives:
        parts = one.all if isinstance(one, AllOf) else (one,)
        comparisons = [part for part in parts if isinstance(part, Measured)]
        if len(comparisons) < len(parts):
            return None
        lines.append(_ALTERNATIVE.dump_json(tuple(comparisons)).decode())
    return tuple(lines)


def read_conditions(lines: Sequence[str]) -> Predicate:
    """Return the condition that the alternatives say. Raises ConditionInvalid."""
    alternatives: list[Predicate] = []
    count = 0
    for line in lines:
        try:
            parts = _ALTERNATIVE.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]["msg"]
            raise ConditionInvalid(
                "condition", "une condition est illisible", f"a condition is unreadable: {first}"
            ) from None
        for part in parts:
            _check_measured(part)
        count += len(parts)
        if parts:
            alternatives.append(parts[0] if len(parts) == 1 else AllOf(all=parts))
    if not alternatives:
        raise ConditionInvalid("missing", "au moins une condition", "at least one condition")
    if count > MAX_COMPARISONS:
        raise ConditionInvalid(
            "length",
            f"{count} conditions, {MAX_COMPARISONS} au plus",
            f"{count} conditions, at most {MAX_COMPARISONS}",
        )
    return alternatives[0] if len(alternatives) == 1 else AnyOf(any=tuple(alternatives))


def build_measured(
    metric: str, texts_by_argument: Mapping[str, Sequence[str]], op: str, value: str
) -> dict[str, Any]:
    """Return a comparison as JSON data, from the texts of a form."""
    form = METRIC_FORMS[metric]
    args: dict[str, Any] = {}
    for argument in form.arguments:
        texts = [text for text in texts_by_argument.get(argument.name, ()) if text]
        if texts:
            args |= _build_argument(argument, texts)
    typed_value: Any = value == "true" if form.value == "bool" else value
    if form.value == "number":
        typed_value = parse_number(value)
    return {
        "metric": metric,
        "args": args,
        "op": op if form.value != "bool" else "==",
        "value": typed_value,
    }


def _build_argument(argument: Argument, texts: Sequence[str]) -> dict[str, Any]:
    match argument.kind:
        case "number":
            return {argument.name: parse_number(texts[0])}
        case "numbers":
            return {argument.name: [parse_number(text) for text in texts]}
        case "one":
            return {argument.name: texts[0]}
        case _:
            if argument.single and len(texts) == 1:
                return {argument.single: texts[0]}
            return {argument.name: list(texts)}


def parse_number(text: str) -> int | float | str:
    """Return the number that a field of a form holds, or its text if it is none."""
    try:
        return int(text) if text.strip().lstrip("-").isdigit() else float(text.replace(",", "."))
    except ValueError:
        return text


def list_argument_values(argument: Argument, args: Mapping[str, Any]) -> list[str]:
    """Return the values of an argument as texts."""
    value = args.get(argument.name, args.get(argument.single) if argument.single else None)
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _check_measured(comparison: Measured) -> None:
    """Raise ConditionInvalid for a metric with a missing argument or a wrong value."""
    form = METRIC_FORMS.get(comparison.metric)
    if form is None:
        raise ConditionInvalid(
            "unknown",
            f"« {comparison.metric[:40]} » n’est pas une mesure",
            f"“{comparison.metric[:40]}” is no metric",
        )
    names = {name for a in form.arguments for name in (a.name, a.single) if name}
    if unknown := sorted(comparison.args.keys() - names):
        raise ConditionInvalid(
            "unknown", f"précision inconnue : {unknown[0][:40]}", f"no argument {unknown[0][:40]!r}"
        )
    for argument in form.arguments:
        _check_argument(argument, comparison)
    kinds: dict[ValueKind, tuple[type, ...]] = {
        "number": (int, float),
        "bool": (bool,),
        "colour": (str,),
    }
    is_right = isinstance(comparison.value, kinds[form.value]) and (
        form.value == "bool" or not isinstance(comparison.value, bool)
    )
    if not is_right or (form.value == "colour" and comparison.value not in COLOURS):
        raise ConditionInvalid(
            "value", "le seuil ne convient pas à la mesure", "the threshold does not fit the metric"
        )


def _check_argument(argument: Argument, comparison: Measured) -> None:
    values = list_argument_values(argument, comparison.args)
    if argument.is_needed and not values:
        raise ConditionInvalid(
            "missing",
            f"une précision manque à la mesure « {comparison.metric} »",
            f"{comparison.metric}: {argument.name} is missing",
        )
    raw = comparison.args.get(argument.name, comparison.args.get(argument.single))
    numbers = raw if isinstance(raw, list | tuple) else [raw]
    if (
        argument.kind in ("number", "numbers")
        and values
        and not all(
            isinstance(one, int | float) and not isinstance(one, bool) and 0 < one <= MAX_NUMBER
            for one in numbers
        )
    ):
        raise ConditionInvalid(
            "range",
            f"un nombre de 1 à {MAX_NUMBER} est attendu",
            f"{argument.name}: a number from 1 to {MAX_NUMBER} is expected",
        )


MAX_NUMBER: Final = 100_000


def list_references(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (kind of reference, id) of everything that alternatives name."""
    for line in lines:
        for alternative in _ALTERNATIVE.validate_json(line):
            for argument in METRIC_FORMS[alternative.metric].arguments:
                if argument.refers:
                    for value in list_argument_values(argument, alternative.args):
                        yield argument.refers, value

"""Read `mesures.yaml`: the sources of each measure and its bounds.

Rule D76, entitled sources and plausible values.
"""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, Final

from schemas import reference as ref
from schemas.catalogue.sources import SOURCE_KINDS
from schemas.predicates import list_measured
from services.territory.source import SourceFile, find_line, to_plain_value

_OUTSIDE_BOUNDS_RULES: Final = {"a_confirmer": "to_confirm", "refuse": "refuse"}
_FIELDS: Final = frozenset(
    {"sources", "portees", "unite", "bornes", "pas_h", "au_plus", "hors_source"}
)
_SCOPES: Final = frozenset({"site", "kind", "pole", "zone", "global"})
_RELAYS: Final = "relais"


def read_measure_rules(
    f: SourceFile, policy: ref.Escalation | None, plans: Collection[ref.Plan]
) -> ref.MeasureRules | None:
    """Read `mesures.yaml`; a territory without it trusts every source."""
    if not f.exists():
        return None
    doc = f.yaml()
    table = doc.get("mesures", {})
    measures = [rule for name in table if (rule := _read_measure(f, table, name)) is not None]
    vigilances = doc.get("vigilances", {})
    relays = to_plain_value(vigilances.get(_RELAYS, {}).get("sources", []))
    vigilance_rules = [
        {
            "sources": to_plain_value(rule["sources"]),
            "phenomena": to_plain_value(rule["phenomenes"]),
        }
        for name, rule in vigilances.items()
        if name != _RELAYS
    ]
    systems, outage = (
        to_plain_value(doc.get("systemes", {}).get("sources", [])),
        doc.get("indisponibilite_longue"),
    )
    rules = f.make(
        ref.MeasureRules,
        1,
        measures=measures,
        vigilances=vigilance_rules,
        relays=relays,
        system_sources=systems,
        long_outage=outage
        and {
            "hours": outage["duree_h"],
            "kinds": to_plain_value(outage["genres"]),
            "sources": to_plain_value(outage["sources"]),
        },
    )
    if rules is None:
        return None
    _check_sources(f, doc, rules)
    for flag in sorted(_list_deciding(policy, plans) - {rule.name for rule in rules.measures}):
        f.fault(
            find_line(doc, "mesures"),
            f"measure {flag!r} decides a level or a plan: say here who may declare it",
        )
    return rules


def _read_measure(f: SourceFile, table: Any, name: str) -> ref.MeasureRule | None:
    fields, line = table[name], find_line(table, name)
    for field in sorted(set(fields) - _FIELDS):
        f.fault(line, f"measure {name}: no field {field!r}; there are {', '.join(sorted(_FIELDS))}")
    bounds = to_plain_value(fields.get("bornes", [None, None]))
    if len(bounds) != 2 or (None not in bounds and bounds[0] > bounds[1]):
        f.fault(line, f"measure {name}: bornes are two numbers, the lower first")
        return None
    for scope in sorted(set(to_plain_value(fields.get("portees", []))) - _SCOPES):
        f.fault(line, f"measure {name}: no scope {scope!r}; there are {', '.join(sorted(_SCOPES))}")
    return f.make(
        ref.MeasureRule,
        line,
        name=name,
        sources=to_plain_value(fields["sources"]),
        scopes=to_plain_value(fields.get("portees", [])),
        unit=fields.get("unite"),
        low=bounds[0],
        high=bounds[1],
        step_per_hour=fields.get("pas_h"),
        at_most=fields.get("au_plus"),
        outside=_OUTSIDE_BOUNDS_RULES.get(
            fields.get("hors_source", "a_confirmer"), fields.get("hors_source")
        ),
    )


def _check_sources(f: SourceFile, doc: Any, rules: ref.MeasureRules) -> None:
    """Note each kind of source that no report can have."""
    outage = rules.long_outage
    source_lists = [
        (find_line(doc["mesures"], rule.name), rule.name, rule.sources) for rule in rules.measures
    ]
    source_lists += [
        (find_line(doc, "vigilances"), "vigilances", rule.sources) for rule in rules.vigilances
    ]
    source_lists += [
        (find_line(doc, "vigilances"), _RELAYS, rules.relays),
        (find_line(doc, "systemes"), "systemes", rules.system_sources),
    ]
    source_lists += (
        [(find_line(doc, "indisponibilite_longue"), "indisponibilite_longue", outage.sources)]
        if outage
        else []
    )
    for line, what, sources in source_lists:
        for source in sorted(set(sources) - SOURCE_KINDS):
            f.fault(line, f"{what}: no kind of source {source!r}")


def _list_deciding(policy: ref.Escalation | None, plans: Collection[ref.Plan]) -> set[str]:
    """Return the measures that some predicate or the member of a step asks for by name."""
    steps = chain.from_iterable(policy.ladders.values()) if policy else ()
    of_steps = {flag for step in steps for flag in step.only_if.values()}
    return of_steps | {
        str(m.args["name"])
        for m in _list_measured_conditions(policy, plans)
        if m.metric in ("flag", "measure")
    }


def _list_measured_conditions(
    policy: ref.Escalation | None, plans: Collection[ref.Plan]
) -> Iterator[Any]:
    for rule in policy.levels if policy else ():
        yield from list_measured(rule.when)
        yield from list_measured(rule.propose_when)
    for plan in plans:
        for trigger in plan.triggers:
            yield from list_measured(trigger.when)

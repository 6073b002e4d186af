"""Write the conditions of a plan as sentences, in the reader's language."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.predicates import AllOf, AnyOf, Manual, Measured, Not, Predicate
from services.console.i18n import get_translator
from services.console.texts.metrics import Args, Scalar
from services.console.texts.names import TerritoryNames
from services.console.texts.reasons import describe_reason


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison without a measured value, as reasons are written."""

    metric: str | None
    args: Args
    op: str | None
    threshold: Scalar
    code: str = "predicate"
    value: Scalar = None
    reports: tuple[str, ...] = field(default=())


def describe_conditions(predicate: Predicate | None, names: TerritoryNames, lang: str) -> list[str]:
    """Return one sentence for each part of a condition: alternatives, or demands in common."""
    match predicate:
        case None:
            return []
        case AnyOf(any=parts) | AllOf(all=parts):
            return [describe_condition(part, names, lang) for part in parts]
        case _:
            return [describe_condition(predicate, names, lang)]


def describe_condition(predicate: Predicate, names: TerritoryNames, lang: str) -> str:
    """Describe one condition with all its parts."""
    _ = get_translator(lang)
    match predicate:
        case Measured(value=bool()):
            return _describe_state(predicate, names, lang)
        case Measured(metric=metric, args=args, op=op, value=value):
            reason = describe_reason(_Comparison(metric, args, op, value), names, lang)
            return f"{reason.label} {reason.threshold}".strip()
        case AnyOf(any=parts):
            return _(" ou ").join(describe_condition(part, names, lang) for part in parts)
        case AllOf(all=parts):
            return _(" et ").join(describe_condition(part, names, lang) for part in parts)
        case Not(negated=part):
            return _("le contraire de : {what}", what=describe_condition(part, names, lang))
        case Manual(manual=text):
            return text


def _describe_state(measured: Measured, names: TerritoryNames, lang: str) -> str:
    """Describe a condition that holds or does not, such as an activated COD."""
    _ = get_translator(lang)
    comparison = _Comparison(measured.metric, measured.args, measured.op, measured.value)
    label = describe_reason(comparison, names, lang).label
    return label if measured.value else _("le contraire de : {what}", what=label)

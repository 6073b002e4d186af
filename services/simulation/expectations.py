"""Define the fields that each kind of expectation needs (docs/reference/rules.md, section 12).

Faults show when the file is read, not after the last event of an exercise.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from schemas.topics import MAX_STEP_MINUTES
from schemas.words import ClockBase, ClockState, Level, SiteStatus

LARGEST: Final = 1e15
"""Upper bound for numbers; also excludes NaN, which is not below it."""


@dataclass(frozen=True, slots=True)
class ValueForm:
    """Form of a value that a field accepts; `says` completes "… is expected"."""

    says: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_span(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_number, value))
        and value[0] <= value[1]
    )


def _form_one_of(words: type[StrEnum]) -> ValueForm:
    return ValueForm(f"one of {', '.join(words)}", lambda v: v in set(words))


def _form_some_of(words: type[StrEnum]) -> ValueForm:
    return ValueForm(f"a list of {', '.join(words)}", lambda v: set(v) <= set(words))


NUMBER: Final = ValueForm("a number", _is_number)
MINUTE: Final = ValueForm(
    "a number of minutes from the start, at most ten years",
    lambda v: _is_number(v) and abs(v) <= MAX_STEP_MINUTES,
)
TEXT: Final = ValueForm("a word", _is_text)
TEXTS: Final = ValueForm("a list of words", lambda v: isinstance(v, list) and all(map(_is_text, v)))
SPAN: Final = ValueForm("[from, to] in minutes from the start", _is_span)
FLAG: Final = ValueForm("true or false", lambda v: isinstance(v, bool))

_COUNT: Final = {"min": NUMBER, "max": NUMBER}
_NEEDED: Final[dict[str, dict[str, ValueForm]]] = {
    "level": {},
    "level_first": {"level": NUMBER, "between": SPAN},
    "level_not_lowered": {},
    "proposal_n4": {"between": SPAN},
    "incident_count": {},
    "incident_members": {"of_event": TEXT},
    "incident_includes": {"of_event": TEXT, "sites": TEXTS},
    "same_incident": {"events": TEXTS},
    "site_status": {"site": TEXT, "in": TEXTS},
    "sites_count": {"status": TEXTS},
    "unknown_sites": {},
    "plan_proposed": {"plan": TEXT, "between": SPAN},
    "plan_not_proposed": {"plan": TEXT},
    "clock": {"activity": TEXT, "state": TEXTS},
    "alarm": {"activity": TEXT, "base": TEXT, "pct": NUMBER},
    "notification": {"level": NUMBER, "wave": NUMBER, "between": SPAN},
    "not_confirmed": {"event": TEXT},
    "duplicate": {"event": TEXT, "of": TEXT},
    "headcount": {"site": TEXT, "found": NUMBER, "of": NUMBER},
    "acknowledged": {"event": TEXT, "between": SPAN},
    "plan_decided": {"plan": TEXT, "between": SPAN},
    "card_done": {"plan": TEXT, "card": TEXT, "between": SPAN},
}
_ALLOWED: Final[dict[str, dict[str, ValueForm]]] = {
    "level": _COUNT,
    "incident_count": _COUNT,
    "incident_members": _COUNT,
    "same_incident": {"value": FLAG},
    "sites_count": {**_COUNT, "site_kind": TEXT, "pole": TEXT},
    "unknown_sites": {**_COUNT, "includes": TEXTS, "excludes": TEXTS},
    "plan_proposed": {"level": NUMBER, "again": FLAG},
    "plan_not_proposed": {"level": NUMBER},
    "clock": {"site": TEXT},
    "alarm": {"site": TEXT, "never": FLAG, "between": SPAN},
}
_LEVEL: Final = ValueForm("a level, 0 to 4,", lambda v: v in set(Level))
_POSSIBLE_VALUES: Final[dict[str, dict[str, ValueForm]]] = {
    "level": {"min": _LEVEL, "max": _LEVEL},
    "level_first": {"level": _LEVEL},
    "plan_proposed": {"level": _LEVEL},
    "plan_not_proposed": {"level": _LEVEL},
    "notification": {"level": _LEVEL},
    "site_status": {"in": _form_some_of(SiteStatus)},
    "sites_count": {"status": _form_some_of(SiteStatus)},
    "clock": {"state": _form_some_of(ClockState)},
    "alarm": {"base": _form_one_of(ClockBase)},
}
"""Values that can occur, for fields of the right form.

Any other value could never match, so a check for absence would always pass.
"""
KINDS: Final = frozenset(_NEEDED)
_ALL: Final = {"id": TEXT, "at_min": MINUTE, "kind": TEXT}
_WHY: Final = ValueForm("a sentence", lambda v: v is None or isinstance(v, str))


def find_faults(check: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Yield (field, fault) for each fault of one expectation.

    The field is None if a required field is missing. An unknown kind is a fault.
    """
    if missing := [name for name in _ALL if name not in check]:
        yield None, f"an expectation needs {', '.join(missing)}"
        return
    kind, forms = check["kind"], dict(_ALL)
    if not isinstance(kind, str) or kind not in KINDS:
        del forms["kind"]
        yield "kind", f"kind: no kind {kind!r}; there are {', '.join(sorted(KINDS))}"
    else:
        required_fields = dict(_NEEDED[kind])
        if kind == "alarm" and check.get("never") is not True:
            required_fields["between"] = SPAN
        if missing := [name for name in required_fields if name not in check]:
            yield None, f"an expectation of kind {kind} needs {', '.join(missing)}"
        forms |= _ALLOWED.get(kind, {}) | required_fields
    for name, form in {**forms, "why": _WHY}.items():
        if name in check and not form.holds(check[name]):
            yield name, f"{name}: {form.says} is expected"


def find_pointless_conditions(check: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Yield (field, fault) for conditions that can never fail or never hold.

    Expects an expectation without other faults. Finds unknown words, missing bounds and `min` above
    `max`.
    """
    kind = check["kind"]
    bound_names = {*_COUNT, "includes", "excludes"} & {*_ALLOWED.get(kind, {})}
    if "min" in bound_names and not bound_names & set(check):
        yield (
            None,
            f"an expectation of kind {kind} needs one of {', '.join(sorted(bound_names))}: without, anything is as expected",
        )
    if "min" in check and "max" in check and check["min"] > check["max"]:
        yield "min", "min: more than max"
    for name, form in _POSSIBLE_VALUES.get(kind, {}).items():
        if name in check and not form.holds(check[name]):
            yield name, f"{name}: {form.says} is expected"


def list_unread_fields(check: Mapping[str, Any]) -> list[str]:
    """List the fields that no check of this kind reads; the kind must be known."""
    kind = check["kind"]
    return sorted(map(str, set(check) - {*_ALL, *_NEEDED[kind], *_ALLOWED.get(kind, {}), "why"}))

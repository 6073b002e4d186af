"""Say in words why a plan is proposed: the condition that holds, with its value. Rule D70."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from schemas.alerts import Why
from services.messages.names import MessageNames
from services.messages.phrases import Phrases

_ANYWHERE: Final = "any"
_MINUTES_PER_HOUR: Final = 60
_Scalar = str | int | float | bool | None
_Args = Mapping[str, str | int | float | bool | list[str] | list[int]]


def describe_reason(carried: object, names: MessageNames, phrases: Phrases) -> str:
    """Return a reason in words, or "" for one that is unknown or does not hold.

    `carried` is the JSON of a `Why`, as the facts of a message carry it.
    """
    why = _parse_reason(carried)
    if why is None or why.metric is None or why.value is False:
        return ""
    return phrases.reason(why.metric, _list_values(why, names, phrases))


def _parse_reason(carried: object) -> Why | None:
    if not isinstance(carried, str):
        return None
    try:
        return Why.model_validate_json(carried)
    except ValidationError:
        return None


def _list_values(why: Why, names: MessageNames, phrases: Phrases) -> dict[str, str | int | float]:
    """Return the values that the words of a metric may use."""
    number = _to_number(why.value)
    kinds = _to_list(why.args.get("kinds")) or _to_list(why.args.get("kind"))
    phenomena = _to_list(why.args.get("phenomenon"))
    phenomenon_names = [
        phrases.term("phenomena", p) or p.replace("-", " ") for p in phenomena if p != _ANYWHERE
    ]
    station = str(why.args.get("station") or "").rpartition("-")[2]
    return {
        "n": number,
        "value": phrases.number(number),
        "count": _count_sites(int(number), kinds, phrases),
        "kinds": phrases.term("site_kinds_many", kinds[0]) or "" if len(kinds) == 1 else "",
        "colour": phrases.term("colours", why.value) or "",
        "phenomena": _join_choices(phenomenon_names, phrases),
        "station": station.capitalize(),
        "flag": phrases.term("flags", why.args.get("name")) or "",
        "event": phrases.term("events", why.args.get("cause")) or "",
        "road": str(why.args.get("road") or ""),
        "pct": _to_number(why.args.get("pct")),
        "horizon": _to_number(why.args.get("horizon_h")),
        "minutes": _to_number(why.args.get("window_min")),
        "hours": int(_to_number(why.args.get("window_min"))) // _MINUTES_PER_HOUR,
        "scope": _name_scope(str(why.args.get("scope") or ""), names, phrases),
        "activities": _name_activities(why.args, names, phrases),
    }


def _join_choices(names: list[str], phrases: Phrases) -> str:
    """Join alternatives: `A, B ou C`."""
    head, tail = names[:-1], names[-1:]
    return phrases.word("or").join([", ".join(head), *tail] if head else tail)


def _count_sites(number: int, kinds: list[str], phrases: Phrases) -> str:
    """Count sites by their kind (`3 collèges`), or as sites if they may be of several."""
    table = "site_kinds" if number == 1 else "site_kinds_many"
    name = phrases.term(table, kinds[0]) if len(kinds) == 1 else None
    return phrases.word("sites", n=number) if name is None else f"{number} {name}"


def _name_scope(scope: str, names: MessageNames, phrases: Phrases) -> str:
    family, _, id = scope.partition(":")
    match family:
        case "pole":
            return _in_language(names.poles.get(id), phrases)
        case "site":
            return names.sites[id][0] if id in names.sites else ""
        case "kind":
            return phrases.term("site_kinds_many", id) or ""
        case _:
            return ""


def _name_activities(args: _Args, names: MessageNames, phrases: Phrases) -> str:
    """Name the one activity of a condition, else the pôle of several, else count them."""
    ids = _to_list(args.get("activities"))
    if len(ids) == 1:
        return _in_language(names.activities.get(ids[0]), phrases)
    if ids:
        return phrases.word("one_of", n=len(ids))
    return _in_language(names.poles.get(str(args.get("pole"))), phrases)


def _in_language(pair: tuple[str, str] | None, phrases: Phrases) -> str:
    return "" if pair is None else pair[phrases.lang == "en"]


def _to_list(value: str | float | bool | list[str] | list[int] | None) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _to_number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if value == int(value) else value

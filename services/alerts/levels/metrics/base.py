# ruff: noqa: ARG001  every metric is asked with a draft and a scope
"""What a metric is, and what its makers share (DOMAIN §13).

A maker turns `{metric, args}` into a `Metric` once per version. With an incident as scope a metric counts only what that incident
causes; a metric that no incident can own (a flag that another incident raised, a rate of the territory) has no value there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.predicates import metric_key

if TYPE_CHECKING:
    from services.alerts.decision import Draft
    from services.alerts.reference.territory import Territory

Scope = str | None
"""An incident, or None for the whole territory."""
Args = Mapping[str, Any]
Shown = str | int | float | bool
SHOWN_REPORTS: Final = 20
"""A reason cites at most so many reports."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a maker is asked for."""

    args: Args
    territory: Territory
    severity_index: Mapping[str, int]


def severity_key(args: Args) -> str:
    """Canonical name of a severity query; `and_flag` is looked at when it is read."""
    return metric_key("max_severity", {k: v for k, v in args.items() if k != "and_flag"})


def nobody(draft: Draft, scope: Scope) -> tuple[str, ...]:
    return ()


def as_shown(value: float) -> Shown:
    return int(value) if float(value).is_integer() else value


def tenth(threshold: float) -> float:
    """Margin of a count (D31)."""
    return abs(threshold) / 10


def none(threshold: float) -> float:
    """No margin: being below is enough."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its arguments. `value` None = it cannot be said, so no predicate on it holds."""

    value: Callable[[Draft, Scope], float | None]
    reads: frozenset[str]
    """What it depends on: indexes of the state, `mark:<m>` (sites that count for it), `out:<kind>` (sites that are out), and
    `incidents`, `customers`, `levels` (Draft.touch)."""
    reports: Callable[[Draft, Scope], tuple[str, ...]] = nobody
    margin: Callable[[float], float] = tenth
    """How far below the threshold it is armed again (D31)."""
    shown: Callable[[float], Shown] = as_shown
    parse: Callable[[str], float] = float


def topics(*names: str) -> frozenset[str]:
    """What a metric reads, see `Metric.reads`."""
    return frozenset(names)


def several(args: Args, *names: str) -> tuple[str, ...]:
    """The values of the first of these arguments that is given: `kind: college` and `kinds: [college]` are one."""
    for name in names:
        if name in args:
            value = args[name]
            return tuple(value) if isinstance(value, list | tuple) else (str(value),)
    return ()


Maker = Callable[[Asked], Metric]

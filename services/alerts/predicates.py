"""One small evaluator of the predicates of the reference data (DOMAIN §13, D27, D31).

A predicate is compiled once per version. Its value depends on the draft (the state and the clock of the input in hand) and on a
scope: one incident, or None for the whole territory. `reads` names the indexes of the state that a value depends on, so that
an input evaluates only what it touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from schemas.alerts import Why
from schemas.predicates import AllOf, AnyOf, Measured, Not, Op, Predicate, Value
from services.alerts.metrics import Metric, bind

if TYPE_CHECKING:
    from services.alerts.draft import Draft
    from services.alerts.territory import Territory

Scope = str | None


class Node(Protocol):
    """A compiled predicate."""

    @property
    def reads(self) -> frozenset[str]:
        """Indexes of the state that it depends on."""
        ...

    def holds(self, draft: Draft, scope: Scope) -> bool: ...

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        """False by the margin of D31: far enough below to be armed again."""
        ...

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        """The leaves that make it hold, with values and reports."""
        ...


def _compare(value: float, op: Op, threshold: float) -> bool:
    match op:
        case ">=":
            return value >= threshold
        case ">":
            return value > threshold
        case "<=":
            return value <= threshold
        case "<":
            return value < threshold
        case "==":
            return value == threshold


@dataclass(frozen=True, slots=True)
class Leaf:
    source: Measured
    metric: Metric
    threshold: float
    margin: float

    @property
    def reads(self) -> frozenset[str]:
        return self.metric.reads

    def holds(self, draft: Draft, scope: Scope) -> bool:
        value = self.metric.value(draft, scope)
        return value is not None and _compare(value, self.source.op, self.threshold)

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        value = self.metric.value(draft, scope)
        if value is None:
            return True
        match self.source.op:
            case ">=" | ">" if self.margin:
                return value <= self.threshold - self.margin
            case "<=" | "<" if self.margin:
                return value >= self.threshold + self.margin
            case op:
                return not _compare(value, op, self.threshold)

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        if not self.holds(draft, scope):
            return ()
        value = self.metric.value(draft, scope)
        assert value is not None
        return (
            Why(
                code="predicate", metric=self.source.metric, args=_plain(self.source.args), op=self.source.op, threshold=self.source.value,
                value=self.metric.shown(value), at=draft.now, reports=self.metric.reports(draft, scope),
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Any_:
    parts: tuple[Node, ...]
    reads: frozenset[str]

    def holds(self, draft: Draft, scope: Scope) -> bool:
        return any(p.holds(draft, scope) for p in self.parts)

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        return all(p.cleared(draft, scope) for p in self.parts)

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        return tuple(w for p in self.parts for w in p.why(draft, scope))


@dataclass(frozen=True, slots=True)
class All_:
    parts: tuple[Node, ...]
    reads: frozenset[str]

    def holds(self, draft: Draft, scope: Scope) -> bool:
        return bool(self.parts) and all(p.holds(draft, scope) for p in self.parts)

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        return any(p.cleared(draft, scope) for p in self.parts)

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        return tuple(w for p in self.parts for w in p.why(draft, scope)) if self.holds(draft, scope) else ()


@dataclass(frozen=True, slots=True)
class Not_:
    part: Node
    reads: frozenset[str]

    def holds(self, draft: Draft, scope: Scope) -> bool:
        return not self.part.holds(draft, scope)

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        return self.part.holds(draft, scope)

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        return (Why(code="predicate:not", at=draft.now),) if self.holds(draft, scope) else ()


@dataclass(frozen=True, slots=True)
class Box:
    """A box that a person ticks never holds here: activation needs none."""

    reads: frozenset[str] = frozenset()

    def holds(self, draft: Draft, scope: Scope) -> bool:
        return False

    def cleared(self, draft: Draft, scope: Scope) -> bool:
        return True

    def why(self, draft: Draft, scope: Scope) -> tuple[Why, ...]:
        return ()


def _plain(args: Mapping[str, object]) -> dict[str, str | int | float | bool | list[str] | list[int]]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in args.items()}  # type: ignore[misc]


def _reads(parts: Iterable[Node]) -> frozenset[str]:
    return frozenset[str]().union(*(p.reads for p in parts))


def _number(metric: Metric, value: Value) -> float:
    return metric.parse(value) if isinstance(value, str) else float(value)


def compile_predicate(predicate: Predicate, territory: Territory, severity_index: Mapping[str, int]) -> Node:
    """Raises KeyError for a metric that DOMAIN §13 does not name."""
    match predicate:
        case Measured():
            metric = bind(predicate, territory, severity_index)
            threshold = _number(metric, predicate.value)
            return Leaf(predicate, metric, threshold, metric.margin(threshold))
        case AnyOf(any=parts):
            nodes = tuple(compile_predicate(p, territory, severity_index) for p in parts)
            return Any_(nodes, _reads(nodes))
        case AllOf(all=parts):
            nodes = tuple(compile_predicate(p, territory, severity_index) for p in parts)
            return All_(nodes, _reads(nodes))
        case Not(negated=part):
            node = compile_predicate(part, territory, severity_index)
            return Not_(node, node.reads)
        case _:
            return Box()


def branches(predicate: Predicate | None, territory: Territory, severity_index: Mapping[str, int]) -> tuple[Node, ...]:
    """The alternatives of a predicate: each is latched and armed again on its own (D31)."""
    match predicate:
        case None:
            return ()
        case AnyOf(any=parts):
            return tuple(compile_predicate(p, territory, severity_index) for p in parts)
        case _:
            return (compile_predicate(predicate, territory, severity_index),)

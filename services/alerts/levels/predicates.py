# ruff: noqa: ARG002  every node takes a draft and a scope
"""Compile and evaluate the predicates of the reference data.

A predicate is compiled once per version. Its value depends on the draft (state and clock of the
input) and on a scope: one incident, or None for the whole territory. `reads` names the indexes of
the state that a value depends on, so that an input evaluates only the predicates that it touched.
Rules D27 and D31.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.alerts import Why
from schemas.predicates import AllOf, AnyOf, Measured, Not, Op, Predicate, Value
from services.alerts.levels.metrics import bind_metric
from services.alerts.levels.metrics.base import BoundMetric, MetricContext
from services.alerts.reference.territory import TerritoryIndex

PredicateScope = str | None


class PredicateNode(Protocol):
    """A compiled predicate."""

    @property
    def reads(self) -> frozenset[str]:
        """Indexes of the state that the predicate depends on."""
        ...

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool: ...

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        """Return whether the predicate is false by its margin, and may be armed again.

        Rule D31, thresholds.
        """
        ...

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        """Return the comparisons that make the predicate hold, with values and reports."""
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
    metric: BoundMetric
    threshold: float
    margin: float
    number: int
    """Number of the metric with its arguments: equal ones are read once per evaluation."""

    @property
    def reads(self) -> frozenset[str]:
        return self.metric.reads

    def _value(self, draft: MetricContext, scope: PredicateScope) -> float | None:
        key = (self.number, scope)
        if key in draft.values:
            return draft.values[key]
        value = draft.values[key] = self.metric.value(draft, scope)
        return value

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        value = self._value(draft, scope)
        return value is not None and _compare(value, self.source.op, self.threshold)

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        value = self._value(draft, scope)
        if value is None:
            return True
        match self.source.op:
            case ">=" | ">" if self.margin:
                return value <= self.threshold - self.margin
            case "<=" | "<" if self.margin:
                return value >= self.threshold + self.margin
            case op:
                return not _compare(value, op, self.threshold)

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        if not self.holds(draft, scope):
            return ()
        measured = self.measured(draft, scope)
        assert measured is not None
        return (measured.model_copy(update={"reports": self.metric.reports(draft, scope)}),)

    def measured(self, draft: MetricContext, scope: PredicateScope) -> Why | None:
        """Return the value now, holding or not, without its reports; None if unknown."""
        value = self._value(draft, scope)
        if value is None:
            return None
        return Why(
            code="predicate",
            metric=self.source.metric,
            args=_copy_args(self.source.args),
            op=self.source.op,
            threshold=self.source.value,
            value=self.metric.shown(value),
            at=draft.now,
        )


@dataclass(frozen=True, slots=True)
class AnyNode:
    parts: tuple[PredicateNode, ...]
    reads: frozenset[str]

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return any(p.holds(draft, scope) for p in self.parts)

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return all(p.cleared(draft, scope) for p in self.parts)

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        return tuple(w for p in self.parts for w in p.why(draft, scope))


@dataclass(frozen=True, slots=True)
class AllNode:
    parts: tuple[PredicateNode, ...]
    reads: frozenset[str]

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return bool(self.parts) and all(p.holds(draft, scope) for p in self.parts)

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return any(p.cleared(draft, scope) for p in self.parts)

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        return (
            tuple(w for p in self.parts for w in p.why(draft, scope))
            if self.holds(draft, scope)
            else ()
        )


@dataclass(frozen=True, slots=True)
class NotNode:
    part: PredicateNode
    reads: frozenset[str]

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return not self.part.holds(draft, scope)

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return self.part.holds(draft, scope)

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        return (Why(code="predicate:not", at=draft.now),) if self.holds(draft, scope) else ()


def leaves_of(node: PredicateNode) -> Iterator[Leaf]:
    """Yield every measured condition of a predicate."""
    match node:
        case Leaf():
            yield node
        case AnyNode(parts=parts) | AllNode(parts=parts):
            for part in parts:
                yield from leaves_of(part)
        case NotNode(part=part):
            yield from leaves_of(part)


@dataclass(frozen=True, slots=True)
class ManualNode:
    """A box that a person ticks. It never holds here: activation needs none."""

    reads: frozenset[str] = frozenset()

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return False

    def cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return True

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        return ()


def _copy_args(
    args: Mapping[str, object],
) -> dict[str, str | int | float | bool | list[str] | list[int]]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in args.items()}  # type: ignore[misc]


def _unite_reads(parts: Iterable[PredicateNode]) -> frozenset[str]:
    return frozenset[str]().union(*(p.reads for p in parts))


def _parse_threshold(metric: BoundMetric, value: Value) -> float:
    return metric.parse(value) if isinstance(value, str) else float(value)


class PredicateCompiler:
    """Compiler for the predicates of one version."""

    def __init__(self, territory: TerritoryIndex, severity_index: Mapping[str, int]) -> None:
        self._territory, self._severity_index = territory, severity_index
        self._metrics: dict[str, tuple[int, BoundMetric]] = {}

    def compile(self, predicate: Predicate) -> PredicateNode:
        """Compile a predicate. Raises KeyError for an unknown metric."""
        match predicate:
            case Measured():
                return self._leaf(predicate)
            case AnyOf(any=parts):
                nodes = tuple(self.compile(p) for p in parts)
                return AnyNode(nodes, _unite_reads(nodes))
            case AllOf(all=parts):
                nodes = tuple(self.compile(p) for p in parts)
                return AllNode(nodes, _unite_reads(nodes))
            case Not(negated=part):
                node = self.compile(part)
                return NotNode(node, node.reads)
            case _:
                return ManualNode()

    def _leaf(self, measured: Measured) -> Leaf:
        if measured.key not in self._metrics:
            self._metrics[measured.key] = (
                len(self._metrics),
                bind_metric(measured, self._territory, self._severity_index),
            )
        number, metric = self._metrics[measured.key]
        threshold = _parse_threshold(metric, measured.value)
        return Leaf(measured, metric, threshold, metric.margin(threshold), number)

    def branches(self, predicate: Predicate | None) -> tuple[PredicateNode, ...]:
        """Compile the alternatives of a predicate: each is latched and armed on its own.

        Rule D31, thresholds.
        """
        match predicate:
            case None:
                return ()
            case AnyOf(any=parts):
                return tuple(self.compile(p) for p in parts)
            case _:
                return (self.compile(predicate),)

# ruff: noqa: ARG002  every node takes a draft and a scope
"""Predicates of the reference data, and those of one version: levels, proposals of N4, triggers.

A predicate is compiled once per version. Its value depends on the draft (state and clock of the
input) and on a scope: one incident, or None for the whole territory. `reads` names the indexes of
the state that a value depends on, so that an input evaluates only the predicates that it touched.
Rules D27 and D31.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol

from schemas import reference as ref
from schemas.alerts import ReportRow, Why
from schemas.base import HOUR_MS, Instant
from schemas.predicates import (
    AllOf,
    AnyOf,
    Manual,
    Measured,
    Not,
    Op,
    Predicate,
    Value,
    list_measured,
)
from schemas.words import EventType, Level, PlanState
from services.alerts.causes.cause_impact import CauseImpactCache
from services.alerts.levels.metrics import bind_metric, find_metric_type
from services.alerts.levels.metrics.base import (
    ALL,
    KIND,
    POLE,
    BoundMetric,
    MetricContext,
    build_severity_key,
)
from services.alerts.reference.territory import (
    CLOSURE_TYPES,
    ISOLATION_FLAG,
    READ_MEASURES,
    WINDOW_SCAN_MS,
    TerritoryIndex,
)
from services.alerts.reports.report_facts import is_rate, is_wide
from services.runtime.decider.maps import Map

PredicateScope = str | None


class PredicateNode(Protocol):
    """A compiled predicate."""

    @property
    def reads(self) -> frozenset[str]:
        """Indexes of the state that the predicate depends on."""
        ...

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool: ...

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
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


def _build_reason(source: Measured, value: Value | None, at: Instant) -> Why:
    return Why(
        code="predicate",
        metric=source.metric,
        args=_copy_args(source.args),
        op=source.op,
        threshold=source.value,
        value=value,
        at=at,
    )


ReasonKey = tuple[object, ...]


def build_reason_key(why: Why) -> ReasonKey:
    """Return the identity of a reason without its value and reports."""
    return why.code, why.metric, repr(sorted(why.args.items())), why.op, why.threshold


@dataclass(frozen=True, slots=True)
class Leaf:
    source: Measured
    metric: BoundMetric
    threshold: float
    margin: float
    number: int
    """Number of the metric with its arguments: equal ones are read once per evaluation."""
    key: ReasonKey
    """Key of its reasons."""

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

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
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
        reason = self.measure(draft, scope)
        assert reason is not None
        return (reason.model_copy(update={"reports": self.metric.reports(draft, scope)}),)

    def get_display_value(self, draft: MetricContext, scope: PredicateScope) -> Value | None:
        """Return the value now as a reason shows it; None if unknown."""
        value = self._value(draft, scope)
        return None if value is None else self.metric.to_display(value)

    def measure(self, draft: MetricContext, scope: PredicateScope) -> Why | None:
        """Return the value now, holding or not, without its reports; None if unknown."""
        value = self.get_display_value(draft, scope)
        return None if value is None else _build_reason(self.source, value, draft.now)


@dataclass(frozen=True, slots=True)
class AnyNode:
    parts: tuple[PredicateNode, ...]
    reads: frozenset[str]

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return any(p.holds(draft, scope) for p in self.parts)

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return all(p.is_cleared(draft, scope) for p in self.parts)

    def why(self, draft: MetricContext, scope: PredicateScope) -> tuple[Why, ...]:
        return tuple(w for p in self.parts for w in p.why(draft, scope))


@dataclass(frozen=True, slots=True)
class AllNode:
    parts: tuple[PredicateNode, ...]
    reads: frozenset[str]

    def holds(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return bool(self.parts) and all(p.holds(draft, scope) for p in self.parts)

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
        return any(p.is_cleared(draft, scope) for p in self.parts)

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

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
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

    def is_cleared(self, draft: MetricContext, scope: PredicateScope) -> bool:
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


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of a rule."""

    id: str
    node: PredicateNode
    pole: str | None = None
    """Pôle that it measures alone."""
    whole: str | None = None
    """Id of the branch of all pôles, under which older logs latched it."""


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

    def _leaf(self, condition: Measured, pole: str | None = None) -> Leaf:
        """Compile a comparison, of one pôle alone if it is given."""
        measured = condition
        if pole is not None:
            measured = condition.model_copy(update={"args": {**condition.args, "pole": pole}})
        if measured.key not in self._metrics:
            self._metrics[measured.key] = (
                len(self._metrics),
                bind_metric(measured, self._territory, self._severity_index),
            )
        number, metric = self._metrics[measured.key]
        threshold = _parse_threshold(metric, condition.value)
        key = build_reason_key(_build_reason(condition, None, 0))
        return Leaf(condition, metric, threshold, metric.margin(threshold), number, key)

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

    def split_poles(self, branch: Branch, predicate: Predicate) -> tuple[Branch, ...]:
        """Return a branch per pôle for a comparison of each pôle, else the branch itself.

        Three sites hit of a second pôle are another fact than those of the first. Rule D32.
        """
        if not isinstance(predicate, Measured) or predicate.args.get("per") != "pole":
            return (branch,)
        return tuple(
            Branch(f"{branch.id}:{pole}", self._leaf(predicate, pole), pole=pole, whole=branch.id)
            for pole in self._territory.poles
        )


_CACHED_RULEBOOKS: Final = 4


@dataclass(frozen=True, slots=True)
class CompiledLevelRule:
    level: Level
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class TriggerRule:
    id: str
    plan: str
    level: int
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class StandDownRule:
    """The measured part of a plan's stand-down; continuity handles the boxes that people tick.

    Rule D52, stand-down.
    """

    id: str
    plan: str
    node: PredicateNode


@dataclass(frozen=True, slots=True)
class TouchedRules:
    """The rules that one input makes worth evaluating."""

    levels: tuple[CompiledLevelRule, ...]
    proposals: tuple[CompiledLevelRule, ...]
    triggers: tuple[TriggerRule, ...]
    stand_downs: tuple[StandDownRule, ...]


class SeverityQuery:
    """A `max_severity` of some predicate: it selects the reports that count for it."""

    __slots__ = ("_except_types", "_kinds", "_ordinary", "_sources", "_types", "_where", "key")

    def __init__(
        self, args: Mapping[str, Any], authorities: Iterable[str], ordinary: Iterable[str] = ()
    ) -> None:
        self.key = build_severity_key(args)
        self._ordinary = frozenset(ordinary)
        self._where: str | None = args.get("where")
        self._kinds = frozenset(args["kinds"]) if "kinds" in args else None
        self._types = frozenset(args["types"]) if "types" in args else None
        self._except_types = frozenset(args.get("sauf_types", ()))
        sources = args.get("sources")
        self._sources = (
            frozenset(authorities)
            if sources == "autorites"
            else frozenset(sources)
            if sources
            else None
        )

    def takes(self, row: ReportRow, kind: str | None) -> bool:
        """Return whether a report from a site of that kind matches the query.

        The caller has checked that the report counts at all.
        """
        if self._kinds is not None and kind not in self._kinds:
            return False
        if row.type in self._except_types or (
            self._types is not None and row.type not in self._types
        ):
            return False
        if self._sources is not None and row.source not in self._sources:
            return False
        if self._where == "field" and row.type in CLOSURE_TYPES and kind in self._ordinary:
            return False
        if self._where == "field":
            return row.type not in _NOT_FIELD and not (is_rate(row) and is_wide(row))
        if self._where == "territory":
            return not (
                row.site or row.commune or row.zone or row.sites or "area_unknown" in row.flags
            )
        return True


_NOT_FIELD: Final = frozenset({EventType.WEATHER_ALERT, EventType.FLOOD_LEVEL})


class Rulebook:
    """The compiled rules of a version: a function of its published sections.

    It is not part of the dumped state, and realms of the same version share it.
    """

    def __init__(self, version: str, sections: Map[str, ref.SectionData]) -> None:
        self.territory = territory = TerritoryIndex(version, sections)
        levels = territory.policy.levels if territory.policy else ()
        leaves: list[Measured] = [
            m
            for rule in levels
            for part in (rule.when, rule.propose_when)
            for m in list_measured(part)
        ]
        leaves += [
            m for plan in territory.plans for t in plan.triggers for m in list_measured(t.when)
        ]
        stand_down = [
            m
            for plan in territory.plans
            if plan.stand_down
            for m in list_measured(plan.stand_down.when)
        ]

        queries = {build_severity_key(m.args): m.args for m in leaves if m.metric == "max_severity"}
        ordinary = territory.policy.ordinary_closures if territory.policy else ()
        self.severity_queries = tuple(
            SeverityQuery(args, territory.authorities, ordinary) for args in queries.values()
        )
        index = {q.key: n for n, q in enumerate(self.severity_queries)}

        surcharges = territory.policy.surcharges if territory.policy else ()
        flag_names = {str(m.args["name"]) for m in (*leaves, *stand_down) if m.metric == "flag"}
        flag_names |= {str(m.args["and_flag"]) for m in leaves if "and_flag" in m.args} | {
            s.flag for s in surcharges if s.flag
        }
        steps = chain.from_iterable(territory.policy.ladders.values()) if territory.policy else ()
        flag_names |= {flag for step in steps for flag in step.only_if.values()}
        self.flag_names = frozenset(flag_names | {ISOLATION_FLAG})
        """Measures that are flags: those that a rule names."""
        self.value_names = frozenset(
            str(m.args["name"]) for m in (*leaves, *stand_down) if m.metric == "measure"
        )
        """Measures whose last value for the territory is kept: those that a rule names."""
        self.measures_read = (
            self.flag_names | self.value_names | READ_MEASURES | territory.measure_rules.keys()
        )
        """Measures that a rule reads, or that the territory names."""
        self.horizon_ms: Instant = int(
            max((m.args.get("horizon_h", 0) for m in leaves), default=0) * HOUR_MS
        )
        """Time before its beginning from which an announced closure counts."""
        self.shown = CauseImpactCache(
            sorted({m.args["pct"] for m in leaves if m.metric == "sites_staff_at_most"}), ordinary
        )

        self.inhibiting = (
            frozenset(i.cause for i in territory.policy.inhibitions)
            if territory.policy
            else frozenset[EventType]()
        )
        """Types of cause that may explain others. Rule D65, inhibition."""

        compiler = PredicateCompiler(territory, index)

        def compile_branches(name: str, predicate: Any) -> tuple[Branch, ...]:
            return tuple(
                Branch(f"{name}#{n}", node) for n, node in enumerate(compiler.branches(predicate))
            )

        def compile_level(name: str, predicate: Predicate) -> tuple[Branch, ...]:
            branches = compile_branches(name, predicate)
            parts = predicate.any if isinstance(predicate, AnyOf) else (predicate,)
            pairs = zip(branches, parts, strict=True)
            return tuple(chain.from_iterable(compiler.split_poles(b, p) for b, p in pairs))

        self.level_rules = tuple(
            CompiledLevelRule(Level(r.level), compile_level(f"N{r.level}", r.when))
            for r in levels
            if r.when is not None
        )
        self.proposals = tuple(
            CompiledLevelRule(
                Level(r.level), compile_branches(f"propose-N{r.level}", r.propose_when)
            )
            for r in levels
            if r.propose_when is not None
        )
        self.trigger_rules = tuple(
            TriggerRule(
                f"{p.id}:{t.level}", p.id, t.level, compile_branches(f"{p.id}:{t.level}", t.when)
            )
            for p in territory.plans
            if p.shelf is PlanState.VALID
            for t in p.triggers
        )
        self.tracked = _compute_tracked_marks((*leaves, *stand_down))
        """Mark → groups (`""`, `kind:`, `pole:`) in which a metric counts it; no other is kept."""
        self.stand_downs = tuple(
            StandDownRule(f"{p.id}:stand-down", p.id, compiler.compile(part))
            for p in territory.plans
            if p.shelf is PlanState.VALID
            and p.stand_down
            and (part := _strip_manual_parts(p.stand_down.when)) is not None
        )
        self.decays = _compute_decays((*leaves, *stand_down))
        """Index → delays after its newest event at which time alone changes a metric."""
        rules: tuple[CompiledLevelRule | TriggerRule, ...] = (
            *self.level_rules,
            *self.proposals,
            *self.trigger_rules,
        )
        self.topics = frozenset(
            topic for rule in rules for branch in rule.branches for topic in branch.node.reads
        ).union(*(rule.node.reads for rule in self.stand_downs))
        """Indexes and topics that any predicate reads."""
        self._agendas: dict[frozenset[str], TouchedRules] = {}

    def reading(self, touched_topics: frozenset[str]) -> TouchedRules:
        """Return the rules with branches that read a touched index.

        Cached per set: there are few sets.
        """
        key = touched_topics & self.topics
        touched_rules = self._agendas.get(key)
        if touched_rules is None:
            if len(self._agendas) > 500:
                self._agendas.clear()
            touched_rules = self._agendas[key] = TouchedRules(
                tuple(
                    CompiledLevelRule(r.level, b)
                    for r in self.level_rules
                    if (b := _select_branches(r.branches, key))
                ),
                tuple(
                    CompiledLevelRule(r.level, b)
                    for r in self.proposals
                    if (b := _select_branches(r.branches, key))
                ),
                tuple(
                    TriggerRule(r.id, r.plan, r.level, b)
                    for r in self.trigger_rules
                    if (b := _select_branches(r.branches, key))
                ),
                tuple(r for r in self.stand_downs if not key.isdisjoint(r.node.reads)),
            )
        return touched_rules


def _strip_manual_parts(predicate: Predicate | None) -> Predicate | None:
    """Return a predicate without the boxes that people tick; None when nothing is left."""
    match predicate:
        case Manual():
            return None
        case AnyOf(any=parts):
            remaining_parts = tuple(
                p for part in parts if (p := _strip_manual_parts(part)) is not None
            )
            return AnyOf(any=remaining_parts) if remaining_parts else None
        case AllOf(all=parts):
            remaining_parts = tuple(
                p for part in parts if (p := _strip_manual_parts(part)) is not None
            )
            return AllOf(all=remaining_parts) if remaining_parts else None
        case _:
            return predicate


def _compute_decays(leaves: Iterable[Measured]) -> dict[str, tuple[Instant, ...]]:
    spans_by_index: dict[str, set[Instant]] = {
        "security": {WINDOW_SCAN_MS},
        "cuts": {WINDOW_SCAN_MS},
    }
    for m in leaves:
        if (metric := find_metric_type(m)) is not None:
            for index, span in metric.spans(m.args):
                spans_by_index.setdefault(index, set()).add(span)
    return {index: tuple(sorted(spans)) for index, spans in spans_by_index.items()}


def _compute_tracked_marks(leaves: Iterable[Measured]) -> dict[str, frozenset[str]]:
    groups_by_mark: dict[str, set[str]] = {"out": {POLE, KIND}, "logistics": {ALL}}
    for m in leaves:
        if (metric := find_metric_type(m)) is not None:
            for mark, group in metric.marks(m.args):
                groups_by_mark.setdefault(mark, set()).add(group)
    return {mark: frozenset(groups) for mark, groups in groups_by_mark.items()}


def _select_branches(branches: tuple[Branch, ...], topics: frozenset[str]) -> tuple[Branch, ...]:
    return tuple(b for b in branches if not topics.isdisjoint(b.node.reads))


EMPTY_RULEBOOK: Final = Rulebook("", Map())
"""Rulebook before any reference data: no site is known, no predicate holds."""

_rulebooks: dict[str, Rulebook] = {}


def get_rulebook(version: str, sections: Map[str, ref.SectionData]) -> Rulebook:
    """Return the rulebook of these sections from a cache; equal sections give an equal rulebook."""
    if not sections:
        return EMPTY_RULEBOOK
    rulebook = _rulebooks.get(version)
    if rulebook is not None and rulebook.territory.sections == sections:
        return rulebook
    new_rulebook = Rulebook(version, sections)
    _rulebooks.pop(version, None)
    _rulebooks[version] = new_rulebook
    while len(_rulebooks) > _CACHED_RULEBOOKS:
        del _rulebooks[next(iter(_rulebooks))]
    return new_rulebook

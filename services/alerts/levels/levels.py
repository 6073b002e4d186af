"""Levels N0 to N4 and plan triggers, decided by predicates.

Every branch of a predicate is a threshold: it fires once, is latched, and is armed again after an
hour below its margin. A level goes up at once and down only by a person's decision. Level rules are
evaluated for each incident that the input touched, by the effects of that incident alone, and for
the whole territory. Rules D27 to D31.

Triggers make a plan proposed. Rules D31, D49 and D70.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.alerts import (
    IncidentRow,
    LevelChanged,
    LevelRow,
    ThresholdChanged,
    TriggerChanged,
    TriggerMeasured,
    TriggerRow,
    TriggerValues,
    Why,
)
from schemas.base import Instant, copy_with
from schemas.words import Level
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import OPEN
from services.alerts.levels.rulebook import (
    Branch,
    CompiledLevelRule,
    StandDownRule,
    TriggerRule,
    build_reason_key,
    leaves_of,
)
from services.alerts.reference.territory import (
    COLOURS,
    PHENOMENON_KIND,
    rank_colour,
)
from services.alerts.state import Threshold

TERRITORY = "territory"
CRISIS = Level.N3
"""Level from which the escalation belongs to the realm, and inhibition ends. Rules D32 and D65."""
_HAZARDS: Final = frozenset({*PHENOMENON_KIND.values(), "weather"})
"""Families that a vigilance opens: they last while it is at least orange."""
_YELLOW_RANK: Final = rank_colour(COLOURS[1])


@dataclass(slots=True)
class Rises:
    """Levels that went up in this decision."""

    incidents: dict[str, Level] = field(default_factory=dict)
    """Incident → its level before."""
    territory: Level | None = None
    """Level of the territory before, if it rose."""
    poles: dict[tuple[str, str], None] = field(default_factory=dict)
    """Incidents with a pôle that began to hold a condition: its director is called, once."""


def evaluate_rules(draft: AlertsDecision, touched_topics: set[str]) -> Rises:
    """Evaluate the rules that read `touched_topics`: raise levels, hold triggers, propose N4."""
    rises = Rises()
    draft.values.clear()
    reading = draft.state.rules.reading(frozenset(touched_topics))
    for incident in draft.moved_incidents:
        _evaluate_levels(draft, reading.levels, incident, rises)
    _evaluate_levels(draft, reading.levels, None, rises)
    _evaluate_triggers(draft, reading.triggers, rises)
    if rises.territory is not None:
        draft.values.clear()
        _evaluate_triggers(draft, draft.state.rules.reading(frozenset({"levels"})).triggers, rises)
    _evaluate_proposals(draft, reading.proposals)
    _evaluate_stand_downs(draft, reading.stand_downs)
    return rises


def _record_thresholds(
    draft: AlertsDecision, branches: Iterable[Branch], scope: str | None
) -> list[Branch]:
    """Return the branches that begin to hold now, and record the thresholds of all given ones."""
    crossed_branches, thresholds = list[Branch](), draft.state.thresholds
    for branch in branches:
        id = branch.id if scope is None else f"{branch.id}@{scope}"
        threshold = thresholds.get(id)
        if branch.node.holds(draft, scope):
            if threshold is None:
                crossed_branches.append(branch)
                draft.emit(ThresholdChanged(id=id, held=True, since=draft.now, incident=scope))
            elif threshold.below_since is not None:
                draft.emit(
                    ThresholdChanged(id=id, held=True, since=threshold.since, incident=scope)
                )
        elif threshold is not None and branch.node.is_cleared(draft, scope) is (
            threshold.below_since is None
        ):
            below = (
                draft.now if threshold.below_since is None else None
            )  # inside the margin again: the hour starts anew
            draft.emit(
                ThresholdChanged(
                    id=id, held=True, since=threshold.since, below_since=below, incident=scope
                )
            )
    return crossed_branches


def _split_old_thresholds(
    draft: AlertsDecision, branches: Iterable[Branch], scope: str | None
) -> list[Branch]:
    """Record a threshold per holding pôle in place of one that an older log has for all.

    Returns the holding ones. They raise no level again, but their directors may not be called yet.
    """
    old_thresholds, holding_branches = dict[str, Threshold](), list[Branch]()
    for branch in branches:
        suffix = "" if scope is None else f"@{scope}"
        old_id = f"{branch.whole}{suffix}"
        if branch.whole is not None and (old := draft.state.thresholds.get(old_id)) is not None:
            old_thresholds[old_id] = old
            if branch.node.holds(draft, scope):
                id = f"{branch.id}{suffix}"
                draft.emit(ThresholdChanged(id=id, held=True, since=old.since, incident=scope))
                holding_branches.append(branch)
    for id, old in old_thresholds.items():
        draft.emit(ThresholdChanged(id=id, held=False, since=old.since, incident=scope))
    return holding_branches


def _evaluate_levels(
    draft: AlertsDecision, rules: tuple[CompiledLevelRule, ...], scope: str | None, rises: Rises
) -> None:
    for rule in rules:
        for branch in _split_old_thresholds(draft, rule.branches, scope):
            _call_for_old_pole(draft, rule.level, branch, scope, rises)
        crossed_branches = _record_thresholds(draft, rule.branches, scope)
        if not crossed_branches:
            continue
        why = tuple(w for branch in crossed_branches for w in branch.node.why(draft, scope))
        poles = [branch.pole for branch in crossed_branches if branch.pole is not None]
        if scope is not None:
            rises.poles.update(((scope, pole), None) for pole in poles)
            _raise_incident(draft, scope, rule.level, why, rises)
        elif rule.level < CRISIS and draft.level < CRISIS:
            _raise_main_incidents(draft, rule.level, crossed_branches, rises)
        if scope not in draft.regrouped:
            raise_territory(draft, rule.level, why, rises)


def _call_for_old_pole(
    draft: AlertsDecision, level: Level, branch: Branch, scope: str | None, rises: Rises
) -> None:
    """Note the pôle of a holding branch that an older log left out: its director is called, once.

    An incident that had the level before does not get it again: a person may have lowered it.
    """
    why = branch.node.why(draft, scope)
    main = draft.incident(scope) if scope is not None else _find_main_row(draft, level, why)
    if main is None or branch.pole is None or max(level, draft.level) >= CRISIS:
        return
    if scope is None and not any(w.args.get("level") == int(level) for w in main.why):
        _raise_incident(draft, main.id, level, why, rises)
    if draft.incident(main.id).level >= level:
        rises.poles[main.id, branch.pole] = None


def _raise_main_incidents(
    draft: AlertsDecision, level: Level, branches: Iterable[Branch], rises: Rises
) -> None:
    """Raise the main incident of the branches that began to hold, and that of each pôle."""
    why_by_pole: dict[str | None, tuple[Why, ...]] = {}
    for branch in branches:
        why = branch.node.why(draft, None)
        why_by_pole[branch.pole] = (*why_by_pole.get(branch.pole, ()), *why)
    for pole, why in why_by_pole.items():
        main = _raise_main_incident(draft, level, why, rises)
        if pole is not None and main is not None:
            rises.poles[main, pole] = None


def _raise_main_incident(
    draft: AlertsDecision, level: Level, why: tuple[Why, ...], rises: Rises
) -> str | None:
    """Raise the incident behind most reports of a level below N3 that several reach together.

    The oldest of equals rises, and none if one of them has the level. Without an incident nobody is
    called: from N3 on the territory has an escalation of its own. Returns the incident that has the
    level then. Rule D32, escalations.
    """
    main = _find_main_row(draft, level, why)
    if main is None:
        return None
    _raise_incident(draft, main.id, level, why, rises)
    return main.id


def _find_main_row(draft: AlertsDecision, level: Level, why: tuple[Why, ...]) -> IncidentRow | None:
    """Return the open incident behind most reports, of those with the level if there are any."""
    counts = Counter(i for w in why for r in w.reports if (i := draft.incident_of(r)) is not None)
    rows = [row for row in draft.incidents(counts) if row.state in OPEN]
    return min(
        [row for row in rows if row.level >= level] or rows,
        key=lambda row: (-counts[row.id], row.opened_at, row.kind, row.key),
        default=None,
    )


def _raise_incident(
    draft: AlertsDecision, incident: str, level: Level, why: tuple[Why, ...], rises: Rises
) -> None:
    incident_row = draft.incident(incident)
    if level <= incident_row.level:
        return
    rises.incidents.setdefault(incident, incident_row.level)
    draft.alter(incident, "level", level=level, why=(*incident_row.why, *_mark_reasons(why, level)))


def _mark_reasons(why: tuple[Why, ...], level: Level) -> tuple[Why, ...]:
    """Return the reasons of a level, marked with it."""
    return tuple(copy_with(w, {"args": {**w.args, "level": int(level)}}) for w in why)


def raise_territory(
    draft: AlertsDecision, level: Level, why: tuple[Why, ...], rises: Rises
) -> None:
    """Raise the level of the territory at once, with its reasons. Rule D31, latched levels."""
    if level <= draft.level:
        return
    before = draft.level
    if rises.territory is None:
        rises.territory = before
    old = draft.state.levels.get(TERRITORY)
    row = LevelRow(
        id=TERRITORY,
        level=level,
        since=draft.now,
        why=_mark_reasons(why, level),
        version=old.version if old else 0,
    )
    if old is not None and old.proposed is not None and old.proposed > level:
        row = copy_with(row, {"proposed": old.proposed, "proposed_why": old.proposed_why})
    draft.level = level
    draft.touch("levels")
    draft.emit(LevelChanged(row=row, previous=before))


def _evaluate_proposals(draft: AlertsDecision, rules: tuple[CompiledLevelRule, ...]) -> None:
    """Propose N4 without setting it; a person decides. Rule D30, proposed N4."""
    for rule in rules:
        crossed_branches = _record_thresholds(draft, rule.branches, None)
        old = draft.state.levels.get(TERRITORY)
        if (
            not crossed_branches
            or draft.level >= rule.level
            or (old is not None and old.proposed is not None and old.proposed >= rule.level)
        ):
            continue
        why = _mark_reasons(
            tuple(w for branch in crossed_branches for w in branch.node.why(draft, None)),
            rule.level,
        )
        row = old or LevelRow(id=TERRITORY, level=draft.level, since=draft.now)
        draft.emit(
            LevelChanged(
                row=copy_with(row, {"proposed": rule.level, "proposed_why": why}),
                previous=draft.level,
            )
        )


def _evaluate_triggers(draft: AlertsDecision, rules: tuple[TriggerRule, ...], rises: Rises) -> None:
    for rule in rules:
        crossed_branches = _record_thresholds(draft, rule.branches, None)
        if crossed_branches:
            _hold_trigger(draft, rule, crossed_branches, rises)
        _measure(draft, rule)


def _measure(draft: AlertsDecision, rule: TriggerRule) -> None:
    """Record the values behind a holding trigger if they have changed.

    Screens show them beside its reasons.
    """
    row = draft.state.triggers.get(rule.id)
    if row is None or row.state != "held":
        return
    leaves = {leaf.key: leaf for branch in rule.branches for leaf in leaves_of(branch.node)}
    earlier_reasons = {build_reason_key(w): w for w in row.current}
    current: list[Why] = []
    for reason in row.why:
        key = build_reason_key(reason)
        before, leaf = earlier_reasons.get(key), leaves.get(key)
        value = leaf.get_display_value(draft, None) if leaf is not None else None
        if value is None:
            value = before.value if before is not None else reason.value
        if value == reason.value:
            continue
        if before is None or before.value != value:
            assert leaf is not None
            before = leaf.measure(draft, None)
            assert before is not None
        current.append(before)
    if tuple(current) != row.current:
        draft.emit(TriggerMeasured(row=TriggerValues(id=row.id, current=tuple(current))))


def _hold_trigger(
    draft: AlertsDecision, rule: TriggerRule, crossed_branches: list[Branch], rises: Rises
) -> None:
    """Record that a trigger holds, or holds by one more branch, and raise its minimum level.

    Each branch is recorded once, with values: a refused plan returns with the branches that began
    to hold since. Rules D27 and D49.
    """
    why = tuple(w for branch in crossed_branches for w in branch.node.why(draft, None))
    incident = find_main_incident(draft, why)
    old = draft.state.triggers.get(rule.id)
    if old is None or old.state == "released":
        row = TriggerRow(
            id=rule.id,
            plan=rule.plan,
            level=rule.level,
            state="held",
            since=draft.now,
            incident=incident,
            why=why,
        )
        draft.emit(TriggerChanged(row=row))
        _evaluate_stand_downs(
            draft, tuple(r for r in draft.state.rules.stand_downs if r.plan == rule.plan)
        )
    else:
        new_reasons = {build_reason_key(w) for w in why}
        remaining_reasons = tuple(w for w in old.why if build_reason_key(w) not in new_reasons)
        draft.emit(
            TriggerChanged(
                row=copy_with(
                    old, {"incident": old.incident or incident, "why": (*remaining_reasons, *why)}
                )
            )
        )
    if rule.level:
        level, reason = (
            Level(rule.level),
            (Why(code="trigger", args={"plan": rule.plan}, at=draft.now), *why),
        )
        if incident is not None and draft.incident(incident).state in OPEN:
            _raise_incident(draft, incident, level, reason, rises)
        raise_territory(draft, level, reason, rises)


def _evaluate_stand_downs(draft: AlertsDecision, rules: tuple[StandDownRule, ...]) -> None:
    """Record when the measured part of a stand-down begins or ceases to hold.

    It is recorded only for plans with a trigger that has held. Rule D52, stand-down.
    """
    for rule in rules:
        old = draft.state.triggers.get(rule.id)
        if old is None and not any(t.plan == rule.plan for t in draft.state.triggers.values()):
            continue
        holds = rule.node.holds(draft, None)
        if holds == (old is not None and old.state == "held"):
            continue
        why = rule.node.why(draft, None) if holds else ()
        state: Literal["held", "released"] = "held" if holds else "released"
        draft.emit(
            TriggerChanged(
                row=TriggerRow(
                    id=rule.id, plan=rule.plan, level=0, state=state, since=draft.now, why=why
                )
            )
        )


def find_main_incident(draft: AlertsDecision, why: tuple[Why, ...]) -> str | None:
    """Return the incident behind most reports of these reasons, else the only open one.

    Ties go to the older incident.
    """
    incidents = Counter(
        i for w in why for r in w.reports if (i := draft.incident_of(r)) is not None
    )
    if incidents:
        return min(incidents, key=lambda i: (-incidents[i], draft.incident(i).known_at, i))
    open_ = draft.open_incidents
    return open_[0] if len(open_) == 1 else None


def rearm_threshold(draft: AlertsDecision, threshold: str) -> None:
    """Arm a threshold after an hour below its margin.

    A trigger without any held branch is released.
    """
    draft.emit(ThresholdChanged(id=threshold, held=False, since=draft.now))
    rule = threshold.partition("#")[0]
    row = draft.state.triggers.get(rule)
    if row is None or row.state == "released" or "@" in threshold:
        return
    if not any(id.partition("#")[0] == rule for id in draft.state.thresholds):
        draft.emit(TriggerChanged(row=copy_with(row, {"state": "released", "since": draft.now})))


def rearm_thresholds(draft: AlertsDecision, scope: str | None) -> None:
    """Arm the thresholds that do not hold when a person lowers the level.

    They raise the level and call again once they hold. Rule D31, latched levels.
    """
    draft.values.clear()
    rules: tuple[CompiledLevelRule | TriggerRule, ...] = draft.state.rules.level_rules
    if scope is None:
        rules = (*rules, *draft.state.rules.proposals, *draft.state.rules.trigger_rules)
    for branch in (branch for rule in rules for branch in rule.branches):
        threshold = branch.id if scope is None else f"{branch.id}@{scope}"
        if threshold in draft.state.thresholds and not branch.node.holds(draft, scope):
            rearm_threshold(draft, threshold)
    for branch in _list_trigger_branches(draft, scope) if scope is not None else ():
        if branch.id in draft.state.thresholds and not branch.node.holds(draft, None):
            rearm_threshold(draft, branch.id)


def list_latched_branches(draft: AlertsDecision, incident: str) -> dict[str, Instant]:
    """Return the level branches that hold or held for an incident, with their beginning."""
    branches = (
        (id.partition("@"), t) for id, t in draft.state.thresholds.items() if t.incident == incident
    )
    return {branch: t.since for (branch, _, scope), t in branches if scope == incident}


def latch_branches(draft: AlertsDecision, branches: dict[str, Instant], incident: str) -> None:
    """Record these branches as latched for another incident.

    They do not raise its level again. Rule D31, latched levels.
    """
    for branch, since in sorted(branches.items()):
        id = f"{branch}@{incident}"
        if id not in draft.state.thresholds:
            draft.emit(ThresholdChanged(id=id, held=True, since=since, incident=incident))


def _list_trigger_branches(draft: AlertsDecision, incident: str) -> Iterator[Branch]:
    """List the branches of the triggers that belong to an incident."""
    for rule in draft.state.rules.trigger_rules:
        trigger = draft.state.triggers.get(rule.id)
        if trigger is not None and draft.resolve_incident(trigger.incident) == incident:
            yield from rule.branches


def is_level_held(draft: AlertsDecision, level: Level, scope: str | None) -> bool:
    """Return whether a predicate of this level, or a plan trigger that asks for it, still holds.

    Then a person must force the lower level. Rule D31, latched levels.
    """
    draft.values.clear()
    for rule in draft.state.rules.level_rules:
        if rule.level >= level and any(b.node.holds(draft, scope) for b in rule.branches):
            return True
    held_triggers = (
        t
        for t in draft.state.triggers.values()
        if t.state == "held"
        and t.level >= level
        and scope in (None, draft.resolve_incident(t.incident))
    )
    rules = {r.id: r for r in draft.state.rules.trigger_rules}
    return any(
        b.node.holds(draft, None)
        for t in held_triggers
        if t.id in rules
        for b in rules[t.id].branches
    )


def propose_lowering(draft: AlertsDecision, cause_ids: Iterable[str]) -> None:
    """Propose to lower incidents that lost their last cause; take back those with a new one.

    A person decides. Rule D72, noise.
    """
    incident_ids = {
        i
        for c in cause_ids
        if (i := draft.resolve_incident(draft.state.causes[c].incident)) is not None
    }
    if "flags" in draft.list_changed_parts():
        incident_ids.update(i for i in draft.open_incidents if draft.incident(i).kind in _HAZARDS)
    for id in sorted(incident_ids):
        row = draft.incident(id)
        if (
            row.over_since is None
            and row.level > Level.N0
            and row.state in OPEN
            and is_incident_over(draft, row)
        ):
            draft.alter(id, "report", over_since=draft.now)
    for id in draft.moved_incidents:
        if draft.incident(id).over_since is not None and not is_incident_over(
            draft, draft.incident(id)
        ):
            draft.alter(id, "report", over_since=None)


def is_incident_over(draft: AlertsDecision, row: IncidentRow) -> bool:
    """Return whether no cause, vigilance or declaration of an incident holds.

    Walks over its sites.
    """
    if row.kind in _HAZARDS and (
        (vigilance := draft.state.flags.get(f"vigilance:{row.key}")) is None
        or rank_colour(str(vigilance.value)) > _YELLOW_RANK
    ):
        return False
    if draft.is_declared(row.id):
        return False
    return not any(
        draft.resolve_incident(draft.state.causes[c].incident) == row.id
        for c in _list_open_causes(draft, row)
    )


def _list_open_causes(draft: AlertsDecision, row: IncidentRow) -> Iterable[str]:
    for site in row.members:
        yield from draft.state.site_causes.get(site, ())
    for of_type in draft.state.placeless.values():
        yield from of_type


def list_held_triggers(draft: AlertsDecision, plan: str) -> list[TriggerRow]:
    """List the triggers of a plan that hold, its stand-down left out."""
    return [
        row
        for row in draft.state.triggers.values()
        if row.plan == plan and row.state == "held" and not row.id.endswith(":stand-down")
    ]


def find_reason(draft: AlertsDecision, plan: str) -> str | None:
    """Return the first reason of a plan's highest held trigger as JSON, or None.

    The message of the proposal carries it, with the present value: a postponed plan may return when
    the value that proposed it is gone (rule D49). Reports and time stay out: the words need
    neither.
    """
    held_triggers = list_held_triggers(draft, plan)
    highest = max(held_triggers, key=lambda row: (row.level, row.since, row.id), default=None)
    measured_reasons = (
        [] if highest is None else [why for why in highest.why if why.metric is not None]
    )
    if highest is None or not measured_reasons:
        return None
    present_reasons = {build_reason_key(why): why for why in highest.current}
    first = measured_reasons[0]
    present = present_reasons.get(build_reason_key(first), first)
    reason: Why = present.model_copy(update={"reports": (), "at": None})
    return reason.model_dump_json(exclude_defaults=True)

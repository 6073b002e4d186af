"""Limit demands for attention: one row per decision, at most ten new ones in ten minutes.

Rows of the read model become demands, grouped by the decision that they need. New demands on a role
are shown up to the limit; the least urgent of the others wait in a digest until there is room. A
demand about danger to people never waits. Rule D77.
"""

from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from heapq import heappop, heappush
from typing import Final

from schemas import reference as ref
from schemas.alerts import Headcount, IncidentRow, LevelRow, TaskRow, list_asked_reports
from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from schemas.calling import EscalationRow, WaveRow
from schemas.callouts import CallOutRow
from schemas.continuity import (
    ActivityRow,
    AlarmRow,
    ClockRow,
    LocalClockRow,
    PlanRow,
    StrategyRow,
)
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionRow
from schemas.crisis.area_orders import AREA_ORDER
from schemas.crisis.communication import StatementRow, StatementState
from schemas.crisis.handovers import HandoverRow, HandoverState
from schemas.crisis.obligations import ObligationRow, ObligationState
from schemas.crisis.publication import PublicPage
from schemas.crisis.resource_requests import (
    MOVING_STATES,
    WAITING_STATES,
    RequestPriority,
    ResourceRequestRow,
)
from schemas.ranks import COMMUNICATION_ROLE, HOLD_ROLE, POLE_DIRECTOR_ROLE
from schemas.reassignment import ProposalRow, ProposalState
from schemas.reference_changes import ChangeState, ReferenceChangeRow
from schemas.words import (
    ACTIVE_PLAN_STATES,
    ActionState,
    CardState,
    ClockState,
    IncidentState,
    PlanState,
    TaskState,
)
from services.console.incidents.merging import find_standing_incident
from services.console.public.document import StalePage

MAX_NEW: Final = 10
"""Most new demands on one person in ten minutes (EEMUA 191)."""
WINDOW_MS: Final = 10 * MINUTE_MS
DANGER_RESERVE: Final = 4
"""Part of them that is reserved for danger to people."""
CELL_ROLE: Final = "cellule_situation"
"""Role of the cell that owns all work without another owner."""
LOGISTICS_ROLE: Final = "cellule_logistique"
"""Role of the cell that finds resources."""
_PUBLISHING_ROLES: Final = frozenset({COMMUNICATION_ROLE, HOLD_ROLE, "dgs_directeur_de_crise"})
PEOPLE_KINDS: Final = ("help", "missing", "counting", "headcount")
"""Kinds of demands about people in need of help or missing: the first of all."""
HELP_KEPT_MS: Final = 4 * HOUR_MS
"""Time after a headcount of no incident for which its requests for help stay."""
DEMAND_KINDS: Final = (
    "danger",
    "danger_doubted",
    "danger_placeless",
    "headcount_proposed",
    "page_dangerous",
    "strategy_dangerous",
    AREA_ORDER,
    *PEOPLE_KINDS,
    "escalation",
    "level_proposed",
    "lowering_proposed",
    "plan_proposed",
    "cards_late",
    "clocks_rto",
    "clocks_dmia",
    "reassignment_proposed",
    "action",
    "action_late",
    "resource_request",
    "resource_late",
    "obligation",
    "obligation_late",
    "handover_signed",
    "handover_returned",
    "statement_submitted",
    "change_proposed",
    "erasure_proposed",
    "page_stale",
)
"""Kinds of demands; every other one is a kind of task."""
_DANGER_ROWS: Final = {
    "verify_report": "danger_doubted",
    "link_site": "danger_placeless",
    "headcount": "headcount_proposed",
}
"""Kind of task about a report of danger, or after an order → kind of its demand."""
_CARE_CRITICALITY: Final = 1
"""Criticality of the activities that people need for care."""
_OPEN_STATES: Final = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
_LATE_STATES: Final = (CardState.TO_DO, CardState.DOING)


class Urgency(IntEnum):
    """Order of the queue, the most urgent first."""

    DANGER = 1
    CARE = 2
    DECISION = 3
    REST = 4


@dataclass(frozen=True, slots=True)
class Demand:
    """One decision for some roles, with the count of things behind it."""

    key: str
    kind: str
    urgency: Urgency
    since: Instant
    roles: frozenset[str]
    count: int = 1
    due_at: Instant | None = None
    incident: str | None = None
    plan: str | None = None
    escalation: str | None = None
    activity: str | None = None
    """Activity with the first limit of a family of clocks."""
    report: str | None = None
    """Report of danger that waits: the newest of the oldest task."""
    open: bool = True
    called_at: Mapping[str, Instant] = field(default_factory=dict, hash=False)
    """Role → time of its call, if later than `since`."""
    answered_roles: frozenset[str] = frozenset()
    """Roles that took charge: it asks them no more."""
    others: int = 0
    """Demands of danger that came beyond the limit and are told by this row."""


@dataclass(frozen=True, slots=True)
class DemandRows:
    """Rows that demands are made from."""

    policy: ref.Escalation | None
    incidents: Mapping[str, IncidentRow] = field(default_factory=dict)
    escalations: Mapping[str, EscalationRow] = field(default_factory=dict)
    levels: Mapping[str, LevelRow] = field(default_factory=dict)
    tasks: Mapping[str, TaskRow] = field(default_factory=dict)
    plans: Mapping[str, PlanRow] = field(default_factory=dict)
    activities: Mapping[str, ActivityRow] = field(default_factory=dict)
    local_clocks: Mapping[str, LocalClockRow] = field(default_factory=dict)
    alarms: Mapping[str, AlarmRow] = field(default_factory=dict)
    proposals: Mapping[str, ProposalRow] = field(default_factory=dict)
    callouts: Mapping[str, CallOutRow] = field(default_factory=dict)
    actions: Mapping[str, ActionRow] = field(default_factory=dict)
    requests: Mapping[str, ResourceRequestRow] = field(default_factory=dict)
    obligations: Mapping[str, ObligationRow] = field(default_factory=dict)
    handovers: Mapping[str, HandoverRow] = field(default_factory=dict)
    statements: Mapping[str, StatementRow] = field(default_factory=dict)
    changes: Mapping[str, ReferenceChangeRow] = field(default_factory=dict)
    erasures: Sequence[Instant] = ()
    """Times of the erasures that wait for a second person."""
    stale_pages: Mapping[PublicPage, StalePage] = field(default_factory=dict)
    barred_strategies: Mapping[str, StrategyRow] = field(default_factory=dict)
    """Strategies in effect at a site that nobody is sent to."""
    dangers: frozenset[str] = frozenset()
    """Reports of danger to people that somebody has to verify, or to ask for a place."""
    missing: Mapping[str, Headcount] = field(default_factory=dict)
    """Site → people that its last headcount has not found."""
    roles_by_person: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Person → role in the roster, and the roles that the person fills now as a stand-in."""
    called_roles: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """Open escalation → people that it called, each with the role at that time (D32)."""
    danger_roles: frozenset[str] = frozenset()
    """Roles that are told of danger beside the cell and the pilots."""


@dataclass(frozen=True, slots=True)
class AttentionQueue:
    """The queue of a role, its digest, and the number of new demands in ten minutes."""

    queue: tuple[Demand, ...]
    digest: tuple[Demand, ...]
    rate: int


def limit_demands(demands: Iterable[Demand], role: str | None, now: Instant) -> AttentionQueue:
    """Return the demands on a role, or on the whole cell. Rule D77."""
    mine = [_date_for_role(role, d) for d in demands if role is None or role in d.roles]
    mine = [d for d in mine if d.since <= now]
    admissions = _admit_demands(mine, now)
    rows = {d.key: d for d in mine if d.open}
    for key in [key for key in rows if key in admissions and admissions[key][1] != key]:
        if (carrier := rows.get(admissions[key][1])) is not None:
            rows.pop(key)
            rows[carrier.key] = replace(carrier, others=carrier.others + 1)
    order = sorted(
        rows.values(),
        key=lambda d: (
            d.urgency,
            d.kind != PEOPLE_KINDS[0],
            d.kind not in PEOPLE_KINDS,
            d.due_at is None,
            d.due_at or d.since,
            d.key,
        ),
    )
    fresh = {row for row in admissions.values() if now - WINDOW_MS < row[0] <= now}
    return AttentionQueue(
        tuple(d for d in order if d.key in admissions),
        tuple(d for d in order if d.key not in admissions),
        len(fresh),
    )


def _date_for_role(role: str | None, demand: Demand) -> Demand:
    """Date a demand by the time when this role was called; an answer closes it for the role."""
    if role is None:
        return demand
    return replace(
        demand,
        since=demand.called_at.get(role, demand.since),
        open=demand.open and role not in demand.answered_roles,
    )


def _admit_demands(demands: Iterable[Demand], now: Instant) -> dict[str, tuple[Instant, str]]:
    """Return the time and row of each demand shown.

    Beyond the limit, danger joins the existing row of danger.
    """
    gate = _DemandLimiter()
    for demand in sorted(demands, key=lambda d: (d.since, d.urgency, d.key)):
        gate.release(demand.since)
        gate.show_or_queue(demand)
    gate.release(now + 1)
    return gate.shown


class _DemandLimiter:
    """Admits demands in the order of time, at most ten in any ten minutes."""

    def __init__(self) -> None:
        self.shown: dict[str, tuple[Instant, str]] = {}
        self._passed: list[Instant] = []
        """Times when rows were shown, ascending."""
        self._waiting: list[tuple[Urgency, Instant, str]] = []
        self._clock: Instant = 0
        self._danger = (0, "")
        """The newest row of danger."""

    def show_or_queue(self, demand: Demand) -> None:
        """Show danger at once; queue anything else."""
        if demand.urgency is not Urgency.DANGER:
            heappush(self._waiting, (demand.urgency, demand.since, demand.key))
        elif self._fresh(demand.since) < MAX_NEW:
            self._danger = (demand.since, demand.key)
            self._show(demand.key, demand.since)
        else:
            self.shown[demand.key] = self._danger

    def release(self, until: Instant) -> None:
        """Show waiting demands, the most urgent first, as far as there is room by `until`."""
        most = MAX_NEW - DANGER_RESERVE
        while self._waiting:
            full = len(self._passed) >= most
            at = max(self._clock, self._passed[-most] + WINDOW_MS) if full else self._clock
            if at >= until:
                break
            self._show(heappop(self._waiting)[2], at)
            self._clock = at
        self._clock = until

    def _fresh(self, at: Instant) -> int:
        return sum(instant > at - WINDOW_MS for instant in self._passed)

    def _show(self, key: str, at: Instant) -> None:
        self.shown[key] = (at, key)
        insort(self._passed, at)


def list_demands(facts: DemandRows, now: Instant) -> list[Demand]:
    """Return every demand, one row per decision. Rule D77."""
    demands = [
        *_list_dangers(facts),
        *_list_area_orders(facts, now),
        *_list_help(facts, now),
        *_list_missing(facts),
        *_list_headcounts(facts),
        *_list_escalations(facts),
        *_list_levels(facts),
        *_list_plans(facts),
    ]
    return [
        *demands,
        *_list_clocks(facts),
        *_list_tasks(facts, now),
        *_list_reassignments(facts),
        *_list_actions(facts),
        *_list_requests(facts),
        *_list_obligations(facts, now),
        *_list_handovers(facts),
        *_list_returned_handovers(facts),
        *_list_second_persons(facts),
        *_list_stale_pages(facts),
        *_list_barred_strategies(facts),
    ]


def _list_dangers(facts: DemandRows) -> Iterator[Demand]:
    """Yield people in danger: each open incident with danger that is not over."""
    for row in facts.incidents.values():
        if row.state in _OPEN_STATES and row.danger and row.over_since is None:
            yield Demand(
                f"danger:{row.id}",
                "danger",
                Urgency.DANGER,
                row.known_at,
                _list_cell_roles(facts),
                max(1, len(row.members)),
                incident=row.id,
            )


def _list_area_orders(facts: DemandRows, now: Instant) -> Iterator[Demand]:
    """Yield the sites of which nobody says whether an order for their area concerns them.

    A site waits for its own people first, if one of them was called. Rule D102.
    """
    groups: dict[str | None, list[tuple[Instant, TaskRow]]] = {}
    for task in facts.tasks.values():
        if task.kind == AREA_ORDER and task.state in (TaskState.OPEN, TaskState.TAKEN):
            since = task.opened_at if task.due_at is None or not task.calls else task.due_at
            if since <= now:
                groups.setdefault(task.incident, []).append((since, task))
    for incident, tasks in groups.items():
        yield Demand(
            f"{AREA_ORDER}:{incident}",
            AREA_ORDER,
            Urgency.DANGER,
            min(since for since, _task in tasks),
            _list_cell_roles(facts),
            len(tasks),
            incident=incident,
        )


def _list_missing(facts: DemandRows) -> Iterator[Demand]:
    """Yield people that a site reported as not found, one row per open incident.

    A count that has found nobody yet has only begun.
    """
    for row in facts.incidents.values():
        counts = [facts.missing[site] for site in row.members if site in facts.missing]
        if counts and row.state in _OPEN_STATES:
            yield Demand(
                f"missing:{row.id}",
                "missing" if any(count.found for count in counts) else "counting",
                Urgency.DANGER,
                row.known_at,
                _list_cell_roles(facts),
                sum(count.expected - count.found for count in counts),
                incident=row.id,
            )


def _list_help(facts: DemandRows, now: Instant) -> Iterator[Demand]:
    for row in find_help_requests(facts.callouts.values(), facts.incidents, now):
        yield Demand(
            f"help:{row.id}",
            "help",
            Urgency.DANGER,
            row.started_at or row.drafted_at,
            _list_cell_roles(facts),
            row.help,
            incident=find_standing_incident(facts.incidents, row.incident),
        )


def find_help_requests(
    callouts: Iterable[CallOutRow], incidents: Mapping[str, IncidentRow], now: Instant
) -> list[CallOutRow]:
    """Return the headcounts with requests for help that stand, also after their end.

    A later headcount of the same sites asks them anew. Rule D37.
    """
    counts = [row for row in callouts if row.kind == "headcount" and row.started_at is not None]
    return [
        row
        for row in counts
        if row.help and _is_help_open(incidents, row, now) and not _is_repeated(row, counts)
    ]


def _is_repeated(row: CallOutRow, counts: Iterable[CallOutRow]) -> bool:
    return any(
        (other.started_at or 0) > (row.started_at or 0) and set(row.sites) <= set(other.sites)
        for other in counts
    )


def _is_help_open(incidents: Mapping[str, IncidentRow], row: CallOutRow, now: Instant) -> bool:
    """Return whether the incident of a headcount is open, or its end is not long ago.

    A merged incident stands for nothing: the help is still needed in the one that it went into. A
    headcount without an incident follows those at its sites.
    """
    incident = incidents.get(find_standing_incident(incidents, row.incident) or "")
    if incident is not None:
        return incident.state in _OPEN_STATES
    is_recent = row.ended_at is None or now < row.ended_at + HELP_KEPT_MS
    return is_recent or any(
        incident.state in _OPEN_STATES and not set(row.sites).isdisjoint(incident.members)
        for incident in incidents.values()
    )


def _list_headcounts(facts: DemandRows) -> Iterator[Demand]:
    """Yield people without an answer, one row per running headcount."""
    for row in facts.callouts.values():
        missing = row.people - row.safe - row.help - row.away
        if (
            row.kind == "headcount"
            and row.state == "running"
            and row.started_at is not None
            and missing > 0
        ):
            key = f"headcount:{row.id}"
            yield Demand(
                key,
                "headcount",
                Urgency.DANGER,
                row.started_at,
                _list_cell_roles(facts),
                missing,
                incident=find_standing_incident(facts.incidents, row.incident),
            )


def _list_escalations(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per escalation, for the roles that its steps have called.

    A replaced escalation counts for the rate only.
    """
    for row in facts.escalations.values():
        if row.action is not None:
            continue
        called_at: dict[str, Instant] = {}
        for wave in row.waves:
            for role in _expand_roles(facts, wave) if wave.fired_at is not None else ():
                called_at.setdefault(role, wave.fired_at or row.started_at)
        answers = {p for w in row.waves if w.cycle >= row.since_cycle for p in w.answered}
        answering_roles = _list_roles(facts, answers) | frozenset(
            role for person, role in facts.called_roles.get(row.id, ()) if person in answers
        )
        danger = any(
            incident.danger and incident.state in _OPEN_STATES and incident.over_since is None
            for id in row.incidents
            if (incident := facts.incidents.get(id)) is not None
        )
        yield Demand(
            f"escalation:{row.id}",
            "escalation",
            Urgency.DANGER if danger else Urgency.DECISION,
            row.started_at,
            frozenset(called_at),
            max(1, len(row.incidents)),
            due_at=row.next_at,
            incident=next(iter(row.incidents), None),
            escalation=row.id,
            open=row.state in ("running", "exhausted"),
            called_at=called_at,
            answered_roles=answering_roles,
        )


def _expand_roles(facts: DemandRows, wave: WaveRow) -> frozenset[str]:
    """Return the roles of a step: groups become their members.

    Deputies stand for the roles of the first step.
    """
    groups = facts.policy.groups if facts.policy is not None else {}
    roles: set[str] = set()
    for name in wave.roles:
        if name == ref.EVERY_POLE:
            roles.add(POLE_DIRECTOR_ROLE)
        elif name != ref.DEPUTIES:
            roles.update(groups.get(name, (name,)))
    return frozenset(roles)


def _list_levels(facts: DemandRows) -> Iterator[Demand]:
    """Yield proposed levels and incidents that are over: both wait for a pilot."""
    pilots = (
        {int(r.level): r.pilots for r in facts.policy.levels} if facts.policy is not None else {}
    )
    for row in facts.levels.values():
        if row.proposed is not None:
            since = min((w.at for w in row.proposed_why if w.at is not None), default=row.since)
            roles = frozenset(pilots.get(int(row.proposed), ()))
            yield Demand(
                f"level:{int(row.proposed)}", "level_proposed", Urgency.DECISION, since, roles
            )
    over: dict[int, list[IncidentRow]] = {}
    for incident in facts.incidents.values():
        if incident.state in _OPEN_STATES and incident.over_since is not None:
            over.setdefault(int(incident.level), []).append(incident)
    for level, rows in over.items():
        since = min(r.over_since for r in rows if r.over_since is not None)
        yield Demand(
            f"lowering:{level}",
            "lowering_proposed",
            Urgency.REST,
            since,
            frozenset(pilots.get(level, ())),
            len(rows),
        )


def _list_plans(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per plan to decide, and one per active plan with late cards.

    Cards of a plan that nobody has activated, or that was stood down, wait for nobody.
    """
    for row in facts.plans.values():
        is_raised = row.proposed_level is not None
        proposed_at = max(row.proposed_at or 0, (row.decided_at or 0) if is_raised else 0)
        if row.state is PlanState.PROPOSED or is_raised:
            yield Demand(
                f"plan:{row.id}",
                "plan_proposed",
                Urgency.DECISION,
                proposed_at,
                frozenset({row.decides}),
                incident=row.incident,
                plan=row.id,
            )
        is_active = row.state in ACTIVE_PLAN_STATES
        late = [c for c in row.cards if is_active and c.overdue and c.state in _LATE_STATES]
        if late:
            since = min(max(c.due_at, c.ready_at or 0, row.decided_at or 0) for c in late)
            roles = frozenset(c.role for c in late)
            yield Demand(
                f"cards:{row.id}",
                "cards_late",
                Urgency.REST,
                since,
                roles,
                len(late),
                incident=row.incident,
                plan=row.id,
            )


def _list_clocks(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per family of running clocks, people without care first.

    A family has the clocks of the territory or of sites, by limit.
    """
    families: dict[tuple[str, str, bool], list[AlarmRow]] = {}
    for alarm in facts.alarms.values():
        activity = facts.activities.get(alarm.activity)
        if activity is None or alarm.arbitrated_at is not None or not _is_running(facts, alarm):
            continue
        place = "territory" if alarm.site is None else "sites"
        families.setdefault(
            (alarm.base.value, place, activity.criticality <= _CARE_CRITICALITY), []
        ).append(alarm)
    for (base, place, care), alarms in families.items():
        first = min(alarms, key=lambda alarm: (alarm.limit_at, alarm.id))
        yield Demand(
            f"clocks:{base}:{place}:{'care' if care else 'rest'}",
            f"clocks_{base}",
            Urgency.CARE if care else Urgency.DECISION,
            min(a.raised_at for a in alarms),
            frozenset(role for a in alarms for role in a.to),
            len({(a.activity, a.site) for a in alarms}),
            due_at=first.limit_at,
            activity=first.activity,
        )


def _is_running(facts: DemandRows, alarm: AlarmRow) -> bool:
    """Check whether the clock of an alarm runs; it is over once a new interruption began."""
    clocks: tuple[ClockRow, ...] = ()
    if alarm.site is None and (row := facts.activities.get(alarm.activity)) is not None:
        clocks = (row.rto, row.dmia)
    elif (local := facts.local_clocks.get(f"{alarm.activity}/{alarm.site}")) is not None:
        clocks = local.clocks
    return any(
        clock.base is alarm.base
        and clock.state is ClockState.RUNNING
        and alarm.raised_at >= (clock.started_at or 0)
        for clock in clocks
    )


def _list_tasks(facts: DemandRows, now: Instant) -> Iterator[Demand]:
    """Yield one row per silent zone and per danger without a place, or else per kind and owner.

    Nobody is called for a danger that is not confirmed, nobody finds one without a place, and
    people of a site under an order may be missing, so these tasks do not wait, and they stay until
    they are done. Another task that somebody took
    comes back when it is late.
    """
    groups: dict[tuple[str, str], list[TaskRow]] = {}
    for task in facts.tasks.values():
        row = _choose_row(facts, task)
        is_danger = row.partition(":")[0] in _DANGER_ROWS.values()
        is_taken = task.state is TaskState.TAKEN and (is_danger or task.is_late(now))
        if task.kind != AREA_ORDER and (task.state is TaskState.OPEN or is_taken):
            owner = (task.owner or CELL_ROLE).partition(":")[0]
            groups.setdefault((row, owner), []).append(task)
    for (key, owner), tasks in groups.items():
        dues = [t.due_at for t in tasks if t.due_at is not None]
        first = min(tasks, key=lambda t: (t.opened_at, t.id))
        kind = key.partition(":")[0]
        danger = kind in _DANGER_ROWS.values()
        yield Demand(
            key if owner == CELL_ROLE else f"{key}:{owner}",
            kind if danger else first.kind,
            Urgency.DANGER if danger else Urgency.REST,
            first.opened_at,
            _list_task_roles(facts, kind, owner),
            len(tasks),
            due_at=min(dues, default=None),
            incident=first.incident,
            report=_find_danger_report(facts, tasks) if danger else None,
            answered_roles=_list_taking_roles(facts, tasks, now),
        )


def _list_taking_roles(facts: DemandRows, tasks: Sequence[TaskRow], now: Instant) -> frozenset[str]:
    """Return the roles that took all these tasks, while none of them is late."""
    if any(task.state is TaskState.OPEN or task.is_late(now) for task in tasks):
        return frozenset()
    return _list_roles(facts, (task.taken_by or "" for task in tasks))


def _list_roles(facts: DemandRows, people: Iterable[str]) -> frozenset[str]:
    """Return the roles of all these people."""
    return frozenset[str]().union(*(facts.roles_by_person.get(person, ()) for person in people))


def _find_danger_report(facts: DemandRows, tasks: Iterable[TaskRow]) -> str | None:
    """Return the newest report of danger of the oldest of these tasks."""
    for task in sorted(tasks, key=lambda t: (t.opened_at, t.id)):
        reports = [id for id in list_asked_reports(task) if id in facts.dangers]
        if reports:
            return reports[-1]
    return None


def _list_task_roles(facts: DemandRows, kind: str, owner: str) -> frozenset[str]:
    """Return the owner of a task and, for a danger without a place, all roles of danger."""
    placeless = kind == _DANGER_ROWS["link_site"]
    return frozenset({owner}) | (_list_cell_roles(facts) if placeless else frozenset())


def _choose_row(facts: DemandRows, task: TaskRow) -> str:
    """Return the row that a task belongs to.

    Each danger without a place has one of its own: two senders may tell of two places. Rule D8.
    """
    if task.kind == "verify_site":
        return f"silent:{task.incident}"
    if task.kind == "headcount":
        return _DANGER_ROWS[task.kind]
    if task.kind in _DANGER_ROWS and not facts.dangers.isdisjoint(list_asked_reports(task)):
        row = _DANGER_ROWS[task.kind]
        return f"{row}:{task.report}" if task.kind == "link_site" else row
    return f"task:{task.kind}"


def _list_reassignments(facts: DemandRows) -> Iterator[Demand]:
    """Yield the lines of the newest proposal that nobody has decided, as one decision."""
    rows = [r for r in facts.proposals.values() if r.state is ProposalState.OPEN and r.lines]
    newest = max(rows, key=lambda r: r.number, default=None)
    if newest is None or facts.policy is None:
        return
    undecided = newest.count_undecided_lines()
    if undecided > 0:
        roles = frozenset({facts.policy.reassignment.decides, *facts.policy.reassignment.told})
        yield Demand(
            "reassignment",
            "reassignment_proposed",
            Urgency.DECISION,
            newest.computed_at,
            roles,
            undecided,
            incident=newest.incident,
        )


def _list_actions(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per role for the actions that wait for its answer, and one for late ones."""
    groups: dict[tuple[str, str], list[ActionRow]] = {}
    for row in facts.actions.values():
        if row.state in OPEN_ACTION_STATES and row.overdue_at is not None:
            groups.setdefault(("action_late", row.role), []).append(row)
        elif row.state is ActionState.REQUESTED:
            groups.setdefault(("action", row.role), []).append(row)
    for (kind, role), rows in groups.items():
        first = min(rows, key=lambda x: (x.overdue_at or x.requested_at, x.id))
        late = first.overdue_at is not None
        yield Demand(
            f"{kind}:{role}",
            kind,
            Urgency.DECISION if late else Urgency.REST,
            first.overdue_at or first.requested_at,
            frozenset({role, HOLD_ROLE} if late else {role}),
            len(rows),
            due_at=min(x.due_at for x in rows),
            incident=first.incident,
        )


def _list_requests(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per priority for requests without a promise, and one for late resources."""
    groups: dict[str, list[ResourceRequestRow]] = {}
    for row in facts.requests.values():
        if row.state in WAITING_STATES:
            groups.setdefault(row.priority.value, []).append(row)
        elif row.late_at is not None and row.state in MOVING_STATES:
            groups.setdefault("late", []).append(row)
    for name, rows in groups.items():
        life = name == RequestPriority.LIFE.value
        late = name == "late"
        dues = [row.needed_from for row in rows if row.needed_from is not None and not late]
        yield Demand(
            f"resources:{name}",
            "resource_late" if late else "resource_request",
            Urgency.CARE if life else Urgency.DECISION if late else Urgency.REST,
            min(row.late_at or row.requested_at if late else row.requested_at for row in rows),
            frozenset({LOGISTICS_ROLE, CELL_ROLE} if life else {LOGISTICS_ROLE}),
            len(rows),
            due_at=min(dues, default=None),
            incident=rows[0].incident if len(rows) == 1 else None,
        )


def _list_obligations(facts: DemandRows, now: Instant) -> Iterator[Demand]:
    """Yield one row per role for its legal deadlines that are near, and one for passed ones.

    Rule D92, legal deadlines.
    """
    groups: dict[tuple[str, str], list[tuple[Instant, ObligationRow]]] = {}
    for row in facts.obligations.values():
        since = find_attention_time(row)
        if row.state is not ObligationState.RUNNING or since > now:
            continue
        kind = "obligation_late" if row.due_at <= now else "obligation"
        groups.setdefault((kind, row.role), []).append((since, row))
    for (kind, role), dated_rows in groups.items():
        late = kind == "obligation_late"
        rows = [row for _since, row in dated_rows]
        first = min(rows, key=lambda row: (row.due_at, row.id))
        yield Demand(
            f"{kind}:{role}",
            kind,
            Urgency.DECISION,
            first.due_at if late else min(since for since, _row in dated_rows),
            frozenset({role, HOLD_ROLE} if late else {role}),
            len(rows),
            due_at=first.due_at,
            incident=first.incident,
        )


def _list_handovers(facts: DemandRows) -> Iterator[Demand]:
    """Yield the handover that the outgoing person signed and that nobody has taken. Rule D115."""
    for row in facts.handovers.values():
        if row.state is HandoverState.SIGNED and row.signed is not None:
            yield Demand(
                f"handover:{row.id}",
                "handover_signed",
                Urgency.DECISION,
                row.signed.at,
                frozenset({row.signed.role, CELL_ROLE, HOLD_ROLE}),
            )


def _list_returned_handovers(facts: DemandRows) -> Iterator[Demand]:
    """Yield the last handover while another person's change asks its author to act. Rule D115."""
    row = max(facts.handovers.values(), key=lambda one: one.number, default=None)
    if row is None or not any(one.state in _OPEN_STATES for one in facts.incidents.values()):
        return
    author = row.signed or row.drafted
    changes = {HandoverState.DRAFT: row.revised, HandoverState.WITHDRAWN: row.withdrawn}
    change = changes.get(row.state)
    if change is not None and change.by != author.by:
        yield Demand(
            f"handover:{row.id}",
            "handover_returned",
            Urgency.DECISION,
            change.at,
            frozenset({author.role, CELL_ROLE, HOLD_ROLE}),
        )


def _list_second_persons(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row per kind of decision that waits for a person other than its author.

    Rules D58, D63 and D91.
    """
    submissions = [
        row.submitted.at
        for row in facts.statements.values()
        if row.state is StatementState.SUBMITTED and row.submitted is not None
    ]
    proposals = [
        row.decisions[0].at for row in facts.changes.values() if row.state is ChangeState.PROPOSED
    ]
    for kind, urgency, roles, times in (
        ("statement_submitted", Urgency.DECISION, _PUBLISHING_ROLES, submissions),
        ("change_proposed", Urgency.REST, frozenset({HOLD_ROLE}), proposals),
        ("erasure_proposed", Urgency.REST, frozenset({HOLD_ROLE}), facts.erasures),
    ):
        if times:
            yield Demand(kind, kind, urgency, min(times), roles, len(times))


def _list_stale_pages(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row for published pages that send people into danger, one for others out of date.

    Rules D96 and D97.
    """
    for is_dangerous in (True, False):
        times = [
            page.published_at
            for page in facts.stale_pages.values()
            if page.is_dangerous is is_dangerous
        ]
        kind = "page_dangerous" if is_dangerous else "page_stale"
        urgency = Urgency.DANGER if is_dangerous else Urgency.REST
        if times:
            yield Demand(kind, kind, urgency, min(times), _PUBLISHING_ROLES, len(times))


def _list_barred_strategies(facts: DemandRows) -> Iterator[Demand]:
    """Yield one row for the strategies that send people to a place under an order. Rule D102."""
    if rows := facts.barred_strategies.values():
        kind, since = "strategy_dangerous", min(row.started_at for row in rows)
        yield Demand(kind, kind, Urgency.DANGER, since, _list_cell_roles(facts), len(rows))


def find_attention_time(row: ObligationRow) -> Instant:
    """Return when a clock begins to ask for attention.

    Half of its limit has passed, or less than a day is left.
    """
    half = row.known_at + (row.due_at - row.known_at) // 2
    return max(row.started_at, min(half, row.due_at - DAY_MS))


def _list_cell_roles(facts: DemandRows) -> frozenset[str]:
    """Return the roles of the cell and the pilots of a crisis, for danger to people."""
    groups: Mapping[str, Collection[str]] = facts.policy.groups if facts.policy is not None else {}
    return frozenset(
        {
            *groups.get("cellule_complete", (CELL_ROLE,)),
            "dgs_directeur_de_crise",
            "astreinte_direction",
            *facts.danger_roles,
        }
    )

# ruff: noqa: ARG002  the protocol of a decider
"""Decider of continuity: joins capacity, clocks, alarms, plans and commands.

It receives facts of alerts and decisions of people, and records them as its own facts (`SiteHeard`,
…), so that its log alone gives its state. It sends metrics and demands for attention to alerts; no
metric depends on a level or on a proposal.
"""

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from schemas.alerts import (
    CauseRow,
    FlagChanged,
    FlagRow,
    IncidentChanged,
    IncidentRow,
    LevelChanged,
    SiteRow,
    SiteStatusChanged,
    TriggerChanged,
)
from schemas.base import Command, Fact, Instant
from schemas.continuity import (
    AreaOrderHeard,
    CardsAnswered,
    CauseHeard,
    DependencyHeard,
    IncidentHeard,
    LevelHeard,
    SiteHeard,
)
from schemas.crisis.area_orders import AreaOrderChanged, AreaOrderRow
from schemas.crisis.contingency import ContingencyChanged, ContingencyComputed
from schemas.reassignment import ProposalComputed
from schemas.reference import ReferencePublished
from schemas.words import Certainty, SiteStatus
from services.continuity import resources, withheld
from services.continuity.activities.assessment import (
    ActivityChange,
    end_dropped_activities,
    list_activities_of_site,
    settle_activity,
)
from services.continuity.activities.impact_analysis import MEALS_ACTIVITY, STRIKE_FLAG
from services.continuity.activities.metrics import recheck_all_metrics, record_changed_metrics
from services.continuity.commands.activities import end_strategies_of_lost_sites
from services.continuity.commands.cards import answer_cards
from services.continuity.commands.plans import HANDLERS, handle_command
from services.continuity.deadlines import (
    KEYS,
    ActivityDue,
    CardRemindersDue,
    ContinuityDeadline,
    DependencyDue,
    DroppedLinesDue,
    OrderDue,
    PlanDue,
    RecallDue,
    RecallNoticeDue,
    RequestDue,
    RereadDue,
    ReviewDue,
    SettlementDue,
    SiteCardsDue,
    SitrepDue,
    UncountedDue,
)
from services.continuity.decision import ContinuityDecision
from services.continuity.evolve import evolve
from services.continuity.plans import plans, site_cards, sitreps
from services.continuity.reassignment import orders
from services.continuity.reassignment.site_conditions import (
    FLOOD_KIND,
    TRANSIT_FLAG,
    find_ordered_sites,
)
from services.continuity.state import (
    NO_LOCAL_CLOCKS,
    RECORDED_SECTIONS,
    ContinuityMemory,
    ContinuityState,
    find_incident,
    get_standing_incident,
)
from services.runtime.decider.codec import StateCodec
from services.runtime.decider.protocol import Deadline, Firing, Input

TERRITORY_ID: Final = "territory"
_RELEVANT_FLAG_KINDS: Final = frozenset(("system", "kitchen", "supplier", "flag"))
"""Kinds of flags that activities, limits or cards may depend on."""
SETTLED_PER_INPUT: Final = 45
"""Activities that one input settles: a row has up to 4 KB, a Transaction 256 KB."""
FACTS_PER_STEP: Final = 90
"""Facts of about 1 KB that a new version records in one step.

The last section of the version must fit into the same Transaction.
"""
GROWN_ROW_WEIGHT: Final = 3
"""Facts that the larger row of a hit activity counts as, beside its own."""
_CODEC: Final = StateCodec(ContinuityMemory)


class ContinuityDecider:
    """Decider of the continuity service; implements `Decider[State]`."""

    service = "continuity"
    logic = 1

    def initial(self, realm: str, lineage: str) -> ContinuityState:
        """Return an empty state without reference data."""
        return ContinuityState(realm, lineage)

    def decide(self, state: ContinuityState, current_input: Input) -> Sequence[Fact]:
        """Decide one input.

        Facts of alerts that come before the first reference data are only remembered.
        """
        draft = ContinuityDecision(state, current_input)
        match current_input.message:
            case SiteStatusChanged(row=row):
                _on_site(draft, row)
            case AreaOrderChanged(row=row):
                _on_area_order(draft, row)
            case FlagChanged(row=row):
                _on_flag(draft, row)
            case IncidentChanged(row=row):
                _on_incident(draft, row)
            case TriggerChanged(row=row):
                plans.on_trigger(draft, row)
            case LevelChanged(row=row):
                if row.id == TERRITORY_ID and row.level != state.level:
                    draft.emit(LevelHeard(level=row.level))
                    plans.return_refused_plans(draft)
                    sitreps.schedule_sitrep(draft)
            case ReferencePublished() as publication:
                _on_reference(draft, publication)
            case ContingencyComputed(row=row):
                if row.reference == state.reference:
                    draft.emit(
                        ContingencyChanged(row=row.model_copy(update={"computed_at": draft.now}))
                    )
            case ProposalComputed() as part:
                orders.apply_proposal_part(draft, part)
            case CardsAnswered() as answer:
                if draft.state.bia is not None:
                    answer_cards(draft, answer)
            case Command() as command if type(command) in HANDLERS:
                handle_command(draft, command, current_input.id)
            case other:
                raise ValueError(f"{type(other).__name__} is not for continuity")
        return draft.finish()

    def fire(self, state: ContinuityState, firing: Firing) -> Sequence[Fact]:
        """Fire one due deadline; after a stall, one step catches up to now."""
        draft = ContinuityDecision(state, firing)
        key = KEYS.parse(firing.deadline.key)
        draft.arm(key, None)
        _apply_deadline(draft, key)
        return draft.finish()

    def evolve(
        self, state: ContinuityState, fact: Fact, fact_id: str, at: Instant
    ) -> ContinuityState:
        """Return the state after one fact."""
        return evolve(state, fact, at)

    def next_deadline(self, state: ContinuityState) -> Deadline | None:
        """Return the earliest deadline."""
        return state.agenda.first()

    def dump(self, state: ContinuityState) -> dict[str, list[tuple[str, object]]]:
        """Dump the state into JSON-able collections."""
        return _CODEC.dump(state)

    def load(
        self, realm: str, lineage: str, dump: dict[str, list[tuple[str, object]]]
    ) -> ContinuityState:
        """Restore a state from a dump."""
        return ContinuityState.restore(_CODEC.load(dump))


def extract_site(row: SiteRow, before: SiteHeard | None) -> SiteHeard:
    """Extract the relevant part of a site's row: its confirmed causes that act now (D6, D9).

    A site of unknown status keeps its last causes (D40).
    """
    causes = tuple(
        _extract_cause(c)
        for c in row.causes
        if c.certainty is Certainty.CONFIRMED and not c.planned
    )
    if row.status is SiteStatus.UNKNOWN and not causes and before is not None:
        causes = before.causes
    is_uncounted = row.confinement == "counting" and row.headcount is None
    return SiteHeard(
        site=row.id,
        status=row.status,
        since=row.since,
        causes=causes,
        lifted_at=row.lifted_at,
        confinement=row.confinement,
        uncounted_since=(row.left_at or row.since) if is_uncounted else None,
        is_barred=row.is_barred,
    )


def _extract_cause(cause: CauseRow) -> CauseHeard:
    return CauseHeard(
        id=cause.id,
        type=cause.type,
        since=cause.since,
        loss_pct=cause.loss_pct,
        severity=cause.severity,
        incident=cause.incident,
        report=cause.reports[0] if cause.reports else None,
        expected_end=cause.expected_end,
        meals_lost_pct=cause.meals_lost_pct,
    )


def _on_site(draft: ContinuityDecision, row: SiteRow) -> None:
    before = draft.state.sites.get(row.id)
    site_state = extract_site(row, before)
    if site_state == before or (
        before is None and site_state.status is SiteStatus.NORMAL and not site_state.causes
    ):
        return
    draft.emit(site_state)
    if draft.state.bia is None:
        return
    change, activities = (
        ActivityChange(
            back_at=_find_lifting_time(before, site_state, row), sites=frozenset((row.id,))
        ),
        list_activities_of_site(draft, row.id),
    )
    lost_sites = sorted(
        (end_strategies_of_lost_sites(draft) & draft.bia.needs.keys()).difference(activities)
    )
    _settle_activities(draft, ((activity, change) for activity in (*activities, *lost_sites)))
    site_cards.schedule_openings_of_site(draft, row.id)
    was_barred = before is not None and before.is_barred
    if site_state.is_barred and not was_barred and row.id not in find_ordered_sites(draft.state):
        resources.on_order_given(draft, row.id)
    elif was_barred and not site_state.is_barred and row.id not in find_ordered_sites(draft.state):
        resources.on_order_ended(draft, row.id)
    orders.inform_about_stopped_places(draft)
    orders.schedule_review(draft)


def _on_area_order(draft: ContinuityDecision, row: AreaOrderRow) -> None:
    """Send nobody and nothing to the sites in the area of an order. Rule D102."""
    before = draft.state.area_orders.get(row.id)
    sites = tuple(sorted(row.barred))
    if sites == (() if before is None else before.sites):
        return
    ordered_sites = find_ordered_sites(draft.state)
    draft.emit(AreaOrderHeard(order=row.id, sites=sites, status=row.order))
    if draft.state.bia is not None:
        for site in sorted(row.barred - ordered_sites):
            if not _has_own_order(draft, site):
                resources.on_order_given(draft, site)
        for site in sorted(ordered_sites - find_ordered_sites(draft.state)):
            if not _has_own_order(draft, site):
                resources.on_order_ended(draft, site)
        orders.inform_about_stopped_places(draft)
        orders.schedule_review(draft)


def _has_own_order(draft: ContinuityDecision, site: str) -> bool:
    own = draft.state.sites.get(site)
    return own is not None and own.is_barred


def _find_lifting_time(
    before: SiteHeard | None, site_state: SiteHeard, row: SiteRow
) -> Instant | None:
    """Return when the ended causes ended; None: now.

    If the row dropped causes, this is the row's time of lifting. Otherwise it is the start of the
    new status, unless that status began with a cause that was there before.
    """
    if before is None:
        return None
    if row.lifted_at is not None and {c.id for c in before.causes}.difference(
        c.id for c in row.causes
    ):
        return row.lifted_at
    if before.status is site_state.status or any(
        cause.since == site_state.since for cause in before.causes
    ):
        return None
    return site_state.since


def _settle_activities(
    draft: ContinuityDecision, changes: Iterable[tuple[str, ActivityChange]]
) -> None:
    """Settle these activities now, as far as their rows fit into one Transaction.

    The others follow in the next step at the same time. Activities with local clocks are never
    postponed.
    """
    plain = 0
    for activity, change in changes:
        plain += draft.bia.needs[activity].local is None
        if plain > SETTLED_PER_INPUT and draft.bia.needs[activity].local is None:
            draft.arm_settlement(activity)
        else:
            settle_activity(draft, activity, change)
    record_changed_metrics(draft)


def _on_flag(draft: ContinuityDecision, row: FlagRow) -> None:
    if row.id.partition(":")[0] not in _RELEVANT_FLAG_KINDS and row.id != TRANSIT_FLAG:
        return
    dependency = DependencyHeard(
        id=row.id,
        value=row.value,
        since=row.since,
        effective_from=row.effective_from,
        speaks_of=row.speaks_of,
        incident=row.incident,
        report=row.reports[0] if row.reports else None,
    )
    if dependency == draft.state.dependencies.get(row.id):
        return
    draft.emit(dependency)
    if draft.state.bia is None:
        return
    later = row.effective_from is not None and row.effective_from > draft.now
    draft.arm(DependencyDue(row.id), row.effective_from if later else None)
    _settle_dependents(draft, row.id, row.since)
    if row.id == STRIKE_FLAG and dependency.value is True and dependency.speaks_of is not None:
        plans.reschedule_strike_cards(draft)
    orders.schedule_review(draft)


def _settle_dependents(draft: ContinuityDecision, dependency: str, since: Instant | None) -> None:
    """Settle the activities that a dependency touches."""
    activities = draft.bia.by_dependency.get(dependency, ())
    _settle_activities(
        draft,
        (
            (activity, ActivityChange(since, _list_local_sites(draft, activity, dependency)))
            for activity in activities
        ),
    )


def _list_local_sites(draft: ContinuityDecision, activity: str, dependency: str) -> frozenset[str]:
    """Return the sites with local clocks that depend on this dependency.

    These are the sites that a kitchen serves, and those with a clock if a flag shortens its limits.
    """
    sites = (
        draft.bia.kitchens.get(dependency.partition(":")[2], ())
        if activity == MEALS_ACTIVITY
        else ()
    )
    cut_sites = (
        draft.state.local.get(activity, NO_LOCAL_CLOCKS)
        if draft.bia.needs[activity].by_flag
        else ()
    )
    return frozenset((*sites, *cut_sites))


def _on_incident(draft: ContinuityDecision, row: IncidentRow) -> None:
    """Record an incident; its announced end forecasts the end of its effects (D45)."""
    before = draft.state.incidents.get(row.id)
    kind, is_open, estimated_end, is_silenced = row.outlook
    incident_state = IncidentHeard(
        incident=row.id,
        kind=kind,
        open=is_open,
        estimated_end=estimated_end,
        level=int(row.level),
        silenced=is_silenced,
        merged_into=row.merged_into,
    )
    if incident_state == before:
        return
    earlier_end = _find_announced_end(draft, row.id)
    was_silenced = before is not None and before.silenced
    withheld_incidents = _list_merged_incidents(draft, row.id) if was_silenced else frozenset()
    draft.emit(incident_state)
    if draft.state.bia is None:
        return
    standing_incident = find_incident(draft.state, row.id) or incident_state
    if was_silenced and standing_incident.open and not standing_incident.silenced:
        withheld.repeat_withheld_demands(draft, withheld_incidents, row.updated_at)
    plans.return_refused_plans(draft)
    if row.merged_into is not None and (before is None or before.merged_into is None):
        site_cards.schedule_openings_of_incident(draft, row.id)
    if before is not None and is_open and not before.open:
        plans.return_ended_plans(draft, row.id)
    if row.kind == FLOOD_KIND:
        orders.schedule_review(draft)
    if earlier_end == _find_announced_end(draft, row.id):
        return
    if row.kind != FLOOD_KIND:
        orders.schedule_review(draft)
    ids = {id for id in draft.state.incidents if _is_incident_in(draft, id, row.id)}
    sites = frozenset(
        site
        for site, site_state in draft.state.sites.items()
        if any(c.incident in ids for c in site_state.causes)
    )
    activities = {activity for site in sites for activity in list_activities_of_site(draft, site)}
    activities |= {
        a
        for d in draft.state.dependencies.values()
        if d.incident in ids
        for a in draft.bia.by_dependency.get(d.id, ())
    }
    _settle_activities(
        draft, ((activity, ActivityChange(sites=sites)) for activity in sorted(activities))
    )


def _list_merged_incidents(draft: ContinuityDecision, incident: str) -> frozenset[str]:
    """Return an incident and those merged into it."""
    merged_incidents = (
        id for id in draft.state.incidents if get_standing_incident(draft.state, id) == incident
    )
    return frozenset((incident, *merged_incidents))


def _find_announced_end(draft: ContinuityDecision, incident: str) -> Instant | None:
    row = find_incident(draft.state, incident)
    return None if row is None else row.estimated_end


def _is_incident_in(draft: ContinuityDecision, incident: str, whole: str) -> bool:
    """Return whether an incident is this one, or was merged into it."""
    if incident == whole:
        return True
    row = find_incident(draft.state, incident)
    return row is not None and row.incident == whole


def _on_reference(draft: ContinuityDecision, publication: ReferencePublished) -> None:
    """Record a section; the last one puts the version in force.

    Then every activity is read again, every plan listed, and every metric checked.
    """
    before = draft.state.bia
    if publication.data.section in RECORDED_SECTIONS or publication.last:
        draft.emit(publication)
    if not publication.last:
        return
    end_strategies_of_lost_sites(draft)
    end_dropped_activities(draft)
    everywhere = ActivityChange(sites=frozenset(draft.bia.sites))
    weight = 0
    for activity, need in draft.bia.needs.items():
        was, row = (
            before.needs.get(activity) if before is not None else None,
            draft.state.activities.get(activity),
        )
        if weight < FACTS_PER_STEP:
            facts = len(draft.facts)
            settle_activity(draft, activity, everywhere)
            weight += (
                len(draft.facts)
                - facts
                + (
                    GROWN_ROW_WEIGHT
                    if row is not None and draft.state.activities[activity] is not row
                    else 0
                )
            )
        if weight >= FACTS_PER_STEP or (
            was is not None and (was.marks, was.hours) != (need.marks, need.hours)
        ):
            draft.arm_settlement(activity, anew=True)
    for dependency in (
        draft.state.dependencies.values()
    ):  # those that came before the first reference data wait for their time too
        if dependency.effective_from is not None and dependency.effective_from > draft.now:
            draft.arm(DependencyDue(dependency.id), dependency.effective_from)
    plans.update_plans(draft, before.plans if before is not None else {})
    sitreps.schedule_sitrep(draft)
    recheck_all_metrics(draft)
    resources.relist_stocks(draft)
    orders.schedule_dropped_lines(draft)
    orders.schedule_review(draft)


def _on_activity_due(draft: ContinuityDecision, activity: str) -> None:
    if activity in draft.bia.needs:  # a newer reference version may have dropped it
        settle_activity(draft, activity)
        record_changed_metrics(draft)


def _on_reread_due(draft: ContinuityDecision, activity: str) -> None:
    """Read every running clock of an activity again after its percentages or open hours changed."""
    if activity in draft.bia.needs:
        settle_activity(
            draft, activity, ActivityChange(sites=frozenset(draft.bia.sites), anew=True)
        )
        record_changed_metrics(draft)


def _on_dependency_due(draft: ContinuityDecision, dependency: str) -> None:
    dependency_state = draft.state.dependencies[dependency]
    _settle_dependents(draft, dependency, dependency_state.effective_from)
    orders.schedule_review(draft)


def _on_plan_due(draft: ContinuityDecision, plan: str) -> None:
    if plan in draft.bia.plans:
        plans.on_plan_due(draft, plan)


def _apply_deadline(draft: ContinuityDecision, key: ContinuityDeadline) -> None:
    match key:
        case ActivityDue(activity) | SettlementDue(activity, _, 0):
            _on_activity_due(draft, activity)
        case RereadDue(activity) | SettlementDue(activity):
            _on_reread_due(draft, activity)
        case DependencyDue(dependency):
            _on_dependency_due(draft, dependency)
        case PlanDue(plan):
            _on_plan_due(draft, plan)
        case SitrepDue():
            sitreps.demand_sitrep(draft)
        case SiteCardsDue(plan):
            plans.on_opening_due(draft, plan)
        case CardRemindersDue():
            site_cards.remind_owners(draft)
        case ReviewDue():
            orders.on_review_due(draft)
        case OrderDue(decision, site, part):
            orders.on_order_due(draft, decision, site, part)
        case RecallNoticeDue(decision):
            orders.on_recall_notice_due(draft, decision)
        case RecallDue(decision, site, part):
            orders.on_recall_due(draft, decision, site, part)
        case DroppedLinesDue(step):
            orders.on_dropped_lines_due(draft, step)
        case UncountedDue():
            orders.schedule_review(draft)
        case RequestDue(request):
            resources.on_request_due(draft, request)
        case _:
            assert_never(key)

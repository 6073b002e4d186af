# ruff: noqa: ARG002  the protocol of a decider
"""The decider of alerts: joins the pure modules."""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from schemas.alerts import AttentionRequested, HistoryForgotten, MetricChanged
from schemas.base import DAY_MS, Command, Fact, Instant
from schemas.calling import AnswerReceived, Unreachable
from schemas.continuity import (
    CrisisTended,
    ImprovementChanged,
    ImprovementRow,
    SitrepIssued,
    SitrepRow,
)
from schemas.crisis.maintenance import LeasesRenewed
from schemas.reports import ReportReceived
from services.alerts import actions, obligations
from services.alerts.causes import leases, suppression
from services.alerts.commands.dispatcher import apply_command
from services.alerts.deadlines import (
    KEYS,
    AcknowledgementStale,
    ActionDue,
    AlertsDeadline,
    AllClearDue,
    AreaOrderDue,
    CauseDue,
    EscalationDue,
    FlagDue,
    HistoryDue,
    IndexDecayed,
    LeaseDue,
    MoveDue,
    ObligationDue,
    ReadinessDue,
    ReferenceChangeDue,
    ReportDue,
    ShiftLimitNear,
    SilenceDue,
    StaffingDue,
    ThresholdRearmed,
    WindowDue,
    YellowDigestDue,
)
from services.alerts.decision import AlertsDecision, complete_open_task, open_task
from services.alerts.declarations import area_orders, flags, yellow_vigilance
from services.alerts.escalation import (
    cell_staffing,
    notifications,
    readiness,
    responses,
    site_warnings,
    steps,
)
from services.alerts.escalation.oncall import renew_verification
from services.alerts.evolve import evolve, rebuild_indexes
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.merging import merge_bridged_incidents
from services.alerts.levels import levels
from services.alerts.pipeline import (
    on_cause_due,
    on_report_due,
    receive_report,
    update_derived_state,
)
from services.alerts.reference import versions
from services.alerts.reference.territory import ADDENDUM_WINDOW_MS, REPORT_MEMORY_MS
from services.alerts.state import State
from services.runtime.decider.codec import StateCodec
from services.runtime.decider.protocol import Deadline, Firing, Input

_CODEC = StateCodec(State)
_COPIED_FIELDS = (
    "activity",
    "plan",
    "card",
    "base",
    "pct",
    "limit_at",
    "pole",
    "site",
    "agents",
    "come",
    "stopped_at",
    "back_at",
    "strategy",
    "cards",
    "unfinished",
    "total",
    "begins_at",
    "ends_at",
    "hosts",
    "host_count",
    "stay_home",
    "estimated",
    "request",
    "resource",
    "quantity",
    "barred",
    "barred_homes",
    "found",
    "expected",
)
"""Fields that a message copies from a demand for attention."""
_MAX_KEPT_IDS = 2_000
"""Most ids that a record of forgotten history keeps: it stays small."""
_TEMPLATES = {"alarm": "alarm_{base}", "forecast": "forecast_{base}"}


class UnknownInput(ValueError):
    """An input that alerts has no rule for: a route or a client is wrong."""


class AlertsDecider:
    """Decider for reports, site status, incidents, predicates and escalations."""

    service = "alerts"
    logic = 1

    def initial(self, realm: str, lineage: str) -> State:
        return State(realm, lineage)

    def decide(self, state: State, current_input: Input) -> Sequence[Fact]:
        draft = AlertsDecision(state, current_input)
        match current_input.message:
            case ReportReceived() as report:
                if report.report_id not in state.reports:  # a known id has no effect (D4)
                    receive_report(draft, report)
                    leases.apply_report_to_leases(draft, report)
                    if report.acknowledges:
                        responses.acknowledge_from_source(draft, report)
                    update_derived_state(draft)
                    merge_bridged_incidents(draft, report.report_id)
            case MetricChanged() as metric:
                draft.emit(metric)
                draft.concerned.update(
                    i for r in metric.reports if (i := draft.incident_of(r)) is not None
                )
                update_derived_state(draft)
            case AnswerReceived(
                notification=notification,
                person=person,
                answer=answer,
                proved=channel,
                instead=instead,
            ):
                renew_verification(draft, person, channel)
                if not area_orders.apply_answer(draft, notification, person, answer):
                    responses.apply_answer(draft, notification, person, answer, instead)
                    actions.apply_answer(draft, notification, person, answer, instead)
                update_derived_state(draft)
            case Unreachable(notification=notification):
                responses.on_notification_unreachable(draft, notification)
                area_orders.on_call_unreachable(draft, notification)
                site_warnings.on_warning_unreachable(draft, notification)
                notifications.on_information_unreachable(draft, notification)
                update_derived_state(draft)
            case AttentionRequested() as request:
                _request_attention(draft, request)
            case LeasesRenewed() as renewal:
                leases.renew_leases(draft, renewal)
                update_derived_state(draft)
            case CrisisTended(incident=incident):
                responses.keep_acknowledgement(draft, incident)
            case SitrepIssued(row=sitrep):
                complete_open_task(draft, "sitrep", "", sitrep.issued_by)
                _tell_sitrep(draft, sitrep)
            case ImprovementChanged(row=action):
                _update_improvement_task(draft, action)
            case Command() as command if apply_command(draft, current_input.id, command):
                pass
            case other:
                raise UnknownInput(f"alerts has no rule for {type(other).__name__}")
        return draft.finish()

    def fire(self, state: State, firing: Firing) -> Sequence[Fact]:
        draft, key = AlertsDecision(state, firing), KEYS.parse(firing.deadline.key)
        _apply_deadline(draft, key)
        update_derived_state(draft)
        if draft.state.agenda.first() == firing.deadline:
            draft.settle_deadline(key)
        return draft.finish()

    def evolve(self, state: State, fact: Fact, fact_id: str, at: Instant) -> State:
        return evolve(state, fact)

    def next_deadline(self, state: State) -> Deadline | None:
        return state.agenda.first()

    def dump(self, state: State) -> dict[str, list[tuple[str, object]]]:
        return _CODEC.dump(state)

    def load(
        self, realm: str, lineage: str, dump: Mapping[str, Iterable[tuple[str, object]]]
    ) -> State:
        return rebuild_indexes(_CODEC.load(dump))


def _apply_deadline(draft: AlertsDecision, key: AlertsDeadline) -> None:  # noqa: C901  one case per kind
    match key:
        case CauseDue(cause):
            on_cause_due(draft, cause)
        case ReportDue(report):
            on_report_due(draft, report)
        case SilenceDue(incident, due_at):
            zones.on_silence_due(draft, incident, due_at)
        case AllClearDue(incident):
            zones.on_all_clear_due(draft, incident)
        case AreaOrderDue(order):
            area_orders.on_area_order_due(draft, order)
        case ActionDue(action):
            actions.on_action_due(draft, action)
        case ObligationDue(clock):
            obligations.on_obligation_due(draft, clock)
        case EscalationDue(escalation):
            steps.on_escalation_due(draft, escalation)
        case AcknowledgementStale(escalation):
            responses.on_acknowledgement_stale(draft, escalation)
        case ReadinessDue():
            readiness.check_readiness(draft)
        case ShiftLimitNear(person):
            cell_staffing.warn_before_limit(draft, person)
        case StaffingDue():
            cell_staffing.note_missed_objective(draft)
        case ThresholdRearmed(threshold):
            levels.rearm_threshold(draft, threshold)
        case FlagDue(flag):
            flags.on_flag_due(draft, flag)
        case YellowDigestDue():
            yellow_vigilance.send_digest(draft)
        case IndexDecayed(index):
            draft.touch(index)
        case WindowDue(window):
            suppression.on_window_due(draft, window)
        case ReferenceChangeDue(change):
            versions.on_change_due(draft, change)
        case LeaseDue(report):
            leases.on_lease_due(draft, report)
        case MoveDue(incident):
            incident_lifecycle.move_next_reports(draft, incident)
        case HistoryDue():
            forget_history(draft)
        case _:
            assert_never(key)


def forget_history(draft: AlertsDecision) -> None:
    """Drop old reports and incidents, once a day in a live realm.

    Report ids are known for 7 days, or while their incident is open and for 72 h after, or while
    their declaration is in force, or a person is asked about them. Rules D3, D4, D6 and D26.
    """
    now, kept_ids = draft.now, _list_kept_ids(draft)
    some_left = (
        any(r.recorded_at >= now - REPORT_MEMORY_MS for r in draft.state.reports.values())
        or bool(draft.state.incidents)
        or bool(kept_ids)
    )
    draft.emit(
        HistoryForgotten(
            reported_before=now - REPORT_MEMORY_MS,
            closed_before=now - REPORT_MEMORY_MS - ADDENDUM_WINDOW_MS,
            next_at=now + DAY_MS if some_left else None,
            kept=kept_ids,
        )
    )


def _list_kept_ids(draft: AlertsDecision) -> tuple[str, ...]:
    """Return the reports to keep: those of declarations in force, and the newest of open tasks.

    Orders for areas in force are named, too: answers about them may change (rule D102).
    """
    orders = (row.id for row in draft.state.area_orders.values() if row.ended_at is None)
    open_tasks = (task for task in draft.state.tasks.values() if task.done_at is None)
    ids = {id for task in open_tasks for id in (task.report, *task.candidates) if id is not None}
    questioned = sorted(draft.find_reports(ids), key=lambda row: (-row.recorded_at, row.id))
    kept_ids = (*flags.list_reports_in_force(draft), *orders, *(row.id for row in questioned))
    return tuple(dict.fromkeys(kept_ids))[:_MAX_KEPT_IDS]


def _tell_sitrep(draft: AlertsDecision, sitrep: SitrepRow) -> None:
    """Tell the recipients that a situation report is there: number, time, level. Rule D54."""
    notifications.inform_roles(
        draft,
        sitrep.recipients,
        pole=None,
        site=None,
        incident=None,
        template="sitrep",
        values={
            "sitrep": sitrep.number,
            "sitrep_level": sitrep.level,
            "as_of": sitrep.as_of,
            "next_at": sitrep.next_at,
        },
    )


def _request_attention(draft: AlertsDecision, attention_request: AttentionRequested) -> None:
    """Send an information to the roles that a service names, and open the task that belongs to it.

    A proposal of a plan by a yellow vigilance alone is left to the digest. Rules D46 and D72.
    """
    incident = draft.resolve_incident(attention_request.incident)
    copied_values = {name: getattr(attention_request, name) for name in _COPIED_FIELDS}
    values: dict[str, str | int | float | bool | None] = {
        name: value for name, value in copied_values.items() if value is not None
    }
    if attention_request.listed:
        values["listed"] = "|".join(attention_request.listed)
    template = _TEMPLATES.get(attention_request.code, attention_request.code).format(
        base=attention_request.base or "rto"
    )
    if attention_request.code == "card_overdue" and attention_request.total is not None:
        template = "cards_unfinished"
    elif attention_request.code == "card_overdue" and attention_request.cards is not None:
        template = "site_cards_overdue"
    if (
        attention_request.code == "plan_proposed"
        and attention_request.plan is not None
        and yellow_vigilance.is_proposed_by_yellow(draft, attention_request.plan)
    ):
        return  # in the digest of the yellow vigilances (D72)
    reason = (
        levels.find_reason(draft, attention_request.plan)
        if attention_request.code == "plan_proposed" and attention_request.plan is not None
        else None
    )
    if reason is not None:
        values["why"] = reason
    site = attention_request.site
    if attention_request.code == "reassignment_stopped" and site is not None:
        site_warnings.stop_agents(draft, site, incident, values)
        return
    if attention_request.code == "reassignment_resumed" and site is not None:
        site_warnings.resume_agents(draft, site, incident, values)
        return
    if attention_request.code == "headcount_manager":
        site_warnings.call_managers(draft, attention_request.sites or (), incident, values)
        return
    notifications.inform_roles(
        draft,
        attention_request.roles,
        pole=attention_request.pole,
        site=attention_request.site,
        incident=incident,
        template=template,
        values=values,
    )
    if attention_request.code == "reentry":
        open_task(draft, "reentry", report=attention_request.activity, incident=incident)
    elif attention_request.code == "sitrep_due":
        open_task(draft, "sitrep", due_at=attention_request.limit_at)


def _update_improvement_task(draft: AlertsDecision, action: ImprovementRow) -> None:
    """Open a task for an improvement action, and end it with the action.

    Rule D53, lessons learned.
    """
    if action.state == "open":
        incident = action.incident if action.incident in draft.state.incidents else None
        open_task(draft, "improvement", report=action.id, incident=incident, due_at=action.due_at)
    elif action.closed_by is not None:
        complete_open_task(draft, "improvement", action.id, action.closed_by, action.state)

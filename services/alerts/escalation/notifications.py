"""Plan messages that need no answer, find their recipients, and record withheld ones.

Rules D34, D44, D50, D64, D65 and D70.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from schemas.alerts import IncidentRow
from schemas.base import HOUR_MS, Instant
from schemas.calling import NotificationPlanned, RoleUncovered
from schemas.crisis.maintenance import PagingWithheld
from schemas.people.attendance import PRESENT_MODES
from schemas.ranks import HOLD_ROLE, POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from schemas.words import Channel
from services.alerts.causes.suppression import list_suppressors
from services.alerts.decision import AlertsDecision
from services.alerts.escalation.oncall import (
    find_concerned_scopes,
    find_quiet_end,
    find_role_of,
    get_holder_and_deputy,
    list_channels,
)
from services.alerts.escalation.steps import build_message_values, find_escalation
from services.alerts.evolve import OPEN
from services.alerts.levels.levels import CRISIS, TERRITORY
from services.alerts.rows import SuppressionReason

_CLOCK_ALARMS: Final = frozenset({"alarm_rto", "alarm_dmia", "forecast_rto", "forecast_dmia"})
WITHDRAWN_TEMPLATE: Final = "report_withdrawn"
CRISIS_TEMPLATES: Final = frozenset(
    {
        "plan_proposed",
        "stand_down_proposed",
        "plan_dropped",
        "card_overdue",
        "cards_opened",
        "cards_unfinished",
        "site_cards_overdue",
        "reassignment_proposed",
    }
)
"""Messages that name the gravest incident when they belong to no single one. Rule D70."""
WITHHELD_TEMPLATES: Final = _CLOCK_ALARMS | {
    "plan_proposed",
    "stand_down_proposed",
    "reassignment_proposed",
}
"""Messages of continuity that planned works and inhibition withhold. Rules D64, D65.

Requests and decisions of people are never withheld: resources, orders, cards.
"""
SITE_WARNINGS: Final = frozenset(
    {
        "site_order",
        "site_danger",
        "reassignment_stopped",
        "reassignment_resumed",
        "headcount_manager",
    }
)
"""Messages that climb from the manager of a site to the coordinator until somebody is reached."""
Values = dict[str, str | int | float | bool | None]


_URGENT: Final = (Channel.APP, Channel.SMS, Channel.VOICE)
"""Channels of an order or a danger, in order of preference."""
_SILENT: Final = (Channel.APP, Channel.SMS)
FAST_CHANNELS: Final = frozenset(_URGENT)
"""Channels that reach a person within minutes; a mailbox or a chat room may wait for hours."""


class Recipient(NamedTuple):
    """A person responsible for a site, with role, scope and channels."""

    role: str
    scope: str | None
    person: str
    channels: tuple[Channel, ...]

    @property
    def is_fast(self) -> bool:
        return not FAST_CHANNELS.isdisjoint(self.channels)


def choose_recipients(people: list[Recipient]) -> list[Recipient]:
    """Return the first person, and the next with a fast channel if the first has none.

    Rule D34, nobody on call.
    """
    fast = next((number for number, person in enumerate(people) if person.is_fast), 0)
    return people[:1] if fast == 0 else [people[0], people[fast]]


def find_site_recipients(
    draft: AlertsDecision, site: str, *, danger: bool = True, order: bool = True
) -> tuple[list[Recipient], list[tuple[str, str | None]]]:
    """Return the people responsible for a site, first its manager and the deputy.

    An order about people never waits for a manager: without one it goes to the director of the
    pôle, then to the coordinator. The second value are the posts before the first of these people,
    with nobody to reach. Rule D34, nobody on call.
    """
    preferred_channels = _URGENT if danger else _SILENT
    record = draft.territory.sites.get(site)
    posts: list[tuple[str, str | None]] = [(SITE_MANAGER_ROLE, site)]
    if order:
        posts += [(POLE_DIRECTOR_ROLE, record.pole)] if record is not None else []
        posts += [(HOLD_ROLE, None)]
    people, uncovered = list[Recipient](), list[tuple[str, str | None]]()
    for role, scope in posts:
        now = get_holder_and_deputy(draft, role, scope)
        for person in (now.holder, now.deputy):
            if person is not None and (by := list_channels(draft, person, preferred_channels)):
                people.append(Recipient(role, scope, person, by))
        if order and not people:
            uncovered.append((role, scope))
    return people, uncovered


def find_end_recipients(
    draft: AlertsDecision, site: str, calls: Iterable[NotificationPlanned], *, danger: bool = True
) -> list[Recipient]:
    """Return the recipients of the end of an order: all called people, and those in charge now.

    The role of a called person may have changed since: without the end the order stands for them.
    Rule D102, orders for an area.
    """
    people, _uncovered = find_site_recipients(draft, site, danger=danger)
    called = {call.person: call for call in sorted(calls, key=rank_call)}
    first = {one.person for one in choose_recipients(people)}
    present = [one for one in people if one.person in first or one.person in called]
    preferred_channels = _URGENT if danger else _SILENT
    former = (
        Recipient(call.role, call.scope, person, list_channels(draft, person, preferred_channels))
        for person, call in called.items()
        if person not in {one.person for one in people}
    )
    return [*present, *(one for one in former if one.channels)]


def rank_call(call: NotificationPlanned) -> tuple[Instant, str]:
    """Return the sort key of calls in time."""
    return call.planned_at, call.notification


def get_suppression_reason(row: IncidentRow) -> SuppressionReason | None:
    """Return why nobody is called for an incident: planned works, or inhibition below N3.

    Rules D64 and D65.
    """
    return row.quiet if row.is_silenced else None


def record_withheld_notification(
    draft: AlertsDecision, incident: str, template: str, roles: tuple[str, ...] = ()
) -> None:
    """Record that a message was withheld. Rules D64 and D65."""
    quiet = draft.incident(incident).quiet
    if quiet is not None:
        draft.emit(
            PagingWithheld(
                incident=incident,
                quiet=quiet,
                by=list_suppressors(draft, incident),
                template=template,
                roles=roles,
            )
        )


def inform_people(
    draft: AlertsDecision,
    persons: tuple[str, ...],
    incident: str | None,
    template: str,
    values: dict[str, str | int | float | bool | None],
    *,
    despite_quiet_hours: bool = False,
    danger: bool = False,
) -> None:
    """Plan a message to people that needs no answer. Danger waits for no quiet hours."""
    for person in persons:
        by = list_channels(draft, person, (Channel.APP, Channel.SMS))
        if by:
            role = find_role_of(draft, person)
            draft.emit(
                NotificationPlanned(
                    notification=draft.derive("notification"),
                    incident=incident,
                    level=draft.level,
                    role=role,
                    person=person,
                    channels=by,
                    answer_expected=False,
                    danger=danger,
                    template=template,
                    values=build_message_values(draft, incident) | values,
                    planned_at=draft.clock,
                    quiet_until=None
                    if despite_quiet_hours or danger
                    else find_quiet_end(draft, person, role, draft.level, _get_limit(values)),
                )
            )


def inform_roles(
    draft: AlertsDecision,
    roles: tuple[str, ...],
    *,
    pole: str | None,
    site: str | None,
    incident: str | None,
    template: str,
    values: dict[str, str | int | float | bool | None],
) -> None:
    """Plan a message to each of these roles: alarms, overdue cards, proposals.

    Rules D44 and D50.
    """
    if (
        incident is not None
        and template in WITHHELD_TEMPLATES
        and get_suppression_reason(draft.incident(incident)) is not None
    ):
        record_withheld_notification(draft, incident, template, roles)
        return
    about = (
        incident
        if incident is not None or template not in CRISIS_TEMPLATES
        else _find_gravest_incident(draft)
    )
    values = build_message_values(draft, about) | values
    if about is not None and is_dangerous(draft.incident(about)):
        values["danger"] = True
    for role in roles:
        notified_people: set[str] = set()
        for scope in _list_scopes(draft, role, pole, site, incident):
            recipient = _find_role_recipient(draft, role, scope)
            if recipient is None:
                draft.emit(RoleUncovered(role=role, scope=scope or pole or site))
            elif recipient.person not in notified_people:
                notified_people.add(recipient.person)
                _inform_role(draft, recipient, incident, template, values)


def on_information_unreachable(draft: AlertsDecision, notification: str) -> None:
    """Inform the deputy of a role if no channel brought a message to its holder, or the reverse.

    A message about a closed incident goes no further. Rule D34, nobody on call.
    """
    call = find_failed_message(draft, notification)
    if call is None or call.template in SITE_WARNINGS:
        return
    incident = draft.resolve_incident(call.incident)
    if incident is not None and draft.incident(incident).state not in OPEN:
        return
    passed_over = (*(call.passed_over or ()), call.person)
    recipient = _find_role_recipient(draft, call.role, call.scope, passed_over)
    if recipient is None:
        draft.emit(RoleUncovered(role=call.role, scope=call.scope))
    elif not _has_message(draft, recipient.person, call):
        _inform_role(draft, recipient, incident, call.template, call.values, passed_over)


def _has_message(draft: AlertsDecision, person: str, message: NotificationPlanned) -> bool:
    """Return whether a person has the same message."""
    content = (person, message.template, message.values)
    others = draft.state.calls.values()
    return any((one.person, one.template, one.values) == content for one in others)


def find_failed_message(draft: AlertsDecision, notification: str) -> NotificationPlanned | None:
    """Return a message that goes to the next person if it fails, unless it has gone there."""
    call = draft.state.calls.get(notification)
    if call is None or call.passed_over is None:
        return None
    content = (call.template, call.values, (*call.passed_over, call.person))
    others = draft.state.calls.values()
    is_passed_on = any((one.template, one.values, one.passed_over) == content for one in others)
    return None if is_passed_on else call


def _find_role_recipient(
    draft: AlertsDecision, role: str, scope: str | None, passed_over: tuple[str, ...] = ()
) -> Recipient | None:
    """Return the holder of a role, or the deputy if no channel reaches the holder."""
    now = get_holder_and_deputy(draft, role, scope)
    for person in (now.holder, now.deputy):
        if person is None or person in passed_over:
            continue
        if by := list_channels(draft, person, _URGENT):
            return Recipient(role, scope, person, by)
    return None


def _inform_role(
    draft: AlertsDecision,
    recipient: Recipient,
    incident: str | None,
    template: str,
    values: Values,
    passed_over: tuple[str, ...] = (),
) -> None:
    role, scope, person, channels = recipient
    limit_at = None if template in _CLOCK_ALARMS else _get_limit(values)
    quiet_until, by = _apply_delay(draft, person, role, template, channels, limit_at)
    draft.emit(
        NotificationPlanned(
            notification=draft.derive("notification"),
            incident=incident,
            level=draft.level,
            role=role,
            scope=scope,
            person=person,
            channels=by,
            answer_expected=False,
            template=template,
            values=values,
            planned_at=draft.clock,
            quiet_until=quiet_until,
            passed_over=passed_over,
        )
    )


def is_dangerous(incident: IncidentRow) -> bool:
    """Return whether people may be in danger in an open incident now."""
    return incident.danger and incident.state in OPEN and incident.over_since is None


def _find_gravest_incident(draft: AlertsDecision) -> str | None:
    """Return the open incident behind the level of the territory.

    Plans of no single incident are proposed for it.
    """
    rows = draft.incidents(draft.open_incidents)
    gravest = max(
        rows, key=lambda row: (row.level, row.severity, -row.opened_at, row.id), default=None
    )
    return None if gravest is None else gravest.id


def _get_limit(values: Values) -> Instant | None:
    """Return the time until which a message asks for something."""
    limit_at = values.get("limit_at")
    return limit_at if isinstance(limit_at, int) else None


def _apply_delay(
    draft: AlertsDecision,
    person: str,
    role: str,
    template: str,
    by: tuple[Channel, ...],
    limit_at: Instant | None,
) -> tuple[Instant | None, tuple[Channel, ...]]:
    """Return until when a message is delayed, and its channels.

    Responders of the crisis, and people present in its cell, get alarms of clocks hourly, without
    voice. Rule D73, alarms.
    """
    crisis, attendance = find_escalation(draft, TERRITORY), draft.state.attendance.get(person)
    is_present = attendance is not None and attendance.mode in PRESENT_MODES
    silent = tuple(c for c in by if c is not Channel.VOICE)
    if (
        template in _CLOCK_ALARMS
        and silent
        and crisis is not None
        and crisis.level >= CRISIS
        and (is_present or person in crisis.acknowledged_by)
    ):
        return draft.clock - draft.clock % HOUR_MS + HOUR_MS, silent
    return find_quiet_end(draft, person, role, draft.level, limit_at), by


def _list_scopes(
    draft: AlertsDecision, role: str, pole: str | None, site: str | None, incident: str | None
) -> tuple[str | None, ...]:
    """Return the scopes where a role gets a message.

    They are the territory, or the pôle or site of the message, else every site or pôle that the
    incident concerns, without one any open incident. (None,) for a role that nobody holds there.
    """
    mine, sites = draft.state.rota.scopes(role), draft.territory.sites
    place = sites.get(site) if site else None
    one = next((s for s in (None, pole, site, place.pole if place else None) if s in mine), "")
    if one != "":
        return (one,)
    incidents = (incident,) if incident is not None else tuple(draft.open_incidents)
    near = find_concerned_scopes(draft, incidents)
    scopes = tuple(
        s for s in mine if s in near and (pole is None or s not in sites or sites[s].pole == pole)
    )
    return scopes or (None,)

"""Warn the person responsible for a site: of orders, danger, agents to stop, headcounts, silence.

A warning that no channel brings goes to the next person: the deputy, the director of the pôle, the
coordinator. The end of an order or of a stop reaches all of them. Rules D2, D18, D34, D37, D78 and
D79.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from schemas.calling import NotificationPlanned, RoleUncovered
from schemas.crisis.area_orders import AREA_ORDER
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.words import Channel, Level
from services.alerts.causes.site_status import LIFTED
from services.alerts.decision import AlertsDecision, Order, SiteDanger
from services.alerts.escalation.notifications import (
    FAST_CHANNELS,
    SITE_WARNINGS,
    Recipient,
    Values,
    choose_recipients,
    find_end_recipients,
    find_failed_message,
    find_site_recipients,
    get_suppression_reason,
    is_dangerous,
    rank_call,
)
from services.alerts.escalation.oncall import find_quiet_end, list_channels
from services.alerts.escalation.steps import build_message_values

ORDER: Final = "site_order"
DANGER: Final = "site_danger"
STOP: Final = "reassignment_stopped"
STOP_END: Final = "reassignment_resumed"
HEADCOUNT: Final = "headcount_manager"


class _Message(NamedTuple):
    """A message to people responsible for a site. A warning knows the people before them."""

    template: str
    incident: str | None
    level: Level
    values: Values
    danger: bool = False
    passed_over: tuple[str, ...] | None = None


def tell_managers(draft: AlertsDecision) -> None:
    """Notify managers of orders for their sites, of danger there, and of silence.

    Rules D2, D18 and D79.
    """
    for site, order in sorted(draft.orders.items()):
        _tell_order(draft, site, order)
    for site, danger in sorted(draft.site_dangers.items()):
        if site not in draft.orders:  # an order tells of it
            _tell_danger(draft, site, danger)
    for site, id in sorted(draft.unheard.items()):
        if (incident := _find_speaking_incident(draft, id)) is not None:
            people, _uncovered = find_site_recipients(draft, site, danger=False, order=False)
            level = draft.incident(incident).level
            _plan(draft, people[:1], _Message("verify_request", incident, level, {"site": site}))
    draft.orders.clear()
    draft.site_dangers.clear()
    draft.unheard.clear()


def _tell_order(draft: AlertsDecision, site: str, order: Order) -> None:
    """Tell of an order for a site, or of its end: to all warned people and one in charge now."""
    incident = _find_speaking_incident(draft, order.incident)
    if incident is None:
        return
    values: Values = {
        "site": site,
        "order": order.code,
        "ordered_at": order.at,
        "giver": order.source,
    }
    level = draft.incident(incident).level
    if order.ended_status is None:
        _warn_first(draft, site, _Message(ORDER, incident, level, values, danger=True))
        return
    calls = (
        call
        for call in _list_warnings(draft, site, ORDER, AREA_ORDER)
        if call.values.get("order") == order.ended_status and call.planned_at >= order.at
    )
    people = find_end_recipients(draft, site, calls, danger=False)
    values["ended"] = order.ended_status
    _plan(draft, people, _Message(ORDER, incident, level, values, passed_over=()))


def _tell_danger(draft: AlertsDecision, site: str, danger: SiteDanger) -> None:
    """Tell of a danger at a site from N2 on, and tell its end to the warned people.

    At N1 the escalation calls the manager.
    """
    incident = _find_speaking_incident(draft, danger.incident)
    level = Level.N0 if incident is None else draft.incident(incident).level
    if incident is None or (level < Level.N2 and not danger.is_over):
        return
    values: Values = {
        "site": site,
        "hazard": danger.type,
        "ordered_at": danger.at,
        "giver": danger.source,
    }
    if not danger.is_over:
        _warn_first(draft, site, _Message(DANGER, incident, level, values, danger=True))
        return
    warnings = _list_warnings(draft, site, DANGER)
    calls = [call for call in warnings if call.danger and call.planned_at >= danger.at]
    if calls:
        people = find_end_recipients(draft, site, calls, danger=False)
        values["ended"] = danger.type
        _plan(draft, people, _Message(DANGER, incident, level, values, passed_over=()))


def _find_speaking_incident(draft: AlertsDecision, id: str) -> str | None:
    """Return the incident that stands for this one; None while its messages are withheld."""
    incident = draft.resolve_incident(id)
    if incident is None or get_suppression_reason(draft.incident(incident)) is not None:
        return None
    return incident


def stop_agents(draft: AlertsDecision, site: str, incident: str | None, values: Values) -> None:
    """Warn the person responsible for a site of a danger where its agents go to.

    The message leaves in quiet hours, too. Rules D34, nobody on call, and D78.
    """
    _warn_first(draft, site, _Message(STOP, incident, draft.level, values, danger=True))


def resume_agents(draft: AlertsDecision, site: str, incident: str | None, values: Values) -> None:
    """Tell the end of a stop to all people warned of it, and to one in charge now. Rule D78."""
    about = [
        call
        for call in _list_warnings(draft, site, STOP, STOP_END)
        if call.values.get("barred") == values.get("barred")
    ]
    ended_at = max((call.planned_at for call in about if call.template == STOP_END), default=0)
    calls = [call for call in about if call.template == STOP and call.planned_at > ended_at]
    people = find_end_recipients(draft, site, calls, danger=True)
    if incident is not None and is_dangerous(draft.incident(incident)):
        values = values | {"danger": True}
    _plan(draft, people, _Message(STOP_END, incident, draft.level, values, passed_over=()))


def call_managers(
    draft: AlertsDecision, sites: Iterable[str], incident: str | None, values: Values
) -> None:
    """Call the person responsible for each site now, once for all sites of a person.

    Rules D34, nobody on call, and D37, headcounts.
    """
    chosen = [(site, _choose_first(draft, site)) for site in sites]
    message = _Message(HEADCOUNT, incident, draft.level, values, danger=True, passed_over=())
    _plan_by_person(draft, chosen, message)


def on_warning_unreachable(draft: AlertsDecision, notification: str) -> None:
    """Warn the next person responsible for each site if all channels of a warning failed.

    A warning that no longer holds goes no further. Rule D34, nobody on call.
    """
    call = find_failed_message(draft, notification)
    if call is None or call.template not in SITE_WARNINGS or not _is_standing(draft, call):
        return
    sites = str(call.values["site"]).split(",")
    for scope in sites if call.role == SITE_MANAGER_ROLE else [call.scope]:
        draft.emit(RoleUncovered(role=call.role, scope=scope))
    message = _Message(
        call.template,
        draft.resolve_incident(call.incident),
        call.level,
        call.values,
        danger=call.danger,
        passed_over=(*(call.passed_over or ()), call.person),
    )
    chosen = [(site, _find_next_recipients(draft, site, call)) for site in sites]
    _plan_by_person(draft, chosen, message)


def _is_standing(draft: AlertsDecision, call: NotificationPlanned) -> bool:
    """Return whether a warning still holds, or is an end that nobody else hears at the same time."""
    site, values = str(call.values["site"]), call.values
    row = draft.state.sites.get(site)
    if call.template == ORDER:
        order = None if row is None else row.order
        if values["order"] != (LIFTED if order is None else order):
            return False
    elif call.template == DANGER:
        is_over = row is None or values["hazard"] not in {cause.type for cause in row.causes}
        if is_over is call.danger:
            return False
    elif call.template in (STOP, STOP_END):
        about = (
            one
            for one in _list_warnings(draft, site, STOP, STOP_END)
            if one.values.get("barred") == values.get("barred")
        )
        if max(about, key=rank_call).template != call.template:
            return False
    return call.danger or not any(
        one.planned_at == call.planned_at and one.person != call.person
        for one in _list_warnings(draft, site, call.template)
    )


def _find_next_recipients(
    draft: AlertsDecision, site: str, call: NotificationPlanned
) -> list[Recipient]:
    """Return the people after an unreachable one, unless one with a fast channel was warned, too.

    Somebody called for a headcount of another site is not called again. Rules D34 and D37.
    """
    people, _uncovered = find_site_recipients(draft, site, danger=call.danger)
    after = next((n for n, one in enumerate(people, 1) if one.person == call.person), 0)
    others = [one for one in people[after:] if one.person not in (call.passed_over or ())]
    is_slow = FAST_CHANNELS.isdisjoint(call.channels)
    if is_slow and any(one.is_fast for one in others):
        return []
    people = choose_recipients(others)
    if call.template != HEADCOUNT:
        return people
    called_people = {
        one.person
        for one in draft.state.calls.values()
        if one.template == HEADCOUNT
        and (one.values.get("found"), one.incident) == (call.values.get("found"), call.incident)
    }
    return [one for one in people if one.person not in called_people]


def _list_warnings(
    draft: AlertsDecision, site: str, *templates: str
) -> Iterator[NotificationPlanned]:
    """List the warnings of the last days to people responsible for a site."""
    return (
        call
        for call in draft.state.calls.values()
        if call.template in templates and site in str(call.values["site"]).split(",")
    )


def _warn_first(draft: AlertsDecision, site: str, message: _Message) -> None:
    """Warn the first reachable people responsible for a site."""
    _plan(draft, _choose_first(draft, site), message._replace(passed_over=()))


def _choose_first(draft: AlertsDecision, site: str) -> list[Recipient]:
    """Return the first reachable people responsible for a site.

    Records the posts before them with nobody to reach.
    """
    people, uncovered = find_site_recipients(draft, site)
    for role, scope in uncovered:
        draft.emit(RoleUncovered(role=role, scope=scope))
    return choose_recipients(people)


def _plan_by_person(
    draft: AlertsDecision, chosen: Iterable[tuple[str, list[Recipient]]], message: _Message
) -> None:
    """Plan one message per person, about all sites that the person was chosen for."""
    recipients, sites = dict[str, Recipient](), defaultdict[str, list[str]](list)
    for site, people in chosen:
        for one in people:
            recipients.setdefault(one.person, one)
            sites[one.person].append(site)
    for person, recipient in recipients.items():
        values = message.values | {"site": ",".join(sites[person])}
        _plan(draft, [recipient], message._replace(values=values))


def _plan(draft: AlertsDecision, recipients: Iterable[Recipient], message: _Message) -> None:
    """Plan a message to people responsible for a site; nothing delays danger."""
    for role, scope, person, own_channels in recipients:
        by = own_channels
        if message.template == HEADCOUNT:
            by = list_channels(draft, person, (Channel.VOICE, Channel.SMS)) or by
        draft.emit(
            NotificationPlanned(
                notification=draft.derive("notification"),
                incident=message.incident,
                level=message.level,
                role=role,
                scope=scope,
                person=person,
                channels=by,
                answer_expected=False,
                danger=message.danger,
                template=message.template,
                values=message.values
                if message.passed_over
                else build_message_values(draft, message.incident) | message.values,
                planned_at=draft.clock,
                quiet_until=None
                if message.danger
                else find_quiet_end(draft, person, role, message.level),
                passed_over=message.passed_over,
            )
        )

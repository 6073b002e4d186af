"""Messages to the manager of a site: orders to leave or to shelter, and silent sites.

Rules D18, D70 and D79.
"""

from __future__ import annotations

from schemas.calling import NotificationPlanned
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.words import Channel
from services.alerts.causes.site_status import LIFTED
from services.alerts.decision import AlertsDecision
from services.alerts.escalation.notifications import get_suppression_reason
from services.alerts.escalation.oncall import find_quiet_end, get_holder_and_deputy, list_channels
from services.alerts.escalation.steps import build_message_values

Values = dict[str, str | int | float | bool | None]


def tell(draft: AlertsDecision) -> None:
    """Notify managers of orders for their sites and of sites that have sent nothing.

    Rules D18 and D79.
    """
    for site, order in sorted(draft.orders.items()):
        values: Values = {
            "site": site,
            "order": order.code,
            "ordered_at": order.at,
            "giver": order.source,
        }
        if order.ended is not None:
            values["ended"] = order.ended
        _tell(draft, site, order.incident, "site_order", values, danger=order.code != LIFTED)
    for site, incident in sorted(draft.unheard.items()):
        _tell(draft, site, incident, "verify_request", {"site": site})
    draft.orders.clear()
    draft.unheard.clear()


def _tell(
    draft: AlertsDecision,
    site: str,
    incident: str,
    template: str,
    values: Values,
    *,
    danger: bool = False,
) -> None:
    standing = draft.resolve_incident(incident)
    if standing is None or get_suppression_reason(draft.incident(standing)) is not None:
        return
    row, now = draft.incident(standing), get_holder_and_deputy(draft, SITE_MANAGER_ROLE, site)
    preferred_channels = (
        (Channel.APP, Channel.SMS, Channel.VOICE) if danger else (Channel.APP, Channel.SMS)
    )
    ways = (
        (person, list_channels(draft, person, preferred_channels))
        for person in (now.holder, now.deputy)
        if person is not None
    )
    person, by = next(((person, by) for person, by in ways if by), (None, ()))
    if person is None:
        return
    draft.emit(
        NotificationPlanned(
            notification=draft.derive("notification"),
            incident=standing,
            level=row.level,
            role=SITE_MANAGER_ROLE,
            scope=site,
            person=person,
            channels=by,
            answer_expected=False,
            danger=danger,
            template=template,
            values=build_message_values(draft, standing) | values,
            planned_at=draft.clock,
            quiet_until=None
            if danger
            else find_quiet_end(draft, person, SITE_MANAGER_ROLE, row.level),
        )
    )

"""Facts of a call on the page behind its link. Rule D70, message content.

They cover subject, place, time, request, answers, and ways to reach the cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from schemas.words import Answer
from services.console.directory.resources import PhoneLink
from services.console.directory.view import build_phone_link
from services.console.i18n import Translator
from services.console.resources import Notification
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.messages import MessageNames, load_phrases
from services.messages.names import find_territory_name
from services.messages.values import describe_incident, describe_place, describe_sites

MAX_COLLEAGUES: Final = 20


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """An acknowledgement by function: pages behind a link show no names."""

    role: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Facts of a call in words; unknown ones are empty."""

    what: str
    where: str
    scale: str
    since: str
    danger: bool
    asked: str
    until: datetime | None
    sites: str
    answered: tuple[CallAnswer, ...]
    phone: PhoneLink | None
    bridge: PhoneLink | None
    incident: str | None
    """Address of the incident; reading it needs a login."""
    colleagues: tuple[tuple[str, str], ...]
    """(token, function) of people with the same role, to be called instead."""


def collect_call_facts(
    notification: Notification,
    others: Sequence[Notification],
    message_names: MessageNames,
    names: TerritoryNames,
    _: Translator,
    at: datetime,
) -> CallFacts:
    """Collect the facts of a call; `others` are the calls of its escalation.

    A person who was called twice counts once, by the newest answer, and is not told of their own.
    """
    words = load_phrases(_.lang)
    here = replace(message_names, territory=find_territory_name(notification.realm))
    what = describe_incident(notification.values, words)
    place = describe_place(notification.values, here, words)
    began = notification.values.get("since")
    since = (
        words.time(began, times.to_ms(at), spoken=False)
        if isinstance(began, int) and not isinstance(began, bool)
        else ""
    )
    colleagues_answers = [
        one
        for one in others
        if one.answer is not None and one.person_token != notification.person_token
    ]
    newest_answers = {
        one.person_token: one
        for one in sorted(
            colleagues_answers, key=lambda one: (one.acknowledged_at or at, one.cycle or 0, one.id)
        )
    }
    acknowledgements = tuple(
        CallAnswer(w.name_role(one.role, one.scope, names, _), one.acknowledged_at)
        for one in newest_answers.values()
        if one.answer == Answer.ACK.value
    )
    return CallFacts(
        what=what,
        where=place.where if what else "",
        scale=place.scale if what else "",
        since=since,
        danger=notification.danger,
        asked=message_names.ask(notification.level, notification.role, _.lang) or "",
        until=notification.ack_by,
        sites=describe_sites(notification.values, message_names, words),
        answered=acknowledgements,
        phone=None
        if message_names.cell_phone is None
        else build_phone_link(message_names.cell_phone),
        bridge=build_phone_link(message_names.bridges[notification.level])
        if notification.level in message_names.bridges
        else None,
        incident=_build_incident_address(notification),
        colleagues=_list_colleagues(notification, names, _),
    )


def _list_colleagues(
    notification: Notification, names: TerritoryNames, _: Translator
) -> tuple[tuple[str, str], ...]:
    """List the people with the same role by function, this post's deputy first.

    Screens show no names. Rule D58.
    """
    same = [
        (scope != notification.scope, not deputy, person)
        for person, (role, scope, deputy) in names.holders.items()
        if role == notification.role and person != notification.person_token
    ]
    return tuple(
        (person, w.name_person(person, names, _))
        for _away, _first, person in sorted(same)[:MAX_COLLEAGUES]
    )


def _build_incident_address(notification: Notification) -> str | None:
    if notification.incident is None:
        return None
    return f"/incidents/{notification.incident}?{urlencode({'realm': notification.realm})}"

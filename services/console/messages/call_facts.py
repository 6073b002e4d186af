"""Facts of a call on the page behind its link. Rule D70, message content.

They cover subject, place, time, request, answers, and ways to reach the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from schemas.realms import is_live, parse_realm
from schemas.words import Answer
from services.console.i18n import Translator
from services.console.resources import Notification
from services.console.texts import Names
from services.console.texts import words as w
from services.console.web import times
from services.messages import Names as MessageNames
from services.messages import phrases
from services.messages.names import TERRITORY
from services.messages.values import place_of, site_names, what_of

MOST_COLLEAGUES: Final = 20


@dataclass(frozen=True, slots=True)
class Answered:
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
    answered: tuple[Answered, ...]
    phone: str | None
    phone_link: str | None
    bridge: str | None
    meeting_point: str | None
    incident: str | None
    """Address of the incident; reading it needs a login."""
    colleagues: tuple[tuple[str, str], ...]
    """(token, function) of people with the same role, to be called instead."""


def facts_of(
    told: Notification,
    others: Sequence[Notification],
    said: MessageNames,
    names: Names,
    _: Translator,
    at: datetime,
) -> CallFacts:
    """Collect the facts of a call; `others` are the calls of its escalation."""
    words = phrases(_.lang)
    here = replace(said, territory=TERRITORY.get(parse_realm(told.realm)[0], ""))
    what = what_of(told.values, words)
    place = place_of(told.values, here, words)
    began = told.values.get("since")
    since = (
        words.time(began, times.ms(at), spoken=False)
        if isinstance(began, int) and not isinstance(began, bool)
        else ""
    )
    taken = tuple(
        Answered(w.role_name(one.role, one.scope, names, _), one.acknowledged_at)
        for one in sorted(others, key=lambda one: (one.acknowledged_at or at, one.id))
        if one.answer == Answer.ACK.value and one.id != told.id
    )
    return CallFacts(
        what=what,
        where=place.where if what else "",
        scale=place.scale if what else "",
        since=since,
        danger=told.danger,
        asked=said.ask(told.level, told.role, _.lang) or "",
        until=told.ack_by,
        sites=site_names(told.values, said, words),
        answered=taken,
        phone=said.cell_phone,
        phone_link=None
        if said.cell_phone is None
        else f"tel:{''.join(c for c in said.cell_phone if c.isdigit() or c == '+')}",
        bridge=said.bridges.get(told.level),
        meeting_point=said.meeting_point,
        incident=_address(told),
        colleagues=_colleagues(told, names, _),
    )


def _colleagues(told: Notification, names: Names, _: Translator) -> tuple[tuple[str, str], ...]:
    """List the people with the same role by function, this post's deputy first.

    Screens show no names. Rule D58.
    """
    same = [
        (scope != told.scope, not deputy, person)
        for person, (role, scope, deputy) in names.holders.items()
        if role == told.role and person != told.person_token
    ]
    return tuple(
        (person, w.person_name(person, names, _))
        for _away, _first, person in sorted(same)[:MOST_COLLEAGUES]
    )


def _address(told: Notification) -> str | None:
    if told.incident is None:
        return None
    path = f"/incidents/{told.incident}"
    return path if is_live(told.realm) else f"{path}?{urlencode({'realm': told.realm})}"

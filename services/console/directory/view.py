"""Build the directory from the roles on call, the reference data and the numbers. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from schemas import reference as ref
from schemas.base import DAY_MS, Instant
from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel, Level
from services.console.directory.resources import (
    LevelBridge,
    MeetingPlace,
    Partner,
    PersonEntry,
    PersonPoint,
    PhoneLink,
    ReachingPoints,
    RoleHolders,
)
from services.console.i18n import Translator
from services.console.oncall.schedule import ScheduleView
from services.console.read_model.reference_index import IndexedReference
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.messages import MessageNames

STALE_AFTER_DAYS: Final = 90
"""Days after which the number of a partner has to be verified again."""
_PHONE_CHANNELS: Final = (Channel.VOICE, Channel.SMS)
_PERSONAL_CHANNELS: Final = (Channel.VOICE, Channel.SMS, Channel.EMAIL)
_DIALLED: Final = re.compile(r"\+?[\d .()-]{4,24}")


def build_phone_link(text: str) -> PhoneLink:
    """Return a number with its link; a code after the number stays out of the link."""
    number_match = _DIALLED.match(text.strip())
    digits = re.sub(r"[^\d+]", "", number_match[0]) if number_match else ""
    return PhoneLink(label=text, link=f"tel:{digits}" if len(digits) >= 3 else None)


def build_address_link(point: ContactPoint) -> PhoneLink:
    """Return the link that opens a number or a mail address."""
    if point.channel is Channel.EMAIL:
        return PhoneLink(label=point.address, link=f"mailto:{point.address}")
    return build_phone_link(point.address)


def build_reaching_points(names: MessageNames, meeting: MeetingPlace) -> ReachingPoints:
    """Return how to reach the cell, with the bridge of each level."""
    levels = [int(level) for level in Level if level]
    return ReachingPoints(
        phone=None if names.cell_phone is None else build_phone_link(names.cell_phone),
        meeting_point=meeting.name,
        passed_over=meeting.passed_over,
        bridges=[
            LevelBridge(
                level=level,
                bridge=build_phone_link(names.bridges[level]) if level in names.bridges else None,
            )
            for level in levels
        ],
    )


def list_role_holders(
    schedule: ScheduleView, at: Instant, role: str | None = None
) -> list[RoleHolders]:
    """List the roles of territory, pôles and sites with the people to call now."""
    rota = schedule.rota
    posts = [post for post in rota.posts if role in (None, post[0])]
    role_holders = []
    for role_id, scope in posts:
        now = rota.pair(role_id, scope, at)
        role_holders.append(
            RoleHolders(
                id=role_id if scope is None else f"{role_id}:{scope}",
                role=role_id,
                role_name=schedule.role_name(role_id),
                scope=scope,
                scope_name=schedule.scope_name(scope),
                holder=now.holder,
                deputy=now.deputy,
            )
        )
    return role_holders


def list_contacts(reference: IndexedReference) -> Sequence[ref.PartnerContact]:
    """Return the partners of the version in force."""
    return next((s.contacts for s in reference.sections if isinstance(s, ref.Contacts)), ())


def list_partners(
    reference: IndexedReference, numbers: Mapping[str, Contact], now: Instant, _: Translator
) -> list[Partner]:
    """List the partners with their numbers; `numbers` is keyed by contact id."""
    return [
        _build_partner(contact, numbers.get(contact.id), reference, now, _)
        for contact in list_contacts(reference)
    ]


def _build_partner(
    contact: ref.PartnerContact,
    directory_entry: Contact | None,
    reference: IndexedReference,
    now: Instant,
    _: Translator,
) -> Partner:
    points = directory_entry.points if directory_entry is not None else ()
    verified_at = max((p.verified_at for p in points if p.verified_at is not None), default=None)
    return Partner.from_row(
        contact,
        caller_name=w.name_role(contact.caller, None, reference.names, _),
        state=_judge_numbers(points, verified_at, now),
        phones=_list_unique(build_address_link(p) for p in points if p.channel in _PHONE_CHANNELS),
        emails=_list_unique(build_address_link(p) for p in points if p.channel is Channel.EMAIL),
        verified_on=_choose_day(contact.verified_on, verified_at),
    )


def _judge_numbers(
    points: Sequence[ContactPoint], verified_at: Instant | None, now: Instant
) -> str:
    if not points:
        return "to_complete"
    fresh = verified_at is not None and now - verified_at <= STALE_AFTER_DAYS * DAY_MS
    return "verified" if fresh else "to_verify"


def _choose_day(stated_on: date | None, verified_at: Instant | None) -> date | None:
    days = [stated_on] if stated_on is not None else []
    if verified_at is not None:
        days.append(to_datetime(verified_at).date())
    return max(days, default=None)


def _list_unique(links: Iterable[PhoneLink]) -> list[PhoneLink]:
    return list({link.label: link for link in links}.values())


def build_person(token: str, contact: Contact, roles: Sequence[str]) -> PersonEntry:
    """Return a person with the numbers and addresses that a colleague may use."""
    return PersonEntry(
        person=token,
        roles=list(roles),
        name=contact.name,
        points=[
            PersonPoint(
                channel=point.channel,
                address=build_address_link(point),
                verified_at=None if point.verified_at is None else to_datetime(point.verified_at),
            )
            for point in contact.points
            if point.channel in _PERSONAL_CHANNELS
        ],
    )

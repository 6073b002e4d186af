"""Let a person receive calls in this browser by web push: `/api/v1/me/push`.

The subscription of the browser is stored in the directory only.
"""

import asyncio
import secrets
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from schemas.oncall import NoteReachability
from schemas.people.directory import Contact, ContactPoint
from schemas.topics import select_urgent_topic
from schemas.words import Channel
from services.console.http.producer import CommandProducer
from services.runtime.http.problems import (
    MEDIA_TYPE,
    build_conflict,
    build_field_problem,
)
from services.runtime.http.web_push import PushSettings, Subscription, VapidKey
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.process.machine import now_ms
from services.runtime.secrets.vault import RealmDirectory, VaultDirectory

router = APIRouter(prefix="/api/v1/me/push", tags=["people"])
CalledPerson = Annotated[Principal, Depends(require_permission(Permission.INCIDENT_ACKNOWLEDGE))]
MAX_DEVICES: Final = 5
"""Browsers of one person; a further one replaces the oldest."""
SOURCE: Final = "/console/devices"
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "web push is not configured, or this account is nobody's",
        "content": {MEDIA_TYPE: {}},
    }
}
log = structlog.get_logger(__name__)
_change_lock = asyncio.Lock()
"""Serializes changes: a contact is read and written as a whole."""


class PushDevices(BaseModel):
    """The data that a page needs to subscribe, and the present subscriptions."""

    key: str | None = Field(
        description="`applicationServerKey`; null while web push is not configured "
        "(VIGIE_PUSH_CONTACT)"
    )
    person: str | None = Field(
        description="token of the person of this account; null = it receives no calls"
    )
    devices: int = Field(description="browsers of this person that receive calls")


class EndedSubscription(BaseModel):
    """The subscription that a browser gave up."""

    model_config = ConfigDict(extra="ignore")

    endpoint: str = Field(max_length=1_400)


@router.get("", summary="Show whether this browser receives my calls")
async def get_devices(request: Request, me: CalledPerson) -> PushDevices:
    return await _build_devices(request, me)


@router.post("", responses=_REFUSED, summary="Let this browser receive my calls; idempotent")
async def subscribe_browser(request: Request, me: CalledPerson, body: Subscription) -> PushDevices:
    settings: PushSettings = request.app.state.push
    person = _require_person(me, settings)
    if not settings.serves(body.endpoint):
        raise build_field_problem("endpoint", "unknown", *_UNKNOWN)
    people = _get_own_people(request, me)
    async with _change_lock:
        contact = await people.get(person) or Contact(person=person)
        if body.address not in contact.addresses(Channel.APP):
            point = ContactPoint(channel=Channel.APP, address=body.address, verified_at=now_ms())
            other_points = [
                p
                for p in contact.points
                if p.channel is not Channel.APP or _parse_endpoint(p) != body.endpoint
            ]
            older = [p for p in other_points if p.channel is Channel.APP][: MAX_DEVICES - 1]
            others = [p for p in other_points if p.channel is not Channel.APP]
            new_contact = contact.model_copy(update={"points": (point, *older, *others)[:20]})
            await _store_contact(request, me, new_contact)
            log.info("device.subscribed", person=person)
    return await _build_devices(request, me)


@router.post("/end", responses=_REFUSED, summary="Stop calls to this browser")
async def unsubscribe_browser(
    request: Request, me: CalledPerson, body: EndedSubscription
) -> PushDevices:
    settings: PushSettings = request.app.state.push
    person = _require_person(me, settings)
    people = _get_own_people(request, me)
    async with _change_lock:
        contact = await people.get(person)
        points = contact.points if contact is not None else ()
        remaining_points = tuple(
            p for p in points if p.channel is not Channel.APP or _parse_endpoint(p) != body.endpoint
        )
        if contact is not None and remaining_points != contact.points:
            new_contact = contact.model_copy(update={"points": remaining_points})
            await _store_contact(request, me, new_contact)
            log.info("device.ended", person=person)
    return await _build_devices(request, me)


def _require_person(me: Principal, settings: PushSettings) -> str:
    if not settings.push_contact:
        raise build_conflict(
            "Cette installation n’envoie pas encore d’appels aux appareils : demandez à l’administrateur de le régler.",
            "This installation sends no calls to devices yet: ask the administrator to set it up.",
        )
    if me.person is None:
        raise build_conflict(
            "Ce compte n’est rattaché à aucune personne à appeler : demandez à l’administrateur de l’y rattacher.",
            "This account has no person: it cannot receive calls.",
        )
    return me.person


def _parse_endpoint(point: ContactPoint) -> str | None:
    try:
        return Subscription.model_validate_json(point.address).endpoint
    except ValueError:
        return None


def _find_own_realm(request: Request, me: Principal) -> str:
    """Return the live realm where the account has its person. Rule D140."""
    directory: VaultDirectory = request.app.state.directory
    return me.own_territory(directory.home_realm)


def _get_own_people(request: Request, me: Principal) -> RealmDirectory:
    directory: VaultDirectory = request.app.state.directory
    return directory.of(_find_own_realm(request, me))


async def _store_contact(request: Request, me: Principal, contact: Contact) -> None:
    """Store the contact in the directory, then announce the channel to its live realm.

    The address itself is never announced. Raises BrokerAway: repeat.
    """
    realm = _find_own_realm(request, me)
    producer: CommandProducer = request.app.state.producer
    command = NoteReachability(author="system:directory", role="admin", people=(contact.reach(),))
    await _get_own_people(request, me).put(contact)
    await producer.send(
        select_urgent_topic("alerts", realm),
        realm,
        command,
        id=f"device-{secrets.token_hex(12)}",
        source=SOURCE,
    )


async def _build_devices(request: Request, me: Principal) -> PushDevices:
    settings: PushSettings = request.app.state.push
    key: VapidKey = request.app.state.vapid
    people = _get_own_people(request, me)
    contact = await people.get(me.person) if me.person is not None else None
    devices_count = len(contact.addresses(Channel.APP)) if contact is not None else 0
    return PushDevices(
        key=key.public if settings.push_contact else None, person=me.person, devices=devices_count
    )


_UNKNOWN: Final = (
    "ce service de messages n’est pas de ceux que cette installation connaît (VIGIE_PUSH_SERVICES)",
    "this push service is not one that this installation knows (VIGIE_PUSH_SERVICES)",
)

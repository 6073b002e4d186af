"""Let a person receive calls in this browser by web push: `/api/v1/me/push`.

The subscription of the browser is stored in the directory only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from schemas.directory import Contact, ContactPoint
from schemas.oncall import NoteReachability
from schemas.topics import urgent_lane
from schemas.words import Channel
from services.console.http.producer import CommandProducer
from services.runtime.http.problems import MEDIA_TYPE, ProblemError, both, fault
from services.runtime.http.web_push import PushSettings, Subscription, VapidKey
from services.runtime.identity.http_access import allowed
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import Directory

router = APIRouter(prefix="/api/v1/me/push", tags=["people"])
Called = Annotated[Principal, Depends(allowed(Permission.INCIDENT_ACKNOWLEDGE))]
MOST: Final = 5
"""Browsers of one person; a further one replaces the oldest."""
SOURCE: Final = "/console/devices"
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "web push is not configured, or this account is nobody's",
        "content": {MEDIA_TYPE: {}},
    }
}
log = structlog.get_logger(__name__)
_changing = asyncio.Lock()
"""Serializes changes: a contact is read and written as a whole."""


class Devices(BaseModel):
    """The data that a page needs to subscribe, and the present subscriptions."""

    key: str | None = Field(
        description="`applicationServerKey`; null while web push is not configured "
        "(VIGIE_PUSH_CONTACT)"
    )
    person: str | None = Field(
        description="token of the person of this account; null: nobody is called through it"
    )
    devices: int = Field(description="browsers of this person that receive calls")


class Ended(BaseModel):
    """The subscription that a browser gave up."""

    model_config = ConfigDict(extra="ignore")

    endpoint: str = Field(max_length=1_400)


@router.get("", summary="May this browser receive my calls?")
async def devices(request: Request, me: Called) -> Devices:
    return await _shown(request, me)


@router.post(
    "",
    responses=_REFUSED,
    summary="This browser receives my calls from now on; repeating it changes nothing",
)
async def subscribe(request: Request, me: Called, body: Subscription) -> Devices:
    settings: PushSettings = request.app.state.push
    person = _person(me, settings)
    if not settings.serves(body.endpoint):
        raise ProblemError("invalid", faults=(fault("endpoint", "unknown", *_UNKNOWN),))
    directory: Directory = request.app.state.directory
    async with _changing:
        contact = await directory.get(person) or Contact(person=person)
        if body.address not in contact.addresses(Channel.APP):
            point = ContactPoint(
                channel=Channel.APP, address=body.address, verified_at=time.time_ns() // 1_000_000
            )
            kept = [
                p
                for p in contact.points
                if p.channel is not Channel.APP or _endpoint(p) != body.endpoint
            ]
            older = [p for p in kept if p.channel is Channel.APP][: MOST - 1]
            others = [p for p in kept if p.channel is not Channel.APP]
            await _keep(
                request, contact.model_copy(update={"points": (point, *older, *others)[:20]})
            )
            log.info("device.subscribed", person=person)
    return await _shown(request, me)


@router.post("/end", responses=_REFUSED, summary="This browser receives nothing any more")
async def end(request: Request, me: Called, body: Ended) -> Devices:
    settings: PushSettings = request.app.state.push
    person = _person(me, settings)
    directory: Directory = request.app.state.directory
    async with _changing:
        contact = await directory.get(person)
        points = contact.points if contact is not None else ()
        left = tuple(
            p for p in points if p.channel is not Channel.APP or _endpoint(p) != body.endpoint
        )
        if contact is not None and left != contact.points:
            await _keep(request, contact.model_copy(update={"points": left}))
            log.info("device.ended", person=person)
    return await _shown(request, me)


def _person(me: Principal, settings: PushSettings) -> str:
    if not settings.push_contact:
        raise ProblemError(
            "conflict",
            what=both(
                "Pas configuré sur cette installation.", "Not configured on this installation."
            ),
        )
    if me.person is None:
        raise ProblemError(
            "conflict",
            what=both(
                "Ce compte n’est celui de personne qu’on appelle.",
                "Nobody is called through this account.",
            ),
        )
    return me.person


def _endpoint(point: ContactPoint) -> str | None:
    try:
        return Subscription.model_validate_json(point.address).endpoint
    except ValueError:
        return None


async def _keep(request: Request, contact: Contact) -> None:
    """Store the contact in the directory, then announce the channel to the live realm.

    The address itself is never announced. Raises ProblemError `broker_away`: repeat.
    """
    directory: Directory = request.app.state.directory
    producer: CommandProducer = request.app.state.producer
    told = NoteReachability(author="system:directory", role="admin", people=(contact.reach(),))
    try:
        await directory.put(contact)
        await producer.send(
            urgent_lane("alerts", request.app.state.live_realm),
            request.app.state.live_realm,
            told,
            id=f"device-{secrets.token_hex(12)}",
            source=SOURCE,
        )
    except BrokerAway as error:
        raise ProblemError("broker_away", retry_after_s=2) from error


async def _shown(request: Request, me: Principal) -> Devices:
    settings: PushSettings = request.app.state.push
    key: VapidKey = request.app.state.vapid
    directory: Directory = request.app.state.directory
    contact = await directory.get(me.person) if me.person is not None else None
    known = len(contact.addresses(Channel.APP)) if contact is not None else 0
    return Devices(
        key=key.public if settings.push_contact else None, person=me.person, devices=known
    )


_UNKNOWN: Final = (
    "ce service de messages n’est pas de ceux que cette installation connaît (VIGIE_PUSH_SERVICES)",
    "this push service is not one that this installation knows (VIGIE_PUSH_SERVICES)",
)

"""Resources of handovers. Rule D115."""

from __future__ import annotations

from pydantic import Field

from schemas.crisis.handovers import HandoverState
from services.console.communication.resources import Signed
from services.console.resource_base import Resource, Time


class HandoverSheet(Resource):
    """The frozen page of a handover."""

    sha256: str
    as_of: Time
    counts: dict[str, int]
    next_at: Time | None = Field(description="the next deadline on the page")


class Handover(Resource):
    """One handover of the crisis cell, and its signatures."""

    id: str
    realm: str
    number: int
    state: HandoverState
    objective: str | None = Field(
        description="null on the live stream; after an erasure, a notice of it"
    )
    recipients: list[str]
    recipient_names: list[str] = Field(description="in the reader's language")
    level: int
    page: HandoverSheet | None = Field(description="null until the outgoing person signs")
    drafted: Signed
    revised: Signed | None
    signed: Signed | None = Field(description="by the outgoing person")
    accepted: Signed | None = Field(description="by the incoming person")
    withdrawn: Signed | None
    reason: str | None = Field(description="why it was withdrawn")
    changed_at: Time
    version: int = Field(description="number of decisions; also the ETag")
    moves: list[str] = Field(description="what may follow: revised, signed, accepted, withdrawn")

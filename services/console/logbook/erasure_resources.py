"""Resources of erased texts and proposed erasures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.console.resource_base import Resource, Time


class Erasure(Resource):
    """A proposed or completed erasure; `id` is that of the report or logbook line."""

    id: str
    realm: str
    kind: str = Field(description="id of the report or line")
    state: Literal["proposed", "erased"]
    reason: str
    proposed_by: str = Field(description="token of the person")
    proposed_at: Time
    approved_by: str | None = Field(default=None, description="token of the second person")
    erased_at: Time | None = None

"""What a channel driver gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from schemas.delivery import NotificationRow
from services.delivery.messages import Text


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one address. The address never leaves the driver: not into errors, logs or ids."""

    realm: str
    row: NotificationRow
    attempt: str
    number: int
    possible_duplicate: bool
    address: str
    text: Text


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one provider call. `error`: a code, never the provider's sentence (it may quote the address)."""

    outcome: Literal["accepted", "failed", "ambiguous"]
    provider_id: str | None = None
    error: str | None = None
    retry: bool = False
    """Failed for a passing reason."""


class Driver(Protocol):
    """One provider. Stateless between calls, so that a kill loses nothing."""

    async def call(self, outgoing: Outgoing, timeout_s: float) -> Result:
        """Calls the provider once, within `timeout_s`. Never retries, never raises: a doubt is `ambiguous`.

        `failed` is said only when the message was surely not taken.
        """
        ...

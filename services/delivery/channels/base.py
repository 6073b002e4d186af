"""What a channel driver gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from schemas.delivery import NotificationRow
from schemas.words import Channel
from services.messages import Text


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
    returns_url: str
    """Where a gateway posts receipts and keys of this attempt; the address is its own proof."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one provider call. `error`: a code, never the provider's sentence (it may quote the address)."""

    outcome: Literal["accepted", "failed", "ambiguous"]
    provider_id: str | None = None
    error: str | None = None
    retry: bool = False
    """Failed for a passing reason."""
    retry_after_s: int | None = None
    """The provider asks not to be called again before (≥ 0)."""
    parts: int = 1
    """How many messages the provider counts, ≥ 1: a long SMS is several."""
    receipts: bool = True
    """False: this provider will never say whether the message arrived. Nobody waits for a receipt then."""


class Driver(Protocol):
    """One provider. Stateless between calls, so that a kill loses nothing."""

    async def call(self, outgoing: Outgoing, timeout_s: float) -> Result:
        """Calls the provider once, within `timeout_s`. Never retries, never raises: a doubt is `ambiguous`.

        `failed` is said only when the message was surely not taken.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A driver whose provider can be tried without telling anybody."""

    async def probe(self, timeout_s: float) -> str | None:
        """None when the provider answered, else the code of why not. Nothing is sent to a person. Never raises."""
        ...


class Inbox(Protocol):
    """Where drivers with a line back hand in what arrives on it. Both return after Kafka has it."""

    async def receipt(
        self,
        channel: Channel,
        provider_id: str,
        state: Literal["received", "failed"],
        error: str | None,
    ) -> bool:
        """False: no attempt is known under this id yet, the provider must say it again. Raises BrokerAway."""
        ...

    def awaited(self, channel: Channel) -> frozenset[str]:
        """Return the provider's ids of messages that it accepted and for which a receipt is waited for."""
        ...

    async def reply(
        self, channel: Channel, address: str, words: str, *, name: str | None = None
    ) -> bool:
        """False as above: what was asked is not known yet. What nobody asked for is taken and counted. Raises BrokerAway.

        `name`: of this message at the provider; told again it is the same answer.
        """
        ...

    async def gone(self, channel: Channel, outgoing: Outgoing) -> None:
        """The provider says that this address is nobody's any more: it leaves the directory, and the ladders hear of it. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """A defect of a channel's settings. `error` False: it works, but not as one might think."""

    variable: str
    what: str
    error: bool = True

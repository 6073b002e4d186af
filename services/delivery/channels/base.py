"""Inputs and results of channel drivers, the validity of messages, and ids of receipts.

Providers drop messages that are too old, so that no phone rings for yesterday.

An SMSC may write the id of a message as a hexadecimal number when it takes a message and as a decimal one in the
receipt, or the other way round, padded with zeros or in other case (Kannel's `msg-id-type`). Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, Protocol, runtime_checkable

from pydantic import SecretStr

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.delivery import NotificationRow
from schemas.words import Channel
from services.messages import MessageText
from services.runtime.process.settings import Settings

_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{1,64}")
AS_WRITTEN: Final = 0
"""Index into the result of `list_readings`."""


def compute_validity_min(row: NotificationRow) -> int:
    """Return the minutes of validity from the plan.

    A call is valid until an hour after its time to answer, information for a day.
    """
    until = row.ack_by + HOUR_MS if row.ack_by is not None else row.planned_at + 24 * HOUR_MS
    return max(5, (until - row.planned_at) // MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one address.

    The address never leaves the driver: not into errors, logs or ids.
    """

    realm: str
    row: NotificationRow
    attempt: str
    number: int
    possible_duplicate: bool
    address: str
    text: MessageText
    returns_url: str
    """Address to which a gateway posts receipts and keys of this attempt; it is its own proof."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of one provider call.

    `error` is a code, never the provider's text, which may quote the address.
    """

    outcome: Literal["accepted", "failed", "ambiguous"]
    provider_id: str | None = None
    error: str | None = None
    retry: bool = False
    """Failed for a passing reason."""
    retry_after_s: int | None = None
    """Seconds (≥ 0) for which the provider asks not to be called again."""
    parts: int = 1
    """Number of messages that the provider counts, ≥ 1: a long SMS is several."""
    receipts: bool = True
    """False: this provider sends no receipt, so none is awaited."""


class Driver(Protocol):
    """One provider. Stateless between calls, so that a kill loses nothing."""

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Call the provider once, within `timeout_s`; never retry, never raise.

        A doubt is `ambiguous`; `failed` means that the message was certainly not taken.
        """
        ...


@runtime_checkable
class ProbingDriver(Protocol):
    """Driver with a provider that can be tested without sending anything to a person."""

    async def probe(self, timeout_s: float) -> str | None:
        """Probe the provider: return None if it answers, else an error code.

        It sends nothing to a person and never raises.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChannelDrivers:
    """Open drivers by channel."""

    national: Mapping[Channel, Driver]
    realms: Mapping[str, Mapping[Channel, Driver]] = field(default_factory=dict)
    """Realm with settings of its own → all its drivers, national ones included."""

    def of(self, realm: str) -> Mapping[Channel, Driver]:
        """Return the drivers of a live realm. Rule D140."""
        return self.realms.get(realm, self.national)


@dataclass(frozen=True, slots=True)
class TextPart:
    """Part of a long text, not decoded yet: a character may span two parts."""

    reference: str
    """Reference that the parts of one text of a number share. Numbers use it again later."""
    number: int
    total: int
    octets: bytes
    data_coding: int


class Inbox(Protocol):
    """Target for messages that providers send back; its methods return after Kafka has them."""

    async def receipt(
        self,
        channel: Channel,
        provider_id: str,
        state: Literal["received", "failed"],
        error: str | None,
    ) -> bool:
        """Receive a receipt; False if its attempt is unknown yet and the provider must repeat it.

        Raise BrokerAway.
        """
        ...

    def list_awaited_ids(self, channel: Channel) -> frozenset[str]:
        """Return the provider's ids of accepted messages that wait for a receipt."""
        ...

    async def accept_text(
        self, channel: Channel, address: str, words: str, *, name: str | None = None
    ) -> bool:
        """Receive a text of a person; False if it cannot be matched with a call yet.

        It answers a call, or the front reads it as a report. `name` is the message's id at the
        provider: a repeat has no effect. Raise BrokerAway.
        """
        ...

    async def accept_part(self, channel: Channel, address: str, part: TextPart) -> bool:
        """Receive a part of a long text; False as for `accept_text`. Raise BrokerAway.

        The front joins the parts. A repeated part has no effect.
        """
        ...

    async def remove_address(self, channel: Channel, outgoing: Outgoing) -> None:
        """Remove an address that ended from the directory and the escalations; never raise."""
        ...


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """Defect of a channel's settings. `error` False: it works, but perhaps not as expected."""

    variable: str
    what: str
    error: bool = True


@dataclass(frozen=True)
class ChannelType:
    """The registration of a channel: `CHANNEL` of its folder."""

    channel: Channel
    settings: type[Settings]
    """Class with the settings of the channel; those of delivery extend it."""
    provider: str
    """Setting that names the provider; the channel is configured if it has a value."""
    open: Callable[[Any, Inbox], AbstractAsyncContextManager[Driver]]
    """Creates the driver for correct settings, to be entered."""
    lint: Callable[[Any], Iterable[SettingsFault]]
    """Reports errors and surprises in the settings."""

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of the channel's own settings."""
        return frozenset(self.settings.model_fields.keys() - Settings.model_fields.keys())

    def is_configured(self, settings: Settings) -> bool:
        """Check whether the settings name a provider, even a faulty one."""
        value = getattr(settings, self.provider)
        return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def build_reference_key(channel: Channel, provider_id: str) -> str:
    """Return `<channel>:<provider id>`, equal for all spellings of a number of that base."""
    number = _HEXADECIMAL.fullmatch(provider_id) is not None
    return f"{channel.value}:{provider_id.lower().lstrip('0') or '0' if number else provider_id}"


def list_readings(provider_id: str) -> tuple[str, str, str]:
    """Return the possible ids of a receipt's message: as written, in hexadecimal, in decimal.

    The second applies if the id is decimal, the third if it is hexadecimal; otherwise each is the
    id itself.
    """
    if _HEXADECIMAL.fullmatch(provider_id) is None:
        return provider_id, provider_id, provider_id
    as_decimal = f"{int(provider_id):x}" if provider_id.isdecimal() else provider_id
    return provider_id, as_decimal, str(int(provider_id, 16))

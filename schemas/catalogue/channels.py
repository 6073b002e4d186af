"""Channels to reach people: one row per channel; every other table is derived from it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from schemas.catalogue.event_types import Text


class Channel(StrEnum):
    """Channel to reach a person.

    French names in `escalade.yaml`: app, sms, voix, mail, messagerie.
    """

    APP = "app"
    SMS = "sms"
    VOICE = "voice"
    EMAIL = "email"
    WEBHOOK = "webhook"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """Everything that the system knows of a channel, without its driver."""

    channel: Channel
    label: Text
    """Name on screens."""
    territory_name: str | None
    """Name in the files of a territory; None if a territory cannot choose it."""
    paper_name: str | None = None
    """Name on printed sheets, if it is not the one on screens."""
    address: Literal["telephone", "mail", "url"] | None = None
    """Form of its addresses, checked when a directory is imported; None: its own."""


_ROWS: Final = (
    ChannelRow(Channel.APP, Text("appli", "app"), "app", paper_name="application"),
    ChannelRow(Channel.SMS, Text("SMS", "SMS"), "sms", address="telephone"),
    ChannelRow(Channel.VOICE, Text("voix", "voice"), "voix", address="telephone"),
    ChannelRow(Channel.EMAIL, Text("courriel", "e-mail"), "mail", address="mail"),
    ChannelRow(Channel.WEBHOOK, Text("webhook", "webhook"), None, address="url"),
    ChannelRow(Channel.CHAT, Text("messagerie", "chat"), "messagerie"),
)
CHANNELS: Final = {row.channel: row for row in _ROWS}
"""Channel → its row."""

"""Channels to people in live realms: one folder each, with settings, their linter and a driver.

The settings decide which channels exist. Their limits, doubt and receipts are in
`services.delivery.notifications.channel_policies`.
"""

from services.delivery.channels.base import (
    CallResult,
    ChannelDrivers,
    Driver,
    Inbox,
    Outgoing,
    ProbingDriver,
    SettingsFault,
)

__all__ = [
    "CallResult",
    "ChannelDrivers",
    "Driver",
    "Inbox",
    "Outgoing",
    "ProbingDriver",
    "SettingsFault",
]

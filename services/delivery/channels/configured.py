"""Create the drivers of the configured channels, and report faults of their settings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

import structlog

from schemas.words import Channel
from services.delivery import channels
from services.delivery.channels.base import ChannelType, Driver, Inbox, SettingsFault
from services.delivery.settings import DeliverySettings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_drivers(
    settings: DeliverySettings, inbox: Inbox
) -> AsyncIterator[Mapping[Channel, Driver]]:
    """Yield the drivers by channel, open while the context lasts.

    Attempts on a channel without a driver fail as `channel_not_configured`. A channel with faulty
    settings gets no driver either, so that the others continue.
    """
    wrong = set()
    for channel, fault in find_faults(settings):
        (log.error if fault.error else log.warning)(
            "channel.settings", channel=channel.value, variable=fault.variable, what=fault.what
        )
        if fault.error:
            wrong.add(channel)
    async with AsyncExitStack() as stack:
        yield {
            found.channel: await stack.enter_async_context(found.open(settings, inbox))
            for found in load_channel_types()
            if found.is_configured(settings) and found.channel not in wrong
        }


def list_configured_channels(settings: DeliverySettings) -> tuple[Channel, ...]:
    """Return the channels in the settings, even with faults."""
    return tuple(t.channel for t in load_channel_types() if t.is_configured(settings))


def find_faults(settings: DeliverySettings) -> Iterator[tuple[Channel, SettingsFault]]:
    """Report errors and surprises in the settings of all channels."""
    for found in load_channel_types():
        yield from ((found.channel, fault) for fault in found.lint(settings))


@cache
def load_channel_types() -> tuple[ChannelType, ...]:
    """Load `CHANNEL` of each folder beside this module. Raises TypeError for a folder without."""
    found = []
    for folder in pkgutil.iter_modules(channels.__path__, f"{channels.__name__}."):
        if not folder.ispkg:
            continue
        channel = getattr(importlib.import_module(folder.name), "CHANNEL", None)
        if not isinstance(channel, ChannelType):
            raise TypeError(f"{folder.name} has no CHANNEL of type ChannelType")
        found.append(channel)
    return tuple(found)

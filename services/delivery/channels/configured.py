"""Create the drivers of the configured channels, and report faults of their settings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, Self

import structlog

from schemas.words import Channel
from services.delivery import channels
from services.delivery.channels.base import (
    ChannelDrivers,
    ChannelType,
    Driver,
    Inbox,
    SettingsFault,
)
from services.delivery.channels.realm_settings import RealmChannel, RealmFile, read_realm_files
from services.delivery.settings import DeliverySettings

log = structlog.get_logger(__name__)

NATIONAL: Final = ""
"""Stands for the settings of the environment, which hold in every realm without its own."""


@dataclass(frozen=True)
class ProviderPlan:
    """Providers of all realms, read once at the start."""

    settings: DeliverySettings
    files: tuple[RealmFile, ...]

    @classmethod
    def read(cls, settings: DeliverySettings) -> Self:
        """Read the files of the realms beside the national settings; never raise."""
        return cls(settings, tuple(read_realm_files(settings, load_channel_types())))

    @cached_property
    def own(self) -> Mapping[tuple[str, Channel], RealmChannel]:
        """(Realm, channel) → usable settings of a realm. A faulty one stays national."""
        return {
            (file.realm, channel.type.channel): channel
            for file in self.files
            for channel in file.channels
            if not channel.is_faulty
        }

    def log_faults(self) -> None:
        """Log the faults of all settings."""
        national = ((NATIONAL, channel, fault) for channel, fault in find_faults(self.settings))
        for realm, channel, fault in (*national, *self.realm_faults()):
            (log.error if fault.error else log.warning)(
                "channel.settings",
                realm=realm or None,
                channel=channel.value if channel is not None else None,
                variable=fault.variable,
                what=fault.what,
            )

    def realm_faults(self) -> Iterator[tuple[str, Channel | None, SettingsFault]]:
        """Report faults in the files: realm, channel (None: the file itself), fault."""
        for file in self.files:
            yield from ((file.realm, None, fault) for fault in file.faults)
            for channel in file.channels:
                yield from ((file.realm, channel.type.channel, f) for f in channel.faults)


@asynccontextmanager
async def open_drivers(
    plan: ProviderPlan, inbox: Callable[[str], Inbox]
) -> AsyncIterator[ChannelDrivers]:
    """Yield the drivers, open while the context lasts; `inbox` makes that of a realm.

    Attempts on a channel without a driver fail as `channel_not_configured`. A channel with faulty
    settings gets no driver either, so that the others continue.
    """
    plan.log_faults()
    wrong = {channel for channel, fault in find_faults(plan.settings) if fault.error}
    async with AsyncExitStack() as stack:
        national = {
            channel_type.channel: await stack.enter_async_context(
                channel_type.open(plan.settings, inbox(NATIONAL))
            )
            for channel_type in load_channel_types()
            if channel_type.is_configured(plan.settings) and channel_type.channel not in wrong
        }
        realms: dict[str, dict[Channel, Driver]] = {}
        for (realm, channel), own in plan.own.items():
            drivers = realms.setdefault(realm, dict(national))
            drivers.pop(channel, None)
            if own.settings is not None and own.type.is_configured(own.settings):
                drivers[channel] = await stack.enter_async_context(
                    own.type.open(own.settings, inbox(realm))
                )
        yield ChannelDrivers(national, realms)


def list_configured_channels(settings: DeliverySettings) -> tuple[Channel, ...]:
    """Return the channels in the settings, even with faults."""
    return tuple(t.channel for t in load_channel_types() if t.is_configured(settings))


def find_faults(settings: DeliverySettings) -> Iterator[tuple[Channel, SettingsFault]]:
    """Report errors and surprises in the national settings of all channels."""
    for channel_type in load_channel_types():
        yield from ((channel_type.channel, fault) for fault in channel_type.lint(settings))


@cache
def load_channel_types() -> tuple[ChannelType, ...]:
    """Load `CHANNEL` of each folder beside this module. Raises TypeError for a folder without."""
    channel_types = []
    for folder in pkgutil.iter_modules(channels.__path__, f"{channels.__name__}."):
        if not folder.ispkg:
            continue
        channel = getattr(importlib.import_module(folder.name), "CHANNEL", None)
        if not isinstance(channel, ChannelType):
            raise TypeError(f"{folder.name} has no CHANNEL of type ChannelType")
        channel_types.append(channel)
    return tuple(channel_types)

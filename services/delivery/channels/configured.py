"""Create the drivers of the configured channels, and report faults of their settings.

Rule D140, live realms are tenants: `VIGIE_REALM_CHANNELS` names a folder with one file per live realm, `93.env`. A line is
`NAME=value` with a channel's setting; there are no quotes and no substitution, as in an
environment file of Docker.

Each channel is read on its own. A file that names the provider of a channel inherits no other
setting of it, so a token never goes to another provider. Without the provider, the national
settings hold, except those in the file. A faulty channel keeps its national provider: people are
called through the wrong gateway rather than not at all.
"""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from stat import S_IROTH
from typing import Final, Self

import structlog
from pydantic import ValidationError

from schemas.topics import RealmNameInvalid, is_live, parse_realm
from schemas.words import Channel
from services.delivery import channels
from services.delivery.channels.base import (
    ChannelDrivers,
    ChannelType,
    Driver,
    Inbox,
    SettingsFault,
)
from services.delivery.settings import DeliverySettings
from services.runtime.process import metrics

PREFIX: Final = "VIGIE_"
FOLDER_VARIABLE: Final = "VIGIE_REALM_CHANNELS"
_LINE: Final = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
log = structlog.get_logger(__name__)
_SHARED_MODULES: Final = frozenset({"base", "configured", "posting"})
"""Modules of the folder that are no channel."""
NATIONAL: Final = ""
"""Stands for the settings of the environment, which hold in every realm without its own."""


@dataclass(frozen=True, slots=True)
class RealmChannel:
    """A channel that a realm sets itself."""

    realm: str
    type: ChannelType
    settings: DeliverySettings | None
    """Settings of delivery in this realm; without a value if they cannot be read."""
    faults: tuple[SettingsFault, ...]

    @property
    def is_faulty(self) -> bool:
        """True if the channel cannot be used with these settings."""
        return self.settings is None or any(fault.error for fault in self.faults)


@dataclass(frozen=True, slots=True)
class RealmFile:
    """The file of one realm."""

    realm: str
    channels: tuple[RealmChannel, ...] = ()
    faults: tuple[SettingsFault, ...] = ()
    """Faults of the file that concern no channel."""


def read_realm_files(
    national: DeliverySettings, types: Iterable[ChannelType]
) -> Iterator[RealmFile]:
    """Read the files of all realms, in order of their names; never raise.

    A fault of the folder itself is that of a file without a realm.
    """
    if national.realm_channels is None:
        return
    try:
        paths = sorted(path for path in national.realm_channels.iterdir() if path.suffix == ".env")
    except OSError as error:
        yield RealmFile("", faults=(SettingsFault(FOLDER_VARIABLE, _describe(error)),))
        return
    for path in paths:
        yield _read_file(path, national, tuple(types))


def _read_file(path: Path, national: DeliverySettings, types: tuple[ChannelType, ...]) -> RealmFile:
    realm = path.stem
    try:
        parse_realm(realm)
        if not is_live(realm):
            raise RealmNameInvalid(f"not a live realm: {realm!r}")
        text = path.read_text(encoding="utf-8")
        is_public = bool(path.stat().st_mode & S_IROTH)
    except (OSError, UnicodeDecodeError, RealmNameInvalid) as error:
        return RealmFile(realm, faults=(SettingsFault(path.name, _describe(error)),))
    faults = []
    if is_public:
        faults.append(
            SettingsFault(path.name, "chaque utilisateur de la machine peut le lire", error=False)
        )
    values, wrong = _parse(path.name, text, frozenset().union(*(t.fields for t in types)))
    channels = []
    for type in types:
        own = {name: value for name, value in values.items() if name in type.fields}
        if own:
            channels.append(_read_channel(realm, type, own, national))
    return RealmFile(realm, tuple(channels), (*faults, *wrong))


def _parse(
    file: str, text: str, fields: frozenset[str]
) -> tuple[dict[str, str], list[SettingsFault]]:
    """Return the values by field, and the faults. They never quote a line: it may be a secret."""
    values, faults = dict[str, str](), []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _LINE.fullmatch(line.strip())
        if entry is None:
            faults.append(
                SettingsFault(file, f"la ligne {number} n’est pas de la forme NOM=valeur")
            )
            continue
        name, value = entry["name"].removeprefix(PREFIX).lower(), entry["value"].strip()
        if not entry["name"].startswith(PREFIX) or name not in fields:
            faults.append(
                SettingsFault(
                    file, f"ligne {number} : {entry['name']} n’est pas un réglage d’un canal"
                )
            )
        elif name in values:
            faults.append(SettingsFault(file, f"ligne {number} : {entry['name']} figure deux fois"))
        elif value[:1] in ("'", '"') and value[:1] == value[-1:]:
            faults.append(
                SettingsFault(file, f"ligne {number} : écrivez {entry['name']} sans guillemets")
            )
        else:
            values[name] = value
    return values, faults


def _read_channel(
    realm: str, type: ChannelType, own: Mapping[str, str], national: DeliverySettings
) -> RealmChannel:
    merged_settings = {name: getattr(national, name) for name in DeliverySettings.model_fields}
    if type.provider in own:
        for name in type.fields:
            merged_settings[name] = DeliverySettings.model_fields[name].get_default(
                call_default_factory=True
            )
    try:
        settings = DeliverySettings.model_validate({**merged_settings, **own})
    except ValidationError as error:
        faults = tuple(
            SettingsFault(
                PREFIX + ".".join(map(str, one["loc"])).upper(),
                one["msg"].removeprefix("Value error, "),
            )
            for one in error.errors(include_input=False)
        )
        return RealmChannel(realm, type, None, faults)
    return RealmChannel(realm, type, settings, tuple(type.lint(settings)))


def _describe(error: Exception) -> str:
    """Return the reason without the content of the file."""
    if isinstance(error, OSError):
        return f"illisible : {error.strerror}"
    return "n’est pas en UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


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


def publish_channels(settings: DeliverySettings) -> None:
    """Show the channels of this process in its metrics, for `vigie doctor` and for alerts."""
    configured = list_configured_channels(settings)
    for channel in (t.channel for t in load_channel_types()):
        metrics.set_gauge(
            "vigie_channel_configured", int(channel in configured), channel=channel.value
        )


def find_faults(settings: DeliverySettings) -> Iterator[tuple[Channel, SettingsFault]]:
    """Report errors and surprises in the national settings of all channels."""
    for channel_type in load_channel_types():
        yield from ((channel_type.channel, fault) for fault in channel_type.lint(settings))


@cache
def load_channel_types() -> tuple[ChannelType, ...]:
    """Load `CHANNEL` of each module or folder beside this one. Raises TypeError if one has none."""
    channel_types = []
    for module in pkgutil.iter_modules(channels.__path__):
        if module.name in _SHARED_MODULES:
            continue
        name = f"{channels.__name__}.{module.name}"
        channel = getattr(importlib.import_module(name), "CHANNEL", None)
        if not isinstance(channel, ChannelType):
            raise TypeError(f"{name} has no CHANNEL of type ChannelType")
        channel_types.append(channel)
    return tuple(channel_types)

"""Read the files with the providers of single realms. Rule D140, live realms are tenants.

`VIGIE_REALM_CHANNELS` names a folder with one file per live realm, `93.env`. A line is
`NAME=value` with a channel's setting; there are no quotes and no substitution, as in an
environment file of Docker.

Each channel is read on its own. A file that names the provider of a channel inherits no other
setting of it, so a token never goes to another provider. Without the provider, the national
settings hold, except those in the file. A faulty channel keeps its national provider: people are
called through the wrong gateway rather than not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_IROTH
from typing import Final

from pydantic import ValidationError

from schemas.topics import RealmNameInvalid, is_live, parse_realm
from services.delivery.channels.base import ChannelType, SettingsFault
from services.delivery.settings import DeliverySettings

PREFIX: Final = "VIGIE_"
FOLDER_VARIABLE: Final = "VIGIE_REALM_CHANNELS"
_LINE: Final = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


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
            SettingsFault(path.name, "every user of the machine can read it", error=False)
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
            faults.append(SettingsFault(file, f"line {number} is not NAME=value"))
            continue
        name, value = entry["name"].removeprefix(PREFIX).lower(), entry["value"].strip()
        if not entry["name"].startswith(PREFIX) or name not in fields:
            faults.append(
                SettingsFault(file, f"line {number}: {entry['name']} is no setting of a channel")
            )
        elif name in values:
            faults.append(SettingsFault(file, f"line {number}: {entry['name']} stands twice"))
        elif value[:1] in ("'", '"') and value[:1] == value[-1:]:
            faults.append(
                SettingsFault(file, f"line {number}: write {entry['name']} without quotes")
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
        return f"cannot be read: {error.strerror}"
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)

"""Share the official feeds that are on, with their keys, between the machines of a cluster.

Each machine reads all of them and keeps what each said, so that the end of an alert is reported,
too, when the machine that reported its beginning is lost. The reports of one edition have the same
key everywhere and count once.
"""

from pathlib import Path
from typing import Final

from services.appliance.cluster.registry import FeedSwitch
from services.runtime.process.settings import DataDir
from services.runtime.secrets.keyring import write_private
from services.watch.connector import list_connectors
from services.watch.store import FeedStore

_KEY_FILES: Final = (".key", ".source")
"""Ends of the names of a feed's files: the key of its publisher, and that of its source."""


def read_switches(data: DataDir) -> dict[str, FeedSwitch]:
    """Return the feeds that were switched here, by name. Raises OSError."""
    store, switches = FeedStore(data.feeds), dict[str, FeedSwitch]()
    try:
        for name in sorted(connector.spec.name for connector in list_connectors()):
            row = store.get(name)
            if row.enabled_at is not None:
                keys = _read_keys(data.secrets / "feeds", name)
                switches[name] = FeedSwitch(name, row.enabled, row.enabled_at, keys)
    finally:
        store.close()
    return switches


def _read_keys(folder: Path, name: str) -> dict[str, str]:
    files = [folder / f"{name}{end}" for end in _KEY_FILES]
    return {file.name: file.read_text(encoding="utf-8") for file in files if file.exists()}


def apply_switch(data: DataDir, switch: FeedSwitch) -> None:
    """Switch a feed here as it was switched elsewhere. Raises OSError.

    The watch may only read once its keys are there.
    """
    folder = data.secrets / "feeds"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for end in _KEY_FILES:
        text = switch.keys.get(f"{switch.name}{end}")
        if text is not None:
            write_private(folder / f"{switch.name}{end}", text.encode(), replace=True)
    store = FeedStore(data.feeds)
    try:
        store.enable(switch.name, switch.since, enabled=switch.enabled)
    finally:
        store.close()


def exchange_switches(data: DataDir, elsewhere: dict[str, FeedSwitch]) -> list[FeedSwitch]:
    """Apply later switches of other machines; return the later ones of this machine.

    Raises OSError.
    """
    here = read_switches(data)
    names = {connector.spec.name for connector in list_connectors()}
    for name, switch in elsewhere.items():
        if name in names and (name not in here or here[name].since < switch.since):
            apply_switch(data, switch)
    return [
        switch
        for name, switch in here.items()
        if name not in elsewhere or elsewhere[name].since < switch.since
    ]

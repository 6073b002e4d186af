"""Find the connectors: every module of `services.watch.feeds` with a `CONNECTOR`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from services.watch import feeds
from services.watch.connector import Connector


class UnknownFeed(LookupError):
    """No connector has that name."""


@cache
def list_connectors() -> tuple[Connector, ...]:
    """Return the connectors in order of their names."""
    modules = (import_module(f"{feeds.__name__}.{m.name}") for m in iter_modules(feeds.__path__))
    connectors: list[Connector] = [module.CONNECTOR for module in modules]
    return tuple(sorted(connectors, key=lambda connector: connector.spec.name))


def find_connector(name: str) -> Connector:
    """Return the connector of a feed. Raises UnknownFeed."""
    for connector in list_connectors():
        if connector.spec.name == name:
            return connector
    raise UnknownFeed(name)

"""Settings of chat services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydantic import field_validator

from services.delivery.channels.base import SettingsFault
from services.runtime.process.settings import Settings

_SCHEMES_WITHOUT_TLS: Final = {
    "matrix": "matrixs",
    "mmost": "mmosts",
    "rocket": "rockets",
    "gotify": "gotifys",
    "ntfy": "ntfys",
    "json": "jsons",
    "xml": "xmls",
}
"""Schemes without TLS → the scheme to use instead."""
FORBIDDEN_SCHEMES: Final = frozenset(
    {
        "dbus",
        "glib",
        "qt",
        "kde",
        "gnome",
        "windows",
        "macosx",
        "syslog",
        "file",
        "lametric",
        "growl",
    }
)
"""They reach the server's own machine or its neighbours, never a person elsewhere."""


class ChatSettings(Settings):
    """`VIGIE_CHAT_SCHEMES`."""

    chat_schemes: str = ""
    """Services of contact points, as schemes of apprise (`matrixs,slack`); empty = none."""

    @field_validator("chat_schemes")
    @classmethod
    def _schemes(cls, text: str) -> str:
        if text and not re.fullmatch(r"[a-z0-9]+(,[a-z0-9]+)*", text):
            raise ValueError("must be schemes of apprise, separated by commas: matrixs,slack")
        return text

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset(filter(None, self.chat_schemes.split(",")))


def lint(settings: ChatSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    if not settings.schemes:
        return
    import apprise  # only where it is used: it weighs 30 MB

    schemes = apprise.Apprise().details()["schemas"]
    spoken = {
        str(scheme)
        for service in schemes
        for kind in ("protocols", "secure_protocols")
        for scheme in service[kind] or ()
    }
    for scheme in sorted(settings.schemes):
        if scheme in FORBIDDEN_SCHEMES:
            yield SettingsFault(
                "VIGIE_CHAT_SCHEMES", f"{scheme}: reaches this machine, never a person"
            )
        elif scheme not in spoken:
            yield SettingsFault("VIGIE_CHAT_SCHEMES", f"{scheme}: apprise knows no such service")
        elif scheme in _SCHEMES_WITHOUT_TLS:
            yield SettingsFault(
                "VIGIE_CHAT_SCHEMES",
                f"{scheme}: no TLS, use {_SCHEMES_WITHOUT_TLS[scheme]}",
                error=False,
            )

"""Matrix and every other service of apprise: a contact point is an apprise address.

Apprise reports success or failure without a reason. A failure may hide a message that was taken, so
it is a doubt. Nothing is sent to an address that apprise cannot read, or of a service that the
settings do not allow. Apprise weighs 30 MB, so it is imported only where it is used.
"""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Final
from urllib.parse import urlsplit

from pydantic import field_validator

from schemas.words import Channel
from services.delivery.channels.base import CallResult, ChannelType, Outgoing, SettingsFault
from services.runtime.process.settings import Settings

logging.getLogger("apprise").disabled = True  # its lines name addresses
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
    import apprise

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
                "VIGIE_CHAT_SCHEMES", f"{scheme} : atteint cette machine, jamais une personne"
            )
        elif scheme not in spoken:
            yield SettingsFault(
                "VIGIE_CHAT_SCHEMES", f"{scheme} : apprise ne connaît pas ce service"
            )
        elif scheme in _SCHEMES_WITHOUT_TLS:
            yield SettingsFault(
                "VIGIE_CHAT_SCHEMES",
                f"{scheme} : sans TLS, utilisez {_SCHEMES_WITHOUT_TLS[scheme]}",
                error=False,
            )


class ChatDriver:
    """Driver of the services in `schemes`."""

    def __init__(self, schemes: frozenset[str]) -> None:
        self._schemes = schemes

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the message; see `Driver`.

        Danger is marked as a failure, so that services can colour or ring.
        """
        if urlsplit(outgoing.address).scheme not in self._schemes:
            return CallResult("failed", error="chat_service_not_allowed")
        import apprise

        target = apprise.Apprise()
        if not target.add(outgoing.address):
            return CallResult("failed", error="address_invalid")
        kind = apprise.NotifyType.FAILURE if outgoing.row.danger else apprise.NotifyType.WARNING
        text = outgoing.text
        try:
            async with asyncio.timeout(timeout_s):
                is_delivered = await target.async_notify(
                    body=text.plain(),
                    title=text.subject,
                    notify_type=kind,
                    body_format=apprise.NotifyFormat.TEXT,
                )
        except TimeoutError:
            return CallResult("ambiguous", error="chat_no_answer")
        return (
            CallResult("accepted", provider_id=outgoing.row.id)
            if is_delivered
            else CallResult("ambiguous", error="chat_refused_or_lost")
        )


CHANNEL = ChannelType(
    Channel.CHAT,
    settings=ChatSettings,
    provider="chat_schemes",
    open=lambda settings, _inbox: nullcontext(ChatDriver(settings.schemes)),
    lint=lint,
)

"""Report faults in the settings of web push.

The settings are in `services.runtime.http.web_push`, because the page needs them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from services.delivery.channels.base import SettingsFault
from services.runtime.http.web_push import PushSettings


def lint(settings: PushSettings, public_url: str = "") -> Iterator[SettingsFault]:
    """Report errors and surprises; `public_url` is the public address of the front."""
    if not settings.push_contact:
        return
    scheme, _, rest = settings.push_contact.partition(":")
    if scheme not in ("mailto", "https") or not rest:
        yield SettingsFault(
            "VIGIE_PUSH_CONTACT",
            "must be mailto:… or https://…: push services refuse who gives no address",
        )
    if not settings.push_services:
        yield SettingsFault("VIGIE_PUSH_SERVICES", "names no host: nothing could be sent")
    parts = urlsplit(public_url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_PUBLIC_URL", "browsers subscribe on https:// pages only", error=False
        )

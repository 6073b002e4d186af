"""Settings of the watch over official feeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import SecretStr, field_validator

from services.runtime.process.settings import Settings, check_url

_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}")


class WatchSettings(Settings):
    """`VIGIE_FEEDS_CONTACT`, `VIGIE_FEEDS_PROXY`, `VIGIE_FEEDS_SAMPLES`."""

    feeds_contact: str = ""
    """E-mail address or page that the publishers of feeds may turn to; sent as `User-Agent`."""
    feeds_proxy: SecretStr = SecretStr("")
    """HTTP proxy of the way out, `http://[user:password@]host:port`; empty = none."""
    feeds_samples: str = ""
    """`http://127.0.0.1:PORT` of `vigie feed serve-samples`: feeds are read from there alone."""

    @property
    def feed_store(self) -> Path:
        """File of the state of the feeds. Samples never touch that of the publishers."""
        return self.data.feed_samples if self.feeds_samples else self.data.feeds

    @property
    def feed_keys(self) -> Path:
        """Folder of the keys of publishers and of the keys for the front."""
        return self.data.secrets / ("feeds-samples" if self.feeds_samples else "feeds")

    @field_validator("feeds_contact")
    @classmethod
    def _is_header(cls, text: str) -> str:
        if not text.isascii() or not text.isprintable():
            raise ValueError("must be plain ASCII: it is sent in a header")
        return text

    @field_validator("feeds_proxy")
    @classmethod
    def _is_proxy(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("http", "https"))

    @field_validator("feeds_samples")
    @classmethod
    def _is_loopback(cls, url: str) -> str:
        if url and not _LOOPBACK.fullmatch(url.rstrip("/")):
            raise ValueError("must be http://127.0.0.1:PORT: samples never leave this machine")
        return url.rstrip("/")

"""Settings of voice calls."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from services.delivery.channels.base import Fault
from services.delivery.channels.sms.origin import is_address
from services.runtime.process.settings import Settings, address_of


class VoiceSettings(Settings):
    """`VIGIE_VOICE_URL`, `VIGIE_VOICE_TOKEN`, `VIGIE_VOICE_CALLER`, `VIGIE_VOICE_RING_S`, `VIGIE_VOICE_ANSWER_ID`."""

    voice_url: SecretStr = SecretStr("")
    """`https://` address to which the gateway takes calls."""
    voice_token: SecretStr = SecretStr("")
    """Bearer token of the gateway."""
    voice_caller: str = ""
    """Number that people see, E.164."""
    voice_ring_s: int = Field(default=40, ge=10, le=90)
    """How long it rings."""
    voice_answer_id: str = Field(default="/id", pattern="^(/.*)$")
    """Where the id of the call stands in the gateway's answer, a JSON Pointer. An answer without it is in doubt."""

    @field_validator("voice_url")
    @classmethod
    def _voice_scheme(cls, url: SecretStr) -> SecretStr:
        return address_of(url, ("https", "http"))


def lint(settings: VoiceSettings) -> Iterator[Fault]:
    """What is wrong or surprising."""
    url = urlsplit(settings.voice_url.get_secret_value())
    if not url.scheme:
        return
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield Fault(
            "VIGIE_VOICE_URL", "plain HTTP carries numbers and texts in the clear: use https://"
        )
    if not settings.voice_token.get_secret_value():
        yield Fault("VIGIE_VOICE_TOKEN", "no token: the gateway would have to trust anybody")
    if not is_address(settings.voice_caller):
        yield Fault(
            "VIGIE_VOICE_CALLER",
            "must be a number like +33140000000: people recognise it, and phones let it pass at night",
        )

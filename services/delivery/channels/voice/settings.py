"""Settings of voice calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from schemas.people.directory import is_e164_number
from services.delivery.channels.base import SettingsFault
from services.runtime.process.settings import Settings, check_url

_ENDINGS: Final = {"asterisk": "/ari", "twilio": "/Calls.json"}
"""Provider → end of the path of its address."""


class VoiceSettings(Settings):
    """`VIGIE_VOICE_PROVIDER`, `…_URL`, `…_TOKEN`, `…_CALLER`, `…_RING_S`, `…_ANSWER_ID`."""

    voice_provider: Literal["gateway", "asterisk", "twilio"] = "gateway"
    """Protocol of the provider.

    `gateway`: the JSON of `docs/how-to/send-messages.md`. `asterisk`: a telephone exchange of your
    own (ARI). `twilio`: Twilio and providers that take its requests.
    """
    voice_url: SecretStr = SecretStr("")
    """`https://` address to which the provider takes calls.

    Asterisk: `https://host:8089/ari`. Twilio:
    `https://api.twilio.com/2010-04-01/Accounts/SID/Calls.json`.
    """
    voice_token: SecretStr = SecretStr("")
    """Bearer token of the gateway; `user:password` of Asterisk; `SID:secret` of Twilio."""
    voice_caller: str = ""
    """Number that people see, E.164."""
    voice_ring_s: int = Field(default=40, ge=10, le=90)
    """Seconds for which it rings."""
    voice_answer_id: str = Field(default="/id", pattern="^(/.*)$")
    """JSON Pointer of the call's id in the gateway's answer; an answer without it is in doubt."""

    @field_validator("voice_url")
    @classmethod
    def _voice_scheme(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("https", "http"))


def lint(settings: VoiceSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    url = urlsplit(settings.voice_url.get_secret_value())
    if not url.scheme:
        return
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_VOICE_URL", "plain HTTP carries numbers and texts in the clear: use https://"
        )
    if not settings.voice_token.get_secret_value():
        yield SettingsFault(
            "VIGIE_VOICE_TOKEN", "no token: the gateway would have to trust anybody"
        )
    elif settings.voice_provider != "gateway" and not _is_name_and_secret(settings):
        yield SettingsFault("VIGIE_VOICE_TOKEN", "must be NAME:SECRET for this provider")
    ending = _ENDINGS.get(settings.voice_provider, "")
    if not url.path.rstrip("/").endswith(ending):
        yield SettingsFault("VIGIE_VOICE_URL", f"ends with {ending} for this provider")
    if not is_e164_number(settings.voice_caller):
        yield SettingsFault(
            "VIGIE_VOICE_CALLER",
            "must be a number like +33140000000: "
            "people recognise it, and phones let it pass at night",
        )


def _is_name_and_secret(settings: VoiceSettings) -> bool:
    name, _, secret = settings.voice_token.get_secret_value().partition(":")
    return bool(name and secret)

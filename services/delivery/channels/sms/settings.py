"""Settings of SMS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from services.delivery.channels.base import SettingsFault
from services.delivery.channels.sms.origin import OriginInvalid, parse_origin
from services.delivery.channels.sms.ovh import JOBS_PATH, OvhKeys
from services.delivery.channels.sms.smpp.session import Smsc
from services.runtime.process.settings import Settings, check_url

SMPP_PORTS: Final = {"smpp": 2775, "smpps": 3550}
_SCHEMES: Final = (*SMPP_PORTS, "https", "http")


class SmsSettings(Settings):
    """`VIGIE_SMS_URL`, `…_SENDER`, `…_TOKEN`, `…_RECEIPTS`, `…_ANSWER_ID`."""

    sms_url: SecretStr = SecretStr("")
    """Address of the SMS provider.

    `smpp://system_id:password@host:2775`, `smpps://…` (TLS), or the `https://` address of a
    gateway.
    """
    sms_sender: str = ""
    """Sender id: a number or short code (people can answer), or a name of 3 to 11 letters."""
    sms_token: SecretStr = SecretStr("")
    """HTTP gateway: bearer token, or `application:secret:consumer` to sign calls to OVH."""
    sms_receipts: Literal["", "callback", "poll", "none"] = ""
    """Source of receipts from an HTTP gateway.

    `callback`: the gateway posts them (the default). `poll`: OVH is polled for them and for
    answers. `none` (the default for OVH): a taken SMS counts as sent, and no other channel is tried
    for lack of a receipt.
    """
    sms_answer_id: str = Field(default="", pattern="^(/.*)?$")
    """HTTP gateway with a bearer token: JSON Pointer of the message id in its answer.

    For example `/messages/0/id`; empty: it answers like OVH. An answer without an id is in doubt.
    """

    @field_validator("sms_url")
    @classmethod
    def _sms_scheme(cls, url: SecretStr) -> SecretStr:
        return check_url(url, _SCHEMES)

    def smsc(self) -> Smsc | None:
        """Return the SMSC of the address; None for an HTTP gateway or no address."""
        parts = urlsplit(self.sms_url.get_secret_value())
        if parts.scheme not in SMPP_PORTS or parts.hostname is None:
            return None
        name, password = unquote(parts.username or ""), unquote(parts.password or "")
        return Smsc(
            parts.hostname,
            parts.port or SMPP_PORTS[parts.scheme],
            name,
            password,
            tls=parts.scheme == "smpps",
        )


def lint(settings: SmsSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    url = urlsplit(settings.sms_url.get_secret_value())
    if not url.scheme:
        return
    try:
        sender = parse_origin(settings.sms_sender)
    except OriginInvalid as error:
        yield SettingsFault("VIGIE_SMS_SENDER", str(error))
    else:
        if not sender.answerable:
            yield SettingsFault(
                "VIGIE_SMS_SENDER",
                "nobody can answer a name by SMS: people answer by the link only",
                error=False,
            )
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMS_URL", "plain HTTP carries numbers and texts in the clear: use https://"
        )
    if url.scheme == "smpp" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMS_URL",
            "SMPP without TLS: use smpps://, or a tunnel to the provider",
            error=False,
        )
    if (smsc := settings.smsc()) is not None:
        if not smsc.system_id:
            yield SettingsFault("VIGIE_SMS_URL", "no system_id: smpp://system_id:password@host")
        if len(smsc.system_id) > 15 or len(smsc.password) > 8:
            yield SettingsFault(
                "VIGIE_SMS_URL",
                "SMPP 3.4 carries a system_id of 15 and a password of 8 characters at most",
            )
    elif not (token := settings.sms_token.get_secret_value()):
        yield SettingsFault("VIGIE_SMS_TOKEN", "no token: the gateway would have to trust anybody")
    else:
        yield from _lint_receipts(settings, ovh=OvhKeys.read(token) is not None)


def _lint_receipts(settings: SmsSettings, *, ovh: bool) -> Iterator[SettingsFault]:
    """Report errors and surprises about the receipts of an HTTP gateway."""
    wanted = settings.sms_receipts
    if ovh and wanted == "callback":
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS", "OVH takes no address for receipts in a job: use poll or none"
        )
    if not ovh and wanted == "poll":
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS",
            "only OVH is asked for receipts, with keys as application:secret:consumer",
        )
    if ovh and not urlsplit(settings.sms_url.get_secret_value()).path.endswith(JOBS_PATH):
        yield SettingsFault("VIGIE_SMS_URL", "the address of OVH ends with /sms/<service>/jobs")
    if wanted == "none" or (ovh and not wanted):
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS",
            "no receipts: an SMS that the provider took counts as sent, "
            "nobody learns whether it arrived",
            error=False,
        )

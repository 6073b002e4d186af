"""Settings of SMS."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from services.delivery.channels.base import SettingsFault
from services.delivery.channels.sms.http_providers import OCTOPUSH_PATH, SMSMODE_PATH, OctopushKeys
from services.delivery.channels.sms.origin import OriginInvalid, SmsOrigin, parse_origin
from services.delivery.channels.sms.ovh import JOBS_PATH, OvhKeys
from services.delivery.channels.sms.smpp.session import Smsc
from services.runtime.process.settings import Settings, check_url

SMPP_PORTS: Final = {"smpp": 2775, "smpps": 3550}
_SCHEMES: Final = (*SMPP_PORTS, "https", "http")


class SmsProvider(StrEnum):
    """HTTP provider, as address and token tell it."""

    OVH = "ovh"
    SMSMODE = "smsmode"
    OCTOPUSH = "octopush"
    GATEWAY = "gateway"


WITHOUT_RECEIPTS: Final = frozenset({SmsProvider.OVH, SmsProvider.OCTOPUSH})
"""Providers that send receipts only after a step on their side: by default none is awaited."""


class SmsSettings(Settings):
    """`VIGIE_SMS_URL`, `…_SENDER`, `…_TOKEN`, `…_RECEIPTS`, `…_ANSWER_ID`."""

    sms_url: SecretStr = SecretStr("")
    """Address of the SMS provider.

    `smpp://system_id:password@host:2775`, `smpps://…` (TLS), or the `https://` address of a
    gateway: `…/sms/<service>/jobs` of OVH, `…/sms/v1/messages` of smsmode,
    `…/sms-campaign/send` of Octopush, or another.
    """
    sms_sender: str = ""
    """Sender id: a number or short code (people can answer), or a name of 3 to 11 letters."""
    sms_token: SecretStr = SecretStr("")
    """HTTP gateway: bearer token, or `application:secret:consumer` to sign calls to OVH.

    For smsmode the key of the channel, for Octopush `login:key`.
    """
    sms_receipts: Literal["", "callback", "poll", "none"] = ""
    """Source of receipts from an HTTP gateway.

    `callback`: the gateway posts them (the default); Octopush does so once its account names the
    address. `poll`: OVH is polled for them and for texts. `none` (the default for OVH and
    Octopush): a taken SMS counts as sent, and no other channel is tried for lack of a receipt.
    """
    sms_answer_id: str = Field(default="", pattern="^(/.*)?$")
    """HTTP gateway with a bearer token: JSON Pointer of the message id in its answer.

    For example `/messages/0/id`; empty: it answers like OVH. An answer without an id is in doubt.
    """

    @field_validator("sms_url")
    @classmethod
    def _sms_scheme(cls, url: SecretStr) -> SecretStr:
        return check_url(url, _SCHEMES)

    def find_provider(self) -> SmsProvider:
        """Return the HTTP provider of the address."""
        path = urlsplit(self.sms_url.get_secret_value()).path
        if path.endswith(SMSMODE_PATH):
            return SmsProvider.SMSMODE
        if path.endswith(OCTOPUSH_PATH):
            return SmsProvider.OCTOPUSH
        is_ovh = OvhKeys.read(self.sms_token.get_secret_value()) is not None
        return SmsProvider.OVH if is_ovh else SmsProvider.GATEWAY

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
                "personne ne répond par SMS à un nom : on ne répond que par le lien",
                error=False,
            )
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMS_URL", "en HTTP, numéros et textes circulent en clair : utilisez https://"
        )
    if url.scheme == "smpp" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMS_URL",
            "SMPP sans TLS : utilisez smpps://, ou un tunnel vers l’opérateur",
            error=False,
        )
    if (smsc := settings.smsc()) is not None:
        if not smsc.system_id:
            yield SettingsFault(
                "VIGIE_SMS_URL", "system_id absent : smpp://system_id:password@host"
            )
        if len(smsc.system_id) > 15 or len(smsc.password) > 8:
            yield SettingsFault(
                "VIGIE_SMS_URL",
                "SMPP 3.4 admet 15 caractères au plus pour system_id et 8 pour le mot de passe",
            )
    elif not (token := settings.sms_token.get_secret_value()):
        yield SettingsFault(
            "VIGIE_SMS_TOKEN",
            "jeton absent : la passerelle devrait faire confiance à n’importe qui",
        )
    else:
        provider = settings.find_provider()
        if provider is SmsProvider.OCTOPUSH:
            yield from _lint_octopush(settings, token)
        yield from _lint_receipts(settings, provider)


def _lint_octopush(settings: SmsSettings, token: str) -> Iterator[SettingsFault]:
    """Report errors and surprises about an account of Octopush."""
    if OctopushKeys.read(token) is None:
        yield SettingsFault(
            "VIGIE_SMS_TOKEN", "Octopush attend identifiant et clé sous la forme login:key"
        )
    try:
        sender: SmsOrigin = parse_origin(settings.sms_sender)
    except OriginInvalid:
        return
    if not sender.answerable and not sender.text.isalnum():
        yield SettingsFault(
            "VIGIE_SMS_SENDER", "Octopush n’admet que des lettres et des chiffres, de 3 à 11"
        )
    if sender.answerable:
        yield SettingsFault(
            "VIGIE_SMS_SENDER",
            "Octopush choisit le numéro de réponse ; celui-ci n’est pas affiché",
            error=False,
        )


def _lint_receipts(settings: SmsSettings, provider: SmsProvider) -> Iterator[SettingsFault]:
    """Report errors and surprises about the receipts of an HTTP gateway."""
    receipt_mode, ovh = settings.sms_receipts, provider is SmsProvider.OVH
    if ovh and receipt_mode == "callback":
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS", "OVH n’envoie pas d’accusés à une adresse : utilisez poll ou none"
        )
    if not ovh and receipt_mode == "poll":
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS",
            "poll n’existe qu’avec OVH, et des clés sous la forme application:secret:consumer",
        )
    if ovh and not urlsplit(settings.sms_url.get_secret_value()).path.endswith(JOBS_PATH):
        yield SettingsFault("VIGIE_SMS_URL", "l’adresse d’OVH se termine par /sms/<service>/jobs")
    if receipt_mode == "none" or (provider in WITHOUT_RECEIPTS and not receipt_mode):
        yield SettingsFault(
            "VIGIE_SMS_RECEIPTS",
            "sans accusés, un SMS accepté par l’opérateur compte comme envoyé : "
            "personne ne sait s’il est arrivé",
            error=False,
        )

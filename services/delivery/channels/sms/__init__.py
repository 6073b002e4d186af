"""SMS through an SMSC (SMPP 3.4), the API of OVH, smsmode or Octopush, or another HTTP gateway.

The address and the token of the provider decide which.
"""

from schemas.words import Channel
from services.delivery.channels.base import ChannelType, Inbox
from services.delivery.channels.sms.http_providers import (
    OctopushKeys,
    OctopushSms,
    SmsGateway,
    SmsmodeSms,
)
from services.delivery.channels.sms.origin import parse_origin
from services.delivery.channels.sms.ovh import OvhKeys, OvhSms
from services.delivery.channels.sms.settings import SmsProvider, SmsSettings, lint
from services.delivery.channels.sms.smpp.driver import SmppDriver


def driver(settings: SmsSettings, inbox: Inbox) -> SmppDriver | SmsGateway:
    """Create the driver of this provider, to be entered. Raise OriginInvalid."""
    sender = parse_origin(settings.sms_sender)
    smsc = settings.smsc()
    if smsc is not None:
        return SmppDriver(smsc, sender, inbox)
    url, token = settings.sms_url.get_secret_value(), settings.sms_token.get_secret_value()
    provider, receipts = settings.find_provider(), settings.sms_receipts
    if provider is SmsProvider.SMSMODE:
        return SmsmodeSms(url, token, sender, receipts=receipts != "none")
    if provider is SmsProvider.OCTOPUSH and (account := OctopushKeys.read(token)) is not None:
        return OctopushSms(url, account, sender, receipts=receipts == "callback")
    if provider is SmsProvider.OVH and (keys := OvhKeys.read(token)) is not None:
        return OvhSms(url, keys, sender, inbox, polls=receipts == "poll")
    return SmsGateway(url, token, sender, id_at=settings.sms_answer_id, receipts=receipts != "none")


CHANNEL = ChannelType(Channel.SMS, settings=SmsSettings, provider="sms_url", open=driver, lint=lint)

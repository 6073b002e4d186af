"""SMS through an SMSC (SMPP 3.4), OVH's API or another HTTP gateway.

The address and the token of the provider decide which.
"""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType, Inbox
from services.delivery.channels.sms.gateway import SmsGateway
from services.delivery.channels.sms.origin import parse_origin
from services.delivery.channels.sms.ovh import OvhKeys, OvhSms
from services.delivery.channels.sms.settings import SmsSettings, lint
from services.delivery.channels.sms.smpp.driver import SmppDriver

__all__ = ["CHANNEL", "OvhSms", "SmppDriver", "SmsGateway", "driver", "lint"]


def driver(settings: SmsSettings, inbox: Inbox) -> SmppDriver | OvhSms | SmsGateway:
    """Create the driver of this provider, to be entered. Raise OriginInvalid."""
    sender = parse_origin(settings.sms_sender)
    smsc = settings.smsc()
    if smsc is not None:
        return SmppDriver(smsc, sender, inbox)
    url, token = settings.sms_url.get_secret_value(), settings.sms_token.get_secret_value()
    keys = OvhKeys.read(token)
    if keys is not None:
        return OvhSms(url, keys, sender, inbox, polls=settings.sms_receipts == "poll")
    return SmsGateway(
        url, token, sender, id_at=settings.sms_answer_id, receipts=settings.sms_receipts != "none"
    )


CHANNEL = ChannelType(
    Channel.SMS,
    is_configured=lambda settings: bool(settings.sms_url.get_secret_value()),
    open=driver,
    lint=lint,
)

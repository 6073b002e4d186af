"""SMS: through an SMSC (SMPP 3.4) or through a provider's HTTP gateway. The address of the provider decides which."""

from services.delivery.channels.base import Inbox
from services.delivery.channels.sms.gateway import SmsGateway
from services.delivery.channels.sms.origin import origin
from services.delivery.channels.sms.settings import SmsSettings, lint
from services.delivery.channels.sms.smpp.driver import Smpp

__all__ = ["Smpp", "SmsGateway", "driver", "lint"]


def driver(settings: SmsSettings, inbox: Inbox) -> Smpp | SmsGateway:
    """The driver of this provider, to be entered. Raises OriginInvalid."""
    sender = origin(settings.sms_sender)
    smsc = settings.smsc()
    if smsc is not None:
        return Smpp(smsc, sender, inbox)
    return SmsGateway(settings.sms_url.get_secret_value(), settings.sms_token.get_secret_value(), sender)

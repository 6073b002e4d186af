"""E-mail through an SMTP relay."""

from contextlib import nullcontext

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.email.driver import EmailDriver
from services.delivery.channels.email.settings import EmailSettings, lint

__all__ = ["CHANNEL", "EmailDriver", "lint"]

CHANNEL = ChannelType(
    Channel.EMAIL,
    settings=EmailSettings,
    provider="smtp_url",
    open=lambda settings, _inbox: nullcontext(
        EmailDriver(settings.smtp_url.get_secret_value(), settings.mail_from, settings.mail_bounces)
    ),
    lint=lint,
)

"""Webhooks, signed by Standard Webhooks."""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.webhook.driver import WebhookDriver, sign_webhook
from services.delivery.channels.webhook.settings import lint

__all__ = ["CHANNEL", "WebhookDriver", "lint", "sign_webhook"]

CHANNEL = ChannelType(
    Channel.WEBHOOK,
    is_configured=lambda settings: bool(settings.webhook_secret.get_secret_value()),
    open=lambda settings, _inbox: WebhookDriver(settings.webhook_secret.get_secret_value()),
    lint=lint,
)

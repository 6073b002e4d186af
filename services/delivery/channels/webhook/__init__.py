"""Webhooks, signed by Standard Webhooks."""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.webhook.driver import (
    WebhookDriver,
    WebhookSettings,
    lint,
    sign_webhook,
)

__all__ = ["CHANNEL", "WebhookDriver", "lint", "sign_webhook"]

CHANNEL = ChannelType(
    Channel.WEBHOOK,
    settings=WebhookSettings,
    provider="webhook_secret",
    open=lambda settings, _inbox: WebhookDriver(settings.webhook_secret.get_secret_value()),
    lint=lint,
)

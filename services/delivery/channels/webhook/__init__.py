"""Webhooks, signed by Standard Webhooks."""

from services.delivery.channels.webhook.driver import WebhookDriver, sign_webhook
from services.delivery.channels.webhook.settings import lint

__all__ = ["WebhookDriver", "lint", "sign_webhook"]

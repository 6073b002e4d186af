"""Webhooks, signed by Standard Webhooks."""

from services.delivery.channels.webhook.driver import Webhook, signature
from services.delivery.channels.webhook.settings import lint

__all__ = ["Webhook", "lint", "signature"]

"""The drivers that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from schemas.words import Channel
from services.delivery.channels.base import Driver
from services.delivery.channels.email import Email
from services.delivery.channels.webhook import Webhook
from services.delivery.settings import DeliverySettings


@asynccontextmanager
async def configured_drivers(settings: DeliverySettings) -> AsyncIterator[Mapping[Channel, Driver]]:
    """Channel → driver; a channel that is missing has no provider here, and attempts on it fail as `channel_not_configured`."""
    async with AsyncExitStack() as stack:
        drivers: dict[Channel, Driver] = {}
        if url := settings.smtp_url.get_secret_value():
            drivers[Channel.EMAIL] = Email(url, settings.mail_from)
        if secret := settings.webhook_secret.get_secret_value():
            drivers[Channel.WEBHOOK] = await stack.enter_async_context(Webhook(secret))
        yield drivers

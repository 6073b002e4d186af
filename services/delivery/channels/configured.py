"""The drivers that the settings name, and what their settings get wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from schemas.words import Channel
from services.delivery.channels import email, sms, webhook
from services.delivery.channels.base import Driver, Fault, Inbox
from services.delivery.settings import DeliverySettings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def configured_drivers(settings: DeliverySettings, inbox: Inbox) -> AsyncIterator[Mapping[Channel, Driver]]:
    """Channel → driver; a channel that is missing has no provider here, and attempts on it fail as `channel_not_configured`.

    So do those on a channel whose settings have an error: the others must go on.
    """
    wrong = set()
    for channel, fault in faults(settings):
        (log.error if fault.error else log.warning)("channel.settings", channel=channel.value, variable=fault.variable, what=fault.what)
        if fault.error:
            wrong.add(channel)
    async with AsyncExitStack() as stack:
        drivers: dict[Channel, Driver] = {}
        if (url := settings.smtp_url.get_secret_value()) and Channel.EMAIL not in wrong:
            drivers[Channel.EMAIL] = email.Email(url, settings.mail_from)
        if settings.sms_url.get_secret_value() and Channel.SMS not in wrong:
            drivers[Channel.SMS] = await stack.enter_async_context(sms.driver(settings, inbox))
        if (secret := settings.webhook_secret.get_secret_value()) and Channel.WEBHOOK not in wrong:
            drivers[Channel.WEBHOOK] = await stack.enter_async_context(webhook.Webhook(secret))
        yield drivers


def faults(settings: DeliverySettings) -> Iterator[tuple[Channel, Fault]]:
    """Everything that is wrong or surprising in the settings of the channels."""
    yield from ((Channel.EMAIL, fault) for fault in email.lint(settings))
    yield from ((Channel.SMS, fault) for fault in sms.lint(settings))
    yield from ((Channel.WEBHOOK, fault) for fault in webhook.lint(settings))

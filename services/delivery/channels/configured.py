"""Create the drivers of the configured channels, and report faults of their settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

import structlog

from schemas.words import Channel
from services.delivery.channels import chat, email, push, sms, voice, webhook
from services.delivery.channels.base import Driver, Inbox, SettingsFault
from services.delivery.settings import DeliverySettings
from services.runtime.http.web_push import VapidKey

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_drivers(
    settings: DeliverySettings, inbox: Inbox
) -> AsyncIterator[Mapping[Channel, Driver]]:
    """Yield the drivers by channel, open while the context lasts.

    Attempts on a channel without a driver fail as `channel_not_configured`. A channel with faulty
    settings gets no driver either, so that the others continue.
    """
    wrong = set()
    for channel, fault in find_faults(settings):
        (log.error if fault.error else log.warning)(
            "channel.settings", channel=channel.value, variable=fault.variable, what=fault.what
        )
        if fault.error:
            wrong.add(channel)
    async with AsyncExitStack() as stack:
        yield {
            c: await stack.enter_async_context(_create_driver(c, settings, inbox))
            for c in list_configured_channels(settings)
            if c not in wrong
        }


def list_configured_channels(settings: DeliverySettings) -> tuple[Channel, ...]:
    """Return the channels in the settings, even with faults."""
    named = {
        Channel.EMAIL: settings.smtp_url.get_secret_value(),
        Channel.SMS: settings.sms_url.get_secret_value(),
        Channel.VOICE: settings.voice_url.get_secret_value(),
        Channel.WEBHOOK: settings.webhook_secret.get_secret_value(),
        Channel.CHAT: settings.chat_schemes,
        Channel.APP: settings.push_contact,
    }
    return tuple(channel for channel, given in named.items() if given)


def _create_driver(
    channel: Channel, settings: DeliverySettings, inbox: Inbox
) -> AbstractAsyncContextManager[Driver]:
    """Create the driver of a channel with correct settings."""
    match channel:
        case Channel.EMAIL:
            return nullcontext(
                email.EmailDriver(
                    settings.smtp_url.get_secret_value(), settings.mail_from, settings.mail_bounces
                )
            )
        case Channel.SMS:
            return sms.driver(settings, inbox)
        case Channel.VOICE:
            token = settings.voice_token.get_secret_value()
            url, id_at = settings.voice_url.get_secret_value(), settings.voice_answer_id
            return voice.VoiceDriver(
                url, token, settings.voice_caller, settings.voice_ring_s, id_at
            )
        case Channel.WEBHOOK:
            return webhook.WebhookDriver(settings.webhook_secret.get_secret_value())
        case Channel.CHAT:
            return nullcontext(chat.driver(settings))
        case Channel.APP:
            return push.PushDriver(settings, VapidKey.open(settings.data.secrets), inbox)


def find_faults(settings: DeliverySettings) -> Iterator[tuple[Channel, SettingsFault]]:
    """Report errors and surprises in the settings of all channels."""
    yield from ((Channel.EMAIL, fault) for fault in email.lint(settings))
    yield from ((Channel.SMS, fault) for fault in sms.lint(settings))
    yield from ((Channel.VOICE, fault) for fault in voice.lint(settings))
    yield from ((Channel.WEBHOOK, fault) for fault in webhook.lint(settings))
    yield from ((Channel.CHAT, fault) for fault in chat.lint(settings))
    yield from ((Channel.APP, fault) for fault in push.lint(settings, settings.public_url))

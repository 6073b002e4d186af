"""Web push: a message that a browser shows, even while no page is open."""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.push.driver import PushDriver, lint
from services.runtime.http.web_push import PushSettings, VapidKey

__all__ = ["CHANNEL", "PushDriver", "lint"]

CHANNEL = ChannelType(
    Channel.APP,
    settings=PushSettings,
    provider="push_contact",
    open=lambda settings, inbox: PushDriver(settings, VapidKey.open(settings.data.secrets), inbox),
    lint=lambda settings: lint(settings, settings.public_url),
)

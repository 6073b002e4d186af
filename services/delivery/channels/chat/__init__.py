"""Matrix and every other service of apprise: a contact point is an apprise address."""

from services.delivery.channels.base import Driver
from services.delivery.channels.chat.settings import ChatSettings, lint

__all__ = ["driver", "lint"]


def driver(settings: ChatSettings) -> Driver:
    """Create the driver of the services in the settings."""
    from services.delivery.channels.chat.driver import (
        ChatDriver,
    )  # apprise weighs 30 MB: only where it is used

    return ChatDriver(settings.schemes)

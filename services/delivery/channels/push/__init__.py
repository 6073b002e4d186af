"""Web push: a message that a browser shows, even while no page is open."""

from services.delivery.channels.push.driver import PushDriver
from services.delivery.channels.push.settings import lint

__all__ = ["PushDriver", "lint"]

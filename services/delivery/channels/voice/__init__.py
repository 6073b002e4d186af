"""Voice through a telephone gateway, which speaks the text and posts results and pressed keys."""

from services.delivery.channels.voice.driver import Voice
from services.delivery.channels.voice.settings import lint

__all__ = ["Voice", "lint"]

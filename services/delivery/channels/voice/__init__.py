"""Voice through a telephone gateway, which speaks the text and posts results and pressed keys."""

from services.delivery.channels.voice.driver import VoiceDriver
from services.delivery.channels.voice.settings import lint

__all__ = ["VoiceDriver", "lint"]

"""Voice through a gateway that telephones: it speaks the text, and posts what came of the call and the key that was pressed."""

from services.delivery.channels.voice.driver import Voice
from services.delivery.channels.voice.settings import lint

__all__ = ["Voice", "lint"]

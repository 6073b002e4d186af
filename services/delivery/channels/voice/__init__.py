"""Voice through a telephone gateway, which speaks the text and posts results and pressed keys."""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.voice.driver import VoiceDriver
from services.delivery.channels.voice.settings import lint

__all__ = ["CHANNEL", "VoiceDriver", "lint"]

CHANNEL = ChannelType(
    Channel.VOICE,
    is_configured=lambda settings: bool(settings.voice_url.get_secret_value()),
    open=lambda settings, _inbox: VoiceDriver(
        settings.voice_url.get_secret_value(),
        settings.voice_token.get_secret_value(),
        settings.voice_caller,
        settings.voice_ring_s,
        settings.voice_answer_id,
    ),
    lint=lint,
)

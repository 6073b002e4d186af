"""Voice through a provider that speaks the text and posts results and pressed keys."""

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.voice.asterisk import AsteriskVoice
from services.delivery.channels.voice.driver import VoiceDriver
from services.delivery.channels.voice.settings import VoiceSettings, lint
from services.delivery.channels.voice.twilio import TwilioVoice

__all__ = ["CHANNEL", "AsteriskVoice", "TwilioVoice", "VoiceDriver", "lint"]


def create_driver(settings: VoiceSettings) -> VoiceDriver:
    """Create the driver of the configured provider, to be entered."""
    url, token = settings.voice_url.get_secret_value(), settings.voice_token.get_secret_value()
    caller, ring_s = settings.voice_caller, settings.voice_ring_s
    if settings.voice_provider == "asterisk":
        return AsteriskVoice(url, token, caller, ring_s)
    if settings.voice_provider == "twilio":
        return TwilioVoice(url, token, caller, ring_s)
    return VoiceDriver(url, token, caller, ring_s, settings.voice_answer_id)


CHANNEL = ChannelType(
    Channel.VOICE,
    settings=VoiceSettings,
    provider="voice_url",
    open=lambda settings, _inbox: create_driver(settings),
    lint=lint,
)

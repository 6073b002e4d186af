"""Call by voice through Twilio, or a provider that takes the same requests.

One request starts a call and holds what is spoken (TwiML). Twilio posts the result and the pressed
key to `callback` with `/twilio` at its end. It has no idempotency key, so a doubt stays one.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from services.delivery.channels.base import Outgoing
from services.delivery.channels.voice.driver import SPOKEN_REPEATS, VoiceDriver

KEY_TIMEOUT_S = 6
"""Time to press a key after the text."""
_VOICES = {"fr": "fr-FR", "en": "en-GB"}


class TwilioVoice(VoiceDriver):
    """Driver of one account: `url` is `…/Accounts/SID/Calls.json`, `token` is `SID:secret`."""

    def __init__(self, url: str, token: str, caller: str, ring_s: int) -> None:
        super().__init__(url, token, caller, ring_s, "/sid")

    def headers(self, outgoing: Outgoing) -> dict[str, str]:  # noqa: ARG002
        """Return the header that authenticates us, and the type of the body."""
        return {
            "authorization": f"Basic {b64encode(self._token.encode()).decode()}",
            "content-type": "application/x-www-form-urlencoded",
        }

    def body(self, outgoing: Outgoing, number: str) -> bytes:
        """Return the form that starts a call."""
        returns = f"{outgoing.returns_url}/twilio?language={outgoing.text.lang}"
        form = [
            ("To", number),
            ("From", self._caller),
            ("Timeout", str(self._ring_s)),
            ("Twiml", build_speech(outgoing, returns)),
            ("StatusCallback", returns),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ]
        return urlencode(form).encode()


def build_speech(outgoing: Outgoing, returns: str) -> str:
    """Return the TwiML that speaks the text, and listens if there is a key to press."""
    text = outgoing.text
    speech = (
        f"<Say language={quoteattr(_VOICES.get(text.lang, 'fr-FR'))}>{escape(text.voice)}</Say>"
    )
    if text.keys:
        speech = (
            f'<Gather action={quoteattr(returns)} method="POST" numDigits="1" '
            f'timeout="{KEY_TIMEOUT_S}">{speech}</Gather>'
        )
    return f"<Response>{speech * SPOKEN_REPEATS}</Response>"

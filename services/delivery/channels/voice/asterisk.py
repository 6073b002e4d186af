"""Call by voice through Asterisk's REST interface (ARI), with the dialplan in `deploy/asterisk`.

The dialplan speaks the text, and posts the result and the pressed key itself. So a call survives
the end of the sender that asked for it.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.voice.driver import SPOKEN_REPEATS, VoiceDriver

RING_CONTEXT: Final = "vigie-ring"
"""Context of the dialplan that dials a number."""
SPEAK_CONTEXT: Final = "vigie-speak"
"""Context of the dialplan for the speech."""
PREPARATION_S: Final = 15
"""Time that Asterisk has besides ringing: it makes the speech before it dials."""
_ALREADY_RINGING: Final = "voice_409"


class AsteriskVoice(VoiceDriver):
    """Driver of one Asterisk; `url` ends with `/ari`, `token` is `user:password` of `ari.conf`."""

    def __init__(self, url: str, token: str, caller: str, ring_s: int) -> None:
        super().__init__(f"{url.rstrip('/')}/channels", token, caller, ring_s)

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Start the call; see `VoiceDriver`.

        The attempt names the channel, so a repeated request rings nobody twice.
        """
        result = await super().call(outgoing, timeout_s)
        if result.error == _ALREADY_RINGING:
            return CallResult("accepted", provider_id=outgoing.attempt)
        return result

    def headers(self, outgoing: Outgoing) -> dict[str, str]:  # noqa: ARG002
        """Return the header that authenticates us."""
        return {"authorization": f"Basic {b64encode(self._token.encode()).decode()}"}

    def order(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build the request to create a channel."""
        text = outgoing.text
        return {
            "endpoint": f"Local/{number}@{RING_CONTEXT}/n",
            "context": SPEAK_CONTEXT,
            "extension": "s",
            "priority": 1,
            "callerId": self._caller,
            "timeout": self._ring_s + PREPARATION_S,
            "channelId": outgoing.attempt,
            "variables": {
                "CALL_REFERENCE": outgoing.attempt,
                "CALL_CALLBACK": outgoing.returns_url,
                "CALL_LANGUAGE": text.lang,
                "CALL_TEXT": text.voice,
                "CALL_NOTED": text.voice_noted,
                "CALL_KEYS": "".join(text.keys),
                "CALL_REPEAT": str(SPOKEN_REPEATS),
                "CALL_RING_S": str(self._ring_s),
            },
        }

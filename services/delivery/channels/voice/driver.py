"""Call by voice: one HTTP request per call.

The person's reaction comes back at `callback` (`docs/how-to/send-messages.md`, Receipts and keys).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from schemas.people.directory import normalize_dialled_number
from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.posting import HttpPoster, read_json_pointer

SPOKEN_REPEATS: Final = 2
"""Number of times that the text is spoken before the gateway hangs up."""


class VoiceDriver(HttpPoster):
    """Driver of one gateway."""

    def __init__(self, url: str, token: str, caller: str, ring_s: int, id_at: str = "/id") -> None:
        """Configure a gateway. `id_at` is the JSON Pointer of the call's id in its answer."""
        super().__init__("voice")
        self._id_at = id_at
        self._url = url
        self._token = token
        self._caller = caller
        self._ring_s = ring_s

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Start the call; see `Driver`.

        `accepted` means that the gateway will ring; a receipt means that it was picked up.
        """
        number = normalize_dialled_number(outgoing.address)
        if number is None:
            return CallResult("failed", error="address_invalid")
        return await self.post(
            self._url, self.body(outgoing, number), self.headers(outgoing), timeout_s
        )

    async def probe(self, timeout_s: float) -> str | None:
        """Test the connection; see `ProbingDriver`."""
        return await self.connects(self._url, timeout_s)

    def interpret_answer(self, content: bytes) -> CallResult:
        """Interpret the answer, which holds the id of the call; see `HttpPoster`."""
        id = read_json_pointer(content, self._id_at)
        return self.unreadable() if id is None else CallResult("accepted", provider_id=id)

    def headers(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers that authenticate us and identify the attempt."""
        return {"authorization": f"Bearer {self._token}", "idempotency-key": outgoing.attempt}

    def body(self, outgoing: Outgoing, number: str) -> bytes:
        """Return the body of the request."""
        return orjson.dumps(self.order(outgoing, number))

    def order(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build the body for the gateway."""
        text = outgoing.text
        return {
            "to": number,
            "from": self._caller,
            "language": text.lang,
            "text": text.voice,
            "repeat": SPOKEN_REPEATS,
            "keys": list(text.keys),
            "ring_s": self._ring_s,
            "reference": outgoing.attempt,
            "callback": outgoing.returns_url,
        }

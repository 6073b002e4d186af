"""Voice through a provider that speaks the text and posts results and pressed keys.

A call is one HTTP request. The person's reaction comes back at `callback`
(`docs/how-to/send-messages.md`, Receipts and keys).
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit
from xml.sax.saxutils import escape, quoteattr

import orjson
from pydantic import Field, SecretStr, field_validator

from schemas.people.directory import is_e164_number, normalize_dialled_number
from schemas.words import Channel
from services.delivery.channels.base import CallResult, ChannelType, Outgoing, SettingsFault
from services.delivery.channels.posting import HttpPoster, read_json_pointer
from services.runtime.process.settings import Settings, check_url

_ENDINGS: Final = {"asterisk": "/ari", "twilio": "/Calls.json"}
"""Provider → end of the path of its address."""
SPOKEN_REPEATS: Final = 2
"""Number of times that the text is spoken before the gateway hangs up."""
KEY_TIMEOUT_S = 6
"""Time to press a key after the text."""
_VOICES = {"fr": "fr-FR", "en": "en-GB"}
RING_CONTEXT: Final = "vigie-ring"
"""Context of the dialplan that dials a number."""
SPEAK_CONTEXT: Final = "vigie-speak"
"""Context of the dialplan for the speech."""
PREPARATION_S: Final = 15
"""Time that Asterisk has besides ringing: it makes the speech before it dials."""
_ALREADY_RINGING: Final = "voice_409"


class VoiceSettings(Settings):
    """`VIGIE_VOICE_PROVIDER`, `…_URL`, `…_TOKEN`, `…_CALLER`, `…_RING_S`, `…_ANSWER_ID`."""

    voice_provider: Literal["gateway", "asterisk", "twilio"] = "gateway"
    """Protocol of the provider.

    `gateway`: the JSON of `docs/how-to/send-messages.md`. `asterisk`: a telephone exchange of your
    own (ARI). `twilio`: Twilio and providers that take its requests.
    """
    voice_url: SecretStr = SecretStr("")
    """`https://` address to which the provider takes calls.

    Asterisk: `https://host:8089/ari`. Twilio:
    `https://api.twilio.com/2010-04-01/Accounts/SID/Calls.json`.
    """
    voice_token: SecretStr = SecretStr("")
    """Bearer token of the gateway; `user:password` of Asterisk; `SID:secret` of Twilio."""
    voice_caller: str = ""
    """Number that people see, E.164."""
    voice_ring_s: int = Field(default=40, ge=10, le=90)
    """Seconds for which it rings."""
    voice_answer_id: str = Field(default="/id", pattern="^(/.*)$")
    """JSON Pointer of the call's id in the gateway's answer; an answer without it is in doubt."""

    @field_validator("voice_url")
    @classmethod
    def _voice_scheme(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("https", "http"))


def lint(settings: VoiceSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    url = urlsplit(settings.voice_url.get_secret_value())
    if not url.scheme:
        return
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_VOICE_URL", "en HTTP, numéros et textes circulent en clair : utilisez https://"
        )
    if not settings.voice_token.get_secret_value():
        yield SettingsFault(
            "VIGIE_VOICE_TOKEN",
            "jeton absent : la passerelle devrait faire confiance à n’importe qui",
        )
    elif settings.voice_provider != "gateway" and not _is_name_and_secret(settings):
        yield SettingsFault(
            "VIGIE_VOICE_TOKEN", "doit être de la forme NAME:SECRET pour cet opérateur"
        )
    ending = _ENDINGS.get(settings.voice_provider, "")
    if not url.path.rstrip("/").endswith(ending):
        yield SettingsFault("VIGIE_VOICE_URL", f"se termine par {ending} pour cet opérateur")
    if not is_e164_number(settings.voice_caller):
        yield SettingsFault(
            "VIGIE_VOICE_CALLER",
            "doit être un numéro comme +33140000000 : "
            "on le reconnaît, et les téléphones le laissent passer la nuit",
        )


def _is_name_and_secret(settings: VoiceSettings) -> bool:
    name, _, secret = settings.voice_token.get_secret_value().partition(":")
    return bool(name and secret)


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


class TwilioVoice(VoiceDriver):
    """Driver of one account: `url` is `…/Accounts/SID/Calls.json`, `token` is `SID:secret`.

    One request starts a call and holds what is spoken (TwiML). Twilio posts the result and the
    pressed key to `callback` with `/twilio` at its end. It has no idempotency key, so a doubt
    stays one.
    """

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


class AsteriskVoice(VoiceDriver):
    """Driver of one Asterisk; `url` ends with `/ari`, `token` is `user:password` of `ari.conf`.

    The dialplan in `deploy/asterisk` speaks the text, and posts the result and the pressed key
    itself. So a call survives the end of the sender that asked for it.
    """

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

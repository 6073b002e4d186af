"""Route for gateways: `/r/{token}` takes receipts and pressed keys of one attempt.

The address itself is the proof; there is no login.
"""

from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.callouts import HEADCOUNT_KEYS, headcount_text_id
from schemas.commands import AnswerNotification
from schemas.delivery import ReceiptReceived
from schemas.topics import input_topic
from schemas.words import Answer, Channel
from services.console.http.decisions import ANSWERING_ROLE
from services.console.http.producer import CommandProducer
from services.messages import load_phrases
from services.runtime.http.problems import ProblemError
from services.runtime.identity.signed_links import LinkInvalid, ProviderLinks
from services.runtime.secrets.vault import TextItem, VaultTexts

SOURCE = "/delivery/provider"
PROVIDER_STATES: Final = {
    "DELIVERED": "delivered",
    "READ": "delivered",
    "UNDELIVERED": "failed",
    "UNDELIVERABLE": "failed",
}
"""States of smsmode that are final; it also tells those on the way."""
KEY_ANSWERS = {"1": Answer.ACK, "2": Answer.DECLINE}
_TWILIO_FAILURES = {
    "busy": "busy",
    "no-answer": "noanswer",
    "failed": "failed",
    "canceled": "canceled",
}
_TWILIO_VOICES = {"fr": "fr-FR", "en": "en-GB"}
router = APIRouter(tags=["notifications"])


class GatewayReturn(BaseModel):
    """Message of a gateway about one attempt. Each field is optional; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["delivered", "failed"] | None = Field(
        default=None, description="true if it arrived on the handset, false if it never will"
    )
    error: str | None = Field(
        default=None,
        max_length=32,
        pattern="^[A-Za-z0-9_.-]*$",
        description="error code of the gateway",
    )
    key: str | None = Field(
        default=None,
        max_length=8,
        description=(
            "key pressed in a call: 1 acknowledge, 2 decline; in a headcount 1 safe, 2 help, "
            "3 away; others are ignored"
        ),
    )
    channel: Channel = Channel.SMS

    @model_validator(mode="before")
    @classmethod
    def _read_provider_state(cls, raw_value: Any) -> Any:
        """Read `status: {"value": …}` of smsmode; a state on the way says nothing yet."""
        if not isinstance(raw_value, dict) or not isinstance(raw_value.get("status"), dict):
            return raw_value
        value = str(raw_value["status"].get("value", ""))[:32]
        state = PROVIDER_STATES.get(value)
        error = value.lower() if state == "failed" else None
        return {"status": state, "error": error, "channel": Channel.SMS}


@router.post(
    "/r/{token}",
    status_code=204,
    summary="Receive a receipt or a pressed key of one attempt, from a gateway",
)
async def receive_return(request: Request, token: str, body: GatewayReturn) -> Response:
    """Store a receipt or a pressed key of one attempt.

    The response is 204 once the message is safe. After any other response, send it again:
    repetitions have no effect.
    """
    await _record(request, token, body)
    return Response(status_code=204)


@router.post(
    "/r/{token}/twilio",
    summary="Receive a receipt or a pressed key of one call, from Twilio",
    responses={
        200: {"content": {"application/xml": {}}, "description": "Words to speak after a key"},
        204: {"description": "Recorded, nothing to speak"},
    },
)
async def receive_twilio(
    request: Request, token: str, language: Literal["fr", "en"] = "fr"
) -> Response:
    """Store a receipt or a pressed key that Twilio posts as a form.

    After an answer the response is TwiML that says so and ends the call. A state that says
    nothing new, such as `ringing`, is ignored.
    """
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    state, key = form.get("CallStatus", ""), form.get("Digits", "")
    error = _TWILIO_FAILURES.get(state)
    status: Literal["delivered", "failed"] | None = (
        "failed" if error is not None else "delivered" if state == "in-progress" else None
    )
    gateway_return = GatewayReturn(
        status=status, error=error, key=key[:8] or None, channel=Channel.VOICE
    )
    if not await _record(request, token, gateway_return):
        return Response(status_code=204)
    words = escape(load_phrases(language).word("voice_noted"))
    return Response(
        f'<Response><Say language="{_TWILIO_VOICES[language]}">{words}</Say><Hangup/></Response>',
        media_type="application/xml",
    )


async def _record(request: Request, token: str, body: GatewayReturn) -> bool:
    """Send the inputs that a message of a provider stands for. Raise ProblemError.

    Returns whether a pressed key was an answer.
    """
    links: ProviderLinks = request.app.state.return_links
    producer: CommandProducer = request.app.state.producer
    try:
        link = links.read(token, round(datetime.now(UTC).timestamp() * 1000))
    except LinkInvalid as error:
        raise ProblemError("link_invalid") from error
    if body.status is not None:
        state: Literal["received", "failed"] = (
            "received" if body.status == "delivered" else "failed"
        )
        receipt = ReceiptReceived(
            notification=link.notification, attempt=link.attempt, state=state, error=body.error
        )
        await producer.send(
            input_topic("delivery"),
            link.realm,
            receipt,
            id=f"{link.attempt}:receipt:{state}",
            source=SOURCE,
        )
    answer = KEY_ANSWERS.get(body.key or "")
    if link.headcount and (safety := HEADCOUNT_KEYS.get(body.key or "")) is not None:
        answers: VaultTexts = request.app.state.texts
        await answers.put(
            headcount_text_id(link.notification), TextItem({"headcount": safety.value})
        )
        answer = Answer.ACK
    if answer is not None:
        command = AnswerNotification(
            author=link.person,
            role=ANSWERING_ROLE,
            notification=link.notification,
            person=link.person,
            answer=answer,
            channel=body.channel.value,
        )
        await producer.send(
            input_topic("delivery"), link.realm, command, id=f"key:{uuid4()}", source=SOURCE
        )
    return answer is not None

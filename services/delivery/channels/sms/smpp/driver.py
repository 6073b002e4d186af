"""Send SMS through an SMSC.

A long text is one message here (message_payload), with one response and one receipt; the SMSC cuts
it. Receipts come as TLVs, or as text (`id:… stat:DELIVRD err:000 …`, appendix B).
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

import structlog

from schemas.people.directory import normalize_dialled_number
from schemas.words import Channel
from services.delivery.channels.base import (
    CallResult,
    Inbox,
    Outgoing,
    TextPart,
    compute_validity_min,
)
from services.delivery.channels.sms.origin import (
    SmsOrigin,
    choose_sms_text,
    normalize_provider_number,
)
from services.delivery.channels.sms.smpp.pdu import (
    PASSING_STATUSES,
    PduInvalid,
    ShortMessage,
    SmppStatus,
    TlvTag,
    read_message_id,
)
from services.delivery.channels.sms.smpp.session import (
    InDoubtError,
    NotBoundError,
    SmppSession,
    Smsc,
)
from services.runtime.http.sms_text import decode_text, encode_text
from services.runtime.kafka.clients import BrokerAway

log = structlog.get_logger(__name__)
DATA_CODING: Final = {"gsm7": 0, "ucs2": 8}
_RECEIPT_WANTED: Final = 1
_FIELD: Final = re.compile(r"\b(id|stat|err):(\S+)", re.IGNORECASE)
_OWN_WORDS: Final = re.compile(r"\btext:", re.IGNORECASE)
"""Last field of a receipt: it repeats the beginning of our text."""
_STATES: Final = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
_FINAL: Final[dict[str, Literal["received", "failed"]]] = {
    "DELIVRD": "received",
    "EXPIRED": "failed",
    "DELETED": "failed",
    "UNDELIV": "failed",
    "REJECTD": "failed",
}


@dataclass(frozen=True, slots=True)
class SmscReceipt:
    """Receipt of an SMSC. `state` None: on its way, nothing to record."""

    message_id: str
    state: Literal["received", "failed"] | None
    error: str | None


def read_receipt(message: ShortMessage) -> SmscReceipt | None:
    """Read a receipt; None if it names no message."""
    report = _OWN_WORDS.split(message.text.decode("latin-1"), maxsplit=1)[0]
    fields = {name.lower(): value for name, value in _FIELD.findall(report)}
    message_id = (
        message.tlvs.get(TlvTag.RECEIPTED_MESSAGE_ID, b"").split(b"\0")[0].decode("latin-1")
    )
    id = message_id or fields.get("id", "")
    state = message.tlvs.get(TlvTag.MESSAGE_STATE, b"")
    word = _STATES.get(state[0], "UNKNOWN") if state else fields.get("stat", "UNKNOWN").upper()
    outcome = _FINAL.get(word)
    error = (
        f"sms_{word.lower()}_{re.sub(r'[^0-9A-Za-z]', '', fields.get('err', ''))}".rstrip("_")
        if outcome == "failed"
        else None
    )
    return SmscReceipt(id, outcome, error) if id else None


class SmppDriver:
    """Driver of one SMSC; keeps its session while it is entered."""

    def __init__(self, smsc: Smsc, origin: SmsOrigin, inbox: Inbox) -> None:
        self._origin = origin
        self._inbox = inbox
        self._session = SmppSession(smsc, self._deliver)

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the SMS; see `Driver`."""
        number = normalize_dialled_number(outgoing.address)
        if number is None:
            return CallResult("failed", error="address_invalid")
        encoded_text = encode_text(
            choose_sms_text(outgoing.text, answerable=self._origin.answerable)
        )
        days, minutes = divmod(compute_validity_min(outgoing.row), 1440)
        message = ShortMessage(
            source=self._origin.text.removeprefix("+"),
            destination=number.removeprefix("+"),
            text=encoded_text.whole,
            source_ton=self._origin.ton,
            source_npi=self._origin.npi,
            data_coding=DATA_CODING[encoded_text.alphabet],
            registered_delivery=_RECEIPT_WANTED,
            priority=1 if outgoing.row.danger else 0,
            validity=f"0000{min(days, 99):02}{minutes // 60:02}{minutes % 60:02}00000R",
        )
        return replace(await self._submit(message, timeout_s), parts=len(encoded_text.segments))

    async def _submit(self, message: ShortMessage, timeout_s: float) -> CallResult:
        try:
            status, body = await self._session.submit(message, timeout_s)
        except NotBoundError as away:
            return CallResult("failed", error=f"sms_{away}", retry=True)
        except InDoubtError:
            return CallResult("ambiguous", error="sms_no_answer")
        except ValueError:
            return CallResult("failed", error="address_invalid")
        if status != SmppStatus.OK:
            return CallResult(
                "failed", error=f"sms_{status:#04x}", retry=status in PASSING_STATUSES
            )
        try:
            return CallResult("accepted", provider_id=read_message_id(body) or None)
        except PduInvalid:
            return CallResult("accepted")  # taken, but without an id no receipt can be matched

    async def probe(self, timeout_s: float) -> str | None:
        """Test that the session is bound and the SMSC answers. See `ProbingDriver`."""
        try:
            status = await self._session.enquire(timeout_s)
        except NotBoundError as away:
            return f"sms_{away}"
        except InDoubtError:
            return "sms_no_answer"
        return None if status == SmppStatus.OK else f"sms_{status:#04x}"

    async def _deliver(self, message: ShortMessage) -> int:
        try:
            is_handled = (
                await self._receipt(message) if message.is_receipt else await self._reply(message)
            )
        except BrokerAway as error:
            log.warning("smpp.broker_away", error=str(error))
            return SmppStatus.TEMPORARY
        return SmppStatus.OK if is_handled else SmppStatus.TEMPORARY

    async def _receipt(self, message: ShortMessage) -> bool:
        receipt = read_receipt(message)
        if receipt is None or receipt.state is None:
            return True
        return await self._inbox.receipt(
            Channel.SMS, receipt.message_id, receipt.state, receipt.error
        )

    async def _reply(self, message: ShortMessage) -> bool:
        """Forward a text, or a part of a long one. It is answered once it is stored."""
        address, place = normalize_provider_number(message.source), message.part
        if place is None:
            words = decode_text(message.text_octets, message.data_coding)
            return await self._inbox.accept_text(Channel.SMS, address, words)
        part = TextPart(
            f"{message.destination}:{place.reference}",
            place.number,
            place.total,
            message.text_octets,
            message.data_coding,
        )
        return await self._inbox.accept_part(Channel.SMS, address, part)

"""Receipts of an SMSC: from TLVs, or from text (`id:… stat:DELIVRD err:000 …`, appendix B)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from services.delivery.channels.sms.smpp.pdu import ShortMessage, TlvTag

_FIELD: Final = re.compile(r"\b(id|stat|err):(\S+)", re.IGNORECASE)
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
    fields = {name.lower(): value for name, value in _FIELD.findall(message.text.decode("latin-1"))}
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

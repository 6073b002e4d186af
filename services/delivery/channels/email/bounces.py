"""Read bounces (RFC 3464): undeliverable mail comes back with the headers that it left with.

The header `X-Vigie-Returns` names the attempt and is its own proof. So a bounce needs no mailbox
per person, and forged bounces have no effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Final, Literal

RETURNS_HEADER: Final = "X-Vigie-Returns"
_TOKEN: Final = re.compile(
    rf"^{RETURNS_HEADER}:[ \t]*([A-Za-z0-9_=-]+(?:(?:\r?\n)?[ \t]+[A-Za-z0-9_=-]+)*)",
    re.IGNORECASE | re.MULTILINE,
)
_STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ACTIONS: Final[dict[str, Literal["delivered", "failed"]]] = {
    "failed": "failed",
    "delivered": "delivered",
    "relayed": "delivered",
}


def fold_token(token: str) -> str:
    """Split the token into words, so that a mail header can be folded."""
    return " ".join(token[at : at + 60] for at in range(0, len(token), 60))


@dataclass(frozen=True, slots=True)
class Bounce:
    """Report of a mail system. `state` None: delayed, it continues to try."""

    token: str
    state: Literal["delivered", "failed"] | None
    error: str | None


def read_bounce(raw: bytes) -> Bounce | None:
    """Read the report in a mail; None if it is not a report about our mail. Never raise."""
    token_match = _TOKEN.search(raw.decode("latin-1"))
    if token_match is None:
        return None
    token = re.sub(r"\s+", "", token_match[1])
    for part in message_from_bytes(raw, policy=default).walk():
        if part.get_content_type() == "message/delivery-status":
            for fields in _list_field_groups(part):
                action = _ACTIONS.get(str(fields.get("Action", "")).strip().lower())
                status = _STATUS.search(str(fields.get("Status", "")))
                if fields.get("Final-Recipient") or fields.get("Action"):
                    error = (
                        f"smtp_{status[0]}" if status is not None and action == "failed" else None
                    )
                    return Bounce(
                        token, action, error or ("smtp_bounced" if action == "failed" else None)
                    )
    return None


def _list_field_groups(part: Message) -> list[Message]:
    """Return the blocks of fields: one about the message, one per recipient."""
    payload = part.get_payload()
    return (
        [group for group in payload if isinstance(group, Message)]
        if isinstance(payload, list)
        else []
    )

"""Sender ids, addresses and wording of SMS.

Formats are those that French operators carry; some of them allow no replies.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from schemas.people.directory import is_e164_number, normalize_dialled_number
from services.messages import MessageText

_SHORT_CODE: Final = re.compile(r"\d{5}")
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 .-]{1,9}[A-Za-z0-9]")


def choose_sms_text(text: MessageText, *, answerable: bool) -> str:
    """Return the SMS; it explains the answer by SMS only if one can arrive."""
    return text.sms if answerable else text.sms_one_way


class OriginInvalid(ValueError):
    """Error: no operator carries this sender id; the message describes valid ones."""


@dataclass(frozen=True, slots=True)
class SmsOrigin:
    """Sender of a message. `ton` and `npi`: type of number and numbering plan of SMPP."""

    text: str
    kind: Literal["name", "short_code", "number"]

    @property
    def answerable(self) -> bool:
        """True if an SMS to it arrives here. People cannot answer a name."""
        return self.kind != "name"

    @property
    def ton(self) -> int:
        return {"name": 5, "short_code": 3, "number": 1}[self.kind]

    @property
    def npi(self) -> int:
        return 1 if self.kind == "number" else 0


def parse_origin(text: str) -> SmsOrigin:
    """Parse the sender id. Raise OriginInvalid."""
    if is_e164_number(text):
        return SmsOrigin(text, "number")
    if _SHORT_CODE.fullmatch(text):
        return SmsOrigin(text, "short_code")
    if _NAME.fullmatch(text):
        return SmsOrigin(text, "name")
    raise OriginInvalid(
        "doit être un numéro comme +33700000000, un numéro court de 5 chiffres, "
        "ou un nom de 3 à 11 lettres et chiffres, sans accent"
    )


def normalize_provider_number(text: str) -> str:
    """Normalize a number as providers write it (`33612…`, `+33612…`, `0033612…`)."""
    return normalize_dialled_number(text) or "+" + re.sub(r"\D", "", text).removeprefix("00")

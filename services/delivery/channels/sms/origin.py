"""Sender ids and addresses: what French operators carry, and whether an answer finds its way back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_FRENCH: Final = re.compile(r"33[1-9]\d{8}")
_SHORT_CODE: Final = re.compile(r"\d{5}")
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 .-]{1,9}[A-Za-z0-9]")


class OriginInvalid(ValueError):
    """No operator carries this sender id; the sentence says what one looks like."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a message comes from. `ton` and `npi`: type of number and numbering plan of SMPP."""

    text: str
    kind: Literal["name", "short_code", "number"]

    @property
    def answerable(self) -> bool:
        """An SMS to it arrives with us. Nobody can answer a name."""
        return self.kind != "name"

    @property
    def ton(self) -> int:
        return {"name": 5, "short_code": 3, "number": 1}[self.kind]

    @property
    def npi(self) -> int:
        return 1 if self.kind == "number" else 0


def origin(text: str) -> Origin:
    """The sender id. Raises OriginInvalid."""
    if _E164.fullmatch(text):
        return Origin(text, "number")
    if _SHORT_CODE.fullmatch(text):
        return Origin(text, "short_code")
    if _NAME.fullmatch(text):
        return Origin(text, "name")
    raise OriginInvalid(
        "must be a number like +33700000000, a short code of 5 digits, or a name of 3 to 11 letters and digits, unaccented"
    )


def is_address(text: str) -> bool:
    """A number that can be sent to: E.164 with the plus sign."""
    return _E164.fullmatch(text) is not None


def dialled(text: str) -> str | None:
    """A number as people write it (`06 12 34 56 78`, `+33 (0)6.12…`, `0033…`, `336…` from a spreadsheet) as networks want it; None when it is none."""
    plain = re.sub(r"[\s./()-]", "", text.replace("(0)", ""))
    for prefix, full in (("00", "+"), ("+330", "+33"), ("0", "+33")):
        if plain.startswith(prefix):
            plain = full + plain.removeprefix(prefix)
            break
    if _FRENCH.fullmatch(plain):
        plain = f"+{plain}"
    return (
        plain
        if is_address(plain) and (not plain.startswith("+33") or _FRENCH.fullmatch(plain[1:]))
        else None
    )


def same_number(text: str) -> str:
    """A number as providers write it back (`33612…`, `+33612…`, `0033612…`), in one form."""
    return dialled(text) or "+" + re.sub(r"\D", "", text).removeprefix("00")

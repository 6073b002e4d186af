"""Match the id in a provider's receipt with the id of the message that it took.

An SMSC may write the id as a hexadecimal number when it takes a message and as a decimal one in the
receipt, or the other way round, padded with zeros or in other case (Kannel's `msg-id-type`). Pure.
"""

from __future__ import annotations

import re
from typing import Final

from schemas.words import Channel

_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{1,64}")
AS_WRITTEN: Final = 0
"""Index into the result of `list_readings`."""


def build_reference_key(channel: Channel, provider_id: str) -> str:
    """Return `<channel>:<provider id>`, equal for all spellings of a number of that base."""
    number = _HEXADECIMAL.fullmatch(provider_id) is not None
    return f"{channel.value}:{provider_id.lower().lstrip('0') or '0' if number else provider_id}"


def list_readings(provider_id: str) -> tuple[str, str, str]:
    """Return the possible ids of a receipt's message: as written, in hexadecimal, in decimal.

    The second applies if the id is decimal, the third if it is hexadecimal; otherwise each is the
    id itself.
    """
    if _HEXADECIMAL.fullmatch(provider_id) is None:
        return provider_id, provider_id, provider_id
    as_decimal = f"{int(provider_id):x}" if provider_id.isdecimal() else provider_id
    return provider_id, as_decimal, str(int(provider_id, 16))

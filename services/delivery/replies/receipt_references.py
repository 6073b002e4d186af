"""Under which name a provider's receipt means a message that it took.

An SMSC may write the id of a message as a hexadecimal number when it takes it and as a decimal one in its receipt, or the other way round, padded
with zeros or in other letters (what Kannel sets by hand as `msg-id-type`). Pure.
"""

from __future__ import annotations

import re
from typing import Final

from schemas.words import Channel

_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{1,64}")
AS_WRITTEN: Final = 0
"""Place in `readings`."""


def reference_key(channel: Channel, provider_id: str) -> str:
    """`<channel>:<provider id>`, the same for every way to write a number of that base."""
    number = _HEXADECIMAL.fullmatch(provider_id) is not None
    return f"{channel.value}:{provider_id.lower().lstrip('0') or '0' if number else provider_id}"


def readings(provider_id: str) -> tuple[str, str, str]:
    """What the id of a receipt may be in the answer to its message: as written; if this is decimal, in hexadecimal; if it is hexadecimal, in decimal.

    The id itself where it cannot be read so.
    """
    if _HEXADECIMAL.fullmatch(provider_id) is None:
        return provider_id, provider_id, provider_id
    as_decimal = f"{int(provider_id):x}" if provider_id.isdecimal() else provider_id
    return provider_id, as_decimal, str(int(provider_id, 16))

"""Normalize the addresses of people: telephone numbers and webhooks."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_FRENCH: Final = re.compile(r"33[1-9]\d{8}")


def is_e164_number(text: str) -> bool:
    """Check whether text is a number that can be sent to: E.164 with the plus sign."""
    return _E164.fullmatch(text) is not None


def normalize_dialled_number(text: str) -> str | None:
    """Normalize a number as people write it to E.164; None if it is not a number.

    It accepts `06 12 34 56 78`, `+33 (0)6.12…`, `0033…` and `336…` from a spreadsheet.
    """
    plain = re.sub(r"[\s./()-]", "", text.replace("(0)", ""))
    for prefix, full in (("00", "+"), ("+330", "+33"), ("0", "+33")):
        if plain.startswith(prefix):
            plain = full + plain.removeprefix(prefix)
            break
    if _FRENCH.fullmatch(plain):
        plain = f"+{plain}"
    return (
        plain
        if is_e164_number(plain) and (not plain.startswith("+33") or _FRENCH.fullmatch(plain[1:]))
        else None
    )


def is_allowed_url(url: str) -> bool:
    """Return whether a webhook may be called: by https, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https" and host:
        return True
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return parts.scheme == "http" and loopback

"""The Idempotency-Key of a request: any string that is not too long (API.md). Front and console read it alike."""

from __future__ import annotations

from typing import Final

from services.runtime.http.problems import ProblemError, fault

MAX_KEY: Final = 128


def key_in(header: str | None) -> str | None:
    """Of a header as it came, in Latin-1 as HTTP once said: clients write in UTF-8 what is not ASCII. Raises ProblemError `key_invalid`."""
    if header is None:
        return None
    try:
        return checked_key(header.encode("latin-1").decode("utf-8"))
    except UnicodeDecodeError:
        return checked_key(header)


def checked_key(key: str) -> str:
    """Raises ProblemError `key_invalid`."""
    if not 1 <= len(key) <= MAX_KEY:
        raise ProblemError(
            "key_invalid",
            faults=(
                fault(
                    "Idempotency-Key",
                    "key_invalid",
                    f"1 à {MAX_KEY} caractères",
                    f"1 to {MAX_KEY} characters",
                ),
            ),
        )
    return key

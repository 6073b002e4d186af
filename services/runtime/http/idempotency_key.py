"""The Idempotency-Key of a request, read alike by front and console. It is any short string."""

from __future__ import annotations

from typing import Final

from services.runtime.http.problems import ProblemError, fault

MAX_KEY: Final = 128


def key_in(header: str | None) -> str | None:
    """Return the key in a header. Raises ProblemError `key_invalid`.

    HTTP delivers headers as Latin-1, but clients write other characters in UTF-8.
    """
    if header is None:
        return None
    try:
        return checked_key(header.encode("latin-1").decode("utf-8"))
    except UnicodeDecodeError:
        return checked_key(header)


def checked_key(key: str) -> str:
    """Check a key and return it. Raises ProblemError `key_invalid`."""
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

"""The Idempotency-Key of a request, read alike by front and console. It is any short string."""

from __future__ import annotations

from typing import Final

from services.runtime.http.problems import ProblemError, build_fault

MAX_KEY_CHARS: Final = 128


def read_key(header: str | None) -> str | None:
    """Return the key in a header. Raises ProblemError `key_invalid`.

    HTTP delivers headers as Latin-1, but clients write other characters in UTF-8.
    """
    if header is None:
        return None
    try:
        return check_key(header.encode("latin-1").decode("utf-8"))
    except UnicodeDecodeError:
        return check_key(header)


def check_key(key: str) -> str:
    """Check a key and return it. Raises ProblemError `key_invalid`."""
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise ProblemError(
            "key_invalid",
            faults=(
                build_fault(
                    "Idempotency-Key",
                    "key_invalid",
                    f"1 à {MAX_KEY_CHARS} caractères",
                    f"1 to {MAX_KEY_CHARS} characters",
                ),
            ),
        )
    return key

"""An Idempotency-Key is any string that is not too long, whichever door it comes to."""

from __future__ import annotations

import pytest

from services.runtime.http.problems import ProblemError
from services.runtime.http.request_headers import MAX_KEY_CHARS, check_key, read_key


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b"7f3a", "7f3a"),
        ("École à 8 h".encode(), "École à 8 h"),
        ("École".encode("latin-1"), "École"),
        (b"a\tb", "a\tb"),
        ("é".encode() * MAX_KEY_CHARS, "é" * MAX_KEY_CHARS),
    ],
)
def test_a_key_is_used_as_sent(sent: bytes, key: str) -> None:
    assert read_key(sent.decode("latin-1")) == key


def test_no_header_is_no_key() -> None:
    assert read_key(None) is None


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_CHARS + 1)])
def test_an_empty_or_long_key_is_refused(key: str) -> None:
    for read in (read_key, check_key):
        with pytest.raises(ProblemError, match="key_invalid"):
            read(key)

"""The console believes only the front about the identity of callers."""

from __future__ import annotations

from typing import Any

import pytest

from services.runtime.secrets.front_mark import HEADER, MINUTE_S, FrontGuard, FrontMark
from services.runtime.secrets.keyring import MasterKey

MARK = FrontMark(MasterKey(b"k" * 32))
NOW_S = 1_800_000_000.0
PEER = ("127.0.0.1", 5)


async def judged(headers: dict[str, str]) -> Any:
    """Return the scope that the application sees."""
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await FrontGuard(app, MARK)(
        {"type": "http", "scheme": "http", "client": PEER, "headers": raw}, None, None
    )
    return scopes[0]


FORWARDED = {
    "X-Forwarded-For": "10.0.0.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "vigie.example",
}


async def test_the_identity_marked_by_the_front_counts() -> None:
    scope = await judged({**FORWARDED, HEADER: MARK.make()})
    assert (scope["client"], scope["scheme"]) == (("10.0.0.9", 0), "https")
    assert dict(scope["headers"])[b"x-forwarded-host"] == b"vigie.example"
    assert HEADER.lower().encode() not in dict(scope["headers"])


@pytest.mark.parametrize(
    "mark",
    [{}, {HEADER: "0" * 64}, {HEADER: "é"}, {HEADER: FrontMark(MasterKey(b"x" * 32)).make()}],
)
async def test_an_identity_from_another_sender_is_ignored(mark: dict[str, str]) -> None:
    scope = await judged({**FORWARDED, "Forwarded": "for=10.0.0.9", **mark, "Accept": "text/html"})
    assert (scope["client"], scope["scheme"]) == (PEER, "http")
    assert scope["headers"] == [(b"accept", b"text/html")]


@pytest.mark.parametrize(
    ("later_s", "valid"),
    [(0, True), (MINUTE_S, True), (-MINUTE_S, True), (2 * MINUTE_S, False), (-2 * MINUTE_S, False)],
)
def test_a_mark_counts_for_its_minute_and_the_next(later_s: float, valid: bool) -> None:
    assert MARK.is_valid(FrontMark(MasterKey(b"k" * 32)).make(NOW_S), NOW_S + later_s) is valid

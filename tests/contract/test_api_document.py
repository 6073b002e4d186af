"""The committed page about the HTTP API is the one that the program makes."""

from __future__ import annotations

from tools.apidoc import TARGET, document


def test_the_api_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run: python -m tools.apidoc"

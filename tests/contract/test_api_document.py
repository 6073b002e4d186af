"""The committed page about the HTTP API is the one that the program makes."""

from __future__ import annotations

from tools.apidoc import TARGET, build_page


def test_the_api_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == build_page(), "run: python -m tools.apidoc"

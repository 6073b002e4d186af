"""Characters that cannot be seen change no page: they stay in what was sent, and out of what is shown."""

from __future__ import annotations

from services.console.pages.shell import Choice, html
from services.runtime.plain import show_plain

TURNS = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
CONTROLS = "\x00\x07\x08\x1b\x7f\x9b"


def test_a_page_shows_no_character_that_turns_the_words_around_it() -> None:
    words = {"title": f"a{TURNS}{CONTROLS}b", "detail": f"feu{TURNS}", "link": None, "link_label": ""}
    page = html("message.html", words, Choice("fr", None))
    assert not set(TURNS + CONTROLS) & set(page.decode())


def test_ends_of_lines_and_tabs_stay() -> None:
    assert show_plain("a\r\nb\tc\nd") == "a\r\nb\tc\nd"
    assert show_plain("avant\ravant") == "avant\N{REPLACEMENT CHARACTER}avant"

"""Invisible characters stay in the stored text and out of every page."""

from __future__ import annotations

import pytest

from services.console.documents.document import Document, DocumentLine, DocumentSection, Sheet
from services.console.documents.formats import render_standalone_html, render_text
from services.console.documents.pdf import _build_content, _show_controls
from services.console.web.shell import DisplayChoice, render_html
from services.runtime.http.control_characters import replace_control_characters

TURNS = "".join(map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
WITHOUT_A_SHAPE = (
    "\u00ad\u180e\u200b\u200c\u200d\u2028\u2029\u2060\u206a\u3164\ufeff\ufff9\U000e0041"
)
CONTROLS = "\x00\x07\x08\x1b\x7f\x9b"


def test_a_page_shows_no_character_that_reorders_text() -> None:
    words = {
        "title": f"a{TURNS}{CONTROLS}b",
        "detail": f"feu{TURNS}",
        "link": None,
        "link_label": "",
    }
    page = render_html("message.html", words, DisplayChoice("fr", None))
    assert not set(TURNS + CONTROLS) & set(page.decode())


@pytest.mark.parametrize("letter", WITHOUT_A_SHAPE, ids=ascii)
def test_an_invisible_letter_is_shown(letter: str) -> None:
    """With one in it, the code of no site looks like that of a site."""
    assert replace_control_characters(f"cen{letter}-1") == "cen\N{REPLACEMENT CHARACTER}-1"


def test_a_sign_of_several_characters_stays_one() -> None:
    family = "\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525"
    assert replace_control_characters(family) == family


def test_every_form_of_a_document_shows_invisible_characters() -> None:
    words = f"a{TURNS}b"
    section = DocumentSection(id="s", title=words, lines=(DocumentLine(text=words),))
    sheet = Sheet(
        title=words,
        subtitle="",
        intro="",
        footer="",
        page_of="{n}/{of}",
        sources_title="",
        sections=(section,),
    )
    document = Document(
        kind="retex",
        realm="92",
        territory="92",
        simulated=False,
        as_of=0,
        level=0,
        sheets={"fr": sheet},
    )
    assert not set(TURNS) & set(render_text(document, "fr"))
    assert not set(TURNS) & set(render_standalone_html(document, "fr", "").body.decode())
    assert not set(TURNS) & set(str(_show_controls(_build_content(document, "fr", "", ""))))
    assert render_text(document, "fr").count("\N{REPLACEMENT CHARACTER}") == 3 * len(TURNS)


def test_line_ends_and_tabs_stay() -> None:
    assert replace_control_characters("a\r\nb\tc\nd") == "a\r\nb\tc\nd"
    assert replace_control_characters("avant\ravant") == "avant\N{REPLACEMENT CHARACTER}avant"

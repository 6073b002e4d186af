"""The language of message templates."""

from __future__ import annotations

import pytest

from services.messages.phrases import MissingValue, cut_words, render, render_lines


def test_a_value_stands_in_its_place() -> None:
    assert render("N{n} : {what}", {"n": 3, "what": "Grève"}) == "N3 : Grève"


def test_a_number_takes_its_grammatical_form() -> None:
    assert render("{n:site|sites}", {"n": 1}) == "1 site"
    assert render("{n:site|sites}", {"n": 4}) == "4 sites"


@pytest.mark.parametrize("empty", [None, "", 0])
def test_a_passage_disappears_with_its_value(empty: object) -> None:
    assert render("a⟨, {x}⟩⟦ ({x})⟧.", {"x": empty}) == "a."  # type: ignore[dict-item]


def test_a_missing_value_of_a_template_is_reported() -> None:
    with pytest.raises(MissingValue):
        render("N{n} : {what}", {"n": 3})


def test_the_last_passage_is_left_out_first() -> None:
    template = "a⟦ b⟧⟨ c{x}⟩⟦ d⟧"
    assert [render(template, {"x": 1}, drop=drop) for drop in range(3)] == [
        "a b c1 d",
        "a b c1",
        "a c1",
    ]


def test_a_line_without_its_value_disappears() -> None:
    assert render_lines("a\n⟨b {x}⟩\n\nc", {}) == ["a", "", "c"]


def test_words_are_never_cut() -> None:
    assert cut_words("une coupure étendue", 13) == "une coupure…"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("prévue à {at}", "prévue le 12/02 à 18:00"),
        ("jusqu’à {at}", "jusqu’au 12/02 à 18:00"),
        ("à partir de {at}", "à partir du 12/02 à 18:00"),
        ("avant {at}", "avant le 12/02 à 18:00"),
    ],
)
def test_a_date_joins_the_word_before_it(template: str, said: str) -> None:
    assert render(template, {"at": "le 12/02 à 18:00"}) == said
    assert render(template, {"at": "18:00"}) == template.replace("{at}", "18:00")


def test_a_date_joins_the_word_before_it_in_english() -> None:
    assert (
        render("expected at {at}", {"at": "5 December at 08:15"})
        == "expected on 5 December at 08:15"
    )
    assert render("expected at {at}", {"at": "08:15"}) == "expected at 08:15"

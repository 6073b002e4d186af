"""The screens and the guide speak the French of a préfecture: phrases that misled stay gone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from services.messages import load_phrases
from tests.guide import FOLDER, screen_texts

SHORT_ANSWERS = (r"\bJe prends\b(?! en charge)", r"Vous prenez")
"""Answers of an SMS and a call, «1 : je prends», which have no room for more."""
OLD = [
    r"Plus d’eau",
    r"Plus d’électricité",
    r"Plus de chauffage",
    r"\bacquitt",
    r"barreau",
    r"casse d’abord",
    r"\bmot de ce site",
    r"tout mot du site",
    r"[Vv]otre mot\b",
    r"Pourquoi ce mot",
    r"Preuve de préparation",
    r"\btrous?\b",
    r"plus rien ne l’explique",
    r"Fermeture du déroulé",
    r"ce site porte",
    r"Adhérence",
    r"[Ââ]ge des données",
    r"\bsu\b",
    r"Mise à l’abri",
    r"Appel général",
    r"ni de santé",
    r"n’est celui de personne",
    r"se tait\b",
    r"[Rr]etour annoncé",
    r"Retour en retard",
    r"En retour\b",
    r"Manque d’agents",
    r"demandes? d’attention",
    r"Hôtes écartés",
    r"agents saufs",
    r"horodatée à la frappe",
    r"prise en charge, puis rien",
    r"là d’où vient l’alerte",
    r"Aucuns travaux",
    r"Fin déclarée :",
    r"Contre la période",
    r"Tenir Vigie",
    r"Si tout est perdu",
    r"faits de sûreté",
    r"malades d’une même cuisine",
    r"premières eaux",
    r"La porte d’entrée",
    r"non prouvé",
    r"meilleure borne",
    r"sévérité",
    r"horloges? (ne court|ne tourne|en marche)",
    r"\bR[1-59] :",
    r"je rejoins la cellule",
    *SHORT_ANSWERS,
    r"\bEntrer\b",
    r"Ce qui vient\b",
    r"Octets reçus",
]
"""Phrases that a reader could take two ways, or that no office would write."""


def french_texts() -> Iterator[tuple[str, str]]:
    """Yield every French text of console, messages and guide, with its place."""
    yield from (("console", text) for text in screen_texts())
    yield from (("messages", text) for text in _list_strings(load_phrases("fr").words))
    for page in FOLDER.glob("*.md"):
        yield page.name, " ".join(page.read_text(encoding="utf-8").split())


def _list_strings(words: object) -> Iterator[str]:
    if isinstance(words, Mapping):
        for value in words.values():
            yield from _list_strings(value)
    elif isinstance(words, str):
        yield words


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    return list(french_texts())


@pytest.mark.parametrize("old", OLD)
def test_a_phrase_that_misled_is_gone(old: str, texts: list[tuple[str, str]]) -> None:
    pattern = re.compile(old, re.IGNORECASE)
    occurrences = [
        (place, text[:120])
        for place, text in texts
        if pattern.search(text) and not (place == "messages" and old in SHORT_ANSWERS)
    ]
    assert occurrences == []


def test_the_phrases_are_looked_for_in_all_texts(texts: list[tuple[str, str]]) -> None:
    assert len(texts) > 1000
    assert any("Prendre en charge" in text for _, text in texts)
    assert any("prenez en charge" in text.lower() for place, text in texts if place == "messages")

"""The cell reads fallback strategies in plain words."""

from __future__ import annotations

import pytest

from services.console.i18n import get_translator
from services.console.texts.names import name_strategy


@pytest.mark.parametrize(
    ("listed", "lang", "told"),
    [
        ("SR-TELE", "fr", "télétravail"),
        ("SR-TELE", "en", "telework"),
        ("SR-SITE:datacenter de secours", "fr", "repli sur un autre site (datacenter de secours)"),
        (
            "SR-SITE:protection_enfance|gymnase",
            "fr",
            "repli sur un autre site (sites de protection de l’enfance ou gymnases)",
        ),
        (
            "SR-SITE:pole_social_sst voisin|mairie/CCAS",
            "fr",
            "repli sur un autre site (SST voisin ou mairie/CCAS)",
        ),
        ("SR-MUT: bailleurs/communes", "en", "mutual aid (bailleurs/communes)"),
        ("SR-NOUVEAU:x", "fr", "SR-NOUVEAU (x)"),
    ],
)
def test_a_strategy_is_written_in_plain_words(listed: str, lang: str, told: str) -> None:
    assert name_strategy(listed, get_translator(lang)) == told

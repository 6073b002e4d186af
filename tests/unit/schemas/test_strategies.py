"""One row of one table makes a fallback strategy."""

from __future__ import annotations

import pytest

from schemas.catalogue import strategies
from schemas.catalogue.event_types import Text
from schemas.catalogue.strategies import (
    STRATEGIES,
    StrategyType,
    list_strategy_names,
    needs_outside_help,
)
from services.console.i18n import get_translator
from services.console.texts.names import name_strategy
from services.messages.phrases import load_phrases
from tests.shipped import territory


def test_every_listed_strategy_has_its_row() -> None:
    """A typo in a territory was shown as it is."""
    listed = {
        strategy.partition(":")[0].strip()
        for section in territory().sections
        for activity in getattr(section, "activities", ())
        for strategy in activity.strategies
    }
    assert listed
    assert listed <= set(STRATEGIES), "add a row to schemas/catalogue/strategies.py"


def test_names_of_strategies_are_translated() -> None:
    _ = get_translator("en")
    assert [text.fr for text in list_strategy_names() if _(text.fr) != text.en] == []


def test_suppliers_and_partners_are_outside_help() -> None:
    assert {code for code in STRATEGIES if needs_outside_help(code)} == {"SR-MUT", "SR-FOUR"}
    assert needs_outside_help("SR-MUT : hôpital voisin")
    assert not needs_outside_help("SR-AUTRE")


def test_a_new_row_is_named_on_screens_and_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    new = StrategyType(
        "SR-PRET",
        Text("prêt de matériel", "loan of equipment"),
        Text("prêt de matériel", "loan of equipment"),
        outside_help=True,
    )
    monkeypatch.setitem(strategies.STRATEGIES, new.code, new)
    load_phrases.cache_clear()
    try:
        assert needs_outside_help("SR-PRET:camion")
        assert name_strategy("SR-PRET:camion", get_translator("fr")) == "prêt de matériel (camion)"
        assert load_phrases("en").term("strategies", "SR-PRET") == "loan of equipment"
    finally:
        load_phrases.cache_clear()

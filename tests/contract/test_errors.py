"""The error catalogue is the one that the program makes, and every refusal of a decider has its row."""

from __future__ import annotations

from services.console.incidents.titles import REFUSALS
from services.runtime.http.problems import CATALOGUE
from tools.errordoc import TARGET, build_page, collect_refusals


def test_the_error_catalogue_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == build_page(), "run: python -m tools.errordoc"


def test_every_refusal_that_a_decider_names_has_its_sentence() -> None:
    assert {"version_changed", "role_too_low", "callout_over", "not_dead"} <= set(
        collect_refusals()
    )
    assert set(collect_refusals()) - set(REFUSALS) == set()


def test_problems_of_front_and_console_are_all_there() -> None:
    assert {"broker_away", "store_away", "out_of_scope", "realm_unknown"} <= set(CATALOGUE)

"""The error catalogue is the one that the program makes, and every refusal of a decider has its row."""

from __future__ import annotations

from collections import Counter

import pytest

from services.console.incidents.titles import REFUSALS, write_refusal
from services.runtime.http.problems import CATALOGUE
from tools.errordoc import TARGET, build_page, collect_refusals


def test_the_error_catalogue_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == build_page(), "run: python -m tools.errordoc"


def test_every_refusal_that_a_decider_names_has_its_sentence() -> None:
    assert {"version_conflict", "role_too_low", "callout_over", "not_dead"} <= set(
        collect_refusals()
    )
    assert set(collect_refusals()) - set(REFUSALS) == set()


def test_refusal_codes_have_one_vocabulary() -> None:
    """A client had to know `site_unknown` and `unknown_site`, and two words for three others."""
    unlike = {code for code in collect_refusals() if "unknown" in code.split("_")}
    assert unlike == set(), "call it <noun>_not_found"
    assert [s for s, times in Counter(REFUSALS.values()).items() if times > 1] == []


@pytest.mark.parametrize(
    ("former", "code"),
    [
        ("site_unknown", "site_not_found"),
        ("unknown_site", "site_not_found"),
        ("version_changed", "version_conflict"),
        ("version_mismatch", "version_conflict"),
        ("reason_needed", "reason_required"),
        ("until_in_past", "until_past"),
    ],
)
def test_refusals_of_older_logs_are_shown_as_today(former: str, code: str) -> None:
    assert write_refusal(former, {}, "fr") == write_refusal(code, {}, "fr")


def test_problems_of_front_and_console_are_all_there() -> None:
    assert {"broker_away", "store_away", "out_of_scope", "realm_unknown"} <= set(CATALOGUE)

"""The error catalogue is the one that the program makes, and every refusal of a decider has its row."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import pytest

from services.console.incidents.titles import REFUSALS, write_refusal
from services.runtime.http.problems import CATALOGUE
from tools.errordoc import TARGET, build_page, collect_refusals

_IMPERATIVE: Final = re.compile(r"(?i)\b(?!avez)\w+ez\b")


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


@pytest.mark.parametrize("code", sorted(c for c, kind in CATALOGUE.items() if kind.status >= 500))
def test_a_fault_of_the_server_names_the_next_step(code: str) -> None:
    """`La mémoire de lecture ne répond pas.` left a site manager with the question: and now?"""
    assert _IMPERATIVE.search(CATALOGUE[code].detail["fr"]) is not None


@pytest.mark.parametrize(
    "code", ["login_failed", "not_found", "realm_unknown", "resource_unknown", "cursor_invalid"]
)
def test_a_missing_thing_names_the_next_step(code: str) -> None:
    assert _IMPERATIVE.search(CATALOGUE[code].detail["fr"]) is not None


@pytest.mark.parametrize(
    "code",
    ["until_past", "span_over", "wrong_territory", "fallback_full", "realm_exists", "window_past"],
)
def test_a_refused_value_can_be_corrected(code: str) -> None:
    assert _IMPERATIVE.search(REFUSALS[code]) is not None


def test_problems_use_no_words_of_programmers() -> None:
    texts = [kind.title["fr"] + " " + kind.detail["fr"] for kind in CATALOGUE.values()]
    assert [t for t in texts if re.search(r"(?i)codage|curseur|mémoire de|\bcorps\b", t)] == []

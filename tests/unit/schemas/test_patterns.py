"""Patterns of silences and rules are RE2, which matches foreign text in linear time."""

from __future__ import annotations

import time

import pytest

from schemas.matchers import Matcher, PatternInvalid, check_pattern, matches_whole

SLOW = ("(a+)+$", "(a|a)*b", "(.*a){12}", ".*.*.*.*.*=x", "(a?){60}a{60}")
"""Each takes Python's engine longer than anybody waits, on a label of 256 characters."""


@pytest.mark.parametrize("pattern", SLOW)
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    began = time.perf_counter()
    assert Matcher(name="instance", value=pattern, regex=True).takes("a" * 255 + "!") is False
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", "((a{100}){100}){100}"])
def test_a_pattern_outside_re2_is_refused_on_entry(pattern: str) -> None:
    with pytest.raises(PatternInvalid, match=r"\S"):
        check_pattern(pattern)
    matcher = Matcher(name="instance", value=pattern, regex=True) if pattern != "(" else None
    if matcher is not None:
        with pytest.raises(PatternInvalid):
            matcher.check()
        assert not matcher.takes("a"), "one that an older log holds matches nothing"


def test_a_pattern_matches_the_whole_text_and_only_a_rule_ignores_case() -> None:
    assert matches_whole(r"web\d+|db-.*", "web12")
    assert not matches_whole(r"web\d+|db-.*", "web12.local")
    assert not matches_whole("écran", "ÉCRAN")
    assert matches_whole("écran", "ÉCRAN", any_case=True)
    assert not matches_whole("a", "\ud800")

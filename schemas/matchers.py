"""Compare labels with values and foreign patterns, as Alertmanager does.

RE2 matches the patterns, also in deciders, in linear time. Python's own engine would practically
never end for `(a+)+$` and forty letters.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2
from pydantic import Field

from schemas.base import Model

MAX_PATTERN = 500
_MATCHER = re.compile(r"([A-Za-z_:][\w:.-]*)\s*(=~|!~|!=|=)\s*(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)")


class PatternInvalid(ValueError):
    """Signal a pattern that RE2 rejects: its syntax, look-around, back-reference or size."""


class Matcher(Model):
    """One label compared with a value, as in Alertmanager.

    A regular expression must match the whole value; a missing label is empty.
    """

    name: str = Field(min_length=1, max_length=128)
    value: str = Field(max_length=MAX_PATTERN)
    regex: bool = False
    equal: bool = Field(default=True, description="false: everything except this value")

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        """Parse `name=value`, `name!=value`, `name=~regex` or `name!~regex`.

        The value may be quoted. Raises ValueError.
        """
        text_match = _MATCHER.fullmatch(text.strip())
        if text_match is None:
            raise ValueError(f"not a matcher: {text!r} (alertname=Down, instance!~web.*)")
        value = text_match[3]
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(r"\1", value[1:-1])
        matcher = cls(
            name=text_match[1],
            value=value,
            regex="~" in text_match[2],
            equal=text_match[2][0] == "=",
        )
        matcher.check()
        return matcher

    @property
    def takes_nothing(self) -> bool:
        """True if it also matches alerts without such a label."""
        return self.takes("")

    def takes(self, value: str) -> bool:
        """Return whether it matches this value of its label."""
        is_match = matches_whole(self.value, value) if self.regex else value == self.value
        return is_match is self.equal

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether it matches these labels; a missing label is empty, as in Alertmanager."""
        return self.takes(labels.get(self.name, ""))

    def check(self) -> None:
        """Raise PatternInvalid for an expression that RE2 does not know.

        Commands are checked; in an older log such an expression matches nothing.
        """
        if self.regex:
            check_pattern(self.value)


def matches_whole(pattern: str, text: str, *, any_case: bool = False) -> bool:
    """Return whether the pattern matches the whole text, in linear time.

    An invalid pattern matches nothing.
    """
    try:
        return (
            _compile_pattern(pattern, any_case).fullmatch(text.encode("utf-8", "replace").decode())
            is not None
        )
    except PatternInvalid:
        return False


def check_pattern(pattern: str) -> None:
    """Raise PatternInvalid, with an English explanation, for an invalid pattern."""
    _compile_pattern(pattern, any_case=False)


@lru_cache(maxsize=4096)
def _compile_pattern(pattern: str, any_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not any_case
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        what = error.args[0]
        raise PatternInvalid(
            what.decode("utf-8", "replace") if isinstance(what, bytes) else "not UTF-8"
        ) from None

"""Regular expressions from outside, in RE2: as Alertmanager and Prometheus write them, and none can hold a process up.

A pattern is matched against what others send, in the decider too. Python's own engine needs more than a lifetime for `(a+)+$` and forty letters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2


class PatternInvalid(ValueError):
    """RE2 does not know it: a fault of syntax, a look-around, a back-reference, or it is too large."""


def whole_match(pattern: str, text: str, *, any_case: bool = False) -> bool:
    """True if the pattern matches the whole text, in time linear in its length. One that RE2 does not know matches nothing."""
    try:
        return (
            _compiled(pattern, any_case).fullmatch(text.encode("utf-8", "replace").decode())
            is not None
        )
    except PatternInvalid:
        return False


def check(pattern: str) -> None:
    """Raises PatternInvalid, with what is wrong in English."""
    _compiled(pattern, any_case=False)


@lru_cache(maxsize=4096)
def _compiled(pattern: str, any_case: bool) -> Any:
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

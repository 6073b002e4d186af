"""Reject free text in commands: it belongs in `texts`.

A command stays on a log for ever, even one that its decider refuses. So every string of every
command is checked here, on all routes. Rule D58.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from schemas.base import Command
from services.runtime.http.problems import ProblemError, build_fault

CODE: Final = re.compile(r"[A-Za-z0-9_.:~|*@/+-]{1,128}")
"""Codes as in reports, plus the characters of ids of realms, rows and principals."""
_RRULE: Final = re.compile(r"[A-Z0-9=;,:+-]{1,200}")
PUBLISHING_COMMANDS: Final = frozenset(
    {"PublishReference", "DraftReference", "ProposeReference", "ApproveReference"}
)
"""Commands with the territory's own data, which two persons approve before publication."""
CHECKED_ELSEWHERE: Final = frozenset(
    {
        "ActivateStrategy.strategy",
        "EndStrategy.strategy",
        "PlanMaintenance.matchers",
        "ChangeMaintenance.matchers",
    }
)
"""Fields with their own check.

Strategies must be in the territory's list; matchers are patterns of a monitoring system's labels.
"""


def check_free_text(command: Command) -> None:
    """Check that a command holds no free text. Raises ProblemError `invalid` with the fields."""
    name = type(command).__name__
    if name in PUBLISHING_COMMANDS:
        return
    faults = [
        build_fault(
            field,
            "token",
            "un code ou un identifiant est attendu : lettres sans accent, chiffres, . _ : - et "
            "aucun espace",
            "a code or an id is expected: letters without accents, digits, . _ : - and no space",
        )
        for field, word in _iterate_strings(command)
        if f"{name}.{field}" not in CHECKED_ELSEWHERE and not _is_code(field, word)
    ]
    if faults:
        raise ProblemError("invalid", faults=tuple(faults[:20]))


def _is_code(field: str, word: str) -> bool:
    pattern = _RRULE if field == "rrule" else CODE
    return not word or pattern.fullmatch(word) is not None


def _iterate_strings(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string with the name of its field."""
    if isinstance(value, str):
        yield field, str(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _iterate_strings(
                getattr(value, name), field if field == "matchers" else name
            )
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield field, str(key)
            yield from _iterate_strings(inner, field)
    elif isinstance(value, tuple | list | frozenset | set):
        for inner in value:
            yield from _iterate_strings(inner, field)

"""No command with a free word reaches a log, whichever command and field it is (D58)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.base import Command, load_messages, message_class
from schemas.export import build_sample as sample_of
from services.console.http.command_texts import (
    CHECKED_ELSEWHERE,
    PUBLISHING_COMMANDS,
    check_free_text,
)
from services.runtime.http.problems import ProblemError

CANARY = "Mme Zébulon"
COMMANDS = sorted(
    (
        c
        for c in load_messages().values()
        if issubclass(c, Command) and c.__name__ not in PUBLISHING_COMMANDS
    ),
    key=lambda c: c.__name__,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every string in a dumped command."""
    if isinstance(value, str):
        return [path]
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [place for key, inner in members for place in places(inner, (*path, key))]


def planted(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return CANARY
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = planted(copy[path[0]], path[1:])
    return copy


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_free_text_in_any_field_of_a_command_is_refused_with_the_field(kind: type[Command]) -> None:
    sample = sample_of(kind, full=True)
    check_free_text(kind.model_validate(sample))
    looked_at = 0
    for path in places(sample):
        try:
            command = kind.model_validate(planted(sample, path))
        except ValidationError:
            continue  # an enumeration, a date or a pattern: the schema refuses it
        names = [part for part in path if isinstance(part, str)]
        if any(f"{kind.__name__}.{name}" in CHECKED_ELSEWHERE for name in names):
            continue
        with pytest.raises(ProblemError) as caught:
            check_free_text(command)
        assert caught.value.problem.code == "invalid"
        assert {f.field for f in caught.value.problem.faults} <= set(names)
        looked_at += 1
    assert looked_at >= 2, "author and role at least"


def test_ids_codes_and_rules_are_let_through() -> None:
    for word in (
        "4f0e8a52-8a3c-5f39-9c53-0d6c7d7f1a3e",
        "92~ex-7",
        "pole:solidarites",
        "text:cmd-0a-1b",
        "ACT-12|SR-TELE",
        "p-dupont",
    ):
        command = message_class("vigie.ConfirmReport.v1").model_validate(
            {"author": "p-1", "role": "cell", "report": word}
        )
        assert isinstance(command, Command)
        check_free_text(command)

"""Page `/mise-en-service`: one line per condition with its button, and the notice for the cell.

Rule D111.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.console.commissioning.checks import (
    STATE_LABELS,
    CheckState,
    JudgedCondition,
    list_grave,
)
from services.console.i18n import Translator


@dataclass(frozen=True, slots=True)
class ConditionLine:
    """One condition as displayed."""

    key: str
    title: str
    state: CheckState
    word: str
    text: str
    at: datetime | None
    grave: bool
    path: str
    button: str
    command: str


def build_condition_lines(
    judged_conditions: Sequence[JudgedCondition], _: Translator
) -> list[ConditionLine]:
    """Build the lines of the page."""
    return [
        ConditionLine(
            key=one.condition.key,
            title=_(one.condition.title),
            state=one.finding.state,
            word=_(STATE_LABELS[one.finding.state]),
            text=one.finding.text,
            at=one.finding.at,
            grave=one.is_grave,
            path=one.condition.path,
            button=_(one.condition.button),
            command=one.condition.command if one.finding.state != "done" else "",
        )
        for one in judged_conditions
    ]


def list_missing(judged_conditions: Sequence[JudgedCondition], _: Translator) -> list[str]:
    """Name the conditions that are missing and must not be, for the notice of the first page."""
    return [_(one.condition.title).lower() for one in list_grave(judged_conditions)]

"""Page `/mise-en-service`: the conditions of the first day. Rule D111."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.console.commissioning.checks import (
    STATE_LABELS,
    CheckState,
    JudgedCondition,
    judge_conditions,
    list_grave,
)
from services.console.commissioning.reading import read_deeds
from services.console.http.context import check_live_realm
from services.console.i18n import N_, Translator
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission


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


async def build_commissioning_page(x: ScreenData) -> dict[str, Any]:
    """Build `commissioning.html`: the conditions of the first day. Rule D111.

    Raises ProblemError `forbidden`, or `out_of_scope` for an account that sees no live realm.
    """
    reader = x.shell.reader
    live = check_live_realm(x.request, reader.principal, x.shell.realm.name)
    deeds = await read_deeds(x.request, x.queries, live)
    lines = build_condition_lines(judge_conditions(deeds, x._), x._)
    return {
        "lines": lines,
        "done": sum(line.state == "done" for line in lines),
        "version": deeds.live.version,
        "checked_at": deeds.now,
    }


PAGE: Final = ScreenPage(
    "commissioning",
    "/mise-en-service",
    "commissioning.html",
    build_commissioning_page,
    N_("Mise en service"),
    needs=Permission.AUDIT_READ,
    is_cached=False,
    past=False,  # it changes without a fact on any log
)

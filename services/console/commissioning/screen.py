"""Page `/mise-en-service`: the conditions of the first day. Rule D111."""

from collections.abc import Sequence
from typing import Any, Final

from services.console.commissioning.checks import (
    STATE_LABELS,
    JudgedCondition,
    judge_conditions,
    list_grave,
)
from services.console.commissioning.reading import read_deeds
from services.console.http.context import check_live_realm
from services.console.i18n import N_, Translator
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission


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
    judged_conditions = judge_conditions(deeds, x._)
    return {
        "judged_conditions": judged_conditions,
        "state_labels": STATE_LABELS,
        "done": sum(one.finding.state == "done" for one in judged_conditions),
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

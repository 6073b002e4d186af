"""Page `/mise-en-service`: the conditions of the first day. Rule D111."""

from __future__ import annotations

from typing import Any, Final

from services.console.commissioning.checks import judge_conditions
from services.console.commissioning.page import build_condition_lines
from services.console.commissioning.reading import read_deeds
from services.console.http.context import check_live_realm
from services.console.i18n import N_
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission


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

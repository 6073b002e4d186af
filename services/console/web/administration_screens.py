"""Build the screens for the operators of an installation."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from services.console.commissioning.checks import judge_conditions
from services.console.commissioning.page import build_condition_lines
from services.console.commissioning.reading import read_deeds
from services.console.http.context import check_realm
from services.console.web.access import require_reader
from services.console.web.personal_screens import PersonalScreens
from services.runtime.identity.permissions import Permission


class AdministrationScreens(PersonalScreens):
    """All screens; those of this module are never cached: they change without a fact on any log."""

    async def commissioning(self, request: Request) -> dict[str, Any]:
        """Build `commissioning.html`: the conditions of the first day. Rule D111.

        Raises ProblemError `forbidden`, or `out_of_scope` for an account that sees no live realm.
        """
        reader = require_reader(request, Permission.AUDIT_READ)
        check_realm(request, reader.principal, None)
        x = await self._load(request, "commissioning")
        deeds = await read_deeds(request, self._queries)
        lines = build_condition_lines(judge_conditions(deeds, x._), x._)
        return {
            **self._around(request, x),
            "lines": lines,
            "done": sum(line.state == "done" for line in lines),
            "version": deeds.live.version,
            "checked_at": deeds.now,
        }

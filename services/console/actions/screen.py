"""Page `/actions`: actions that people asked for, and tasks. Rule D87."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.actions import page as actions_page
from services.console.actions import rights as actions_rights
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    load_action_lines,
    load_screen_data,
)
from services.runtime.identity.permissions import Permission


async def build_actions_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `actions.html`: actions and tasks, and the form to ask. Rule D87."""
    x = await load_screen_data(queries, request, PAGE.name)
    lines = await load_action_lines(x)
    principal, _ = x.shell.reader.principal, x._
    asks = x.shell.reader.may(Permission.INCIDENT_DECIDE)
    own = actions_rights.list_scopes(principal, x.reference) if asks else None
    assignees = actions_page.list_assignees(
        x.reference, _, lambda scope: own is None or scope in own
    )
    return {
        **build_page_context(request, x),
        "groups": actions_page.group_lines(lines, _),
        "asks": asks,
        "about": request.query_params.get("incident", ""),
        "assignees": assignees if asks else [],
        "plans": [(p.id, x.names.plan(p.id)) for p in x.reference.plans.values()],
        "priorities": actions_page.PRIORITY_LABELS,
        "due_value": actions_page.propose_due(x.shell.now),
    }


PAGE: Final = WebPage(
    "actions",
    "/actions",
    "actions.html",
    build_actions_page,
    N_("Actions"),
    personal=True,  # actions show their words to the people concerned (rule D87)
)

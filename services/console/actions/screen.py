"""Page `/actions`: actions that people asked for, and tasks. Rule D87."""

from typing import Any, Final

from services.console.actions import page as actions_page
from services.console.actions import rights as actions_rights
from services.console.i18n import N_
from services.console.web.screen_context import ScreenData, ScreenPage, load_action_lines
from services.runtime.identity.permissions import Permission


async def build_actions_page(x: ScreenData) -> dict[str, Any]:
    """Build `actions.html`: actions and tasks, and the form to ask. Rule D87."""
    lines = await load_action_lines(x)
    principal, _ = x.shell.reader.principal, x._
    asks = x.shell.reader.may(Permission.INCIDENT_DECIDE)
    own = actions_rights.list_scopes(principal, x.reference) if asks else None
    assignees = actions_page.list_assignees(
        x.reference, _, lambda scope: own is None or scope in own
    )
    return {
        "groups": actions_page.group_lines(lines, _),
        "asks": asks,
        "about": x.request.query_params.get("incident", ""),
        "assignees": assignees if asks else [],
        "plans": [(p.id, x.names.plan(p.id)) for p in x.reference.plans.values()],
        "priorities": actions_page.PRIORITY_LABELS,
        "due_value": actions_page.propose_due(x.shell.now),
    }


PAGE: Final = ScreenPage(
    "actions",
    "/actions",
    "actions.html",
    build_actions_page,
    N_("Actions"),
    personal=True,  # actions show their words to the people concerned (rule D87)
)

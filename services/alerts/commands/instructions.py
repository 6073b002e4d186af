"""Instructions of the cell to a site: a task of its manager, and a message (D99)."""

from __future__ import annotations

from typing import Final

from schemas import commands as c
from schemas.ranks import SITE_MANAGER_ROLE
from services.alerts import tasks
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import notifications
from services.alerts.lookups import get_incident, get_report
from services.alerts.reference import constants
from services.runtime.decider.refusal import CommandResult, RefusedCommand

TEMPLATE: Final = "instruction"


def instruct_site(draft: AlertsDecision, command: c.InstructSite) -> CommandResult:
    """Open the task of the site's manager and notify them, or their deputy.

    A maintenance window does not withhold a person's text.
    """
    if command.site not in draft.territory.sites:
        raise RefusedCommand(404, "site_not_found", site=command.site)
    incident = command.incident
    if command.report is not None:
        get_report(draft, command.report)
        incident = incident or draft.incident_of(command.report)
    row = get_incident(draft, incident) if incident is not None else None
    due_at = draft.now + constants.INSTRUCTION_DUE_MS
    tasks.open_task(
        draft,
        "instruction",
        site=command.site,
        incident=incident,
        report=command.report,
        due_at=due_at,
        owner=f"{SITE_MANAGER_ROLE}:{command.site}",
        text_id=command.text_id,
        asked_by=command.author,
    )
    task = tasks.find_open_task(draft, "instruction", command.text_id)
    assert task is not None
    loud = row is not None and notifications.get_suppression_reason(row) is None
    notifications.inform_roles(
        draft,
        (SITE_MANAGER_ROLE,),
        pole=None,
        site=command.site,
        incident=incident if loud else None,
        template=TEMPLATE,
        values={"text": command.text_id, "site": command.site, "limit_at": due_at},
    )
    return {"task": task.id, "site": command.site}

"""Instructions of the cell to a site: a task of its manager, and a message (D99)."""

from __future__ import annotations

from typing import Final

from schemas import commands as c
from services.alerts import tasks
from services.alerts.commands.refusal import Refused, Result, incident_of, report_of
from services.alerts.decision import Draft
from services.alerts.escalation import notifications
from services.alerts.reference import constants

MANAGER: Final = "responsable_site"
TEMPLATE: Final = "instruction"


def instruct_site(draft: Draft, command: c.InstructSite) -> Result:
    """Open the task of the site's manager and tell them, or their deputy. Planned works do not withhold what a person wrote."""
    if command.site not in draft.territory.sites:
        raise Refused(404, "site_unknown", site=command.site)
    incident = command.incident
    if command.report is not None:
        report_of(draft, command.report)
        incident = incident or draft.incident_of(command.report)
    row = incident_of(draft, incident) if incident is not None else None
    due_at = draft.now + constants.INSTRUCTION_DUE_MS
    tasks.ask(
        draft,
        "instruction",
        site=command.site,
        incident=incident,
        report=command.report,
        due_at=due_at,
        owner=f"{MANAGER}:{command.site}",
        text_id=command.text_id,
        asked_by=command.author,
    )
    task = tasks.open_one(draft, "instruction", command.text_id)
    assert task is not None
    loud = row is not None and notifications.held_back(row) is None
    notifications.attend(
        draft,
        (MANAGER,),
        pole=None,
        site=command.site,
        incident=incident if loud else None,
        template=TEMPLATE,
        values={"text": command.text_id, "site": command.site, "limit_at": due_at},
    )
    return {"task": task.id, "site": command.site}

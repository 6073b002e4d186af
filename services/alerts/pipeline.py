"""The steps after the facts of an input, in their order."""

from __future__ import annotations

from services.alerts.causes import site_status, suppression
from services.alerts.decision import Decision
from services.alerts.declarations import flags
from services.alerts.escalation import escalations, manager_messages
from services.alerts.incidents import level_incidents
from services.alerts.levels import levels, lowering


def update_derived_state(draft: Decision, touched: frozenset[str] = frozenset()) -> None:
    """Bring everything that depends on the decision up to date: causes, sites, levels, escalations.

    `touched` names indexes and topics to evaluate in addition to those that the input changed.
    """
    ended = tuple(draft.ended)
    flags.restore_dependencies(draft)
    suppression.suppress_alerts(draft)
    for site in sorted(draft.doubtful):
        site_status.judge_site(draft, site)
    draft.doubtful.clear()
    draft.words.clear()
    rises = levels.evaluate_rules(draft, draft.touched() | touched)
    level_incidents.open_level_incident(draft, rises)
    lowering.propose_lowering(draft, ended)
    draft.flush()
    escalations.update_escalations(draft, rises)
    manager_messages.tell(draft)
    draft.flush()

"""After the facts of an input: causes are hushed or not, sites are judged, predicates evaluated, levels raised, ladders started, rows written."""

from __future__ import annotations

from services.alerts.causes import site_status, suppression
from services.alerts.decision import Draft
from services.alerts.declarations import flags
from services.alerts.escalation import escalations, manager_messages
from services.alerts.incidents import level_incidents
from services.alerts.levels import levels, lowering


def settle(draft: Draft, touched: frozenset[str] = frozenset()) -> None:
    """Bring everything that depends on what was decided up to date. `touched`: evaluate at least this."""
    ended = tuple(draft.ended)
    flags.follow(draft)
    suppression.hush(draft)
    for site in sorted(draft.doubtful):
        site_status.judge(draft, site)
    draft.doubtful.clear()
    draft.words.clear()
    rises = levels.evaluate(draft, draft.touched() | touched)
    level_incidents.open_for_level(draft, rises)
    lowering.propose(draft, ended)
    draft.flush()
    escalations.follow(draft, rises)
    manager_messages.tell(draft)
    draft.flush()

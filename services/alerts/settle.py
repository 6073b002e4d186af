"""After the facts of an input: causes are hushed or not, sites are judged, predicates evaluated, levels raised, ladders started, rows written."""

from __future__ import annotations

from services.alerts import escalation, flags, levels, lowering, managers, openings, quiet, site_status
from services.alerts.draft import Draft


def settle(draft: Draft, touched: frozenset[str] = frozenset()) -> None:
    """Bring everything that depends on what was decided up to date. `touched`: evaluate at least this."""
    ended = tuple(draft.ended)
    flags.follow(draft)
    quiet.hush(draft)
    for site in sorted(draft.doubtful):
        site_status.judge(draft, site)
    draft.doubtful.clear()
    draft.words.clear()
    rises = levels.evaluate(draft, draft.touched() | touched)
    openings.open_for_level(draft, rises)
    lowering.propose(draft, ended)
    draft.flush()
    escalation.follow(draft, rises)
    managers.tell(draft)
    draft.flush()

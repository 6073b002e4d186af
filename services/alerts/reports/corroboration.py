"""Confirm an unconfirmed report that adds nothing to a confirmed cause.

The order of the two reports does not matter. Rule D6, confirmation.
"""

from __future__ import annotations

from schemas.alerts import ReportRow
from schemas.causes import Cause
from schemas.words import MsgType
from services.alerts.causes import cause_lifecycle
from services.alerts.causes.merging import is_count_of_day, union, worst
from services.alerts.causes.restoration import told_communes
from services.alerts.decision import Draft
from services.alerts.declarations import flags
from services.alerts.evolve import OPEN
from services.alerts.reports.report_facts import communes_of, site_of


def is_said_already(draft: Draft, row: ReportRow) -> bool:
    """Return whether another source has confirmed all that the report says, and it still holds.

    False if the report is graver, earlier, longer or wider, or about another time.
    """
    cause = cause_lifecycle.known_cause(row, draft)
    if (
        cause is None
        or row.msg_type is not MsgType.ALERT
        or all(source == row.source for source in cause.sources)
    ):
        return False
    incident = draft.standing(cause.incident)
    if (
        incident is None
        or draft.incident(incident).state not in OPEN
        or _calm_since(draft, cause, row)
    ):
        return False
    return _adds_nothing(draft, row, cause) and flags.hold_already(draft, row)


def _adds_nothing(draft: Draft, row: ReportRow, cause: Cause) -> bool:
    said = {
        "severity": cause.severity,
        "loss_pct": cause.loss_pct,
        "persons": cause.persons,
        "measure": cause.measure,
    }
    if row.occurred_at < cause.since or worst(said, [row]) != said or is_count_of_day(cause, row):
        return False
    if (
        row.expected_end not in (None, cause.expected_end)
        or union(cause.windows, row.effective) != cause.windows
    ):
        return False
    if not told_communes(draft, cause).issuperset(communes_of(row, draft.territory)):
        return False
    return row.plan_hint in {None, *(r.plan_hint for r in draft.told(cause.reports))}


def _calm_since(draft: Draft, cause: Cause, row: ReportRow) -> bool:
    """Return whether the site reported since that all is well.

    The new report may then be about something else.
    """
    calm = draft.state.calm.get(site_of(row) or "")
    return calm is not None and cause.last_at < calm <= row.occurred_at

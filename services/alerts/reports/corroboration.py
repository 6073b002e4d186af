"""Two sources that say the same: the second confirms the first, in either order.

Rule D6, confirmation.
"""

from __future__ import annotations

from schemas.alerts import ReportRow
from schemas.crisis.causes import Cause
from schemas.words import MsgType
from services.alerts.causes import cause_lifecycle
from services.alerts.causes.merging import is_count_of_day, merge_values, unite_windows
from services.alerts.causes.restoration import list_communes_of_cause
from services.alerts.decision import AlertsDecision
from services.alerts.declarations import flags
from services.alerts.evolve import OPEN
from services.alerts.reference import constants
from services.alerts.reports.report_facts import (
    build_subject_key,
    get_site,
    is_placeless,
    list_communes,
)


def is_already_confirmed(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether another source has confirmed all that the report says, and it still holds.

    False if the report is graver, earlier, longer or wider, or about another time.
    """
    cause = cause_lifecycle.find_repeated_cause(row, draft)
    if (
        cause is None
        or row.msg_type is not MsgType.ALERT
        or all(source == row.source for source in cause.sources)
    ):
        return False
    incident = draft.resolve_incident(cause.incident)
    if (
        incident is None
        or draft.incident(incident).state not in OPEN
        or _is_calm_since(draft, cause, row)
    ):
        return False
    return _is_repetition(draft, row, cause) and flags.are_declarations_in_force(draft, row)


def _is_repetition(draft: AlertsDecision, row: ReportRow, cause: Cause) -> bool:
    cause_values = {
        "severity": cause.severity,
        "loss_pct": cause.loss_pct,
        "persons": cause.persons,
        "measure": cause.measure,
    }
    if (
        row.occurred_at < cause.since
        or merge_values(cause_values, [row]) != cause_values
        or is_count_of_day(cause, row)
    ):
        return False
    if (
        row.expected_end not in (None, cause.expected_end)
        or unite_windows(cause.windows, row.effective) != cause.windows
    ):
        return False
    if not list_communes_of_cause(draft, cause).issuperset(list_communes(row, draft.territory)):
        return False
    return row.plan_hint in {None, *(r.plan_hint for r in draft.find_reports(cause.reports))}


def _is_calm_since(draft: AlertsDecision, cause: Cause, row: ReportRow) -> bool:
    """Return whether the site reported since that all is well.

    The new report may then be about something else.
    """
    calm = draft.state.calm.get(get_site(row) or "")
    return calm is not None and cause.last_at < calm <= row.occurred_at


def is_second_source(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether another source has reported the same and waits for confirmation.

    Rule D6, confirmation.
    """
    return any(
        draft.state.reports[r].confirmation == "unconfirmed"
        for r in list_similar_unconfirmed(draft, row)
    )


def list_similar_unconfirmed(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Return the unconfirmed reports of other sources that say the same of the same occasion.

    Empty for a cancellation and for a report that all is well.
    """
    if row.msg_type is MsgType.CANCEL or not (
        cause_lifecycle.makes_cause(row, draft)
        or (row.type in constants.CAUSELESS_TYPES and not is_placeless(row))
    ):
        return ()
    reports = (
        draft.state.reports[r]
        for r in draft.state.pending.get(build_subject_key(row), ())
        if r != row.id
    )
    others = (r for r in reports if r.source != row.source and r.msg_type is not MsgType.CANCEL)
    return tuple(
        r.id
        for r in others
        if cause_lifecycle.is_same_occasion(r, row) and not _is_calm_between(draft, r, row)
    )


def _is_calm_between(draft: AlertsDecision, first: ReportRow, second: ReportRow) -> bool:
    """Return whether the site reported between the two reports that all is well.

    Then the trouble of the first report was over, or never was.
    """
    calm = draft.state.calm.get(first.site or "")
    return calm is not None and first.occurred_at < calm <= second.occurred_at

"""Detect a danger to people that no call has announced yet.

Decided in `docs/adr/0040-call-again-when-people-are-in-danger.md`.
"""

from __future__ import annotations

from typing import Final

from schemas.alerts import ReportRow
from schemas.words import EventType, MsgType
from services.alerts.causes.cause_lifecycle import ReportEffect, list_open_causes_beside
from services.alerts.decision import AlertsDecision
from services.alerts.reference.constants import DANGER_TYPES

_ORDER_TYPES: Final = frozenset((EventType.EVACUATION, EventType.SHELTER_IN_PLACE))
"""Orders: where a danger is known, they are the answer to it."""


def is_new_danger(draft: AlertsDecision, row: ReportRow, taken: ReportEffect | None) -> bool:
    """Return whether a report adds a danger at another place, or of another kind at the same place.

    The incident is dangerous already. A repetition (rule D4), an ended danger (rule D7) or an
    announced one (rule D9) is none.
    """
    if (
        row.type not in DANGER_TYPES
        or taken is None
        or taken.outcome != "new"
        or not taken.cause.acting
    ):
        return False
    cause = taken.cause
    beside = (
        c
        for c in list_open_causes_beside(draft, cause)
        if c.id != cause.id and (c.site is not None or c.commune == cause.commune)
    )
    known = {c.type for c in beside if c.acting and c.type in DANGER_TYPES}
    if row.type in _ORDER_TYPES:
        return not known and row.msg_type is not MsgType.UPDATE
    return row.type not in known

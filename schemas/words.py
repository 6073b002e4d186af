"""Enumerations shared by all services, as in docs/reference/rules.md and the API."""

from enum import IntEnum, StrEnum
from typing import Final, Literal

from schemas.catalogue.channels import Channel as Channel  # noqa: PLC0414  also a word of here
from schemas.catalogue.event_types import DANGER_TYPES as DANGER_TYPES  # noqa: PLC0414  also a word of here
from schemas.catalogue.event_types import EventType as EventType  # noqa: PLC0414


class Certainty(StrEnum):
    """Certainty of a report; `rumour` is CAP Unknown with `rumour: true`.

    Rules D2 and D6.
    """

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    RUMOUR = "rumour"


Confirmation = Literal["confirmed", "unconfirmed", "rumour", "denied"]
"""Certainty of a report after corroboration or verification. Rule D6."""


class MsgType(StrEnum):
    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"


class SiteStatus(StrEnum):
    NORMAL = "normal"
    DEGRADED = "degraded"
    CLOSED = "closed"
    EVACUATED = "evacuated"
    SHELTERING = "sheltering"
    UNKNOWN = "unknown"


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    MERGED = "merged"


class Level(IntEnum):
    """Level of an incident or of the territory.

    Rules D27 to D31.
    """

    N0 = 0
    N1 = 1
    N2 = 2
    N3 = 3
    N4 = 4


class ReportState(StrEnum):
    """State of a report; `received` = accepted by Kafka, not decided yet."""

    RECEIVED = "received"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    FAILED = "failed"


class LineKind(StrEnum):
    """Kind of a person's line in the logbook.

    Rule D55.
    """

    NOTE = "note"
    FACT = "fact"
    DECISION = "decision"
    ACTION = "action"
    COMMUNICATION = "communication"


class ActivityState(StrEnum):
    NOMINAL = "nominal"
    THREATENED = "threatened"
    DEGRADED = "degraded"
    INTERRUPTED = "interrupted"
    RESTORED = "restored"


class ClockState(StrEnum):
    NEVER = "never"
    RUNNING = "running"
    STOPPED = "stopped"


class ClockBase(StrEnum):
    RTO = "rto"
    DMIA = "dmia"  # MTPD
    PDMA = "pdma"  # RPO: alarms only, it has no clock (D46)


class PlanState(StrEnum):
    """State of a plan.

    `draft`, `in_review`, `valid` and `archived` are states in the library, before any trigger or
    decision. Rule D48.
    """

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    VALID = "valid"
    PROPOSED = "proposed"
    REFUSED = "refused"
    POSTPONED = "postponed"
    PARTLY_ACTIVE = "partly_active"
    ACTIVE = "active"
    RECOVERING = "recovering"
    LIFTED = "lifted"
    RETEX_CLOSED = "retex_closed"
    ARCHIVED = "archived"


LIBRARY_STATES: Final = frozenset(
    (PlanState.DRAFT, PlanState.IN_REVIEW, PlanState.VALID, PlanState.ARCHIVED)
)
"""States of a plan in the library, before any trigger or decision."""
ACTIVE_PLAN_STATES: Final = frozenset(
    (PlanState.ACTIVE, PlanState.PARTLY_ACTIVE, PlanState.RECOVERING)
)
"""States of a plan in effect: until its stand-down, also while it recovers."""


class Effect(StrEnum):
    """Measures of effects on the surroundings, summed in lessons learned.

    Rule D61.
    """

    CO2 = "co2_kg"
    ENERGY = "energy_kwh"
    WATER = "water_m3"
    MEALS = "meals_saved"
    TRAVEL = "travel_km"
    COOL = "cool_visitors"
    BARRIERS = "barriers_m"


class CardChange(StrEnum):
    """Change of an action card by an answer to a message. Rule D84."""

    START = "start"
    COMPLETE = "complete"
    SKIP = "skip"


class CardState(StrEnum):
    """State of an action card; `waiting` until the cards that it depends on are closed (D84)."""

    WAITING = "waiting"
    TO_DO = "to_do"
    DOING = "doing"
    DONE = "done"
    NOT_APPLICABLE = "not_applicable"


class NotificationState(StrEnum):
    PLANNED = "planned"
    ATTEMPTED = "attempted"
    ACCEPTED = "accepted"
    RECEIVED = "received"
    ANSWERED = "answered"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Answer(StrEnum):
    """Answer of a person to a notification.

    Rule D33.
    """

    ACK = "ack"
    DECLINE = "decline"


class ActionState(StrEnum):
    """State of an action; an arrow leads only forward.

    Rule D87.
    """

    REQUESTED = "requested"
    ACCEPTED = "accepted"
    DONE = "done"
    DECLINED = "declined"
    CANCELLED = "cancelled"


class ActionPriority(StrEnum):
    """Urgency of an action: `urgent` also calls by voice and ignores quiet hours.

    Rule D87.
    """

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class TaskState(StrEnum):
    OPEN = "open"
    TAKEN = "taken"
    DONE = "done"
    VOID = "void"

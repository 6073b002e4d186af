"""Route accepted facts to other services and public topics, by logic version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.realms import is_live

ROUTES: dict[int, dict[str, dict[str, tuple[str, ...]]]] = {
    1: {
        "alerts": {
            "RealmOpened": ("continuity", "delivery"),
            "RealmClosed": ("continuity", "delivery"),
            "ReferencePublished": ("continuity", "delivery"),
            "SiteStatusChanged": ("continuity",),
            "IncidentChanged": ("continuity",),
            "LevelChanged": ("continuity",),
            "TriggerChanged": ("continuity",),
            "FlagChanged": ("continuity",),
            "NotificationPlanned": ("delivery",),
            "NotificationWithdrawn": ("delivery",),
            "NotificationUrged": ("delivery",),
            "ReachabilityChanged": ("delivery",),
            "LaddersDrilled": ("delivery",),
        },
        "continuity": {
            "MetricChanged": ("alerts",),
            "AttentionRequested": ("alerts",),
            "CrisisTended": ("alerts",),
            "SitrepIssued": ("alerts",),
            "ImprovementChanged": ("alerts",),
            "CardAnswerSettled": ("delivery",),
        },
        "delivery": {
            "AnswerReceived": ("alerts",),
            "Unreachable": ("alerts",),
            "CardsAnswered": ("continuity",),
        },
    }
}
"""Logic version → source service → fact name → destinations.

The logic version of a record selects its table.
"""

PUBLIC_FACTS: dict[str, tuple[str, ...]] = {
    "incidents": (
        "ReportChanged",
        "SiteStatusChanged",
        "IncidentChanged",
        "LevelChanged",
        "TaskChanged",
        "FlagChanged",
    ),
    "notifications": (
        "NotificationPlanned",
        "NotificationWithdrawn",
        "EscalationChanged",
        "AnswerRecorded",
        "RoleUncovered",
    ),
    "continuity": (
        "ActivityChanged",
        "LocalClockChanged",
        "AlarmRaised",
        "AlarmArbitrated",
        "StrategyChanged",
        "SitrepIssued",
        "ImprovementChanged",
        "ContingencyChanged",
    ),
    "statements": ("StatementChanged", "QuestionChanged"),
    "plans": ("PlanChanged", "TriggerChanged", "SiteCardChanged"),
    "deliveries": ("NotificationChanged", "HoldChanged", "CallOutChanged"),
    "reassignments": ("ProposalChanged", "ReassignmentChanged", "ReassignmentOrdered"),
    "actions": ("ActionChanged", "StimulusChanged"),
    "obligations": ("ObligationChanged",),
    "handovers": ("HandoverChanged",),
    "resource-requests": ("ResourceRequestChanged", "StockChanged"),
}
"""Public topic → fact names."""


def list_destinations(
    logic: int, service: str, fact: str, data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the services that receive a fact; none if the fact carries `routed: false`.

    Raises KeyError for a logic version without a table.
    """
    return ROUTES[logic][service].get(fact, ()) if data.get("routed", True) else ()


def list_receivers(service: str) -> list[str]:
    """Return the services that receive any fact of this one, in any logic version."""
    return sorted(
        {
            receiver
            for table in ROUTES.values()
            for receivers in table.get(service, {}).values()
            for receiver in receivers
        }
    )


def list_public_topics(fact: str) -> tuple[str, ...]:
    """Return the public topics that carry a fact."""
    return tuple(topic for topic, facts in PUBLIC_FACTS.items() if fact in facts)


CONDUCTOR_ROUTES: frozenset[tuple[str, str]] = frozenset(
    {("delivery", "alerts"), ("delivery", "continuity")}
)
"""(source, destination) that the conductor forwards itself in simulated realms.

It forwards one fact at a time, when the realm is quiet.
"""


def is_published(source: str, destination: str, realm: str) -> bool:
    """Return whether a publisher forwards facts of this realm; otherwise the conductor does."""
    return is_live(realm) or (source, destination) not in CONDUCTOR_ROUTES

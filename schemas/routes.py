"""Which accepted facts are forwarded to whom: the route table, per logic version (DESIGN §2, Publishing)."""

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
        },
        "delivery": {
            "AnswerReceived": ("alerts",),
            "Unreachable": ("alerts",),
        },
    }
}
"""logic version → source service → fact name → destinations. A record is routed by the table of its own logic version."""

PUBLIC: dict[str, tuple[str, ...]] = {
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
    "plans": ("PlanChanged", "TriggerChanged"),
    "deliveries": ("NotificationChanged", "HoldChanged", "CallOutChanged"),
    "reassignments": ("ProposalChanged", "ReassignmentChanged", "ReassignmentOrdered"),
}
"""public topic → fact names."""


def destinations(logic: int, service: str, fact: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Services that hear of this fact: those of its name, unless it says of itself `routed: false`. Raises KeyError for a logic version without a table."""
    return ROUTES[logic][service].get(fact, ()) if data.get("routed", True) else ()


def receivers_of(service: str) -> list[str]:
    """Services that hear of any fact of this one, in any logic version."""
    return sorted(
        {
            receiver
            for table in ROUTES.values()
            for heard in table.get(service, {}).values()
            for receiver in heard
        }
    )


def public_topics(fact: str) -> tuple[str, ...]:
    """Public topics that carry this fact."""
    return tuple(topic for topic, facts in PUBLIC.items() if fact in facts)


GATED: frozenset[tuple[str, str]] = frozenset({("delivery", "alerts")})
"""(source, destination) that the conductor forwards itself in simulated realms, one at a time, when the realm is quiet."""


def publishes(source: str, destination: str, realm: str) -> bool:
    """True if the source's publisher forwards this realm's facts to the destination; False: the conductor does."""
    return is_live(realm) or (source, destination) not in GATED

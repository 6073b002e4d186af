"""Which accepted facts are forwarded to whom: the route table, per logic version (DESIGN §2, Publishing)."""

from __future__ import annotations

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
        },
        "continuity": {
            "MetricChanged": ("alerts",),
            "AttentionRequested": ("alerts",),
        },
        "delivery": {
            "AnswerReceived": ("alerts",),
            "Unreachable": ("alerts",),
        },
    }
}
"""logic version → source service → fact name → destinations. A record is routed by the table of its own logic version."""

PUBLIC: dict[str, tuple[str, ...]] = {
    "incidents": ("ReportChanged", "SiteStatusChanged", "IncidentChanged", "LevelChanged", "TaskChanged", "FlagChanged"),
    "notifications": ("NotificationPlanned", "NotificationWithdrawn", "EscalationChanged", "AnswerRecorded", "RoleUncovered"),
    "continuity": ("ActivityChanged", "AlarmRaised"),
    "plans": ("PlanChanged", "TriggerChanged"),
    "deliveries": ("NotificationChanged", "HoldChanged"),
    "reassignments": (),
}
"""public topic → fact names."""


def destinations(logic: int, service: str, fact: str) -> tuple[str, ...]:
    """Services that hear of this fact. Raises KeyError for a logic version without a table."""
    return ROUTES[logic][service].get(fact, ())


def public_topics(fact: str) -> tuple[str, ...]:
    """Public topics that carry this fact."""
    return tuple(topic for topic, facts in PUBLIC.items() if fact in facts)

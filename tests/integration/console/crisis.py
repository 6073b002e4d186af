"""A small realistic crisis as facts: two sites in Nanterre, an escalation, an activity, a plan."""

from __future__ import annotations

from typing import Any

from schemas.alerts import (
    CauseRow,
    IncidentChanged,
    IncidentRow,
    LevelChanged,
    LevelRow,
    ReportChanged,
    ReportRow,
    SiteRow,
    SiteStatusChanged,
    TaskChanged,
    TaskRow,
    Why,
)
from schemas.calling import EscalationChanged, EscalationRow, WaveRow
from schemas.continuity import ActivityChanged, ActivityRow, ClockRow, PlanChanged, PlanRow
from schemas.crisis.causes import Cause
from schemas.delivery import NotificationChanged, NotificationRow

START = 1_802_335_200_000
"""2027-02-11T08:40:00Z."""
MINUTE = 60_000
INCIDENT = "11111111-0000-5000-8000-000000000001"
LADDER = "22222222-0000-5000-8000-000000000001"
NOTIFICATION = "33333333-0000-5000-8000-000000000001"


def report(id: str, site: str, at: int, **changes: Any) -> ReportChanged:
    row: dict[str, Any] = {
        "id": id,
        "state": "applied",
        "incident": INCIDENT,
        "confirmation": "confirmed",
        "source": "site_manager",
        "site": site,
        "type": "outage_power",
        "severity": 3,
        "certainty": "confirmed",
        "msg_type": "Alert",
        "occurred_at": at,
        "recorded_at": at,
        "why": [Why(code="D22:power", reports=(id,))],
    }
    return ReportChanged(row=ReportRow.model_validate(row | changes))


def site(id: str, at: int, status: str = "closed", loss: float = 100.0) -> SiteStatusChanged:
    cause = CauseRow.model_validate(
        {
            "id": f"cause-{id}",
            "incident": INCIDENT,
            "type": "outage_power",
            "effect": status,
            "since": at,
            "certainty": "confirmed",
            "severity": 3,
            "loss_pct": loss,
            "sources": ("site_manager",),
        }
    )
    causes = () if status == "normal" else (cause,)
    row = {
        "id": id,
        "status": status,
        "since": at,
        "capacity_pct": 100 - loss,
        "causes": causes,
        "last_word_at": at,
    }
    return SiteStatusChanged(row=SiteRow.model_validate(row))


def cause(site: str, at: int) -> Cause:
    """Return the cause in the row of `site`, as the log writes it: without its reports."""
    return Cause.model_validate(
        {
            "id": f"cause-{site}",
            "key": f"{site}|outage_power|",
            "site": site,
            "type": "outage_power",
            "incident": INCIDENT,
            "severity": 3,
            "loss_pct": 100,
            "since": at,
            "last_at": at,
            "known_at": at,
            "reports_count": 8,
        }
    )


def incident(
    at: int, members: tuple[str, ...], change: str, level: int = 1, **changes: Any
) -> IncidentChanged:
    row: dict[str, Any] = {
        "id": INCIDENT,
        "number": "92-2027-0211-01",
        "kind": "power",
        "key": "power:92050",
        "state": "open",
        "level": level,
        "severity": 3,
        "certainty": "confirmed",
        "opened_at": START,
        "known_at": START,
        "updated_at": at,
        "version": 0,
        "members": members,
        "communes": ("92050",),
        "reports_count": len(members),
        "why": [
            Why(code="predicate", metric="open_incidents", op=">=", threshold=1, value=1, at=at)
        ],
    }
    return IncidentChanged(row=IncidentRow.model_validate(row | changes), change=change)


def level(at: int, value: int, previous: int) -> LevelChanged:
    why = Why(
        code="predicate",
        metric="sites_hit",
        args={"per": "pole"},
        op=">=",
        threshold=3,
        value=3,
        at=at,
    )
    return LevelChanged(
        row=LevelRow(id="territory", level=value, since=at, why=(why,)), previous=previous
    )


def ladder(at: int) -> EscalationChanged:
    wave = WaveRow(
        wave=1,
        cycle=1,
        due_at=at,
        fired_at=at,
        state="fired",
        roles=("astreinte_direction",),
        notifications=(NOTIFICATION,),
        expected=1,
    )
    row = EscalationRow(
        id=LADDER,
        ladder="N2",
        scope=INCIDENT,
        incidents=(INCIDENT,),
        state="running",
        policy="v1",
        started_at=at,
        wave=1,
        cycle=1,
        next_at=at + 10 * MINUTE,
        waves=(wave,),
    )
    return EscalationChanged(row=row, change="started")


def notification(at: int, state: str = "accepted") -> NotificationChanged:
    row: dict[str, Any] = {
        "id": NOTIFICATION,
        "incident": INCIDENT,
        "escalation": LADDER,
        "wave": 1,
        "cycle": 1,
        "level": 2,
        "role": "astreinte_direction",
        "person": "p-1",
        "channel": "sms",
        "channels": ("sms",),
        "state": state,
        "template": "incident_wave",
        "planned_at": at,
        "sent_at": at,
    }
    return NotificationChanged(row=NotificationRow.model_validate(row))


def activity(at: int) -> ActivityChanged:
    rto = ClockRow(
        base="rto", state="running", limit_h=0.5, started_at=at, deadline=at + 30 * MINUTE
    )
    dmia = ClockRow(
        base="dmia", state="running", limit_h=1, started_at=at, deadline=at + 60 * MINUTE
    )
    row: dict[str, Any] = {
        "id": "CPL-01",
        "pole": "commande_logistique",
        "criticality": 1,
        "state": "interrupted",
        "capacity_pct": 4,
        "mbco_pct": 42,
        "since": at,
        "rto": rto,
        "dmia": dmia,
        "incident": INCIDENT,
        "path": (({"kind": "site", "id": "cen-1"}, {"kind": "activity", "id": "CPL-01"}),),
    }
    return ActivityChanged(row=ActivityRow.model_validate(row))


def plan(at: int, state: str = "proposed", version: int = 0) -> PlanChanged:
    row: dict[str, Any] = {
        "id": "PT-ELEC",
        "state": state,
        "level": 2,
        "incident": INCIDENT,
        "proposed_at": at,
        "decides": "astreinte_direction",
        "trigger_since": at,
        "trigger_held": True,
        "version": version,
    }
    return PlanChanged(
        row=PlanRow.model_validate(row), change="proposed" if state == "proposed" else "activated"
    )


def task(at: int, state: str = "open") -> TaskChanged:
    return TaskChanged(
        row=TaskRow.model_validate(
            {
                "id": "t-1",
                "kind": "verify_site",
                "state": state,
                "opened_at": at,
                "due_at": START + MINUTE,
                "site": "pmi-04",
                "incident": INCIDENT,
            }
        )
    )

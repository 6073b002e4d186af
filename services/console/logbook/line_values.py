"""Define the logbook line of each fact: its kind, its own times, and the values of its sentence.

Pure. Rule D55.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.replies import UNREAD
from services.runtime.log.transaction import FactRecord

Fields = dict[str, Any]
Maker = Callable[[FactRecord], Fields | None]


def _is_first_word(fact: FactRecord) -> bool:
    """Return whether this ReportChanged is the first judgement of the report."""
    return bool(fact.data["row"]["recorded_at"] == fact.at)


def _report(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    first = _is_first_word(fact)
    by = r.get("corrected_by") if first else None
    return {
        "kind": "fact",
        "change": r["state"] if first else "verdict",
        "occurred_at": r["occurred_at"] if first else fact.at,
        "incident": r.get("incident"),
        "site": r.get("site"),
        "report": r["id"],
        "certainty": r["confirmation"],
        "source": r["source"],
        "text_id": r.get("text_id") if first else None,
        "values": _some(
            {
                "type": r["type"],
                "severity": r["severity"],
                "reason": r.get("reason"),
                "commune": r.get("commune"),
                "msg_type": r["msg_type"],
                "zone": list(r.get("zone") or ()) or None,
                "alias": r.get("alias"),
                "corrected_by": by,
            }
        ),
    } | ({"author": by} if by else {})


def _site(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    causes = r.get("causes") or ()
    return {
        "kind": "watch" if r["status"] == "unknown" else "fact",
        "change": r["status"],
        "occurred_at": min(r["since"], fact.at),
        "site": r["id"],
        "incident": next((c["incident"] for c in causes if c.get("incident")), None),
        "values": {
            "status": r["status"],
            "capacity_pct": r["capacity_pct"],
            "types": sorted({c["type"] for c in causes}),
        },
    }


_INCIDENT_KINDS = {
    "opened": "fact",
    "level": "fact",
    "loud": "watch",
    "zone": "watch",
    "acknowledged": "decision",
    "closed": "decision",
    "reopened": "decision",
    "merged": "decision",
    "split": "decision",
}


_TAKERS = 3
"""Newest people named in a line about taking charge of an incident."""


def _incident(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _INCIDENT_KINDS.get(change)
    if kind is None:
        return None
    return {
        "kind": kind,
        "change": change,
        "incident": r["id"],
        "occurred_at": r["opened_at"] if change == "opened" else fact.at,
        "values": _some(
            {
                "number": r["number"],
                "kind": r["kind"],
                "level": r["level"],
                "members": len(r.get("members") or ()),
                "communes": list(r.get("communes") or ())[:6],
                "into": r.get("merged_into"),
                **(
                    {"state": r["state"], "takers": list(r.get("acknowledged_by") or ())[-_TAKERS:]}
                    if change == "acknowledged"
                    else {}
                ),
            }
        ),
    }


_WINDOW_KINDS = {
    "planned": "decision",
    "changed": "decision",
    "ended": "decision",
    "begun": "watch",
    "paused": "watch",
    "over": "watch",
}


def _window(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _WINDOW_KINDS.get(change)
    if kind is None:  # more causes at the same moment
        return None
    sites: list[str] = list(r["covers"].get("sites") or ())
    return {
        "kind": kind,
        "change": change,
        "site": sites[0] if len(sites) == 1 else None,
        "values": _some(
            {
                "window": r["id"],
                "covers": r["covers"],
                "begins_at": r.get("begins_at"),
                "until_at": r.get("until_at"),
            }
        ),
    }


_CHANGE_KINDS = {
    "proposed": "decision",
    "approved": "decision",
    "declined": "decision",
    "withdrawn": "decision",
    "failed": "alarm",
}


def _reference_change(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _CHANGE_KINDS.get(change)
    if kind is None:  # sections arrive one by one; the last makes a line for the version
        return None
    return {
        "kind": kind,
        "change": change,
        "text_id": _text_id(r["decisions"][-1].get("reason")) if kind == "decision" else None,
        "values": _some(
            {
                "id": r["id"],
                "reference": r["reference"],
                "sections": [d["section"] for d in r["sections"]],
                "effective_at": r.get("effective_at"),
                "due_at": r.get("next_at"),
                "cause": r.get("cause"),
            }
        ),
    }


def _withheld(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "watch",
        "change": d["quiet"],
        "incident": d["incident"],
        "values": {
            "template": d["template"],
            "by": list(d.get("by") or ()),
            "roles": list(d.get("roles") or ()),
        },
    }


def _level(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    change = (
        "proposed"
        if r["level"] == fact.data["previous"]
        else "raised"
        if r["level"] > fact.data["previous"]
        else "lowered"
    )
    values = {
        "scope": r["id"],
        "level": r["level"],
        "previous": fact.data["previous"],
        "proposed": r.get("proposed"),
    }
    return {
        "kind": "fact" if change != "lowered" else "decision",
        "change": change,
        "values": _some(values),
    }


def _trigger(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    change = "held_more" if r["state"] == "held" and r["since"] < fact.at else r["state"]
    return {
        "kind": "watch",
        "change": change,
        "incident": r.get("incident"),
        "values": {"plan": r["plan"], "level": r["level"]},
    }


def _flag(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "fact",
        "change": "flag",
        "occurred_at": min(r["since"], fact.at),
        "incident": r.get("incident"),
        "values": {"flag": r["id"], "value": r["value"]},
    }


def _escalation(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if fact.data["change"] == "tended":  # the action has a line of its own
        return None
    fired = [w for w in r.get("waves") or () if w.get("fired_at") is not None]
    called = fired[-1] if fired else None
    return {
        "kind": "communication",
        "change": fact.data["change"],
        "incident": r["scope"]
        if r["scope"] != "territory"
        else next(iter(r.get("incidents") or ()), None),
        "values": _some(
            {
                "ladder": r["ladder"],
                "wave": called["wave"] if called else r["wave"],
                "cycle": r["cycle"],
                "called": len(called["notifications"]) if called else None,
                "expected": called["expected"] if called else None,
                "positive": sum(w["positive"] for w in r.get("waves") or ()),
                "escalation": r["id"],
            }
        ),
    }


def _task(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    first = r["state"] == "open"
    written = first and r.get("text_id") is not None
    return {
        "kind": "decision" if written else "watch" if first else "action",
        "text_id": r["text_id"] if written else None,
        "change": "sent" if written else r["state"],
        "incident": r.get("incident"),
        "site": r.get("site"),
        "report": r.get("report"),
        "values": _some({"task": r["id"], "kind": r["kind"], "outcome": r.get("outcome")}),
    }


def _duty(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r.get("state", "in_force"),
        "values": _some(
            {
                "duty": r["id"],
                "kind": r["kind"],
                "role": r["role"],
                "scope": r.get("scope"),
                "place": r["place"],
                "start": r["start"],
                "end": r["end"],
                "shifts": len(r["shifts"]),
                "calendar": r.get("calendar"),
            }
        ),
    }


def _readiness(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    holes = len(r.get("holes") or ()) + r.get("more", 0)
    return {
        "kind": "watch" if holes else "runtime",
        "change": "holes" if holes else "ready",
        "values": {"holes": holes, "urgent": r.get("urgent", 0)},
    }


def _drill(fact: FactRecord) -> Fields:
    rungs = fact.data["row"]["rungs"]
    silent = sum(r["reached"] < r["posts"] or bool(r.get("late")) for r in rungs)
    return {
        "kind": "watch" if silent else "runtime",
        "change": "silent" if silent else "heard",
        "values": {"rungs": len(rungs), "silent": silent},
    }


def _probe(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if r.get("done_at") is None:
        return None
    failed = [c["channel"] for c in r["channels"] if c["outcome"] == "failed"]
    answered = sum(c["outcome"] == "answered" for c in r["channels"])
    off = all(c["outcome"] == "not_configured" for c in r["channels"])
    return {
        "kind": "watch" if failed or off else "runtime",
        "change": "failed" if failed else "off" if off else "answered",
        "values": {"failed": failed, "answered": answered},
    }


def _note(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "id": d["line"],
        "kind": d.get("kind", "note"),
        "source": d.get("source"),
        "certainty": d.get("certainty"),
        "occurred_at": d["occurred_at"],
        "author": d["author"],
        "role": d["role"],
        "incident": d.get("incident"),
        "text_id": d["text_id"],
        "corrects": d.get("corrects"),
    }


def _answer(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "communication",
        "change": d["answer"],
        "author": d["person"],
        "values": _some(
            {
                "wave": d.get("wave"),
                "late": d.get("late", False),
                "notification": d.get("notification"),
                "escalation": d.get("escalation"),
            }
        ),
    }


def _uncovered(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "alarm",
        "change": "uncovered",
        "values": _some({"role": d["role"], "scope": d.get("scope")}),
    }


def _activity(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "impact",
        "change": r["state"],
        "incident": r.get("incident"),
        "values": {
            "activity": r["id"],
            "state": r["state"],
            "capacity_pct": r["capacity_pct"],
            "mbco_pct": r["mbco_pct"],
        },
    }


def _alarm(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "alarm",
        "change": "alarm",
        "site": r.get("site"),
        "incident": r.get("incident"),
        "values": {
            "activity": r["activity"],
            "base": r["base"],
            "pct": r["pct"],
            "limit_at": r["limit_at"],
        },
    }


def _arbitration(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "arbitrated",
        "site": r.get("site"),
        "incident": r.get("incident"),
        "text_id": _text_id(r.get("reason")),
        "values": {"activity": r["activity"], "base": r["base"], "pct": r["pct"]},
    }


def _declared(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "decision",
        "change": d["state"] or "withdrawn",
        "occurred_at": d["occurred_at"],
        "text_id": _text_id(d.get("reason")),
        "values": {"activity": d["activity"]},
    }


def _strategy(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    lost = str(r.get("ended_by")).startswith(
        "system:"
    )  # the fallback site was lost; no person decided it
    return {
        "kind": "fact" if lost else "decision",
        "change": "lost" if lost else r["state"],
        "occurred_at": r.get("ended_at") or r["started_at"],
        "site": r.get("site"),
        "text_id": _text_id(r.get("reason")),
        "values": {
            "activity": r["activity"],
            "strategy": r["strategy"],
            "capacity_pct": r["expected_capacity_pct"],
        },
    }


def _sitrep(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "communication",
        "change": "issued",
        "incident": next(iter(r.get("incidents") or ()), None),
        "values": {"number": r["number"], "as_of": r["as_of"], "sha256": r["sha256"]},
    }


def _improvement(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r["state"],
        "incident": r.get("incident"),
        "text_id": r["text_id"] if r["state"] == "open" else None,
        "values": {"improvement": r["id"], "owner": r["owner"], "due_at": r["due_at"]},
    }


def _text_id(reason: str | None) -> str | None:
    """Return the id of the text behind a reason; None if the reason is a code."""
    return (
        reason.removeprefix("text:") if reason is not None and reason.startswith("text:") else None
    )


_PLAN_KINDS = {
    "proposed": "watch",
    "raised": "watch",
    "returned": "watch",
    "stand_down_proposed": "watch",
    "released": "watch",
    "held": "watch",
    "recovering": "fact",
    "resumed": "fact",
    "moved": "fact",
    "box": "action",
    "card": "action",
}


def _plan(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change == "listed":  # the library was loaded; nothing happened
        return None
    moved = [c for c in r.get("cards") or () if c.get("at") == fact.at]
    asked = r["level"] if change != "raised" else max(r["level"], r.get("proposed_level") or 0)
    return {
        "kind": _PLAN_KINDS.get(change, "decision"),
        "change": change,
        "incident": r.get("incident"),
        "values": _some(
            {
                "plan": r["id"],
                "level": asked,
                "state": r["state"],
                "card": moved[0]["id"] if moved else None,
                "card_state": moved[0]["state"] if moved else None,
                "ticked": any(box.get("at") == fact.at for box in r.get("boxes") or ())
                if change == "box"
                else None,
            }
        ),
    }


_PROPOSAL_KINDS = {
    "computed": "watch",
    "failed": "alarm",
    "lapsed": "watch",
    "approved": "decision",
    "declined": "decision",
    "withdrawn": "watch",
}


def _proposal(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _PROPOSAL_KINDS.get(change)
    if kind is None:  # superseded: the newer proposal has its line
        return None
    decision = r["decisions"][-1] if change in ("approved", "declined") else None
    return {
        "kind": kind,
        "change": change,
        "incident": r.get("incident"),
        "text_id": _text_id(decision.get("reason")) if decision else None,
        "values": _some(
            {
                "number": r["number"],
                "agents": decision["agents"] if decision else r["agents"],
                "lines": len(decision["lines"])
                if decision
                else len(r["withdrawn"])
                if change == "withdrawn"
                else r["lines"],
                "unmet": r["unmet_agents"],
                "demand": r["demand"],
                "rules": list(decision["rules"]) if decision else None,
                "failure": r.get("failure"),
                "proposal": r["id"],
            }
        ),
    }


def _order(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    values = {
        "leave": r["leave"],
        "come": r["come"],
        "stay_home": r["stay_home"],
        "lines": len(r["lines"]),
        "proposal": r["proposal"],
    }
    times = (
        {name: r.get(name) for name in ("dispatched_at", "starts_at", "ends_at")}
        if r.get("starts_at") is not None
        else {}
    )
    return {
        "kind": "communication",
        "change": "ordered",
        "site": r["site"],
        "values": values | _some(times),
    }


def _reassignment(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change in ("dispatched", "needed"):  # the order and the proposal have these lines
        return None
    return {
        "kind": "fact" if change == "void" else "action",
        "change": change,
        "site": r["site"],
        "incident": r.get("incident"),
        "values": _some(
            {
                "agents": r["count"],
                "metier": r["metier"],
                "place": r["place"],
                "cause": r.get("cause"),
                "line": r["id"],
            }
        ),
    }


_TOLD = {"failed", "ambiguous"}
"""States of a notification that have a line of their own.

Calls appear with their escalation or alarm, answers with AnswerRecorded.
"""


def _notification(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if r["state"] not in _TOLD or r["template"] == UNREAD:  # unread replies: the person did write
        return None
    return {
        "kind": "communication",
        "change": r["state"],
        "incident": r.get("incident"),
        "values": _some(
            {
                "role": r["role"],
                "level": r["level"],
                "wave": r.get("wave"),
                "channel": r.get("channel"),
                "answer": r.get("answer"),
                "why": r.get("why"),
                "notification": r["id"],
            }
        ),
    }


def _hold(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "held" if r["held"] else "released",
        "values": _some({"until": r.get("until")}),
    }


def _runtime(change: str, kind: str = "runtime") -> Maker:
    def make(fact: FactRecord) -> Fields | None:
        if fact.data.get("code") == "realm_unknown":
            return None
        values = {
            k: v
            for k, v in fact.data.items()
            if isinstance(v, str | int | float) and k != "command_id"
        }
        return {"kind": kind, "change": change, "values": values}

    return make


def _refused(fact: FactRecord) -> Fields | None:
    d = fact.data
    if d["code"] == "realm_unknown":
        return None
    return {
        "kind": "runtime",
        "change": "refused",
        "values": {**d.get("values", {}), "command": d["command"], "code": d["code"]},
    }


def _reference(fact: FactRecord) -> Fields | None:
    return (
        {"kind": "decision", "change": "reference", "values": {"reference": fact.data["reference"]}}
        if fact.data["last"]
        else None
    )


def _some(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


LINES: dict[str, Maker] = {
    "ReportChanged": _report,
    "SiteStatusChanged": _site,
    "IncidentChanged": _incident,
    "LevelChanged": _level,
    "TriggerChanged": _trigger,
    "FlagChanged": _flag,
    "EscalationChanged": _escalation,
    "TaskChanged": _task,
    "MaintenanceChanged": _window,
    "PagingWithheld": _withheld,
    "DutyChanged": _duty,
    "ReadinessProved": _readiness,
    "LaddersDrilled": _drill,
    "ChannelsProbed": _probe,
    "NoteAdded": _note,
    "AnswerRecorded": _answer,
    "RoleUncovered": _uncovered,
    "ActivityChanged": _activity,
    "ActivityDeclared": _declared,
    "AlarmRaised": _alarm,
    "AlarmArbitrated": _arbitration,
    "StrategyChanged": _strategy,
    "PlanChanged": _plan,
    "ProposalChanged": _proposal,
    "ReassignmentOrdered": _order,
    "ReassignmentChanged": _reassignment,
    "SitrepIssued": _sitrep,
    "ImprovementChanged": _improvement,
    "NotificationChanged": _notification,
    "HoldChanged": _hold,
    "ReferencePublished": _reference,
    "ReferenceChangeRecorded": _reference_change,
    "RealmOpened": _runtime("opened", "decision"),
    "RealmClosed": _runtime("closed", "decision"),
    "CommandRefused": _refused,
    "InputFailed": _runtime("failed"),
    "InputRefused": _runtime("refused"),
    "DeadlineFailed": _runtime("deadline_failed"),
    "LossDeclared": _runtime("loss"),
    "Rebased": _runtime("rebased"),
}
"""Fact name → maker of its line.

A fact without an entry appears through others: CommandApplied through its effects, and so on.
"""

"""Define the logbook line of each fact: its kind, its own times, and the values of its sentence.

Pure. Rule D55.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schemas.people.replies import UNPARSED_REPLY_TEMPLATE
from services.runtime.log.transaction import FactRecord

Fields = dict[str, Any]
LineMaker = Callable[[FactRecord], Fields | None]


def _is_first_judgement(fact: FactRecord) -> bool:
    """Return whether this ReportChanged is the first judgement of the report."""
    return bool(fact.data["row"]["recorded_at"] == fact.at)


def _make_report_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    first = _is_first_judgement(fact)
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
        "values": _pick(
            r,
            "type",
            "severity",
            "reason",
            "commune",
            "msg_type",
            "alias",
            zone=list(r.get("zone") or ()) or None,
            corrected_by=by,
        ),
    } | ({"author": by} if by else {})


def _make_site_line(fact: FactRecord) -> Fields:
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


_ACKNOWLEDGERS_SHOWN = 3
"""Newest people named in a line about taking charge of an incident."""


def _make_incident_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _INCIDENT_KINDS.get(change)
    if kind is None:
        return None
    return {
        "kind": kind,
        "change": change,
        "incident": r["id"],
        "occurred_at": r["opened_at"] if change == "opened" else fact.at,
        "values": _pick(
            r,
            "number",
            "kind",
            "level",
            members=len(r.get("members") or ()),
            communes=list(r.get("communes") or ())[:6],
            into=r.get("merged_into"),
            **(
                {
                    "state": r["state"],
                    "takers": list(r.get("acknowledged_by") or ())[-_ACKNOWLEDGERS_SHOWN:],
                }
                if change == "acknowledged"
                else {}
            ),
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


def _make_maintenance_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _WINDOW_KINDS.get(change)
    if kind is None:  # more causes at the same moment
        return None
    sites: list[str] = list(r["covers"].get("sites") or ())
    return {
        "kind": kind,
        "change": change,
        "site": sites[0] if len(sites) == 1 else None,
        "values": _pick(r, "covers", "begins_at", "until_at", window=r["id"]),
    }


_CHANGE_KINDS = {
    "proposed": "decision",
    "approved": "decision",
    "declined": "decision",
    "withdrawn": "decision",
    "failed": "alarm",
}


def _make_reference_change_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    edit = r.get("edit")
    kind = _CHANGE_KINDS.get(change)
    if kind is None:  # sections arrive one by one; the last makes a line for the version
        return None
    return {
        "kind": kind,
        "change": change,
        "text_id": _text_id(r["decisions"][-1].get("reason")) if kind == "decision" else None,
        "values": _pick(
            r,
            "id",
            "reference",
            "effective_at",
            "cause",
            sections=[d["section"] for d in r["sections"]],
            due_at=r.get("next_at"),
            edit=edit and {"kind": edit["kind"], "id": edit["id"]},
        ),
    }


_STATEMENT_KINDS = {
    "drafted": "communication",
    "revised": "communication",
    "submitted": "communication",
}


def _make_statement_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    written = change in ("drafted", "revised")
    reason = (r.get("reason") or "").removeprefix("text:")
    return {
        "kind": _STATEMENT_KINDS.get(change, "decision"),
        "change": change,
        "incident": r.get("incident"),
        "report": r.get("report"),
        "text_id": r["text_id"] if written else reason or None,
        "values": {
            "statement": r["id"],
            "audience": r["audience"],
            "plain": r.get("plain", False),
        },
    }


def _make_callout_line(fact: FactRecord) -> Fields | None:
    """Make the line of a person's decision about a call-out; its progress has none."""
    r, change = fact.data["row"], fact.data.get("change")
    if change is None or r.get("started_at") is None:
        return None
    return {
        "kind": "communication",
        "change": change,
        "incident": r.get("incident"),
        "text_id": r["text_id"] or None,
        "values": _pick(r, "people", "unreachable", "danger", kind=r.get("kind", "callout")),
    }


def _make_obligation_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    decided = change in ("done", "dismissed") or r.get("started") is not None
    return {
        "kind": "decision" if decided and change not in ("reminded", "overdue") else "alarm",
        "change": change,
        "incident": r.get("incident"),
        "text_id": r.get("text_id"),
        "values": _pick(
            r,
            "plan",
            "obligation",
            "role",
            "known_at",
            "due_at",
            "declared_at",
            clock=r["id"],
            late=True if (r.get("declared_at") or 0) > r["due_at"] else None,
        ),
    }


_HANDOVER_KINDS = {"drafted": "action", "revised": "action"}


def _make_handover_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    text = r["text_id"] if change in ("drafted", "revised") else None
    return {
        "kind": _HANDOVER_KINDS.get(change, "decision"),
        "change": change,
        "text_id": _text_id(r.get("reason")) if change == "withdrawn" else text,
        "values": {"handover": r["id"], "number": r["number"]},
    }


def _make_question_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    received = change == "received"
    return {
        "kind": "fact" if received else "communication",
        "change": change,
        "incident": r.get("incident"),
        "occurred_at": min(r["asked_at"], fact.at) if received else fact.at,
        "text_id": r["text_id"] if received else r.get("answer_text_id"),
        "values": _pick(r, "asker", "statement", question=r["id"]),
    }


def _make_suppression_line(fact: FactRecord) -> Fields:
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


def _make_level_line(fact: FactRecord) -> Fields:
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
        "values": _drop_missing(values),
    }


def _make_trigger_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    change = "held_more" if r["state"] == "held" and r["since"] < fact.at else r["state"]
    return {
        "kind": "watch",
        "change": change,
        "incident": r.get("incident"),
        "values": {"plan": r["plan"], "level": r["level"]},
    }


def _make_declaration_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "fact",
        "change": "flag",
        "occurred_at": min(r["since"], fact.at),
        "incident": r.get("incident"),
        "values": {"flag": r["id"], "value": r["value"]},
    }


def _make_escalation_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if fact.data["change"] == "tended":  # the action has a line of its own
        return None
    if r.get("action") is not None:  # as ActionChanged
        return None
    fired = [w for w in r.get("waves") or () if w.get("fired_at") is not None]
    called = fired[-1] if fired else None
    return {
        "kind": "communication",
        "change": fact.data["change"],
        "incident": r["scope"]
        if r["scope"] != "territory"
        else next(iter(r.get("incidents") or ()), None),
        "values": _pick(
            r,
            "ladder",
            "cycle",
            wave=called["wave"] if called else r["wave"],
            called=len(called["notifications"]) if called else None,
            expected=called["expected"] if called else None,
            positive=sum(w["positive"] for w in r.get("waves") or ()),
            escalation=r["id"],
        ),
    }


def _make_task_line(fact: FactRecord) -> Fields:
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
        "values": _pick(r, "kind", "outcome", task=r["id"]),
    }


_ACTION_ACTORS: Final = {
    "requested": "requested_by",
    "accepted": "accepted_by",
    "done": "ended_by",
    "declined": "ended_by",
    "cancelled": "ended_by",
}
"""Change of an action → field with the person behind it."""


def _make_action_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    written = change == "requested"
    reason = str(r.get("reason") or "").removeprefix("text:") if r.get("ended_at") else ""
    who = _ACTION_ACTORS.get(change)
    return {
        "kind": "decision" if written else "watch" if who is None else "action",
        "change": change,
        "text_id": r["text_id"] if written else reason or None,
        **({} if who is None else {"author": r[who]}),
        "incident": r.get("incident"),
        "values": _pick(
            r, "state", "role", "scope", "person", "due_at", "priority", action=r["id"]
        ),
    }


def _make_on_call_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r.get("state", "in_force"),
        "values": _pick(
            r,
            "kind",
            "role",
            "scope",
            "place",
            "start",
            "end",
            "calendar",
            duty=r["id"],
            shifts=len(r["shifts"]),
        ),
    }


def _make_attendance_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "action",
        "change": r["mode"],
        "author": r["id"],
        "values": _pick(r, "role", "scope", "expected_at"),
    }


def _make_staffing_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    return {
        "kind": "watch" if change == "late" else "action",
        "change": change,
        "values": _pick(
            r, "level", "objective_min", "due_at", "armed_at", required=len(r["required"])
        ),
    }


def _make_readiness_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    holes = len(r.get("holes") or ()) + r.get("more", 0)
    return {
        "kind": "watch" if holes else "runtime",
        "change": "holes" if holes else "ready",
        "values": {"holes": holes, "urgent": r.get("urgent", 0)},
    }


def _make_drill_line(fact: FactRecord) -> Fields:
    rungs = fact.data["row"]["rungs"]
    silent = sum(r["reached"] < r["posts"] or bool(r.get("late")) for r in rungs)
    return {
        "kind": "watch" if silent else "runtime",
        "change": "silent" if silent else "heard",
        "values": {"rungs": len(rungs), "silent": silent},
    }


def _make_probe_line(fact: FactRecord) -> Fields | None:
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


def _make_note_line(fact: FactRecord) -> Fields:
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


def _make_answer_line(fact: FactRecord) -> Fields | None:
    d = fact.data
    if d.get("action") is not None:  # as ActionChanged
        return None
    return {
        "kind": "communication",
        "change": d["answer"],
        "author": d["person"],
        "values": _pick(d, "wave", "notification", "escalation", late=d.get("late", False)),
    }


def _make_uncovered_role_line(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "alarm",
        "change": "uncovered",
        "values": _pick(d, "role", "scope"),
    }


def _make_activity_line(fact: FactRecord) -> Fields:
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


def _make_alarm_line(fact: FactRecord) -> Fields:
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


def _make_arbitration_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "arbitrated",
        "site": r.get("site"),
        "incident": r.get("incident"),
        "text_id": _text_id(r.get("reason")),
        "values": {"activity": r["activity"], "base": r["base"], "pct": r["pct"]},
    }


def _make_declared_activity_line(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "decision",
        "change": d["state"] or "withdrawn",
        "occurred_at": d["occurred_at"],
        "text_id": _text_id(d.get("reason")),
        "values": {"activity": d["activity"]},
    }


def _make_strategy_line(fact: FactRecord) -> Fields:
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


def _make_sitrep_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "communication",
        "change": "issued",
        "incident": next(iter(r.get("incidents") or ()), None),
        "values": {"number": r["number"], "as_of": r["as_of"], "sha256": r["sha256"]},
    }


def _make_improvement_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r["state"],
        "incident": r.get("incident"),
        "text_id": r["text_id"] if r["state"] == "open" else None,
        "values": {"improvement": r["id"], "owner": r["owner"], "due_at": r["due_at"]},
    }


_REQUEST_KINDS = {
    "requested": "decision",
    "offered": "action",
    "committed": "decision",
    "departed": "action",
    "arrived": "fact",
    "released": "action",
    "cancelled": "decision",
    "reminded": "watch",
    "expired": "watch",
    "unfilled": "alarm",
    "late": "alarm",
    "return_due": "watch",
}


def _make_request_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    offers: list[Fields] = list(r.get("offers") or ())
    last: Fields = offers[-1] if change == "offered" and offers else {}
    promised = [o for o in offers if o["state"] == "committed"] if change == "committed" else []
    text = r.get("text_id") if change == "requested" else _text_id(r.get("reason"))
    return {
        "kind": _REQUEST_KINDS.get(change, "fact"),
        "change": change,
        "site": r["site"],
        "incident": r.get("incident"),
        "text_id": text if change in ("requested", "cancelled") else None,
        "values": _pick(
            r,
            "number",
            "kind",
            "metier",
            "priority",
            request=r["id"],
            quantity=last.get("quantity") or r.get("committed") or r["quantity"],
            stock=last.get("stock") or _get_only(promised, "stock"),
            partner=last.get("partner") or _get_only(promised, "partner"),
            eta_at=last.get("eta_at") or r.get("eta_at"),
        ),
    }


def _get_only(offers: list[Fields], name: str) -> str | None:
    """Return a field of the offer if there is just one."""
    return str(offers[0][name]) if len(offers) == 1 and offers[0].get(name) else None


def _make_stock_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change != "counted":  # the request that reserves or returns has a line
        return None
    quantity = max(r["listed"] + r.get("adjusted", 0), 0)
    return {
        "kind": "action",
        "change": change,
        "site": r["site"],
        "values": {"stock": r["id"], "kind": r["kind"], "quantity": quantity},
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
    "cards_opened": "action",
}
_SITE_CARD_CHANGES: Final = frozenset(("started", "completed", "skipped"))


def _make_site_card_line(fact: FactRecord) -> Fields | None:
    """Write a line for each decision of a person about a site's card; opening has one for all."""
    r, change = fact.data["row"], fact.data["change"]
    if change not in _SITE_CARD_CHANGES:
        return None
    return {
        "kind": "action",
        "change": change,
        "site": r.get("site"),
        "text_id": _text_id(r.get("reason")),
        "values": _pick(
            r, "plan", "card", card_state=r["state"], number=(r.get("proof") or {}).get("number")
        ),
    }


def _make_plan_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change in ("listed", "cards_settled"):  # nothing happened, or site cards say it
        return None
    moved = [c for c in r.get("cards") or () if c.get("at") == fact.at]
    asked = r["level"] if change != "raised" else max(r["level"], r.get("proposed_level") or 0)
    return {
        "kind": _PLAN_KINDS.get(change, "decision"),
        "change": change,
        "incident": r.get("incident"),
        "values": _drop_missing(
            {
                "plan": r["id"],
                "level": asked,
                "state": r["state"],
                "card": moved[0]["id"] if moved else None,
                "card_state": moved[0]["state"] if moved else None,
                "cards": sum(c.get("sites") or 0 for c in r.get("cards") or ())
                if change == "cards_opened"
                else None,
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


def _make_proposal_line(fact: FactRecord) -> Fields | None:
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
        "values": _pick(
            r,
            "number",
            "demand",
            "failure",
            agents=decision["agents"] if decision else r["agents"],
            lines=len(decision["lines"])
            if decision
            else len(r["withdrawn"])
            if change == "withdrawn"
            else r["lines"],
            unmet=r["unmet_agents"],
            rules=list(decision["rules"]) if decision else None,
            proposal=r["id"],
        ),
    }


def _make_order_line(fact: FactRecord) -> Fields | None:
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
        "values": values | _drop_missing(times),
    }


def _make_reassignment_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change in ("dispatched", "needed"):  # the order and the proposal have these lines
        return None
    return {
        "kind": "fact" if change == "void" else "action",
        "change": change,
        "site": r["site"],
        "incident": r.get("incident"),
        "values": _pick(r, "metier", "place", "cause", agents=r["count"], line=r["id"]),
    }


_LINE_STATES = {"failed", "ambiguous"}
"""States of a notification that have a line of their own.

Calls appear with their escalation or alarm, answers with AnswerRecorded.
"""


def _make_notification_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if (
        r["state"] not in _LINE_STATES or r["template"] == UNPARSED_REPLY_TEMPLATE
    ):  # unread replies: the person did write
        return None
    return {
        "kind": "communication",
        "change": r["state"],
        "incident": r.get("incident"),
        "values": _pick(
            r, "role", "level", "wave", "channel", "answer", "why", notification=r["id"]
        ),
    }


def _make_hold_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "held" if r["held"] else "released",
        "values": _drop_missing({"until": r.get("until")}),
    }


def _make_runtime_maker(change: str, kind: str = "runtime") -> LineMaker:
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


def _make_refusal_line(fact: FactRecord) -> Fields | None:
    d = fact.data
    if d["code"] == "realm_unknown":
        return None
    return {
        "kind": "runtime",
        "change": "refused",
        "values": {**d.get("values", {}), "command": d["command"], "code": d["code"]},
    }


def _make_reference_line(fact: FactRecord) -> Fields | None:
    return (
        {"kind": "decision", "change": "reference", "values": {"reference": fact.data["reference"]}}
        if fact.data["last"]
        else None
    )


def _drop_missing(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _pick(data: Fields, /, *names: str, **others: Any) -> Fields:
    """Return these fields and other values, without those that are missing."""
    return _drop_missing({name: data.get(name) for name in names} | others)


LINE_MAKERS: dict[str, LineMaker] = {
    "ReportChanged": _make_report_line,
    "SiteStatusChanged": _make_site_line,
    "IncidentChanged": _make_incident_line,
    "LevelChanged": _make_level_line,
    "TriggerChanged": _make_trigger_line,
    "FlagChanged": _make_declaration_line,
    "EscalationChanged": _make_escalation_line,
    "TaskChanged": _make_task_line,
    "ActionChanged": _make_action_line,
    "MaintenanceChanged": _make_maintenance_line,
    "StatementChanged": _make_statement_line,
    "QuestionChanged": _make_question_line,
    "CallOutChanged": _make_callout_line,
    "ObligationChanged": _make_obligation_line,
    "HandoverChanged": _make_handover_line,
    "PagingWithheld": _make_suppression_line,
    "DutyChanged": _make_on_call_line,
    "AttendanceChanged": _make_attendance_line,
    "CellStaffingChanged": _make_staffing_line,
    "ReadinessProved": _make_readiness_line,
    "LaddersDrilled": _make_drill_line,
    "ChannelsProbed": _make_probe_line,
    "NoteAdded": _make_note_line,
    "AnswerRecorded": _make_answer_line,
    "RoleUncovered": _make_uncovered_role_line,
    "ActivityChanged": _make_activity_line,
    "ActivityDeclared": _make_declared_activity_line,
    "AlarmRaised": _make_alarm_line,
    "AlarmArbitrated": _make_arbitration_line,
    "StrategyChanged": _make_strategy_line,
    "PlanChanged": _make_plan_line,
    "SiteCardChanged": _make_site_card_line,
    "ProposalChanged": _make_proposal_line,
    "ReassignmentOrdered": _make_order_line,
    "ReassignmentChanged": _make_reassignment_line,
    "ResourceRequestChanged": _make_request_line,
    "StockChanged": _make_stock_line,
    "SitrepIssued": _make_sitrep_line,
    "ImprovementChanged": _make_improvement_line,
    "NotificationChanged": _make_notification_line,
    "HoldChanged": _make_hold_line,
    "ReferencePublished": _make_reference_line,
    "ReferenceChangeRecorded": _make_reference_change_line,
    "RealmOpened": _make_runtime_maker("opened", "decision"),
    "RealmClosed": _make_runtime_maker("closed", "decision"),
    "CommandRefused": _make_refusal_line,
    "InputFailed": _make_runtime_maker("failed"),
    "InputRefused": _make_runtime_maker("refused"),
    "DeadlineFailed": _make_runtime_maker("deadline_failed"),
    "LossDeclared": _make_runtime_maker("loss"),
    "Rebased": _make_runtime_maker("rebased"),
}
"""Fact name → maker of its line.

A fact without an entry appears through others: CommandApplied through its effects, and so on.
"""

"""Lines about escalations, answers of persons, call-outs and held messages."""

from typing import Final

from schemas.people.replies import HELP_TEMPLATES
from services.console.i18n import Translator
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    drop_missing,
    pick_fields,
)
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_NOT_CONFIGURED = "channel_not_configured"
"""Error of an attempt on a channel that has no provider."""
_LINE_STATES = {"failed", "ambiguous"}
"""States of a notification that have a line of their own.

Calls appear with their escalation or alarm, answers with AnswerRecorded.
"""


def make_escalation_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if fact.data["change"] == "tended":  # the action has a line of its own
        return None
    if r.get("action") is not None:  # as ActionChanged
        return None
    positive = sum(w["positive"] for w in r.get("waves") or ())
    if fact.data["change"] == "declined" and not positive:  # the person has a line of its own
        return None
    fired_waves = [w for w in r.get("waves") or () if w.get("fired_at") is not None]
    last_wave = fired_waves[-1] if fired_waves else None
    return {
        "kind": "communication",
        "change": fact.data["change"],
        "incident": r["scope"]
        if r["scope"] != "territory"
        else next(iter(r.get("incidents") or ()), None),
        "values": pick_fields(
            r,
            "ladder",
            "cycle",
            wave=last_wave["wave"] if last_wave else r["wave"],
            called=len(last_wave["notifications"]) if last_wave else None,
            expected=last_wave["expected"] if last_wave else None,
            positive=positive,
            escalation=r["id"],
        ),
    }


def render_escalation(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    ladder = v["ladder"]
    match record.change:
        case "answered":
            return _("Escalade {ladder} : réponses suffisantes", ladder=ladder)
        case "taken_at_source":
            return _(
                "Escalade {ladder} : prise en charge signalée par l’outil d’origine de l’alerte",
                ladder=ladder,
            )
        case "superseded":
            return _("Escalade {ladder} remplacée par une autre", ladder=ladder)
        case "exhausted":
            return _("Escalade {ladder} sans réponse suffisante : alerte permanente", ladder=ladder)
        case "ended":
            return _("Escalade {ladder} terminée", ladder=ladder)
        case "stale":
            return _(
                "Escalade {ladder} : aucune action depuis la prise en charge ; nouvel appel",
                ladder=ladder,
            )
        case "endangered":
            return _(
                "Escalade {ladder} : danger possible pour des personnes ; nouvel appel",
                ladder=ladder,
            )
        case "reapplied":
            return _(
                "Escalade {ladder} : les règles en vigueur s’appliquent désormais", ladder=ladder
            )
        case "joined":
            return _("Escalade {ladder} : un incident la rejoint", ladder=ladder)
        case "answer" | "declined":
            return _.plural(
                "Escalade {ladder} : {n} réponse",
                "Escalade {ladder} : {n} réponses",
                v.get("positive", 0),
                ladder=ladder,
            )
    who = _.plural("{n} appel", "{n} appels", v.get("called") or 0)
    if v.get("cycle", 1) > 1:
        return _(
            "Escalade {ladder}, cycle {cycle}, vague {wave} : {who}",
            ladder=ladder,
            cycle=v["cycle"],
            wave=v["wave"],
            who=who,
        )
    return _("Escalade {ladder}, vague {wave} : {who}", ladder=ladder, wave=v["wave"], who=who)


def make_answer_line(fact: FactRecord) -> Fields | None:
    d = fact.data
    if d.get("action") is not None:  # as ActionChanged
        return None
    return {
        "kind": "communication",
        "change": d["answer"],
        "author": d["person"],
        "values": pick_fields(d, "wave", "notification", "escalation", late=d.get("late", False)),
    }


def render_answer(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    who = w.capitalize(w.name_person(record.author, names, _))
    if record.change == "decline":
        return _("{who} ne peut pas : suppléant appelé", who=who)
    return (
        _("{who} a répondu, tard", who=who)
        if record.values.get("late")
        else _("{who} a répondu", who=who)
    )


def make_uncovered_role_line(fact: FactRecord) -> Fields:
    d = fact.data
    return {"kind": "alarm", "change": "uncovered", "values": pick_fields(d, "role", "scope")}


def render_uncovered_role(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _(
        "Rôle sans personne joignable : {role}",
        role=w.name_role(record.values["role"], record.values.get("scope"), names, _),
    )


def make_notification_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if (
        r["state"] not in _LINE_STATES or r["template"] in HELP_TEMPLATES
    ):  # unread replies: the person did write
        return None
    return {
        "kind": "communication",
        "change": r["state"],
        "incident": r.get("incident"),
        "values": pick_fields(
            r,
            *("role", "level", "wave", "channel", "answer", "why"),
            notification=r["id"],
            unprovided={a.get("error") for a in r["attempts"]} == {_NOT_CONFIGURED} or None,
        ),
    }


def render_notification(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    who = w.name_role(record.values["role"], None, names, _)
    if record.change == "failed" and record.values.get("unprovided"):
        return _("Injoignable : {who}, aucun canal n’est configuré", who=who)
    if record.change == "failed":
        return _("Injoignable : {who}, tous les canaux ont échoué", who=who)
    return _("Envoi incertain : {who}, peut-être non reçu", who=who)


def repeats_notification(record: SentenceSource) -> bool:
    """Return whether a failed call may be read with others to the same role."""
    return record.change == "failed"


def make_hold_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "held" if r["held"] else "released",
        "values": drop_missing({"until": r.get("until")}),
    }


def render_hold(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _("Envois suspendus") if record.change == "held" else _("Envois repris")


def make_callout_line(fact: FactRecord) -> Fields | None:
    """Make the line of a person's decision about a call-out; its progress has none."""
    r, change = fact.data["row"], fact.data.get("change")
    if change is None or r.get("started_at") is None:
        return None
    return {
        "kind": "communication",
        "change": change,
        "incident": r.get("incident"),
        "text_id": r["text_id"] or None,
        "values": pick_fields(r, "people", "unreachable", "danger", kind=r.get("kind", "callout")),
    }


def render_callout(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    people_count = record.values.get("people", 0) - record.values.get("unreachable", 0)
    match record.values["kind"], record.change:
        case "headcount", "stopped":
            return _("Recensement clos")
        case "headcount", _change:
            return _.plural(
                "Recensement lancé : {n} agent", "Recensement lancé : {n} agents", people_count
            )
        case _kind, "stopped":
            return _("Diffusion d’alerte arrêtée")
        case _:
            return _.plural(
                "Diffusion d’alerte lancée : {n} personne à prévenir",
                "Diffusion d’alerte lancée : {n} personnes à prévenir",
                people_count,
            )


LINES: Final = {
    "EscalationChanged": LineType(make_escalation_line, render_escalation),
    "AnswerRecorded": LineType(make_answer_line, render_answer),
    "RoleUncovered": LineType(make_uncovered_role_line, render_uncovered_role),
    "NotificationChanged": LineType(
        make_notification_line, render_notification, repeats_notification
    ),
    "HoldChanged": LineType(make_hold_line, render_hold),
    "CallOutChanged": LineType(make_callout_line, render_callout),
}

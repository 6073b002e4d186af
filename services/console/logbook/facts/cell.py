"""Lines about the work of the cell: tasks, actions, notes, handovers, on-call, staffing, drills."""

from typing import Final

from schemas.crisis.area_orders import AREA_ORDER, CONCERNED
from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import (
    PARIS,
    Fields,
    LineType,
    SentenceSource,
    format_local_time,
    get_text_id,
    join_place,
    pick_fields,
)
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_ACTION_ACTORS: Final = {
    "requested": "requested_by",
    "accepted": "accepted_by",
    "done": "ended_by",
    "declined": "ended_by",
    "cancelled": "ended_by",
}
"""Change of an action → field with the person behind it."""
_ACTION_SENTENCES: Final = {
    "requested": N_("Action demandée à {who}, pour le {until}"),
    "reminded": N_("Action sans réponse de {who} : rappel"),
    "accepted": N_("Action acceptée ({who}), pour le {until}"),
    "overdue": N_("Action en retard, confiée à {who} : suppléant puis pilote appelés"),
    "done": N_("Action faite ({who})"),
    "declined": N_("Action refusée ({who}) : à confier à quelqu’un d’autre"),
    "cancelled": N_("Action annulée ({who})"),
}
AREA_ORDERS: Final = {
    "evacuated": N_("Consigne d’évacuation"),
    "sheltering": N_("Consigne de confinement"),
}
"""Order for communes or an area, in words. Rule D102."""
_AREA_ORDER_SENTENCES: Final = {
    "opened": N_("{order}, {where} : {sites} dans la zone, chaque responsable est interrogé"),
    "moved": N_("{order}, zone changée, {where} : {sites} dans la zone, interrogés de nouveau"),
    "ended": N_("{order}, {where} : levée, les responsables interrogés sont prévenus"),
}
_COMMUNES_SHOWN: Final = 6
_HANDOVER_KINDS = {"drafted": "action", "revised": "action"}
_HANDOVER_SENTENCES = {
    "drafted": N_("Relève n° {number} rédigée"),
    "revised": N_("Relève n° {number} reprise"),
    "signed": N_("Relève n° {number} signée par le sortant"),
    "accepted": N_("Relève n° {number} signée par l’entrant"),
    "withdrawn": N_("Relève n° {number} retirée"),
}
_ATTENDANCE_LABELS = {
    "on_site": N_("{role} : sur place, dans la cellule"),
    "remote": N_("{role} : à distance"),
    "left": N_("{role} : a quitté la cellule"),
}


def make_task_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    first = r["state"] == "open"
    has_text = first and r.get("text_id") is not None
    return {
        "kind": "decision" if has_text else "watch" if first else "action",
        "text_id": r["text_id"] if has_text else None,
        "change": "sent" if has_text else r["state"],
        "incident": r.get("incident"),
        "site": r.get("site"),
        "report": r.get("report"),
        "values": pick_fields(r, "kind", "outcome", task=r["id"]),
    }


def render_task(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    what = join_place(
        w.translate_code(w.TASK, record.values["kind"], _),
        names.site(record.site) if record.site else "",
        _,
    )
    if record.values["kind"] == "instruction":
        return render_instruction(record, names.site(record.site) if record.site else "", _)
    if record.values["kind"] == AREA_ORDER and record.change == "done":
        return _render_area_answer(record, names.site(record.site or ""), _)
    match record.change:
        case "open":
            return what
        case "taken":
            return _("Pris : {task}", task=what)
        case "done":
            return _("Fait : {task}", task=what)
        case _:
            return _("Sans objet : {task}", task=what)


def _render_area_answer(record: SentenceSource, site: str, _: Translator) -> str:
    """Render the answer whether an order for the area concerns a site. Rule D102."""
    if record.values.get("outcome") == CONCERNED:
        return _("Consigne de zone, site concerné : {site}", site=site)
    return _("Consigne de zone, site non concerné : {site}", site=site)


def make_area_order_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change not in _AREA_ORDER_SENTENCES:
        return None
    return {
        "kind": "action",
        "change": change,
        "incident": r.get("incident"),
        "values": {
            "order": r["order"],
            "communes": list(r["communes"][:_COMMUNES_SHOWN]),
            "sites": len(r["sites"]),
        },
    }


def render_area_order(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    sentence = _AREA_ORDER_SENTENCES[record.change or ""]
    order_label = AREA_ORDERS[v["order"]]
    return _(
        sentence,
        order=_(order_label),
        where=w.join_words([names.commune(commune) for commune in v["communes"]], _),
        sites=_.plural("{n} site", "{n} sites", v["sites"]),
    )


def repeats_task(record: SentenceSource) -> bool:
    """Return whether a task may be read with those of other sites: it is no order of a person."""
    return record.site is not None and record.change != "sent"


def render_instruction(record: SentenceSource, site: str, _: Translator) -> str:
    if record.change == "sent":
        return _("Consigne envoyée, {site}", site=site)
    if record.values.get("outcome") == "withdrawn":
        return _("Consigne retirée, {site}", site=site)
    return _("Consigne comprise, {site}", site=site)


def make_action_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change not in _ACTION_SENTENCES:
        return None
    is_request = change == "requested"
    reason = str(r.get("reason") or "").removeprefix("text:") if r.get("ended_at") else ""
    who = _ACTION_ACTORS.get(change)
    return {
        "kind": "decision" if is_request else "watch" if who is None else "action",
        "change": change,
        "text_id": r["text_id"] if is_request else reason or None,
        **({} if who is None else {"author": r[who]}),
        "incident": r.get("incident"),
        "values": pick_fields(
            r, "state", "role", "scope", "person", "due_at", "priority", action=r["id"]
        ),
    }


def render_action(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if v.get("person"):
        who = w.name_person(str(v["person"]), names, _)
    else:
        who = w.name_role(str(v["role"]), v.get("scope"), names, _)
    sentence = _ACTION_SENTENCES[record.change or ""]
    return _(sentence, who=who, until=format_local_time(v["due_at"]))


def make_note_line(fact: FactRecord) -> Fields:
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


def make_handover_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    text = r["text_id"] if change in ("drafted", "revised") else None
    return {
        "kind": _HANDOVER_KINDS.get(change, "decision"),
        "change": change,
        "text_id": get_text_id(r.get("reason")) if change == "withdrawn" else text,
        "values": {"handover": r["id"], "number": r["number"]},
    }


def render_handover(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    sentence = _HANDOVER_SENTENCES.get(str(record.change), N_("Relève n° {number}"))
    return _(sentence, number=record.values["number"])


def make_on_call_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r.get("state", "in_force"),
        "values": pick_fields(
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


def render_on_call(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    post = w.name_role(str(v["role"]), v.get("scope"), names, _)
    if record.change == "withdrawn":
        return _("{post} : changement d’astreinte retiré", post=post)
    if record.change == "replaced":
        return _("{post} : calendrier remplacé", post=post)
    when = {"start": format_local_time(v["start"]), "end": format_local_time(v["end"])}
    match v["kind"]:
        case "swap":
            return _(
                "{post} : échange d’astreintes entre le {start} et le {end}", post=post, **when
            )
        case "calendar":
            return _(
                "{post} : calendrier importé, {n} gardes du {start} au {end}",
                post=post,
                n=v["shifts"],
                **when,
            )
        case _:
            return _("{post} : remplacement du {start} au {end}", post=post, **when)


def make_attendance_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "action",
        "change": r["mode"],
        "author": r["id"],
        "values": pick_fields(r, "role", "scope", "expected_at"),
    }


def render_attendance(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    role = w.name_role(str(v["role"]), v.get("scope"), names, _)
    if record.change == "en_route" and "expected_at" in v:
        at = to_datetime(v["expected_at"]).astimezone(PARIS).strftime("%H:%M")
        return _("{role} : en route, arrivée prévue à {at}", role=role, at=at)
    return _(_ATTENDANCE_LABELS.get(str(record.change), N_("{role} : en route")), role=role)


def make_staffing_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    return {
        "kind": "watch" if change == "late" else "action",
        "change": change,
        "values": pick_fields(
            r, "level", "objective_min", "due_at", "armed_at", required=len(r["required"])
        ),
    }


def render_staffing(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    minutes = v.get("objective_min", 0)
    match record.change:
        case "armed":
            return _(
                "Cellule armée : {n} fonctions tenues (objectif {minutes} min)",
                n=v["required"],
                minutes=minutes,
            )
        case "late":
            return _("Cellule non armée à l’objectif de {minutes} min", minutes=minutes)
        case "ended":
            return _("Cellule désarmée")
        case "lowered":
            return _(
                "Cellule ramenée au niveau N{level} : {n} fonctions à tenir",
                level=v["level"],
                n=v["required"],
            )
        case "raised":
            return _(
                "Cellule appelée pour le niveau N{level} : {n} fonctions à tenir",
                level=v["level"],
                n=v["required"],
            )
        case _:
            return _(
                "Cellule appelée, niveau N{level} : {n} fonctions à tenir en {minutes} min",
                level=v["level"],
                n=v["required"],
                minutes=minutes,
            )


def make_readiness_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    holes = len(r.get("holes") or ()) + r.get("more", 0)
    return {
        "kind": "watch" if holes else "runtime",
        "change": "holes" if holes else "ready",
        "values": {"holes": holes, "urgent": r.get("urgent", 0)},
    }


def render_readiness(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "ready":
        return _("Joignabilité des astreintes, d’après l’annuaire : tous les postes sont pourvus")
    gaps_text = _.plural(
        "{n} poste non pourvu ou fragile",
        "{n} postes non pourvus ou fragiles",
        record.values["holes"],
    )
    if record.values["urgent"]:
        return _(
            "Joignabilité des astreintes, d’après l’annuaire : {found}, dont {urgent} sous 48 h",
            found=gaps_text,
            urgent=record.values["urgent"],
        )
    return _("Joignabilité des astreintes, d’après l’annuaire : {found}", found=gaps_text)


def make_drill_line(fact: FactRecord) -> Fields:
    rungs = fact.data["row"]["rungs"]
    silent = sum(r["reached"] < r["posts"] or bool(r.get("late")) for r in rungs)
    return {
        "kind": "watch" if silent else "runtime",
        "change": "silent" if silent else "heard",
        "values": {"rungs": len(rungs), "silent": silent},
    }


def render_drill(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "heard":
        return _(
            "Essai du mois, d’après l’annuaire : les {rungs} vagues seraient entendues",
            rungs=record.values["rungs"],
        )
    return _(
        "Essai du mois, d’après l’annuaire : {silent} vagues sur {rungs} ne seraient pas "
        "entendues à temps partout",
        **record.values,
    )


def make_probe_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    if r.get("done_at") is None:
        return None
    failed_channels = [c["channel"] for c in r["channels"] if c["outcome"] == "failed"]
    answer_count = sum(c["outcome"] == "answered" for c in r["channels"])
    off = all(c["outcome"] == "not_configured" for c in r["channels"])
    return {
        "kind": "watch" if failed_channels or off else "runtime",
        "change": "failed" if failed_channels else "off" if off else "answered",
        "values": {"failed": failed_channels, "answered": answer_count},
    }


def render_probe(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "failed":
        channels = ", ".join(
            w.translate_code(w.CHANNEL, channel, _) for channel in record.values["failed"]
        )
        return _("Essai des canaux : pas de réponse de {channels}", channels=channels)
    if record.change == "off":
        return _("Essai des canaux : aucun n’est configuré, aucun message ne part")
    return _.plural(
        "Essai des canaux : {n} a répondu",
        "Essai des canaux : {n} ont répondu",
        record.values["answered"],
    )


def render_note(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _("Note de la cellule")


LINES: Final = {
    "TaskChanged": LineType(make_task_line, render_task, repeats_task),
    "ActionChanged": LineType(make_action_line, render_action),
    "NoteAdded": LineType(make_note_line, render_note),
    "AreaOrderChanged": LineType(make_area_order_line, render_area_order),
    "HandoverChanged": LineType(make_handover_line, render_handover),
    "DutyChanged": LineType(make_on_call_line, render_on_call),
    "AttendanceChanged": LineType(make_attendance_line, render_attendance),
    "CellStaffingChanged": LineType(make_staffing_line, render_staffing),
    "ReadinessProved": LineType(make_readiness_line, render_readiness),
    "LaddersDrilled": LineType(make_drill_line, render_drill),
    "ChannelsProbed": LineType(make_probe_line, render_probe),
}

"""Lines about reports, sites, incidents, levels, declarations and maintenance windows."""

from collections.abc import Collection
from typing import Any, Final

from schemas.catalogue.event_types import (
    EVENT_TYPES,
    EventKind,
    endangers_people,
    may_endanger_people,
)
from schemas.crisis.maintenance import Coverage
from schemas.words import EventType
from services.console.i18n import N_, Translator
from services.console.incidents.titles import write_maintenance_title
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    drop_missing,
    format_place,
    join_place,
    pick_fields,
)
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

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
_WINDOW_KINDS = {
    "planned": "decision",
    "changed": "decision",
    "ended": "decision",
    "begun": "watch",
    "paused": "watch",
    "over": "watch",
}
_MAINTENANCE_LABELS = {
    "planned": N_("Travaux prévus"),
    "changed": N_("Travaux modifiés"),
    "begun": N_("Début des travaux"),
    "paused": N_("Fin des travaux de ce jour"),
    "ended": N_("Travaux terminés avant l’heure"),
    "over": N_("Fin des travaux"),
}


def make_report_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    first = bool(fact.data["row"]["recorded_at"] == fact.at)
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
        "values": pick_fields(
            r,
            "type",
            "severity",
            "reason",
            "commune",
            "msg_type",
            "alias",
            ended=None if first else _get_ending(r.get("flags") or ()),
            zone=list(r.get("zone") or ()) or None,
            corrected_by=by,
        ),
    } | ({"author": by} if by else {})


def _get_ending(flags: Collection[str]) -> str | None:
    """Return why a report that is recorded again counts no longer, if its source said so."""
    return next((flag for flag in ("cancelled", "superseded") if flag in flags), None)


def render_report(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    sentence = render_judgement(record, names, _)
    if (by := record.values.get("corrected_by")) is None:
        return sentence
    return _(
        "{line} (message refusé, corrigé par {person})",
        line=sentence,
        person=w.name_person(str(by), names, _),
    )


def render_judgement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    event_text = join_place(
        w.translate_code(w.EVENT, v.get("type"), _), format_place(record, names), _
    )
    match record.change, record.certainty, v.get("ended") or v.get("reason"):
        case "verdict", "confirmed", "cancelled":
            return _("Annulé par sa source. {line}", line=event_text)
        case "verdict", "confirmed", "superseded":
            return _("Remplacé par une mise à jour. {line}", line=event_text)
        case "verdict", "confirmed", _reason:
            return _("Confirmé. {line}", line=event_text)
        case "verdict", "denied", _reason:
            return _("Démenti. {line}", line=event_text)
        case "verdict", _certainty, _reason:
            return _("Signalement revu. {line}", line=event_text)
        case _change, _certainty, "withdrawn_before":
            return _("Annulé par sa source avant d’arriver. {line}", line=event_text)
        case "duplicate", _certainty, "same_id":
            return _("{line} (déjà reçu)", line=event_text)
        case "duplicate", _certainty, _reason:
            return _("{line} (même cause, déjà signalée)", line=event_text)
        case "refused", _certainty, _reason:
            return _("Refusé. {line}", line=event_text)
        case "failed", _certainty, _reason:
            return _("Non traité. {line}", line=event_text)
        case _change, "rumour", _reason:
            return _("Rumeur. {line}", line=event_text)
        case _change, "unconfirmed", _reason:
            return _("Non confirmé. {line}", line=event_text)
    return _("Annulé. {line}", line=event_text) if v.get("msg_type") == "Cancel" else event_text


def repeats_report(record: SentenceSource) -> bool:
    """Return whether a report may be read with others: no danger, nothing that was refused."""
    if record.site is None or record.change in ("refused", "failed"):
        return False
    return not _is_dangerous(record.values.get("type"), record.values.get("severity") or 1)


def _is_dangerous(type: Any, severity: int) -> bool:
    """Return whether trouble is or may be a danger to people; an unknown type is one."""
    return (
        type not in EVENT_TYPES
        or endangers_people(EventType(type), severity)
        or may_endanger_people(EventType(type))
    )


def make_site_line(fact: FactRecord) -> Fields:
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


def render_site(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    site = names.site(record.site or "")
    match record.change:
        case "unknown":
            return _("Sans nouvelles : {site}, levée de doute ouverte", site=site)
        case "normal":
            return _("Retour à la normale : {site}", site=site)
    status = w.translate_code(w.SITE_STATUS, record.change, _)
    causes = ", ".join(w.translate_code(w.CAUSE, t, _) for t in record.values.get("types", ()))
    return (
        _("{status} : {site}, {causes}", status=status, site=site, causes=causes)
        if causes
        else join_place(status, site, _)
    )


def endangers_report(record: SentenceSource) -> bool:
    """Return whether a report tells of a danger to people and is neither taken back nor denied."""
    v = record.values
    if v.get("msg_type") == "Cancel" or v.get("ended") or record.certainty == "denied":
        return False
    row = EVENT_TYPES[EventType(v["type"])] if v.get("type") in EVENT_TYPES else None
    is_trouble = row is not None and row.kind is EventKind.CAUSE
    return is_trouble and endangers_people(EventType(v["type"]), v.get("severity") or 1)


def repeats_site(record: SentenceSource) -> bool:
    """Return whether a site's status may be read with others: nobody is in danger there."""
    return record.change not in ("evacuated", "sheltering") and not any(
        _is_dangerous(type, 1) for type in record.values.get("types", ())
    )


def make_incident_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _INCIDENT_KINDS.get(change)
    if kind is None:
        return None
    return {
        "kind": kind,
        "change": change,
        "incident": r["id"],
        "occurred_at": r["opened_at"] if change == "opened" else fact.at,
        "values": pick_fields(
            r,
            "number",
            "kind",
            "level",
            members=len(r.get("members") or ()),
            communes=list(r.get("communes") or ())[:6],
            into=r.get("merged_into"),
            apart=True if change == "split" and r["version"] == 0 else None,
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


def render_incident(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    match record.change:
        case "opened":
            return _(
                "Incident {number} ouvert, famille {family}",
                number=v["number"],
                family=w.translate_code(world.FAMILY, v["kind"], _),
            )
        case "level":
            return _("Incident {number} au niveau N{level}", number=v["number"], level=v["level"])
        case "zone":
            return _(
                "Zone touchée : {communes}",
                communes=w.join_words([names.commune(c) for c in v.get("communes", ())], _),
            )
        case "acknowledged":
            if v.get("state") == "open":
                return _(
                    "Incident {number} : plus personne ne le prend en charge", number=v["number"]
                )
            sentence = _("Incident {number} pris en charge", number=v["number"])
            return join_place(
                sentence, w.join_words(w.name_acknowledgers(v.get("takers", ()), names, _), _), _
            )
        case "closed":
            return _("Incident {number} clos", number=v["number"])
        case "reopened":
            return _("Incident {number} rouvert", number=v["number"])
        case "loud":
            return _(
                "Incident {number} : n’est plus couvert par des travaux ou par une cause connue ; "
                "alerte relancée, niveau N{level}",
                number=v["number"],
                level=v["level"],
            )
        case "merged" if v.get("into"):
            return _("Incident {number} fusionné dans un autre", number=v["number"])
        case "merged":
            return _("Un autre incident est fusionné dans {number}", number=v["number"])
        case _ if v.get("apart"):
            return _("Incident {number} ouvert, détaché d’un autre", number=v["number"])
        case _:
            return _("Incident {number} scindé", number=v["number"])


def make_level_line(fact: FactRecord) -> Fields:
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
        "values": drop_missing(values),
    }


def render_level(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if record.change == "proposed":
        level = v.get("proposed")
        return (
            _("Proposition de niveau retirée")
            if level is None
            else _("Niveau N{level} proposé, à décider", level=level)
        )
    return _("Niveau du territoire : N{old} → N{new}", old=v["previous"], new=v["level"])


def make_trigger_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    change = "held_more" if r["state"] == "held" and r["since"] < fact.at else r["state"]
    return {
        "kind": "watch",
        "change": change,
        "incident": r.get("incident"),
        "values": {"plan": r["plan"], "level": r["level"]},
    }


def render_trigger(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    plan = names.plan_label(str(record.values["plan"]), _)
    if record.change == "released":
        return _("{plan} : la condition ne tient plus", plan=plan)
    if record.change == "held_more":
        return _("{plan} : la condition tient, pour d’autres raisons aussi", plan=plan)
    return _("{plan} : la condition tient", plan=plan)


def make_declaration_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "fact",
        "change": "flag",
        "occurred_at": min(r["since"], fact.at),
        "incident": r.get("incident"),
        "values": {"flag": r["id"], "value": r["value"]},
    }


def render_declaration(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    kind, _sep, name = str(record.values["flag"]).partition(":")
    value = record.values["value"]
    if kind == "flag" and isinstance(value, bool):
        what = w.translate_code(world.FLAG, name, _)
        return _("Déclaré : {what}", what=what) if value else _("Fin signalée : {what}", what=what)
    if kind == "vigilance":
        return _(
            "Vigilance {phenomenon} {colour}",
            phenomenon=w.translate_code(world.PHENOMENON, name, _),
            colour=w.translate_code(world.COLOUR, str(value), _),
        )
    if kind == "road":
        return (
            _("Route {road} fermée", road=name) if value else _("Route {road} rouverte", road=name)
        )
    if kind == "forecast":
        return _("Prévision des cotes à {station} reçue", station=world.name_station(name))
    if kind == "measure":
        what = w.translate_code(world.MEASURE, name, _)
        number = _("sans valeur") if isinstance(value, str) else w.format_number(value, _.lang)
        return join_place(what[:1].upper() + what[1:], number, _)
    what = world.name_dependency(name, _)
    what = what[:1].upper() + what[1:]
    if isinstance(value, str):
        return join_place(what, w.translate_code(world.DEPENDENCY, value, _), _)
    if kind == "river":
        return _(
            "Seine à {station} : {level}",
            station=world.name_station(name),
            level=f"{w.format_metres(value, _.lang)}\u00a0m",
        )
    return join_place(what, f"{w.format_number(value, _.lang)}\u00a0%", _)


def make_suppression_line(fact: FactRecord) -> Fields:
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


def render_suppression(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "inhibited":
        return _("Personne n’est appelé : conséquence d’une cause connue")
    return _("Personne n’est appelé : travaux prévus")


def make_maintenance_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _WINDOW_KINDS.get(change)
    if kind is None:  # more causes at the same moment
        return None
    sites: list[str] = list(r["covers"].get("sites") or ())
    return {
        "kind": kind,
        "change": change,
        "site": sites[0] if len(sites) == 1 else None,
        "values": pick_fields(r, "covers", "begins_at", "until_at", window=r["id"]),
    }


def render_maintenance(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    covers = Coverage.model_validate(record.values["covers"])
    return join_place(
        w.translate_code(_MAINTENANCE_LABELS, record.change, _),
        write_maintenance_title(covers, names, _.lang),
        _,
    )


LINES: Final = {
    "ReportChanged": LineType(make_report_line, render_report, repeats_report, endangers_report),
    "SiteStatusChanged": LineType(make_site_line, render_site, repeats_site),
    "IncidentChanged": LineType(make_incident_line, render_incident),
    "LevelChanged": LineType(make_level_line, render_level),
    "TriggerChanged": LineType(make_trigger_line, render_trigger),
    "FlagChanged": LineType(make_declaration_line, render_declaration),
    "PagingWithheld": LineType(make_suppression_line, render_suppression),
    "MaintenanceChanged": LineType(make_maintenance_line, render_maintenance),
}

"""Render the sentence of a logbook line from its stored values. Rule D55."""

# ruff: noqa: ARG001, ARG005  every maker has the same signature

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from schemas.crisis.maintenance import Coverage
from schemas.reference_changes import RecordKind
from services.console.i18n import N_, Translator, get_translator
from services.console.incidents.titles import write_maintenance_title, write_refusal
from services.console.reassignment.periods import describe_order_period
from services.console.reference.record_names import name_record_with_kind
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.texts.strategies import name_strategy
from services.console.web import times

Values = Mapping[str, Any]
PARIS: Final = ZoneInfo("Europe/Paris")


class SentenceSource(Protocol):
    """The part of `services.console.logbook.lines.LineRecord` that sentences need."""

    @property
    def type(self) -> str: ...
    @property
    def change(self) -> str | None: ...
    @property
    def author(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def site(self) -> str | None: ...
    @property
    def certainty(self) -> str | None: ...
    @property
    def values(self) -> Values: ...


def render_line(record: SentenceSource, names: TerritoryNames, lang: str) -> str:
    """Return the sentence of a line, or the type name if a newer version wrote it.

    Free text such as notes is not part of it: that is encrypted and limited to readers with the
    right.
    """
    _ = get_translator(lang)
    make = _RENDERERS.get(record.type)
    return record.type if make is None else make(record, names, _)


def _format_place(record: SentenceSource, names: TerritoryNames) -> str:
    commune = record.values.get("commune")
    return (
        names.site(record.site) if record.site else names.commune(str(commune)) if commune else ""
    )


def _join_place(what: str, where: str, _: Translator) -> str:
    return _("{what} : {where}", what=what, where=where) if where else what


def _render_report(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    said = _render_judgement(record, names, _)
    if (by := record.values.get("corrected_by")) is None:
        return said
    return _(
        "{line} (message refusé, corrigé par {person})",
        line=said,
        person=w.name_person(str(by), names, _),
    )


def _render_judgement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    said = _join_place(w.translate_code(w.EVENT, v.get("type"), _), _format_place(record, names), _)
    match record.change, record.certainty, v.get("reason"):
        case "verdict", "confirmed", _reason:
            return _("Confirmé. {line}", line=said)
        case "verdict", "denied", _reason:
            return _("Démenti. {line}", line=said)
        case "verdict", _certainty, _reason:
            return _("Signalement revu. {line}", line=said)
        case "duplicate", _certainty, "same_id":
            return _("{line} (déjà reçu)", line=said)
        case "duplicate", _certainty, _reason:
            return _("{line} (signalé par une autre source)", line=said)
        case "refused", _certainty, _reason:
            return _("Refusé. {line}", line=said)
        case "failed", _certainty, _reason:
            return _("Non traité. {line}", line=said)
        case _change, "rumour", _reason:
            return _("Rumeur. {line}", line=said)
        case _change, "unconfirmed", _reason:
            return _("Non confirmé. {line}", line=said)
    return _("Annulé. {line}", line=said) if v.get("msg_type") == "Cancel" else said


def _render_site(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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
        else _join_place(status, site, _)
    )


def _render_incident(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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
            said = _("Incident {number} pris en charge", number=v["number"])
            return _join_place(
                said, w.join_words(w.name_acknowledgers(v.get("takers", ()), names, _), _), _
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
        case "merged":
            return _("Incident {number} fusionné dans un autre", number=v["number"])
        case _:
            return _("Incident {number} scindé", number=v["number"])


_MAINTENANCE_LABELS = {
    "planned": N_("Travaux prévus"),
    "changed": N_("Travaux modifiés"),
    "begun": N_("Début des travaux"),
    "paused": N_("Fin des travaux de ce jour"),
    "ended": N_("Travaux terminés avant l’heure"),
    "over": N_("Fin des travaux"),
}


def _render_maintenance(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    covers = Coverage.model_validate(record.values["covers"])
    return _join_place(
        w.translate_code(_MAINTENANCE_LABELS, record.change, _),
        write_maintenance_title(covers, names, _.lang),
        _,
    )


_STATEMENT_SENTENCES = {
    "drafted": N_("Communiqué rédigé, {audience}"),
    "revised": N_("Communiqué repris, {audience}"),
    "submitted": N_("Communiqué soumis à validation, {audience}"),
    "validated": N_("Communiqué validé, {audience}"),
    "refused": N_("Communiqué refusé, {audience}"),
    "published": N_("Communiqué publié, {audience}"),
    "retracted": N_("Communiqué retiré, {audience}"),
}


def _render_statement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    audience = w.translate_code(w.AUDIENCE_FOR, v["audience"], _)
    plain = _("{audience}, en facile à lire", audience=audience) if v.get("plain") else audience
    sentence = _STATEMENT_SENTENCES.get(str(record.change), N_("Communiqué modifié, {audience}"))
    return _(sentence, audience=plain)


def _render_question(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    asker = w.translate_code(w.ASKER, record.values["asker"], _)
    if record.change == "received":
        return _("Question reçue, {asker}", asker=asker)
    if record.values.get("statement"):
        return _("Réponse par un communiqué à une question, {asker}", asker=asker)
    return _("Réponse à une question, {asker}", asker=asker)


def _render_callout(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    reached = record.values.get("people", 0) - record.values.get("unreachable", 0)
    match record.values["kind"], record.change:
        case "headcount", "stopped":
            return _("Recensement clos")
        case "headcount", _change:
            return _.plural(
                "Recensement lancé : {n} agent", "Recensement lancé : {n} agents", reached
            )
        case _kind, "stopped":
            return _("Diffusion d’alerte arrêtée")
        case _:
            return _.plural(
                "Diffusion d’alerte lancée : {n} personne à prévenir",
                "Diffusion d’alerte lancée : {n} personnes à prévenir",
                reached,
            )


_OBLIGATION_SENTENCES = {
    "started": N_("Échéance légale : {what}, avant {due}"),
    "reminded": N_("Rappel d’échéance légale : {what}, avant {due}"),
    "overdue": N_("Échéance légale dépassée : {what}, limite {due}"),
    "done": N_("Déclaration faite : {what}"),
    "late": N_("Déclaration faite après la limite : {what}"),
    "dismissed": N_("Échéance légale sans objet : {what}"),
}


def _format_limit(at: int, _: Translator) -> str:
    """Format a legal limit with its day: it is often on another one."""
    due = to_datetime(at)
    return f"{times.day(due, _.lang)} {times.hm(due)}"


def _render_obligation(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    change = "late" if record.change == "done" and v.get("late") else str(record.change)
    return _(
        _OBLIGATION_SENTENCES.get(change, N_("Échéance légale : {what}, avant {due}")),
        what=names.obligation(v["obligation"], _.lang),
        due=_format_limit(v["due_at"], _),
    )


_HANDOVER_SENTENCES = {
    "drafted": N_("Relève n° {number} rédigée"),
    "revised": N_("Relève n° {number} reprise"),
    "signed": N_("Relève n° {number} signée par le sortant"),
    "accepted": N_("Relève n° {number} signée par l’entrant"),
    "withdrawn": N_("Relève n° {number} retirée"),
}


def _render_handover(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    sentence = _HANDOVER_SENTENCES.get(str(record.change), N_("Relève n° {number}"))
    return _(sentence, number=record.values["number"])


def _render_suppression(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "inhibited":
        return _("Personne n’est appelé : conséquence d’une cause connue")
    return _("Personne n’est appelé : travaux prévus")


def _render_level(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if record.change == "proposed":
        level = v.get("proposed")
        return (
            _("Proposition de niveau retirée")
            if level is None
            else _("Niveau N{level} proposé, à décider", level=level)
        )
    return _("Niveau du territoire : N{old} → N{new}", old=v["previous"], new=v["level"])


def _render_trigger(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    plan = names.plan_label(str(record.values["plan"]), _)
    if record.change == "released":
        return _("{plan} : la condition ne tient plus", plan=plan)
    if record.change == "held_more":
        return _("{plan} : la condition tient, pour d’autres raisons aussi", plan=plan)
    return _("{plan} : la condition tient", plan=plan)


def _render_declaration(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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
    what = world.name_dependency(name, _)
    what = what[:1].upper() + what[1:]
    if isinstance(value, str):
        return _join_place(what, w.translate_code(world.DEPENDENCY, value, _), _)
    if kind == "river":
        return _(
            "Seine à {station} : {level}",
            station=world.name_station(name),
            level=f"{w.format_number(value, _.lang)}\u00a0m",
        )
    return _join_place(what, f"{w.format_number(value, _.lang)}\u00a0%", _)


def _render_escalation(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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


def _render_on_call(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    post = w.name_role(str(v["role"]), v.get("scope"), names, _)
    if record.change == "withdrawn":
        return _("{post} : changement d’astreinte retiré", post=post)
    if record.change == "replaced":
        return _("{post} : calendrier remplacé", post=post)
    when = {"start": _format_local_time(v["start"]), "end": _format_local_time(v["end"])}
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


_ATTENDANCE_LABELS = {
    "on_site": N_("{role} : sur place, dans la cellule"),
    "remote": N_("{role} : à distance"),
    "left": N_("{role} : a quitté la cellule"),
}


def _render_attendance(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    role = w.name_role(str(v["role"]), v.get("scope"), names, _)
    if record.change == "en_route" and "expected_at" in v:
        at = to_datetime(v["expected_at"]).astimezone(PARIS).strftime("%H:%M")
        return _("{role} : en route, arrivée prévue à {at}", role=role, at=at)
    return _(_ATTENDANCE_LABELS.get(str(record.change), N_("{role} : en route")), role=role)


def _render_staffing(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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


def _format_local_time(at: int) -> str:
    return to_datetime(at).astimezone(PARIS).strftime("%d/%m %H:%M")


def _render_readiness(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    if record.change == "ready":
        return _("Joignabilité des astreintes, d’après l’annuaire : tous les postes sont pourvus")
    found = _.plural(
        "{n} poste non pourvu ou fragile",
        "{n} postes non pourvus ou fragiles",
        record.values["holes"],
    )
    if record.values["urgent"]:
        return _(
            "Joignabilité des astreintes, d’après l’annuaire : {found}, dont {urgent} sous 48 h",
            found=found,
            urgent=record.values["urgent"],
        )
    return _("Joignabilité des astreintes, d’après l’annuaire : {found}", found=found)


def _render_drill(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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


def _render_probe(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
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


def _render_task(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    what = _join_place(
        w.translate_code(w.TASK, record.values["kind"], _),
        names.site(record.site) if record.site else "",
        _,
    )
    if record.values["kind"] == "instruction":
        return _instruction(record, names.site(record.site) if record.site else "", _)
    match record.change:
        case "open":
            return what
        case "taken":
            return _("Pris : {task}", task=what)
        case "done":
            return _("Fait : {task}", task=what)
        case _:
            return _("Sans objet : {task}", task=what)


_ACTION_SENTENCES: Final = {
    "requested": N_("Action demandée à {who}, pour le {until}"),
    "reminded": N_("Action sans réponse de {who} : rappel"),
    "accepted": N_("Action acceptée ({who}), pour le {until}"),
    "overdue": N_("Action en retard, confiée à {who} : suppléant puis pilote appelés"),
    "done": N_("Action faite ({who})"),
    "declined": N_("Action refusée ({who}) : à confier à quelqu’un d’autre"),
    "cancelled": N_("Action annulée ({who})"),
}


def _render_action(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if v.get("person"):
        who = w.name_person(str(v["person"]), names, _)
    else:
        who = w.name_role(str(v["role"]), v.get("scope"), names, _)
    sentence = _ACTION_SENTENCES.get(record.change or "", _ACTION_SENTENCES["requested"])
    return _(sentence, who=who, until=_format_local_time(v["due_at"]))


def _instruction(record: SentenceSource, site: str, _: Translator) -> str:
    if record.change == "sent":
        return _("Consigne envoyée, {site}", site=site)
    if record.values.get("outcome") == "withdrawn":
        return _("Consigne retirée, {site}", site=site)
    return _("Consigne comprise, {site}", site=site)


def _render_answer(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    who = w.name_person(record.author, names, _)
    if record.change == "decline":
        return _("{who} ne peut pas : suppléant appelé", who=who)
    return (
        _("{who} a répondu, tard", who=who)
        if record.values.get("late")
        else _("{who} a répondu", who=who)
    )


def _render_uncovered_role(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _(
        "Rôle sans personne joignable : {role}",
        role=w.name_role(record.values["role"], record.values.get("scope"), names, _),
    )


def _render_activity(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    state = w.translate_code(w.ACTIVITY_STATE, v["state"], _).lower()
    capacity, minimum = (
        w.format_number(v["capacity_pct"], _.lang),
        w.format_number(v["mbco_pct"], _.lang),
    )
    return _(
        "{id} {state} : capacité {pct} %, minimum {min} %",
        id=names.activity_label(str(v["activity"]), _.lang),
        state=state,
        pct=capacity,
        min=minimum,
    )


def _render_declared_activity(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    activity = names.activity_label(str(record.values["activity"]), _.lang)
    if record.change == "withdrawn":
        return _("{id} : état déclaré retiré, l’état calculé compte de nouveau", id=activity)
    return _(
        "{id} déclarée « {state} »",
        id=activity,
        state=w.translate_code(w.ACTIVITY_STATE, record.change, _).lower(),
    )


def _render_arbitration(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    activity = names.activity_label(str(record.values["activity"]), _.lang)
    return _("{activity} : arbitrage sur le RTO consommé", activity=activity)


def _render_strategy(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    activity = names.activity_label(str(v["activity"]), _.lang)
    what = {"activity": activity, "strategy": name_strategy(v["strategy"], _)}
    if record.change == "ended":
        return _("{activity} : fin de « {strategy} »", **what)
    if record.change == "lost":
        return _(
            "{activity} : fin de « {strategy} », site de repli perdu ({site})",
            site=_format_place(record, names),
            **what,
        )
    return _(
        "{activity} : {strategy}, {pct} % attendus",
        pct=w.format_number(v["capacity_pct"], _.lang),
        **what,
    )


def _render_alarm(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    activity = names.activity_label(str(v["activity"]), _.lang)
    where = f"{activity}, {names.site(record.site)}" if record.site else activity
    if v["base"] == "rto":
        return _("{where} : RTO consommé à {pct} %", where=where, pct=v["pct"])
    if v["base"] == "pdma":
        return _("{where} : données plus vieilles que la PDMA ({pct} %)", where=where, pct=v["pct"])
    return _("{where} : DMIA consommée à {pct} %", where=where, pct=v["pct"])


_PLAN_SENTENCES = {
    "proposed": N_("{plan} proposé"),
    "returned": N_("{plan} proposé à nouveau"),
    "raised": N_("{plan} proposé au niveau {level}"),
    "activated": N_("{plan} activé"),
    "refused": N_("{plan} refusé"),
    "postponed": N_("{plan} différé"),
    "stand_down_proposed": N_("{plan} : levée proposée"),
    "stood_down": N_("{plan} levé"),
    "retex_closed": N_("{plan} : RETEX clos"),
    "dropped": N_("{plan} levé : les nouvelles données de référence ne l’ont plus"),
    "trigger": N_("{plan} : condition réévaluée"),
    "released": N_("{plan} : la condition ne tient plus"),
    "held": N_("{plan} : la condition tient de nouveau"),
    "resumed": N_("{plan} : la condition de levée ne tient plus"),
    "moved": N_("{plan} : les fiches suivent le nouveau jour annoncé"),
}


def _render_plan(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    id = str(v["plan"])
    plan = names.plan_label(id, _)
    if record.change == "box":
        return (
            _("{plan} : condition de levée cochée", plan=plan)
            if v.get("ticked")
            else _("{plan} : condition de levée décochée", plan=plan)
        )
    if record.change == "cards_opened":
        return _(
            "{plan} : {cards} ouvertes aux sites",
            plan=plan,
            cards=_.plural("{n} fiche", "{n} fiches", int(v.get("cards") or 0)),
        )
    if record.change != "card":
        return (
            _(_PLAN_SENTENCES[record.change], plan=plan, level=v["level"])
            if record.change in _PLAN_SENTENCES
            else _join_place(plan, w.translate_code(w.PLAN_STATE, v["state"], _), _)
        )
    tasks = {c.id: c.task for c in names.plans[id].cards} if id in names.plans else {}
    card = v.get("card")
    if card is None:
        return _("{plan} : fiche en retard", plan=plan)
    state = w.translate_code(w.CARD_STATE, v.get("card_state"), _)
    return _("{plan}, fiche {state} : {task}", plan=plan, state=state, task=tasks.get(card, card))


def _render_site_card(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    id, card = str(v["plan"]), str(v["card"])
    plan = names.plan_label(id, _)
    tasks = {c.id: c.task for c in names.plans[id].cards} if id in names.plans else {}
    state = w.translate_code(w.CARD_STATE, str(v.get("card_state")), _)
    said = _("{plan}, fiche {state} : {task}", plan=plan, state=state, task=tasks.get(card, card))
    number = v.get("number")
    return said if number is None else f"{said} ({w.format_number(float(number), _.lang)})"


SMALL_COUNT: Final = 3
"""Smaller counts of agents of one métier are not shown exactly. Rule D58."""


def format_small_count(count: int) -> str:
    """Format a count of agents of one métier without revealing small groups."""
    return f"< {SMALL_COUNT}" if 0 < count < SMALL_COUNT else str(count)


def _render_proposal(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    number, moved = v["number"], w.format_number(v["agents"], _.lang)
    agents = _.plural("{count} agent", "{count} agents", v["agents"], count=moved)
    match record.change:
        case "computed":
            unmet, demand = (
                w.format_number(v["unmet"], _.lang),
                w.format_number(v["demand"], _.lang),
            )
            needs = _.plural(
                "{count} besoin sans réponse sur {of}",
                "{count} besoins sans réponse sur {of}",
                v["unmet"],
                count=unmet,
                of=demand,
            )
            return _(
                "Réaffectation n° {number} proposée : {agents}, {needs}",
                number=number,
                agents=agents,
                needs=needs,
            )
        case "failed":
            return _("Réaffectation n° {number} : le calcul a échoué", number=number)
        case "lapsed":
            return _("Réaffectation n° {number} : plus d’objet", number=number)
        case "approved":
            lines = _.plural("{n} ligne approuvée", "{n} lignes approuvées", v["lines"])
            rules = ", ".join(v.get("rules", ()))
            return _(
                "Réaffectation n° {number} : {lines}, {agents} ({rules})",
                number=number,
                lines=lines,
                agents=agents,
                rules=rules,
            )
        case "declined":
            lines = _.plural("{n} ligne écartée", "{n} lignes écartées", v["lines"])
            return _(
                "Réaffectation n° {number} : {lines}, {agents}",
                number=number,
                lines=lines,
                agents=agents,
            )
        case "withdrawn":
            lines = _.plural("{n} ligne retirée", "{n} lignes retirées", v["lines"])
            return _(
                "Réaffectation n° {number} : {lines}, personne ne sort de ces sites",
                number=number,
                lines=lines,
            )
        case _other:
            return _("Réaffectation n° {number}", number=number)


def _render_order(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v, site = record.values, names.site(record.site or "")
    told = _(
        "Ordre de réaffectation, {site} : {leave} partent, {come} viennent",
        site=site,
        leave=v["leave"],
        come=v["come"],
    )
    if "starts_at" not in v:
        return told
    ends_at = to_datetime(v["ends_at"]) if "ends_at" in v else None
    return f"{told}, {describe_order_period(to_datetime(v['starts_at']), ends_at, to_datetime(v['dispatched_at']), _)}"


_REASSIGNMENT_SENTENCES = {
    "accepted": N_("Ordre reçu par {site} : {n} {metier}"),
    "arrived": N_("Au travail : {n} {metier} de {site}"),
    "released": N_("De retour à leur poste : {n} {metier} de {site}"),
    "void": N_("Réaffectation annulée, lieu perdu : {n} {metier} de {site}"),
}
_RECALLED = N_("Rappelés, plus nécessaires là où ils étaient : {n} {metier} de {site}")
_REASSIGNED = N_("Réaffectation : {n} {metier} de {site}")
_REMOVED = N_(
    "Réaffectation annulée, un site n’est plus dans les données de référence : {n} {metier} de "
    "{site}"
)

_CAUSE_SENTENCES = {"site_removed": _REMOVED, "recalled": _RECALLED}


def _render_reassignment(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    said = _CAUSE_SENTENCES.get(str(v.get("cause"))) or _REASSIGNMENT_SENTENCES.get(
        str(record.change), _REASSIGNED
    )
    return _(said).format(
        n=format_small_count(int(v["agents"])),
        metier=names.metier(str(v["metier"]), _.lang),
        site=names.site(record.site or ""),
    )


_REQUEST_SENTENCES = {
    "requested": N_("Demande de moyens n° {number} ({priority}) : {what} pour {site}"),
    "reminded": N_("Demande n° {number} toujours sans promesse : {what} pour {site}"),
    "offered": N_("Demande n° {number}, offre de {giver} : {what} pour {site}, réservé"),
    "expired": N_("Demande n° {number} : réservation échue, {what} pour {site}"),
    "committed": N_("Demande n° {number}, promis par {giver} : {what} pour {site}"),
    "departed": N_("Demande n° {number} : {what} en route vers {site}"),
    "late": N_("Demande n° {number} en retard : {what} attendu à {site}"),
    "arrived": N_("Demande n° {number} : {what} sur place, {site}"),
    "released": N_("Demande n° {number} : {what} rendu par {site}"),
    "cancelled": N_("Demande n° {number} annulée : {what} pour {site}"),
    "unfilled": N_("Demande n° {number} non satisfaite à l’heure dite : {what} pour {site}"),
    "return_due": N_("Demande n° {number} : {what} à reprendre à {site}"),
}
_REQUEST_CHANGED = N_("Demande de moyens n° {number} : {what} pour {site}")
_SEVERAL_GIVERS = N_("plusieurs détenteurs")


def _render_request(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    metier = v.get("metier")
    what = f"{w.format_number(v['quantity'], _.lang)} " + (
        names.resource(str(v["kind"]), int(v["quantity"]), _.lang)
    )
    if metier is not None:
        what = f"{what} ({names.metier(str(metier), _.lang)})"
    return _(
        _REQUEST_SENTENCES.get(str(record.change), _REQUEST_CHANGED),
        number=v["number"],
        what=what,
        site=names.site(record.site or ""),
        priority=w.translate_code(w.REQUEST_PRIORITY, v.get("priority"), _),
        giver=_name_giver(v, names, _),
    )


def _name_giver(values: Values, names: TerritoryNames, _: Translator) -> str:
    stock, partner = values.get("stock"), values.get("partner")
    if stock is None and partner is None:
        return _(_SEVERAL_GIVERS)
    return names.giver(stock, partner)


def _render_stock(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    return _(
        "Stock compté, {stock} : {n} {what}",
        stock=names.giver(str(v["stock"]), None),
        n=w.format_number(v["quantity"], _.lang),
        what=names.resource(str(v["kind"]), int(v["quantity"]), _.lang),
    )


def _render_sitrep(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _("Point de situation n° {number} validé", number=record.values["number"])


def _render_improvement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    owner = w.name_role(str(record.values["owner"]), None, names, _)
    match record.change:
        case "done":
            return _("Action d’amélioration faite : {owner}", owner=owner)
        case "dropped":
            return _("Action d’amélioration abandonnée : {owner}", owner=owner)
        case _:
            return _("Action d’amélioration décidée : {owner}", owner=owner)


def _render_notification(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    who = w.name_role(record.values["role"], None, names, _)
    match record.change:
        case "accepted":
            return _(
                "Message envoyé : {who}, {channel}",
                who=who,
                channel=w.translate_code(w.CHANNEL, record.values.get("channel"), _),
            )
        case "answered":
            return _("Réponse reçue : {who}", who=who)
        case "failed":
            return _("Injoignable : {who}, tous les canaux ont échoué", who=who)
        case _:
            return _("Envoi incertain : {who}, peut-être non reçu", who=who)


def _render_hold(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _("Envois suspendus") if record.change == "held" else _("Envois repris")


def _make_fixed_renderer(text: str) -> Callable[[SentenceSource, TerritoryNames, Translator], str]:
    return lambda record, names, _: _(text)


_LOG_LABELS: Final = {
    "alerts": N_("alertes"),
    "continuity": N_("continuité"),
    "delivery": N_("envois"),
}


def _make_log_renderer(text: str) -> Callable[[SentenceSource, TerritoryNames, Translator], str]:
    return lambda record, names, _: _(text).format(
        log=_(_LOG_LABELS[record.place.partition("/")[0]])
    )


def _render_refusal(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return write_refusal(str(record.values.get("code", "")), record.values, _.lang)


def _render_reference(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _(
        "Données de référence : version {version} en vigueur", version=record.values["reference"]
    )


def _render_reference_change(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if "edit" in v:
        return _render_record_edit(record, names, _)
    version = v["reference"]
    match record.change:
        case "proposed":
            what = w.join_words(
                [w.translate_code(w.SECTION, section, _) for section in v["sections"]], _
            )
            said = _(
                "Données de référence : version {version} proposée ({what})",
                version=version,
                what=what or _("ordre des lignes"),
            )
            at = v.get("effective_at")
            return (
                _("{what}, effet le {at}", what=said, at=_format_local_time(at))
                if at
                else _("{what}, effet dès l’approbation", what=said)
            )
        case "approved":
            return _(
                "Données de référence : version {version} approuvée, en vigueur le {at}",
                version=version,
                at=_format_local_time(v["due_at"]),
            )
        case "declined":
            return _("Données de référence : version {version} refusée", version=version)
        case "withdrawn":
            return _("Données de référence : version {version} retirée", version=version)
        case _:
            cause = w.translate_code(w.CHANGE_CAUSE, v.get("cause"), _)
            return _(
                "Données de référence : la version {version} n’entre pas en vigueur, {cause}",
                version=version,
                cause=cause,
            )


def _render_record_edit(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    kind = RecordKind(v["edit"]["kind"])
    what = name_record_with_kind(names, kind, v["edit"]["id"], _)
    match record.change:
        case "proposed":
            return _("Données de référence : changement proposé, {what}", what=what)
        case "approved":
            return _("Données de référence : changement approuvé, {what}", what=what)
        case "declined":
            return _("Données de référence : changement refusé, {what}", what=what)
        case "withdrawn":
            return _("Données de référence : changement retiré, {what}", what=what)
        case _:
            return _(
                "Données de référence : changement sans effet, {what}, {cause}",
                what=what,
                cause=w.translate_code(w.CHANGE_CAUSE, v.get("cause"), _),
            )


_RENDERERS: dict[str, Callable[[SentenceSource, TerritoryNames, Translator], str]] = {
    "ReportChanged": _render_report,
    "SiteStatusChanged": _render_site,
    "IncidentChanged": _render_incident,
    "LevelChanged": _render_level,
    "TriggerChanged": _render_trigger,
    "FlagChanged": _render_declaration,
    "EscalationChanged": _render_escalation,
    "TaskChanged": _render_task,
    "ActionChanged": _render_action,
    "MaintenanceChanged": _render_maintenance,
    "StatementChanged": _render_statement,
    "QuestionChanged": _render_question,
    "ObligationChanged": _render_obligation,
    "HandoverChanged": _render_handover,
    "PagingWithheld": _render_suppression,
    "DutyChanged": _render_on_call,
    "AttendanceChanged": _render_attendance,
    "CellStaffingChanged": _render_staffing,
    "ReadinessProved": _render_readiness,
    "LaddersDrilled": _render_drill,
    "ChannelsProbed": _render_probe,
    "CallOutChanged": _render_callout,
    "NoteAdded": _make_fixed_renderer(N_("Note de la cellule")),
    "AnswerRecorded": _render_answer,
    "RoleUncovered": _render_uncovered_role,
    "ActivityChanged": _render_activity,
    "ActivityDeclared": _render_declared_activity,
    "AlarmRaised": _render_alarm,
    "AlarmArbitrated": _render_arbitration,
    "StrategyChanged": _render_strategy,
    "PlanChanged": _render_plan,
    "SiteCardChanged": _render_site_card,
    "ProposalChanged": _render_proposal,
    "ReassignmentOrdered": _render_order,
    "ReassignmentChanged": _render_reassignment,
    "ResourceRequestChanged": _render_request,
    "StockChanged": _render_stock,
    "SitrepIssued": _render_sitrep,
    "ImprovementChanged": _render_improvement,
    "NotificationChanged": _render_notification,
    "HoldChanged": _render_hold,
    "ReferencePublished": _render_reference,
    "ReferenceChangeRecorded": _render_reference_change,
    "RealmOpened": _make_fixed_renderer(N_("Ouverture")),
    "RealmClosed": _make_fixed_renderer(N_("Fin d’exercice (FINEX)")),
    "CommandRefused": _render_refusal,
    "InputFailed": _make_fixed_renderer(N_("Message non traité, gardé pour être rejoué")),
    "InputRefused": _make_fixed_renderer(N_("Message illisible, gardé pour être relu")),
    "DeadlineFailed": _make_fixed_renderer(N_("Échéance non traitée")),
    "LossDeclared": _make_log_renderer(
        N_("Journal « {log} » : perte de sa fin déclarée, il repart de ce qui en reste")
    ),
    "Rebased": _make_log_renderer(
        N_(
            "Journal « {log} » : il repart d’une sauvegarde, sur un second site ou d’une entrée "
            "refaite"
        )
    ),
}
"""Fact name → maker of its sentence; the same names as in `services.console.logbook.lines`."""

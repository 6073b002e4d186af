"""Lines of the main courante (DOMAIN D55): which facts are one, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas import alerts as a
from schemas import continuity as c
from schemas import delivery as d
from schemas import runtime as r
from schemas.base import Fact, Model
from schemas.words import Answer, CardState, ClockBase, NotificationState, ReportState, SiteStatus, TaskState
from services.console.i18n import Translator, translator
from services.console.texts import words as w
from services.console.texts.names import Names
from services.console.texts.reasons import reason
from services.console.texts.titles import incident_title, task_title

Kind = Literal["fact", "decision", "action", "communication", "watch", "alarm", "note", "runtime"]


@dataclass(frozen=True, slots=True)
class Line:
    kind: Kind
    text: str


def line(fact: Fact, *, before: Model | None, names: Names, lang: str) -> Line | None:  # noqa: C901  one case per kind of fact
    """The line of one fact, or None for a fact that another line already tells.

    `before` is the previous row of the same resource (None: it is new), so that only what changed is said. The text of a
    note is not here: it is encrypted and belongs to those who may read it.
    """
    _ = translator(lang)
    match fact:
        case a.ReportChanged():
            return _report(fact.row, before, names, _)
        case a.SiteStatusChanged():
            return _site(fact.row, before, names, _)
        case a.IncidentChanged():
            return _incident(fact, names, _)
        case a.LevelChanged():
            return _level(fact, names, _)
        case a.FlagChanged():
            return _flag(fact.row, before, _)
        case a.EscalationChanged():
            return _escalation(fact.row, before, _)
        case a.RoleUncovered():
            return Line("alarm", _("Rôle sans titulaire : {role}", role=w.role_name(fact.role, fact.scope, names, _)))
        case a.AnswerRecorded():
            return _answer(fact, names, _)
        case a.TaskChanged():
            return _task(fact.row, before, names, _)
        case a.NoteAdded():
            return Line("note", _("Note de la cellule"))
        case c.ActivityChanged():
            return _activity(fact.row, before, names, _)
        case c.AlarmRaised():
            return _alarm(fact.row, names, _)
        case c.PlanChanged():
            return _plan(fact, before, names, _)
        case d.NotificationChanged():
            return _notification(fact.row, before, names, _)
        case d.HoldChanged():
            return Line("decision", _("Envois suspendus") if fact.row.held else _("Envois repris"))
        case _:
            return _runtime(fact, _)


def _at(site: str | None, commune: str | None, names: Names) -> str:
    return names.site(site) if site else names.commune(commune) if commune else ""


def _report(row: a.ReportRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    where = _at(row.site, row.commune, names)
    if row.measure and row.measure.name == "customers_cut" and isinstance(row.measure.value, float | int):
        what = _("Clients coupés : {n}", n=w.number(float(row.measure.value), _.lang))
    elif row.colour:
        what = _(
            "Vigilance {phenomenon} {colour}", phenomenon=w.word(w.PHENOMENON, row.phenomenon, _), colour=w.word(w.COLOUR, row.colour, _)
        )
    else:
        what = _(w.EVENT[row.type])
    said = _("{what} : {where}", what=what, where=where) if where else what
    if isinstance(before, a.ReportRow):
        if before.confirmation == row.confirmation:
            return None
        return Line("fact", _("Confirmé. {line}", line=said) if row.confirmation == "confirmed" else _("Démenti. {line}", line=said))
    match row.state:
        case ReportState.DUPLICATE if row.reason != "same_id":
            return Line("fact", _("{line} (signalé par une autre source)", line=said))
        case ReportState.DUPLICATE | ReportState.RECEIVED:
            return None
        case ReportState.REFUSED:
            return Line("fact", _("Refusé : {line}", line=said))
        case ReportState.FAILED:
            return Line("runtime", _("Non traité : {line}", line=said))
    if row.confirmation == "rumour":
        said = _("Rumeur. {line}", line=said)
    elif row.confirmation == "unconfirmed":
        said = _("Non confirmé. {line}", line=said)
    return Line("fact", said)


def _site(row: a.SiteRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    was = before.status if isinstance(before, a.SiteRow) else SiteStatus.NORMAL
    if row.status == was:
        return None
    if row.status is SiteStatus.UNKNOWN:
        return Line("watch", _("Sans nouvelles : {site}, levée de doute ouverte", site=names.site(row.id)))
    if row.status is SiteStatus.NORMAL:
        return Line("fact", _("Retour à la normale : {site}", site=names.site(row.id)))
    return None


def _incident(fact: a.IncidentChanged, names: Names, _: Translator) -> Line | None:
    row = fact.row
    title = incident_title(row, names, _.lang)
    match fact.change:
        case "opened":
            return Line("watch", _("Incident {number} ouvert : {title}", number=row.number, title=title))
        case "level":
            why = f"\u00a0: {reason(row.why[-1], names, _.lang)}" if row.why else ""
            return Line("watch", _("Incident au niveau {level}", level=row.level.name) + why)
        case "acknowledged":
            who = w.person_name(row.acknowledged_by[-1], names, _) if row.acknowledged_by else _("la cellule")
            return Line("decision", _("Incident pris en charge par {who}", who=who))
        case "closed":
            return Line("decision", _("Incident clos"))
        case "reopened":
            return Line("decision", _("Incident rouvert"))
        case "merged":
            return Line("decision", _("Incident fusionné dans un autre"))
        case "split":
            return Line("decision", _("Incident scindé"))
        case "zone":
            return Line("watch", _("Zone touchée : {communes}", communes=w.listed([names.commune(x) for x in row.communes], _)))
        case _:
            return None


def _level(fact: a.LevelChanged, names: Names, _: Translator) -> Line | None:
    row = fact.row
    if row.level == fact.previous:
        if row.proposed is None:
            return None
        return Line("alarm", _("Niveau {level} proposé, à décider", level=row.proposed.name))
    where = _("du territoire") if row.id == "territory" else names.pole(row.id.removeprefix("pole:"), _.lang)
    why = f"\u00a0: {reason(row.why[-1], names, _.lang)}" if row.why else ""
    return Line("alarm", _("Niveau {where} : {old} → {new}", where=where, old=fact.previous.name, new=row.level.name) + why)


def _flag(row: a.FlagRow, before: Model | None, _: Translator) -> Line | None:
    if isinstance(before, a.FlagRow) and before.value == row.value:
        return None
    kind, _sep, name = row.id.partition(":")
    match kind:
        case "flag" if isinstance(row.value, bool):
            what = w.word(w.FLAG, name, _)
            return Line("fact", _("Déclaré : {what}", what=what) if row.value else _("Fin déclarée : {what}", what=what))
        case "vigilance":
            return None
        case _:
            state = {"down": _("arrêté"), "degraded": _("dégradé"), "up": _("rétabli")}
            value = state.get(str(row.value)) or (
                f"{w.number(row.value, _.lang)}\u00a0%" if isinstance(row.value, float) else str(row.value)
            )
            return Line("fact", f"{name}\u00a0: {value}")


def _escalation(row: a.EscalationRow, before: Model | None, _: Translator) -> Line | None:
    was = before if isinstance(before, a.EscalationRow) else None
    if was is not None and was.state != row.state:
        match row.state:
            case "answered":
                return Line("communication", _("Escalade {ladder} : réponses suffisantes", ladder=row.ladder))
            case "superseded":
                return Line("communication", _("Escalade {ladder} remplacée par un niveau supérieur", ladder=row.ladder))
            case "exhausted":
                return Line("alarm", _("Escalade {ladder} sans réponse suffisante, alerte permanente", ladder=row.ladder))
            case _:
                return Line("communication", _("Escalade {ladder} terminée", ladder=row.ladder))
    fired = {(x.cycle, x.wave) for x in was.waves if x.fired_at is not None} if was else set()
    new = [x for x in row.waves if x.fired_at is not None and (x.cycle, x.wave) not in fired]
    if not new:
        return None
    wave = new[-1]
    called = len(wave.notifications) or len(wave.roles)
    who = _.plural("{n} rôle appelé", "{n} rôles appelés", called)
    if wave.cycle > 1:
        text = _("Escalade {ladder}, cycle {cycle}, vague {wave} : {who}", ladder=row.ladder, cycle=wave.cycle, wave=wave.wave, who=who)
    else:
        text = _("Escalade {ladder}, vague {wave} : {who}", ladder=row.ladder, wave=wave.wave, who=who)
    return Line("communication", text)


def _answer(fact: a.AnswerRecorded, names: Names, _: Translator) -> Line:
    who = w.person_name(fact.person, names, _)
    if fact.answer is Answer.DECLINE:
        return Line("communication", _("{who} ne peut pas : suppléant appelé", who=who))
    return Line("communication", _("{who} a répondu, tard", who=who) if fact.late else _("{who} a répondu", who=who))


def _task(row: a.TaskRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    title = task_title(row, names, _.lang)
    was = before.state if isinstance(before, a.TaskRow) else None
    if row.state is TaskState.OPEN and was is None:
        return None if row.kind == "verify_site" else Line("watch", title)
    if row.state is TaskState.DONE and was is not TaskState.DONE:
        return Line("action", _("Fait : {title}", title=title))
    return None


def _activity(row: c.ActivityRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    was = before if isinstance(before, c.ActivityRow) else None
    if was is not None and was.forecast_breach_at is None and row.forecast_breach_at is not None and was.state == row.state:
        return Line("alarm", _("{id} : rupture de la DMIA prévue", id=row.id))
    if was is not None and was.state == row.state:
        return None
    state = w.word(w.ACTIVITY_STATE, row.state, _).lower()
    if was is None and row.state.value == "nominal":
        return None
    if row.state.value in ("threatened", "degraded") and (was is None or was.state.value != "interrupted"):
        return None
    return Line("watch", _("{id} {state} : {name}", id=row.id, state=state, name=names.activity(row.id, _.lang)))


def _alarm(row: c.AlarmRow, names: Names, _: Translator) -> Line:
    where = f"{row.activity}, {names.site(row.site)}" if row.site else row.activity
    if row.base is ClockBase.RTO:
        return Line("alarm", _("{where} : RTO consommé à {pct} %", where=where, pct=row.pct))
    return Line("alarm", _("{where} : DMIA consommée à {pct} %", where=where, pct=row.pct))


def _plan(fact: c.PlanChanged, before: Model | None, names: Names, _: Translator) -> Line | None:
    row = fact.row
    plan = row.id
    if fact.change == "card":
        return _card(row, before, names, _)
    who = w.person_name(row.decided_by, names, _) if row.decided_by else ""
    why = f"\u00a0: {reason(row.why[-1], names, _.lang)}" if row.why else ""
    match fact.change:
        case "proposed" | "returned":
            return Line("watch", _("{plan} proposé", plan=plan) + why)
        case "raised":
            return Line("watch", _("{plan} proposé au niveau {level}", plan=plan, level=row.level) + why)
        case "activated":
            return Line("decision", _("{plan} activé par {who}", plan=plan, who=who))
        case "refused":
            return Line("decision", _("{plan} refusé par {who}", plan=plan, who=who))
        case "postponed":
            return Line("decision", _("{plan} différé par {who}", plan=plan, who=who))
        case "stand_down_proposed":
            return Line("watch", _("{plan} : levée proposée", plan=plan))
        case "stood_down":
            return Line("decision", _("{plan} levé par {who}", plan=plan, who=who))
        case _:
            return None


def _card(row: c.PlanRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    was = {x.id: x for x in before.cards} if isinstance(before, c.PlanRow) else {}
    tasks = {x.id: x.task for x in names.plans[row.id].cards} if row.id in names.plans else {}
    for card in row.cards:
        old = was.get(card.id)
        if old is None or (old.state == card.state and old.overdue == card.overdue):
            continue
        task = f"{row.id}, {tasks.get(card.id, card.id)}"
        if card.overdue and not old.overdue and card.state is old.state:
            return Line("alarm", _("Fiche en retard : {task}", task=task))
        state = w.word(w.CARD_STATE, card.state, _)
        kind: Kind = "decision" if card.state is CardState.NOT_APPLICABLE else "action"
        return Line(kind, _("Fiche {state} : {task}", state=state, task=task))
    return None


def _notification(row: d.NotificationRow, before: Model | None, names: Names, _: Translator) -> Line | None:
    was = before.state if isinstance(before, d.NotificationRow) else None
    if row.state == was or row.state not in (NotificationState.FAILED, NotificationState.AMBIGUOUS):
        return None
    who = w.role_name(row.role, None, names, _)
    if row.state is NotificationState.FAILED:
        return Line("alarm", _("Injoignable : {who}, tous les canaux ont échoué", who=who))
    return Line("alarm", _("Envoi incertain : {who}, peut-être non reçu", who=who))


def _runtime(fact: Fact, _: Translator) -> Line | None:
    match fact:
        case r.RealmOpened():
            return Line("runtime", _("Début"))
        case r.RealmClosed():
            return Line("runtime", _("Fin"))
        case r.InputFailed():
            return Line("runtime", _("Message non traité, gardé pour être rejoué ({type})", type=fact.input_type.split(".")[1]))
        case r.DeadlineFailed():
            return Line("runtime", _("Échéance non traitée ({key})", key=fact.key))
        case r.LossDeclared():
            return Line("runtime", _("Perte de journal déclarée"))
        case r.Rebased():
            return Line("runtime", _("Reprise sur un autre système"))
        case _:
            return None

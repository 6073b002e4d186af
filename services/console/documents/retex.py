"""Lessons learned (RETEX, D53), drawn from the log: what happened, how long each thing took against its target, what was late, what nobody had declared.

Pure: the same facts give the same document. People are roles and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from schemas.alerts import ReportRow
from schemas.continuity import ImprovementRow
from schemas.reassignment import LineState, ReassignmentRow
from schemas.words import ActivityState, CardState, PlanState
from services.console.documents.document import Cited, Column, Document, Line, Row, Section, Sheet, Table, renumbered
from services.console.documents.facts import index_of
from services.console.documents.sitrep.situation import is_turn
from services.console.i18n import N_, Translator
from services.console.lines import LineRecord
from services.console.pages import times
from services.console.pages.journal import LATE_MIN
from services.console.resources import Activity, Alarm, Clock, Escalation, Incident, Notification, Plan, Realm
from services.console.texts import line as sentence
from services.console.texts import words as w
from services.console.texts.lines import few
from services.console.texts.names import Names

TURNS_SHOWN: Final = 40
ROWS_SHOWN: Final = 25
FULL: Final = 100
SATURDAY: Final = 5
TELEWORK: Final = "telework"
RTO_OVER: Final = N_("RTO dépassé")
MTPD_OVER: Final = N_("DMIA dépassée")
ENVIRONMENT: Final = {
    "co2_kg": (N_("CO2 émis ou évité"), "kg"),
    "energy_kwh": (N_("énergie délestée"), "kWh"),
    "water_m3": (N_("eau économisée"), "m³"),
    "meals_saved": (N_("repas sauvés"), ""),
    "travel_km": (N_("trajets évités"), "km"),
}
"""Measures of reports that the environmental section adds up (D61)."""


@dataclass(frozen=True, slots=True)
class RetexFacts:
    lang: str
    _: Translator
    names: Names
    territory: str
    realm: Realm
    at: datetime
    hot: timedelta
    """From the end to the hot lessons learned."""
    cold: timedelta
    incidents: Sequence[Incident]
    """Those that this is about, earliest first."""
    activities: Sequence[Activity]
    plans: Sequence[Plan]
    alarms: Sequence[Alarm]
    escalations: Sequence[Escalation]
    notifications: Sequence[Notification]
    reports: Sequence[ReportRow]
    lines: Sequence[LineRecord]
    """Newest first."""
    improvements: Sequence[ImprovementRow]
    moved: Sequence[ReassignmentRow]
    """Approved lines of reassignment, also those that are over."""
    agent_day_eur: float | None
    texts: Mapping[str, str]

    @property
    def ended(self) -> datetime | None:
        """When the last of them was closed; None while one is open."""
        closed = [i.closed_at for i in self.incidents]
        return max((c for c in closed if c is not None), default=None) if all(closed) else None


def draft_retex(by_lang: Sequence[RetexFacts]) -> Document:
    """The document in the languages of the given facts."""
    first = by_lang[0]
    cited = Cited(*index_of(first.lines))
    sheets = {facts.lang: _sheet(facts, cited) for facts in by_lang}
    final, kept = cited.numbered(sheets.values())
    return Document(
        kind="retex", realm=first.realm.name, territory=first.territory, simulated=first.realm.simulated, as_of=times.ms(first.at),
        level=max((i.level for i in first.incidents), default=0), incidents=tuple(i.id for i in first.incidents), sources=kept,
        figures=_figures(first), sheets={lang: renumbered(sheet, final) for lang, sheet in sheets.items()},
    )  # fmt: skip


def _figures(x: RetexFacts) -> dict[str, int]:
    cards = [c for p in _used(x) for c in p.cards]
    return {
        "incidents": len(x.incidents), "reports": len(x.reports), "reports:late": sum(_late(r) for r in x.reports), "alarms": len(x.alarms),
        "alarms:arbitrated": sum(a.arbitrated_at is not None for a in x.alarms), "cards": len(cards),
        "cards:late": sum(_card_late(c.due_at, c.at, x.at, c.state) is not None for c in cards),
        "messages": len(x.notifications), "messages:answered": sum(n.acknowledged_at is not None for n in x.notifications),
        "improvements:open": sum(i.state == "open" for i in x.improvements), "agents": sum(row.count for row in _worked(x)),
        "agent-days": sum(agent_days(row, x.at) for row in _worked(x)), "moves:co2_g": sum(_grams(row, x) for row in _worked(x)),
    }  # fmt: skip


def _sheet(x: RetexFacts, cited: Cited) -> Sheet:
    _ = x._
    sections = [make(x, cited) for make in SECTIONS]
    numbered = tuple(s.model_copy(update={"title": f"{n}. {s.title}"}) for n, s in enumerate(sections, 1))
    level = max((i.level for i in x.incidents), default=0)
    what = x.incidents[0].title if len(x.incidents) == 1 else _.plural("{n} incident", "{n} incidents", len(x.incidents))
    number = x.incidents[0].number if len(x.incidents) == 1 else x.realm.name
    return Sheet(
        title=_("RETEX {number}", number=number), subtitle=what,
        intro=_("Tiré de la main courante le {day} à {at} ; rien n’y est saisi à la main.", day=times.day_long(x.at, x.lang), at=times.hm(x.at)),
        badge=f"N{level}", badge_text=x.names.level(level), draft="" if x.ended else _("EN COURS : un incident est encore ouvert"),
        footer=_("Vigie, {territory}. RETEX, {number}. Chaque ligne renvoie à la main courante.", territory=x.territory, number=number),
        page_of=_("Page {n} / {of}"), sources_title=_("Lignes de la main courante citées"), sections=numbered,
    )  # fmt: skip


def _at(at: datetime | None, x: RetexFacts) -> str:
    return "" if at is None else f"{times.day(at, x.lang)} {times.hm(at)}"


# ── what happened ──────────────────────────────────────────────────────────────────────────────────────────────────


def _frame(x: RetexFacts, cited: Cited) -> Section:
    _ = x._
    rows = [
        Row(
            cells=(f"{i.number} {i.title}", f"N{i.level}", _at(i.opened_at, x), _at(i.known_at, x), _at(i.closed_at, x), str(i.members)),
            refs=cited.of(f"incident:{i.id}:opened", f"incident:{i.id}:closed"),
        )
        for i in x.incidents[:ROWS_SHOWN]
    ]  # fmt: skip
    columns = (
        Column(title=_("Incident"), wide=True), Column(title=_("Niveau")), Column(title=_("Début")), Column(title=_("Su")), Column(title=_("Clos")),
        Column(title=_("Sites"), right=True),
    )  # fmt: skip
    note = ""
    if x.ended is not None:
        note = _(
            "RETEX à chaud avant le {hot}, à froid avant le {cold}.", hot=_at(x.ended + x.hot, x), cold=times.day(x.ended + x.cold, x.lang)
        )
    return Section(id="frame", title=_("Cadre"), table=Table(columns=columns, rows=tuple(rows), note=note))


def _story(x: RetexFacts, cited: Cited) -> Section:
    _ = x._
    turns = [r for r in reversed(x.lines) if is_turn(r) or r.kind == "decision" or r.type == "SitrepIssued" or _is_limit(r)]
    shown = turns if len(turns) <= TURNS_SHOWN else [*turns[: TURNS_SHOWN // 2], *turns[-TURNS_SHOWN // 2 :]]
    lines = [
        Line(
            text=f"{_at(times.of(r.recorded_at), x)} {sentence(r, x.names, x.lang)}", refs=cited.key(r.key), strong=r.type == "LevelChanged"
        )
        for r in shown
    ]
    aside = _("{n} sur {of}, les premiers et les derniers", n=len(shown), of=len(turns)) if len(shown) < len(turns) else ""
    return Section(id="story", title=_("Chronologie"), aside=aside, lines=tuple(lines) or _none(x))


def _is_limit(record: LineRecord) -> bool:
    """A whole activity used up its RTO or DMIA."""
    return record.type == "AlarmRaised" and record.site is None and record.values.get("pct") == FULL


def _none(x: RetexFacts) -> tuple[Line, ...]:
    return (Line(text=x._("Rien à signaler.")),)


# ── how long it took ───────────────────────────────────────────────────────────────────────────────────────────────


def _late(report: ReportRow) -> bool:
    return report.recorded_at - report.occurred_at > LATE_MIN * 60_000


def _median(spans: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=median(span.total_seconds() for span in spans))


def _delays(x: RetexFacts, cited: Cited) -> Section:
    _, lang = x._, x.lang
    rows: list[Row] = []

    def row(what: str, measured: timedelta | None, target: timedelta | None, refs: tuple[int, ...] = ()) -> None:
        gap = measured - target if measured is not None and target is not None else None
        said = "" if gap is None else _("tenu") if gap <= timedelta() else _("dépassé de {span}", span=times.lasted(gap, lang))
        told = _("pas encore") if measured is None else times.lasted(measured, lang)
        rows.append(
            Row(
                cells=(what, told, "" if target is None else times.lasted(target, lang), said),
                refs=refs,
                strong=bool(gap and gap > timedelta()),
            )
        )

    for i in x.incidents[:4]:
        row(
            _("{number} : du fait à sa connaissance", number=i.number),
            i.known_at - i.opened_at,
            timedelta(minutes=LATE_MIN),
            cited.of(f"incident:{i.id}:opened"),
        )
    by_id = {n.id: n for n in x.notifications}
    for e in [e for e in x.escalations if e.state != "superseded"][:4]:
        for wave in e.waves:
            if wave.fired_at is None or wave.cycle > 1:
                continue
            answers = [
                n.acknowledged_at
                for id in wave.notifications
                if (n := by_id.get(id)) is not None and n.acknowledged_at and n.answer != "decline"
            ]
            answers.sort()
            enough = answers[wave.expected - 1] - wave.fired_at if 0 < wave.expected <= len(answers) else None
            row(
                _("Escalade {ladder}, vague {wave} : {n} réponses attendues", ladder=e.ladder, wave=wave.wave, n=wave.expected), enough,
                timedelta(minutes=wave.ack_min), cited.of(f"escalation:{e.id}"),
            )  # fmt: skip
    acked = [n.acknowledged_at - n.sent_at for n in x.notifications if n.acknowledged_at and n.sent_at]
    if acked:
        row(_("Réponse à un appel, médiane"), _median(acked), None)
    for p in _used(x):
        if p.proposed_at is not None:
            decided = p.decided_at - p.proposed_at if p.decided_at is not None and p.decided_at >= p.proposed_at else None
            row(
                _("{plan} : de la proposition à la décision", plan=p.id),
                decided,
                None,
                cited.of(f"plan:{p.id}:activated", f"plan:{p.id}:proposed"),
            )
    late = sum(_late(r) for r in x.reports)
    note = _("{late} signalements sur {n} connus plus de {min} min après le fait.", late=late, n=len(x.reports), min=LATE_MIN)
    columns = (Column(title=_("Délai"), wide=True), Column(title=_("Mesuré")), Column(title=_("Cible")), Column(title=_("Écart")))
    return Section(id="delays", title=_("Délais et cibles"), table=Table(columns=columns, rows=tuple(rows[:ROWS_SHOWN]), note=note))


def _alarms(x: RetexFacts, cited: Cited) -> Section:
    _ = x._
    counts = Counter((a.base.value, a.pct) for a in x.alarms)
    acted: dict[tuple[str, int], list[timedelta]] = {}
    for a in x.alarms:
        if a.arbitrated_at is not None:
            acted.setdefault((a.base.value, a.pct), []).append(a.arbitrated_at - a.raised_at)
    rows = [
        Row(
            cells=(
                f"{'RTO' if base == 'rto' else _('DMIA') if base == 'dmia' else 'PDMA'} {pct} %", str(n), str(len(acted.get((base, pct), []))),
                times.lasted(_median(acted[base, pct]), x.lang) if (base, pct) in acted else "",
            )
        )
        for (base, pct), n in sorted(counts.items())
    ]  # fmt: skip
    demanded = [a for a in x.alarms if a.demands == "arbitration"]
    open_ones = [a for a in demanded if a.arbitrated_at is None]
    lines = tuple(
        Line(text=_("{activity} : RTO consommé, jamais arbitré.", activity=a.activity), mark="late", refs=cited.of(f"alarm:{a.activity}"))
        for a in open_ones[:8]
    )
    columns = (
        Column(title=_("Alarme"), wide=True),
        Column(title=_("Levées"), right=True),
        Column(title=_("Traitées"), right=True),
        Column(title=_("Délai médian")),
    )
    table = Table(columns=columns, rows=tuple(rows)) if rows else None
    return Section(id="alarms", title=_("Alarmes levées et traitées"), lines=lines if rows else _none(x), table=table)


# ── plans, foresight, surroundings ─────────────────────────────────────────────────────────────────────────────────


def _used(x: RetexFacts) -> list[Plan]:
    """Plans that were proposed or more."""
    return [p for p in x.plans if p.state is not PlanState.VALID]


def _card_late(due: datetime | None, done: datetime | None, now: datetime, state: CardState) -> timedelta | None:
    """By how much a card was or is late; None when it was not."""
    if due is None or state is CardState.NOT_APPLICABLE:
        return None
    end = done if state is CardState.DONE and done is not None else now
    return end - due if end > due else None


def _adherence(x: RetexFacts, cited: Cited) -> Section:
    _ = x._
    rows, late = [], []
    for p in _used(x):
        activated = p.state not in (PlanState.PROPOSED, PlanState.REFUSED, PlanState.POSTPONED)
        states = Counter(c.state for c in p.cards)
        behind = [(c, by) for c in p.cards if activated and (by := _card_late(c.due_at, c.at, x.at, c.state)) is not None]
        rows.append(
            Row(
                cells=(
                    p.title, _(w.PLAN_STATE[p.state]), f"{states[CardState.DONE]} / {len(p.cards)}" if activated else "–",
                    str(states[CardState.NOT_APPLICABLE]) if activated else "–", str(len(behind)) if activated else "–",
                ),
                refs=cited.of(f"plan:{p.id}"), strong=bool(behind),
            )
        )  # fmt: skip
        late += [
            Line(
                text=_("{plan}, {task} ({who}) : en retard de {span}.", plan=p.id, task=c.task, who=w.role_name(c.role, c.pole, x.names, _), span=times.lasted(by, x.lang)),
                mark="late", refs=cited.of(f"plan:{p.id}:card"),
            )
            for c, by in behind
        ]  # fmt: skip
    if not rows:
        return Section(id="plans", title=_("Adhérence aux plans"), lines=(Line(text=_("Aucun plan proposé ni activé.")),))
    columns = (
        Column(title=_("Plan"), wide=True), Column(title=_("État")), Column(title=_("Fiches faites"), right=True),
        Column(title=_("Sans objet"), right=True), Column(title=_("En retard"), right=True),
    )  # fmt: skip
    return Section(
        id="plans", title=_("Adhérence aux plans"), lines=tuple(late[:ROWS_SHOWN]), table=Table(columns=columns, rows=tuple(rows))
    )


def _clock_span(clock: Clock, now: datetime) -> timedelta | None:
    return None if clock.started_at is None else (clock.stopped_at or now) - clock.started_at


def _real(x: RetexFacts, cited: Cited) -> Section:
    _, lang = x._, x.lang
    rows = []
    for a in sorted(x.activities, key=lambda a: (a.criticality, a.id)):
        span = _clock_span(a.rto, x.at)
        if span is None:
            continue
        over = MTPD_OVER if a.mtpd.consumed_pct >= FULL else RTO_OVER if a.rto.consumed_pct >= FULL else ""
        rows.append(
            Row(
                cells=(
                    f"{a.id} {a.name}", str(a.criticality), times.lasted(span, lang), times.lasted(timedelta(hours=a.rto.limit_h), lang),
                    times.lasted(timedelta(hours=a.mtpd.limit_h), lang), _(over) if over else _("tenu"),
                ),
                refs=cited.of(f"activity:{a.id}"), strong=bool(over),
            )
        )  # fmt: skip
    ends = [
        Line(
            text=_("{number} : retour annoncé {said}, clos {real}.", number=i.number, said=_at(i.estimated_end, x), real=_at(i.closed_at, x) or _("pas encore")),
            refs=cited.of(f"incident:{i.id}"),
        )
        for i in x.incidents
        if i.estimated_end is not None
    ]  # fmt: skip
    if not rows:
        return Section(
            id="real", title=_("Prévu et réel"), lines=tuple(ends) or (Line(text=_("Aucune activité n’est passée sous son minimum.")),)
        )
    columns = (
        Column(title=_("Activité"), wide=True), Column(title=_("Crit."), right=True), Column(title=_("Durée")), Column(title=_("RTO")),
        Column(title=_("DMIA")), Column(title=_("Verdict")),
    )  # fmt: skip
    hidden = len(rows) - ROWS_SHOWN
    note = _.plural("et {n} autre activité", "et {n} autres activités", hidden) if hidden > 0 else ""
    return Section(
        id="real", title=_("Prévu et réel"), lines=tuple(ends), table=Table(columns=columns, rows=tuple(rows[:ROWS_SHOWN]), note=note)
    )


def _undeclared(x: RetexFacts, cited: Cited) -> Section:
    """Somebody said that an activity suffered, and the analysis did not see why: a dependency that the BIA lacks."""
    _ = x._
    hit = {a.id for a in x.activities if a.state is not ActivityState.NOMINAL or a.rto.started_at is not None or a.local}
    hit |= {str(r.values["activity"]) for r in x.lines if "activity" in r.values}
    said: dict[str, list[ReportRow]] = {}
    for r in x.reports:
        for activity in r.affected_activities:
            if activity not in hit and activity in x.names.activities and r.confirmation == "confirmed":
                said.setdefault(activity, []).append(r)
    lines = tuple(
        Line(
            text=_.plural(
                "{activity} : dite touchée par {n} signalement ({what}), sans lien déclaré dans l’analyse.",
                "{activity} : dite touchée par {n} signalements ({what}), sans lien déclaré dans l’analyse.", len(reports),
                activity=f"{id} {x.names.activity(id, x.lang)}", what=w.word(w.EVENT, reports[0].type, _),
            ),
            refs=cited.of(*(f"report:{r.id}" for r in reports[:3])),
        )
        for id, reports in sorted(said.items())
    )  # fmt: skip
    return Section(id="undeclared", title=_("Dépendances tombées sans être déclarées"), lines=lines[:ROWS_SHOWN] or _none(x))


def _worked(x: RetexFacts) -> list[ReassignmentRow]:
    """Lines whose agents went: dispatched, and not void before they had arrived."""
    return [row for row in x.moved if row.dispatched_at is not None and (row.state is not LineState.VOID or row.arrived_at is not None)]


def agent_days(row: ReassignmentRow, now: datetime) -> int:
    """Weekdays that were begun, one at least, from the arrival (from the order while nobody has said that they arrived) to the end."""
    first = times.local(times.of(row.arrived_at or row.dispatched_at or 0)).date()
    last = times.local(now if row.ended_at is None else times.of(row.ended_at)).date()
    days = ((first + timedelta(days=n)).weekday() < SATURDAY for n in range((last - first).days + 1))
    return row.count * max(sum(days), 1)


def _grams(row: ReassignmentRow, x: RetexFacts) -> int:
    return row.grams * agent_days(row, x.at)


def _moves(x: RetexFacts, cited: Cited) -> Section:
    """Whom the crisis moved, for how long, and what that cost in travel, CO2 and money (D61). Counts, never names."""
    _, lang, worked = x._, x.lang, _worked(x)
    if not worked:
        return Section(id="moves", title=_("Réaffectations"), lines=(Line(text=_("Aucun agent n’a été réaffecté.")),))
    by_activity: dict[tuple[int, str], list[ReassignmentRow]] = {}
    for row in worked:
        by_activity.setdefault((row.criticality, row.need_activity or row.activity), []).append(row)

    def told(title: str, rows: Sequence[ReassignmentRow], refs: tuple[int, ...] = (), *, strong: bool = False) -> Row:
        days = sum(agent_days(row, x.at) for row in rows)
        hours = sum(2 * row.minutes * agent_days(row, x.at) for row in rows) / 60
        cells = (
            title, few(sum(row.count for row in rows)), few(days), few(sum(agent_days(row, x.at) for row in rows if row.place == TELEWORK)),
            w.number(hours, lang), w.number(sum(_grams(row, x) for row in rows) / 1000, lang),
            *(() if x.agent_day_eur is None else (w.number(round(days * x.agent_day_eur), lang),)),
        )  # fmt: skip
        return Row(cells=cells, refs=refs, strong=strong)

    rows = [
        told(f"{id} {x.names.activity(id, lang)}", mine, cited.of(*sorted({f"proposal:{row.proposal}:approved" for row in mine})))
        for (_criticality, id), mine in sorted(by_activity.items())
    ]  # fmt: skip
    unsaid = sum(row.count for row in worked if row.arrived_at is None)
    note = _("Jours de semaine entamés, un au moins ; trajets et CO2 aller et retour, chaque jour, selon la proposition approuvée.")
    if unsaid:
        note += " " + _("{n} agents sans arrivée dite : comptés depuis leur ordre.", n=unsaid)
    if x.agent_day_eur is None:
        note += " " + _("Coût non dit : les données de référence n’ont pas de coût d’un agent-jour.")
    else:
        note += " " + _("Coût : {eur} € l’agent-jour.", eur=w.number(x.agent_day_eur, lang))
    columns = (
        Column(title=_("Activité tenue"), wide=True), Column(title=_("Agents"), right=True), Column(title=_("Agents-jours"), right=True),
        Column(title=_("dont à domicile"), right=True), Column(title=_("Trajets (h)"), right=True), Column(title=_("CO2 (kg)"), right=True),
        *(() if x.agent_day_eur is None else (Column(title=_("Coût (€)"), right=True),)),
    )  # fmt: skip
    hidden = len(rows) - ROWS_SHOWN
    aside = _.plural("et {n} autre activité", "et {n} autres activités", hidden) if hidden > 0 else ""
    total = told(_("Ensemble"), worked, strong=True)
    return Section(
        id="moves", title=_("Réaffectations"), aside=aside, table=Table(columns=columns, rows=(total, *rows[:ROWS_SHOWN]), note=note)
    )


def _environment(x: RetexFacts, cited: Cited) -> Section:
    """D61: sums of what was measured. Nothing is estimated: what nobody measured is named as missing."""
    _, lang = x._, x.lang
    rows = []
    if worked := _worked(x):
        caused = sum(_grams(row, x) for row in worked) / 1000
        rows.append(Row(cells=(_("CO2 des réaffectations, calculé"), f"{w.number(caused, lang)} kg", "")))
    for name, (label, unit) in ENVIRONMENT.items():
        mine = [r for r in x.reports if r.measure is not None and r.measure.name == name and isinstance(r.measure.value, int | float)]
        if mine:
            total = sum(float(r.measure.value) for r in mine if r.measure is not None and r.measure.value is not None)
            rows.append(
                Row(
                    cells=(_(label), f"{w.number(total, lang)} {unit}".strip(), str(len(mine))),
                    refs=cited.of(*(f"report:{r.id}" for r in mine[:3])),
                )
            )
    if not rows:
        text = _("Aucune mesure au journal. Elles se signalent comme les autres : {names}.", names=", ".join(ENVIRONMENT))
        return Section(id="environment", title=_("Environnement"), lines=(Line(text=text),))
    columns = (Column(title=_("Mesure"), wide=True), Column(title=_("Total"), right=True), Column(title=_("Signalements"), right=True))
    return Section(id="environment", title=_("Environnement"), table=Table(columns=columns, rows=tuple(rows)))


def _improvements(x: RetexFacts, cited: Cited) -> Section:
    _ = x._
    states = {"open": _("à faire"), "done": _("faite"), "dropped": _("abandonnée")}
    rows = [
        Row(
            cells=(x.texts.get(i.text_id, _("texte effacé")), w.role_name(i.owner, None, x.names, _), times.day(times.of(i.due_at), x.lang), states[i.state]),
            refs=cited.of(f"improvement:{i.id}"), strong=i.state == "open" and times.of(i.due_at) < x.at,
        )
        for i in x.improvements
    ]  # fmt: skip
    if not rows:
        return Section(id="improvements", title=_("Actions d’amélioration"), lines=(Line(text=_("Aucune action décidée.")),))
    columns = (Column(title=_("Action"), wide=True), Column(title=_("Porteur")), Column(title=_("Échéance")), Column(title=_("État")))
    return Section(id="improvements", title=_("Actions d’amélioration"), table=Table(columns=columns, rows=tuple(rows)))


SECTIONS: Final[tuple[Callable[[RetexFacts, Cited], Section], ...]] = (
    _frame, _story, _delays, _alarms, _adherence, _undeclared, _real, _moves, _environment, _improvements,
)  # fmt: skip

"""Sections about plans, clocks of activities, and undeclared dependencies."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from schemas.alerts import ReportRow
from schemas.words import ActivityState, CardState, ClockBase, ClockState
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    TableColumn,
    TableRow,
    build_table_section,
    write_nothing_to_report,
)
from services.console.documents.retex.facts import (
    FULL_PERCENT,
    ROWS_SHOWN,
    RetexFacts,
    format_time,
    list_activated_plans,
    list_late_cards,
    list_used_plans,
)
from services.console.i18n import N_, Translator
from services.console.resources import Activity, Clock, Incident
from services.console.texts import words as w
from services.console.web import times

RTO_OVER: Final = N_("RTO dépassé")
MTPD_OVER: Final = N_("DMIA dépassée")


def write_plans_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _ = x._
    rows, late, in_effect = [], [], list_activated_plans(x)
    for p in list_used_plans(x):
        is_active = p in in_effect
        states = Counter(c.state for c in p.cards if c.due_at is not None)
        behind = list_late_cards(p, x.at) if is_active else []
        rows.append(
            TableRow(
                cells=(
                    p.title,
                    _(w.PLAN_STATE[p.state]),
                    f"{states[CardState.DONE]} / {states.total()}" if is_active else "–",
                    str(states[CardState.NOT_APPLICABLE]) if is_active else "–",
                    str(len(behind)) if is_active else "–",
                ),
                refs=citations.of(f"plan:{p.id}"),
                strong=bool(behind),
            )
        )
        late += [
            DocumentLine(
                text=_(
                    "{plan}, {task} ({who}) : en retard de {span}.",
                    plan=p.id,
                    task=c.task,
                    who=w.name_role(c.role, c.pole, x.names, _),
                    span=times.format_duration(by, x.lang),
                ),
                mark="late",
                refs=citations.of(f"plan:{p.id}:card"),
            )
            for c, by in behind
        ]
    columns = (
        TableColumn(title=_("Plan"), wide=True),
        TableColumn(title=_("État")),
        TableColumn(title=_("Fiches faites"), right=True),
        TableColumn(title=_("Sans objet"), right=True),
        TableColumn(title=_("En retard"), right=True),
    )
    return build_table_section(
        "plans",
        _("Respect des plans"),
        columns,
        rows,
        _("Aucun plan proposé ni activé."),
        lines=late[:ROWS_SHOWN],
    )


def _measure_clock(clock: Clock, now: datetime) -> timedelta | None:
    return None if clock.started_at is None else (clock.stopped_at or now) - clock.started_at


def _describe_exceeded_limit(
    a: Activity, alarms: Collection[tuple[str, ClockBase]], _: Translator
) -> str:
    """Return the limit that was exceeded; empty if both held so far.

    A clock covers the last interruption only; alarms cover earlier ones.
    """
    for clock, limit_text in ((a.mtpd, MTPD_OVER), (a.rto, RTO_OVER)):
        if clock.consumed_pct >= FULL_PERCENT:
            return _(limit_text)
        if (a.id, clock.base) in alarms:
            return _("{said}, à une interruption précédente", said=_(limit_text))
    return ""


def _write_incident_end(i: Incident, x: RetexFacts) -> str:
    announced_time = format_time(i.estimated_end, x)
    if i.closed_at is None:
        return x._(
            "{number} : rétablissement annoncé à {said}, pas encore clos.",
            number=i.number,
            said=announced_time,
        )
    return x._(
        "{number} : rétablissement annoncé à {said}, clos à {real}.",
        number=i.number,
        said=announced_time,
        real=format_time(i.closed_at, x),
    )


def _list_site_limits(x: RetexFacts) -> list[DocumentLine]:
    """List exceeded limits of single sites; the table has those of whole activities."""
    over, sentences = (
        Counter(
            alarm.base for alarm in x.alarms if alarm.site is not None and alarm.pct >= FULL_PERCENT
        ),
        [],
    )
    if n := over[ClockBase.RTO]:
        sentences.append(
            x._.plural(
                "{n} horloge de site a dépassé son RTO.",
                "{n} horloges de sites ont dépassé leur RTO.",
                n,
            )
        )
    if n := over[ClockBase.DMIA]:
        sentences.append(
            x._.plural(
                "{n} horloge de site a dépassé sa DMIA.",
                "{n} horloges de sites ont dépassé leur DMIA.",
                n,
            )
        )
    return [DocumentLine(text=text, mark="late") for text in sentences]


def write_clocks_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    rows = []
    full = {
        (alarm.activity, alarm.base)
        for alarm in x.alarms
        if alarm.site is None and alarm.pct >= FULL_PERCENT
    }
    for a in sorted(x.activities, key=lambda a: (a.criticality, a.id)):
        span = _measure_clock(a.rto, x.at)
        if span is None or (
            x.end_time is not None
            and a.rto.started_at is not None
            and a.rto.started_at > x.end_time
        ):
            continue  # never below its minimum, or only in a later crisis
        over = _describe_exceeded_limit(a, full, _)
        rows.append(
            TableRow(
                cells=(
                    f"{a.id} {a.name}",
                    str(a.criticality),
                    times.format_duration(span, lang),
                    times.format_duration(timedelta(hours=a.rto.limit_h), lang),
                    times.format_duration(timedelta(hours=a.mtpd.limit_h), lang),
                    over or (_("en cours") if a.mtpd.state is ClockState.RUNNING else _("tenu")),
                ),
                refs=citations.of(f"activity:{a.id}"),
                strong=bool(over),
            )
        )
    ends = [
        DocumentLine(text=_write_incident_end(i, x), refs=citations.of(f"incident:{i.id}"))
        for i in x.incidents
        if i.estimated_end is not None
    ]
    ends += _list_site_limits(x)
    columns = (
        TableColumn(title=_("Activité"), wide=True),
        TableColumn(title=_("Crit."), right=True),
        TableColumn(title=_("Durée")),
        TableColumn(title=_("RTO")),
        TableColumn(title=_("DMIA")),
        TableColumn(title=_("Résultat")),
    )
    hidden_count = len(rows) - ROWS_SHOWN
    note = (
        _.plural("et {n} autre activité", "et {n} autres activités", hidden_count)
        if hidden_count > 0
        else ""
    )
    return build_table_section(
        "real",
        _("Prévu et réel"),
        columns,
        rows[:ROWS_SHOWN],
        _("Aucune activité entière n’est passée sous son minimum."),
        lines=ends,
        note=note,
    )


def write_dependencies_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    """List activities that reports call affected without a dependency in the BIA."""
    _ = x._
    hit = {
        a.id
        for a in x.activities
        if a.state is not ActivityState.NOMINAL or a.rto.started_at is not None or a.local
    }
    hit |= {str(r.values["activity"]) for r in x.lines if "activity" in r.values}
    reports_by_activity: dict[str, list[ReportRow]] = {}
    for r in x.reports:
        for activity in r.affected_activities:
            if (
                activity not in hit
                and activity in x.names.activities
                and r.confirmation == "confirmed"
            ):
                reports_by_activity.setdefault(activity, []).append(r)
    lines = tuple(
        DocumentLine(
            text=_.plural(
                "{activity} : dite touchée par {n} signalement ({what}), sans lien déclaré dans "
                "l’analyse.",
                "{activity} : dite touchée par {n} signalements ({what}), sans lien déclaré dans "
                "l’analyse.",
                len(reports),
                activity=f"{id} {x.names.activity(id, x.lang)}",
                what=w.translate_code(w.EVENT, reports[0].type, _),
            ),
            refs=citations.of(*(f"report:{r.id}" for r in reports[:3])),
        )
        for id, reports in sorted(reports_by_activity.items())
    )
    return DocumentSection(
        id="undeclared",
        title=_("Dépendances perdues et non déclarées"),
        lines=lines[:ROWS_SHOWN] or write_nothing_to_report(x._),
    )

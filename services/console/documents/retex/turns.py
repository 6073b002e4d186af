"""Sections about the course of events, delays against targets, and handled alarms."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

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
    is_late,
    list_used_plans,
    measure_decision_time,
    write_line_text,
)
from services.console.documents.telling import drop_repetitions, is_key_event
from services.console.logbook.line_list import LATE_MIN
from services.console.logbook.lines import LineRecord
from services.console.web import times

EVENTS_SHOWN: Final = 40
ARBITRATIONS_SHOWN: Final = 8


def write_incidents_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _ = x._
    rows = [
        TableRow(
            cells=(
                f"{i.number} {i.title}",
                f"N{i.level}",
                format_time(i.opened_at, x),
                format_time(i.known_at, x),
                format_time(i.closed_at, x),
                str(i.members),
            ),
            refs=citations.of(f"incident:{i.id}:opened", f"incident:{i.id}:closed"),
        )
        for i in x.incidents[:ROWS_SHOWN]
    ]
    columns = (
        TableColumn(title=_("Incident"), wide=True),
        TableColumn(title=_("Niveau")),
        TableColumn(title=_("Début")),
        TableColumn(title=_("Connu à")),
        TableColumn(title=_("Clos")),
        TableColumn(title=_("Sites"), right=True),
    )
    note = ""
    if x.end_time is not None:
        note = _(
            "RETEX à chaud avant le {hot}, à froid avant le {cold}.",
            hot=format_time(x.end_time + x.hot, x),
            cold=times.day(x.end_time + x.cold, x.lang),
        )
    return build_table_section("frame", _("Cadre"), columns, rows, _("Aucun incident."), note=note)


def write_chronology_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _ = x._
    turns = [
        r
        for r in drop_repetitions(x.lines)
        if is_key_event(r)
        or r.kind == "decision"
        or r.type == "SitrepIssued"
        or _is_exceeded_limit(r)
    ]
    visible_turns = (
        turns
        if len(turns) <= EVENTS_SHOWN
        else [*turns[: EVENTS_SHOWN // 2], *turns[-EVENTS_SHOWN // 2 :]]
    )
    lines = [
        DocumentLine(
            text=f"{format_time(times.of(r.recorded_at), x)} {write_line_text(r, x)}",
            refs=citations.key(r.key),
            strong=r.type == "LevelChanged",
        )
        for r in visible_turns
    ]
    aside = (
        _("{n} sur {of}, les premiers et les derniers", n=len(visible_turns), of=len(turns))
        if len(visible_turns) < len(turns)
        else ""
    )
    return DocumentSection(
        id="story",
        title=_("Chronologie"),
        aside=aside,
        lines=tuple(lines) or write_nothing_to_report(x._),
    )


def _is_exceeded_limit(record: LineRecord) -> bool:
    """Return True if a whole activity used up its RTO or DMIA."""
    return (
        record.type == "AlarmRaised"
        and record.site is None
        and record.values.get("pct") == FULL_PERCENT
    )


def compute_median(spans: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=median(span.total_seconds() for span in spans))


def write_delays_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    rows: list[TableRow] = []

    def row(
        what: str,
        actual_time: timedelta | None,
        target: timedelta | None,
        refs: tuple[int, ...] = (),
    ) -> None:
        gap = actual_time - target if actual_time is not None and target is not None else None
        target_text = (
            ""
            if gap is None
            else _("tenu")
            if gap <= timedelta()
            else _("dépassé de {span}", span=times.format_duration(gap, lang))
        )
        duration = (
            _("pas encore") if actual_time is None else times.format_duration(actual_time, lang)
        )
        rows.append(
            TableRow(
                cells=(
                    what,
                    duration,
                    "" if target is None else times.format_duration(target, lang),
                    target_text,
                ),
                refs=refs,
                strong=bool(gap and gap > timedelta()),
            )
        )

    for i in x.incidents[:4]:
        row(
            _("{number} : du fait à sa connaissance", number=i.number),
            i.known_at - i.opened_at,
            timedelta(minutes=LATE_MIN),
            citations.of(f"incident:{i.id}:opened"),
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
            enough = (
                answers[wave.expected - 1] - wave.fired_at
                if 0 < wave.expected <= len(answers)
                else None
            )
            row(
                _.plural(
                    "Escalade {ladder}, vague {wave} : {n} réponse attendue",
                    "Escalade {ladder}, vague {wave} : {n} réponses attendues",
                    wave.expected,
                    ladder=e.ladder,
                    wave=wave.wave,
                ),
                enough,
                timedelta(minutes=wave.ack_min),
                citations.of(f"escalation:{e.id}"),
            )
    answer_times = [
        n.acknowledged_at - n.sent_at for n in x.notifications if n.acknowledged_at and n.sent_at
    ]
    if answer_times:
        row(_("Réponse à un appel, médiane"), compute_median(answer_times), None)
    for p in list_used_plans(x):
        if p.proposed_at is not None:
            row(
                _("{plan} : de la proposition à la décision", plan=x.names.plan(p.id)),
                measure_decision_time(p, x),
                None,
                citations.of(f"plan:{p.id}:activated", f"plan:{p.id}:proposed"),
            )
    late = sum(is_late(r) for r in x.reports)
    note = _.plural(
        "{late} signalement sur {of} connu plus de {min} min après le fait.",
        "{late} signalements sur {of} connus plus de {min} min après le fait.",
        late,
        late=late,
        of=len(x.reports),
        min=LATE_MIN,
    )
    columns = (
        TableColumn(title=_("Délai"), wide=True),
        TableColumn(title=_("Mesuré")),
        TableColumn(title=_("Cible")),
        TableColumn(title=_("Écart")),
    )
    return build_table_section(
        "delays",
        _("Délais et cibles"),
        columns,
        rows[:ROWS_SHOWN],
        _("Rien à signaler."),
        note=note,
    )


def write_alarms_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _ = x._
    counts = Counter((a.base.value, a.pct) for a in x.alarms)
    answer_delays: dict[tuple[str, int], list[timedelta]] = {}
    for a in x.alarms:
        if a.arbitrated_at is not None:
            answer_delays.setdefault((a.base.value, a.pct), []).append(
                a.arbitrated_at - a.raised_at
            )
    rows = [
        TableRow(
            cells=(
                f"{'RTO' if base == 'rto' else _('DMIA') if base == 'dmia' else 'PDMA'} {pct} %",
                str(n),
                str(len(answer_delays.get((base, pct), []))),
                times.format_duration(compute_median(answer_delays[base, pct]), x.lang)
                if (base, pct) in answer_delays
                else "",
            )
        )
        for (base, pct), n in sorted(counts.items())
    ]
    arbitration_alarms = [a for a in x.alarms if a.demands == "arbitration"]
    open_ones = [a for a in arbitration_alarms if a.arbitrated_at is None]
    lines = tuple(
        DocumentLine(
            text=_("{activity} : RTO consommé, jamais arbitré.", activity=a.activity),
            mark="late",
            refs=citations.of(f"alarm:{a.activity}"),
        )
        for a in open_ones[:ARBITRATIONS_SHOWN]
    )
    if (more := len(open_ones) - ARBITRATIONS_SHOWN) > 0:
        lines = (
            *lines,
            DocumentLine(text=_.plural("et {n} autre.", "et {n} autres.", more), mark="late"),
        )
    columns = (
        TableColumn(title=_("Alarme"), wide=True),
        TableColumn(title=_("Levées"), right=True),
        TableColumn(title=_("Traitées"), right=True),
        TableColumn(title=_("Délai médian")),
    )
    return build_table_section(
        "alarms",
        _("Alarmes déclenchées et traitées"),
        columns,
        rows,
        _("Rien à signaler."),
        lines=lines,
    )

"""State after one fact. Total: any fact of this logic is taken; nothing is decided here.

Each row fact replaces the row and moves the indexes that are derived from it. The order of independent facts does not matter
for an index, so loading a dump is evolving its rows again (`reload`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from immutables import Map

from schemas.alerts import (
    AllClearNoted,
    Cause,
    CauseChanged,
    DeadlineSettled,
    EscalationChanged,
    FlagChanged,
    IncidentChanged,
    IncidentRow,
    LevelChanged,
    MetricChanged,
    NotificationPlanned,
    ReportChanged,
    ReportRow,
    SilenceChanged,
    SiteMarked,
    SiteStatusChanged,
    TaskChanged,
    TaskRow,
    ThresholdChanged,
    TriggerChanged,
    ZoneChanged,
)
from schemas.base import DAY_MS, Fact, Instant
from schemas.reference import ReferencePublished
from schemas.runtime import DeadlineFailed
from schemas.words import EventType, IncidentState, ReportState, TaskState
from services.alerts.agenda import Agenda
from services.alerts.calendar import day_of
from services.alerts.claims import as_number, is_wide, measured_place
from services.alerts.rulebook import rulebook_of
from services.alerts.rules import CAUSE_TYPES, HEAT_HAZARD, MUTE_TYPES, REARM_MS
from services.alerts.state import Reading, Silence, State, Threshold, Zone, sorted_with, sorted_without, without

_Changes = dict[str, Any]
_SECURITY: Final = frozenset({EventType.SECURITY_INCIDENT, EventType.DAMAGE_REPORT, EventType.FIRE})
_KEPT_CLOSED: Final = 64


# ── reports ────────────────────────────────────────────────────────────────────────────────────────────────────────


def counts(row: ReportRow) -> bool:
    """True if the report counts for severities: confirmed, in an incident, not cancelled, current (§13)."""
    return (
        row.confirmation == "confirmed"
        and row.incident is not None
        and row.type not in MUTE_TYPES
        and row.state in (ReportState.APPLIED, ReportState.DUPLICATE)
        and "cancelled" not in row.flags
        and "planned" not in row.flags
    )


def _is_open_question(row: ReportRow) -> bool:
    return row.confirmation in ("unconfirmed", "rumour") and row.state is ReportState.APPLIED


def report_changed(s: State, row: ReportRow) -> State:
    old = s.reports.get(row.id)
    d: _Changes = {"reports": s.reports.set(row.id, row)}
    if old is None and row.alias is not None:
        d["aliases"] = _with_aliases(s, row)
    if (old.incident if old else None) != row.incident:
        d["incident_reports"] = _moved(s.incident_reports, row.id, old.incident if old else None, row.incident)
    if counts(row) and (old is None or old.incident == row.incident or not counts(old)):
        d["severities"] = _worse(s, row)
    elif old is not None and counts(old):
        reports = d.get("incident_reports", s.incident_reports)
        again = {i for i in (old.incident, row.incident) if i}
        d["severities"] = _recounted(s, d["reports"], reports, again)
    _questions(s, d, old, row)
    if row.confirmation == "confirmed" and "cancelled" not in row.flags:
        if row.type is EventType.REOPENING and row.site is not None and row.lifts:
            d["reopenings"] = _with_reopening(s, row)
        if row.measure is not None and row.measure.name is not None:
            _measured(s, d, row)
    return s.put(**d)


def _with_aliases(s: State, row: ReportRow) -> Map[str, str]:
    aliases = s.aliases
    for key in (str(row.alias), f"{row.source_key or row.source}|{row.alias}"):
        first = aliases.get(key)
        if first is None or _arrival(row) < _arrival(s.reports[first]):
            aliases = aliases.set(key, row.id)
    return aliases


def _arrival(row: ReportRow) -> tuple[Instant, str]:
    return row.recorded_at, row.id


def _moved(index: Map[str, Map[str, None]], report: str, before: str | None, after: str | None) -> Map[str, Map[str, None]]:
    if before is not None and before in index:
        index = index.set(before, without(index[before], report))
    if after is not None:
        index = index.set(after, index.get(after, Map()).set(report, None))
    return index


def _worse(s: State, row: ReportRow) -> Map[tuple[str, int], tuple[int, str]]:
    severities, incident = s.severities, str(row.incident)
    kind = s.territory.kind(row.site)
    for n, query in enumerate(s.rules.severity_queries):
        known = severities.get((incident, n))
        if (known is None or row.severity > known[0] or (row.severity == known[0] and row.id < known[1])) and query.takes(row, kind):
            severities = severities.set((incident, n), (row.severity, row.id))
    return severities


def _recounted(
    s: State, reports: Map[str, ReportRow], index: Map[str, Map[str, None]], incidents: set[str]
) -> Map[tuple[str, int], tuple[int, str]]:
    """A report stopped counting or moved: walk over its incidents again. Rare: a cancellation, a split, a merge."""
    severities = s.severities
    for incident in incidents:
        for n, query in enumerate(s.rules.severity_queries):
            severities = without(severities, (incident, n))
            rows = [r for r in (reports[i] for i in index.get(incident, ())) if counts(r) and query.takes(r, s.territory.kind(r.site))]
            if rows:
                worst = min(rows, key=lambda r: (-r.severity, r.id))
                severities = severities.set((incident, n), (worst.severity, worst.id))
    return severities


def _questions(s: State, d: _Changes, old: ReportRow | None, row: ReportRow) -> None:
    """What waits for a second source, and which sites have only an unconfirmed word (D6)."""
    asked, asks = old is not None and _is_open_question(old), _is_open_question(row)
    if asks:
        if s.rumours.get(row.id) != row.severity:
            d["rumours"] = s.rumours.set(row.id, row.severity)
    elif asked:
        d["rumours"] = without(s.rumours, row.id)
    if row.site is None or row.type not in CAUSE_TYPES or asked == asks:
        return
    key = claim_key(row)
    change = sorted_with if asks else sorted_without
    d["pending"] = _set_or_drop(s.pending, key, change(s.pending.get(key, ()), row.id))
    if row.confirmation == "unconfirmed" or (old is not None and old.confirmation == "unconfirmed"):
        d["doubts"] = _set_or_drop(s.doubts, row.site, change(s.doubts.get(row.site, ()), row.id))


def _set_or_drop(m: Map[str, tuple[str, ...]], key: str, values: tuple[str, ...]) -> Map[str, tuple[str, ...]]:
    return m.set(key, values) if values else without(m, key)


def claim_key(row: ReportRow) -> str:
    """What a claim is about, for D4 and D6: place, type and measure. Without site and supplier it is about itself alone."""
    place = row.site if row.site is not None and "site_unknown" not in row.flags else None
    if place is None and row.measure is not None and (row.measure.object or "").startswith("supplier:"):
        place = row.measure.object
    measure = (row.measure.name or "") if row.measure is not None else ""
    return f"{place}|{row.type.value}|{measure}" if place else f"report:{row.id}"


def _with_reopening(s: State, row: ReportRow) -> Map[str, Instant]:
    reopenings = s.reopenings
    for type_ in row.lifts:
        key = f"{row.site}|{type_.value}"
        if reopenings.get(key, row.occurred_at - 1) < row.occurred_at:
            reopenings = reopenings.set(key, row.occurred_at)
    return reopenings


def _measured(s: State, d: _Changes, row: ReportRow) -> None:
    assert row.measure is not None
    value, name = as_number(row.measure.value), str(row.measure.name)
    if value is None:
        return
    if name == "absence_rate" and is_wide(row):
        scope = str(row.measure.scope)
        if "planned" in row.flags:
            if s.forecasts.get(scope, (row.occurred_at - 1, 0.0))[0] < row.occurred_at:
                d["forecasts"] = s.forecasts.set(scope, (row.occurred_at, value))
            return
        day = day_of(row.occurred_at)
        rates = {known[0]: known for known in s.absences.get(scope, ())}
        if day not in rates or rates[day][2] <= row.occurred_at:
            rates[day] = (day, value, row.occurred_at)
            d["absences"] = s.absences.set(scope, tuple(rates[k] for k in sorted(rates)[-31:]))
        return
    key = f"{name}|{measured_place(row)}"
    known = s.readings.get(key)
    if known is None or (known.occurred_at, known.report) <= (row.occurred_at, row.id):
        d["readings"] = s.readings.set(key, Reading(value, row.measure.value_of, row.occurred_at, row.id))


# ── causes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def cause_changed(s: State, cause: Cause) -> State:
    old = s.causes.get(cause.id)
    d: _Changes = {"causes": s.causes.set(cause.id, cause)}
    newest = s.cause_keys.get(cause.key)
    if newest is None or (s.causes[newest].since, s.causes[newest].known_at, newest) < (cause.since, cause.known_at, cause.id):
        d["cause_keys"] = s.cause_keys.set(cause.key, cause.id)
    opened, was_open = cause.lifted_at is None, old is not None and old.lifted_at is None
    if opened != was_open:
        change = sorted_with if opened else sorted_without
        if cause.site is not None:
            d["site_causes"] = _set_or_drop(s.site_causes, cause.site, change(s.site_causes.get(cause.site, ()), cause.id))
        else:
            d["placeless"] = _set_or_drop(s.placeless, cause.type.value, change(s.placeless.get(cause.type.value, ()), cause.id))
    elif cause.site is None and old is not None and old.persons != cause.persons:
        d["placeless"] = s.placeless.set(cause.type.value, tuple(list(s.placeless.get(cause.type.value, ()))))
    d["agenda"] = s.agenda.arm(f"cause:{cause.id}", cause.next_at if opened else None)
    _by_type(s, d, old, cause)
    return s.put(**d)


def _by_type(s: State, d: _Changes, old: Cause | None, cause: Cause) -> None:
    """Indexes of single families: cuts in time, security events, illness per kitchen, presence per day."""
    if cause.type is EventType.OUTAGE_POWER and cause.site is not None:
        if old is None or old.since != cause.since:
            d["cuts"] = _within([(cause.since, cause.id), *(c for c in s.cuts if c[1] != cause.id)], 2 * DAY_MS)
    elif cause.type in _SECURITY:
        event = (cause.since, cause.id, cause.commune or "", cause.severity, cause.type.value)
        if event not in s.security:
            d["security"] = _within([event, *(e for e in s.security if e[1] != cause.id)], 7 * DAY_MS)
    elif cause.type is EventType.SANITARY_ALERT and cause.site is not None and cause.measure is not None:
        known = s.territory.sites.get(cause.site)
        kitchen = known.kitchen if known else None
        m = cause.measure
        if m.name == "ill_persons" and m.object != HEAT_HAZARD and kitchen in s.territory.kitchens and kitchen is not None:
            sites = s.illness.get(kitchen, Map())
            value = as_number(m.value) or 0.0
            if cause.lifted_at is not None:
                sites = without(sites, cause.site)
            elif sites.get(cause.site) != (value, cause.since):
                sites = sites.set(cause.site, (value, cause.since))
            if sites is not s.illness.get(kitchen):
                d["illness"] = s.illness.set(kitchen, sites)
    elif cause.type is EventType.STAFF_SHORTAGE and cause.site is not None:
        key = f"{s.territory.kind(cause.site)}|{day_of(cause.last_at)}"
        day, pct = s.presence.get(key, Map()), 100.0 - (cause.loss_pct or 0.0)
        if day.get(cause.site) != pct:
            d["presence"] = s.presence.set(key, day.set(cause.site, pct))


def _within(events: list[Any], span: Instant) -> tuple[Any, ...]:
    """Events, ascending, without those that are more than `span` before the newest."""
    events.sort()
    return tuple(e for e in events if e[0] >= events[-1][0] - span)


# ── sites ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def site_marked(s: State, fact: SiteMarked) -> State:
    new = Map(fact.marks)
    return s.put(marks=s.marks.set(fact.site, new), counts=_counted(s, s.counts, fact.site, s.marks.get(fact.site, Map()), new))


def _counted(
    s: State, counts: Map[tuple[str, str, str], int], site: str, old: Map[str, tuple[str, ...]], new: Map[str, tuple[str, ...]]
) -> Map[tuple[str, str, str], int]:
    known = s.territory.sites.get(site)
    groups = ("",) if known is None else ("", f"kind:{known.kind}", f"pole:{known.pole}")
    with counts.mutate() as change:
        for marks, other, step in ((old, new, -1), (new, old, 1)):
            for mark, incidents in marks.items():
                owners = other.get(mark)
                if owners == incidents:
                    continue
                gone = [i for i in incidents if owners is None or i not in owners]
                for owner in gone if owners is not None else ("", *gone):
                    for group in groups:
                        key = (owner, mark, group)
                        value = change.get(key, 0) + step
                        if value:
                            change[key] = value
                        else:
                            change.pop(key, None)
        return change.finish()


def silence_changed(s: State, fact: SilenceChanged) -> State:
    if fact.rule is None:
        return s.put(silences=without(s.silences, fact.site))
    assert fact.since is not None
    return s.put(silences=s.silences.set(fact.site, Silence(fact.rule, fact.incident, fact.since, fact.hides)))


def zone_changed(s: State, fact: ZoneChanged) -> State:
    zone = s.zones.get(fact.incident, Zone())
    sites, batches, agenda = zone.sites, zone.batches, s.agenda
    for site in fact.sites:
        sites = sites.set(site, None)
    if fact.due_at is not None and fact.sites:
        due = fact.due_at
        while due in batches:  # one batch per instant and judgement
            due += 1
        batches = batches.set(due, fact.sites)
        agenda = agenda.arm(f"silence:{fact.incident}:{due}", due)
    new = replace(zone, communes=fact.communes, sites=sites, batches=batches)
    return s.put(zones=s.zones.set(fact.incident, new), agenda=agenda)


def all_clear_noted(s: State, fact: AllClearNoted) -> State:
    zone = replace(s.zones.get(fact.incident, Zone()), all_clear=fact.since, all_clear_due=fact.due_at)
    return s.put(zones=s.zones.set(fact.incident, zone), agenda=s.agenda.arm(f"allclear:{fact.incident}", fact.due_at))


def deadline_settled(s: State, key: str) -> State:
    """Disarm; a zone forgets the batch that was judged."""
    head, _, rest = key.partition(":")
    d: _Changes = {"agenda": s.agenda.arm(key, None)}
    if head == "silence":
        incident, _, due = rest.rpartition(":")
        zone = s.zones.get(incident)
        if zone is not None:
            d["zones"] = s.zones.set(incident, replace(zone, batches=without(zone.batches, int(due))))
    elif head == "allclear" and (zone := s.zones.get(rest)) is not None:
        d["zones"] = s.zones.set(rest, replace(zone, all_clear=None, all_clear_due=None))
    return s.put(**d)


# ── incidents, levels, ladders, tasks ──────────────────────────────────────────────────────────────────────────────

OPEN: Final = frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED})


def incident_changed(s: State, row: IncidentRow) -> State:
    old = s.incidents.get(row.id)
    incidents = s.incidents.set(row.id, row)
    d: _Changes = {"incidents": incidents}
    if old is None:
        day = row.number.rpartition("-")[0]
        d["numbers"] = s.numbers.set(day, s.numbers.get(day, 0) + 1)
    if (old is not None and old.state in OPEN) != (row.state in OPEN):
        ids = set(s.open_incidents) ^ {row.id}
        d["open_incidents"] = tuple(sorted(ids, key=lambda i: (incidents[i].known_at, i)))
        if row.state not in OPEN:
            d |= _ended(s, row.id)
    if (old is not None and old.state is IncidentState.CLOSED) != (row.state is IncidentState.CLOSED):
        ids = set(s.closed_incidents) ^ {row.id}
        d["closed_incidents"] = tuple(sorted(ids, key=lambda i: (incidents[i].closed_at or 0, i)))[-_KEPT_CLOSED:]
    before, after = (old.members if old else ()), row.members
    if before is not after and before != after:
        index = s.site_incidents
        for site in set(before) ^ set(after):
            change = sorted_with if site in after else sorted_without
            index = _set_or_drop(index, site, change(index.get(site, ()), row.id))
        d["site_incidents"] = index
    return s.put(**d)


def _ended(s: State, incident: str) -> _Changes:
    """A closed or merged incident has no silence to judge and no threshold of its own."""
    agenda, zone = s.agenda, s.zones.get(incident)
    d: _Changes = {}
    if zone is not None:
        for due in zone.batches:
            agenda = agenda.arm(f"silence:{incident}:{due}", None)
        agenda = agenda.arm(f"allclear:{incident}", None)
        d["zones"] = s.zones.set(incident, replace(zone, batches=Map(), all_clear=None, all_clear_due=None))
    thresholds = s.thresholds
    for id in s.thresholds:
        if id.endswith(f"@{incident}"):
            thresholds, agenda = thresholds.delete(id), agenda.arm(f"rearm:{id}", None)
    return d | {"thresholds": thresholds, "agenda": agenda}


def threshold_changed(s: State, fact: ThresholdChanged) -> State:
    key = f"rearm:{fact.id}"
    if not fact.held:
        return s.put(thresholds=without(s.thresholds, fact.id), agenda=s.agenda.arm(key, None))
    due = None if fact.below_since is None else fact.below_since + REARM_MS
    threshold = Threshold(fact.since, fact.below_since, fact.incident)
    return s.put(thresholds=s.thresholds.set(fact.id, threshold), agenda=s.agenda.arm(key, due))


def escalation_changed(s: State, fact: EscalationChanged) -> State:
    row = fact.row
    due = row.next_at if row.state == "running" else None
    d: _Changes = {"escalations": s.escalations.set(row.id, row), "agenda": s.agenda.arm(f"ladder:{row.id}", due)}
    newest = s.ladders.get(row.scope)
    if newest is None or (s.escalations[newest].started_at, s.escalations[newest].level) <= (row.started_at, row.level):
        d["ladders"] = s.ladders.set(row.scope, row.id)
    return s.put(**d)


def notification_planned(s: State, fact: NotificationPlanned) -> State:
    return s.put(calls=s.calls.set(fact.notification, fact)) if fact.escalation is not None else s


def flag_changed(s: State, fact: FlagChanged) -> State:
    row = fact.row
    return s.put(flags=s.flags.set(row.id, row), agenda=s.agenda.arm(f"flag:{row.id}", row.effective_from))


def task_changed(s: State, row: TaskRow) -> State:
    key, waits = task_key(row), row.state in (TaskState.OPEN, TaskState.TAKEN)
    index = s.open_tasks.set(key, row.id) if waits else without(s.open_tasks, key)
    return s.put(tasks=s.tasks.set(row.id, row), open_tasks=index)


def task_key(row: TaskRow) -> str:
    """One open task per kind and subject: the report, else the site, else the incident."""
    return f"{row.kind}|{row.report or row.site or row.incident or ''}"


# ── reference data ─────────────────────────────────────────────────────────────────────────────────────────────────


def reference_published(s: State, fact: ReferencePublished) -> State:
    staged = s.staged.set(fact.data.section.value, fact.data)
    if not fact.last:
        return s.put(staged=staged)
    return reload(s.put(version=fact.reference, sections=s.sections.update(staged), staged=Map()))


def reload(s: State) -> State:
    """The same rows with indexes made anew, for the reference data in force: after loading a dump or a change of version."""
    new = State(s.realm, s.lineage, s.version, s.sections, s.staged)
    new = new.put(rules=rulebook_of(s.version, s.sections), marks=s.marks, silences=s.silences, zones=s.zones)
    counts_: Map[tuple[str, str, str], int] = Map()
    for site, marks in s.marks.items():
        counts_ = _counted(new, counts_, site, Map(), marks)
    agenda = Agenda()
    for incident, zone in s.zones.items():
        for due in zone.batches:
            agenda = agenda.arm(f"silence:{incident}:{due}", due)
        agenda = agenda.arm(f"allclear:{incident}", zone.all_clear_due)
    new = new.put(counts=counts_, agenda=agenda, sites=s.sites, levels=s.levels, triggers=s.triggers, calls=s.calls, metrics=s.metrics)
    for row in sorted(s.reports.values(), key=_arrival):
        new = report_changed(new, row)
    for cause in s.causes.values():
        new = cause_changed(new, cause)
    for incident_row in s.incidents.values():
        new = incident_changed(new, incident_row)
    for id, t in s.thresholds.items():
        new = threshold_changed(new, ThresholdChanged(id=id, held=True, since=t.since, below_since=t.below_since, incident=t.incident))
    for escalation in s.escalations.values():
        new = escalation_changed(new, EscalationChanged(row=escalation, change="loaded"))
    for flag in s.flags.values():
        new = flag_changed(new, FlagChanged(row=flag))
    for task in s.tasks.values():
        new = task_changed(new, task)
    agenda = new.agenda
    for key, due in s.failed.items():
        agenda = agenda.arm(key, None) if agenda.due.get(key) == due else agenda
    return new.put(agenda=agenda, failed=s.failed)


# ── dispatch ───────────────────────────────────────────────────────────────────────────────────────────────────────

_EVOLVE: Final[dict[type[Fact], Callable[[State, Any], State]]] = {
    ReportChanged: lambda s, f: report_changed(s, f.row),
    CauseChanged: lambda s, f: cause_changed(s, f.cause),
    SiteMarked: site_marked,
    SiteStatusChanged: lambda s, f: s.put(sites=s.sites.set(f.row.id, f.row)),
    SilenceChanged: silence_changed,
    ZoneChanged: zone_changed,
    AllClearNoted: all_clear_noted,
    IncidentChanged: lambda s, f: incident_changed(s, f.row),
    LevelChanged: lambda s, f: s.put(levels=s.levels.set(f.row.id, f.row)),
    ThresholdChanged: threshold_changed,
    TriggerChanged: lambda s, f: s.put(triggers=s.triggers.set(f.row.id, f.row)),
    FlagChanged: flag_changed,
    EscalationChanged: escalation_changed,
    NotificationPlanned: notification_planned,
    TaskChanged: lambda s, f: task_changed(s, f.row),
    MetricChanged: lambda s, f: s.put(metrics=s.metrics.set(f.key, f)),
    ReferencePublished: reference_published,
    DeadlineSettled: lambda s, f: deadline_settled(s, f.key),
    DeadlineFailed: lambda s, f: deadline_settled(s.put(failed=s.failed.set(f.key, f.due)), f.key),
}


def evolve(state: State, fact: Fact) -> State:
    """State after `fact`; facts that leave no trace in the state are ignored."""
    step = _EVOLVE.get(type(fact))
    return state if step is None else step(state, fact)

"""Causes: opened, confirmed once more, replaced, lifted, overdue (D3–D5, D7, D9, D10, D15–D17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.alerts import Cause, CauseChanged, ReportChanged, ReportRow
from schemas.base import Instant
from schemas.reports import Measure, Window
from schemas.words import EventType
from services.alerts import rules, tasks
from services.alerts.calendar import day_of, end_of_day
from services.alerts.claims import (
    as_number,
    claim_key,
    communes_of,
    inside,
    is_placeless,
    is_wide,
    measure_name,
    named,
    objects_of,
    says_restored,
    site_of,
)
from services.alerts.draft import Draft
from services.alerts.values import changed

Outcome = Literal["new", "same", "replaced", "over"]
KEPT_REPORTS: Final = 500
"""A cause names so many of its reports: a monitor that updates its report every minute would else fill a Transaction after two days."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report did to the causes."""

    cause: Cause
    outcome: Outcome
    """new; same: one more word (D4); replaced: newer values; over: about something that is lifted already (D7)."""


def makes_cause(row: ReportRow) -> bool:
    """True if the report is about something that holds at a place. A rate of more than one site is not (D11)."""
    return row.type in rules.CAUSE_TYPES and not is_wide(row) and not is_placeless(row) and not _says_sound(row)


def _says_sound(row: ReportRow) -> bool:
    return measure_name(row) in ("system_healthy", "system_restored") or says_restored(row)


def known_cause(row: ReportRow, draft: Draft) -> Cause | None:
    """The open cause that the report is one more word on (D4)."""
    if not makes_cause(row):
        return None
    id = draft.state.cause_keys.get(claim_key(row))
    cause = draft.state.causes[id] if id is not None else None
    if cause is None or cause.lifted_at is not None or (_is_daily(row) and day_of(row.occurred_at) != day_of(cause.last_at)):
        return None
    return cause


def _is_daily(row: ReportRow) -> bool:
    """D10: reports about one day."""
    if row.effective or row.expected_end is not None:
        return False
    if row.type is EventType.STAFF_SHORTAGE:
        return True
    hot = measure_name(row) == "room_temperature" or rules.HEAT_HAZARD in objects_of(row)
    return row.type is EventType.SANITARY_ALERT and hot


def put(draft: Draft, cause: Cause) -> Cause:
    """Record a cause with its next instant of change; the site is judged again."""
    if cause.lifted_at is None:
        cause = changed(cause, {"next_at": _next_change(cause, draft.now, draft.state.rules.horizon_ms)})
    if cause != draft.state.causes.get(cause.id):
        draft.emit(CauseChanged(cause=cause))
    draft.stirred[cause.id] = None
    if cause.site is not None:
        draft.doubtful.add(cause.site)
    return cause


def _next_change(cause: Cause, now: Instant, horizon: Instant) -> Instant | None:
    """When time alone changes the cause next: a window begins, ends or comes into sight, the expected end, the end of the day."""
    times = [t for w in cause.windows for t in (w.start, w.end, w.start - horizon) if t is not None]
    times += [t for t in (None if cause.overdue else cause.expected_end, cause.ends_at) if t is not None]
    return min((t for t in times if t > now), default=None)


def take(draft: Draft, row: ReportRow, incident: str | None, known: Cause | None) -> Taken:
    """Apply a confirmed report to its cause. `known` as found by `known_cause`."""
    over = _over_already(draft, row, known)
    if known is not None:
        return Taken(known, "over") if over is not None else _another_word(draft, row, known)
    cause = _new(draft, row, incident, over)
    if over is None:
        cause = _contested(draft, cause, row.source)
    return Taken(put(draft, cause), "over" if over is not None else "new")


def _new(draft: Draft, row: ReportRow, incident: str | None, over: tuple[Instant, str] | None) -> Cause:
    return Cause(
        id=draft.derive("cause"), key=claim_key(row), site=site_of(row), commune=next(iter(communes_of(row, draft.territory)), None),
        type=row.type, incident=incident, certainty=row.certainty, severity=row.severity, loss_pct=row.capacity_lost_pct,
        since=row.occurred_at, last_at=row.occurred_at, known_at=row.recorded_at, windows=row.effective,
        acting=inside(row.effective, draft.now), expected_end=row.expected_end, ends_at=end_of_day(row.occurred_at) if _is_daily(row) else None,
        persons=_persons(row), measure=row.measure, sources=(row.source,), reports=(row.id,),
        lifted_at=over[0] if over else None, lifted_by=over[1] if over else None,
        overdue=over is None and row.expected_end is not None and not row.effective and row.expected_end <= draft.now,
    )  # fmt: skip


def _persons(row: ReportRow) -> int | None:
    if measure_name(row) == "evacuees" and row.measure is not None and (n := as_number(row.measure.value)) is not None:
        return int(n)
    return row.persons_concerned


def _contested(draft: Draft, cause: Cause, first_source: str, told: tuple[Instant, str] | None = None) -> Cause:
    """D5: one source says open, another says shut at that time or just after. The graver state is kept, a person verifies.

    `told`: a reopening that is not recorded yet. `first_source` said the earliest of what is left.
    """
    known = draft.state.reopenings.get(f"{cause.site}|{cause.type.value}")
    newest = max((t for t in (known, told) if t is not None and t[0] <= cause.since), default=None)
    contested = newest is not None and cause.since - newest[0] <= rules.CONTRADICTION_MS and newest[1] != first_source
    if contested and cause.site is not None:
        tasks.ask(draft, "contested", site=cause.site, incident=cause.incident, candidates=cause.reports[:5])
    return changed(cause, {"contested": contested}) if contested != cause.contested else cause


def _is_before(row: ReportRow, told: tuple[Instant, str]) -> bool:
    """True if a reopening is the newer word. At the very same time it is, from the same source; from another the graver holds."""
    return row.occurred_at < told[0] or (row.occurred_at == told[0] and row.source == told[1])


def _over_already(draft: Draft, row: ReportRow, known: Cause | None) -> tuple[Instant, str] | None:
    """A late report about something that a newer word has ended (D7), or a day that is over (D10): (when, by what)."""
    reopened = draft.state.reopenings.get(f"{site_of(row)}|{row.type.value}")
    if reopened is not None and _is_before(row, reopened):
        return reopened[0], "reopening"
    newest = draft.state.cause_keys.get(claim_key(row)) if known is None else None
    if newest is not None:
        last = draft.state.causes[newest]
        if last.lifted_at is not None and last.lifted_by != "end_of_day" and row.occurred_at < last.lifted_at:
            return last.lifted_at, last.lifted_by or "lifted"
    if _is_daily(row) and (end := end_of_day(row.occurred_at)) <= draft.now:
        return end, "end_of_day"
    if row.effective and all(w.end is not None and w.end <= draft.now for w in row.effective):
        return max(w.end for w in row.effective if w.end is not None), "windows_over"
    return None


def _another_word(draft: Draft, row: ReportRow, known: Cause) -> Taken:
    """D4: the source is added, severity and loss take the worse, the earlier time. A newer count of the day replaces (D10)."""
    newer = row.occurred_at >= known.last_at
    both = {
        "sources": known.sources if row.source in known.sources else (*known.sources, row.source),
        "reports": _one_more(known.reports, row.id),
        "since": min(known.since, row.occurred_at),
        "last_at": max(known.last_at, row.occurred_at),
    }
    if row.type is EventType.STAFF_SHORTAGE and known.ends_at is not None:
        values = {"severity": row.severity, "loss_pct": row.capacity_lost_pct, "persons": _persons(row), "measure": row.measure}
        cause = put(draft, changed(known, both | (values if newer else {})))
        return Taken(cause, "replaced")
    windows = () if not known.windows or not row.effective else _union(known.windows, row.effective)
    worse: dict[str, Any] = {
        "severity": max(known.severity, row.severity),
        "loss_pct": _max(known.loss_pct, row.capacity_lost_pct),
        "persons": _max(known.persons, _persons(row)),
        "measure": _worse_measure(known.measure, row.measure),
        "windows": windows,
        "acting": inside(windows, draft.now),
    }
    if newer and row.expected_end is not None and row.expected_end != known.expected_end:
        worse |= {"expected_end": row.expected_end, "overdue": row.expected_end <= draft.now}
    cause = changed(known, both | worse)
    if row.occurred_at < known.since:
        cause = _contested(draft, cause, row.source)
    return Taken(put(draft, cause), "same")


def _union(a: tuple[Window, ...], b: tuple[Window, ...]) -> tuple[Window, ...]:
    return tuple(sorted({*a, *b}, key=lambda w: (w.start, w.end is None, w.end or 0)))


def _max(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def _worse_measure(a: Measure | None, b: Measure | None) -> Measure | None:
    """Of several counts of ill people the maximum, never the sum (D10); of any measure the greater."""
    if a is None or b is None:
        return a or b
    x, y = as_number(a.value), as_number(b.value)
    return b if x is None or (y is not None and y > x) else a


# ── replaced and withdrawn by reference (D3) ───────────────────────────────────────────────────────────────────────


def cause_of(draft: Draft, report: ReportRow) -> Cause | None:
    """The open cause that a report speaks of."""
    id = draft.state.cause_keys.get(claim_key(report))
    cause = draft.state.causes[id] if id is not None else None
    if cause is None or cause.lifted_at is not None:
        return None
    forgotten = len(cause.reports) == KEPT_REPORTS and report.recorded_at >= cause.known_at
    return cause if report.id in cause.reports or forgotten else None


def _one_more(reports: tuple[str, ...], id: str) -> tuple[str, ...]:
    """The words on a cause with one more. Of very many the first half stays, and of the others the newest."""
    first = KEPT_REPORTS // 2
    return (*reports, id) if len(reports) < KEPT_REPORTS else (*reports[:first], *reports[first + 1 :], id)


def replace_values(draft: Draft, row: ReportRow, cause: Cause) -> Taken:
    """An Update replaces the values that it carries; an older one replaces nothing (D7)."""
    values: dict[str, Any] = {"last_at": max(cause.last_at, row.occurred_at)}
    if row.type is cause.type:
        values["reports"] = _one_more(cause.reports, row.id)
    if row.occurred_at >= cause.last_at:
        if row.type is cause.type:
            values |= {"severity": row.severity, "loss_pct": row.capacity_lost_pct if row.capacity_lost_pct is not None else cause.loss_pct}
            values |= {"persons": _persons(row) if _persons(row) is not None else cause.persons, "measure": row.measure or cause.measure}
        if row.expected_end is not None:
            values |= {"expected_end": row.expected_end, "overdue": row.expected_end <= draft.now}
        if row.effective:
            values |= {"windows": row.effective, "acting": inside(row.effective, draft.now)}
    return Taken(put(draft, changed(cause, values)), "replaced")


def lift(draft: Draft, cause: Cause, at: Instant, by: str) -> None:
    """End a cause. Never reopens a site that has another (D15)."""
    put(draft, changed(cause, {"lifted_at": max(at, cause.since), "lifted_by": by, "next_at": None, "acting": False}))
    if cause.site is None:
        return
    left = [draft.state.causes[c] for c in draft.state.site_causes.get(cause.site, ())]
    if not any(c.overdue for c in left):
        tasks.void(draft, "overdue_cause", cause.site, "lifted")
    if not any(c.contested for c in left):
        tasks.void(draft, "contested", cause.site, "lifted")


# ── reopening (D16) ────────────────────────────────────────────────────────────────────────────────────────────────


def reopen(draft: Draft, row: ReportRow, incident: str | None) -> None:
    """Lift what the reopening names, or the only open type; ask when it is not clear. What stays shut becomes a partial closure."""
    site = site_of(row)
    if site is None:
        for name in named(row, "supplier:"):
            end_supplier_failures(draft, name, row)
        _end_referenced(draft, row)
        return
    open_ = [draft.state.causes[c] for c in draft.state.site_causes.get(site, ())]
    types = {c.type for c in open_}
    lifts = frozenset(row.lifts) or (frozenset(types) if len(types) == 1 else frozenset[EventType]())
    if not lifts and types:
        tasks.ask(draft, "lift_which", report=row.id, site=site, incident=incident, candidates=tuple(sorted(t.value for t in types)))
    for cause in open_:
        if cause.type in lifts:
            _lift_or_trim(draft, row, cause)
    _keep_rest_shut(draft, row, incident)


def _end_referenced(draft: Draft, row: ReportRow) -> None:
    """Without a site: what the reports that it names opened, of the types that it lifts (a machine's alert, D66)."""
    for reference in row.references:
        lease = draft.state.leases.get(reference)
        told = draft.state.reports.get(reference if lease is None else lease.claim)
        cause = cause_of(draft, told) if told is not None else None
        if cause is not None and cause.type in row.lifts and row.occurred_at >= cause.since:
            lift(draft, cause, row.occurred_at, row.id)


def _lift_or_trim(draft: Draft, row: ReportRow, cause: Cause) -> None:
    """D7: a reopening ends what was said before it; what was said after it stays, contested if it is too close to be true (D5)."""
    told = (row.occurred_at, row.source)
    if others := _held_by_others(draft, row, cause):
        put(draft, _of_reports(cause, others))
        return
    after = [r for r in (draft.state.reports[i] for i in cause.reports if i in draft.state.reports) if not _is_before(r, told)]
    if not after:
        lift(draft, cause, row.occurred_at, row.id)
        return
    after.sort(key=lambda r: (r.occurred_at, r.recorded_at, r.id))
    put(draft, _contested(draft, _of_reports(cause, after), after[0].source, told))


def _held_by_others(draft: Draft, row: ReportRow, cause: Cause) -> list[ReportRow]:
    """The end of one machine alert leaves what other alerts of that sender still say of the same cause (D66)."""
    state = draft.state
    if row.source_key is None or not row.references:
        return []
    held = {a.claim for a in state.leases.values() if a.state == "held" and a.source_key == row.source_key and a.id not in row.references}
    rows = [state.reports[r] for r in cause.reports if r in held and r in state.reports]
    return sorted(rows, key=lambda r: (r.occurred_at, r.recorded_at, r.id))


def _of_reports(cause: Cause, rows: list[ReportRow]) -> Cause:
    """The cause as these of its reports make it; ascending."""
    said = rows[-1:] if cause.type is EventType.STAFF_SHORTAGE and cause.ends_at is not None else rows
    values: dict[str, Any] = {
        "since": rows[0].occurred_at,
        "last_at": rows[-1].occurred_at,
        "reports": tuple(r.id for r in rows),
        "sources": tuple(dict.fromkeys(r.source for r in rows)),
        "severity": max(r.severity for r in said),
        "loss_pct": None,
        "persons": None,
        "measure": None,
    }
    for r in said:
        values["loss_pct"] = _max(values["loss_pct"], r.capacity_lost_pct)
        values["persons"] = _max(values["persons"], _persons(r))
        values["measure"] = _worse_measure(values["measure"], r.measure)
    return changed(cause, values)


def _keep_rest_shut(draft: Draft, row: ReportRow, incident: str | None) -> None:
    m = row.measure
    value = as_number(m.value) if m is not None and m.name == "desks_available" else None
    if m is None or value is None or not m.value_of or value >= m.value_of:
        return
    rest = changed(row, {"type": EventType.PARTIAL_CLOSURE, "capacity_lost_pct": round(100 * (1 - value / m.value_of), 1)})
    known = known_cause(rest, draft)
    if known is None:
        take(draft, rest, incident, None)
    elif row.occurred_at >= known.last_at:
        put(draft, changed(known, {"loss_pct": rest.capacity_lost_pct, "last_at": row.occurred_at, "measure": m}))


def end_supplier_failures(draft: Draft, supplier: str, row: ReportRow) -> None:
    """A supplier serves again: its open failures end."""
    for id in sorted(draft.state.placeless.get(EventType.SUPPLIER_FAILURE.value, ())):
        cause = draft.state.causes[id]
        if (
            cause.measure is not None
            and f"supplier:{supplier}" in (cause.measure.object or "").split("|")
            and row.occurred_at >= cause.since
        ):
            lift(draft, cause, row.occurred_at, row.id)


def end_system_outages(draft: Draft, systems: tuple[str, ...], row: ReportRow) -> None:
    """`system_restored`: outages that are about these systems alone end."""
    restored = {f"system:{s}" for s in systems}
    for cause in list(draft.state.causes.values()):
        if cause.lifted_at is not None or cause.type not in (EventType.OUTAGE_IT, EventType.OUTAGE_TELECOM) or cause.measure is None:
            continue
        about = {o for o in (cause.measure.object or "").split("|") if o}
        if about and about <= restored and row.occurred_at >= cause.last_at:
            lift(draft, cause, row.occurred_at, row.id)


def end_operator_outages(draft: Draft, incident: str, row: ReportRow) -> None:
    """The operator says all restored (D20): its own word ends; the sites' causes stay until someone speaks."""
    for id in sorted(draft.state.placeless.get(EventType.OUTAGE_POWER.value, ())):
        cause = draft.state.causes[id]
        if draft.standing(cause.incident) == incident and row.occurred_at >= cause.since:
            lift(draft, cause, row.occurred_at, row.id)


# ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def due(draft: Draft, cause: Cause) -> None:
    """An instant of change came: a window, the end of the day, the expected end."""
    now = draft.now
    if cause.ends_at is not None and cause.ends_at <= now:
        return lift(draft, cause, cause.ends_at, "end_of_day")
    if cause.windows and all(w.end is not None and w.end <= now for w in cause.windows):
        return lift(draft, cause, max(w.end for w in cause.windows if w.end is not None), "windows_over")
    late = cause.expected_end is not None and cause.expected_end <= now and not cause.windows
    if late and not cause.overdue:
        tasks.ask(draft, "overdue_cause", site=cause.site, incident=draft.standing(cause.incident), candidates=(cause.type.value,))
    acting = inside(cause.windows, now)
    if acting and not cause.acting:
        _count_planned(draft, cause)
    put(draft, changed(cause, {"acting": acting, "overdue": cause.overdue or late}))
    return None


def _count_planned(draft: Draft, cause: Cause) -> None:
    """What was announced is current now: its reports count from here on (D9)."""
    for id in cause.reports:
        row = draft.state.reports[id]
        if "planned" in row.flags:
            draft.emit(ReportChanged(row=changed(row, {"flags": tuple(f for f in row.flags if f != "planned")})))

"""End causes by withdrawn reports, reopenings and restorations.

Rules D3, D16 and D20.
"""

from __future__ import annotations

from schemas.alerts import ReportRow
from schemas.base import Instant
from schemas.causes import Cause
from schemas.reports import matter_of
from schemas.words import EventType
from services.alerts import tasks
from services.alerts.causes.cause_lifecycle import (
    all_open,
    cause_of,
    contested,
    known_cause,
    lift,
    put,
    take,
)
from services.alerts.causes.merging import of_reports
from services.alerts.decision import Draft
from services.alerts.reports.late_reports import is_before, newest_end
from services.alerts.reports.report_facts import (
    DENIED,
    WITHDRAWN,
    all_over,
    as_number,
    cause_key,
    communes_of,
    inside,
    is_ahead,
    is_placeless,
    measure_name,
    named,
    objects_of,
    services_of,
    site_of,
)
from services.alerts.rows import changed, in_order


def withdraw(draft: Draft, cause: Cause, row: ReportRow) -> None:
    """End a cause because a Cancel names one of its reports.

    Reports of a later time (rule D7) and other alerts of the same sender (rule D66) keep it open.
    """
    if others := _held_by_others(draft, row, cause):
        put(draft, of_reports(cause, others))
        return
    told = (
        draft.state.reports[r]
        for r in cause.reports
        if r in draft.state.reports and r not in row.references
    )
    after = sorted(
        (r for r in told if r.occurred_at > row.occurred_at),
        key=lambda r: (r.occurred_at, r.recorded_at, r.id),
    )
    if after:
        put(draft, of_reports(cause, after))
    else:
        lift(draft, cause, row.occurred_at, WITHDRAWN + row.id)


def hold_again(draft: Draft, told: ReportRow) -> list[Cause]:
    """Restore the causes that a withdrawn reopening or order to leave had ended, and return them.

    A partial closure that it had left is lifted. Causes that also ended otherwise stay lifted. Rule
    D3, cancellations.
    """
    state, again = draft.state, list[Cause]()
    for cause in in_order(
        c for c in state.causes.values() if c.reports == (told.id,) and c.lifted_at is None
    ):
        lift(draft, cause, draft.now, DENIED + told.id)
    for cause in in_order(c for c in state.causes.values() if c.lifted_by == told.id):
        newest = draft.state.causes[
            draft.state.cause_keys[cause_key(cause.key, bool(cause.windows))]
        ]
        other = newest_end(draft, cause.site, cause.type)
        day_over = cause.ends_at is not None and cause.ends_at <= draft.now
        if (
            day_over
            or newest.lifted_at is None
            or (other is not None and other[0] >= cause.last_at)
            or _all_cancelled(draft, cause)
        ):
            continue
        if not all_over(cause.windows, draft.now):
            again.append(
                put(
                    draft,
                    changed(
                        cause,
                        {
                            "lifted_at": None,
                            "lifted_by": None,
                            "acting": inside(cause.windows, draft.now),
                        },
                    ),
                )
            )
    return again


def _all_cancelled(draft: Draft, cause: Cause) -> bool:
    """Return whether all reports of the cause were cancelled: then there is nothing to restore."""
    told = draft.told(cause.reports)
    return bool(told) and all("cancelled" in r.flags for r in told)


def reopen(draft: Draft, row: ReportRow, incident: str | None) -> ReportRow:
    """Lift the causes that a reopening names, or the only open type; ask a person if it is unclear.

    The part of the site that stays shut becomes a partial closure. Returns the report with the
    types that it lifts: a later report of a closure contradicts it (rule D5), named or not. An
    announced reopening lifts nothing yet. Rule D16, reopenings.
    """
    if "planned" in row.flags:
        _announce(draft, row)
        return row
    site = site_of(row)
    if site is None:
        for name in named(row, "supplier:"):
            end_supplier_failures(draft, name, row)
        _end_referenced(draft, row)
        _end_of_communes(draft, row)
        return row
    open_ = _open_at(draft, site, row.occurred_at)
    types = {c.type for c in open_}
    lifts = _lifts(row, types)
    if not lifts and types:
        tasks.ask(
            draft,
            "lift_which",
            report=row.id,
            site=site,
            incident=incident,
            candidates=tuple(sorted(t.value for t in types)),
        )
    for cause in open_:
        if cause.type in lifts:
            _lift_or_trim(draft, row, cause)
    _keep_rest_shut(draft, row, incident)
    return row if row.lifts else changed(row, {"lifts": tuple(sorted(lifts))})


def _open_at(draft: Draft, site: str, at: Instant) -> list[Cause]:
    there = (draft.state.causes[c] for c in draft.state.site_causes.get(site, ()))
    return [c for c in there if not is_ahead(c.windows, at)]


def _lifts(row: ReportRow, types: set[EventType]) -> frozenset[EventType]:
    """Return the types that a reopening names, else the only open type."""
    return frozenset(row.lifts) or (frozenset(types) if len(types) == 1 else frozenset[EventType]())


def _announce(draft: Draft, row: ReportRow) -> None:
    """Expect the named causes to end when an announced reopening begins.

    They stay open until somebody reports the end. Rules D9 and D17.
    """
    site, starts = (
        site_of(row),
        min((w.start for w in row.effective if w.start > draft.now), default=None),
    )
    if site is None or starts is None:
        return
    open_ = _open_at(draft, site, row.occurred_at)
    lifts = _lifts(row, {c.type for c in open_})
    for cause in open_:
        if cause.type in lifts and row.occurred_at >= cause.last_at:
            put(draft, changed(cause, {"expected_end": starts}))


def _end_referenced(draft: Draft, row: ReportRow) -> None:
    """Lift causes by a reopening without a site: those of the reports that it refers to.

    Only types that it lifts end, as for a lapsed alert. Rule D66, leases.
    """
    for reference in row.references:
        lease = draft.state.leases.get(reference)
        told = draft.state.reports.get(reference if lease is None else lease.claim)
        cause = cause_of(draft, told) if told is not None else None
        if cause is not None and cause.type in row.lifts and row.occurred_at >= cause.since:
            lift(draft, cause, row.occurred_at, row.id)


def _end_of_communes(draft: Draft, row: ReportRow) -> None:
    """Lift the causes without a site that a reopening names, if it reopens all their communes.

    If only some communes reopen, a person is asked. Rule D16, reopenings.
    """
    here = frozenset(communes_of(row, draft.territory))
    for type_ in row.lifts if here else ():
        for cause in [
            draft.state.causes[c] for c in sorted(draft.state.placeless.get(type_.value, ()))
        ]:
            told, there = draft.told(cause.reports), told_communes(draft, cause)
            if (
                not there
                or here.isdisjoint(there)
                or not _held_at(cause, row.occurred_at)
                or any(is_placeless(r) for r in told)
            ):
                continue
            if there <= here:
                lift(draft, cause, row.occurred_at, row.id)
            else:
                tasks.ask(
                    draft,
                    "lift_which",
                    report=row.id,
                    incident=draft.standing(cause.incident),
                    candidates=(type_.value,),
                )


def _lift_or_trim(draft: Draft, row: ReportRow, cause: Cause) -> None:
    """End a cause by a reopening, except for later reports and other alerts of the sender.

    A later report that is too close to be true makes the cause contested. Rules D5 and D7.
    """
    if others := _held_by_others(draft, row, cause):
        put(draft, of_reports(cause, others))
    else:
        _end_before(draft, row, cause, (row.occurred_at, row.source))


def end_shelter(draft: Draft, row: ReportRow) -> None:
    """End earlier orders to shelter by an order to leave.

    A later order to shelter is no contradiction. Rule D5.
    """
    for cause in [draft.state.causes[c] for c in draft.state.site_causes.get(row.site or "", ())]:
        if cause.type is EventType.SHELTER_IN_PLACE and not is_ahead(
            cause.windows, row.occurred_at
        ):
            _end_before(draft, row, cause, None)


def _end_before(
    draft: Draft, row: ReportRow, cause: Cause, reopening: tuple[Instant, str] | None
) -> None:
    told = (row.occurred_at, row.source)
    after = [
        r
        for r in (draft.state.reports[i] for i in cause.reports if i in draft.state.reports)
        if not is_before(r, told)
    ]
    if not after:
        lift(
            draft,
            cause,
            max((w.start for w in row.effective if w.start <= draft.now), default=row.occurred_at),
            row.id,
        )
        return
    after.sort(key=lambda r: (r.occurred_at, r.recorded_at, r.id))
    put(draft, contested(draft, of_reports(cause, after), after[0].source, reopening))


def _held_by_others(draft: Draft, row: ReportRow, cause: Cause) -> list[ReportRow]:
    """Return the reports of other alerts of the same sender on the same cause.

    The end of one alert leaves them. An ended alert no longer counts. Rule D66, leases.
    """
    if row.source_key is None or not row.references:
        return []
    leases = [a for a in draft.state.leases.values() if a.source_key == row.source_key]
    held = {a.claim for a in leases if a.state == "held" and a.id not in row.references}
    leased = {r for a in leases for r in (a.id, a.claim)}
    told = (
        draft.state.reports[r]
        for r in cause.reports
        if r in draft.state.reports and r not in row.references
    )
    rows = [r for r in told if (r.id in held if r.id in leased else _is_of_another_alert(r, row))]
    return sorted(rows, key=lambda r: (r.occurred_at, r.recorded_at, r.id))


def _is_of_another_alert(told: ReportRow, end: ReportRow) -> bool:
    mine, its = matter_of(end.alias), matter_of(told.alias)
    return (
        told.source_key == end.source_key and mine is not None and its is not None and its != mine
    )


def _keep_rest_shut(draft: Draft, row: ReportRow, incident: str | None) -> None:
    m = row.measure
    value = as_number(m.value) if m is not None and m.name == "desks_available" else None
    known_site = draft.territory.sites.get(row.site or "")
    total = (m.value_of if m is not None else None) or (
        known_site.desks if known_site is not None else 0
    )
    if m is None or value is None or not total or value >= total:
        return
    rest = changed(
        row,
        {
            "type": EventType.PARTIAL_CLOSURE,
            "capacity_lost_pct": round(100 * (1 - max(value, 0.0) / total), 1),
        },
    )
    known = known_cause(rest, draft)
    if known is None:
        take(draft, rest, incident, None)
    elif row.occurred_at >= known.last_at:
        put(
            draft,
            changed(
                known,
                {"loss_pct": rest.capacity_lost_pct, "last_at": row.occurred_at, "measure": m},
            ),
        )


def _held_at(cause: Cause, at: Instant) -> bool:
    """Return whether a cause had begun at that time.

    A report on the current situation does not end an announced cause; a Cancel does. Rule D9.
    """
    return at >= cause.since and not is_ahead(cause.windows, at)


def end_supplier_failures(draft: Draft, supplier: str, row: ReportRow) -> None:
    """End the failures of a supplier that were reported before it works again, also those of sites.

    Rule D7, late reports.
    """
    for cause in all_open(draft):
        if (
            cause.type is EventType.SUPPLIER_FAILURE
            and _held_at(cause, row.occurred_at)
            and supplier in _suppliers(draft, cause)
        ):
            _end_before(draft, row, cause, None)


def _suppliers(draft: Draft, cause: Cause) -> tuple[str, ...]:
    """Return the suppliers that fail: those that the cause names, else the kitchen of its site."""
    known = draft.territory.sites.get(cause.site or "")
    return named(cause, "supplier:") or (
        (known.kitchen,) if known is not None and known.kitchen else ()
    )


def end_system_outages(draft: Draft, row: ReportRow) -> None:
    """End outages after `system_restored`, once all their systems and networks are restored.

    This report or earlier ones may restore them.
    """
    restored = set(services_of(row))
    for cause in all_open(draft):
        if cause.type not in (EventType.OUTAGE_IT, EventType.OUTAGE_TELECOM):
            continue
        about = set(objects_of(cause))
        if (
            about & restored
            and _held_at(cause, row.occurred_at)
            and all(_is_up(draft, s, cause) for s in about - restored)
        ):
            _end_before(draft, row, cause, None)


def _is_up(draft: Draft, system: str, cause: Cause) -> bool:
    """Return whether a system was reported up after the newest report on the cause."""
    flag = draft.state.flags.get(system)
    return flag is not None and flag.value == "up" and flag.since >= cause.last_at


def end_declared(draft: Draft, row: ReportRow) -> None:
    """End the causes of a revoked declaration; causes of sites stay until the sites report."""
    name = measure_name(row)
    for ids in [sorted(ids) for _, ids in sorted(draft.state.placeless.items())]:
        for cause in (draft.state.causes[c] for c in ids):
            if (
                cause.measure is None
                or cause.measure.name != name
                or not _held_at(cause, row.occurred_at)
            ):
                continue
            if _is_about(draft, row, set(objects_of(cause)), told_communes(draft, cause)):
                lift(draft, cause, row.occurred_at, row.id)


def takes_back_that(draft: Draft, row: ReportRow, told: ReportRow) -> bool:
    """Return whether a revocation is about this declaration: its objects and all its communes.

    A report of a site, or about one, matches any.
    """
    if site_of(row) is not None or site_of(told) is not None:
        return True
    return _is_about(
        draft, row, set(objects_of(told)), frozenset(communes_of(told, draft.territory))
    )


def _is_about(draft: Draft, row: ReportRow, things: set[str], there: frozenset[str]) -> bool:
    """Return whether a report is about the same objects and all these communes.

    A report that names neither is about all.
    """
    about, here = set(objects_of(row)), frozenset(communes_of(row, draft.territory))
    return (not about or not things or bool(about & things)) and (not here or there <= here)


def told_communes(draft: Draft, cause: Cause) -> frozenset[str]:
    """Return all communes that the reports of a cause name."""
    return frozenset(c for r in draft.told(cause.reports) for c in communes_of(r, draft.territory))


def end_operator_outages(draft: Draft, incident: str, row: ReportRow) -> None:
    """End the operator's own outages after its all-clear.

    Causes of sites stay until the sites report. Rule D20, operator all-clear.
    """
    for id in sorted(draft.state.placeless.get(EventType.OUTAGE_POWER.value, ())):
        cause = draft.state.causes[id]
        if draft.standing(cause.incident) == incident and _held_at(cause, row.occurred_at):
            lift(draft, cause, row.occurred_at, row.id)

"""End causes by withdrawn reports, reopenings and restorations.

Rules D3, D16 and D20.
"""

from collections.abc import Sequence
from typing import Final

from schemas.alerts import ReportRow
from schemas.base import Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause
from schemas.reports import episode_key
from schemas.words import EventType, MsgType
from services.alerts.causes.cause_lifecycle import (
    apply_report,
    contest_cause,
    find_open_cause,
    find_repeated_cause,
    lift_cause,
    list_open_causes,
    mark_contested,
    record_with_deadline,
)
from services.alerts.decision import (
    AlertsDecision,
    list_open_tasks,
    open_task,
    sort_by_id,
)
from services.alerts.reference.territory import TerritoryIndex
from services.alerts.reports.judgement import (
    NEWER_WORD,
    find_newest_end,
    is_superseded_by,
    keeps_danger,
)
from services.alerts.reports.report_facts import (
    DENIED,
    WITHDRAWN,
    are_windows_over,
    build_cause_key,
    get_measure_name,
    get_site,
    is_ahead,
    is_confirmed,
    is_current_word,
    is_inside,
    is_lapse,
    is_placeless,
    is_standing,
    list_communes,
    list_named,
    list_objects,
    list_services,
    parse_number,
    rebuild_cause,
    serves_all,
)

LIFTS_NOTHING: Final = "lifts_nothing"
"""Flag of a reopening at a site where nothing of that kind was open. Rule D16, reopenings."""


def withdraw_report(draft: AlertsDecision, cause: Cause, row: ReportRow) -> None:
    """End a cause because a Cancel names one of its reports.

    Reports of a later time (rule D7), other alerts of the same sender (rule D66) and what others
    tell of a danger keep it open. The last is contested (rule D5).
    """
    if others := _list_reports_of_other_alerts(draft, row, cause):
        record_with_deadline(draft, rebuild_cause(cause, others))
        return
    reports = draft.find_reports(cause.reports)
    withdrawn = [r for r in reports if r.id in row.references]
    remaining = sorted(
        (
            r
            for r in reports
            if r not in withdrawn
            and (r.occurred_at > row.occurred_at or _is_kept_danger(draft, r, row, withdrawn))
        ),
        key=lambda r: (r.occurred_at, r.recorded_at, r.id),
    )
    if not remaining:
        lift_cause(draft, cause, row.occurred_at, WITHDRAWN + row.id)
        return
    cause = rebuild_cause(cause, _list_standing_reports(remaining))
    if remaining[0].occurred_at <= row.occurred_at:
        cause = contest_cause(draft, cause, (remaining[0].id, row.id))
    record_with_deadline(draft, cause)


def _is_kept_danger(
    draft: AlertsDecision, report: ReportRow, row: ReportRow, withdrawn: list[ReportRow]
) -> bool:
    return "cancelled" not in report.flags and keeps_danger(row, report, withdrawn, draft.territory)


def _list_standing_reports(rows: list[ReportRow]) -> list[ReportRow]:
    """Return the reports without those that later ones replaced. Rule D3, updates."""
    return [r for r in rows if is_standing(r)] or rows


def restore_causes(draft: AlertsDecision, report: ReportRow) -> list[Cause]:
    """Restore the causes that a withdrawn reopening or order to leave had ended, and return them.

    A partial closure that it had left is lifted. Causes that also ended otherwise stay lifted. Rule
    D3, cancellations.
    """
    state, restored_causes = draft.state, list[Cause]()
    for cause in sort_by_id(
        c for c in state.causes.values() if c.reports == (report.id,) and c.lifted_at is None
    ):
        lift_cause(draft, cause, draft.now, DENIED + report.id)
    for cause in sort_by_id(
        c
        for c in state.causes.values()
        if _is_ended_by(c, report) or _is_part_of_end(draft, c, report)
    ):
        if (restored := _restore_cause(draft, cause)) is not None:
            restored_causes.append(restored)
    return restored_causes


def restore_declared_causes(
    draft: AlertsDecision, report: ReportRow, revocations: Sequence[ReportRow]
) -> list[Cause]:
    """Restore the causes that a withdrawn declaration had ended, and return them.

    It is the revocation of a flag, the all-clear of an operator or the restoration of a system.
    `revocations` are the same declarations that stay in force: what they end together stays lifted.
    Rule D3, cancellations.
    """
    restored_causes = list[Cause]()
    for cause in sort_by_id(c for c in draft.state.causes.values() if c.lifted_by is not None):
        end = draft.state.reports.get(cause.lifted_by or "")
        if end is None or not is_same_declaration(end, report):
            continue
        later = _list_since(revocations, cause.last_at)
        things, there = set(list_objects(cause)), list_communes_of_cause(draft, cause)
        is_ended = any(
            _has_begun_at(cause, r.occurred_at) and _is_about(draft, r, things, there, later)
            for r in later
        )
        if not is_ended and (restored := _restore_cause(draft, cause)) is not None:
            restored_causes.append(restored)
    return restored_causes


def is_same_declaration(row: ReportRow, other: ReportRow) -> bool:
    """Return whether two reports carry the same measure with the same value.

    A supplier serves all its colleges again by either number: 54 of 54, or 50 of 50.
    """
    a, b = row.measure, other.measure
    if a is None or b is None or a.name != b.name:
        return False
    return a.value == b.value or (serves_all(row) and serves_all(other))


def _restore_cause(draft: AlertsDecision, cause: Cause) -> Cause | None:
    """Open a cause again, unless it is over by itself or something else ended it since."""
    newest = draft.state.causes[
        draft.state.cause_keys[build_cause_key(cause.key, bool(cause.windows))]
    ]
    other = find_newest_end(draft, cause.site, cause.type)
    day_over = cause.ends_at is not None and cause.ends_at <= draft.now
    if (
        day_over
        or newest.lifted_at is None
        or (other is not None and other[0] >= cause.last_at)
        or _has_only_cancelled_reports(draft, cause)
        or are_windows_over(cause.windows, draft.now)
    ):
        return None
    acting = is_inside(cause.windows, draft.now)
    values = {"lifted_at": None, "lifted_by": None, "acting": acting}
    return record_with_deadline(draft, copy_with(cause, values))


def _is_ended_by(cause: Cause, report: ReportRow) -> bool:
    """Return whether a report ended a cause, which was open then or came late as over already."""
    if cause.lifted_by == report.id:
        return True
    return (
        cause.lifted_by == NEWER_WORD
        and (cause.site, cause.lifted_at) == (report.site, report.occurred_at)
        and cause.type in (report.lifts or (EventType.SHELTER_IN_PLACE,))
    )


def _is_part_of_end(draft: AlertsDecision, cause: Cause, report: ReportRow) -> bool:
    """Return whether a cause of communes ended by several reopenings, this one among them."""
    last = draft.state.reports.get(cause.lifted_by or "")
    if cause.site is not None or last is None or cause.type not in report.lifts:
        return False
    there = list_places_of_cause(draft, cause)
    return (
        last.type is EventType.REOPENING
        and not there <= list_places(last, draft.territory)
        and not there.isdisjoint(list_places(report, draft.territory))
        and cause.since <= report.occurred_at <= (cause.lifted_at or 0)
    )


def _has_only_cancelled_reports(draft: AlertsDecision, cause: Cause) -> bool:
    """Return whether all reports of the cause were cancelled: then there is nothing to restore."""
    reports = draft.find_reports(cause.reports)
    return bool(reports) and all("cancelled" in r.flags for r in reports)


def apply_reopening(draft: AlertsDecision, row: ReportRow, incident: str | None) -> ReportRow:
    """Lift the causes that a reopening names, or the only open type; ask a person if it is unclear.

    The part of the site that stays shut becomes a partial closure. Returns the report with the
    types that it lifts: a later report of a closure contradicts it (rule D5), named or not. An
    announced reopening lifts nothing yet. Rule D16, reopenings.
    """
    if "planned" in row.flags:
        _announce_reopening(draft, row)
        return row
    site = get_site(row)
    if site is None:
        for name in list_named(row, "supplier:"):
            end_supplier_failures(draft, name, row)
        _lift_referenced_causes(draft, row)
        _lift_causes_of_communes(draft, row)
        return row
    row = _inherit_lifts(draft, row)
    open_ = _list_open_causes_at(draft, site, row.occurred_at)
    types = {c.type for c in open_}
    is_early = row.msg_type is MsgType.UPDATE and bool(row.references) and not row.lifts
    if is_early and not draft.find_reports(row.references):
        lifts = frozenset[EventType]()  # the reopening that it updates may name anything
    else:
        lifts = _choose_lifted_types(row, types)
    if not lifts and types:
        open_task(
            draft,
            "lift_which",
            report=row.id,
            site=site,
            incident=incident,
            candidates=tuple(sorted(t.value for t in types)),
        )
    for cause in open_:
        if cause.type in lifts:
            _end_by_reopening(draft, row, cause)
    _open_partial_closure(draft, row, incident)
    row = _flag_without_effect(row, types, lifts)
    return row if row.lifts else copy_with(row, {"lifts": tuple(sorted(lifts))})


def _inherit_lifts(draft: AlertsDecision, row: ReportRow) -> ReportRow:
    """Add the types of the reopening to its Update, unless the Update names others.

    Otherwise a later word on the power would end a fire that broke out since. Rule D3, updates.
    """
    if row.lifts or row.msg_type is not MsgType.UPDATE:
        return row
    reopenings = (r for r in draft.find_reports(row.references) if r.type is EventType.REOPENING)
    lifts = tuple(sorted({t for r in reopenings for t in r.lifts}))
    return copy_with(row, {"lifts": lifts}) if lifts else row


def _flag_without_effect(
    row: ReportRow, types: set[EventType], lifts: frozenset[EventType]
) -> ReportRow:
    """Flag a reopening that finds nothing to lift: its sender may mean another site.

    One with a measure or a colour speaks of these; one that several causes suit is asked about.
    """
    asks = types if not lifts else types & lifts
    says_more = row.measure is not None or row.phenomenon is not None
    flags = tuple(flag for flag in row.flags if flag != LIFTS_NOTHING)
    if not asks and not says_more:
        flags = (*flags, LIFTS_NOTHING)
    return row if flags == row.flags else copy_with(row, {"flags": flags})


def _list_open_causes_at(draft: AlertsDecision, site: str, at: Instant) -> list[Cause]:
    there = (draft.state.causes[c] for c in draft.state.site_causes.get(site, ()))
    return [c for c in there if not is_ahead(c.windows, at)]


def _choose_lifted_types(row: ReportRow, types: set[EventType]) -> frozenset[EventType]:
    """Return the types that a reopening names, else the only open type."""
    return frozenset(row.lifts) or (frozenset(types) if len(types) == 1 else frozenset[EventType]())


def _announce_reopening(draft: AlertsDecision, row: ReportRow) -> None:
    """Expect the named causes to end when an announced reopening begins.

    They stay open until somebody reports the end. Rules D9 and D17.
    """
    site, starts = (
        get_site(row),
        min((w.start for w in row.effective if w.start > draft.now), default=None),
    )
    if site is None or starts is None:
        return
    open_ = _list_open_causes_at(draft, site, row.occurred_at)
    lifts = _choose_lifted_types(row, {c.type for c in open_})
    for cause in open_:
        if cause.type in lifts and row.occurred_at >= cause.last_at:
            record_with_deadline(draft, copy_with(cause, {"expected_end": starts}))


def _lift_referenced_causes(draft: AlertsDecision, row: ReportRow) -> None:
    """Lift causes by a reopening without a site: those of the reports that it refers to.

    Only types that it lifts end, as for a lapsed alert (rule D66). One that names a part of an
    order's places ends no other part: `_lift_causes_of_communes` reads it (rule D16).
    """
    here = list_places(row, draft.territory)
    for reference in row.references:
        lease = draft.state.leases.get(reference)
        report = draft.state.reports.get(reference if lease is None else lease.claim)
        cause = find_open_cause(draft, report) if report is not None else None
        if cause is None or cause.type not in row.lifts or row.occurred_at < cause.since:
            continue
        is_part = bool(here) and not list_places_of_cause(draft, cause) <= here
        if cause.site is not None or not is_part:
            lift_cause(draft, cause, row.occurred_at, row.id)


def _lift_causes_of_communes(draft: AlertsDecision, row: ReportRow) -> None:
    """Lift the causes without a site that a reopening names, if all their places are reopened.

    Earlier reopenings of the other places count with it; a person is asked if one is missing.
    Rule D16, reopenings.
    """
    here = list_places(row, draft.territory)
    for type_ in row.lifts if here else ():
        for cause in [
            draft.state.causes[c] for c in sorted(draft.state.placeless.get(type_.value, ()))
        ]:
            reports, there = draft.find_reports(cause.reports), list_places_of_cause(draft, cause)
            if (
                not there
                or here.isdisjoint(there)
                or not _has_begun_at(cause, row.occurred_at)
                or any(is_placeless(r) for r in reports)
            ):
                continue
            reopenings = (row, *list_earlier_parts(draft, cause))
            if (ended_at := _find_end_of_places(draft, cause, reopenings)) is not None:
                lift_cause(draft, cause, ended_at, row.id)
            else:
                open_task(
                    draft,
                    "lift_which",
                    report=row.id,
                    incident=draft.resolve_incident(cause.incident),
                    candidates=(type_.value,),
                )


def list_earlier_parts(draft: AlertsDecision, cause: Cause) -> list[ReportRow]:
    """Return the reopenings of a part of a cause's communes about which a person is still asked."""
    incident = draft.resolve_incident(cause.incident)
    tasks = (
        task
        for task in list_open_tasks(draft, "lift_which")
        if task.site is None
        and cause.type.value in task.candidates
        and draft.resolve_incident(task.incident) == incident
    )
    rows = draft.find_reports([task.report for task in tasks if task.report is not None])
    return [r for r in rows if is_confirmed(r) and "cancelled" not in r.flags]


def list_places(row: ReportRow, territory: TerritoryIndex) -> frozenset[str]:
    """Return the communes of a report, and the sites in them: of a drawn area, those inside alone.

    A drawn area is finer than its communes.
    """
    communes = _list_all_communes(row, territory)
    sites = frozenset(site for site in row.sites if site in territory.sites)
    everywhere = (territory.by_commune.get(commune, ()) for commune in communes)
    return communes | sites if sites else communes.union(*everywhere)


def _list_all_communes(row: ReportRow, territory: TerritoryIndex) -> frozenset[str]:
    """Return the communes that a report names, or those of the sites in the area that it draws."""
    sites = (territory.sites[site].commune for site in row.sites if site in territory.sites)
    return frozenset(list_communes(row, territory) or sites)


def _find_end_of_places(
    draft: AlertsDecision, cause: Cause, reopenings: Sequence[ReportRow]
) -> Instant | None:
    """Return when the last commune or site of a cause was reopened; None if one is not.

    A part that a report closed again later is not, unless the newest reopening covers all.
    """
    there = list_places_of_cause(draft, cause)
    closures, ends = draft.find_reports(cause.reports), list[Instant]()
    closed = [(r.occurred_at, list_places(r, draft.territory)) for r in closures]
    reopened = [(r.occurred_at, list_places(r, draft.territory)) for r in reopenings]
    if there <= reopened[0][1]:
        return reopened[0][0]
    for place in there:
        closed_at = max((at for at, places in closed if place in places), default=cause.since)
        times = [at for at, places in reopened if place in places and at >= closed_at]
        if not times:
            return None
        ends.append(min(times))
    return max(ends)


def _end_by_reopening(draft: AlertsDecision, row: ReportRow, cause: Cause) -> None:
    """End a cause by a reopening, except for later reports and other alerts of the sender.

    A lapsed alert is a silence: it ends no danger to people that others reported. A later report
    that is too close to be true makes the cause contested. Rules D5 and D7.
    """
    if others := _list_reports_of_other_alerts(draft, row, cause):
        record_with_deadline(draft, rebuild_cause(cause, others))
    else:
        _end_earlier_reports(draft, row, cause, (row.occurred_at, row.source))


def end_shelter_orders(draft: AlertsDecision, row: ReportRow) -> None:
    """End earlier orders to shelter by an order to leave.

    A later order to shelter is no contradiction. Rule D5.
    """
    for cause in [draft.state.causes[c] for c in draft.state.site_causes.get(row.site or "", ())]:
        if cause.type is EventType.SHELTER_IN_PLACE and not is_ahead(
            cause.windows, row.occurred_at
        ):
            _end_earlier_reports(draft, row, cause, None)


def _end_earlier_reports(
    draft: AlertsDecision, row: ReportRow, cause: Cause, reopening: tuple[Instant, str] | None
) -> None:
    time_and_source = (row.occurred_at, row.source)
    after = [
        r
        for r in (draft.state.reports[i] for i in cause.reports if i in draft.state.reports)
        if not is_superseded_by(r, time_and_source)
    ]
    if not after:
        lift_cause(
            draft,
            cause,
            max((w.start for w in row.effective if w.start <= draft.now), default=row.occurred_at),
            row.id,
        )
        return
    after.sort(key=lambda r: (r.occurred_at, r.recorded_at, r.id))
    after = _list_standing_reports(after)
    record_with_deadline(
        draft, mark_contested(draft, rebuild_cause(cause, after), after[0].source, reopening)
    )


def _list_reports_of_other_alerts(
    draft: AlertsDecision, row: ReportRow, cause: Cause
) -> list[ReportRow]:
    """Return the reports of other alerts of the same sender on the same cause.

    The end of one alert leaves them. An ended alert no longer counts. Rule D66, leases.
    """
    if row.source_key is None or not row.references:
        return []
    leases = [a for a in draft.state.leases.values() if a.source_key == row.source_key]
    active_report_ids = {
        a.claim for a in leases if a.state == "held" and a.id not in row.references
    }
    leased_ids = {r for a in leases for r in (a.id, a.claim)}
    reports = (
        draft.state.reports[r]
        for r in cause.reports
        if r in draft.state.reports and r not in row.references
    )
    rows = [
        r
        for r in reports
        if (r.id in active_report_ids if r.id in leased_ids else _is_report_of_other_alert(r, row))
    ]
    if is_lapse(row):
        rows += [
            r
            for r in draft.find_reports(cause.reports)
            if r.source_key != row.source_key
            and is_confirmed(r)
            and is_current_word(r)
            and endangers_people(r.type, r.severity)
        ]
    return sorted(rows, key=lambda r: (r.occurred_at, r.recorded_at, r.id))


def _is_report_of_other_alert(report: ReportRow, end: ReportRow) -> bool:
    mine, its = episode_key(end.alias), episode_key(report.alias)
    return (
        report.source_key == end.source_key and mine is not None and its is not None and its != mine
    )


def _open_partial_closure(draft: AlertsDecision, row: ReportRow, incident: str | None) -> None:
    m = row.measure
    value = parse_number(m.value) if m is not None and m.name == "desks_available" else None
    known_site = draft.territory.sites.get(row.site or "")
    total = (m.value_of if m is not None else None) or (
        known_site.desks if known_site is not None else 0
    )
    if m is None or value is None or not total or value >= total:
        return
    rest = copy_with(
        row,
        {
            "type": EventType.PARTIAL_CLOSURE,
            "capacity_lost_pct": round(100 * (1 - max(value, 0.0) / total), 1),
        },
    )
    repeated_cause = find_repeated_cause(rest, draft)
    if repeated_cause is None:
        apply_report(draft, rest, incident, None)
    elif row.occurred_at >= repeated_cause.last_at:
        record_with_deadline(
            draft,
            copy_with(
                repeated_cause,
                {"loss_pct": rest.capacity_lost_pct, "last_at": row.occurred_at, "measure": m},
            ),
        )


def _has_begun_at(cause: Cause, at: Instant) -> bool:
    """Return whether a cause had begun at that time.

    A report on the current situation does not end an announced cause; a Cancel does. Rule D9.
    """
    return at >= cause.since and not is_ahead(cause.windows, at)


def end_supplier_failures(draft: AlertsDecision, supplier: str, row: ReportRow) -> None:
    """End the failures of a supplier that were reported before it works again, also those of sites.

    Rule D7, late reports.
    """
    for cause in list_open_causes(draft):
        if (
            cause.type is EventType.SUPPLIER_FAILURE
            and _has_begun_at(cause, row.occurred_at)
            and supplier in _list_failed_suppliers(draft, cause)
        ):
            _end_earlier_reports(draft, row, cause, None)


def _list_failed_suppliers(draft: AlertsDecision, cause: Cause) -> tuple[str, ...]:
    """Return the suppliers that fail: those that the cause names, else the kitchen of its site."""
    site = draft.territory.sites.get(cause.site or "")
    return list_named(cause, "supplier:") or (
        (site.kitchen,) if site is not None and site.kitchen else ()
    )


def end_system_outages(draft: AlertsDecision, row: ReportRow) -> None:
    """End outages after `system_restored`, once all their systems and networks are restored.

    This report or earlier ones may restore them.
    """
    restored_services = set(list_services(row))
    for cause in list_open_causes(draft):
        if cause.type not in (EventType.OUTAGE_IT, EventType.OUTAGE_TELECOM):
            continue
        about = set(list_objects(cause))
        if (
            about & restored_services
            and _has_begun_at(cause, row.occurred_at)
            and all(_is_up(draft, s, cause) for s in about - restored_services)
        ):
            _end_earlier_reports(draft, row, cause, None)


def _is_up(draft: AlertsDecision, system: str, cause: Cause) -> bool:
    """Return whether a system was reported up after the newest report on the cause."""
    flag = draft.state.flags.get(system)
    return flag is not None and flag.value == "up" and flag.since >= cause.last_at


def end_revoked_declarations(
    draft: AlertsDecision, row: ReportRow, earlier: Sequence[ReportRow] = ()
) -> None:
    """End the causes of a revoked declaration; causes of sites stay until the sites report.

    `earlier` are other revocations in force: those of parts of the communes count together.
    """
    name = get_measure_name(row)
    for ids in [sorted(ids) for _, ids in sorted(draft.state.placeless.items())]:
        for cause in (draft.state.causes[c] for c in ids):
            if (
                cause.measure is None
                or cause.measure.name != name
                or not _has_begun_at(cause, row.occurred_at)
            ):
                continue
            things, there = set(list_objects(cause)), list_communes_of_cause(draft, cause)
            if _is_about(draft, row, things, there, _list_since(earlier, cause.last_at)):
                lift_cause(draft, cause, row.occurred_at, row.id)


def is_revoked_by(
    draft: AlertsDecision,
    row: ReportRow,
    declaration: ReportRow,
    earlier: Sequence[ReportRow] = (),
) -> bool:
    """Return whether a revocation is about this declaration: its objects and all its communes.

    Revocations of parts count together. A report of a site, or about one, matches any.
    """
    if get_site(row) is not None or get_site(declaration) is not None:
        return True
    things = set(list_objects(declaration))
    there = frozenset(list_communes(declaration, draft.territory))
    return _is_about(draft, row, things, there, _list_since(earlier, declaration.occurred_at))


def _list_since(rows: Sequence[ReportRow], at: Instant) -> list[ReportRow]:
    return [r for r in rows if r.occurred_at >= at]


def _is_about(
    draft: AlertsDecision,
    row: ReportRow,
    things: set[str],
    there: frozenset[str],
    earlier: Sequence[ReportRow],
) -> bool:
    """Return whether a report, and earlier ones, are about the same objects and all these communes.

    A report that names neither is about all. A declaration for the whole territory does not end
    with some communes, unless the report names its object.
    """
    about, here = set(list_objects(row)), frozenset(list_communes(row, draft.territory))
    if about and things and not about & things:
        return False
    if not here:
        return True
    if not there:
        return bool(about & things) or here >= draft.territory.communes.keys()
    parts = [
        frozenset(list_communes(r, draft.territory))
        for r in earlier
        if not things or not list_objects(r) or not things.isdisjoint(list_objects(r))
    ]
    return there <= here.union(*parts)


def list_communes_of_cause(draft: AlertsDecision, cause: Cause) -> frozenset[str]:
    """Return all communes that the reports of a cause name, or in which they draw an area."""
    rows = _list_placing_reports(draft, cause)
    return frozenset(c for r in rows for c in _list_all_communes(r, draft.territory))


def list_places_of_cause(draft: AlertsDecision, cause: Cause) -> frozenset[str]:
    """Return all communes and sites that the reports of a cause name or draw."""
    rows = _list_placing_reports(draft, cause)
    return frozenset(place for r in rows for place in list_places(r, draft.territory))


def _list_placing_reports(draft: AlertsDecision, cause: Cause) -> list[ReportRow]:
    """Return the reports that say where a cause is.

    An Update that names a place replaces that of the reports that it refers to.
    """
    reports = draft.find_reports(cause.reports)
    replaced_ids = {
        reference
        for r in reports
        if r.msg_type is MsgType.UPDATE
        and _list_all_communes(r, draft.territory)
        and "cancelled" not in r.flags
        for reference in r.references
    }
    return [r for r in reports if r.id not in replaced_ids]


def end_operator_outages(draft: AlertsDecision, incident: str, row: ReportRow) -> None:
    """End the operator's own outages after its all-clear.

    Causes of sites stay until the sites report. Rule D20, operator all-clear.
    """
    for id in sorted(draft.state.placeless.get(EventType.OUTAGE_POWER.value, ())):
        cause = draft.state.causes[id]
        if draft.resolve_incident(cause.incident) == incident and _has_begun_at(
            cause, row.occurred_at
        ):
            lift_cause(draft, cause, row.occurred_at, row.id)

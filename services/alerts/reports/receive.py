"""Apply one report through all rules, in the order of the data flow. Rules D1 to D26."""

from __future__ import annotations

from typing import Any

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.causes import Cause, SilenceChanged
from schemas.realms import is_live
from schemas.reports import ReportReceived
from schemas.words import EventType, IncidentState, MsgType, ReportState
from services.alerts import tasks
from services.alerts.causes import cause_lifecycle, restoration, suppression
from services.alerts.causes.cause_lifecycle import Taken
from services.alerts.causes.site_status import await_all_clear
from services.alerts.decision import Draft
from services.alerts.declarations import flags
from services.alerts.evolve import OPEN
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.correlation import Placement, place
from services.alerts.reference import constants
from services.alerts.reports import entitlement
from services.alerts.reports.corroboration import is_said_already
from services.alerts.reports.late_reports import date_arrival
from services.alerts.reports.report_facts import (
    DENIED,
    claim_key,
    communes_of,
    inside,
    is_confirmed,
    is_placeless,
    measure_name,
    orders_to_leave,
    row_of,
    says_restored,
    site_of,
    speaks_for_site,
)
from services.alerts.rows import changed


def receive(draft: Draft, report: ReportReceived) -> None:
    """Record a new report and all its consequences."""
    told = None if is_live(draft.state.realm) else report.recorded_at
    recorded_at = draft.now if told is None else told
    if report.occurred_at is None:
        came = date_arrival(draft, report.site_id, recorded_at)
        report = changed(report, {"occurred_at": came})
    row = row_of(report, recorded_at, draft.territory)
    row = changed(row, {"references": _resolved(draft, row)})
    if row.confirmation == "unconfirmed" and (_seconds(draft, row) or is_said_already(draft, row)):
        row = changed(row, {"confirmation": "confirmed", "why": (Why(code="confirmed"),)})
    if (name := measure_name(row)) is not None and name not in draft.state.rules.measures_read:
        row = changed(row, {"flags": (*row.flags, "unknown_measure")})
    row, confirmed = entitlement.hold(draft, row)
    for first in confirmed:
        grant(draft, draft.state.reports[first], None)
    apply(draft, row)
    entitlement.ask(draft, row.id)


def _resolved(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """Resolve references to report ids, as far as they are known.

    A sender may use its own ids, or those of the same scenario.
    """
    state, sender = draft.state, row.source_key or row.source
    return tuple(
        r if r in state.reports else state.aliases.get(f"{sender}|{r}") or state.aliases.get(r) or r
        for r in row.references
    )


def apply(draft: Draft, row: ReportRow, *, again: bool = False) -> None:
    """Judge a report.

    `again`: it was judged before with less knowledge, unconfirmed or without a site.
    """
    if again and "planned" in row.flags and inside(row.effective, draft.now):
        row = changed(row, {"flags": tuple(f for f in row.flags if f != "planned")})
    if is_confirmed(row):
        _confirmed(draft, row)
    else:
        _unconfirmed(draft, row)


def _confirmed(draft: Draft, row: ReportRow) -> None:
    if row.msg_type is MsgType.CANCEL:
        _withdraw(draft, row)
    elif row.msg_type is MsgType.UPDATE:
        _answer(draft, row)
    known, replaces = _known(draft, row)
    if known is not None and replaces:
        row = _in_its_windows(row, known)
    before = draft.incident_of(row.id)
    placement = _by_hand(draft, row) or place(row, known, draft)
    incident = incident_lifecycle.enter(draft, row, placement)
    taken = _take(draft, row, incident, known, replaces)
    if (
        taken is not None
        and taken.cause.lifted_at is None
        and suppression.judge(draft, draft.state.causes[taken.cause.id], row).maintenance
    ):
        row = changed(row, {"flags": (*row.flags, "maintenance")})
    if row.type is EventType.REOPENING and row.msg_type is not MsgType.CANCEL and row.held is None:
        row = restoration.reopen(draft, row, incident)
    if orders_to_leave(row):
        restoration.end_shelter(draft, row)
    if incident is not None:
        incident_lifecycle.join(draft, row, incident, taken, incident != before)
    flags.declare(draft, row, incident)
    if taken is not None and taken.outcome == "over":
        draft.ended.append(taken.cause.id)
    if incident is not None:
        zones.extend(draft, row, incident)
    _all_clear(draft, row, incident)
    site = site_of(row)
    if site is not None and speaks_for_site(row):
        draft.words[site] = row.recorded_at
        draft.doubtful.add(site)
    elif incident is not None and measure_name(row) == constants.ALL_CLEAR:
        draft.doubtful.update(await_all_clear(draft, incident))
    if is_placeless(row):
        tasks.ask(draft, "link_site", report=row.id, incident=incident)
    draft.emit(ReportChanged(row=_judged(row, incident, placement, taken)))
    if before is not None and before != incident:
        incident_lifecycle.leave(draft, before, row.id)
    _corroborate(draft, row)


def _by_hand(draft: Draft, row: ReportRow) -> Placement | None:
    """Return the placement that a person gave the report by a merge or a split.

    Judging it again does not undo that decision. Rule D25, merge and split.
    """
    incident = draft.incident_of(row.id)
    moved = (
        incident is not None
        and any(w.code == "D25" for w in row.why)
        and draft.incident(incident).state in OPEN
    )
    return Placement("D25", incident) if moved else None


def _known(draft: Draft, row: ReportRow) -> tuple[Cause | None, bool]:
    """Return the open cause that the report is about, and whether the report replaces its values.

    Only an Update with references replaces values. Rule D3, updates.
    """
    if row.msg_type is MsgType.CANCEL:
        return None, False
    if row.msg_type is MsgType.UPDATE and row.type is not EventType.REOPENING:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            cause = cause_lifecycle.cause_of(draft, told) if told is not None else None
            if cause is not None and (
                row.type not in constants.CAUSE_TYPES or _replaces(row.type, cause.type)
            ):
                return cause, True
    return cause_lifecycle.known_cause(row, draft), False


def _in_its_windows(row: ReportRow, known: Cause) -> ReportRow:
    """Give an Update of an announced cause the same windows, unless it names others.

    Rule D9, planned events.
    """
    if row.type is not known.type or row.effective or not known.windows:
        return row
    return changed(
        row,
        {
            "effective": known.windows,
            "flags": row.flags if known.acting else (*row.flags, "planned"),
        },
    )


def _replaces(new: EventType, old: EventType) -> bool:
    """Return whether an Update of one type replaces a report of the other.

    The types are the same, or two closures: a closed site may be closed in part later. A gas leak
    does not replace a report of damage.
    """
    return new is old or (new in constants.CLOSURES and old in constants.CLOSURES)


def _take(
    draft: Draft, row: ReportRow, incident: str | None, known: Cause | None, replaces: bool
) -> Taken | None:
    if row.msg_type is MsgType.UPDATE:
        _flag_references(draft, row, "superseded")
    if known is not None and replaces:
        if (
            not cause_lifecycle.turns_into_another(draft, row, known)
            or row.occurred_at < known.last_at
        ):
            return cause_lifecycle.replace_values(draft, row, known)
        cause_lifecycle.leave(draft, known, row, row.occurred_at, row.id)
        known = cause_lifecycle.known_cause(row, draft)
    if row.msg_type is MsgType.CANCEL or not cause_lifecycle.makes_cause(row, draft):
        return None
    return cause_lifecycle.take(draft, row, incident, known)


def _judged(
    row: ReportRow, incident: str | None, placement: Placement, taken: Taken | None
) -> ReportRow:
    values: dict[str, Any] = {
        "incident": incident,
        "state": ReportState.APPLIED,
        "reason": None,
        "of": None,
    }
    if taken is not None and taken.outcome == "same":
        values |= {
            "state": ReportState.DUPLICATE,
            "reason": "same_cause",
            "of": taken.cause.reports[0],
        }
    elif taken is not None and taken.outcome == "over":
        values |= {"reason": "over_already"}
    elif taken is not None and taken.outcome == "replaced":
        values |= {"reason": "replaces"}
    code = placement.rule
    if placement.opens is not None and code == "D22":
        code = f"D22:{placement.opens[0]}"
    values["why"] = (
        *(w for w in row.why if not w.code.startswith("D2")),
        Why(code=code, args={"incident": incident} if incident else {}),
    )
    return changed(row, values)


def _all_clear(draft: Draft, row: ReportRow, incident: str | None) -> None:
    """Apply the operator's all-clear to the incident, or revoke it by a later figure.

    It applies to any family of incident that absorbed the power cut. Rules D20 and D22.
    """
    if incident is None or not zones.is_newest_figure(draft, row, incident):
        return
    if says_restored(row):
        zones.all_clear(draft, row, incident)
    elif row.msg_type is not MsgType.CANCEL:
        zones.take_back(draft, incident)


def turn(draft: Draft, id: str) -> None:
    """Apply a due change of a cause: announced reports count inside their windows only.

    Rule D9, planned events.
    """
    cause = draft.state.causes[id]
    announced = [r for r in cause.reports if "planned" in draft.state.reports[r].flags]
    cause_lifecycle.due(draft, cause)
    for row in (draft.state.reports[r] for r in announced):
        if "planned" not in row.flags:
            _count(draft, row)
    incident_lifecycle.recount_customers(draft, cause.reports)


def begin(draft: Draft, report: str) -> None:
    """Start the window of an announced report that makes no cause. Rule D9, planned events."""
    told = draft.state.reports[report]
    row = changed(told, {"flags": tuple(f for f in told.flags if f != "planned")})
    draft.emit(ReportChanged(row=row))
    _count(draft, row)


def _count(draft: Draft, row: ReportRow) -> None:
    if orders_to_leave(row):
        restoration.end_shelter(draft, row)
    incident = draft.incident_of(row.id)
    if incident is not None:
        incident_lifecycle.begin(draft, row, incident)
        zones.extend(draft, row, incident)


def _withdraw(draft: Draft, row: ReportRow) -> None:
    """Apply a cancellation.

    With references: withdraw those reports and lift their causes. Without references: its measure
    or colour is applied elsewhere; a cancellation without either opens a task for a person. Rule
    D3, cancellations.
    """
    if row.references:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            if told is None:
                continue
            if told.confirmation in ("rumour", "unconfirmed"):
                deny(draft, told, None)
                continue
            if (cause := cause_lifecycle.cause_of(draft, told)) is not None:
                restoration.withdraw(draft, cause, row)
            tasks.void(draft, "link_site", told.id, "cancelled")
        _flag_references(draft, row, "cancelled")
        for reference in row.references:
            _hold_again(draft, reference)
            flags.withdraw(draft, reference)
        incident_lifecycle.recount_customers(draft, row.references)
    elif not (row.colour or (row.measure is not None and row.measure.value is not None)):
        tasks.ask(
            draft,
            "link_denial",
            report=row.id,
            site=site_of(row),
            candidates=_rumours_near(draft, row),
        )


def _hold_again(draft: Draft, reference: str) -> None:
    """Restore the site and its closed incidents after a withdrawn reopening or order to leave."""
    told = draft.state.reports.get(reference)
    ends = told is not None and (told.type is EventType.REOPENING or told.type in constants.LEAVE)
    if told is None or not ends or told.confirmation not in ("confirmed", "denied"):
        return
    for cause in restoration.hold_again(draft, told):
        incident = draft.standing(cause.incident)
        if incident is not None and draft.incident(incident).state is IncidentState.CLOSED:
            incident_lifecycle.reopen(draft, incident)


def _answer(draft: Draft, row: ReportRow) -> None:
    """Close the questions about unconfirmed reports that a confirmed Update replaces.

    Rule D3, updates.
    """
    for reference in row.references:
        told = draft.state.reports.get(reference)
        if (
            told is None
            or told.confirmation not in ("unconfirmed", "rumour")
            or "superseded" in told.flags
        ):
            continue
        tasks.void(draft, "verify_report", told.id, "replaced")
        tasks.void(draft, "link_site", told.id, "replaced")
        draft.emit(ReportChanged(row=changed(told, {"flags": (*told.flags, "superseded")})))
        _end_doubt(draft, site_of(told))


def _flag_references(draft: Draft, row: ReportRow, flag: str) -> None:
    for reference in row.references:
        told = draft.state.reports.get(reference)
        if told is None or flag in told.flags or told.confirmation != "confirmed":
            continue
        if flag == "cancelled" or (
            _replaces(row.type, told.type) and row.occurred_at >= told.occurred_at
        ):  # an older Update replaces nothing (D7)
            draft.emit(ReportChanged(row=changed(told, {"flags": (*told.flags, flag)})))


def _rumours_near(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """Return open rumours of the same commune, or without a place, newest first, at most 10."""
    here, found = frozenset(communes_of(row, draft.territory)), list[ReportRow]()
    for id in draft.state.rumours:
        rumour = draft.state.reports[id]
        there = communes_of(rumour, draft.territory)
        if not here or not there or not here.isdisjoint(there):
            found.append(rumour)
    return tuple(r.id for r in sorted(found, key=lambda r: (-r.recorded_at, r.id)))[:10]


def _unconfirmed(draft: Draft, row: ReportRow) -> None:
    """Record an unconfirmed report or a rumour: it opens no incident and counts for nothing.

    An unconfirmed report may join an incident; a rumour stands alone. Rule D6, rumours.
    """
    known = cause_lifecycle.known_cause(row, draft) if row.confirmation == "unconfirmed" else None
    placement = (
        (_by_hand(draft, row) or place(row, known, draft))
        if row.confirmation == "unconfirmed"
        else Placement("D6")
    )
    before, incident = draft.incident_of(row.id), placement.incident
    if incident is not None:
        incident_lifecycle.join(draft, row, incident, None, incident != before)
    why = (
        *row.why,
        Why(
            code=placement.rule if incident else "unconfirmed",
            args={"incident": incident} if incident else {},
        ),
    )
    draft.emit(ReportChanged(row=changed(row, {"incident": incident, "why": why})))
    if before is not None and before != incident:
        incident_lifecycle.leave(draft, before, row.id)
    site = site_of(row)
    if is_placeless(row) and row.confirmation == "unconfirmed":
        tasks.ask(draft, "link_site", report=row.id, incident=incident)
    if row.type in constants.CAUSE_TYPES and (
        row.confirmation == "unconfirmed" or site is not None
    ):
        tasks.ask(draft, "verify_report", report=row.id, site=site, incident=incident)
    if (
        site is None
        or row.confirmation != "unconfirmed"
        or row.type not in constants.CAUSE_TYPES
        or site in draft.state.silences
    ):
        return
    current = any(draft.state.causes[c].acting for c in draft.state.site_causes.get(site, ()))
    if not current and not zones.spoke_since(draft, site, row.occurred_at):
        draft.emit(
            SilenceChanged(site=site, rule="unconfirmed", incident=incident, since=row.occurred_at)
        )
        draft.doubtful.add(site)


def _others(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """Return the unconfirmed reports of other sources that say the same of the same occasion.

    Empty for a cancellation and for a report that all is well.
    """
    if row.msg_type is MsgType.CANCEL or not (
        cause_lifecycle.makes_cause(row, draft)
        or (row.type in constants.ACTING_ALONE and not is_placeless(row))
    ):
        return ()
    said = (
        draft.state.reports[r] for r in draft.state.pending.get(claim_key(row), ()) if r != row.id
    )
    others = (r for r in said if r.source != row.source and r.msg_type is not MsgType.CANCEL)
    return tuple(
        r.id
        for r in others
        if cause_lifecycle.is_same_occasion(r, row) and not _was_calm(draft, r, row)
    )


def _seconds(draft: Draft, row: ReportRow) -> bool:
    """Return whether another source has reported the same and waits for confirmation.

    Rule D6, confirmation.
    """
    return any(draft.state.reports[r].confirmation == "unconfirmed" for r in _others(draft, row))


def _was_calm(draft: Draft, first: ReportRow, second: ReportRow) -> bool:
    """Return whether the site reported between the two reports that all is well.

    Then the trouble of the first report was over, or never was.
    """
    calm = draft.state.calm.get(first.site or "")
    return calm is not None and first.occurred_at < calm <= second.occurred_at


def _corroborate(draft: Draft, row: ReportRow) -> None:
    """Confirm the unconfirmed reports of other sources that the report repeats.

    Rule D6, confirmation.
    """
    for id in _others(draft, row):
        confirm(draft, draft.state.reports[id], None)


def confirm(draft: Draft, told: ReportRow, by: str | None) -> None:
    """Confirm a report and judge it with its own times.

    `by` is the confirming person; None for a second source. A person also confirms the held parts
    of the report; a second source does not. Rule D76, entitled sources.
    """
    if by is not None:
        told = entitlement.release(told)
    why = (
        *(w for w in told.why if w.code != "unconfirmed"),
        Why(code="manual" if by else "confirmed", at=draft.now),
    )
    tasks.void(draft, "verify_report", told.id, "confirmed")
    apply(
        draft,
        changed(told, {"confirmation": "confirmed", "verified_by": by, "why": why}),
        again=True,
    )


def grant(draft: Draft, told: ReportRow, by: str | None) -> None:
    """Confirm the held parts of a confirmed report and judge it again with its own times.

    `by` is the person; None for a second reading. Rule D76, entitled sources.
    """
    why = (*told.why, Why(code="manual" if by else "confirmed", at=draft.now))
    tasks.void(draft, "verify_report", told.id, "confirmed")
    if (cause := cause_lifecycle.cause_of(draft, told)) is not None:
        cause_lifecycle.leave(draft, cause, told, draft.now, DENIED + told.id)
    row = entitlement.release(told)
    apply(draft, changed(row, {"verified_by": by or told.verified_by, "why": why}), again=True)


def deny(draft: Draft, told: ReportRow, by: str | None) -> None:
    """Deny a report by a person, or by a cancellation that names it.

    A confirmed report is withdrawn with its cause, except for the reports of other sources. Rule
    D4, duplicates.
    """
    if (
        told.confirmation == "confirmed"
        and (cause := cause_lifecycle.cause_of(draft, told)) is not None
    ):
        cause_lifecycle.leave(draft, cause, told, draft.now, DENIED + told.id)
    tasks.void(draft, "verify_report", told.id, "denied")
    tasks.void(draft, "link_site", told.id, "denied")
    why = (*told.why, Why(code="manual" if by else "D3", at=draft.now))
    draft.emit(
        ReportChanged(row=changed(told, {"confirmation": "denied", "verified_by": by, "why": why}))
    )
    if told.confirmation == "confirmed":
        _hold_again(draft, told.id)
        flags.withdraw(draft, told.id)
        incident_lifecycle.recount_customers(draft, (told.id,))
    _end_doubt(draft, site_of(told))


def _end_doubt(draft: Draft, site: str | None) -> None:
    """Show the site's status again when its only report was unconfirmed and is settled now."""
    silence = draft.state.silences.get(site) if site is not None else None
    if (
        site is not None
        and silence is not None
        and silence.rule == "unconfirmed"
        and site not in draft.state.doubts
    ):
        draft.emit(SilenceChanged(site=site, rule=None))
        draft.doubtful.add(site)


def link(draft: Draft, told: ReportRow, site: str, by: str) -> None:
    """Link a report to the site that a person names, and apply its effects with the original times.

    A withdrawn report has no effects. Rule D8, unknown sites.
    """
    tasks.void(draft, "link_site", told.id, "linked")
    kept = tuple(f for f in told.flags if f not in ("site_unknown", "area_unknown"))
    row, _ = entitlement.hold(
        draft, changed(told, {"site": site, "flags": kept, "verified_by": by})
    )
    if told.confirmation == "denied" or "cancelled" in kept:
        draft.emit(ReportChanged(row=row))
    else:
        apply(draft, row, again=True)
        entitlement.ask(draft, row.id)

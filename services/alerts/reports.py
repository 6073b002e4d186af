"""One report through all rules: what became of it, in the order in which the data flow (D1–D26)."""

from __future__ import annotations

from typing import Any

from schemas.alerts import Cause, ReportChanged, ReportRow, SilenceChanged, Why
from schemas.realms import is_live
from schemas.reports import ReportReceived
from schemas.words import EventType, MsgType, ReportState
from services.alerts import causes, incidents, quiet, rules, tasks, zones
from services.alerts.causes import Taken
from services.alerts.claims import claim_key, communes_of, is_confirmed, is_placeless, row_of, says_restored, site_of, speaks_for_site
from services.alerts.correlation import Placement, place
from services.alerts.draft import Draft
from services.alerts.flags import declare
from services.alerts.values import changed


def receive(draft: Draft, report: ReportReceived) -> None:
    """Record a report and everything that follows from it. The same id a second time has no effect (D4)."""
    if report.report_id in draft.state.reports:
        return
    told = None if is_live(draft.state.realm) else report.recorded_at
    row = row_of(report, draft.now if told is None else told, draft.territory)
    row = changed(row, {"references": _resolved(draft, row)})
    if row.confirmation == "unconfirmed" and _others(draft, row):
        row = changed(row, {"confirmation": "confirmed", "why": (Why(code="confirmed"),)})
    apply(draft, row)


def _resolved(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """References as report ids; a sender may use its own ids, or those of the same scenario. What is not known stays as it is."""
    state, sender = draft.state, row.source_key or row.source
    return tuple(r if r in state.reports else state.aliases.get(f"{sender}|{r}") or state.aliases.get(r) or r for r in row.references)


def apply(draft: Draft, row: ReportRow, *, again: bool = False) -> None:
    """Judge a report. `again`: it was judged before, under less knowledge (confirmed, linked to a site)."""
    if is_confirmed(row):
        _confirmed(draft, row, again)
    else:
        _unconfirmed(draft, row, again)


# ── confirmed ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _confirmed(draft: Draft, row: ReportRow, again: bool) -> None:
    if row.msg_type is MsgType.CANCEL:
        _withdraw(draft, row)
    known, replaces = _known(draft, row)
    placement = place(row, known, draft)
    incident = incidents.enter(draft, row, placement)
    taken = _take(draft, row, incident, known, replaces)
    if taken is not None and taken.cause.lifted_at is None and quiet.judge(draft, draft.state.causes[taken.cause.id], row).maintenance:
        row = changed(row, {"flags": (*row.flags, "maintenance")})
    if row.type is EventType.REOPENING and row.msg_type is not MsgType.CANCEL:
        causes.reopen(draft, row, incident)
    if incident is not None:
        incidents.join(draft, row, incident, taken, not again or draft.state.reports[row.id].incident != incident)
    declare(draft, row, incident)
    if incident is not None:
        zones.extend(draft, row, incident)
    _all_clear(draft, row, incident)
    site = site_of(row)
    if site is not None and speaks_for_site(row):
        draft.words[site] = row.recorded_at
        draft.doubtful.add(site)
    if is_placeless(row):
        tasks.ask(draft, "link_site", report=row.id, incident=incident)
    draft.emit(ReportChanged(row=_judged(row, incident, placement, taken)))
    _corroborate(draft, row)


def _known(draft: Draft, row: ReportRow) -> tuple[Cause | None, bool]:
    """The open cause that the report is about, and whether it replaces its values (an Update with refs, D3)."""
    if row.msg_type is MsgType.CANCEL:
        return None, False
    if row.msg_type is MsgType.UPDATE and row.type is not EventType.REOPENING:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            if told is not None and (cause := causes.cause_of(draft, told)) is not None:
                return cause, True
    return causes.known_cause(row, draft), False


def _take(draft: Draft, row: ReportRow, incident: str | None, known: Cause | None, replaces: bool) -> Taken | None:
    if known is not None and replaces:
        _flag_references(draft, row, "superseded")
        return causes.replace_values(draft, row, known)
    if row.msg_type is MsgType.CANCEL or not causes.makes_cause(row):
        return None
    return causes.take(draft, row, incident, known)


def _judged(row: ReportRow, incident: str | None, placement: Placement, taken: Taken | None) -> ReportRow:
    values: dict[str, Any] = {"incident": incident, "state": ReportState.APPLIED, "reason": None, "of": None}
    if taken is not None and taken.outcome == "same":
        values |= {"state": ReportState.DUPLICATE, "reason": "same_cause", "of": taken.cause.reports[0]}
    elif taken is not None and taken.outcome == "over":
        values |= {"reason": "over_already"}
    elif taken is not None and taken.outcome == "replaced":
        values |= {"reason": "replaces"}
    code = placement.rule
    if placement.opens is not None and code == "D22":
        code = f"D22:{placement.opens[0]}"
    values["why"] = (*(w for w in row.why if not w.code.startswith("D2")), Why(code=code, args={"incident": incident} if incident else {}))
    return changed(row, values)


def _all_clear(draft: Draft, row: ReportRow, incident: str | None) -> None:
    """D20: the operator says that no customer is cut any more."""
    if incident is not None and says_restored(row) and draft.incident(incident).kind == "power":
        zones.all_clear(draft, row, incident)


# ── cancellations (D3) ─────────────────────────────────────────────────────────────────────────────────────────────


def _withdraw(draft: Draft, row: ReportRow) -> None:
    """With refs: withdraws them, their causes are lifted. Without: a value it carries is applied, otherwise a person links it."""
    if row.references:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            if told is None:
                continue
            if told.confirmation in ("rumour", "unconfirmed"):
                deny(draft, told, None)
                continue
            if (cause := causes.cause_of(draft, told)) is not None:
                causes.lift(draft, cause, row.occurred_at, row.id)
        _flag_references(draft, row, "cancelled")
    elif not (row.colour or (row.measure is not None and row.measure.value is not None)):
        tasks.ask(draft, "link_denial", report=row.id, site=site_of(row), candidates=_rumours_near(draft, row))


def _flag_references(draft: Draft, row: ReportRow, flag: str) -> None:
    for reference in row.references:
        told = draft.state.reports.get(reference)
        if told is not None and flag not in told.flags and told.confirmation == "confirmed":
            draft.emit(ReportChanged(row=changed(told, {"flags": (*told.flags, flag)})))


def _rumours_near(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """Open rumours of the same commune, or of no place; newest first."""
    here, found = frozenset(communes_of(row, draft.territory)), list[ReportRow]()
    for id in draft.state.rumours:
        rumour = draft.state.reports[id]
        there = communes_of(rumour, draft.territory)
        if not here or not there or not here.isdisjoint(there):
            found.append(rumour)
    return tuple(r.id for r in sorted(found, key=lambda r: (-r.recorded_at, r.id)))[:10]


# ── unconfirmed and rumours (D6) ───────────────────────────────────────────────────────────────────────────────────


def _unconfirmed(draft: Draft, row: ReportRow, again: bool) -> None:
    """Opens nothing and counts for nothing. An unconfirmed report may join; a rumour stands alone."""
    known = causes.known_cause(row, draft) if row.confirmation == "unconfirmed" else None
    placement = place(row, known, draft) if row.confirmation == "unconfirmed" else Placement("D6")
    incident = placement.incident
    if incident is not None:
        incidents.join(draft, row, incident, None, not again)
    why = (*row.why, Why(code=placement.rule if incident else "unconfirmed", args={"incident": incident} if incident else {}))
    draft.emit(ReportChanged(row=changed(row, {"incident": incident, "why": why})))
    site = site_of(row)
    if is_placeless(row) and row.confirmation == "unconfirmed":
        tasks.ask(draft, "link_site", report=row.id, incident=incident)
    if row.type in rules.CAUSE_TYPES and (row.confirmation == "unconfirmed" or site is not None):
        tasks.ask(draft, "verify_report", report=row.id, site=site, incident=incident)
    if site is None or row.confirmation != "unconfirmed" or row.type not in rules.CAUSE_TYPES or site in draft.state.silences:
        return
    if not draft.state.site_causes.get(site) and not zones.spoke_since(draft, site, row.occurred_at):
        draft.emit(SilenceChanged(site=site, rule="unconfirmed", incident=incident, since=row.occurred_at))
        draft.doubtful.add(site)


def _others(draft: Draft, row: ReportRow) -> tuple[str, ...]:
    """Unconfirmed reports of other sources that say the same."""
    if site_of(row) is None or row.type not in rules.CAUSE_TYPES:
        return ()
    said = draft.state.pending.get(claim_key(row), ())
    return tuple(r for r in said if r != row.id and draft.state.reports[r].source != row.source)


def _corroborate(draft: Draft, row: ReportRow) -> None:
    """A second independent source confirms what others said unconfirmed (D6)."""
    for id in _others(draft, row):
        confirm(draft, draft.state.reports[id], None)


def confirm(draft: Draft, told: ReportRow, by: str | None) -> None:
    """By a second source or a named person: it is judged as if it had come confirmed, with its own times."""
    why = (*(w for w in told.why if w.code != "unconfirmed"), Why(code="manual" if by else "confirmed", at=draft.now))
    tasks.void(draft, "verify_report", told.id, "confirmed")
    apply(draft, changed(told, {"confirmation": "confirmed", "verified_by": by, "why": why}), again=True)


def deny(draft: Draft, told: ReportRow, by: str | None) -> None:
    """Denied by a person, or by a cancellation that names it. A confirmed one is withdrawn with its cause."""
    if told.confirmation == "confirmed" and (cause := causes.cause_of(draft, told)) is not None:
        causes.lift(draft, cause, draft.now, f"denied:{told.id}")
    tasks.void(draft, "verify_report", told.id, "denied")
    why = (*told.why, Why(code="manual" if by else "D3", at=draft.now))
    draft.emit(ReportChanged(row=changed(told, {"confirmation": "denied", "verified_by": by, "why": why})))
    site = site_of(told)
    silence = draft.state.silences.get(site) if site is not None else None
    if site is not None and silence is not None and silence.rule == "unconfirmed" and site not in draft.state.doubts:
        draft.emit(SilenceChanged(site=site, rule=None))
        draft.doubtful.add(site)


def link(draft: Draft, told: ReportRow, site: str, by: str) -> None:
    """D8: a person says which site was meant; effects apply with the original times."""
    tasks.void(draft, "link_site", told.id, "linked")
    flags = tuple(f for f in told.flags if f not in ("site_unknown", "area_unknown"))
    apply(draft, changed(told, {"site": site, "flags": flags, "verified_by": by}), again=True)

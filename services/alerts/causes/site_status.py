"""Derive the status and marks of a site from its acting causes, its last report and its silence.

Rules D14 and D29.
"""

from typing import Any, Final, TypeVar

from schemas.alerts import (
    CauseRow,
    Headcount,
    SiteContact,
    SiteReported,
    SiteRow,
    SiteStatusChanged,
    Why,
)
from schemas.base import Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.catalogue.sources import MANAGER
from schemas.crisis.causes import Cause, SilenceChanged, SiteMarked
from schemas.words import Certainty
from schemas.words import EventType as T
from schemas.words import SiteStatus as S
from services.alerts.causes.cause_impact import CauseImpact, is_sustained
from services.alerts.decision import AlertsDecision, Order, SiteDanger, cancel_task, open_task
from services.alerts.incidents import zones
from services.alerts.reference.territory import (
    ALL_CLEAR_MEASURE,
    CLOSURE_TYPES,
    HEADCOUNT_DUE_MS,
    HEADCOUNT_MEASURE,
    ORDER_TYPES,
)
from services.alerts.reports.report_facts import find_start, is_withdrawn
from services.alerts.state import SiteSilence
from services.runtime.decider.maps import Map

_CauseOrWhy = TypeVar("_CauseOrWhy", CauseRow, Why)
_FLAGS = ("contested", "overdue", "maintenance")
_UNMARKED: Map[str, tuple[str, ...]] = Map()
LIFTED: Final = "lifted"
"""Order that ends the one before it."""
_PRECEDENCE = {
    S.EVACUATED: 4,
    S.SHELTERING: 4,
    S.CLOSED: 3,
    S.DEGRADED: 2,
    S.UNKNOWN: 1,
    S.NORMAL: 0,
}


def judge_site(draft: AlertsDecision, site_id: str) -> None:
    """Write the site's row and its marks, if they changed."""
    state = draft.state
    old, word = state.sites.get(site_id), draft.words.get(site_id)
    impacts = state.rules.shown.of(
        state.realm,
        site_id,
        draft.territory.sites.get(site_id),
        (state.causes[c] for c in state.site_causes.get(site_id, ())),
    )
    silence = state.silences.get(site_id)
    if word is not None and silence is not None and zones.is_silence_over(draft, silence, word):
        draft.emit(SilenceChanged(site=site_id, rule=None))
        cancel_task(draft, "verify_site", site_id, "spoke")
    _doubt_again(draft, site_id, word)
    row = _build_row(draft, site_id, impacts, old, word)
    _write_marks(draft, site_id, _list_marks(draft, site_id, impacts, old))
    if old is None or not _is_same_status(row, old):
        draft.emit(SiteStatusChanged(row=row))
    _propose_headcount(draft, row, old)
    _note_order(draft, row, old)
    _note_danger(draft, row, old)
    if old is not None and row.last_word_at is not None and row.last_word_at != old.last_word_at:
        draft.emit(SiteReported(row=SiteContact(id=site_id, last_word_at=row.last_word_at)))


def _doubt_again(draft: AlertsDecision, site_id: str, word: Instant | None) -> None:
    """Show a site as unknown if only unconfirmed reports of it are left. Rule D6."""
    state = draft.state
    if site_id in state.silences or any(
        state.causes[c].acting for c in state.site_causes.get(site_id, ())
    ):
        return
    waiting_reports = [
        r
        for r in draft.find_reports(state.doubts.get(site_id, ()))
        if not zones.has_reported_since(draft, site_id, r.occurred_at)
        and (word is None or word < r.occurred_at)
    ]
    if waiting_reports:
        first = min(waiting_reports, key=lambda r: (r.occurred_at, r.id))
        draft.emit(
            SilenceChanged(
                site=site_id,
                rule="unconfirmed",
                incident=draft.incident_of(first.id),
                since=first.occurred_at,
            )
        )


def _is_same_status(row: SiteRow, old: SiteRow) -> bool:
    """Return whether status and reasons are unchanged.

    One more report on a known cause changes neither; a withdrawn report may.
    """
    if len(row.causes) != len(old.causes) or len(row.why) != len(old.why):
        return False
    causes = tuple(
        a if a is b else _limit_reports(a, b) for a, b in zip(row.causes, old.causes, strict=True)
    )
    why = tuple(
        a if a is b else _limit_reports(a, b) for a, b in zip(row.why, old.why, strict=True)
    )
    return old == copy_with(row, {"causes": causes, "why": why, "last_word_at": old.last_word_at})


def _limit_reports(now: _CauseOrWhy, old: _CauseOrWhy) -> _CauseOrWhy:
    """Return the current row with as many of its first reports as before."""
    values: dict[str, Any] = {"reports": now.reports[: len(old.reports)]}
    if isinstance(old, CauseRow):
        values["reports_count"] = old.reports_count
    return copy_with(now, values)


def _write_marks(draft: AlertsDecision, site_id: str, marks: dict[str, tuple[str, ...]]) -> None:
    """Write the marks of a site, and note for the predicates which counts moved."""
    old = draft.state.marks.get(site_id, _UNMARKED)
    if "out" in marks or "out" in old:
        draft.touch(f"out:{draft.territory.kind(site_id)}")
    if marks == dict(old):
        return
    for mark in marks.keys() | old.keys():
        if marks.get(mark) != old.get(mark):
            draft.touch(f"mark:{mark}")
    draft.emit(SiteMarked(site=site_id, marks=marks))
    draft.concerned.update(i for incidents in marks.values() for i in incidents)


def _build_row(
    draft: AlertsDecision,
    site_id: str,
    impacts: list[CauseImpact],
    old: SiteRow | None,
    word: Instant | None,
) -> SiteRow:
    site, silence = draft.territory.sites.get(site_id), draft.state.silences.get(site_id)
    causes = [s.cause for s in impacts]
    acting = [s for s in impacts if s.cause.acting]
    if silence is None:
        status, by = _derive_status(acting)
    else:  # silence overrides the status of that same outage (D14)
        status, by = _derive_status(
            [s for s in acting if not zones.is_hidden(draft, silence, s.cause)]
        )
        if _PRECEDENCE[status] < _PRECEDENCE[S.DEGRADED]:
            status, by = S.UNKNOWN, []
    if status is S.UNKNOWN and silence is not None:
        why: tuple[Why, ...] = (
            Why(
                code=silence.rule,
                at=silence.since,
                args={"incident": silence.incident} if silence.incident else {},
            ),
        )
    elif by:
        gravest = max(by, key=lambda c: (c.severity, -c.since, c.id))
        why = (
            Why(
                code=f"D14:{status.value}",
                args={"type": gravest.type.value},
                at=gravest.since,
                reports=gravest.reports[:5],
            ),
        )
    else:
        why = ()
    sustained_causes = (c for c in by if is_sustained(c, site))
    why += tuple(Why(code="generator", at=c.since, reports=c.reports[:5]) for c in sustained_causes)
    effective = [s.cause for s in acting]
    why += tuple(
        Why(code="contested", at=c.since, args={"type": c.type.value}, reports=c.reports[:5])
        for c in effective
        if c.contested
    )
    why += tuple(
        Why(code="D64", at=c.since, args={"type": c.type.value, "by": list(c.maintenance)})
        for c in effective
        if c.maintenance
    )
    why += tuple(
        Why(code="D65", at=c.since, args={"type": c.type.value})
        for c in effective
        if c.inhibited_by
    )
    flags = tuple(name for name in _FLAGS if any(getattr(c, name) for c in causes))
    last = old.last_word_at if old else None
    since = _find_status_start(draft, status, by, old, silence)
    leave_causes = _list_leave_order_causes(acting)
    left_at = min((find_start(c, draft.now) for c in leave_causes), default=None)
    return SiteRow(
        id=site_id,
        status=status,
        since=since,
        capacity_pct=round(100.0 - max((s.loss for s in acting), default=0.0), 1),
        causes=tuple(s.row for s in sorted(impacts, key=lambda s: (s.cause.since, s.cause.id))),
        why=why,
        last_word_at=last if word is None else max(word, last or 0),
        flags=flags,
        lifted_at=_find_last_lift(draft, old),
        left_at=None if status is S.EVACUATED else left_at,
        headcount=None if left_at is None else _find_headcount(draft, site_id, left_at),
        all_clear_at=None
        if left_at is None
        else _find_all_clear(draft, site_id, leave_causes, left_at),
    )


def _propose_headcount(draft: AlertsDecision, row: SiteRow, old: SiteRow | None) -> None:
    """Ask for a headcount when people leave a site or shelter there.

    The task ends once somebody counts them, or the order is over. Rule D79, headcount.
    """
    order = row.order
    if (
        order is None
        or row.all_clear_at is not None
        or _find_headcount(draft, row.id, row.left_at or row.since) is not None
    ):
        cancel_task(draft, "headcount", row.id, "over" if order is None else "counted")
    elif old is None or old.order is not order:
        incident = next((cause.incident for cause in row.causes if cause.effect is order), None)
        open_task(
            draft, "headcount", site=row.id, incident=incident, due_at=draft.now + HEADCOUNT_DUE_MS
        )


def _note_order(draft: AlertsDecision, row: SiteRow, old: SiteRow | None) -> None:
    """Note an order to leave or to shelter that begins or ends, unless the manager gave it."""
    before = old.order if old is not None else None
    if row.order is before:
        return
    if row.order is not None:
        causes, status, code = row.causes, row.order, row.order.value
    elif before is not None and old is not None:
        causes, status, code = old.causes, before, LIFTED
    else:
        return
    cause = next(
        (c for c in causes if c.effect is status and c.certainty is Certainty.CONFIRMED), None
    )
    if cause is not None and cause.incident is not None and not _is_own_word(cause):
        source = next((one for one in cause.sources if one != MANAGER), None)
        ended_order = status.value if code == LIFTED else None
        draft.orders[row.id] = Order(cause.incident, code, cause.since, source, ended_order)


def _note_danger(draft: AlertsDecision, row: SiteRow, old: SiteRow | None) -> None:
    """Note a danger to people that begins at a site, or the end of the last one, told by others.

    The end of an order tells of the end of a danger beside it.
    """
    old_dangers = [c for c in old.causes if _is_danger(c)] if old is not None else []
    dangers, old_ids = [c for c in row.causes if _is_danger(c)], {c.id for c in old_dangers}
    is_over = not dangers and row.order is None
    changes = old_dangers if is_over else [c for c in dangers if c.id not in old_ids]
    for cause in changes:
        if (
            cause.incident is not None
            and MANAGER not in cause.sources
            and not (is_over and _is_ended_by_manager(draft, cause.id))
        ):
            at = min(c.since for c in changes) if is_over else cause.since
            source = next(iter(cause.sources), None)
            draft.site_dangers[row.id] = SiteDanger(cause.incident, cause.type, at, source, is_over)


def _is_ended_by_manager(draft: AlertsDecision, cause: str) -> bool:
    report = draft.state.reports.get(draft.state.causes[cause].lifted_by or "")
    return report is not None and report.source == MANAGER


def _is_danger(cause: CauseRow) -> bool:
    """Return whether people are in danger now, by a confirmed cause that is no order to them."""
    return (
        cause.certainty is Certainty.CONFIRMED
        and not cause.planned
        and cause.effect not in (S.EVACUATED, S.SHELTERING)
        and endangers_people(cause.type, cause.severity)
    )


def _is_own_word(cause: CauseRow) -> bool:
    """Return whether nobody but the manager has said it."""
    return set(cause.sources) == {MANAGER}


def _find_headcount(draft: AlertsDecision, site_id: str, since: Instant) -> Headcount | None:
    """Return the newest count of the people of a site since they left it. Rules D37 and D78.

    0 of 0 is a count: at night nobody was there.
    """
    reading = draft.state.readings.get(f"{HEADCOUNT_MEASURE}|{site_id}")
    if reading is None or reading.value_of is None or reading.occurred_at < since:
        return None
    return Headcount(
        found=round(reading.value),
        expected=round(reading.value_of),
        at=reading.occurred_at,
        report=reading.report,
    )


def _find_all_clear(
    draft: AlertsDecision, site_id: str, by: list[Cause], since: Instant
) -> Instant | None:
    """Return the time of the all-clear for the site or its whole incident since its people left.

    Rule D78, nobody leaves.
    """
    incidents = {draft.resolve_incident(cause.incident) for cause in by}
    prefix = f"{ALL_CLEAR_MEASURE}|"
    keys = sorted(key for key in draft.state.readings if key.startswith(prefix))
    for key in keys:
        reading, place = draft.state.readings[key], key.removeprefix(prefix)
        if not reading.value or reading.occurred_at < since:
            continue
        report = draft.state.reports.get(reading.report)
        everywhere = (
            report is not None
            and report.site is None
            and draft.incident_of(reading.report) in incidents
        )
        if place == site_id or everywhere:
            return reading.occurred_at
    return None


def list_evacuated_sites(draft: AlertsDecision, incident: str) -> list[str]:
    """Return the sites of an incident that people left: an all-clear without a site is for all."""
    members = draft.incident(incident).members
    return [
        site
        for site in members
        if (row := draft.state.sites.get(site)) is not None and row.order is S.EVACUATED
    ]


def _find_last_lift(draft: AlertsDecision, old: SiteRow | None) -> Instant | None:
    """Return when the last of the causes that the site showed ended; else the former time."""
    if old is None:
        return None
    ends = (draft.state.causes[row.id].lifted_at for row in old.causes)
    return max((at for at in ends if at is not None), default=old.lifted_at)


def _find_newest_order(acting: list[CauseImpact]) -> CauseImpact | None:
    """Return the latest order to leave or to shelter. Rule D5, contradictions.

    If two have the very same time, the one heard of last stands; it is contested.
    """
    orders = (s for s in acting if s.cause.type in ORDER_TYPES)
    return max(orders, key=lambda s: (s.cause.last_at, s.cause.known_at, s.cause.id), default=None)


def _list_leave_order_causes(acting: list[CauseImpact]) -> list[Cause]:
    """Return the causes of the order to leave that stands; none if people shelter since."""
    newest = _find_newest_order(acting)
    if newest is None or newest.effect is not S.EVACUATED:
        return []
    return [s.cause for s in acting if s.effect is S.EVACUATED]


def _derive_status(acting: list[CauseImpact]) -> tuple[S, list[Cause]]:
    """Return the status by precedence, and the causes that give it.

    The latest of several orders stands (rule D5). A later closure of a site that people left turns
    it into `closed`; nobody who shelters leaves because the site is closed.
    """
    newest = _find_newest_order(acting)
    if newest is not None:
        orders = [s for s in acting if s.cause.type in ORDER_TYPES]
        closures = [
            s.cause
            for s in acting
            if newest.effect is S.EVACUATED
            and s.cause.type is T.CLOSURE
            and s.cause.last_at > newest.cause.last_at
        ]
        if not closures:
            return newest.effect, [s.cause for s in orders if s.effect is newest.effect]
        return S.CLOSED, closures
    status = max((s.effect for s in acting), key=lambda e: _PRECEDENCE[e], default=S.NORMAL)
    return (
        (status, [s.cause for s in acting if s.effect is status])
        if status is not S.NORMAL
        else (S.NORMAL, [])
    )


def _find_status_start(
    draft: AlertsDecision,
    status: S,
    by: list[Cause],
    old: SiteRow | None,
    silence: SiteSilence | None,
) -> Instant:
    """Return the start of the status: that of its causes, of the silence, or the last lift."""
    if by:
        return min(find_start(c, draft.now) for c in by)
    if old is not None and old.status is status:
        return old.since
    if status is S.UNKNOWN and silence is not None:
        return silence.since
    ends = (draft.state.causes[row.id].lifted_at for row in (old.causes if old else ()))
    return max((at for at in ends if at is not None), default=draft.now)


def _list_marks(
    draft: AlertsDecision, site_id: str, impacts: list[CauseImpact], old: SiteRow | None
) -> dict[str, tuple[str, ...]]:
    horizon_ms = draft.state.rules.horizon_ms
    marks: dict[str, set[str]] = {}
    for one in impacts:
        cause = one.cause
        names = one.marks if cause.acting and not cause.maintenance else ()
        if (
            cause.type in CLOSURE_TYPES
            and not cause.maintenance
            and _is_within_horizon(cause, draft.now, horizon_ms)
        ):
            names = (*names, "closing")
        incident = draft.resolve_incident(cause.incident)
        for name in names:
            incidents = marks.setdefault(name, set())
            if incident is not None:
                incidents.add(incident)
    still_open = {s.cause.id for s in impacts}
    _mark_restored(
        draft,
        site_id,
        marks,
        [row.id for row in (old.causes if old else ()) if row.id not in still_open],
    )
    return {name: tuple(sorted(incidents)) for name, incidents in sorted(marks.items())}


def _mark_restored(
    draft: AlertsDecision, site_id: str, marks: dict[str, set[str]], cause_ids: list[str]
) -> None:
    """Mark lifted causes as restored while their incident is open; withdrawn ones do not count."""
    were = (draft.state.causes[id] for id in cause_ids)
    restored_marks = {
        f"cause:{c.type.value}" for c in were if c.lifted_at is not None and not is_withdrawn(c)
    }
    for name, incidents in draft.state.marks.get(site_id, _UNMARKED).items():
        type_ = name.partition(":")[2]
        if (name in restored_marks or name.startswith("lifted:")) and f"cause:{type_}" not in marks:
            still = {
                i
                for i in incidents
                if (s := draft.resolve_incident(i)) is not None and s in draft.open_incidents
            }
            if still:
                marks[f"lifted:{type_}"] = still


def _is_within_horizon(cause: Cause, now: Instant, horizon: Instant) -> bool:
    """Return whether a cause acts, or starts within the horizon of a metric.

    Rule D9, planned events.
    """
    return cause.acting or any(
        w.start - horizon <= now < (w.end if w.end is not None else now + 1) for w in cause.windows
    )

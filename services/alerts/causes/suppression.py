"""Suppress alerts during planned works, and alerts that a known cause explains.

Suppressed causes stay visible; danger to people is never suppressed. A cause is suppressed together
with its reports. An incident is suppressed while all its reports are, and calls people as soon as
one is not, or an official declaration of it holds. Rules D64, maintenance windows, and D65,
inhibition.

When a window begins, pauses or ends, its causes are judged again, in batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from schemas.alerts import FlagChanged, ReportRow, Why
from schemas.base import HOUR_MS, MINUTE_MS, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause
from schemas.crisis.maintenance import Coverage, LeaseChanged, MaintenanceChanged, MaintenanceRow
from schemas.recurrence import find_occurrence, parse_rule
from services.alerts.causes import cause_lifecycle as causes
from services.alerts.decision import AlertsDecision, sort_by_id
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.reference.territory import TerritoryIndex
from services.alerts.reports.report_facts import is_ill
from services.alerts.rows import SuppressionReason

RULE_OF_REASON = {"maintenance": "D64", "inhibited": "D65"}
"""Reason of the suppression → code of the rule."""
CAUSES_PER_DEADLINE: Final = 25
"""Causes that one deadline judges: their effects must fit into one Transaction."""


def _is_dangerous(cause: Cause) -> bool:
    """Return whether people are or may be in danger: then nothing suppresses the cause."""
    return endangers_people(cause.type, cause.severity) or is_ill(cause)


def is_cause_covered(covers: Coverage, cause: Cause, territory: TerritoryIndex) -> bool:
    """Return whether the window is about causes of this type at this place."""
    if covers.types and cause.type not in covers.types:
        return False
    if not (covers.sites or covers.kinds or covers.poles):
        return True
    site = territory.sites.get(cause.site) if cause.site is not None else None
    return (
        site is not None
        and (not covers.sites or site.id in covers.sites)
        and (not covers.kinds or site.kind in covers.kinds)
        and (not covers.poles or site.pole in covers.poles)
    )


def is_report_covered(covers: Coverage, row: ReportRow) -> bool:
    """Return whether the window is about reports of this sender with these labels."""
    covers_source = (
        not covers.sources
        or row.source in covers.sources
        or (row.source_key is not None and row.source_key in covers.sources)
    )
    return covers_source and all(m.matches(row.labels) for m in covers.matchers)


def _find_covering_windows(
    draft: AlertsDecision, cause: Cause, more: ReportRow | None
) -> tuple[str, ...]:
    """Return the windows that together cover every report of a cause.

    Empty if a report is not covered, or people may be in danger.
    """
    state = draft.state
    if not state.active_windows or _is_dangerous(cause):
        return ()
    windows = [(w, state.maintenance[w].covers) for w in state.active_windows]
    windows = [
        (w, covers) for w, covers in windows if is_cause_covered(covers, cause, draft.territory)
    ]
    if not windows:
        return ()
    covering_ids: set[str] = set()
    for id in cause.reports:
        row = state.reports.get(id) or (more if more is not None and more.id == id else None)
        if row is None:
            continue
        by = [w for w, covers in windows if is_report_covered(covers, row)]
        if not by:
            return ()
        covering_ids.update(by)
    return tuple(sorted(covering_ids))


def _list_explaining_causes(draft: AlertsDecision, site: str) -> list[Cause]:
    """Return the open causes at a site that may explain others."""
    types = draft.state.rules.inhibiting
    return (
        [
            c
            for c in (draft.state.causes[i] for i in draft.state.site_causes.get(site, ()))
            if c.type in types
        ]
        if types
        else []
    )


def _find_inhibitor(draft: AlertsDecision, cause: Cause, there: Sequence[Cause]) -> str | None:
    """Return the open cause on the same site that explains this one.

    It is at least as grave, and began at about the same time.
    """
    if not there:
        return None
    policy, site = (
        draft.territory.policy,
        draft.territory.sites.get(cause.site) if cause.site is not None else None,
    )
    if policy is None or site is None or _is_dangerous(cause):
        return None
    for rule in policy.inhibitions:
        if cause.type not in rule.consequences or site.kind in rule.except_kinds:
            continue
        earliest, latest = -rule.before_min * MINUTE_MS, int(rule.within_h * HOUR_MS)
        inhibitors = [
            c.id
            for c in there
            if c.type is rule.cause
            and c.id != cause.id
            and c.acting
            and c.severity >= cause.severity
            and earliest <= cause.since - c.since <= latest
        ]
        if inhibitors:
            return min(inhibitors)
    return None


def compute_suppression(
    draft: AlertsDecision, cause: Cause, more: ReportRow | None = None
) -> tuple[tuple[str, ...], str | None]:
    """Return the windows that cover the cause and the cause that explains it, as of now."""
    windows = _find_covering_windows(draft, cause, more)
    return windows, None if windows or cause.site is None else _find_inhibitor(
        draft, cause, _list_explaining_causes(draft, cause.site)
    )


def update_suppression(draft: AlertsDecision, cause: Cause, more: ReportRow | None = None) -> Cause:
    """Record whether the cause is suppressed now.

    `more` is a report of it that is not recorded yet.
    """
    windows, inhibitor = compute_suppression(draft, cause, more)
    if (windows, inhibitor) == (cause.maintenance, cause.inhibited_by):
        return cause
    new = causes.record_cause(
        draft, copy_with(cause, {"maintenance": windows, "inhibited_by": inhibitor})
    )
    draft.concerned.update(i for i in (draft.resolve_incident(cause.incident),) if i is not None)
    draft.touch("metrics")
    incident_lifecycle.recount_customers(draft, new.reports)
    _update_flags(draft, new)
    return new


def _update_flags(draft: AlertsDecision, cause: Cause) -> None:
    """Exclude declarations that rest on covered reports alone from the predicates."""
    report_ids = set(cause.reports)
    for row in sort_by_id(draft.state.flags.values()):
        if report_ids.isdisjoint(row.reports):
            continue
        is_planned = all(draft.state.hushed.get(r) == "maintenance" for r in row.reports)
        if is_planned is not row.maintenance:
            draft.emit(FlagChanged(row=copy_with(row, {"maintenance": is_planned})))


def suppress_alerts(draft: AlertsDecision) -> None:
    """Judge every changed cause and those that it explains, then the incidents that hold them."""
    for id in draft.stirred:
        cause = draft.state.causes[id]
        if cause.lifted_at is None:
            cause = update_suppression(draft, cause)
        if cause.site is not None and cause.type in draft.state.rules.inhibiting:
            for other in draft.state.site_causes.get(cause.site, ()):
                update_suppression(draft, draft.state.causes[other])
    draft.stirred.clear()
    for incident in draft.moved_incidents:
        _update_incident(draft, incident)
    _update_leases(draft)


def _derive_reason(draft: AlertsDecision, incident: str) -> SuppressionReason | None:
    active_count, covered_count, inhibited_count = draft.state.voices.get(incident, (0, 0, 0))
    if active_count or not (covered_count or inhibited_count):
        return None
    if draft.incident(incident).danger or draft.is_declared(incident):
        return None
    return "inhibited" if inhibited_count else "maintenance"


def _update_incident(draft: AlertsDecision, incident: str) -> None:
    """Update whether an incident is suppressed."""
    row, quiet = draft.incident(incident), _derive_reason(draft, incident)
    if quiet == row.quiet:
        return
    why = tuple(w for w in row.why if w.code not in RULE_OF_REASON.values())
    if quiet is not None:
        why = (
            *why,
            Why(
                code=RULE_OF_REASON[quiet],
                at=draft.now,
                args={"by": list(list_suppressors(draft, incident))},
            ),
        )
    draft.alter(incident, "quiet" if quiet else "loud", quiet=quiet, why=why, updated_at=draft.now)
    incident_lifecycle.recount_customers(draft, draft.state.figures.get(incident, ()))
    if row.quiet == "maintenance":
        zones.restart_silence_delay(draft, incident)
    draft.turned.add(incident)


def list_suppressors(draft: AlertsDecision, incident: str) -> tuple[str, ...]:
    """Return the windows and causes that suppress an incident, at most 20.

    Walks over its reports: call it only when the suppression changes or a call is withheld.
    """
    state, suppressors = draft.state, set[str]()
    for report in state.incident_reports.get(incident, ()):
        if report in state.hushed:
            row = state.reports[report]
            for id in _list_causes_of_report(draft, row):
                cause = state.causes[id]
                suppressors.update(
                    cause.maintenance or ((cause.inhibited_by,) if cause.inhibited_by else ())
                )
    return tuple(sorted(suppressors))[:20]


def _list_causes_of_report(draft: AlertsDecision, row: ReportRow) -> Iterable[str]:
    there = (
        draft.state.site_causes.get(row.site or "", ())
        if row.site is not None
        else draft.state.placeless.get(row.type.value, ())
    )
    return [c for c in there if row.id in draft.state.causes[c].reports]


def _update_leases(draft: AlertsDecision) -> None:
    """Record on leases whether their alerts are silenced or inhibited, for the Alertmanager API."""
    start = draft.hushed_before
    if draft.state.hushed is start:
        return
    for lease in sort_by_id(draft.state.leases.values()):
        now = draft.state.hushed.get(lease.claim)
        if now != lease.quiet or (now is not None and start.get(lease.claim) is None):
            row = draft.state.reports.get(lease.claim)
            causes = (
                [draft.state.causes[c] for c in _list_causes_of_report(draft, row)]
                if row is not None
                else []
            )
            by = tuple(
                dict.fromkeys(
                    x for c in causes for x in (c.maintenance or _find_explaining_report(draft, c))
                )
            )
            draft.emit(
                LeaseChanged(row=copy_with(lease, {"quiet": now, "quiet_by": by if now else ()}))
            )


def _find_explaining_report(draft: AlertsDecision, cause: Cause) -> tuple[str, ...]:
    by = draft.state.causes.get(cause.inhibited_by or "")
    return by.reports[:1] if by is not None else ()


def compute_window_state(draft: AlertsDecision, row: MaintenanceRow) -> MaintenanceRow:
    """Return the window as of now: state, current or next occurrence, and next change."""
    occurrence = None
    if row.over_at is None:
        occurrence = find_occurrence(
            row.starts_at, row.ends_at, parse_rule(row.rrule) if row.rrule else None, draft.now
        )
    if occurrence is None:
        return copy_with(
            row,
            {
                "state": "over",
                "begins_at": None,
                "until_at": None,
                "next_at": None,
                "over_at": row.over_at or draft.now,
            },
        )
    active = occurrence.start <= draft.now
    return copy_with(
        row,
        {
            "state": "active" if active else "planned",
            "begins_at": occurrence.start,
            "until_at": occurrence.end,
            "next_at": occurrence.end if active else occurrence.start,
        },
    )


def record_window(draft: AlertsDecision, row: MaintenanceRow, change: str) -> None:
    """Record a window that a person planned or changed.

    Its next deadline is due at once and judges the causes that it covers.
    """
    new = copy_with(compute_window_state(draft, row), {"sweep": row.sweep + 1})
    draft.emit(MaintenanceChanged(row=copy_with(new, {"next_at": draft.now}), change=change))


def on_window_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due deadline: the window begins, pauses, ends, or judges its next batch of causes."""
    old = draft.state.maintenance[id]
    row = copy_with(compute_window_state(draft, old), {"sweep": old.sweep + 1})
    draft.emit(MaintenanceChanged(row=row, change=_name_change(old, row)))
    outdated_causes = list(_list_outdated_causes(draft, row))
    draft.stirred.update(dict.fromkeys(c.id for c in outdated_causes[:CAUSES_PER_DEADLINE]))
    draft.doubtful.update(
        c.site for c in outdated_causes[:CAUSES_PER_DEADLINE] if c.site is not None
    )
    if len(outdated_causes) > CAUSES_PER_DEADLINE:
        draft.emit(
            MaintenanceChanged(
                row=copy_with(row, {"next_at": draft.now, "sweep": row.sweep + 1}), change="sweep"
            )
        )


def _name_change(old: MaintenanceRow, new: MaintenanceRow) -> str:
    if new.state == old.state and new.begins_at == old.begins_at:
        return "sweep"
    return {"active": "begun", "planned": "paused", "over": "over"}[new.state]


def _list_outdated_causes(draft: AlertsDecision, row: MaintenanceRow) -> Iterator[Cause]:
    """Yield the open causes with a coverage by this window that is not up to date.

    Walks over all causes: windows begin and end rarely.
    """
    state = draft.state
    for ids in (
        *(ids for _, ids in sorted(state.site_causes.items())),
        *(sorted(ids) for _, ids in sorted(state.placeless.items())),
    ):
        for cause in (state.causes[c] for c in ids):
            is_concerned = row.id in cause.maintenance or is_cause_covered(
                row.covers, cause, draft.territory
            )
            if is_concerned and compute_suppression(draft, cause) != (
                cause.maintenance,
                cause.inhibited_by,
            ):
                yield cause

"""Incidents: how they open, grow, move reports, reopen and close. Rules D24 and D26."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from schemas.alerts import IncidentRow, ReportChanged, ReportRow, Why
from schemas.base import Instant
from schemas.causes import Cause
from schemas.realms import parse_realm
from schemas.words import Certainty, EventType, IncidentState, Level, MsgType
from services.alerts.causes.cause_lifecycle import Taken
from services.alerts.decision import Draft
from services.alerts.evolve import OPEN
from services.alerts.incidents import zones
from services.alerts.incidents.correlation import Placement
from services.alerts.incidents.danger import is_new_danger
from services.alerts.incidents.families import own_key
from services.alerts.reference import constants
from services.alerts.reference.calendar import day_of
from services.alerts.reports.report_facts import (
    all_over,
    as_instant,
    as_number,
    awaits_its_value,
    communes_of,
    is_confirmed,
    measure_name,
    site_of,
    speaks_for_site,
)
from services.alerts.rows import changed

MOVED_AT_ONCE: Final = 60
"""Reports of a merged incident that one Transaction moves.

The size of a Transaction is limited, and an incident of weeks has hundreds of reports.
"""


def enter(draft: Draft, row: ReportRow, placement: Placement) -> str | None:
    """Return the incident of a placement, opening it if it is new.

    An incident that holds only this report takes the new key instead. Rule D8, unknown sites.
    """
    if placement.opens is None:
        return placement.incident
    kind, key = placement.opens
    if kind == "power":
        key = (
            f"cluster:{next(iter(communes_of(row, draft.territory)), '') or site_of(row) or row.id}"
        )
    if (own := _alone(draft, row.id)) is not None:
        return draft.alter(own, "report", kind=kind, key=key).id
    incident = IncidentRow(
        id=draft.derive("incident"),
        number=_number(draft, row),
        kind=kind,
        key=key,
        state=IncidentState.OPEN,
        level=Level.N0,
        severity=0,
        certainty=Certainty.CONFIRMED,
        opened_at=row.occurred_at,
        known_at=row.recorded_at,
        updated_at=draft.now,
        version=0,
        last_at=row.occurred_at,
    )
    draft.put_incident(incident, "opened")
    return incident.id


def _alone(draft: Draft, report: str) -> str | None:
    """Return the open incident of a report that was judged before, if it holds no other report."""
    incident = draft.incident_of(report)
    if incident is None or draft.incident(incident).state not in OPEN:
        return None
    return incident if set(draft.state.incident_reports.get(incident, ())) == {report} else None


def leave(draft: Draft, incident: str, report: str) -> None:
    """Remove a report from the counts of its former incident, after it was judged again."""
    draft.alter(
        incident,
        "report",
        reports_count=max(draft.incident(incident).reports_count - 1, 0),
        updated_at=draft.now,
    )
    if measure_name(draft.state.reports[report]) == "customers_cut":
        count_customers(draft, incident)


def _number(draft: Draft, row: ReportRow) -> str:
    """Return a number like `92-2027-0211-01`: territory, local day, count of that day."""
    territory = parse_realm(draft.state.realm)[0]
    year, month, day = day_of(row.recorded_at).split("-")
    prefix = f"{territory}-{year}-{month}{day}"
    opened = draft.state.numbers.get(prefix, 0) + sum(
        1
        for i in draft.changed_incidents
        if i not in draft.state.incidents and draft.incident(i).number.startswith(prefix)
    )
    return f"{prefix}-{opened + 1:02d}"


def join(
    draft: Draft, row: ReportRow, incident: str, taken: Taken | None, first_time: bool = True
) -> None:
    """Add a report to an incident. Only confirmed reports add members, communes and severity."""
    known = draft.incident(incident)
    values: dict[str, Any] = {"updated_at": draft.now}
    if first_time:
        values["reports_count"] = known.reports_count + 1
        values["duplicates_count"] = known.duplicates_count + (
            taken is not None and taken.outcome == "same"
        )
    change = "report"
    if is_confirmed(row):
        change = _grow(draft, row, known, taken, values)
    draft.put_incident(changed(known, values), change)
    if known.state is IncidentState.CLOSED and _is_news(row, known, taken, values):
        reopen(draft, incident)


def _is_news(
    row: ReportRow, known: IncidentRow, taken: Taken | None, values: dict[str, Any]
) -> bool:
    """Return whether a report opens a closed incident again.

    Its cause must be open, and graver than was known when the incident was closed; a repetition
    undoes no decision. A report that makes no cause (a bulletin, a river) must be later than the
    closing and graver than the whole incident. Rule D26, closed incidents.
    """
    if taken is not None:
        return taken.graver
    return (
        row.type in constants.ACTING_ALONE
        and row.occurred_at >= (known.closed_at or 0)
        and values.get("severity", 0) > known.severity
    )


def _grow(
    draft: Draft, row: ReportRow, known: IncidentRow, taken: Taken | None, values: dict[str, Any]
) -> str:
    values["opened_at"] = min(known.opened_at, row.occurred_at)
    if "planned" not in row.flags:
        values |= _counted(draft, row, known)
    if row.type in constants.DANGER_TYPES:
        values["danger"] = True
    if is_new_danger(draft, row, taken):
        draft.more_danger.add(known.id)
    if known.kind != "power" or row.type is EventType.OUTAGE_POWER:
        values["last_at"] = max(known.last_at or 0, row.occurred_at)
        values["communes"] = _with(known.communes, told_communes(draft, known.kind, (row,)))
    if known.kind == "it" and known.key != "*" and own_key(row, draft) == ("it", "*"):
        values["key"] = "*"
    if (end := as_instant(row)) is not None and (
        site_of(row) is None or measure_name(row) == "estimated_end"
    ):
        values["estimated_end"] = end
    if taken is not None and taken.outcome != "over" and (more := _more_persons(draft, taken)):
        values["persons_concerned"] = (known.persons_concerned or 0) + more
    site = site_of(row)
    if site is None or not speaks_for_site(row):
        return "report"
    zone = draft.state.zones.get(known.id)
    if site not in known.members:
        values["members"] = tuple(sorted((*known.members, site)))
        if zone is not None and site in zone.sites:
            values["zone_sites"] = tuple(s for s in known.zone_sites if s != site)
        return "member"
    return "report"


def _counted(draft: Draft, row: ReportRow, known: IncidentRow) -> dict[str, Any]:
    """Return the severity and customers cut by a current report. Rule D9, planned events."""
    values: dict[str, Any] = {}
    if (
        row.type not in constants.MUTE_TYPES
        and row.msg_type is not MsgType.CANCEL
        and not awaits_its_value(row)
    ):
        values["severity"] = max(known.severity, row.severity)
    if measure_name(row) == "customers_cut":
        values["customers_cut"] = _customers(draft, known, row)
    return values


def begin(draft: Draft, row: ReportRow, incident: str) -> None:
    """Count an announced report from now on. Rule D9, planned events."""
    known = draft.incident(incident)
    draft.put_incident(
        changed(known, {"updated_at": draft.now, **_counted(draft, row, known)}), "report"
    )


def _repeats(draft: Draft, row: ReportRow) -> bool:
    """Return whether a Cancel only repeats the measure of the report that it withdraws. Rule D3."""
    return row.msg_type is MsgType.CANCEL and any(
        r.measure == row.measure for r in draft.told(row.references)
    )


def recount_customers(draft: Draft, reports: Iterable[str]) -> None:
    """Recount the customers cut of the incidents of these reports.

    Call it when reports are withdrawn, or begin or cease to be current or planned works.
    """
    told = (r for r in draft.told(reports) if measure_name(r) == "customers_cut")
    for incident in dict.fromkeys(draft.incident_of(r.id) for r in told):
        if incident is not None:
            count_customers(draft, incident)


def count_customers(draft: Draft, incident: str) -> None:
    """Set the customers cut of an incident to the newest figure of its reports."""
    draft.alter(incident, "report", customers_cut=_customers(draft, draft.incident(incident)))


def _customers(draft: Draft, incident: IncidentRow, more: ReportRow | None = None) -> float | None:
    """Return the newest figure that counts.

    An incident of planned works only shows their figure (rule D64). `more` is a report that is not
    recorded yet.
    """
    rows = (*draft.figures(incident.id), *((more,) if more is not None else ()))
    said = [
        (r.occurred_at, r.recorded_at, r.id, figure)
        for r in rows
        if (figure := _figure(draft, r, incident)) is not None
    ]
    return max(said)[3] if said else None


def _figure(draft: Draft, row: ReportRow, incident: IncidentRow) -> float | None:
    """Return the customers cut that a report gives now; None if it does not count."""
    covered = draft.state.hushed.get(row.id) == "maintenance" and incident.quiet != "maintenance"
    if row.measure is None or not is_confirmed(row) or covered or _repeats(draft, row):
        return None
    if not {"cancelled", "planned"}.isdisjoint(row.flags) or all_over(row.effective, draft.now):
        return None
    return as_number(row.measure.value)


def _with(communes: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return communes if all(c in communes for c in more) else tuple(sorted({*communes, *more}))


def told_communes(draft: Draft, kind: str, rows: Iterable[ReportRow]) -> tuple[str, ...]:
    """Return the communes that these reports add to an incident of this family.

    For a power cut only reports of cuts count; a road or a train is no place of an incident.
    """
    told = (r for r in rows if is_confirmed(r) and r.type is not EventType.TRANSPORT_DISRUPTION)
    cut = (r for r in told if kind != "power" or r.type is EventType.OUTAGE_POWER)
    return tuple(sorted({c for r in cut for c in communes_of(r, draft.territory)}))


def _more_persons(draft: Draft, taken: Taken) -> int:
    """Return how many people a cause adds.

    Of several causes on one site only the greatest counts.
    """
    cause, state = taken.cause, draft.state
    others = [state.causes[c] for c in state.site_causes.get(cause.site or "", ()) if c != cause.id]
    before = max(
        (
            c.persons or 0
            for c in others
            if draft.standing(c.incident) == draft.standing(cause.incident)
        ),
        default=0,
    )
    return max((cause.persons or 0) - max(before, taken.persons_before), 0)


def persons_of(causes: Iterable[Cause]) -> int:
    """Return the people concerned by these causes; on each site only the greatest number counts."""
    most: dict[str, int] = {}
    for cause in causes:
        place = cause.site or cause.id
        most[place] = max(most.get(place, 0), cause.persons or 0)
    return sum(most.values())


def move_reports(draft: Draft, moved: Iterable[str], into: str) -> None:
    """Move reports to another incident by a person's decision. Rule D25, merge and split."""
    for row in [draft.state.reports[r] for r in moved]:
        why = (*row.why, Why(code="D25", args={"incident": into}, at=draft.now))
        draft.emit(ReportChanged(row=changed(row, {"incident": into, "why": why})))


def go_on_moving(draft: Draft, incident: str) -> None:
    """Move the next batch of reports of a merged incident.

    Their causes need no change: the merged incident leads to the other one.
    """
    into, left = draft.standing(incident), sorted(draft.state.incident_reports.get(incident, ()))
    if into is not None:
        move_reports(draft, left[:MOVED_AT_ONCE], into)
        draft.concerned.add(into)
    draft.alter(
        incident,
        "merged",
        reports_count=len(left[MOVED_AT_ONCE:]) if into is not None else 0,
        updated_at=draft.now,
    )


def reopen(draft: Draft, incident: str, by_person: bool = False) -> None:
    """Open an incident again, for a late report with an open cause or by decision.

    Rule D26, closed incidents.
    """
    known = draft.incident(incident)
    values: dict[str, Any] = {
        "state": IncidentState.OPEN,
        "closed_at": None,
        "updated_at": draft.now,
    }
    if by_person:
        values["version"] = known.version + 1
    draft.put_incident(changed(known, values), "reopened")
    draft.reopened.add(incident)
    zones.judge_again(draft, incident)


def close(draft: Draft, incident: str, at: Instant) -> None:
    """Close an incident by a person's decision.

    Its causes stay on their sites until they are lifted.
    """
    known = draft.incident(incident)
    draft.put_incident(
        changed(
            known,
            {
                "state": IncidentState.CLOSED,
                "closed_at": at,
                "updated_at": at,
                "version": known.version + 1,
            },
        ),
        "closed",
    )


def open_causes(draft: Draft, incident: str) -> list[str]:
    """Return the open causes of an incident. Walks over all causes: use it for decisions only."""
    return [
        c.id
        for c in draft.state.causes.values()
        if c.lifted_at is None and draft.standing(c.incident) == incident
    ]

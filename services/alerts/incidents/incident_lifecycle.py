"""Incidents as they grow: opened, joined, reopened, closed (D24, D26)."""

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
"""Reports of a merged incident that one Transaction moves: it has an end, an incident of weeks has hundreds of them."""


def enter(draft: Draft, row: ReportRow, placement: Placement) -> str | None:
    """The incident of a placement, opened if it is a new one. One that holds nothing but this report becomes that: it is the same matter (D8)."""
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
    """The open incident of a report that was judged before, if it holds no other."""
    incident = draft.incident_of(report)
    if incident is None or draft.incident(incident).state not in OPEN:
        return None
    return incident if set(draft.state.incident_reports.get(incident, ())) == {report} else None


def leave(draft: Draft, incident: str, report: str) -> None:
    """A report that was judged again belongs to another incident now."""
    draft.alter(
        incident,
        "report",
        reports_count=max(draft.incident(incident).reports_count - 1, 0),
        updated_at=draft.now,
    )
    if measure_name(draft.state.reports[report]) == "customers_cut":
        count_customers(draft, incident)


def _number(draft: Draft, row: ReportRow) -> str:
    """`92-2027-0211-01`: territory, local day on which it was known, count of that day."""
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
    """A report becomes part of an incident. Members, communes and severity only grow by confirmed reports."""
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
    """A closed incident opens again for what is still open (D26) and graver than the person knew who closed it. One who repeats what was told undoes
    no decision. What makes no cause (a bulletin, a river) is news when it is told after the closing, and graver than all of the incident.
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
    """Severity and customers cut, by a report that is current (D9)."""
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
    """What was announced is current: it counts from here on (D9)."""
    known = draft.incident(incident)
    draft.put_incident(
        changed(known, {"updated_at": draft.now, **_counted(draft, row, known)}), "report"
    )


def _repeats(draft: Draft, row: ReportRow) -> bool:
    """A Cancel that carries the measure of what it withdraws does not say it (D3)."""
    return row.msg_type is MsgType.CANCEL and any(
        r.measure == row.measure for r in draft.told(row.references)
    )


def recount_customers(draft: Draft, reports: Iterable[str]) -> None:
    """Reports were withdrawn, became or ceased to be current or planned works: their incidents have the newest figure that counts."""
    told = (r for r in draft.told(reports) if measure_name(r) == "customers_cut")
    for incident in dict.fromkeys(draft.incident_of(r.id) for r in told):
        if incident is not None:
            count_customers(draft, incident)


def count_customers(draft: Draft, incident: str) -> None:
    """The newest figure that its reports give."""
    draft.alter(incident, "report", customers_cut=_customers(draft, draft.incident(incident)))


def _customers(draft: Draft, incident: IncidentRow, more: ReportRow | None = None) -> float | None:
    """The newest figure that counts; where all is planned works (D64), theirs is shown. `more`: a report that is not recorded yet."""
    rows = (*draft.figures(incident.id), *((more,) if more is not None else ()))
    said = [
        (r.occurred_at, r.recorded_at, r.id, figure)
        for r in rows
        if (figure := _figure(draft, r, incident)) is not None
    ]
    return max(said)[3] if said else None


def _figure(draft: Draft, row: ReportRow, incident: IncidentRow) -> float | None:
    """What a report says of customers cut now; None if it does not count."""
    covered = draft.state.hushed.get(row.id) == "maintenance" and incident.quiet != "maintenance"
    if row.measure is None or not is_confirmed(row) or covered or _repeats(draft, row):
        return None
    if not {"cancelled", "planned"}.isdisjoint(row.flags) or all_over(row.effective, draft.now):
        return None
    return as_number(row.measure.value)


def _with(communes: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return communes if all(c in communes for c in more) else tuple(sorted({*communes, *more}))


def told_communes(draft: Draft, kind: str, rows: Iterable[ReportRow]) -> tuple[str, ...]:
    """Communes that these reports make those of an incident of this family: of a cut only where current is cut; a road or a train is no place of it."""
    told = (r for r in rows if is_confirmed(r) and r.type is not EventType.TRANSPORT_DISRUPTION)
    cut = (r for r in told if kind != "power" or r.type is EventType.OUTAGE_POWER)
    return tuple(sorted({c for r in cut for c in communes_of(r, draft.territory)}))


def _more_persons(draft: Draft, taken: Taken) -> int:
    """Of several causes on one site the most persons count, once."""
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
    """People whom these causes concern: of several on one site the most, once."""
    most: dict[str, int] = {}
    for cause in causes:
        place = cause.site or cause.id
        most[place] = max(most.get(place, 0), cause.persons or 0)
    return sum(most.values())


def move_reports(draft: Draft, moved: Iterable[str], into: str) -> None:
    """By a person's decision (D25)."""
    for row in [draft.state.reports[r] for r in moved]:
        why = (*row.why, Why(code="D25", args={"incident": into}, at=draft.now))
        draft.emit(ReportChanged(row=changed(row, {"incident": into, "why": why})))


def go_on_moving(draft: Draft, incident: str) -> None:
    """The next batch of the reports of a merged incident. Their causes lead to the other one as it is."""
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
    """Open it again: a late report whose cause is open (D26), or a decision."""
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
    """Close by a person's decision. Its causes stay on their sites until they are lifted."""
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
    """Open causes of an incident. Walks over all causes: for decisions only."""
    return [
        c.id
        for c in draft.state.causes.values()
        if c.lifted_at is None and draft.standing(c.incident) == incident
    ]

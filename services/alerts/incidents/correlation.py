"""Choose the incident of a report. The first rule that applies wins. Rules D21 to D26."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.alerts import IncidentRow, ReportRow
from schemas.causes import Cause
from schemas.words import EventType, IncidentState, MsgType
from services.alerts.decision import Draft
from services.alerts.evolve import OPEN
from services.alerts.incidents.families import (
    Key,
    Reach,
    absorbs,
    cluster_of,
    key_of_object,
    own_key,
)
from services.alerts.reference import constants
from services.alerts.reports.report_facts import (
    communes_of,
    is_confirmed,
    measure_name,
    objects_of,
    says_restored,
    site_of,
    takes_back,
)


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a report: an existing incident, a new one with a key, or none."""

    rule: str
    """Code of the rule, as shown (`D22:power`)."""
    incident: str | None = None
    opens: Key | None = None


NOWHERE = Placement("D24")


def place(row: ReportRow, known: Cause | None, draft: Draft) -> Placement:
    """Choose the incident of a report. `known` is the open cause that it repeats (rule D4)."""
    if (by_reference := _referenced(row, draft)) is not None:
        return Placement("D21", by_reference)
    if (
        known is not None
        and (incident := draft.standing(known.incident)) is not None
        and draft.incident(incident).state in OPEN
    ):
        return Placement("D4", incident)
    key = own_key(row, draft)
    if (
        (key is None and row.type in constants.MUTE_TYPES)
        or says_restored(row)
        or takes_back(row, draft.state.rules.flag_names)
    ):
        return _mute(row, draft)
    if (
        key is not None
        and not _yields(key, row, draft)
        and (own := _open_with(key, row, draft)) is not None
    ):
        return Placement(f"D22:{own.kind}", own.id)
    reach, absorbing = _absorbing(row, draft)
    if key is None and reach is not Reach.AREA and (by_cause := _of_cause(row, draft)) is not None:
        return Placement("D23", by_cause)
    if absorbing is not None:
        return Placement(f"D22:{absorbing.kind}", absorbing.id)
    if key is None and (joined := _of_member(row, draft)) is not None:
        return Placement("D23", joined)
    if key is None and (same := _same_matter(row, draft)) is not None:
        return Placement("D23", same.id)
    if (closed := _recently_closed(key, row, draft)) is not None:
        return Placement("D26", closed.id)
    if not opens_one(row):
        return NOWHERE
    return Placement("D22" if key else "D23", opens=key or fallback_key(row, draft))


def _yields(key: Key, row: ReportRow, draft: Draft) -> bool:
    """Return whether an absence belongs to snow or a strike instead. Rule D22, incident keys."""
    if key[0] != "absence":
        return False
    _, absorbing = _absorbing(row, draft)
    return absorbing is not None and absorbing.kind in ("snow", "strike")


def opens_one(row: ReportRow) -> bool:
    """Return whether a report may open an incident.

    Rumours, unconfirmed reports, cancellations, and green and yellow bulletins may not (rule D24).
    Nor may a bulletin with a held colour (rule D76), because it is uncertain whether it is right.
    An `info` opens one only by a flag with a family of its own.
    """
    held = row.type is EventType.WEATHER_ALERT and row.held is not None
    return (
        not held
        and is_confirmed(row)
        and row.msg_type is not MsgType.CANCEL
        and row.colour not in constants.COLOURS[:2]
    )


def _referenced(row: ReportRow, draft: Draft) -> str | None:
    for reference in row.references:
        known = draft.state.reports.get(reference)
        incident = draft.standing(known.incident) if known else None
        if incident is not None and _takes(draft.incident(incident), row):
            return incident
    return None


def _takes(incident: IncidentRow, row: ReportRow) -> bool:
    """Return whether an incident takes reports: open, or closed less than 72 h ago. Rule D26."""
    if incident.state in OPEN:
        return True
    return (
        incident.closed_at is not None
        and row.recorded_at - incident.closed_at < constants.ADDENDUM_MS
    )


def _open_with(key: Key, row: ReportRow, draft: Draft) -> IncidentRow | None:
    """Return the open incident with this key.

    An incident that was split off has another key and is never found. Rule D25, merge and split.
    """
    if key[0] == "power":
        return cluster_of(row, draft, _power(draft))
    same = _of_kind(key[0], draft)
    exact = next((i for i in same if i.key == key[1]), None) or _heir(key, draft)
    if exact is not None or key[0] != "it":
        return exact
    if key[1] == "*":  # an isolation takes the IT incident that led to it
        return min(same, key=lambda i: (-i.severity, i.opened_at, i.id), default=None)
    return next((i for i in same if i.key == "*"), None)


def _of_kind(kind: str, draft: Draft) -> list[IncidentRow]:
    return [i for i in draft.incidents(draft.open_incidents) if i.kind == kind]


def _power(draft: Draft) -> list[IncidentRow]:
    """Return the open power incidents, and those into which a person merged one.

    For the latter, any fact less than an hour ago is near enough. Rule D25, merge and split.
    """
    own = _of_kind("power", draft)
    return [*own, *(i for i in _heirs(lambda i: i.kind == "power", draft) if i not in own)]


def _heir(key: Key, draft: Draft) -> IncidentRow | None:
    """Return the open incident into which a person merged the one with this key.

    Reports of the merged incident belong to it. Rule D25, merge and split.
    """
    return max(
        _heirs(lambda i: (i.kind, i.key) == key, draft),
        key=lambda i: (i.opened_at, i.id),
        default=None,
    )


def _heirs(which: Callable[[IncidentRow], bool], draft: Draft) -> list[IncidentRow]:
    merged = (i.id for i in draft.incidents(draft.state.merged_incidents) if which(i))
    heirs = {h: draft.incident(h) for i in merged if (h := draft.standing(i)) is not None}
    return sorted((i for i in heirs.values() if i.state in OPEN), key=lambda i: (i.known_at, i.id))


def _same_matter(row: ReportRow, draft: Draft) -> IncidentRow | None:
    """Return the open incident with the same key that holds a report of the same type and objects.

    Without it, each report on a commune or a road would open an incident. Only for reports without
    a site. Rule D23.
    """
    if site_of(row) is not None:
        return None
    kind, key = fallback_key(row, draft)
    for incident in draft.incidents(draft.open_incidents):
        if (incident.kind, incident.key) != (kind, key):
            continue
        told = (draft.state.reports[r] for r in draft.state.incident_reports.get(incident.id, ()))
        if any(r.type is row.type and objects_of(r) == objects_of(row) for r in told):
            return incident
    return None


def _of_site(row: ReportRow, draft: Draft) -> str | None:
    return _of_cause(row, draft) or _of_member(row, draft)


def _of_cause(row: ReportRow, draft: Draft) -> str | None:
    """Return the incident of the gravest open cause on the site. Rule D23, site causes."""
    site, state = site_of(row), draft.state
    if site is None:
        return None
    causes = [state.causes[c] for c in state.site_causes.get(site, ())]
    for cause in sorted(causes, key=lambda c: (-c.severity, -c.since, c.id)):
        incident = draft.standing(cause.incident)
        if incident is not None and draft.incident(incident).state in OPEN:
            return incident
    return None


def _of_member(row: ReportRow, draft: Draft) -> str | None:
    """Return the newest open incident that the site is a member of.

    Its causes there may have ended.
    """
    joined = [
        i
        for i in draft.incidents(draft.state.site_incidents.get(site_of(row) or "", ()))
        if i.state in OPEN
    ]
    return max(joined, key=lambda i: (i.opened_at, i.id)).id if joined else None


def _absorbing(row: ReportRow, draft: Draft) -> tuple[Reach | None, IncidentRow | None]:
    """Return the nearest open incident that absorbs the report, and how near it is.

    Of several hazards of the whole territory none absorbs it. Rule D23, site causes.
    """
    found: list[tuple[Reach, IncidentRow]] = []
    for incident in draft.incidents(draft.open_incidents):
        reach = absorbs(incident, row, draft)
        if reach is not None:
            found.append((reach, incident))
    if not found:
        return None, None
    nearest = max(reach for reach, _ in found)
    candidates = [i for reach, i in found if reach is nearest]
    if nearest is Reach.TERRITORY and len(candidates) > 1:
        return None, None
    return nearest, max(candidates, key=lambda i: (i.opened_at, i.id))


def _mute(row: ReportRow, draft: Draft) -> Placement:
    """Place a report that opens nothing (`info`, `headcount`, `reopening`).

    It joins by the causes that it lifts, by its object, or by its site.
    """
    site, state = site_of(row), draft.state
    if site is not None and row.type is EventType.REOPENING:
        named = [
            state.causes[c]
            for c in state.site_causes.get(site, ())
            if state.causes[c].type in row.lifts
        ]
        for cause in sorted(named, key=lambda c: (-c.severity, c.id)):
            if (incident := draft.standing(cause.incident)) is not None and draft.incident(
                incident
            ).state in OPEN:
                return Placement("D23", incident)
    key = key_of_object(row, draft)
    if (
        key is not None
        and (own := _open_with(key, row, draft) or _only_power(key, row, draft)) is not None
    ):
        return Placement(f"D22:{own.kind}", own.id)
    if (by_site := _of_site(row, draft)) is not None:
        return Placement("D23", by_site)
    if row.type is EventType.HEADCOUNT and (absorbing := _absorbing(row, draft)[1]) is not None:
        return Placement(f"D22:{absorbing.kind}", absorbing.id)
    if measure_name(row) in constants.OFFERS and is_confirmed(row):
        open_ = list(draft.incidents(draft.open_incidents))
        if open_:
            return Placement(
                "D23", max(open_, key=lambda i: (i.level, i.severity, i.opened_at, i.id)).id
            )
    return NOWHERE


def _only_power(key: Key, row: ReportRow, draft: Draft) -> IncidentRow | None:
    """Return the incident that an operator's report on power belongs to.

    The operator may report long after the last cut and name no place. Candidates are power
    incidents and others that absorbed a cut (rule D22): the newest of the same communes, else the
    only one.
    """
    if key[0] != "power":
        return None
    own = _power(draft)
    power = [
        *own,
        *(
            i
            for i in draft.incidents(draft.open_incidents)
            if i.id in draft.state.figures and i not in own
        ),
    ]
    communes = frozenset(communes_of(row, draft.territory))
    there = [i for i in power if not communes.isdisjoint(i.communes)]
    if there:
        return max(there, key=lambda i: (i.opened_at, i.id))
    return power[0] if len(power) == 1 and not communes else None


def _recently_closed(key: Key | None, row: ReportRow, draft: Draft) -> IncidentRow | None:
    """Return the incident, closed less than 72 h ago, that a late report joins by its time.

    Rule D26, closed incidents.
    """
    site = site_of(row)
    for incident in draft.incidents(reversed(draft.state.closed_incidents)):
        if incident.state is not IncidentState.CLOSED or not _takes(incident, row):
            continue
        if (
            not incident.opened_at - constants.CLUSTER_MS
            <= row.occurred_at
            <= (incident.closed_at or 0)
        ):
            continue
        same_key = (
            key is not None
            and incident.kind == key[0]
            and (key[0] == "power" or incident.key == key[1])
        )
        if same_key and key is not None and key[0] != "power":
            return incident
        if (
            site is not None
            and site in incident.members
            and (key is None or same_key or absorbs(incident, row, draft) is not None)
        ):
            return incident
        if same_key and not frozenset(incident.communes).isdisjoint(
            communes_of(row, draft.territory)
        ):
            return incident
    return None


def fallback_key(row: ReportRow, draft: Draft) -> Key:
    """Return `site:<id>`; without a known site a key of its commune, its object or its type."""
    site = site_of(row)
    if site is not None:
        return "site", f"site:{site}"
    communes = communes_of(row, draft.territory)
    if communes:
        return "site", f"commune:{communes[0]}"
    thing = row.measure.object if row.measure is not None else None
    return "site", thing or f"territory:{row.type.value}"

"""Indexes of causes by key, site and family; marks, zones and silences of sites."""

from bisect import bisect_left, bisect_right
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, TypeVar

from schemas.alerts import SiteReported
from schemas.base import DAY_MS, Instant, copy_with
from schemas.crisis.causes import (
    AllClearNoted,
    Cause,
    CauseChanged,
    SilenceChanged,
    SiteMarked,
    ZoneChanged,
)
from schemas.words import EventType
from services.alerts.deadlines import KEYS, AllClearDue, CauseDue, IndexDecayed, SilenceDue
from services.alerts.evolve.reports import recount_severities, update_voices
from services.alerts.reference.territory import HEAT_HAZARD, format_day
from services.alerts.reports.report_facts import (
    build_cause_key,
    get_absent_pct,
    is_withdrawn,
    parse_number,
)
from services.alerts.rows import Changes, SecurityEvent, SitePresence, SuppressionReason
from services.alerts.state import (
    SiteSilence,
    State,
    Zone,
    insert_sorted,
    remove_key,
    remove_sorted,
)
from services.runtime.decider.maps import Map, set_or_drop

E = TypeVar("E", bound=tuple[Any, ...])
"""(since, cause, …)"""
_SECURITY: Final = frozenset({EventType.SECURITY_INCIDENT, EventType.DAMAGE_REPORT, EventType.FIRE})


def evolve_cause_fact(s: State, fact: CauseChanged) -> State:
    return evolve_cause(s, fact.apply(s.causes.get(fact.cause.id)))


def evolve_cause(s: State, cause: Cause) -> State:
    old = s.causes.get(cause.id)
    d: Changes = {"causes": s.causes.set(cause.id, cause)}
    key = build_cause_key(cause.key, bool(cause.windows))
    newest = s.cause_keys.get(key)
    ids = s.repeated_keys.get(key, () if newest is None else (newest,))
    if newest is not None and cause.id not in ids:
        ids = insert_sorted(ids, cause.id)
        d["repeated_keys"] = s.repeated_keys.set(key, ids)
    ranks = {id: _build_rank(cause if id == cause.id else s.causes[id]) for id in ids}
    best = max(ranks, key=ranks.__getitem__, default=cause.id)
    if best != newest:
        d["cause_keys"] = s.cause_keys.set(key, best)
    is_open, was_open = cause.lifted_at is None, old is not None and old.lifted_at is None
    if cause.site is None:
        d["placeless"] = _update_placeless(s, cause, is_open)
    elif is_open != was_open:
        change = insert_sorted if is_open else remove_sorted
        d["site_causes"] = set_or_drop(
            s.site_causes, cause.site, change(s.site_causes.get(cause.site, ()), cause.id)
        )
    d["agenda"] = s.agenda.arm(CauseDue(cause.id), cause.next_at if is_open else None)
    _update_type_indexes(s, d, old, cause)
    if get_suppression_reason(cause) is not None or (
        old is not None and get_suppression_reason(old) is not None
    ):
        d |= _update_suppressed(s, cause, old)
    return s.put(**d)


def _build_rank(cause: Cause) -> tuple[bool, Instant, Instant, str]:
    """Return the sort key among causes of one key: an open cause first, else the newest."""
    return cause.lifted_at is None, cause.since, cause.known_at, cause.id


def _update_placeless(s: State, cause: Cause, is_open: bool) -> Map[str, Map[str, int | None]]:
    persons_by_cause: Map[str, int | None] = s.placeless.get(cause.type.value, Map())
    if is_open:
        persons = cause.persons if cause.acting else None
        if cause.id in persons_by_cause and persons_by_cause[cause.id] == persons:
            return s.placeless
        return s.placeless.set(cause.type.value, persons_by_cause.set(cause.id, persons))
    remaining_causes = remove_key(persons_by_cause, cause.id)
    return (
        s.placeless.set(cause.type.value, remaining_causes)
        if remaining_causes
        else remove_key(s.placeless, cause.type.value)
    )


def get_suppression_reason(cause: Cause) -> SuppressionReason | None:
    """Return why a cause calls nobody."""
    return "maintenance" if cause.maintenance else "inhibited" if cause.inhibited_by else None


def _update_suppressed(s: State, cause: Cause, old: Cause | None) -> Changes:
    """Update the indexes of suppressed reports; severities are counted again where needed."""
    suppressions, voices, recounted_incidents = s.hushed, s.voices, set[str]()
    former_reports = (
        {} if old is None else dict.fromkeys(set(old.reports).difference(cause.reports))
    )
    for id, hush in {
        **former_reports,
        **dict.fromkeys(cause.reports, get_suppression_reason(cause)),
    }.items():
        before = suppressions.get(id)
        if before == hush:
            continue
        suppressions = remove_key(suppressions, id) if hush is None else suppressions.set(id, hush)
        row = s.reports.get(id)
        if row is not None:
            voices = update_voices(update_voices(voices, row, before, -1), row, hush, 1)
            if row.incident is not None and "maintenance" in (before, hush):
                recounted_incidents.add(row.incident)
    new = s.put(hushed=suppressions)
    severities = (
        recount_severities(new, s.reports, s.incident_reports, recounted_incidents)
        if recounted_incidents
        else s.severities
    )
    return {"hushed": suppressions, "voices": voices, "severities": severities}


def _update_type_indexes(s: State, d: Changes, old: Cause | None, cause: Cause) -> None:
    """Update the indexes of single families: cuts, security events, illness, presence."""
    if cause.type is EventType.OUTAGE_POWER and cause.site is not None:
        _replace_event(s, d, "cuts", _build_cut(old), _build_cut(cause), 2 * DAY_MS)
    elif cause.type in _SECURITY:
        _replace_event(
            s, d, "security", _build_security_event(old), _build_security_event(cause), 7 * DAY_MS
        )
    elif (
        cause.type is EventType.SANITARY_ALERT
        and cause.site is not None
        and cause.measure is not None
    ):
        site = s.territory.sites.get(cause.site)
        kitchen = site.kitchen if site else None
        m = cause.measure
        if (
            m.name == "ill_persons"
            and m.object != HEAT_HAZARD
            and kitchen in s.territory.kitchens
            and kitchen is not None
        ):
            sites = s.illness.get(kitchen, Map())
            value = parse_number(m.value) or 0.0
            if cause.lifted_at is not None or cause.maintenance:
                illness_entry = sites.get(
                    cause.site
                )  # an earlier cause, loaded again, must not remove the newer one's count
                sites = (
                    remove_key(sites, cause.site)
                    if illness_entry is not None and illness_entry[2] == cause.id
                    else sites
                )
            elif sites.get(cause.site) != (value, cause.since, cause.id):
                sites = sites.set(cause.site, (value, cause.since, cause.id))
            if sites is not s.illness.get(kitchen):
                d["illness"] = (
                    s.illness.set(kitchen, sites) if sites else remove_key(s.illness, kitchen)
                )
    elif cause.type is EventType.STAFF_SHORTAGE and cause.site is not None:
        d["presence"] = _update_presence(s, old, cause)


def _find_start(cause: Cause) -> Instant:
    """Return the beginning of a cause: its first window, if it was announced for one. Rule D9."""
    return max(cause.since, cause.windows[0].start) if cause.windows else cause.since


def _is_event(cause: Cause) -> bool:
    """Return whether a cause counts as an event.

    Announced causes do not (one lifted before it began never will), nor do withdrawn ones (rule D3)
    and planned works (rule D64).
    """
    ended_after = cause.lifted_at is not None and (
        not cause.windows or any(w.start < cause.lifted_at for w in cause.windows)
    )
    return (cause.acting or ended_after) and not is_withdrawn(cause) and not cause.maintenance


def _build_cut(cause: Cause | None) -> tuple[Instant, str, str] | None:
    return (
        (_find_start(cause), cause.id, cause.site or "")
        if cause is not None and _is_event(cause)
        else None
    )


def _build_security_event(cause: Cause | None) -> SecurityEvent | None:
    if cause is None or not _is_event(cause):
        return None
    return _find_start(cause), cause.id, cause.severity, cause.type.value


def _replace_event(
    s: State, d: Changes, index: str, before: E | None, now: E | None, span: Instant
) -> None:
    """Replace the event of a cause in an index; None removes it."""
    if now == before:
        return
    events: tuple[E, ...] = getattr(s, index)
    others = events if before is None else tuple(e for e in events if e[1] != before[1])
    d[index] = others if now is None else _insert_event(others, now, span)
    _arm_decay(s, d, index)


def _update_presence(
    s: State, old: Cause | None, cause: Cause
) -> Map[str, Map[str, Map[str, SitePresence]]]:
    """Keep the presence that each cause reports beside the others.

    So the index is the same in any order of arrival.
    """
    key, site = _build_day_key(s, cause), cause.site or ""
    now = (
        None
        if cause.maintenance or is_withdrawn(cause)
        else SitePresence(cause.since, cause.known_at, cause.id, 100.0 - get_absent_pct(cause))
    )
    before = key if old is None else _build_day_key(s, old)
    if before == key and s.presence.get(key, Map()).get(site, Map()).get(cause.id) == now:
        return s.presence
    presence = _remove_presence(s.presence, before, cause)
    if now is None:
        return presence
    day = presence.get(key, Map())
    return presence.set(key, day.set(site, day.get(site, Map()).set(cause.id, now)))


def _remove_presence(
    presences_by_day: Map[str, Map[str, Map[str, SitePresence]]], key: str, cause: Cause
) -> Map[str, Map[str, Map[str, SitePresence]]]:
    day: Map[str, Map[str, SitePresence]] = presences_by_day.get(key, Map())
    site = cause.site or ""
    remaining_presences: Map[str, SitePresence] = remove_key(day.get(site, Map()), cause.id)
    day = day.set(site, remaining_presences) if remaining_presences else remove_key(day, site)
    return presences_by_day.set(key, day) if day else remove_key(presences_by_day, key)


def _build_day_key(s: State, cause: Cause) -> str:
    return f"{s.territory.kind(cause.site or '')}|{format_day(cause.last_at)}"


def _arm_decay(s: State, d: Changes, index: str) -> None:
    """Arm a deadline for when time alone changes this index; disarm it if the index is empty."""
    agenda, newest = d["agenda"], d[index][-1][0] if d[index] else None
    for span in s.rules.decays.get(index, ()):
        key, due_at = str(IndexDecayed(index, span)), None if newest is None else newest + span + 1
        agenda = agenda.arm(key, None if s.spent.get(key) == due_at else due_at)
    d["agenda"] = agenda


def _insert_event(events: tuple[E, ...], event: E, span: Instant) -> tuple[E, ...]:
    """Insert an event into ascending events; drop those more than `span` before the newest."""
    n = bisect_right(events, event)
    grown = (*events[:n], event, *events[n:])
    return grown[bisect_left(grown, grown[-1][0] - span, key=itemgetter(0)) :]


def evolve_marks(s: State, fact: SiteMarked) -> State:
    new = Map(fact.marks)
    return s.put(
        marks=s.marks.set(fact.site, new),
        counts=update_counts(s, s.counts, fact.site, s.marks.get(fact.site, Map()), new),
    )


def update_counts(
    s: State,
    counts: Map[tuple[str, str, str], int],
    site: str,
    old: Map[str, tuple[str, ...]],
    new: Map[str, tuple[str, ...]],
) -> Map[tuple[str, str, str], int]:
    place, tracked_marks = s.territory.sites.get(site), s.rules.tracked
    with counts.mutate() as change:
        for marks, other, step in ((old, new, -1), (new, old, 1)):
            for mark, incidents in marks.items():
                owners = other.get(mark)
                if owners == incidents or mark not in tracked_marks:
                    continue
                other_incidents = [i for i in incidents if owners is None or i not in owners]
                for head in tracked_marks[mark]:
                    if head and place is None:
                        continue
                    group = head and f"{head}{place.kind if head == 'kind:' else place.pole}"  # type: ignore[union-attr]
                    for owner in other_incidents if owners is not None else ("", *other_incidents):
                        key = (owner, mark, group)
                        value = change.get(key, 0) + step
                        if value:
                            change[key] = value
                        else:
                            change.pop(key, None)
        new_counts: Map[tuple[str, str, str], int] = change.finish()
    return new_counts


def evolve_site_contact(s: State, fact: SiteReported) -> State:
    """Evolve by a report of a site that changed neither its status nor its reasons."""
    site = fact.row.id
    return s.put(
        sites=s.sites.set(site, copy_with(s.sites[site], {"last_word_at": fact.row.last_word_at}))
    )


def evolve_silence(s: State, fact: SilenceChanged) -> State:
    if fact.rule is None:
        return s.put(silences=remove_key(s.silences, fact.site))
    assert fact.since is not None
    return s.put(
        silences=s.silences.set(
            fact.site, SiteSilence(fact.rule, fact.incident, fact.since, fact.hides)
        )
    )


def evolve_zone(s: State, fact: ZoneChanged) -> State:
    zone = s.zones.get(fact.incident, Zone())
    sites, batches, agenda = zone.sites, zone.batches, s.agenda
    for site in fact.sites:
        sites = sites.set(site, None)
    if fact.due_at is not None and fact.sites:
        due_at = fact.due_at
        while due_at in batches:  # one batch per time of judgement
            due_at += 1
        batches = batches.set(due_at, fact.sites)
        agenda = agenda.arm(SilenceDue(fact.incident, due_at), due_at)
    new = replace(zone, communes=fact.communes, sites=sites, batches=batches)
    return s.put(zones=s.zones.set(fact.incident, new), agenda=agenda)


def evolve_all_clear(s: State, fact: AllClearNoted) -> State:
    zone = replace(
        s.zones.get(fact.incident, Zone()), all_clear=fact.since, all_clear_due=fact.due_at
    )
    return s.put(
        zones=s.zones.set(fact.incident, zone),
        agenda=s.agenda.arm(AllClearDue(fact.incident), fact.due_at),
    )


def evolve_settled_deadline(s: State, key: str) -> State:
    """Disarm a deadline; a zone forgets the batch that was judged."""
    d: Changes = {"agenda": s.agenda.arm(key, None)}
    match KEYS.parse(key):
        case IndexDecayed() if key in s.agenda.due:
            d["spent"] = s.spent.set(key, s.agenda.due[key])
        case SilenceDue(incident, due_at) if (zone := s.zones.get(incident)) is not None:
            d["zones"] = s.zones.set(
                incident, replace(zone, batches=remove_key(zone.batches, due_at))
            )
        case AllClearDue(incident) if (zone := s.zones.get(incident)) is not None:
            d["zones"] = s.zones.set(incident, replace(zone, all_clear=None, all_clear_due=None))
    return s.put(**d)

"""Marks, zones and silences of sites."""

from __future__ import annotations

from dataclasses import replace

from schemas.alerts import SiteReported
from schemas.base import copy_with
from schemas.crisis.causes import AllClearNoted, SilenceChanged, SiteMarked, ZoneChanged
from services.alerts.deadlines import KEYS, AllClearDue, IndexDecayed, SilenceDue
from services.alerts.rows import Changes
from services.alerts.state import SiteSilence, State, Zone, without_key
from services.runtime.decider.maps import Map


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
        return s.put(silences=without_key(s.silences, fact.site))
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
                incident, replace(zone, batches=without_key(zone.batches, due_at))
            )
        case AllClearDue(incident) if (zone := s.zones.get(incident)) is not None:
            d["zones"] = s.zones.set(incident, replace(zone, all_clear=None, all_clear_due=None))
    return s.put(**d)

"""Indexes of causes: by key, by site, by family."""

from __future__ import annotations

from typing import Any, Final

from immutables import Map

from schemas.alerts import Cause
from schemas.base import DAY_MS, Instant
from schemas.words import EventType
from services.alerts.calendar import day_of
from services.alerts.claims import as_number
from services.alerts.evolve.changes import Changes, set_or_drop
from services.alerts.rules import HEAT_HAZARD
from services.alerts.state import State, sorted_with, sorted_without, without

_SECURITY: Final = frozenset({EventType.SECURITY_INCIDENT, EventType.DAMAGE_REPORT, EventType.FIRE})


def cause_changed(s: State, cause: Cause) -> State:
    old = s.causes.get(cause.id)
    d: Changes = {"causes": s.causes.set(cause.id, cause)}
    newest = s.cause_keys.get(cause.key)
    if newest is None or (s.causes[newest].since, s.causes[newest].known_at, newest) < (cause.since, cause.known_at, cause.id):
        d["cause_keys"] = s.cause_keys.set(cause.key, cause.id)
    opened, was_open = cause.lifted_at is None, old is not None and old.lifted_at is None
    if opened != was_open:
        change = sorted_with if opened else sorted_without
        if cause.site is not None:
            d["site_causes"] = set_or_drop(s.site_causes, cause.site, change(s.site_causes.get(cause.site, ()), cause.id))
        else:
            d["placeless"] = set_or_drop(s.placeless, cause.type.value, change(s.placeless.get(cause.type.value, ()), cause.id))
    elif cause.site is None and old is not None and old.persons != cause.persons:
        d["placeless"] = s.placeless.set(cause.type.value, tuple(sorted(s.placeless.get(cause.type.value, ()))))
    d["agenda"] = s.agenda.arm(f"cause:{cause.id}", cause.next_at if opened else None)
    _by_type(s, d, old, cause)
    return s.put(**d)


def _by_type(s: State, d: Changes, old: Cause | None, cause: Cause) -> None:
    """Indexes of single families: cuts in time, security events, illness per kitchen, presence per day."""
    if cause.type is EventType.OUTAGE_POWER and cause.site is not None:
        if old is None or old.since != cause.since:
            d["cuts"] = _within([(cause.since, cause.id), *(c for c in s.cuts if c[1] != cause.id)], 2 * DAY_MS)
            _decays(s, d, "cuts")
    elif cause.type in _SECURITY:
        event = (cause.since, cause.id, cause.commune or "", cause.severity, cause.type.value)
        if event not in s.security:
            d["security"] = _within([event, *(e for e in s.security if e[1] != cause.id)], 7 * DAY_MS)
            _decays(s, d, "security")
    elif cause.type is EventType.SANITARY_ALERT and cause.site is not None and cause.measure is not None:
        known = s.territory.sites.get(cause.site)
        kitchen = known.kitchen if known else None
        m = cause.measure
        if m.name == "ill_persons" and m.object != HEAT_HAZARD and kitchen in s.territory.kitchens and kitchen is not None:
            sites = s.illness.get(kitchen, Map())
            value = as_number(m.value) or 0.0
            if cause.lifted_at is not None:
                sites = without(sites, cause.site)
            elif sites.get(cause.site) != (value, cause.since):
                sites = sites.set(cause.site, (value, cause.since))
            if sites is not s.illness.get(kitchen):
                d["illness"] = s.illness.set(kitchen, sites) if sites else without(s.illness, kitchen)
    elif cause.type is EventType.STAFF_SHORTAGE and cause.site is not None:
        key = f"{s.territory.kind(cause.site)}|{day_of(cause.last_at)}"
        day, pct = s.presence.get(key, Map()), 100.0 - (cause.loss_pct or 0.0)
        if day.get(cause.site) != pct:
            d["presence"] = s.presence.set(key, day.set(cause.site, pct))


def _decays(s: State, d: Changes, index: str) -> None:
    """Time alone will change what the windows of this index say: look again then."""
    agenda, newest = d["agenda"], d[index][-1][0]
    for span in s.rules.decays.get(index, ()):
        key, due = f"decay:{index}:{span}", newest + span + 1
        agenda = agenda.arm(key, None if s.spent.get(key) == due else due)
    d["agenda"] = agenda


def _within(events: list[Any], span: Instant) -> tuple[Any, ...]:
    """Events, ascending, without those that are more than `span` before the newest."""
    events.sort()
    return tuple(e for e in events if e[0] >= events[-1][0] - span)

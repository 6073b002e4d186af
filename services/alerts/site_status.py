"""What a site shows and what it counts for (§3, D14, D29): from its acting causes, its last word and its silence."""

from __future__ import annotations

from immutables import Map

from schemas.alerts import CauseRow, SiteRow, SiteStatusChanged, Why
from schemas.base import Instant
from schemas.causes import Cause, SilenceChanged, SiteMarked
from schemas.reference import Site
from schemas.words import EventType as T
from schemas.words import SiteStatus as S
from services.alerts import rules, tasks, zones
from services.alerts.claims import absent_pct, began, is_withdrawn, named
from services.alerts.draft import Draft
from services.alerts.state import Silence

_TOTAL = frozenset({T.CLOSURE, *rules.ORDERS})
"""Types that take the whole capacity, whatever the report says."""
_FLAGS = ("contested", "overdue", "maintenance")
_UNMARKED: Map[str, tuple[str, ...]] = Map()
_PRECEDENCE = {S.EVACUATED: 4, S.SHELTERING: 4, S.CLOSED: 3, S.DEGRADED: 2, S.UNKNOWN: 1, S.NORMAL: 0}


def loss(cause: Cause, site: Site | None) -> float:
    """Capacity that a cause takes from its site, in per cent."""
    if cause.type in _TOTAL:
        return 100.0
    if cause.type is T.OUTAGE_POWER:
        given = 100.0 if cause.loss_pct is None else cause.loss_pct
        return min(given, rules.GENERATOR_LOSS_PCT) if site is not None and site.generator else given
    if cause.type is T.STAFF_SHORTAGE:
        return absent_pct(cause)
    if cause.type is T.SUPPLIER_FAILURE:  # it takes from the served activity, not from the site (D40)
        return 0.0
    return cause.loss_pct or 0.0


def meals_lost(cause: Cause, site: Site | None) -> float:
    """What a supplier takes from the meals of a site: one that it does not name, or its kitchen. Any other by name is a flag."""
    suppliers = named(cause, "supplier:")
    if cause.type is not T.SUPPLIER_FAILURE or site is None or not site.kitchen or (suppliers and site.kitchen not in suppliers):
        return 0.0
    return 100.0 if cause.loss_pct is None else cause.loss_pct


def effect(cause: Cause, site: Site | None) -> S:
    """Status that a cause alone would give its site (table of §3)."""
    match cause.type:
        case T.CLOSURE:
            return S.CLOSED
        case T.EVACUATION | T.FIRE:
            return S.EVACUATED
        case T.SHELTER_IN_PLACE:
            return S.SHELTERING
        case T.OUTAGE_POWER:
            sustained = site is not None and site.generator
            return S.CLOSED if not sustained and loss(cause, site) >= rules.CLOSED_BY_POWER_PCT else S.DEGRADED
        case T.SANITARY_ALERT:
            return S.DEGRADED if cause.severity >= 3 or loss(cause, site) > 0 else S.NORMAL
        case T.SUPPLIER_FAILURE:
            return S.NORMAL
        case _:
            return S.DEGRADED


def judge(draft: Draft, site_id: str) -> None:
    """Write the site's row and what it counts for, if they changed."""
    state = draft.state
    old, word = state.sites.get(site_id), draft.words.get(site_id)
    causes = [state.causes[c] for c in state.site_causes.get(site_id, ())]
    silence = state.silences.get(site_id)
    if word is not None and silence is not None and zones.ends(draft, silence, word):
        draft.emit(SilenceChanged(site=site_id, rule=None))
        tasks.void(draft, "verify_site", site_id, "spoke")
    row = _row(draft, site_id, causes, old, word)
    _write_marks(draft, site_id, _marks(draft, site_id, causes, old))
    if old is None or row.last_word_at != old.last_word_at or row != old:
        draft.emit(SiteStatusChanged(row=row))


def _write_marks(draft: Draft, site_id: str, marks: dict[str, tuple[str, ...]]) -> None:
    """Write what the site counts for, and tell the predicates which counts moved."""
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


def _row(draft: Draft, site_id: str, causes: list[Cause], old: SiteRow | None, word: Instant | None) -> SiteRow:
    site, silence = draft.territory.sites.get(site_id), draft.state.silences.get(site_id)
    acting = [c for c in causes if c.acting]
    if silence is None:
        status, by = _status(acting, site)
    else:  # D18 and D20 override what that same outage shows (D14)
        status, by = _status([c for c in acting if not zones.hides(draft, silence, c)], site)
        if _PRECEDENCE[status] < _PRECEDENCE[S.DEGRADED]:
            status, by = S.UNKNOWN, []
    if status is S.UNKNOWN and silence is not None:
        why: tuple[Why, ...] = (Why(code=silence.rule, at=silence.since, args={"incident": silence.incident} if silence.incident else {}),)
    elif by:
        gravest = max(by, key=lambda c: (c.severity, -c.since, c.id))
        why = (Why(code=f"D14:{status.value}", args={"type": gravest.type.value}, at=gravest.since, reports=gravest.reports[:5]),)
    else:
        why = ()
    sustained = (c for c in by if c.type is T.OUTAGE_POWER and site is not None and site.generator)
    why += tuple(Why(code="generator", at=c.since, reports=c.reports[:5]) for c in sustained)
    why += tuple(Why(code="contested", at=c.since, args={"type": c.type.value}, reports=c.reports[:5]) for c in acting if c.contested)
    why += tuple(Why(code="D64", at=c.since, args={"type": c.type.value, "by": list(c.maintenance)}) for c in acting if c.maintenance)
    why += tuple(Why(code="D65", at=c.since, args={"type": c.type.value}) for c in acting if c.inhibited_by)
    flags = tuple(name for name in _FLAGS if any(getattr(c, name) for c in causes))
    last = old.last_word_at if old else None
    return SiteRow(
        id=site_id, status=status, since=_since(draft, status, by, old, silence), capacity_pct=round(100.0 - max((loss(c, site) for c in acting), default=0.0), 1),
        causes=tuple(_cause_row(c, site) for c in sorted(causes, key=lambda c: (c.since, c.id))), why=why,
        last_word_at=last if word is None else max(word, last or 0), flags=flags,
    )  # fmt: skip


def _status(acting: list[Cause], site: Site | None) -> tuple[S, list[Cause]]:
    """Status by precedence and the causes that give it. Of orders the latest stands (D5); a later closure turns it to closed."""
    orders = [c for c in acting if c.type in rules.ORDERS]
    if orders:
        newest = max(orders, key=lambda c: (c.last_at, c.id))
        closures = [c for c in acting if c.type is T.CLOSURE and c.last_at > newest.last_at]
        if not closures:
            status = effect(newest, site)
            return status, [c for c in orders if effect(c, site) is status]
        return S.CLOSED, closures
    effects = [(effect(c, site), c) for c in acting]
    status = max((e for e, _ in effects), key=lambda e: _PRECEDENCE[e], default=S.NORMAL)
    return (status, [c for e, c in effects if e is status]) if status is not S.NORMAL else (S.NORMAL, [])


def _since(draft: Draft, status: S, by: list[Cause], old: SiteRow | None, silence: Silence | None) -> Instant:
    """When the status began: occurred_at of the cause that gives it, the silence, or the last lift."""
    if by:
        return min(began(c, draft.now) for c in by)
    if old is not None and old.status is status:
        return old.since
    if status is S.UNKNOWN and silence is not None:
        return silence.since
    lifted = (draft.state.causes[row.id].lifted_at for row in (old.causes if old else ()))
    return max((at for at in lifted if at is not None), default=draft.now)


def _cause_row(cause: Cause, site: Site | None) -> CauseRow:
    return CauseRow(
        id=cause.id, incident=cause.incident, type=cause.type, effect=effect(cause, site), since=cause.since, certainty=cause.certainty,
        severity=cause.severity, loss_pct=loss(cause, site), contested=cause.contested, planned=not cause.acting, overdue=cause.overdue,
        sources=cause.sources, reports=cause.reports, expected_end=cause.expected_end, windows=cause.windows, measure=cause.measure,
        maintenance=cause.maintenance, inhibited_by=cause.inhibited_by, meals_lost_pct=meals_lost(cause, site),
    )  # fmt: skip


# ── marks: what a site counts for (§13) ────────────────────────────────────────────────────────────────────────────


def _marks(draft: Draft, site_id: str, causes: list[Cause], old: SiteRow | None) -> dict[str, tuple[str, ...]]:
    site, rulebook = draft.territory.sites.get(site_id), draft.state.rules
    marks: dict[str, set[str]] = {}
    for cause in causes:
        names = _acting_marks(cause, site, rulebook.presence_pcts) if cause.acting and not cause.maintenance else []
        if cause.type in rules.CLOSURES and not cause.maintenance and _near(cause, draft.now, rulebook.horizon_ms):
            names.append("closing")
        incident = draft.standing(cause.incident)
        for name in names:
            incidents = marks.setdefault(name, set())
            if incident is not None:
                incidents.add(incident)
    _mark_lifted(draft, site_id, marks, old)
    return {name: tuple(sorted(incidents)) for name, incidents in sorted(marks.items())}


def _acting_marks(cause: Cause, site: Site | None, presence_pcts: tuple[float, ...]) -> list[str]:
    names, shown = [f"cause:{cause.type.value}"], effect(cause, site)
    if cause.severity >= 3:
        names.append("hit")
    if shown in (S.CLOSED, S.EVACUATED, S.SHELTERING):
        names += ["closed", "out"] if cause.severity >= 3 else ["closed"]
    if shown is S.EVACUATED:
        names.append("evacuated")
    if cause.type is T.STAFF_SHORTAGE:
        names += [f"staff:{pct}" for pct in presence_pcts if 100.0 - loss(cause, site) <= pct]
    if cause.type in (T.OUTAGE_WATER, T.OUTAGE_HEATING) or (cause.measure is not None and cause.measure.name == rules.COLD_CHAIN):
        names.append("logistics")
    return names


def _mark_lifted(draft: Draft, site_id: str, marks: dict[str, set[str]], old: SiteRow | None) -> None:
    """A cause that was there and is lifted, not withdrawn, counts as restored while its incident is open."""
    were = (draft.state.causes[row.id] for row in (old.causes if old else ()))
    restored = {f"cause:{c.type.value}" for c in were if c.lifted_at is not None and not is_withdrawn(c)}
    for name, incidents in draft.state.marks.get(site_id, _UNMARKED).items():
        type_ = name.partition(":")[2]
        if (name in restored or name.startswith("lifted:")) and f"cause:{type_}" not in marks:
            still = {i for i in incidents if (s := draft.standing(i)) is not None and s in draft.open_incidents}
            if still:
                marks[f"lifted:{type_}"] = still


def _near(cause: Cause, now: Instant, horizon: Instant) -> bool:
    """Current, or starting within the horizon that a metric names (D9)."""
    return cause.acting or any(w.start - horizon <= now < (w.end if w.end is not None else now + 1) for w in cause.windows)

"""Local clocks (`horloges_locales`, D42): one pair per site of an activity that is held on the spot, beside the territory's.

They look at the site and its kitchen only; a system that is down is the territory clock's matter *(decided)*. They alarm the site's
manager and the pôle's director; levels and plan triggers do not read them.
"""

from __future__ import annotations

from schemas.base import Instant
from schemas.continuity import LocalClocks
from services.continuity.alarms import AT_ONCE, Due
from services.continuity.bia import HUNDRED, Need
from services.continuity.calendars import local_day
from services.continuity.capacity import cause_end, dependency_end, flags_true, local_loss, starts_at
from services.continuity.clocks import SAME_CLOCK_MS, Clocks, limits_of, measured_after, read_clocks
from services.continuity.forecast import breach, latest
from services.continuity.reasons import Path, path_of
from services.continuity.state import Draft, worst_cause


def local_clocks(
    draft: Draft, need: Need, before: tuple[LocalClocks, ...], touched: frozenset[str], back_at: Instant
) -> tuple[tuple[LocalClocks, ...], list[Due]]:
    """Local clocks after a change, and their alarms: of the sites touched, and of those whose clock is due.

    A clock that stopped more than 60 min ago can only be followed by a new one (D42): it leaves the row.
    """
    if need.local is None:
        return before, []
    now = draft.now
    stale = {one.site for one in before if one.next_at is not None and one.next_at <= now}
    stale |= touched & need.local.weights.keys()
    kept = [one for one in before if (at := one.clocks[0].stopped_at) is None or now - at <= SAME_CLOCK_MS]
    if not stale and len(kept) == len(before):
        return before, []
    known = {one.site: one for one in kept}
    due: list[Due] = []
    for site in sorted(stale):
        made, alarms = _of_site(draft, need, known.get(site), site, back_at)
        if made is not None and len(due) + len(alarms) > AT_ONCE:
            made, alarms = _later(made, known.get(site), now), []
        if made is not None:
            known[site] = made
        due += alarms
    return tuple(known[site] for site in sorted(known)), due


def _later(made: LocalClocks, was: LocalClocks | None, now: Instant) -> LocalClocks:
    """The alarms of this site wait for the next step: a Transaction holds only so many."""
    raised = ((), ()) if was is None else (was.clocks[0].alarms, was.clocks[1].alarms)
    clocks = tuple(c.model_copy(update={"alarms": a, "next_at": now + 1}) for c, a in zip(made.clocks, raised, strict=True))
    return made.model_copy(update={"clocks": clocks, "next_at": now + 1})


def _of_site(draft: Draft, need: Need, was: LocalClocks | None, site: str, back_at: Instant) -> tuple[LocalClocks | None, list[Due]]:
    state, now = draft.state, draft.now
    loss, causes, kitchen = local_loss(state, need, site, now)
    minimum = round(need.activity.mbco_pct * 100)
    out = HUNDRED - loss < minimum
    if was is None and not out:
        return None, []
    breaking = [cause for cause in causes if HUNDRED - round(cause.loss_pct * 100) < minimum]
    begun = [cause.since for cause in breaking]
    ends = [cause_end(state, cause, now) for cause in breaking]
    if kitchen is not None:
        begun.append(starts_at(kitchen))
        ends.append(dependency_end(state, kitchen, now))
    day = local_day(now) if need.windows else 0
    flags = flags_true(state.dependencies, need, now) if need.by_flag else ()
    limits = limits_of(need, day, flags, [cause.type.value for cause in causes] if need.by_cause else ())
    before = None if was is None else (was.clocks[0], was.clocks[1])
    measured = measured_after(None if before is None else before[0], min(min(begun, default=now), now) if out else None, back_at)
    clocks = read_clocks(need, limits, before, measured, now)
    made = LocalClocks(
        site=site, capacity_pct=(HUNDRED - loss) / 100, clocks=(clocks.rto, clocks.dmia),
        forecast_breach_at=breach(latest(ends), clocks.dmia.deadline, now) if out else None,
        next_at=min((at for at in (clocks.rto.next_at, clocks.dmia.next_at) if at is not None), default=None),
    )  # fmt: skip
    if not clocks.due:
        return made, []
    source = worst_cause(causes) if kitchen is None else kitchen
    path = path_of(None if source is None else source.report, "site", site, need.id, need.activity.pole)
    return made, _alarms(clocks, site, path, None if source is None else source.incident)


def _alarms(clocks: Clocks, site: str, path: Path, incident: str | None) -> list[Due]:
    return [Due(base, pct, limit_at, site, path, incident) for base, pct, limit_at in clocks.due]

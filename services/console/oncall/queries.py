"""Queries about on-call schedules and readiness, now or as known at a time."""

import asyncio

from schemas import oncall as o
from schemas.base import DAY_MS, Instant
from schemas.delivery import ProbeRow
from services.console.oncall.resources import Drill, OnCall, Readiness, ScheduleChange
from services.console.oncall.schedule import ScheduleView, find_newest_probe, has_no_provider
from services.console.read_model.query_base import (
    UNLIMITED,
    QueryBase,
    get_known,
    get_snapshot_time,
)
from services.console.resources import Page
from services.runtime.http.pagination import paginate
from services.runtime.process.machine import now_ms


class OnCallQueries(QueryBase):
    """Queries about on-call schedules. Slow computations run in a thread."""

    async def desk(self) -> tuple[ScheduleView, Instant]:
        """Return the data for on-call questions, and the time of the realm."""
        view = await self.read()
        duties, reach_rows = await view.picture.rows(o.DutyRow), await view.picture.rows(o.ReachRow)
        drills, probes = (await view.picture.rows(o.DrillRow), await view.picture.rows(ProbeRow))
        desk = ScheduleView(
            self._realm,
            view.picture.reference,
            duties,
            reach_rows,
            view.picture.fields.get("reference_at"),
            self._lang,
            drills,
            probes,
        )
        clock = (
            get_snapshot_time(view.picture)
            if "~" in self._realm and view.picture.clock is not None
            else now_ms()
        )
        return desk, clock if self._moment is None else self._moment

    async def on_call(
        self,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        role: str | None = None,
        scope: str | None = None,
        now: Instant | None = None,
    ) -> OnCall:
        """Return the shifts over a span and the people on call at one time.

        The span is the next 7 days by default. The time is `now`, else the start of an open span,
        else the current time.
        """
        desk, clock = await self.desk()
        first = clock if start is None else start
        at = now if now is not None else first if end is None else clock
        return await asyncio.to_thread(
            desk.on_call, at, first, end or first + 7 * DAY_MS, role, scope
        )

    async def duties(
        self,
        *,
        role: str | None = None,
        state: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[ScheduleChange]:
        """List decisions about schedules, newest first."""
        desk, _ = await self.desk()
        matching_duties = [
            d
            for d in desk.duties.values()
            if (role is None or d.role == role) and (state is None or d.state == state)
        ]
        page_duties, following = paginate(
            matching_duties, lambda d: (-d.number, d.id), limit, cursor
        )
        return Page(items=[desk.duty(d) for d in page_duties], next=following)

    async def drills(self, *, limit: int = UNLIMITED, cursor: str | None = None) -> Page[Drill]:
        """List the drills, newest first."""
        desk, _ = await self.desk()
        page_drills, following = paginate(desk.list_drills(), lambda d: (d.month,), limit, cursor)
        return Page(items=page_drills, next=following)

    async def reachable(self) -> tuple[int, bool]:
        """Return the number of urgent holes, and whether no channel at all has a provider.

        Urgent holes begin soon, by the newest readiness proof. Missing providers count as one more.
        """
        view = await self.read()
        proof = await view.picture.row(o.ReadinessRow, "proof")
        probe = find_newest_probe(await view.picture.rows(ProbeRow))
        mute = probe is not None and has_no_provider(probe.channels)
        return (proof.urgent if proof is not None else 0) + mute, mute

    async def readiness(self, *, days: int | None = None, site: str | None = None) -> Readiness:
        """Return the readiness for all sites, or with the hours of one. Raises NotFound."""
        desk, now = await self.desk()
        one = None if site is None else get_known(desk.reference.sites, site)
        return await asyncio.to_thread(desk.readiness, now, days, one)

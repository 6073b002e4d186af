"""Queries about maintenance windows and leases."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas import alerts as a
from schemas.crisis import maintenance as m
from services.console import resources as r
from services.console.http.problems import NotFound
from services.console.read_model.query_base import UNLIMITED, OpenedRealm, QueryBase
from services.console.resources import Page
from services.runtime.http.pagination import paginate

_STATE_ORDER = {"active": 0, "planned": 1, "over": 2}


class MaintenanceQueries(QueryBase):
    """Queries about maintenance windows and leases. Rules D64 to D66."""

    async def maintenance(
        self,
        *,
        state: Sequence[str] = (),
        site: str | None = None,
        author: str | None = None,
        texts: bool = False,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Maintenance]:
        """List windows: active ones first, then the next to begin.

        `site` keeps windows that name it, its kind or its pôle, and those without any place.
        """
        view = await self.read()
        rows = (await view.picture.rows(m.MaintenanceRow)).values()
        covered_sites = _map_covered_sites((await view.picture.rows(a.SiteRow)).values())
        matching_windows = [
            w
            for w in rows
            if (not state or w.state in state)
            and (author is None or w.author == author)
            and (site is None or _covers_site(view, w.covers, site))
        ]
        page_windows, following = paginate(
            matching_windows,
            lambda w: (_STATE_ORDER[w.state], w.begins_at or -(w.over_at or 0), w.id),
            limit,
            cursor,
        )
        reasons = self._reasons(page_windows) if texts else {}
        return Page(
            items=[
                view.shape.maintenance(w, covered_sites.get(w.id, ()), reasons.get(w.id))
                for w in page_windows
            ],
            next=following,
        )

    async def window(
        self, id: str, *, author: str | None = None, texts: bool = False
    ) -> r.Maintenance:
        """Return one window.

        Raises NotFound, also for the window of somebody else if `author` is given.
        """
        view = await self.read()
        row = await view.picture.row(m.MaintenanceRow, id)
        if row is None or (author is not None and row.author != author):
            raise NotFound
        covered_sites = _map_covered_sites((await view.picture.rows(a.SiteRow)).values())
        reasons = self._reasons([row]) if texts else {}
        return view.shape.maintenance(row, covered_sites.get(id, ()), reasons.get(id))

    async def leases(
        self,
        *,
        state: Sequence[str] = (),
        source: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Lease]:
        """List leases, newest first."""
        view = await self.read()
        rows = (await view.picture.rows(m.LeaseRow)).values()
        matching_leases = [
            x
            for x in rows
            if (not state or x.state in state) and (source is None or x.source_key == source)
        ]
        page_leases, following = paginate(
            matching_leases, lambda x: (-x.began_at, x.id), limit, cursor
        )
        reports = (
            await view.picture.some(a.ReportRow, [x.id for x in page_leases]) if page_leases else {}
        )
        return Page(
            items=[view.shape.lease(x, reports.get(x.id)) for x in page_leases], next=following
        )

    def _reasons(self, rows: Sequence[m.MaintenanceRow]) -> dict[str, Mapping[str, Any]]:
        """Return window → fields of its reason."""
        ids = {
            w.id: w.reason.removeprefix("text:")
            for w in rows
            if w.reason is not None and w.reason.startswith("text:")
        }
        items = self._texts.get_many(list(ids.values())) if self._texts is not None and ids else {}
        return {id: items[text].fields for id, text in ids.items() if text in items}


def _map_covered_sites(sites: Iterable[a.SiteRow]) -> dict[str, list[str]]:
    """Return window → the site of each open cause that it covers."""
    covered_sites: dict[str, list[str]] = {}
    for site in sites:
        for cause in site.causes:
            for window in cause.maintenance:
                covered_sites.setdefault(window, []).append(site.id)
    return covered_sites


def _covers_site(view: OpenedRealm, covers: m.Coverage, id: str) -> bool:
    site = view.picture.reference.sites.get(id)
    return (
        site is not None
        and (not covers.sites or id in covers.sites)
        and (not covers.kinds or site.kind in covers.kinds)
        and (not covers.poles or site.pole in covers.poles)
    )

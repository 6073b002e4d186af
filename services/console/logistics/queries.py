"""Queries about resource requests and stocks."""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.base import Instant
from schemas.crisis import resource_requests as res
from services.console import resources as r
from services.console.logistics.shapes import build_request, build_stock, suggest_offers
from services.console.read_model.query_base import (
    OpenedRealm,
    QueryBase,
    find_barred_sites,
    get_known,
    get_snapshot_time,
)

_PRIORITY_ORDER: Final = {
    res.RequestPriority.LIFE: 0,
    res.RequestPriority.CONTINUITY: 1,
    res.RequestPriority.COMFORT: 2,
}


def order_request(row: res.ResourceRequestRow) -> tuple[bool, int, Instant, int]:
    """Return the place of a request in a list: open ones, then by priority and time."""
    start = row.needed_from or row.requested_at
    return (row.state in res.OVER_STATES, _PRIORITY_ORDER[row.priority], start, row.number)


class LogisticsQueries(QueryBase):
    async def resource_requests(
        self,
        *,
        state: Sequence[str] = (),
        site: str | None = None,
        kind: str | None = None,
        priority: Sequence[str] = (),
        incident: str | None = None,
        with_text: bool = False,
        with_suggestions: bool = False,
    ) -> list[r.ResourceRequest]:
        """List requests: open ones first, life first, then the earliest needed.

        `with_suggestions` adds the offers that could be made for those that wait.
        """
        view = await self.read()
        rows = await view.picture.rows(res.ResourceRequestRow)
        levels = await view.picture.rows(res.StockRow) if with_suggestions else {}
        barred_sites = (
            await find_barred_sites(view.picture) if with_suggestions else frozenset[str]()
        )
        matching_rows = [
            row
            for row in rows.values()
            if (not state or row.state in state)
            and site in (None, row.site)
            and kind in (None, row.kind)
            and (not priority or row.priority in priority)
            and incident in (None, row.incident)
        ]
        texts = self._request_texts(matching_rows) if with_text else {}
        return [
            self._shape(
                view,
                row,
                texts.get(row.text_id or ""),
                levels if with_suggestions and row.state in res.WAITING_STATES else None,
                barred_sites,
            )
            for row in sorted(matching_rows, key=order_request)
        ]

    async def resource_request(self, id: str, *, with_text: bool = False) -> r.ResourceRequest:
        """Return one request with the offers that could be made now. Raises NotFound."""
        view = await self.read()
        row = get_known(await view.picture.some(res.ResourceRequestRow, [id]), id)
        levels = await view.picture.rows(res.StockRow)
        texts = self._request_texts([row]) if with_text else {}
        barred_sites = await find_barred_sites(view.picture)
        return self._shape(view, row, texts.get(row.text_id or ""), levels, barred_sites)

    async def stocks(self) -> list[r.StockLevel]:
        """List all stocks with their levels, by kind and name."""
        view = await self.read()
        rows = await view.picture.rows(res.StockRow)
        names = view.picture.reference.names
        stocks = view.picture.reference.resources.stocks.values()
        levels = [
            build_stock(self._realm, stock, rows.get(stock.id), names, self._lang)
            for stock in stocks
        ]
        return sorted(levels, key=lambda one: (one.kind_name, one.site_name, one.id))

    def _request_texts(self, rows: Sequence[res.ResourceRequestRow]) -> dict[str, str]:
        """Return the words of these requests by the id of their text."""
        ids = [row.text_id for row in rows if row.text_id is not None]
        return {id: text for id in ids if (text := self.words_of(id)) is not None}

    def _shape(
        self,
        view: OpenedRealm,
        row: res.ResourceRequestRow,
        text: str | None,
        levels: Mapping[str, res.StockRow] | None,
        barred_sites: frozenset[str],
    ) -> r.ResourceRequest:
        reference, lang = view.picture.reference, view.shape.lang
        request = build_request(view.shape.realm, row, reference.names, lang, text)
        if levels is None:
            return request
        now = get_snapshot_time(view.picture)
        waits = row.state in res.WAITING_STATES
        suggestions = (
            suggest_offers(reference, row, levels, barred_sites, now, lang) if waits else []
        )
        return request.model_copy(update={"suggestions": suggestions})

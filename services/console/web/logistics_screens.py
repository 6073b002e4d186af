"""Build the board of resource requests: `/moyens`. Rule D88."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request

from schemas.resource_requests import RequestPriority
from services.console.logistics.api import may_read_words
from services.console.logistics.page import build_columns, group_stocks, list_ended
from services.console.texts.names import shorten_site_name
from services.console.web.planning_screens import PlanningScreens
from services.console.web.screen_context import list_site_choices


class LogisticsScreens(PlanningScreens):
    """Contexts of the planning screens and of the board of resource requests."""

    async def resources(self, request: Request) -> dict[str, Any]:
        """Build `moyens.html`: requests by state, stocks, the form of a request."""
        x = await self._load(request, "resources")
        realm, lang = x.shell.realm.name, x.shell.lang
        principal = x.shell.reader.principal
        found, stocks = await asyncio.gather(
            self._queries.resource_requests(
                realm,
                lang=lang,
                with_text=may_read_words(principal),
                with_suggestions=True,
            ),
            self._queries.stocks(realm, lang=lang),
        )
        scope = principal.scope
        mine = [
            site
            for site in x.sites
            if (not scope.sites or site.id in scope.sites)
            and (not scope.poles or site.pole in scope.poles)
        ]
        names = x.names
        return {
            **self._around(request, x),
            "columns": build_columns(found, x._),
            "ended": list_ended(found),
            "stocks": group_stocks(stocks),
            "kinds": [(id, names.resource(id, 2, lang)) for id in names.resource_kinds],
            "people_kinds": [id for id, kind in names.resource_kinds.items() if kind.by_metier],
            "metiers": sorted(
                ((id, names.metier(id, lang)) for id in names.metiers), key=lambda one: one[1]
            ),
            "priorities": list(RequestPriority),
            "places": list_site_choices(mine),
            "asked_place": next(
                (
                    (site.id, shorten_site_name(site.name))
                    for site in mine
                    if site.id == request.query_params.get("site")
                ),
                None,
            ),
        }

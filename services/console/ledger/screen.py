"""Page `/depenses`: sums of the costs, and the newest lines with their sources. Rule D93."""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from services.console.i18n import N_
from services.console.ledger.lines import CostKind
from services.console.ledger.queries import LedgerFilter
from services.console.ledger.resources import COST_KIND, LedgerLine, format_quantity
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

LINES_SHOWN: Final = 100
"""Newest lines on the page, messages of one minute as one; the table has all."""
LINES_READ: Final = 1000
_FILTERS: Final = ("incident", "pole", "kind", "claim")


def read_filter(query: dict[str, str]) -> LedgerFilter:
    """Return the filter of an address; an unknown kind is no filter."""
    incident, pole, kind, claim = (query.get(name) or None for name in _FILTERS)
    cost_kind = next((one for one in CostKind if one == kind), None)
    return LedgerFilter(incident, pole, cost_kind, claim)


def merge_messages(lines: Iterable[LedgerLine]) -> list[list[LedgerLine]]:
    """Put messages in a row of one minute, channel, price and site together, in the same order."""

    def describe(line: LedgerLine) -> object:
        if line.kind is not CostKind.MESSAGE:
            return line.id
        minute = line.at.replace(second=0, microsecond=0)
        return minute, line.what, line.unit_price_eur, line.draft, line.site

    return [list(merged) for _, merged in groupby(lines, key=describe)]


def add_up(lines: list[LedgerLine]) -> LedgerLine:
    """Return the first of these lines with the quantity and the amount of all."""
    amounts = [line.amount_eur for line in lines if line.amount_eur is not None]
    quantity = sum(line.quantity for line in lines)
    total = {"quantity": quantity, "amount_eur": sum(amounts) if amounts else None}
    return lines[0].model_copy(update=total)


async def build_ledger_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    choice = read_filter(dict(x.request.query_params))
    totals, whole, lines = await asyncio.gather(
        x.queries.ledger_totals(choice),
        x.queries.ledger_totals(),
        x.queries.ledger(choice, limit=LINES_READ),
    )
    page_lines = merge_messages(lines.items)[:LINES_SHOWN]
    filters = {name: getattr(choice, name) for name in _FILTERS if getattr(choice, name)}
    return {
        "totals": totals,
        "whole": whole,
        "lines": [add_up(merged) for merged in page_lines],
        "more": totals.lines - sum(len(merged) for merged in page_lines),
        "choice": choice,
        "chosen": filters,
        "price": lambda euros: w.format_unit_price(euros, x.shell.lang),
        "cost_kind": COST_KIND,
        "quantity": lambda quantity, unit: format_quantity(quantity, unit, x._),
        "names": x.names,
    }


PAGE: Final = ScreenPage(
    "ledger",
    "/depenses",
    "ledger/screen.html",
    build_ledger_page,
    N_("Dépenses"),
    after="obligations",
    needs=Permission.LOG_READ,
    is_cached=False,  # agent-days and fuel grow without a fact on any log
)

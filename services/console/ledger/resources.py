"""Resources of the ledger: lines and sums of costs, and their names in words. Rule D93."""

from typing import Final

from pydantic import Field

from services.console.i18n import N_, Translator
from services.console.ledger.lines import CostKind, CostUnit
from services.console.resource_base import Resource, Time
from services.console.texts import words as w

COST_KIND: Final = {
    "agent_days": N_("Agents réaffectés"),
    "travel": N_("Déplacements"),
    "resource": N_("Moyens"),
    "fuel": N_("Carburant"),
    "message": N_("Messages"),
}
COST_UNIT: Final = {
    "agent_day": N_("agents-jours"),
    "km": N_("km"),
    "piece": N_("unités"),
    "litre": N_("litres"),
    "part": N_("messages facturés"),
}


def format_quantity(quantity: float, unit: str, _: Translator) -> str:
    """Format a quantity with its unit: `1 unité`, `2,5 litres`."""
    n = w.format_number(quantity, _.lang)
    match CostUnit(unit):
        case CostUnit.AGENT_DAY:
            return _.plural("{n} agent-jour", "{n} agents-jours", quantity, n=n)
        case CostUnit.PIECE:
            return _.plural("{n} unité", "{n} unités", quantity, n=n)
        case CostUnit.LITRE:
            return _.plural("{n} litre", "{n} litres", quantity, n=n)
        case CostUnit.PART:
            return _.plural("{n} message facturé", "{n} messages facturés", quantity, n=n)
        case CostUnit.KILOMETRE:
            return f"{n} km"


class LedgerLine(Resource):
    """One cost with the row of the log that caused it."""

    id: str
    realm: str
    kind: CostKind
    source: str = Field(description="`<collection>/<id>` of the row that caused it")
    at: Time = Field(description="time from which it is due: arrival, promise, sending")
    what: str = Field(description="métier, kind of resource or channel, in words")
    quantity: float
    unit: CostUnit
    unit_price_eur: float | None = Field(description="null: the territory has set no price")
    amount_eur: float | None = Field(description="exact to a hundredth of a cent")
    draft: bool = Field(description="true: nobody has confirmed the unit price")
    incident: str | None
    pole: str | None
    site: str | None
    claims: list[str] = Field(description="declarations to an insurer that it belongs to")


class LedgerSum(Resource):
    """Sum of the lines under one key."""

    key: str
    title: str
    lines: int
    amount_eur: float
    draft_eur: float = Field(description="part of the amount with prices that nobody confirmed")
    unpriced: int = Field(description="lines without a price, which are in no amount")


class LedgerTotals(Resource):
    """Sums of the ledger. A line may belong to several claims, so these do not add up."""

    realm: str
    amount_eur: float
    draft_eur: float = Field(description="part of the amount with prices that nobody confirmed")
    lines: int
    unpriced: int
    kinds: list[LedgerSum]
    incidents: list[LedgerSum]
    poles: list[LedgerSum]
    claims: list[LedgerSum]

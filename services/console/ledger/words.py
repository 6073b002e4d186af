"""Words of the ledger in French."""

from typing import Final

from services.console.i18n import N_

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

"""Fallback strategies of activities: one row per code; every other table is derived from it."""

from dataclasses import dataclass
from typing import Final

from schemas.catalogue.event_types import Text


@dataclass(frozen=True, slots=True)
class StrategyType:
    """Everything that the system knows of a strategy in the lists of a territory."""

    code: str
    label: Text
    """Name on screens."""
    phrase: Text
    """Name in the middle of a sentence of a message."""
    outside_help: bool = False
    """It needs somebody outside: a supplier or a partner."""
    carries: frozenset[str] = frozenset()
    """Kinds of loss that an activity survives with it: site, system, supplier, kitchen. D130."""


_ROWS: Final = (
    StrategyType(
        "SR-SITE",
        Text("repli sur un autre site", "fallback to another site"),
        Text("autre site", "another site"),
        carries=frozenset({"site"}),
    ),
    StrategyType(
        "SR-TELE",
        Text("télétravail", "telework"),
        Text("télétravail", "work from home"),
        carries=frozenset({"site"}),
    ),
    StrategyType(
        "SR-DEG",
        Text("mode dégradé", "degraded mode"),
        Text("travail sur papier", "degraded mode, on paper"),
        carries=frozenset({"system", "kitchen"}),
    ),
    StrategyType(
        "SR-RH",
        Text("renfort interne", "internal reinforcement"),
        Text("renfort d’agents", "more staff"),
    ),
    StrategyType(
        "SR-MUT",
        Text("aide mutuelle", "mutual aid"),
        Text("aide d’un partenaire", "help of a partner"),
        outside_help=True,
        carries=frozenset({"site", "system", "supplier", "kitchen"}),
    ),
    StrategyType(
        "SR-FOUR",
        Text("autre fournisseur", "another supplier"),
        Text("autre fournisseur", "other supplier"),
        outside_help=True,
        carries=frozenset({"supplier", "kitchen"}),
    ),
    StrategyType(
        "SR-SUSP",
        Text("suspension", "suspension"),
        Text("suspension du service", "suspend the service"),
    ),
)
STRATEGIES: Final = {row.code: row for row in _ROWS}
"""Code → its row."""


def needs_outside_help(strategy: str) -> bool:
    """Return whether a listed strategy (`SR-MUT:hôpital voisin`) needs somebody outside."""
    row = STRATEGIES.get(strategy.partition(":")[0].strip())
    return row is not None and row.outside_help


def list_strategy_names() -> list[Text]:
    """List the names on screens, which their translator needs beside its catalogue."""
    return [row.label for row in _ROWS]

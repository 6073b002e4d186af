"""Words of the risk of breach on the page of activities. Rule D132. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.console.i18n import Translator
from services.console.risk.resources import ActivityRisk, BreachRisks, DecisionRisk

DECISIONS_NAMED: Final = 2
RISKS_ON_CELL: Final = 3
LEAST_ON_CELL_PCT: Final = 1.0


@dataclass(frozen=True, slots=True)
class RiskLine:
    """Risk of one activity as displayed."""

    activity: str
    name: str
    chance: str
    decisions: list[str]


def build_risk_lines(risks: BreachRisks, _: Translator) -> list[RiskLine]:
    """Build the rows of activities with a limit ahead."""
    return [
        RiskLine(one.activity, one.name, write_chance(one, _), _write_decisions(one, _))
        for one in risks.items
    ]


def build_cell_risks(
    risks: BreachRisks | None, running: Collection[str], _: Translator
) -> list[RiskLine]:
    """Build the largest risks of activities with a running clock, for one line of the cell."""
    items = [] if risks is None else risks.items
    risky = [
        one
        for one in items
        if one.activity in running
        and max(one.rto_pct or 0.0, one.dmia_pct or 0.0) >= LEAST_ON_CELL_PCT
    ]
    return [
        RiskLine(one.activity, one.name, write_chance(one, _), []) for one in risky[:RISKS_ON_CELL]
    ]


def write_chance(one: ActivityRisk | DecisionRisk, _: Translator) -> str:
    """Write `RTO 63 %, DMIA 11 %`."""
    parts = [
        _("{limit} {pct}", limit=name, pct=write_percent(pct, _))
        for name, pct in (("RTO", one.rto_pct), (_("DMIA"), one.dmia_pct))
        if pct is not None
    ]
    return ", ".join(parts)


def write_percent(pct: float, _: Translator) -> str:
    """Write a share; nothing that was simulated is certain."""
    if pct < 1:
        return _("moins de 1 %")
    return _("plus de 99 %") if pct > 99 else _("{n} %", n=round(pct))


def _write_decisions(one: ActivityRisk, _: Translator) -> list[str]:
    return [
        _("avec {what} : {chance}", what=decision.name, chance=write_chance(decision, _))
        for decision in one.decisions[:DECISIONS_NAMED]
    ]


def write_sentences(lines: Sequence[RiskLine], _: Translator) -> dict[str, str]:
    """Return activity → `risque de rupture : RTO 63 % ; avec un groupe à cen-2 : RTO 11 %`."""
    return {
        line.activity: _(
            "risque de rupture : {chances}", chances=" ; ".join((line.chance, *line.decisions))
        )
        for line in lines
    }

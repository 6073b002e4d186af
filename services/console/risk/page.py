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


def write_chance(one: ActivityRisk, _: Translator) -> str:
    """Write `63 % de risque de dépasser le RTO, 11 % de risque de dépasser la DMIA`."""
    chances = (write_rto_chance(one.rto_pct, _), write_dmia_chance(one.dmia_pct, _))
    return ", ".join(chance for chance in chances if chance)


def write_rto_chance(pct: float | None, _: Translator) -> str:
    """Write the chance to pass the RTO; empty if it is passed or not running."""
    if pct is None:
        return ""
    return _("{pct} de risque de dépasser le RTO", pct=write_percent(pct, _))


def write_dmia_chance(pct: float | None, _: Translator) -> str:
    """Write the chance to pass the DMIA; empty if it is passed or not running."""
    if pct is None:
        return ""
    return _("{pct} de risque de dépasser la DMIA", pct=write_percent(pct, _))


def write_percent(pct: float, _: Translator) -> str:
    """Write a share; nothing that was simulated is certain."""
    if pct < 1:
        return _("moins de 1 %")
    return _("plus de 99 %") if pct > 99 else _("{n} %", n=round(pct))


def _write_decisions(one: ActivityRisk, _: Translator) -> list[str]:
    return [
        _("avec {what} : {chance}", what=decision.name, chance=_write_lower_chance(decision, _))
        for decision in one.decisions[:DECISIONS_NAMED]
    ]


def _write_lower_chance(decision: DecisionRisk, _: Translator) -> str:
    """Write `11 % pour le RTO, moins de 1 % pour la DMIA`."""
    chances = []
    if decision.rto_pct is not None:
        chances.append(_("{pct} pour le RTO", pct=write_percent(decision.rto_pct, _)))
    if decision.dmia_pct is not None:
        chances.append(_("{pct} pour la DMIA", pct=write_percent(decision.dmia_pct, _)))
    return ", ".join(chances)


def write_sentences(lines: Sequence[RiskLine]) -> dict[str, str]:
    """Return the chance of each activity, with the decisions that lower it."""
    return {line.activity: " ; ".join((line.chance, *line.decisions)) for line in lines}

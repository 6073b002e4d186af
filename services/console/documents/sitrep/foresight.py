"""Sections about the highest risks of breach, and about the proof of plans. Rules D85 and D132."""

from typing import Final

from schemas.words import ACTIVE_PLAN_STATES, PlanState
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
)
from services.console.documents.facts import SitrepFacts
from services.console.proof.resources import PlanProofSummary
from services.console.risk.page import write_dmia_chance, write_percent, write_rto_chance
from services.console.risk.resources import ActivityRisk, DecisionRisk
from services.console.texts import words as w

RISKS_SHOWN: Final = 5
PROOFS_SHOWN: Final = 3


def write_risks_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    """Write the five highest risks, each with the decision that lowers it most."""
    _ = x._
    lines = list_risk_lines(x, citations)
    hidden_count = len(x.risks) - len(lines)
    aside = _.plural("et {n} autre", "et {n} autres", hidden_count) if hidden_count else ""
    return DocumentSection(
        id="risks",
        title=_("Risques de rupture"),
        aside=aside,
        half=True,
        lines=lines or write_no_risk(x),
    )


def write_no_risk(x: SitrepFacts) -> tuple[DocumentLine]:
    """Write that no activity risks a breach, and how many clocks of single sites run."""
    _ = x._
    text = _("Aucune activité du département ne risque de rupture")
    if at_sites := sum(clock.site is not None for clock in x.clocks):
        text += _("\u00a0; ") + _.plural(
            "{n} horloge de site court", "{n} horloges de sites courent", at_sites
        )
    return (DocumentLine(text=f"{text}."),)


def list_risk_lines(x: SitrepFacts, citations: Citations) -> tuple[DocumentLine, ...]:
    """List the five highest risks as lines."""
    return tuple(
        DocumentLine(text=_write_risk(x, one), refs=citations.of(f"activity:{one.activity}"))
        for one in x.risks[:RISKS_SHOWN]
    )


def _write_risk(x: SitrepFacts, one: ActivityRisk) -> str:
    """Write the chance to pass the gravest limit, and with the best decision."""
    _ = x._
    chance = write_dmia_chance(one.dmia_pct, _) or write_rto_chance(one.rto_pct, _)
    text = _("{what} : {chance}", what=x.names.activity_short(one.activity, x.lang), chance=chance)
    best = one.decisions[0] if one.decisions else None
    lower_pct = None if best is None else _get_lower_pct(one, best)
    if best is None or lower_pct is None:
        return f"{text}."
    lower = write_percent(lower_pct, _)
    return text + _("\u00a0; ") + _("{pct} avec {what}.", pct=lower, what=best.name)


def _get_lower_pct(one: ActivityRisk, decision: DecisionRisk) -> float | None:
    return decision.rto_pct if one.dmia_pct is None else decision.dmia_pct


def write_proofs_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    """Write the share of the plans that is proven: plans in use first, then the least proven."""
    _ = x._
    proofs = x.proofs
    if proofs is None or proofs.pct is None:
        return DocumentSection(
            id="proofs",
            title=_("Preuve des plans"),
            half=True,
            lines=(DocumentLine(text=_("Aucun plan avec un contenu à prouver.")),),
        )
    return DocumentSection(
        id="proofs",
        title=_("Preuve des plans"),
        aside=_("{pct} en moyenne", pct=_write_percent(proofs.pct, x)),
        half=True,
        lines=list_proof_lines(x, citations),
    )


def list_proof_lines(x: SitrepFacts, citations: Citations) -> tuple[DocumentLine, ...]:
    """List the plans in use, then the least proven ones, with the change that would help most."""
    if x.proofs is None:
        return ()
    used = {plan.id for plan in x.plans if plan.state in (*ACTIVE_PLAN_STATES, PlanState.PROPOSED)}
    ordered_proofs = sorted(x.proofs.items, key=lambda one: (one.id not in used, one.pct, one.id))
    return tuple(
        DocumentLine(text=_write_proof(x, one), refs=citations.of(f"plan:{one.id}"))
        for one in ordered_proofs[:PROOFS_SHOWN]
    )


def _write_proof(x: SitrepFacts, one: PlanProofSummary) -> str:
    text = x._("{what} : prouvé à {pct}", what=one.title, pct=_write_percent(one.pct, x))
    if one.best is None:
        return f"{text}."
    gain = w.format_number(one.best.gain, x.lang)
    return x._("{proof}. {deed} (+ {gain} points).", proof=text, deed=one.best.text, gain=gain)


def _write_percent(pct: float, x: SitrepFacts) -> str:
    return x._("{n} %", n=round(pct))

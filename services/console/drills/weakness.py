"""Rank plans by weakness: readiness hole × loss × cards never exercised. Rule D95. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.console.dependencies.losses import EvaluatedLoss
from services.console.dependencies.network import LostResource
from services.console.proof.judgement import PlanProof, ProofItem, ProofKind

LEAST_FACTOR: Final = 0.1
"""Least value of a factor, so that one strength does not hide two weaknesses."""


@dataclass(frozen=True, slots=True)
class PlanWeakness:
    """Weakness of one plan, with the cards, contacts and hosts that nobody proved."""

    plan: str
    hole: float
    """Share of the people and partners that nobody reached in the last 30 days."""
    loss: float
    """Share of all activities that stop in the worst loss that calls for the plan."""
    unexercised: float
    """Share of the cards that nobody did in time in the last 12 months."""
    cards: tuple[str, ...]
    """Cards never exercised."""
    contacts: tuple[str, ...]
    """Roles of which somebody is not reached, as the proof names them."""
    full_hosts: tuple[str, ...]
    """Kinds of fallback site without a free place."""
    worst: LostResource | None = None
    """Resource of the worst loss that calls for the plan."""
    at_once: LostResource | None = None
    """Resource of the worst loss that calls for the plan at once."""
    stopped: int = 0
    """Activities that stop in the worst loss."""

    @property
    def score(self) -> float:
        factors = (self.hole, self.loss, self.unexercised)
        product = 1.0
        for factor in factors:
            product *= max(factor, LEAST_FACTOR)
        return round(product, 6)


@dataclass(frozen=True, slots=True)
class _PlanLosses:
    worst: EvaluatedLoss | None = None
    at_once: EvaluatedLoss | None = None


def rank_weaknesses(
    proofs: Mapping[str, PlanProof], losses: Iterable[EvaluatedLoss], activities: int
) -> list[PlanWeakness]:
    """Return the weakness of each plan, the weakest first.

    `losses` come the worst first, with the plans that each calls for.
    """
    by_plan = _index_losses(losses)
    weaknesses = [
        _measure(proof, by_plan.get(id, _PlanLosses()), activities) for id, proof in proofs.items()
    ]
    return sorted(weaknesses, key=lambda one: (-one.score, one.plan))


def _index_losses(losses: Iterable[EvaluatedLoss]) -> dict[str, _PlanLosses]:
    losses_by_plan: dict[str, _PlanLosses] = {}
    for loss in losses:
        for plan in loss.plans:
            plan_losses = losses_by_plan.get(plan.plan, _PlanLosses())
            soon = plan_losses.at_once or (loss if plan.after_h == 0 else None)
            losses_by_plan[plan.plan] = _PlanLosses(plan_losses.worst or loss, soon)
    return losses_by_plan


def _measure(proof: PlanProof, losses: _PlanLosses, activities: int) -> PlanWeakness:
    cards = _list_missing(proof, ProofKind.CARDS)
    contacts = _list_missing(proof, ProofKind.CONTACTS)
    hosts = _list_missing(proof, ProofKind.HOSTS)
    worst, at_once = losses.worst, losses.at_once
    stopped_count = len(worst.stops) if worst is not None else 0
    return PlanWeakness(
        plan=proof.plan,
        hole=1 - proof.shares.get(ProofKind.CONTACTS, 1.0),
        loss=stopped_count / activities if activities else 0.0,
        unexercised=1 - proof.shares.get(ProofKind.CARDS, 1.0),
        cards=tuple(item.key for item in cards),
        contacts=tuple(item.key for item in sorted(contacts, key=_get_share)),
        full_hosts=tuple(item.key for item in hosts if not item.proven),
        worst=worst.resources[0] if worst is not None else None,
        at_once=at_once.resources[0] if at_once is not None else None,
        stopped=stopped_count,
    )


def _list_missing(proof: PlanProof, kind: ProofKind) -> list[ProofItem]:
    return [i for i in proof.items if i.kind is kind and i.proven < i.total]


def _get_share(item: ProofItem) -> tuple[float, str]:
    return item.share, item.key

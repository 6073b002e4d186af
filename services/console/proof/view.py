"""Write the proof of plans in words, for the API, pages and commands. Pure. Rule D85."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from schemas import reference as ref
from schemas.ranks import SITE_MANAGER_ROLE
from services.console.i18n import N_, Translator
from services.console.proof.judgement import (
    REVIEW_KEY,
    PlanProof,
    ProofChange,
    ProofFacts,
    ProofItem,
    ProofKind,
    average_proofs,
)
from services.console.proof.resources import (
    PlanProofDetail,
    PlanProofs,
    PlanProofSummary,
    PoleProof,
    ProofDeed,
    ProofPart,
    ProofShare,
)
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.console.texts import world

LABELS: Final[Mapping[ProofKind, str]] = {
    ProofKind.CONTACTS: N_("Contacts joints depuis moins de 30 jours"),
    ProofKind.CARDS: N_("Fiches faites à temps en exercice depuis 12 mois"),
    ProofKind.HOSTS: N_("Sites de repli avec des places libres"),
    ProofKind.SKILLS: N_("Métiers en nombre suffisant"),
    ProofKind.REVIEW: N_("Revue à jour"),
    ProofKind.DOCUMENTS: N_("Documents présents"),
}
PATHS: Final[Mapping[ProofKind, str]] = {
    ProofKind.CONTACTS: "/annuaire",
    ProofKind.CARDS: "/realms",
    ProofKind.HOSTS: "/reaffectation",
    ProofKind.SKILLS: "/reaffectation",
    ProofKind.REVIEW: "/revue",
    ProofKind.DOCUMENTS: "/donnees",
}
"""Kind → page on which it is proven."""


@dataclass(frozen=True)
class ProofWriter:
    """Names the things that plans count on, in one language."""

    facts: ProofFacts
    translator: Translator

    @cached_property
    def _documents(self) -> dict[str, str]:
        contents = self.facts.contents.values()
        return {d.id: d.title for content in contents for d in content.documents}

    def write_proofs(self, realm: str, proofs: Mapping[str, PlanProof]) -> PlanProofs:
        """Write the proof of all plans, by pôle and in all."""
        names, plans = self.facts.reference.names, self.facts.reference.plans
        by_pole: dict[str, list[PlanProof]] = {}
        for id, proof in proofs.items():
            if (pole := plans[id].pole) is not None:
                by_pole.setdefault(pole, []).append(proof)
        return PlanProofs(
            realm=realm,
            at=to_datetime(self.facts.now),
            pct=average_proofs(proofs.values()),
            poles=[
                PoleProof(
                    pole=pole,
                    name=names.pole_short(pole, self.translator.lang),
                    pct=average_proofs(pole_proofs) or 0.0,
                    plans=[one.plan for one in pole_proofs],
                )
                for pole, pole_proofs in by_pole.items()
            ],
            items=[self.write_summary(proof) for proof in proofs.values()],
        )

    def write_summary(self, proof: PlanProof) -> PlanProofSummary:
        """Write the proof of a plan without its single items."""
        plan = self.facts.reference.plans[proof.plan]
        return PlanProofSummary(
            id=plan.id,
            title=plan.title,
            pole=plan.pole,
            pct=proof.pct,
            shares=[self._write_share(kind, proof) for kind in proof.shares],
            best=self._write_change(proof.changes[0], plan) if proof.changes else None,
        )

    def write_detail(self, realm: str, proof: PlanProof) -> PlanProofDetail:
        """Write the proof of a plan with everything that it counts on."""
        plan = self.facts.reference.plans[proof.plan]
        return PlanProofDetail(
            **dict(self.write_summary(proof)),
            realm=realm,
            at=to_datetime(self.facts.now),
            items=[
                ProofPart(
                    kind=item.kind,
                    id=item.key,
                    name=self._name_item(item, plan),
                    proven=item.proven,
                    total=item.total,
                    at=None if item.at is None else to_datetime(item.at),
                )
                for item in proof.items
            ],
            changes=[self._write_change(change, plan) for change in proof.changes],
        )

    def _write_share(self, kind: ProofKind, proof: PlanProof) -> ProofShare:
        kind_items = [item for item in proof.items if item.kind is kind]
        return ProofShare(
            kind=kind,
            name=self.translator(LABELS[kind]),
            pct=round(100 * proof.shares[kind], 1),
            proven=sum(item.proven >= item.total for item in kind_items),
            total=len(kind_items),
        )

    def _write_change(self, change: ProofChange, plan: ref.Plan) -> ProofDeed:
        return ProofDeed(
            kind=change.kind,
            ids=[item.key for item in change.items],
            text=self._describe_deed(change, plan),
            gain=change.gain,
            path=PATHS[change.kind],
        )

    def _describe_deed(self, change: ProofChange, plan: ref.Plan) -> str:
        _, item = self.translator, change.items[0]
        name, missing = self._name_item(item, plan), item.total - item.proven
        match change.kind:
            case ProofKind.CARDS:
                return _.plural(
                    "Jouer un exercice du plan : {n} fiche à faire à temps",
                    "Jouer un exercice du plan : {n} fiches à faire à temps",
                    len(change.items),
                )
            case ProofKind.HOSTS:
                return _.plural(
                    "Rendre des places dans {n} site complet : {name}",
                    "Rendre des places dans {n} sites complets : {name}",
                    missing,
                    name=name,
                )
            case ProofKind.SKILLS:
                return _.plural(
                    "Trouver {n} agent de plus : {name}",
                    "Trouver {n} agents de plus : {name}",
                    missing,
                    name=name,
                )
            case ProofKind.REVIEW:
                if item.key == REVIEW_KEY:
                    return _("Revoir le plan")
                return _("Confirmer l’activité : {name}", name=name)
            case ProofKind.DOCUMENTS:
                return _("Écrire où se trouve le document : {name}", name=name)
        if item.total > 1:
            return _.plural(
                "Joindre {n} personne : {name}",
                "Joindre {n} personnes : {name}",
                missing,
                name=name,
            )
        return _("Joindre : {name}", name=name)

    def _name_item(self, item: ProofItem, plan: ref.Plan) -> str:
        _, names = self.translator, self.facts.reference.names
        match item.kind:
            case ProofKind.CONTACTS:
                return self._name_contact(item.key)
            case ProofKind.CARDS:
                return next(card.task for card in plan.cards if card.id == item.key)
            case ProofKind.HOSTS:
                return w.translate_code(world.KIND_MANY, item.key, _)
            case ProofKind.SKILLS:
                return names.metier(item.key, _.lang)
            case ProofKind.REVIEW:
                if item.key == REVIEW_KEY:
                    return _("Revue du plan")
                return names.activity_label(item.key, _.lang)
        return self._documents.get(item.key, item.key)

    def _name_contact(self, key: str) -> str:
        _, names = self.translator, self.facts.reference.names
        if key.startswith(ref.CONTACT_TOKEN_PREFIX):
            return self.facts.partners[key.removeprefix(ref.CONTACT_TOKEN_PREFIX)].function
        if key == SITE_MANAGER_ROLE:
            return _("Responsables de site")
        role, _sep, scope = key.partition(":")
        if not scope and role in names.roles:
            return names.roles[role]
        return w.name_role(role, scope or None, names, _)

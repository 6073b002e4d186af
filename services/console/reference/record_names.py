"""Name records, their fields and their values in words. Rule D86."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.reference_changes import FieldValue, RecordKind
from schemas.words import Channel
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.territory.records import CARD_SEPARATOR, RECORDS, split_card_id

KINDS: Final[Mapping[RecordKind, str]] = {
    RecordKind.CONTACT: N_("Partenaire"),
    RecordKind.PLAN: N_("Plan"),
    RecordKind.CARD: N_("Fiche"),
    RecordKind.ACTIVITY: N_("Activité"),
    RecordKind.STEP: N_("Escalade"),
}
LABELS: Final[Mapping[RecordKind, Mapping[str, str]]] = {
    RecordKind.CONTACT: {
        "organisation": N_("Organisme"),
        "function": N_("Fonction"),
        "domain": N_("Domaine"),
        "caller": N_("Qui appelle"),
        "when": N_("Quand appeler"),
        "say": N_("Quoi dire"),
        "ask": N_("Quoi demander"),
        "withhold": N_("Ne pas transmettre"),
        "hours": N_("Horaires"),
        "fallback": N_("Moyen de joindre sans informatique"),
        "plans": N_("Plans où il est appelé"),
        "verified_on": N_("Vérifié le"),
    },
    RecordKind.PLAN: {
        "title": N_("Titre"),
        "purpose": N_("Objet"),
        "status": N_("Maturité du contenu"),
        "review_owner": N_("Relu par"),
        "reviewed_on": N_("Dernière relecture"),
        "review_due_on": N_("Prochaine relecture"),
    },
    RecordKind.CARD: {
        "task": N_("Titre"),
        "t_min": N_("Délai, en minutes"),
        "steps": N_("Étapes"),
        "done_when": N_("Faite quand"),
        "evidence_text": N_("Preuve à donner"),
        "materials": N_("Matériel"),
        "solidarity": N_("Solidarité"),
        "working_conditions": N_("Conditions de travail"),
        "environment": N_("Environnement"),
        "rule": N_("Règle à respecter"),
    },
    RecordKind.ACTIVITY: {
        "name": N_("Nom"),
        "short_name": N_("Nom court, pour les messages"),
        "criticality": N_("Criticité, de 1 à 4"),
        "rto_h": N_("Délai de reprise (RTO), en heures"),
        "dmia_h": N_("Interruption admissible (DMIA), en heures"),
        "pdma_h": N_("Perte de données admissible (PDMA), en heures"),
        "mbco_pct": N_("Niveau minimal (MBCO), en %"),
        "minimum_staff": N_("Effectif minimal le premier jour"),
        "systems": N_("Systèmes"),
        "suppliers": N_("Fournisseurs et partenaires"),
    },
    RecordKind.STEP: {
        "after_min": N_("Commence après, en minutes"),
        "ack_min": N_("Délai pour répondre, en minutes"),
        "expected": N_("Réponses attendues"),
        "channels": N_("Canaux"),
    },
}


def label_field(kind: RecordKind, name: str, _: Translator) -> str:
    """Return the label of a field; a field of an older version keeps its name."""
    label = LABELS[kind].get(name)
    return _(label) if label else name


def name_record(names: TerritoryNames, kind: RecordKind, id: str) -> str:
    """Return the name of a record; its id if it is gone."""
    if kind is RecordKind.CONTACT:
        return names.suppliers.get(id, id)
    if kind is RecordKind.STEP:
        return id.replace(CARD_SEPARATOR, " ")
    if kind is RecordKind.ACTIVITY:
        return names.activities[id].name if id in names.activities else id
    plan_id, card_id = split_card_id(id) if kind is RecordKind.CARD else (id, "")
    plan = names.plans.get(plan_id)
    if plan is None:
        return id
    if kind is RecordKind.PLAN:
        return plan.title
    return next((card.task for card in plan.cards if card.id == card_id), id)


def _name_step(id: str, _: Translator) -> str:
    ladder, wave = split_card_id(id)
    return _("{ladder}, vague {wave}", ladder=ladder, wave=wave)


def name_record_with_kind(names: TerritoryNames, kind: RecordKind, id: str, _: Translator) -> str:
    """Return the name of a record after its kind, as the logbook writes it."""
    name = _name_step(id, _) if kind is RecordKind.STEP else name_record(names, kind, id)
    return _("{kind} « {name} »", kind=_(KINDS[kind]), name=name)


def show_value(
    kind: RecordKind, name: str, value: FieldValue, names: TerritoryNames, _: Translator
) -> list[str]:
    """Return the value of a field in lines that people read."""
    refers = {f.name: f.refers for part in RECORDS[kind] for f in part.fields}.get(name, "")
    found = value if isinstance(value, tuple) else () if value in (None, "") else (value,)
    return [name_choice(refers, _write_value(one, _), names, _) for one in found]


def _write_value(value: str | float, _: Translator) -> str:
    return w.format_number(value, _.lang) if isinstance(value, int | float) else value


def name_choice(refers: str, id: str, names: TerritoryNames, _: Translator) -> str:
    """Return the name of an id that a field refers to; a text stays as it is."""
    match refers:
        case "role":
            return w.name_role(id, None, names, _)
        case "plan":
            return names.plan(id)
        case "system":
            return world.name_system(id, names, _)
        case "channel":
            return _(w.CHANNEL[Channel(id)]) if id in set(Channel) else id
        case "supplier":
            return names.suppliers.get(id) or world.name_dependency(id, _)
        case _:
            return id


def find_record_address(kind: RecordKind, id: str) -> tuple[str, str]:
    """Return the address of the page that shows a record, and the place on it."""
    match kind:
        case RecordKind.CONTACT:
            return "/annuaire", f"#{id}"
        case RecordKind.PLAN:
            return f"/plans/{id}", ""
        case RecordKind.ACTIVITY:
            return "/activites", f"#{id}"
        case RecordKind.STEP:
            return "/donnees", "#escalades"
        case _:
            plan_id, card_id = split_card_id(id)
            return f"/plans/{plan_id}", f"#fiche-{card_id}"


def build_form_address(kind: RecordKind, id: str) -> str:
    """Return the address of the form that edits a record."""
    return f"/donnees/fiches/{kind}/{id}"

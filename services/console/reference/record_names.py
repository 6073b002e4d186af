"""Name records, their fields and their values in words. Rule D86."""

from collections.abc import Mapping
from typing import Final

from schemas.reference import DEPUTIES, EVERY_POLE
from schemas.reference_changes import FieldValue, RecordAction, RecordEdit, RecordKind
from schemas.words import Channel
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.texts.reasons import describe_condition
from services.territory.editing.conditions import ConditionInvalid, read_conditions
from services.territory.editing.new_records import NEW_FIELDS
from services.territory.editing.record_places import (
    split_card_id,
    split_post_id,
    split_rotation_id,
    split_staff_id,
)
from services.territory.editing.records import RECORDS

KINDS: Final[Mapping[RecordKind, str]] = {
    RecordKind.CONTACT: N_("Partenaire"),
    RecordKind.PLAN: N_("Plan"),
    RecordKind.CARD: N_("Fiche"),
    RecordKind.ACTIVITY: N_("Activité"),
    RecordKind.STEP: N_("Escalade"),
    RecordKind.ON_CALL: N_("Astreinte"),
    RecordKind.ROTATION: N_("Roulement"),
    RecordKind.TRIGGER: N_("Déclencheur"),
    RecordKind.STAFFING: N_("Effectif"),
    RecordKind.REASSIGNMENT: N_("Règle de réaffectation"),
}
NEW_LABELS: Final[Mapping[RecordKind, str]] = {
    RecordKind.CONTACT: N_("Nouveau partenaire"),
    RecordKind.CARD: N_("Nouvelle fiche"),
    RecordKind.ACTIVITY: N_("Nouvelle activité"),
    RecordKind.STEP: N_("Nouvelle étape d’escalade"),
    RecordKind.ON_CALL: N_("Nouvelle astreinte"),
    RecordKind.ROTATION: N_("Nouveau roulement"),
    RecordKind.TRIGGER: N_("Nouveau déclencheur"),
    RecordKind.STAFFING: N_("Nouvel effectif"),
    RecordKind.REASSIGNMENT: N_("Nouvelle règle de réaffectation"),
}
PLACE_LABELS: Final = {
    "plan": N_("Plan"),
    "role": N_("Rôle"),
    "pole": N_("Pôle"),
    "phase": N_("Phase"),
    "site_kinds": N_("Genres de sites, une fiche par site"),
    "depends_on": N_("Attend ces fiches"),
    "evidence": N_("Genre de preuve"),
    "name_en": N_("Nom en anglais"),
    "staff": N_("Effectif normal"),
    "strategies": N_("Stratégies de repli"),
    "telework": N_("Télétravail"),
    "vulnerable_public": N_("Public vulnérable, de 0 à 3"),
    "ladder": N_("Escalade"),
    "scope": N_("Pôle ou site"),
    "place": N_("Titulaire ou suppléant"),
    "activity": N_("Activité"),
    "site": N_("Site"),
    "metier": N_("Métier"),
}
"""Labels of the fields that only a new record has."""
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
        "reviewed_on": N_("Dernière relecture"),
    },
    RecordKind.STEP: {
        "who": N_("Qui est appelé"),
        "after_min": N_("Commence après, en minutes"),
        "ack_min": N_("Délai pour répondre, en minutes"),
        "expected": N_("Réponses attendues"),
        "channels": N_("Canaux"),
    },
    RecordKind.ON_CALL: {"holder": N_("Titulaire"), "deputy": N_("Suppléant")},
    RecordKind.ROTATION: {
        "persons": N_("Qui prend son tour, dans l’ordre"),
        "every_days": N_("Durée d’un tour, en jours"),
        "hand_off": N_("Heure de relève"),
        "since": N_("Premier jour"),
        "until": N_("Dernier jour"),
        "hours": N_("Heures d’astreinte de chaque jour"),
    },
    RecordKind.TRIGGER: {
        "level": N_("Niveau minimal de l’incident, de 0 à 4"),
        "conditions": N_("Conditions"),
        "text": N_("Texte affiché"),
    },
    RecordKind.STAFFING: {
        "staff": N_("Effectif normal"),
        "minimum": N_("Effectif minimal le premier jour"),
    },
    RecordKind.REASSIGNMENT: {
        "site_bound": N_("N’existe que sur son site"),
        "needs_desk": N_("A besoin d’un bureau"),
        "tele_pct": N_("Agents qui peuvent télétravailler, en %"),
        "release_pct": N_("Agents que l’activité peut céder, en %"),
        "home_kinds": N_("Genres de sites habituels"),
        "host_kinds": N_("Genres de sites d’accueil"),
    },
}


def label_field(kind: RecordKind, name: str, _: Translator) -> str:
    """Return the label of a field; a field of an older version keeps its name."""
    label = LABELS[kind].get(name) or PLACE_LABELS.get(name)
    return _(label) if label else name


def name_record(names: TerritoryNames, kind: RecordKind, id: str, _: Translator) -> str:
    """Return the name of a record; its id if it is gone."""
    match kind:
        case RecordKind.CONTACT:
            return names.suppliers.get(id, id)
        case RecordKind.STEP:
            ladder, wave = split_card_id(id)
            return _("{ladder}, vague {wave}", ladder=ladder, wave=wave)
        case RecordKind.ACTIVITY | RecordKind.REASSIGNMENT:
            return names.activities[id].name if id in names.activities else id
        case RecordKind.STAFFING:
            activity, site, metier = split_staff_id(id)
            return _(
                "{metier}, {site}, {activity}",
                metier=name_choice("metier", metier, names, _),
                site=names.site(site),
                activity=name_choice("activity", activity, names, _),
            )
        case RecordKind.ON_CALL:
            role, scope = split_post_id(id)
            return w.name_role(role, scope, names, _)
        case RecordKind.TRIGGER:
            plan_id, level = split_card_id(id)
            return _("{plan}, {level}", plan=names.plan(plan_id), level=level)
        case RecordKind.ROTATION:
            role, scope, place = split_rotation_id(id)
            return f"{w.name_role(role, scope, names, _)}, {_(w.PLACE[place])}"
    plan_id, card_id = split_card_id(id) if kind is RecordKind.CARD else (id, "")
    plan = names.plans.get(plan_id)
    if plan is None:
        return id
    if kind is RecordKind.PLAN:
        return plan.title
    return next((card.task for card in plan.cards if card.id == card_id), id)


def name_record_with_kind(
    names: TerritoryNames, kind: RecordKind, id: str, _: Translator, title: str = ""
) -> str:
    """Return the name of a record after its kind, as the logbook writes it.

    `title` names a record that the reference data do not have yet, or no longer.
    """
    name = name_record(names, kind, id, _)
    if name == id and title:
        name = title
    return _("{kind} « {name} »", kind=_(KINDS[kind]), name=name)


TITLE_FIELDS: Final = ("task", "organisation", "name")
"""Fields that name a record by themselves."""


def find_title(edit: RecordEdit) -> str:
    """Return the title that an edit gives to its record, or takes from it; empty: none."""
    values = {f.field: f.after or f.before for f in edit.fields}
    return next((str(values[name]) for name in TITLE_FIELDS if values.get(name)), "")


def name_action(action: RecordAction, name: str, _: Translator) -> str:
    """Return the name of a record behind the action of an edit."""
    match action:
        case RecordAction.CREATE:
            return _("à créer : {what}", what=name)
        case RecordAction.WITHDRAW:
            return _("à retirer : {what}", what=name)
        case _:
            return name


def show_value(
    kind: RecordKind, name: str, value: FieldValue, names: TerritoryNames, _: Translator
) -> list[str]:
    """Return the value of a field in lines that people read."""
    groups = (*RECORDS[kind], *filter(None, (NEW_FIELDS.get(kind),)))
    refers = {f.name: f.refers for group in groups for f in group.fields}.get(name, "")
    parts = value if isinstance(value, tuple) else () if value in (None, "") else (value,)
    return [name_choice(refers, _write_value(one, _), names, _) for one in parts]


def _write_value(value: str | float, _: Translator) -> str:
    return w.format_number(value, _.lang) if isinstance(value, int | float) else value


def name_choice(refers: str, id: str, names: TerritoryNames, _: Translator) -> str:
    """Return the name of an id that a field refers to; a text stays as it is."""
    match refers:
        case "condition":
            return _describe_alternative(id, names, _)
        case "role" | "called":
            return _(GROUPS[id]) if id in GROUPS else w.name_role(id, None, names, _)
        case "person":
            return f"{w.name_person(id, names, _)} ({id})" if id in names.holders else id
        case "pole":
            return names.pole(id, _.lang)
        case "scope":
            return names.pole(id, _.lang) if id in names.poles else names.site(id)
        case "site" | "metier" | "activity":
            return _name_place(refers, id, names, _.lang)
        case "site_kind":
            return w.translate_code(world.KIND_MANY, id, _)
        case "card":
            tasks = (c.task for plan in names.plans.values() for c in plan.cards if c.id == id)
            return next(tasks, id)
        case "phase" | "evidence" | "place" | "telework" | "yes_no":
            return _(_WORDS[id]) if id in _WORDS else id
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


def _name_place(refers: str, id: str, names: TerritoryNames, lang: str) -> str:
    """Return the name of a part of the place of some agents."""
    match refers:
        case "site":
            return names.site(id)
        case "metier":
            return names.metier(id, lang)
        case _:
            return names.activity(id, lang)


GROUPS: Final = {
    "cellule_complete": N_("toute la cellule de crise"),
    EVERY_POLE: N_("tous les directeurs de pôle"),
    DEPUTIES: N_("suppléants de la première vague sans réponse"),
}
"""Names of groups that a step calls."""
_WORDS: Final = {
    **w.PLACE,
    "reflex": N_("réflexe, la première heure"),
    "continuity": N_("continuité, jusqu’à 8 h"),
    "duration": N_("durée, après 8 h"),
    "return": N_("retour à la normale"),
    "none": N_("aucune"),
    "photo": N_("photo"),
    "number": N_("nombre"),
    "time": N_("heure"),
    "non": N_("non"),
    "partiel": N_("partiel"),
    "oui": N_("oui"),
}


def _describe_alternative(line: str, names: TerritoryNames, _: Translator) -> str:
    """Describe one alternative of a condition; one of an older version stays as it is."""
    try:
        return describe_condition(read_conditions((line,)), names, _.lang)
    except ConditionInvalid:
        return line


def find_record_address(kind: RecordKind, id: str) -> tuple[str, str]:
    """Return the address of the page that shows a record, and the place on it."""
    match kind:
        case RecordKind.CONTACT:
            return "/annuaire", f"#{id}"
        case RecordKind.PLAN:
            return f"/plans/{id}", ""
        case RecordKind.TRIGGER:
            return f"/plans/{split_card_id(id)[0]}", "#trigger"
        case RecordKind.ACTIVITY:
            return "/activites", f"#{id}"
        case RecordKind.STAFFING | RecordKind.REASSIGNMENT:
            if activity := split_staff_id(id)[0]:
                return build_form_address(RecordKind.ACTIVITY, activity), "#staffing"
            return "/activites", ""
        case RecordKind.STEP:
            return "/donnees", "#escalades"
        case RecordKind.ON_CALL | RecordKind.ROTATION:
            return "/astreintes", ""
        case _:
            plan_id, card_id = split_card_id(id)
            return f"/plans/{plan_id}", f"#fiche-{card_id}"


def find_list_address(kind: RecordKind, plan: str = "") -> tuple[str, str]:
    """Return the address of the page that lists the records of a kind, and the place on it."""
    if kind in (RecordKind.CARD, RecordKind.TRIGGER):
        return (f"/plans/{plan}", "") if plan else ("/plans", "")
    return find_record_address(kind, "")[0], "#escalades" if kind is RecordKind.STEP else ""


def build_form_address(kind: RecordKind, id: str) -> str:
    """Return the address of the form that edits a record."""
    return f"/donnees/fiches/{kind}/{id}"


def build_new_form_address(kind: RecordKind) -> str:
    """Return the address of the form that creates a record."""
    return f"/donnees/nouvelle-fiche/{kind}"

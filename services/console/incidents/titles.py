"""Write titles of incidents and tasks, and the sentences of refused commands."""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.alerts import IncidentRow, TaskRow, list_asked_reports
from schemas.callouts import DraftCallOut, StartCallOut, StopCallOut
from schemas.commands import HoldSending, ReleaseSending, ReplayNotification
from schemas.crisis.maintenance import Coverage
from schemas.ranks import HOLD_ROLE
from schemas.words import EventType
from services.console.i18n import N_, Translator, get_translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, name_strategy, shorten_site_name

_HAZARD_LABELS = {
    "power": N_("Coupure électrique"),
    "water": N_("Coupure d’eau"),
    "flood": N_("Crue de la Seine"),
    "heat": N_("Canicule"),
    "snow": N_("Neige et verglas"),
    "wind": N_("Vent violent"),
    "weather": N_("Vigilance météo"),
    "kitchen": N_("Restauration"),
    "it": N_("Panne informatique"),
    "security": N_("Violences et dégradations"),
    "gas": N_("Fuite de gaz"),
    "absence": N_("Sous-effectif"),
    "strike": N_("Grève"),
    "fire": N_("Incendie"),
    "site": N_("Incident de site"),
}
_TERRITORY_FAMILIES = {"flood", "heat", "snow", "wind", "strike"}
_COMMUNES_SHOWN = 3
"""Communes beyond which the title counts the rest."""


def _format_place(row: IncidentRow, names: TerritoryNames, _: Translator, *, for_area: bool) -> str:
    if len(row.members) == 1 and not for_area:
        site = row.members[0]
        commune = names.commune_of(site)
        name = names.site(site)
        return name if commune is None or commune in name else f"{name}, {commune}"
    key = row.key.partition(":")[2]
    communes = sorted(row.communes, key=lambda c: c != key)
    commune_names = [names.commune(c) for c in communes]
    if len(commune_names) <= _COMMUNES_SHOWN:
        return w.join_words(commune_names, _)
    rest = len(commune_names) - 2
    return _("{communes} et {n} autres communes", communes=", ".join(commune_names[:2]), n=rest)


def write_incident_title(
    row: IncidentRow,
    names: TerritoryNames,
    lang: str,
    type: EventType | None = None,
    *,
    for_area: bool = False,
) -> str:
    """Return a title without free text, so that anybody may read it.

    For example `Coupure électrique : Nanterre, Puteaux et Suresnes`. `type` is that of the gravest
    cause; it replaces a family without a specific trouble. `for_area`: an order for communes holds,
    so the title names them, also while a single site is a member.
    """
    _ = get_translator(lang)
    hazard = (
        w.translate_code(w.EVENT, type, _)
        if row.kind == "site" and type is not None
        else w.translate_code(_HAZARD_LABELS, row.kind, _)
    )
    if row.kind in _TERRITORY_FAMILIES:
        return hazard
    if row.kind == "it" and len(row.members) != 1:
        system = row.key.partition(":")[2]
        return hazard + _("\u00a0: ") + world.name_dependency(system, _) if system else hazard
    place = _format_place(row, names, _, for_area=for_area)
    return _("{what} : {where}", what=hazard, where=place) if place else hazard


def describe_cause(kind: str, key: str, names: TerritoryNames, lang: str) -> str:
    """Return the subject of an incident as text: a place, a thing, a day.

    Empty if the family already covers it, or if it has no name.
    """
    _ = get_translator(lang)
    scope, _sep, what = key.rpartition(":")
    if key == "*":
        return _("tout le système d’information")
    if scope == "kind":
        return w.translate_code(world.KIND_MANY, what, _)
    if names.has_site(what):
        return names.site(what)
    if what in names.communes:
        return names.commune(what)
    if what in names.poles:
        return names.pole(what, lang)
    if kind in ("heat", "snow", "wind", "weather"):
        return "" if what == "any" else w.translate_code(world.PHENOMENON, what, _)
    return world.name_dependency(what, _) if kind in _NAMED_FAMILIES and what != kind else ""


_NAMED_FAMILIES = ("it", "kitchen", "water")
"""Families of incidents about one system, supplier or network each."""


def write_task_title(row: TaskRow, names: TerritoryNames, lang: str) -> str:
    """Return the title of a task: `Levée de doute : PMI Darracq, Suresnes`."""
    _ = get_translator(lang)
    what = w.translate_code(w.TASK, row.kind, _)
    if row.post is not None:
        role, _sep, scope = row.post.partition(":")
        return _("{what} : {where}", what=what, where=w.name_role(role, scope or None, names, _))
    if (count := len(list_asked_reports(row))) > 1:
        reports = _.plural("{n} signalement", "{n} signalements", count)
        what = _("{what} ({n})", what=what, n=reports)
    if row.site is None:
        return what
    commune = names.commune_of(row.site)
    return _(
        "{what} : {where}",
        what=what,
        where=f"{names.site(row.site)}, {commune}" if commune else names.site(row.site),
    )


SHOWN_PLACES = 3


def write_maintenance_title(covers: Coverage, names: TerritoryNames, lang: str) -> str:
    """Describe the coverage of a maintenance window: `Plus d’électricité : Collège X, PMI`."""
    _ = get_translator(lang)
    what = w.join_words([w.translate_code(w.EVENT, t, _) for t in covers.types], _)
    where = (
        [names.site(s) for s in covers.sites]
        + [w.translate_code(world.KIND_MANY, k, _) for k in covers.kinds]
        + [names.pole(p, lang) for p in covers.poles]
    )
    if len(where) > SHOWN_PLACES:
        where = [*where[:SHOWN_PLACES], _("{n} autres", n=len(where) - SHOWN_PLACES)]
    who = [world.name_source(s, _) for s in covers.sources] + [
        f"{m.name}{_OPERATORS[m.regex, m.equal]}{m.value}" for m in covers.matchers
    ]
    place = ", ".join([*where, *who])
    return _("{what} : {where}", what=what, where=place) if what and place else what or place


_OPERATORS = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
REFUSALS = {
    # rights
    "not_allowed": N_(
        "Votre rôle ne permet pas cette décision. Elle revient aux cellules, à la main "
        "courante, à l’astreinte technique, aux responsables de site et à leur hiérarchie."
    ),
    "role_not_allowed": N_("Votre rôle ne permet pas cette décision."),
    "role_too_low": N_("Cette décision revient à un rôle supérieur."),
    "not_pilot": N_("Seul le pilote du niveau peut le baisser."),
    "not_assignee": N_(
        "Cette action est confiée à quelqu’un d’autre : ce destinataire, son suppléant ou la "
        "cellule y répond."
    ),
    "not_requester": N_(
        "Seules la cellule et la personne qui a demandé cette action peuvent l’annuler."
    ),
    "not_addressee": N_("Cet appel s’adresse à une autre personne."),
    # missing things
    "incident_not_found": N_("Cet incident n’existe pas ou n’existe plus."),
    "report_not_found": N_("Ce signalement n’existe pas."),
    "site_not_found": N_("Ce site n’existe pas."),
    "task_not_found": N_("Cette tâche n’existe pas."),
    "action_not_found": N_("Cette action n’existe pas, ou plus."),
    "assignee_not_found": N_(
        "Ni rôle, ni personne de l’annuaire, ni site ne porte ce nom : {assignee}."
    ),
    "notification_not_found": N_("Cet appel n’existe pas."),
    "plan_not_found": N_("Ce plan n’existe pas."),
    "card_not_found": N_("Cette fiche n’existe pas."),
    "site_card_not_found": N_("Cette fiche n’est pas ouverte pour ce site."),
    "site_required": N_("Dites pour quel site : chaque site a sa propre fiche."),
    "site_not_selected": N_("Cette fiche ne s’applique pas à ce site."),
    "card_waiting": N_("Cette fiche en attend d’autres, dont elle dépend : terminez-les d’abord."),
    "proof_in_future": N_("L’heure donnée comme preuve est à venir : indiquez une heure passée."),
    "box_not_found": N_("Cette case n’existe pas."),
    "activity_not_found": N_("Cette activité n’existe pas."),
    "alarm_not_found": N_("Cette alarme n’existe pas."),
    "strategy_not_found": N_("Cette stratégie n’est pas dans la liste de l’activité."),
    "post_not_found": N_("Ce rôle n’existe pas, ou pas dans ce périmètre."),
    "person_not_found": N_(
        "L’annuaire ne connaît pas cette personne, ou aucun moyen de la joindre : {person}."
    ),
    "duty_not_found": N_("Ce changement d’astreinte n’existe pas."),
    "policy_in_force": N_("Cette escalade suit déjà les règles en vigueur."),
    "no_cell": N_("La cellule de crise n’est pas appelée : personne n’est attendu."),
    "no_function": N_("Dites quelle fonction vous tenez dans la cellule."),
    "no_ladder": N_("Aucune escalade n’est en cours."),
    "improvement_open": N_("Clôturez l’action elle-même, sur la page RETEX."),
    "nobody_left": N_("Cette escalade n’a plus personne à appeler."),
    "no_reference": N_(
        "Les données du territoire ne sont pas encore chargées : demandez à l’administrateur de "
        "les charger."
    ),
    "realm_exists": N_("Ce nom est déjà pris : donnez-en un autre."),
    "wrong_territory": N_(
        "Ce territoire n’est pas celui de cette installation : choisissez celui qu’elle affiche."
    ),
    "realm_unknown": N_(
        "Cet exercice n’est pas ouvert ici : choisissez-le dans la liste des exercices."
    ),
    "realm_closed": N_("L’exercice est terminé."),
    "realm_not_simulated": N_("Un territoire réel suit l’heure réelle et ne se ferme pas."),
    "time_out_of_range": N_("L’horloge d’un exercice reste entre les années 1970 et 9999."),
    "step_in_the_past": N_("L’horloge d’un exercice ne recule pas."),
    "improvement_not_found": N_("Cette action d’amélioration n’existe pas, ou elle est close."),
    "role_not_found": N_("Ce rôle n’existe pas dans les règles du territoire."),
    # decided meanwhile
    "sitrep_number": N_(
        "Un point de situation a été validé entre-temps : relisez le projet, qui porte maintenant "
        "le n° {next}."
    ),
    "version_conflict": N_("Quelqu’un a décidé entre-temps : relisez avant de recommencer."),
    "already": N_("C’est déjà fait."),
    "confirmed_already": N_("Ce signalement est déjà confirmé."),
    "denied_already": N_("Ce signalement est déjà démenti."),
    "site_known_already": N_("Ce signalement a déjà un site."),
    "level_unchanged": N_("Ce niveau est déjà en vigueur."),
    "incident_not_open": N_("L’incident n’est plus ouvert."),
    "incident_not_closed": N_("L’incident n’est pas clos."),
    "task_not_open": N_("Cette tâche est déjà traitée."),
    "answer_needed": N_("Répondez : le site est-il concerné par la consigne, oui ou non ?"),
    "action_not_open": N_("Cette action est terminée : elle n’attend plus de réponse."),
    "action_not_requested": N_("Vous avez déjà accepté cette action."),
    "assignee_scope_missing": N_("Ce rôle existe pour chaque pôle ou chaque site : dites lequel."),
    "task_of_rules": N_(
        "Cette vérification vient des règles : on la prend ou on la termine, on ne la refuse pas."
    ),
    "answer_not_expected": N_("Cet appel n’attend pas de réponse."),
    "callout_not_found": N_("Cette diffusion d’alerte n’existe pas."),
    "callout_started": N_("Cette diffusion d’alerte est déjà lancée."),
    "callout_over": N_("Cette diffusion d’alerte est terminée."),
    "not_dead": N_("Ce message n’a pas échoué : il n’y a rien à reprendre."),
    "not_held": N_("Les envois ne sont pas suspendus."),
    "reason_required": N_("Indiquez une raison."),
    "until_past": N_("Cette heure est déjà passée : indiquez une heure à venir."),
    # on-call
    "span_invalid": N_(
        "La période finit avant de commencer, ou dure plus de deux ans : corrigez ses dates."
    ),
    "span_over": N_("Cette période est déjà passée : indiquez une fin à venir."),
    "spans_overlap": N_("Les deux périodes se chevauchent : décalez l’une des deux."),
    "same_person": N_(
        "C’est la même personne dans les deux périodes : choisissez deux personnes différentes."
    ),
    "not_one_person": N_("Une seule personne doit tenir toute la période à échanger."),
    # state forbids it
    "causes_open": N_(
        "Une cause est encore ouverte : pour clore malgré tout, forcez la clôture avec une raison."
    ),
    "people_missing": N_(
        "Le recensement n’est pas complet ({people} personnes non trouvées) : pour clore, "
        "indiquez une raison."
    ),
    "predicate_holds": N_(
        "Une condition de ce niveau est encore remplie : pour baisser malgré tout, forcez avec "
        "une raison."
    ),
    "incident_above": N_("Un incident est encore à un niveau plus élevé : {incidents}."),
    "not_proposed": N_("Ce plan n’est pas proposé."),
    "not_active": N_("Ce plan n’est pas activé."),
    "not_lifted": N_("Ce plan n’est pas levé : son RETEX ne peut pas être clos."),
    "plan_not_valid": N_("Ce plan n’est pas valide : il ne peut pas être activé."),
    "sitrep_ahead": N_(
        "Un point de situation ne peut pas porter une heure à venir : indiquez l’heure actuelle "
        "ou une heure passée."
    ),
    "sitrep_older": N_("Un point de situation plus récent est déjà validé."),
    "stand_down_not_held": N_(
        "La condition de levée n’est pas remplie depuis assez longtemps. Pour lever le plan malgré "
        "cela, forcez la décision et indiquez une raison."
    ),
    "strategy_order": N_("Une autre stratégie la précède dans la liste : {first}."),
    "fallback_out": N_("Ce site de repli est lui-même hors service : choisissez-en un autre."),
    "fallback_exposed": N_("Ce site de repli est exposé à la crue : choisissez-en un autre."),
    "fallback_ordered": N_(
        "Ce site de repli se trouve dans une zone à évacuer ou à confiner : choisissez-en un autre."
    ),
    "fallback_full": N_("Ce site de repli n’a plus assez de postes : choisissez-en un autre."),
    "report_elsewhere": N_(
        "Un signalement choisi n’appartient pas à cet incident : rechargez la page, puis "
        "choisissez de nouveau."
    ),
    "nothing_left": N_("L’incident resterait vide : laissez-lui au moins un signalement."),
    "too_many_reports": N_(
        "Au plus {most} signalements à la fois : détachez le reste ensuite, puis fusionnez les "
        "deux incidents."
    ),
    "same_incident": N_("C’est le même incident : choisissez-en un autre."),
    # resource requests
    "request_not_found": N_("Cette demande de moyens n’existe pas, ou elle est terminée."),
    "resource_not_found": N_("Ce genre de moyen n’existe pas."),
    "stock_not_found": N_("Ce stock n’existe pas."),
    "partner_not_found": N_("Ce partenaire n’existe pas."),
    "offer_not_found": N_("Cette offre n’existe pas."),
    "metier_needed": N_("Pour demander des agents, indiquez un métier."),
    "metier_unused": N_("Un métier ne s’indique que pour une demande d’agents : retirez-le."),
    "request_state": N_("Cette demande n’est pas à cette étape : relisez-la."),
    "too_many_requests": N_("{most} demandes sont déjà ouvertes : terminez-en d’abord."),
    "too_many_offers": N_("Une demande porte au plus {most} offres : retirez-en une d’abord."),
    "stock_or_partner": N_(
        "Une offre ne peut pas venir à la fois d’un stock et d’un partenaire : choisissez l’un "
        "des deux."
    ),
    "other_resource": N_("Ce n’est pas le moyen demandé."),
    "offer_too_large": N_("L’offre dépasse la demande : {quantity} suffisent."),
    "stock_short": N_("Le stock ne suffit plus : il en reste {available}."),
    "stock_barred": N_(
        "{site} est sous consigne d’évacuation ou de confinement : rien n’en part avant la fin "
        "d’alerte."
    ),
    "stock_promised": N_("{promised} sont déjà promis ou réservés : indiquez au moins ce nombre."),
    "eta_past": N_("Cette heure d’arrivée est déjà passée : indiquez une heure à venir."),
    "offer_closed": N_(
        "Cette offre n’est plus ouverte, sa réservation est échue ou retirée : faites une "
        "nouvelle offre."
    ),
    "no_offer": N_("Aucune offre n’est ouverte."),
    "request_short": N_(
        "Les offres couvrent {promised} sur {quantity} : promettez une partie ou attendez."
    ),
    # reassignment
    "proposal_not_found": N_("Cette proposition n’existe pas."),
    "line_not_found": N_("Cette ligne n’existe pas, ou elle est terminée."),
    "nothing_hit": N_("Aucun site ne manque de postes ou d’agents : il n’y a rien à réaffecter."),
    "nothing_to_decide": N_("Toutes les lignes de cette proposition sont déjà décidées."),
    "proposal_over": N_("La situation a changé : cette proposition n’a plus d’objet."),
    "proposal_superseded": N_(
        "La situation a changé : la proposition n° {number} la remplace ({new} lignes nouvelles, "
        "{changed} modifiées, {gone} disparues). Relisez-la avant de décider."
    ),
    "site_back": N_(
        "Il n’y a plus d’agents à envoyer : le site {site} a retrouvé les moyens qui lui "
        "manquaient lors du calcul. La prochaine proposition en tiendra compte."
    ),
    "agents_elsewhere": N_(
        "Des agents de ce métier, de {site}, ont encore une affectation qui n’a besoin que "
        "d’autres agents du même ordre. Libérez d’abord cet ordre : ils auraient deux "
        "affectations."
    ),
    "confined": N_(
        "Confinement ou comptage en cours : aucun agent ne quitte {site} ni ne s’y rend. La "
        "prochaine proposition en tiendra compte."
    ),
    "back_soon": N_(
        "Le rétablissement de {site} est annoncé avant que ces agents puissent travailler "
        "ailleurs : il n’y a pas d’agents à envoyer. Rien n’est parti : décochez les lignes de "
        "ce site, ou recalculez."
    ),
    "move_refused": N_(
        "Un site a refusé cette réaffectation d’agents de {site} dans cette crise. Décochez la "
        "ligne : la prochaine proposition donnera un autre lieu."
    ),
    "telework_off": N_(
        "Le télétravail ne fonctionne plus depuis le calcul. La prochaine proposition donnera "
        "un autre lieu."
    ),
    "place_lost": N_(
        "Depuis le calcul, ce lieu ne peut plus accueillir d’agents (postes perdus ou déjà "
        "pris, sans nouvelles, zone touchée) : {site}. La prochaine proposition donnera un "
        "autre lieu."
    ),
    # changes of the reference data
    "change_not_found": N_("Ce changement n’existe pas."),
    "change_decided": N_("Ce changement est déjà décidé."),
    "second_person_needed": N_(
        "La décision revient à une autre personne que l’auteur de la proposition."
    ),
    "person_needed": N_("Cette décision revient à une personne, pas à un programme."),
    "proposer_only": N_(
        "Seul son auteur peut retirer ce changement ; une autre personne peut le refuser."
    ),
    "base_changed": N_(
        "Une autre version est entrée en vigueur depuis : proposez de nouveau à partir d’elle."
    ),
    "site_in_incident": N_(
        "Cette version retire un site qui a un incident ouvert : {site}. Attendez la fin de "
        "l’incident, ou proposez de nouveau avec --release."
    ),
    "load_under_way": N_(
        "Une version est en cours de chargement sans approbation, ou son chargement est "
        "inachevé : terminez-le d’abord."
    ),
    "edit_unprepared": N_(
        "La version en vigueur vient de changer : relisez cette proposition et approuvez-la de "
        "nouveau."
    ),
    "record_proposed": N_(
        "Un changement de cette fiche attend déjà une décision : approuvez-le, refusez-le ou "
        "retirez-le d’abord."
    ),
    "reference_in_force": N_("Cette version est déjà en vigueur."),
    "reference_proposed": N_("Cette version est déjà proposée."),
    "reference_unusable": N_("Ces règles ne peuvent pas être lues : {error}"),
    "section_missing": N_(
        "La version est incomplète, il manque « {section} » : proposez-la de nouveau."
    ),
    "too_many_changes": N_("{most} changements attendent déjà une décision : traitez-les d’abord."),
    # maintenance windows
    "window_not_found": N_("Ces travaux n’existent pas ou ne sont pas les vôtres."),
    "window_over": N_("Ces travaux sont terminés : prévoyez-en de nouveaux."),
    "window_covers_all": N_(
        "Indiquez au moins un site, un genre, un pôle, un type, une source ou une étiquette : "
        "des travaux ne peuvent pas tout couvrir."
    ),
    "window_danger": N_("Un danger pour les personnes n’est jamais mis en sourdine : {types}."),
    "window_empty": N_("La fin doit être postérieure au début : corrigez les dates."),
    "window_past": N_("Ces travaux seraient déjà terminés : indiquez une fin à venir."),
    "window_too_long": N_("Des travaux qui se répètent durent au plus {days} jours."),
    # communication
    "statement_not_found": N_("Ce communiqué n’existe pas."),
    "statement_second_person": N_(
        "Un communiqué doit être validé par une autre personne que ses auteurs."
    ),
    "statement_role": N_(
        "Un communiqué est validé par la communication, le coordonnateur ou le directeur de crise."
    ),
    "statement_state": N_("Ce n’est pas possible : ce communiqué est à l’état « {state} »."),
    "statement_blanks": N_("Passages à compléter entre crochets : {blanks}."),
    "statement_not_published": N_("Ce communiqué n’est pas publié : il ne répond à personne."),
    "publication_role": N_(
        "Cette page est publiée par la communication, le coordonnateur ou le directeur de crise."
    ),
    "publication_not_found": N_("Cette page n’a jamais été publiée."),
    "publication_retracted": N_("Cette page est déjà retirée."),
    "next_update_in_past": N_(
        "L’heure de la prochaine mise à jour est déjà passée : indiquez une heure à venir."
    ),
    "no_rumour": N_("Ce signalement est confirmé : ce n’est pas une rumeur."),
    "question_not_found": N_("Cette question n’existe pas."),
    "question_answered": N_("Cette question a déjà sa réponse."),
    "handover_not_found": N_("Cette relève n’existe pas."),
    "handover_open": N_("La relève n° {number} n’est pas terminée : signez-la ou retirez-la."),
    "handover_second_person": N_(
        "L’entrant doit être une autre personne que le sortant : choisissez quelqu’un d’autre."
    ),
    "handover_state": N_("La relève n’est plus à cette étape : relisez-la."),
    "obligation_not_found": N_("Le territoire n’a pas cette obligation."),
    "obligation_started": N_("Cette échéance court déjà, ou a déjà pris fin, pour cet incident."),
    "obligation_future": N_("Cette heure est à venir : indiquez une heure passée."),
    "obligation_early": N_("L’heure de la déclaration précède le début du délai : corrigez-la."),
    "stimulus_live": N_("Un stimulus n’existe que dans un exercice."),
    "stimulus_known": N_("Un stimulus porte déjà cet identifiant : donnez-en un autre."),
    "stimulus_not_found": N_("Ce stimulus n’existe pas."),
    "stimulus_played": N_("Ce stimulus est déjà joué : il n’est plus possible de le sauter."),
    "stimulus_state": N_("Ce stimulus est déjà dans cet état."),
    "note_empty": N_("Donnez une note, un texte ou les deux."),
    "notes_full": N_("Ce stimulus a déjà {most} notes."),
    "clock_not_found": N_("Cette échéance n’existe pas."),
    "clock_over": N_("Cette échéance a déjà pris fin."),
    "answer_empty": N_("Écrivez une réponse, ou choisissez un communiqué publié."),
}
"""Code → sentence, with the refusal's own values.

`tests/unit/console` compares the codes with those of the deciders.
"""

_FORMER_CODES: Final = {
    **{
        former: code
        for code in REFUSALS
        if (noun := code.removesuffix("_not_found")) != code
        for former in (f"{noun}_unknown", f"unknown_{noun}")
    },
    "reason_needed": "reason_required",
    "until_in_past": "until_past",
    "version_changed": "version_conflict",
    "version_mismatch": "version_conflict",
}
"""Code in logs until November 2026 → the code of the same refusal today."""


def write_refusal(
    code: str, values: Mapping[str, object], lang: str, names: TerritoryNames | None = None
) -> str:
    """Return the sentence of a decider's refusal; an unknown code is shown as it is.

    `values` may name the `command`. With `names` a site has its name.
    """
    _ = get_translator(lang)
    code = _FORMER_CODES.get(code, code)
    if code not in REFUSALS:
        return _("Refusé : {code}.", code=code)
    needed_role = values.get("needed") or (
        code == "role_not_allowed" and values.get("command") in _HOLDER_COMMANDS and HOLD_ROLE
    )
    sentence = _(REFUSALS[code]).format_map(_name_values(values, names, _))
    return sentence + (
        " " + _("Rôle requis : {role}.", role=w.translate_code(w.ROLE, str(needed_role), _))
        if needed_role
        else ""
    )


_HOLDER_COMMANDS: Final = frozenset(
    kind.__name__
    for kind in (
        HoldSending,
        ReleaseSending,
        ReplayNotification,
        DraftCallOut,
        StartCallOut,
        StopCallOut,
    )
)
"""Commands that one role or above may give: their refusal names no role."""


def _name_values(
    values: Mapping[str, object], names: TerritoryNames | None, _: Translator
) -> Mapping[str, object]:
    """Put words in place of the codes among the values of a refusal."""
    words = dict(values)
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        if name == "site" and names is not None:
            words[name] = shorten_site_name(names.site(value))
        elif name == "state":  # the only sentence with one is about a statement
            words[name] = w.translate_code(w.STATEMENT_STATE, value, _)
        elif name == "types":
            words[name] = ", ".join(w.translate_code(w.EVENT, t, _) for t in value.split(", "))
        elif name == "first":
            words[name] = name_strategy(value, _)
    return _MarkedValues(words)


class _MarkedValues(dict[str, object]):
    """Values that show a mark for a missing name instead of raising an error."""

    def __missing__(self, key: str) -> str:
        return "?"


def write_conflict_title(
    other: str,
    kind: str,
    activities: Sequence[str],
    *,
    needed_places: int,
    free: int,
    sound: int,
    occupied_sites: Sequence[str],
    names: TerritoryNames,
    lang: str,
) -> str:
    """Explain the conflict of two plans over the fallback sites of one kind."""
    _ = get_translator(lang)
    text = _(
        "Même repli que {other} : {kind}, {needed} places demandées ({activities}), {free} libres",
        other=other,
        kind=w.translate_code(world.KIND_ONE, kind, _),
        needed=needed_places,
        activities=", ".join(activities),
        free=free,
    )
    where = _.plural("sur {n} site sain", "sur {n} sites sains", sound)
    occupancy_text = (
        _(
            " ; déjà pris : {sites}",
            sites=", ".join(shorten_site_name(names.site(site)) for site in occupied_sites),
        )
        if occupied_sites
        else ""
    )
    return f"{text} {where}{occupancy_text}"

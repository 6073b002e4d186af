"""Words for the codes of `schemas.words`, and for codes that are plain strings."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from babel.numbers import format_currency, format_decimal

from schemas.catalogue.channels import CHANNELS
from schemas.catalogue.event_types import EVENT_TYPES
from schemas.reference import PLAN_CONTENT_SECTIONS
from schemas.words import (
    ActivityState,
    CardState,
    Effect,
    IncidentState,
    NotificationState,
    PlanState,
    SiteStatus,
)
from services.console.i18n import N_, Translator
from services.console.texts.names import TerritoryNames

SITE_STATUS = {
    SiteStatus.NORMAL: N_("Normal"),
    SiteStatus.DEGRADED: N_("Dégradé"),
    SiteStatus.CLOSED: N_("Fermé"),
    SiteStatus.EVACUATED: N_("Évacué"),
    SiteStatus.SHELTERING: N_("Confiné"),
    SiteStatus.UNKNOWN: N_("Sans nouvelles"),
}
SITE_BAR = {
    "closed": N_("site fermé"),
    "evacuated": N_("site évacué"),
    "sheltering": N_("site confiné"),
    "area_evacuated": N_("zone à évacuer"),
    "area_sheltering": N_("zone confinée"),
}
"""Reason why nobody meets at a site. Rule D89."""
ACTIVITY_STATE = {
    ActivityState.NOMINAL: N_("Nominale"),
    ActivityState.THREATENED: N_("Menacée"),
    ActivityState.DEGRADED: N_("Dégradée"),
    ActivityState.INTERRUPTED: N_("Interrompue"),
    ActivityState.RESTORED: N_("Rétablie"),
}
INCIDENT_STATE = {
    IncidentState.OPEN: N_("Ouvert"),
    IncidentState.ACKNOWLEDGED: N_("Pris en charge"),
    IncidentState.CLOSED: N_("Clos"),
    IncidentState.MERGED: N_("Fusionné"),
}
PLAN_STATE = {
    PlanState.DRAFT: N_("Brouillon"),
    PlanState.IN_REVIEW: N_("En revue"),
    PlanState.VALID: N_("Valide"),
    PlanState.PROPOSED: N_("Proposé"),
    PlanState.REFUSED: N_("Refusé"),
    PlanState.POSTPONED: N_("Différé"),
    PlanState.PARTLY_ACTIVE: N_("Activé en partie"),
    PlanState.ACTIVE: N_("Activé"),
    PlanState.RECOVERING: N_("En cours de rétablissement"),
    PlanState.LIFTED: N_("Levé"),
    PlanState.RETEX_CLOSED: N_("RETEX clos"),
    PlanState.ARCHIVED: N_("Archivé"),
}
OUTDATED = {
    "bia": N_("L’analyse d’impact (BIA) a plus de 12 mois."),
    "directory": N_("Aucun canal de l’annuaire n’a été vérifié depuis 90 jours."),
}
CARD_STATE = {
    CardState.WAITING: N_("en attente d’une autre"),
    CardState.TO_DO: N_("à faire"),
    CardState.DOING: N_("en cours"),
    CardState.DONE: N_("faite"),
    CardState.NOT_APPLICABLE: N_("sans objet"),
}
EFFECT = {
    Effect.CO2: (N_("CO2 émis ou évité"), "kg"),
    Effect.ENERGY: (N_("énergie délestée"), "kWh"),
    Effect.WATER: (N_("eau économisée"), "m³"),
    Effect.MEALS: (N_("repas sauvés"), ""),
    Effect.TRAVEL: (N_("trajets évités"), "km"),
    Effect.COOL: (N_("personnes accueillies au frais"), ""),
    Effect.BARRIERS: (N_("batardeaux et barrières posés"), "m"),
}
"""Effects with their units."""
IMPROVEMENT_STATE = {"open": N_("à faire"), "done": N_("faite"), "dropped": N_("abandonnée")}
NOTIFICATION_STATE = {
    NotificationState.PLANNED: N_("à envoyer"),
    NotificationState.ATTEMPTED: N_("en cours d’envoi"),
    NotificationState.ACCEPTED: N_("envoyé"),
    NotificationState.RECEIVED: N_("remis"),
    NotificationState.ANSWERED: N_("répondu"),
    NotificationState.FAILED: N_("échec"),
    NotificationState.AMBIGUOUS: N_("peut-être non envoyé"),
    NotificationState.SUPERSEDED: N_("remplacé"),
    NotificationState.WITHDRAWN: N_("retiré"),
}
DELIVERY_REASON = {
    "held": N_("envois suspendus"),
    "paced": N_("attend son tour"),
    "quiet_hours": N_("heures de silence"),
    "bundled": N_("dans un prochain envoi groupé"),
    "same_minute": N_("dans la minute, avec le reste"),
    "no_verified_channel": N_("aucun canal vérifié"),
    "channel_not_configured": N_("canal non configuré"),
    "perhaps_not_sent": N_("peut-être non envoyé"),
    "no_outcome": N_("sans nouvelle du fournisseur"),
    "no_receipt": N_("sans accusé de réception"),
    "person_unknown": N_("absent de l’annuaire"),
    "no_address": N_("aucune adresse pour ce canal"),
    "address_invalid": N_("adresse invalide"),
    "text_erased": N_("texte effacé"),
    "limit_passed": N_("délai d’envoi dépassé"),
    "sms_answer_unreadable": N_("réponse illisible de la passerelle"),
    "voice_answer_unreadable": N_("réponse illisible de la passerelle"),
}
"""Reasons why a message waits or failed (`Notification.why`); providers have more codes."""
PROVIDER_FAULT = {
    "401": N_("clé refusée par le fournisseur"),
    "402": N_("crédit épuisé chez le fournisseur"),
    "403": N_("accès refusé par le fournisseur (clé, compte ou crédit)"),
    "429": N_("trop de messages pour le fournisseur"),
    "5xx": N_("panne chez le fournisseur"),
    "connection": N_("fournisseur injoignable"),
    "no_answer": N_("fournisseur sans réponse"),
}
"""Faults of a provider, by the end of the code: `sms_401`, `voice_connection`."""
CHANNEL = {row.channel: row.label.fr for row in CHANNELS.values()}
EVENT = {row.type: row.label.fr for row in EVENT_TYPES.values()}
CAUSE = {row.type: row.trouble.fr for row in EVENT_TYPES.values() if row.trouble is not None}
"""Trouble of a site, in a table cell."""
ROLE = {
    "responsable_site": N_("Responsable de site"),
    "directeur_pole": N_("Directeur de pôle"),
    "suppleant_directeur_pole": N_("Suppléant de directeur de pôle"),
    "astreinte_direction": N_("Astreinte de direction"),
    "astreinte_technique": N_("Astreinte technique"),
    "dgs_directeur_de_crise": N_("DGS, directeur de crise"),
    "coordinateur_pca": N_("Coordonnateur PCA"),
    "main_courantier": N_("Main courante"),
    "cellule_situation": N_("Situation"),
    "cellule_rh": N_("RH"),
    "cellule_logistique": N_("Logistique"),
    "cellule_si": N_("SI / RSSI"),
    "cellule_com": N_("Communication"),
    "cellule_juridique": N_("Juridique / DPO"),
    "liaison_cod": N_("Liaison COD"),
    "president": N_("Président"),
    "elu_astreinte": N_("Élu d’astreinte"),
    "observateur": N_("Observateur"),
    "admin": N_("Administrateur"),
    "coordinator": N_("Coordonnateur PCA"),
    "cell": N_("Cellule de crise"),
    "director": N_("Directeur de pôle"),
    "site_manager": N_("Responsable de site"),
    "technician": N_("Astreinte technique"),
    "elected": N_("Élu"),
    "liaison": N_("Officier de liaison"),
    "observer": N_("Observateur"),
    "kiosk": N_("Mur d’images"),
    "source": N_("Source automatique"),
    "auditor": N_("Auditeur"),
}
CERTAINTY = {
    "confirmed": N_("confirmé"),
    "unconfirmed": N_("non confirmé"),
    "rumour": N_("rumeur"),
    "denied": N_("démenti"),
}
SECTION = {
    "communes": N_("communes"),
    "sites": N_("sites"),
    "activities": N_("activités et pôles"),
    "plans": N_("plans"),
    "escalation": N_("niveaux et escalades"),
    "roster": N_("rôles et astreintes"),
    "channels": N_("canaux"),
    "contacts": N_("partenaires"),
    "measures": N_("mesures officielles"),
    "resources": N_("moyens et stocks"),
    "staffing": N_("effectifs et métiers"),
    "statements": N_("modèles de communiqués"),
    "obligations": N_("échéances légales"),
    "transport": N_("lignes de transport"),
    **dict.fromkeys(map(str, PLAN_CONTENT_SECTIONS), N_("contenu des plans")),
}
"""Sections of the reference data."""
REQUEST_STATE = {
    "requested": N_("demandé"),
    "offered": N_("proposé"),
    "committed": N_("promis"),
    "en_route": N_("en route"),
    "in_place": N_("sur place"),
    "released": N_("rendu"),
    "cancelled": N_("annulé"),
    "unfilled": N_("non satisfait"),
}
REQUEST_PRIORITY = {"life": N_("vie"), "continuity": N_("continuité"), "comfort": N_("confort")}
CHANGE_STATE = {
    "proposed": N_("à approuver"),
    "approved": N_("approuvé, attend son heure"),
    "in_force": N_("entré en vigueur"),
    "declined": N_("refusé"),
    "withdrawn": N_("retiré"),
    "failed": N_("sans effet"),
}
CHANGE_CAUSE = {
    "base_changed": N_("une autre version est entrée en vigueur entre-temps"),
    "load_under_way": N_("une version se chargeait sans approbation au même moment"),
    "site_in_incident": N_("un site que la version retire avait un incident ouvert"),
}
CHANGE_DECISION = {
    "proposed": N_("proposé"),
    "approved": N_("approuvé"),
    "declined": N_("refusé"),
    "withdrawn": N_("retiré"),
}
"""Decisions about a change of the reference data. Rule D63."""
QUIET = {"maintenance": N_("travaux prévus"), "inhibited": N_("conséquence")}
"""Reasons why an incident calls nobody. Rules D64 and D65."""
TASK = {
    "verify_site": N_("Levée de doute"),
    "verify_report": N_("Vérifier un signalement"),
    "link_denial": N_("Rattacher le démenti"),
    "link_site": N_("Rattacher à un site"),
    "overdue_cause": N_("Rétablissement en retard"),
    "contested": N_("Signalements contradictoires"),
    "lift_which": N_("Préciser ce qui est levé"),
    "reentry": N_("Ressaisie des données"),
    "relief": N_("Relève de la cellule à décider"),
    "readiness_hole": N_("Astreinte non pourvue (selon l’annuaire, fournisseurs non vérifiés)"),
    "sitrep": N_("Point de situation à valider"),
    "improvement": N_("Action d’amélioration"),
    "headcount": N_("Recensement à lancer"),
    "instruction": N_("Consigne à confirmer par le site"),
    "area_order": N_("Consigne de zone, réponse attendue"),
}
HOLE = {
    "nobody": N_("Personne"),
    "unreachable": N_("Injoignables : aucun canal vérifié"),
    "no_holder": N_("Pas de titulaire"),
    "late": N_("Joint trop tard"),
    "quiet": N_("Heures de silence"),
    "single_point": N_("Une seule personne pour deux places"),
    "no_deputy": N_("Pas de suppléant"),
    "unverified": N_("Moins de deux canaux vérifiés depuis 90 jours"),
}
FIX = {
    "find_holder": N_("Trouver un titulaire"),
    "find_deputy": N_("Trouver un suppléant"),
    "other_person": N_("Désigner une autre personne"),
    "verify_channel": N_("Vérifier ses canaux"),
    "second_channel": N_("Ajouter un second canal"),
    "daytime_channel": N_("Prévoir un canal qui passe la nuit"),
    "spread_calls": N_("Répartir les appels ou relever le débit"),
}
PROBE = {
    "answered": N_("a répondu"),
    "failed": N_("n’a pas répondu"),
    "no_silent_test": N_("ne s’essaie que par un message"),
    "not_configured": N_("non configuré"),
}
LIMIT = {
    "day": N_("plus de 10 h par jour"),
    "week": N_("plus de 48 h par semaine"),
    "daily_rest": N_("moins de 11 h de repos"),
    "weekly_rest": N_("moins de 35 h de repos dans la semaine"),
}
PLACE = {"holder": N_("titulaire"), "deputy": N_("suppléant")}
AUDIENCE = {
    "agents": N_("Agents"),
    "families": N_("Familles"),
    "users": N_("Usagers"),
    "elected": N_("Élus"),
    "press": N_("Presse"),
}
AUDIENCE_FOR = {
    "agents": N_("pour les agents"),
    "families": N_("pour les familles"),
    "users": N_("pour les usagers"),
    "elected": N_("pour les élus"),
    "press": N_("pour la presse"),
}
ASKER = {
    "agents": N_("d’agents"),
    "families": N_("de familles"),
    "users": N_("d’usagers"),
    "elected": N_("d’élus"),
    "press": N_("de la presse"),
}
ACTION_STATE = {
    "requested": N_("sans réponse"),
    "accepted": N_("acceptée"),
    "done": N_("faite"),
    "declined": N_("refusée"),
    "cancelled": N_("annulée"),
}
OBLIGATION_STATE = {
    "running": N_("en cours"),
    "done": N_("déclarée"),
    "dismissed": N_("sans objet"),
}
PUBLIC_PAGE = {
    "services": N_("Page publique"),
    "agents": N_("Page « Où je travaille demain ? »"),
}
STATEMENT_STATE = {
    "draft": N_("brouillon"),
    "submitted": N_("à valider"),
    "validated": N_("validé, à publier"),
    "published": N_("publié"),
    "refused": N_("refusé, à reprendre"),
    "retracted": N_("retiré"),
}
STAND = {
    "override": N_("remplacement"),
    "swap": N_("échange"),
    "calendar": N_("calendrier"),
    "rotation": N_("roulement"),
    "roster": N_("tableau"),
    "none": N_("aucune source"),
}


def translate_code(table: Mapping[Any, str], code: str | None, _: Translator) -> str:
    """Return the word of a code in a table; an unknown code stays as it is."""
    return "" if code is None else _(table[code]) if code in table else code


def find_delivery_reason(code: str | None, _: Translator) -> str | None:
    """Return why a message waits or failed in words; None for a code without any."""
    end = (code or "").partition("_")[2]
    end = "5xx" if len(end) == 3 and end.startswith("5") else end
    reason = DELIVERY_REASON.get(code or "") or PROVIDER_FAULT.get(end)
    return None if reason is None else _(reason)


@lru_cache(maxsize=4096)
def format_number(value: float, lang: str) -> str:
    """Format a number with at most one decimal: `180 000` in French, `180,000` in English."""
    return format_decimal(round(value, 1), locale=lang)


def format_metres(level: float, lang: str) -> str:
    """Format the level of a river as Vigicrues writes it, with both decimals: `6,04`."""
    return format_decimal(level, "#,##0.00", locale=lang)


def format_euros(cents: int, lang: str) -> str:
    """Format an amount: `264,40 €` in French, `€264.40` in English."""
    return format_currency(cents / 100, "EUR", locale=lang)


def format_unit_price(euros: float, lang: str) -> str:
    """Format the price of one thing, with as many decimals as it needs: `0,055 €`."""
    pattern = "#,##0.00##\u00a0¤" if lang == "fr" else "¤#,##0.00##"
    return format_currency(euros, "EUR", pattern, lang, currency_digits=False)


def join_words(items: list[str], _: Translator) -> str:
    """Join a list in words: `a, b et c`."""
    return (
        _("{first} et {last}", first=", ".join(items[:-1]), last=items[-1])
        if len(items) > 1
        else "".join(items)
    )


def name_role(role: str, scope: str | None, names: TerritoryNames, _: Translator) -> str:
    """Return the label of a role in its scope (a pôle or a site), such as `Direction Éducation`.

    A role without a short label has the territory's own label.
    """
    label = _(ROLE[role]) if role in ROLE else names.roles.get(role, role)
    if scope is None:
        return label
    if scope in names.poles:
        pole = names.pole_short(scope, _.lang)
        direction = _("Direction {pole}", pole=pole)
        if role == "directeur_pole":
            return direction
        if role == "suppleant_directeur_pole":
            return name_deputy(direction, _)
        return f"{label}, {pole}"
    return f"{label}, {names.site(scope)}" if names.has_site(scope) else label


_ACCOUNT_AFFIX = re.compile(r"-[0-9a-f]{8}$|^local-")
"""Part that turns a role into an account name: `site-manager-1f2e3d4c`, `local-admin`."""


def name_acknowledgers(persons: Iterable[str], names: TerritoryNames, _: Translator) -> list[str]:
    """Name the roles of people, for acknowledgements; two people of one role count once."""
    return list(dict.fromkeys(name_person(p, names, _) for p in persons))


def name_person(token: str, names: TerritoryNames, _: Translator) -> str:
    """Name a person by role, never by name or token. Rule D58.

    Somebody who never had a role, has left the roster or was erased is «un agent».
    """
    if token.startswith("system"):
        return _("système")
    if token not in names.holders:
        role = _ACCOUNT_AFFIX.sub("", token).replace("-", "_")
        return _(ROLE[role]) if role in ROLE else _("un agent")
    role, scope, deputy = names.holders[token]
    label = name_role(role, scope, names, _)
    return name_deputy(label, _) if deputy else label


def name_deputy(role: str, _: Translator) -> str:
    """Name the deputy of a role by the label of the role."""
    return _("{role} (suppléant)", role=role)


def capitalize(text: str) -> str:
    """Return a text with a capital first letter; the others stay."""
    return text[:1].upper() + text[1:]

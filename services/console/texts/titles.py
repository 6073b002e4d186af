"""Titles of incidents and tasks, and the sentence of a refused command."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.alerts import IncidentRow, TaskRow
from services.console.i18n import N_, Translator, translator
from services.console.texts import words as w
from services.console.texts.names import Names

_HAZARD = {
    "power": N_("Coupure électrique"),
    "water": N_("Coupure d’eau"),
    "flood": N_("Crue de la Seine"),
    "heat": N_("Canicule"),
    "snow": N_("Neige et verglas"),
    "wind": N_("Vent violent"),
    "kitchen": N_("Restauration"),
    "it": N_("Panne informatique"),
    "security": N_("Violences et dégradations"),
    "gas": N_("Fuite de gaz"),
    "absence": N_("Manque d’agents"),
    "strike": N_("Grève"),
    "fire": N_("Incendie"),
    "site": N_("Incident de site"),
}
_OF_THE_TERRITORY = {"flood", "heat", "snow", "wind", "strike"}
_WIDE = 3
"""From how many communes on the title says « étendue » and counts the rest."""


def _place(row: IncidentRow, names: Names, _: Translator) -> str:
    if len(row.members) == 1:
        site = row.members[0]
        commune = names.commune_of(site)
        name = names.site(site)
        return name if commune is None or commune in name else f"{name}, {commune}"
    key = row.key.partition(":")[2]
    communes = sorted(row.communes, key=lambda c: c != key)
    shown = [names.commune(c) for c in communes]
    if len(shown) <= _WIDE:
        return w.listed(shown, _)
    rest = len(shown) - 2
    return _("{communes} et {n} autres communes", communes=", ".join(shown[:2]), n=rest)


def incident_title(row: IncidentRow, names: Names, lang: str) -> str:
    """`Coupure électrique : Nanterre, Puteaux et Suresnes`; no free text, so it may be read by anybody."""
    _ = translator(lang)
    hazard = w.word(_HAZARD, row.kind, _)
    if row.kind in _OF_THE_TERRITORY:
        return hazard
    if row.kind == "it" and len(row.members) != 1:
        system = row.key.partition(":")[2]
        return f"{hazard}\u00a0: {system}" if system else hazard
    place = _place(row, names, _)
    return _("{what} : {where}", what=hazard, where=place) if place else hazard


def task_title(row: TaskRow, names: Names, lang: str) -> str:
    """`Levée de doute : PMI Darracq, Suresnes`."""
    _ = translator(lang)
    what = w.word(w.TASK, row.kind, _)
    if row.site is None:
        return what
    commune = names.commune_of(row.site)
    return _("{what} : {where}", what=what, where=f"{names.site(row.site)}, {commune}" if commune else names.site(row.site))


_REFUSAL = {
    "not_allowed": N_("Votre rôle ne permet pas cette décision."),
    "role_too_low": N_("Cette décision appartient à un rôle supérieur."),
    "unknown": N_("Cet élément n’existe pas, ou plus."),
    "unknown_incident": N_("Cet incident n’existe pas, ou plus."),
    "unknown_plan": N_("Ce plan n’existe pas."),
    "unknown_card": N_("Cette fiche n’existe pas."),
    "unknown_report": N_("Ce signalement n’existe pas."),
    "unknown_site": N_("Ce site n’existe pas."),
    "unknown_task": N_("Cette tâche n’existe pas."),
    "unknown_notification": N_("Cet appel n’existe pas."),
    "version_mismatch": N_("Quelqu’un a décidé entre-temps : relisez avant de recommencer."),
    "closed": N_("L’incident est déjà clos."),
    "already": N_("C’est déjà fait."),
    "not_running": N_("Aucune escalade n’est en cours."),
    "cause_open": N_("Une cause est encore ouverte : clore demande de forcer, avec une raison."),
    "predicate_holds": N_("Une condition de ce niveau tient encore : baisser demande de forcer, avec une raison."),
    "reason_needed": N_("Une raison est demandée."),
    "not_proposed": N_("Ce plan n’est pas proposé."),
    "realm_closed": N_("L’exercice est terminé."),
    "person_mismatch": N_("Cet appel s’adresse à une autre personne."),
}


def refusal(code: str, values: Mapping[str, object], lang: str) -> str:
    """The sentence of a decider's refusal; an unknown code is named, so that it can be looked up."""
    _ = translator(lang)
    if code not in _REFUSAL:
        return _("Refusé : {code}.", code=code)
    needs = values.get("needs")
    return _(_REFUSAL[code]) + (" " + _("Il faut : {role}.", role=w.word(w.ROLE, str(needs), _)) if needs else "")

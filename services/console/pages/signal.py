"""One report on a page: what it said, what became of it, and what a person may say about it (D4–D8)."""

from __future__ import annotations

from typing import Final

from schemas.words import ReportState
from services.console.i18n import N_, Translator
from services.console.resources import Report

STATES: Final = {
    ReportState.RECEIVED: N_("reçu, pas encore lu"),
    ReportState.APPLIED: N_("pris en compte"),
    ReportState.DUPLICATE: N_("déjà connu : ajouté à la même cause"),
    ReportState.REFUSED: N_("refusé"),
    ReportState.FAILED: N_("en échec : gardé, à reprendre"),
}
FLAGS: Final = {
    "late": N_("su plus de 15 minutes après les faits"),
    "future": N_("daté de l’avenir : l’heure de réception fait foi"),
    "contested": N_("contredit par une autre source"),
    "planned": N_("prévu, pas en cours"),
    "site_unknown": N_("site inconnu : à rattacher"),
    "area_unknown": N_("lieu qui n’est sur aucune carte : à rattacher"),
    "superseded": N_("remplacé par une mise à jour"),
    "cancelled": N_("annulé par sa source"),
}

SIGNATURES: Final = {
    "unsigned": N_("non signé"),
    "unchecked": N_("signé, sans certificat pour le vérifier"),
    "valid": N_("signature vérifiée"),
    "invalid": N_("signature fausse"),
}


def state_of(report: Report, _: Translator) -> str:
    """What became of it, in words."""
    return _(STATES[report.state]) if report.state in STATES else report.state.value


def flags_of(report: Report, _: Translator) -> list[str]:
    """What is to be known about it, in words."""
    return [_(FLAGS[f]) if f in FLAGS else f for f in report.flags]


def signature_of(report: Report, _: Translator) -> str | None:
    """The verdict on its signature, in words."""
    return _(SIGNATURES.get(report.signature, report.signature)) if report.signature else None

"""Columns of the clocks of obligations as CSV."""

from __future__ import annotations

from services.console.exports.tables import Column, Columns
from services.console.i18n import N_, Translator
from services.console.obligations.resources import ObligationClock
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames


def list_clock_columns(names: TerritoryNames, _: Translator) -> Columns[ObligationClock]:
    return (
        Column(N_("Obligation"), lambda c: c.title),
        Column(N_("Fondement"), lambda c: c.basis),
        Column(N_("Autorité"), lambda c: c.authority),
        Column(N_("Rôle"), lambda c: w.name_role(c.role, None, names, _)),
        Column(N_("État"), lambda c: w.translate_code(w.OBLIGATION_STATE, c.state, _)),
        Column(N_("En retard"), lambda c: c.late),
        Column(N_("Connu depuis (Paris)"), lambda c: c.known_at),
        Column(N_("Limite (Paris)"), lambda c: c.due_at),
        Column(N_("Déclaré à (Paris)"), lambda c: c.declared_at),
        Column(N_("Accusé de réception ou raison"), lambda c: c.words),
        Column(N_("Incident"), lambda c: c.incident),
        Column(N_("Identifiant"), lambda c: c.id),
    )

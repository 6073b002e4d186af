"""Columns of the ledger as a table."""

from __future__ import annotations

from services.console.exports.tables import Column, Columns
from services.console.i18n import N_, Translator
from services.console.ledger import words
from services.console.ledger.resources import LedgerLine
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames


def list_ledger_columns(names: TerritoryNames, _: Translator) -> Columns[LedgerLine]:
    return (
        Column(N_("Date (Paris)"), lambda line: line.at),
        Column(N_("Nature"), lambda line: w.translate_code(words.COST_KIND, line.kind, _)),
        Column(N_("Objet"), lambda line: line.what),
        Column(N_("Quantité"), lambda line: line.quantity),
        Column(N_("Unité"), lambda line: w.translate_code(words.COST_UNIT, line.unit, _)),
        Column(N_("Prix unitaire (€)"), lambda line: line.unit_price_eur),
        Column(N_("Montant (€)"), lambda line: line.amount_eur),
        Column(N_("Prix provisoire"), lambda line: line.draft),
        Column(N_("Incident"), lambda line: line.incident),
        Column(N_("Pôle"), lambda line: names.pole(line.pole, _.lang) if line.pole else None),
        Column(N_("Site"), lambda line: names.site(line.site) if line.site else None),
        Column(
            N_("Dossiers d’assurance"),
            lambda line: [names.obligation(claim, _.lang) for claim in line.claims],
        ),
        Column(N_("Source au journal"), lambda line: line.source),
    )

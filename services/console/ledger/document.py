"""The ledger as a document to print: sums, then the lines of the largest amounts. Rule D93."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.documents.document import (
    Document,
    DocumentSection,
    Sheet,
    Table,
    TableColumn,
    TableRow,
    build_table_section,
)
from services.console.documents.facts import name_realm
from services.console.i18n import Translator
from services.console.ledger.resources import (
    COST_KIND,
    LedgerLine,
    LedgerSum,
    LedgerTotals,
    format_quantity,
)
from services.console.resources import Realm
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.web import times

PRINTED_LINES: Final = 300
"""Lines on paper, the largest amounts; the table has all."""


@dataclass(frozen=True, slots=True)
class LedgerSheetFacts:
    """Sums and lines of a ledger in one language."""

    realm: Realm
    territory: str
    at: datetime
    totals: LedgerTotals
    lines: Sequence[LedgerLine]
    names: TerritoryNames
    translator: Translator


def draft_ledger_document(by_lang: Sequence[LedgerSheetFacts]) -> Document:
    """Draft the document in the languages of the given facts."""
    first = by_lang[0]
    return Document(
        kind="ledger",
        realm=first.realm.name,
        territory=first.territory,
        simulated=first.realm.simulated,
        as_of=times.to_ms(first.at),
        level=0,
        figures={"lines": first.totals.lines, "unpriced": first.totals.unpriced},
        sheets={one.translator.lang: _build_sheet(one) for one in by_lang},
    )


def _build_sheet(x: LedgerSheetFacts) -> Sheet:
    _, lang = x.translator, x.translator.lang
    amount, draft = (
        w.format_euros(round(eur * 100), lang) for eur in (x.totals.amount_eur, x.totals.draft_eur)
    )
    return Sheet(
        title=_("Dépenses de la crise"),
        subtitle=_("{amount} au total, dont {draft} à prix provisoires", amount=amount, draft=draft)
        if x.totals.draft_eur
        else _("{amount} au total", amount=amount),
        intro=_(
            "Tirées de la main courante le {day} à {at} ; rien n’y est saisi à la main.",
            day=times.day_long(x.at, lang),
            at=times.hm(x.at),
        ),
        footer=_(
            "Vigie, {territory}. Dépenses, {realm}.",
            territory=x.territory,
            realm=name_realm(x.realm, x.territory, _),
        ),
        page_of=_("Page {n} / {of}"),
        sources_title=_("Lignes de la main courante citées"),
        sections=(
            _build_sums("kinds", _("Par nature"), x.totals.kinds, x),
            _build_sums("incidents", _("Par incident"), x.totals.incidents, x),
            _build_sums("poles", _("Par pôle"), x.totals.poles, x),
            _build_sums("claims", _("Par dossier d’assurance"), x.totals.claims, x),
            _build_lines(x),
        ),
    )


def _build_sums(
    id: str, title: str, sums: Sequence[LedgerSum], x: LedgerSheetFacts
) -> DocumentSection:
    _, lang = x.translator, x.translator.lang
    rows = tuple(
        TableRow(
            cells=(
                one.title,
                str(one.lines),
                w.format_euros(round(one.amount_eur * 100), lang),
                w.format_euros(round(one.draft_eur * 100), lang) if one.draft_eur else "–",
                str(one.unpriced) if one.unpriced else "–",
            )
        )
        for one in sums
    )
    columns = (
        TableColumn(title=title, wide=True),
        TableColumn(title=_("Lignes"), right=True),
        TableColumn(title=_("Montant"), right=True),
        TableColumn(title=_("Dont provisoire"), right=True),
        TableColumn(title=_("Sans prix"), right=True),
    )
    return build_table_section(id, title, columns, rows, _("Aucune dépense."))


def _build_lines(x: LedgerSheetFacts) -> DocumentSection:
    _ = x.translator
    ordered_lines = sorted(x.lines, key=lambda line: (-(line.amount_eur or 0), line.at, line.id))
    rows = tuple(_build_row(line, x.names, _) for line in ordered_lines[:PRINTED_LINES])
    columns = (
        TableColumn(title=_("Date")),
        TableColumn(title=_("Dépense"), wide=True),
        TableColumn(title=_("Quantité"), right=True),
        TableColumn(title=_("Montant"), right=True),
        TableColumn(title=_("Site")),
    )
    rest = len(ordered_lines) - len(rows)
    notes = []
    if rest > 0:
        notes.append(
            _.plural(
                "{n} ligne de plus dans le tableau.", "{n} lignes de plus dans le tableau.", rest
            )
        )
    if rows:
        notes.append(_("La source de chaque ligne est dans le tableau (CSV, ODS)."))
    if any(line.draft for line in x.lines):
        notes.append(_("Des prix unitaires sont provisoires."))
    title = _("Lignes, les plus chères d’abord")
    return DocumentSection(
        id="lines", title=title, table=Table(columns=columns, rows=rows, note=" ".join(notes))
    )


def _build_row(line: LedgerLine, names: TerritoryNames, _: Translator) -> TableRow:
    kind = w.translate_code(COST_KIND, line.kind, _)
    amount = (
        "–" if line.amount_eur is None else w.format_euros(round(line.amount_eur * 100), _.lang)
    )
    return TableRow(
        cells=(
            f"{times.day(line.at, _.lang)} {times.hm(line.at)}",
            f"{kind}, {line.what}",
            format_quantity(line.quantity, line.unit, _),
            amount,
            shorten_site_name(names.site(line.site)) if line.site is not None else "–",
        )
    )

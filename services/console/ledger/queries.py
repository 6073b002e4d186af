"""Queries about costs. Rule D93."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from schemas.alerts import IncidentRow
from schemas.calling import EscalationRow
from schemas.crisis.obligations import ObligationRow
from schemas.crisis.resource_requests import ResourceRequestRow
from schemas.delivery import NotificationRow
from schemas.reassignment import ReassignmentRow
from services.console.documents.document import Document
from services.console.i18n import Translator, get_translator
from services.console.incidents.merging import find_standing_incident
from services.console.incidents.titles import write_incident_title
from services.console.ledger import resources as r
from services.console.ledger.document import LedgerSheetFacts, draft_ledger_document
from services.console.ledger.lines import (
    CostFacts,
    CostKind,
    CostLine,
    CostSum,
    UnitPrices,
    list_cost_lines,
    sum_groups,
    sum_lines,
)
from services.console.ledger.resources import COST_KIND
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    build_realm_now,
    get_snapshot_time,
)
from services.console.resources import Page, to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.messages.names import TERRITORY
from services.runtime.http.pagination import paginate

NOWHERE: Final = ""
"""Key of costs of no incident or of no single pôle."""


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Choice of lines; None: all."""

    incident: str | None = None
    pole: str | None = None
    kind: CostKind | None = None
    claim: str | None = None

    def fits(self, line: CostLine) -> bool:
        return (
            self.incident in (None, line.incident)
            and self.pole in (None, line.pole)
            and self.kind in (None, line.kind)
            and (self.claim is None or self.claim in line.claims)
        )


EVERYTHING: Final = LedgerFilter()


@dataclass(frozen=True, slots=True)
class LedgerNames:
    """Words for the keys of a ledger, in one language."""

    names: TerritoryNames
    incidents: dict[str, str]
    translator: Translator

    def name_kind(self, kind: str) -> str:
        return w.translate_code(COST_KIND, kind, self.translator)

    def name_incident(self, id: str) -> str:
        return self.incidents.get(id, id) if id else self.translator("Sans incident")

    def name_pole(self, id: str) -> str:
        if not id:
            return self.translator("Plusieurs pôles")
        return self.names.pole(id, self.translator.lang)

    def name_claim(self, id: str) -> str:
        return self.names.obligation(id, self.translator.lang)

    def name_object(self, line: CostLine) -> str:
        """Return the métier, kind of resource or channel of a line."""
        lang = self.translator.lang
        match line.kind:
            case CostKind.RESOURCE | CostKind.FUEL:
                return self.names.resource(line.what, int(line.quantity), lang)
            case CostKind.MESSAGE:
                return w.translate_code(w.CHANNEL, line.what, self.translator)
            case _:
                return self.names.metier(line.what, lang)


class LedgerQueries(QueryBase):
    """Queries about the ledger of a realm, now or at a past time."""

    async def ledger(
        self,
        choice: LedgerFilter = EVERYTHING,
        *,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.LedgerLine]:
        """List the costs, newest first."""
        view = await self.read()
        naming = await self._read_names(view)
        matching_lines = await self._list_matching_lines(view, choice)
        page_lines, following = paginate(
            matching_lines, lambda line: (-line.at, line.id), limit, cursor
        )
        items = [_build_line(line, self._realm, naming) for line in page_lines]
        return Page(items=items, next=following)

    async def ledger_totals(self, choice: LedgerFilter = EVERYTHING) -> r.LedgerTotals:
        """Return the sums of the costs by kind, incident, pôle and declaration to an insurer."""
        view = await self.read()
        naming = await self._read_names(view)
        matching_lines = await self._list_matching_lines(view, choice)
        total = sum_lines(matching_lines)

        def group(
            keys: Callable[[CostLine], Iterable[str]], name: Callable[[str], str]
        ) -> list[r.LedgerSum]:
            return [_build_sum(one, name(one.key)) for one in sum_groups(matching_lines, keys)]

        return r.LedgerTotals(
            realm=self._realm,
            amount_eur=float(total.amount),
            draft_eur=float(total.draft),
            lines=total.lines,
            unpriced=total.unpriced,
            kinds=group(lambda line: (line.kind.value,), naming.name_kind),
            incidents=group(lambda line: (line.incident or NOWHERE,), naming.name_incident),
            poles=group(lambda line: (line.pole or NOWHERE,), naming.name_pole),
            claims=group(lambda line: line.claims, naming.name_claim),
        )

    async def draft_ledger(self, choice: LedgerFilter, *, langs: Sequence[str]) -> Document:
        """Draft the ledger as a document."""
        facts = []
        for lang in langs:
            here = self.of(self._realm, lang)
            view = await here.read()
            naming = await here._read_names(view)
            matching_lines = await here._list_matching_lines(view, choice)
            realm = build_realm_now(view.picture)
            facts.append(
                LedgerSheetFacts(
                    realm=realm,
                    territory=TERRITORY.get(realm.territory, realm.territory),
                    at=to_datetime(get_snapshot_time(view.picture)),
                    totals=await here.ledger_totals(choice),
                    lines=[_build_line(line, self._realm, naming) for line in matching_lines],
                    names=view.picture.reference.names,
                    translator=naming.translator,
                )
            )
        return draft_ledger_document(facts)

    async def _list_matching_lines(
        self, view: OpenedRealm, choice: LedgerFilter
    ) -> Sequence[CostLine]:
        incidents = await view.picture.rows(IncidentRow)
        choice = replace(choice, incident=find_standing_incident(incidents, choice.incident))
        return [line for line in await self._list_lines(view) if choice.fits(line)]

    async def _list_lines(self, view: OpenedRealm) -> Sequence[CostLine]:
        picture, names = view.picture, view.picture.reference.names
        read = picture.rows
        incidents = await read(IncidentRow)
        return list_cost_lines(
            CostFacts(
                now=get_snapshot_time(picture),
                prices=UnitPrices.of(picture.reference.sections),
                sites=names.sites,
                activities=names.activities,
                poles=names.poles,
                reassignments=list((await read(ReassignmentRow)).values()),
                requests=list((await read(ResourceRequestRow)).values()),
                messages=list((await read(NotificationRow)).values()),
                escalations=await read(EscalationRow),
                clocks=list((await read(ObligationRow)).values()),
                claims=frozenset(one.id for one in names.obligations.values() if one.claim),
                merged={
                    row.id: find_standing_incident(incidents, row.id) or row.id
                    for row in incidents.values()
                    if row.merged_into is not None
                },
            )
        )

    async def _read_names(self, view: OpenedRealm) -> LedgerNames:
        names = view.picture.reference.names
        rows = await view.picture.rows(IncidentRow)
        titles = {
            row.id: f"{row.number} {write_incident_title(row, names, self._lang)}"
            for row in rows.values()
        }
        return LedgerNames(names, titles, get_translator(self._lang))


def _build_line(line: CostLine, realm: str, naming: LedgerNames) -> r.LedgerLine:
    return r.LedgerLine(
        id=line.id,
        realm=realm,
        kind=line.kind,
        source=line.source,
        at=to_datetime(line.at),
        what=naming.name_object(line),
        quantity=float(line.quantity),
        unit=line.unit,
        unit_price_eur=_to_float(line.unit_price),
        amount_eur=_to_float(line.amount),
        draft=line.draft,
        incident=line.incident,
        pole=line.pole,
        site=line.site,
        claims=list(line.claims),
    )


def _build_sum(one: CostSum, title: str) -> r.LedgerSum:
    return r.LedgerSum(
        key=one.key,
        title=title,
        lines=one.lines,
        amount_eur=float(one.amount),
        draft_eur=float(one.draft),
        unpriced=one.unpriced,
    )


def _to_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

"""Queries about handovers: rows, and pages as drafted or frozen. Rule D115."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from schemas.base import Instant
from schemas.crisis import handovers as h
from schemas.crisis.handovers import HandoverState
from services.console.communication.queries import Signed, get_text
from services.console.documents.document import Document, hash_document
from services.console.documents.handover import (
    HandoverFacts,
    complete_page,
    draft_handover,
    find_next_deadline,
    name_recipient,
)
from services.console.documents.queries import DocumentQueries
from services.console.http.problems import NotFound
from services.console.i18n import Translator, get_translator
from services.console.read_model.changes import ChangeQueries
from services.console.read_model.query_base import OpenedRealm
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.snapshot import RealmSnapshot
from services.console.resource_base import Resource, Time
from services.console.resources import Page
from services.console.staffing.queries import StaffingQueries
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.http.problems import ProblemError
from services.runtime.secrets.vault import TextItem


class HandoverSheet(Resource):
    """The frozen page of a handover."""

    sha256: str
    as_of: Time
    counts: dict[str, int]
    next_at: Time | None = Field(description="the next deadline on the page")


class Handover(Resource):
    """One handover of the crisis cell, and its signatures."""

    id: str
    realm: str
    number: int
    state: HandoverState
    objective: str | None = Field(
        description="null on the live stream; after an erasure, a notice of it"
    )
    recipients: list[str]
    recipient_names: list[str] = Field(description="in the reader's language")
    level: int
    page: HandoverSheet | None = Field(description="null until the outgoing person signs")
    drafted: Signed
    revised: Signed | None
    signed: Signed | None = Field(description="by the outgoing person")
    accepted: Signed | None = Field(description="by the incoming person")
    withdrawn: Signed | None
    reason: str | None = Field(description="why it was withdrawn")
    changed_at: Time
    version: int = Field(description="number of decisions; also the ETag")
    moves: list[str] = Field(description="what may follow: revised, signed, accepted, withdrawn")


@dataclass(frozen=True, slots=True)
class RecipientChoice:
    """One role that may get the message."""

    role: str
    label: str
    chosen: bool


def list_pilot_choices(
    reference: IndexedReference, level: int, pole_levels: Mapping[str, int], _: Translator
) -> list[RecipientChoice]:
    """List the roles of the whole territory and of each pôle, the pilots of the level first.

    A pilot of a pôle is chosen for each pôle at that level.
    """
    choices = []
    for choice in list_recipient_choices(reference, level, None, _):
        holders = reference.names.holders.values()
        scopes = {scope for role, scope, _deputy in holders if role == choice.role}
        if None in scopes or not scopes:
            choices.append(choice)
            continue
        for pole in (pole for pole in pole_levels if pole in scopes):
            label = w.name_role(choice.role, pole, reference.names, _)
            is_chosen = choice.chosen and pole_levels[pole] >= level
            choices.append(RecipientChoice(f"{choice.role}:{pole}", label, is_chosen))
    return sorted(choices, key=lambda one: (not one.chosen, one.label, one.role))


def list_recipient_choices(
    reference: IndexedReference, level: int, chosen_roles: list[str] | None, _: Translator
) -> list[RecipientChoice]:
    """List the roles of the whole territory, chosen ones first.

    Without a choice the pilots of the level are chosen.
    """
    rule = reference.find_level_rule(level) or reference.find_level_rule(1)
    default = list(rule.pilots) if rule is not None else []
    selected_roles = default if chosen_roles is None else chosen_roles
    territory_roles = {
        role for role, scope, _deputy in reference.names.holders.values() if scope is None
    }
    roles = territory_roles | {one for one in selected_roles if one in reference.names.roles}
    choices = [
        RecipientChoice(role, w.name_role(role, None, reference.names, _), role in selected_roles)
        for role in roles
    ]
    return sorted(choices, key=lambda one: (not one.chosen, one.label, one.role))


class HandoverQueries(DocumentQueries, ChangeQueries, StaffingQueries):
    """Queries about handovers."""

    async def handovers(self) -> Page[Handover]:
        """Return the handovers with their objectives, newest first."""
        view = await self.read()
        rows = (await view.picture.rows(h.HandoverRow)).values()
        ordered_rows = sorted(rows, key=lambda row: -row.number)
        texts = self._read_items(ordered_rows)
        names = view.picture.reference.names
        return Page(
            items=[
                build_handover(row, self._realm, texts, names, self._lang) for row in ordered_rows
            ]
        )

    async def handover(self, id: str) -> Handover:
        """Return one handover with its objective. Raises NotFound."""
        view = await self.read()
        row = await get_row(view.picture, id)
        names = view.picture.reference.names
        return build_handover(row, self._realm, self._read_items([row]), names, self._lang)

    async def handover_page(
        self,
        id: str,
        *,
        langs: Sequence[str] = ("fr", "en"),
        partners: Mapping[str, Instant] | None = None,
    ) -> tuple[Document, Document]:
        """Return the page as frozen, or as it is now, and the same with objective and signatures.

        Raises NotFound, ProblemError `erased`, `document_changed`.
        """
        view = await self.of(self._realm, langs[0]).read()
        row = await get_row(view.picture, id)
        if row.page is not None:
            document = self._read_frozen(row.page)
        else:
            document, _next = await self.draft_handover_page(row, langs=langs, partners=partners)
        objective = get_text(self._read_items([row]).get(row.text_id), langs[0])
        return document, complete_page(document, row, objective, view.picture.reference.names)

    async def draft_handover_page(
        self,
        row: h.HandoverRow | None,
        *,
        langs: Sequence[str] = ("fr", "en"),
        partners: Mapping[str, Instant] | None = None,
    ) -> tuple[Document, Instant | None]:
        """Draft the page of a handover, or of the next one; return it with the next deadline."""
        view = await self.of(self._realm, langs[0]).read()
        rows = (await view.picture.rows(h.HandoverRow)).values()
        number = row.number if row is not None else max((o.number for o in rows), default=0) + 1
        accepted_rows = [one for one in rows if one.accepted is not None and one.number < number]
        previous = max(accepted_rows, key=lambda one: one.number, default=None)
        facts = await self.gather_facts(view, number, previous, langs, partners)
        return self.draft_page(facts, {"objective": row.text_id} if row is not None else {})

    async def gather_facts(
        self,
        view: OpenedRealm,
        number: int,
        previous: h.HandoverRow | None,
        langs: Sequence[str],
        partners: Mapping[str, Instant] | None,
    ) -> list[HandoverFacts]:
        """Gather the facts of a page, one set per language."""
        realm, facts = view.picture.realm, []
        for sitrep in await self._facts(view, langs, {}, None, partners):
            changes = None
            if previous is not None and previous.page is not None:
                since = previous.page.as_of
                changes = await self.of(realm, sitrep.lang).changes(since)
            staffing = await self.of(realm, sitrep.lang).cell_staffing()
            facts.append(HandoverFacts(sitrep, staffing, number, previous, changes))
        return facts

    def draft_page(
        self, facts: Sequence[HandoverFacts], texts: Mapping[str, str]
    ) -> tuple[Document, Instant | None]:
        """Draft the page from its facts; return it with the next deadline."""
        return draft_handover(facts, texts=texts), find_next_deadline(facts[0])

    async def frozen_handovers(self) -> list[tuple[h.HandoverRow, Document]]:
        """Return the signed handovers with their pages as frozen, without erased ones."""
        view = await self.read()
        signed_pages = []
        for row in (await view.picture.rows(h.HandoverRow)).values():
            if row.page is None:
                continue
            try:
                signed_pages.append((row, self._read_frozen(row.page)))
            except ProblemError as error:
                if error.problem.code != "erased":
                    raise
        return sorted(signed_pages, key=lambda pair: pair[0].number)

    async def handover_row(self, id: str) -> h.HandoverRow:
        """Return the row of a handover, with its references to texts. Raises NotFound."""
        view = await self.read()
        return await get_row(view.picture, id)

    def _read_frozen(self, page: h.HandoverPage) -> Document:
        item = self._texts.get_many([page.text_id]).get(page.text_id) if self._texts else None
        if item is None or item.raw is None:
            raise ProblemError("erased")
        if hash_document(item.raw) != page.sha256:
            raise ProblemError("document_changed")
        return Document.model_validate_json(item.raw)

    def _read_items(self, rows: Sequence[h.HandoverRow]) -> Mapping[str, TextItem]:
        reasons = [row.reason.removeprefix("text:") for row in rows if row.reason]
        ids = list(dict.fromkeys([*(row.text_id for row in rows), *reasons]))
        return self._texts.get_many(ids) if self._texts is not None and ids else {}


async def get_row(picture: RealmSnapshot, id: str) -> h.HandoverRow:
    """Return the row of a handover. Raises NotFound."""
    row = await picture.row(h.HandoverRow, id)
    if row is None:
        raise NotFound
    return row


def build_handover(
    row: h.HandoverRow, realm: str, texts: Mapping[str, TextItem], names: TerritoryNames, lang: str
) -> Handover:
    """Build a handover; without its texts it is that of the live stream."""
    _ = get_translator(lang)
    page = row.page
    return Handover.from_row(
        row,
        realm=realm,
        objective=get_text(texts.get(row.text_id), lang),
        recipient_names=[name_recipient(one, names, _) for one in row.recipients],
        page=None if page is None else HandoverSheet.from_row(page),
        reason=get_text(texts.get((row.reason or "").removeprefix("text:")), lang),
        moves=[change for change, moves in h.HANDOVER_MOVES.items() if row.state in moves],
    )

"""Queries about legal deadlines and the drafts of their declarations. Rule D92."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import Field

from schemas import reference as ref
from schemas.alerts import IncidentRow
from schemas.base import Instant
from schemas.crisis import obligations as m
from schemas.crisis.obligations import LimitUnit, ObligationState
from services.console.attention.rows import find_attention_time
from services.console.communication import drafting
from services.console.communication.queries import Signed, get_text
from services.console.http.problems import NotFound
from services.console.incidents.titles import write_incident_title
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    get_snapshot_time,
)
from services.console.resource_base import Resource, Time
from services.console.resources import Page, to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.messages.names import find_territory_name
from services.runtime.http.pagination import paginate
from services.runtime.secrets.vault import TextItem


class ObligationRule(Resource):
    """An obligation of the territory, as its reference data define it."""

    id: str
    realm: str
    title: str
    basis: str = Field(description="article of the law")
    authority: str
    contact: str | None = Field(description="partner of the directory")
    role: str = Field(description="role that declares")
    amount: int
    unit: LimitUnit
    without_delay: bool = Field(
        description="the law says without delay; the limit is the objective of the territory"
    )
    counts_from: str
    condition: str | None
    plans: list[str] = Field(description="plans with a trigger that starts the clock")
    kinds: list[str] = Field(description="families of incidents that start the clock")
    after: str | None = Field(description="obligation whose declaration starts the clock")


class ObligationClock(Resource):
    """The clock of an obligation in an incident."""

    id: str
    realm: str
    obligation: str
    title: str
    basis: str
    authority: str
    state: ObligationState
    incident: str | None
    role: str
    plan: str | None = Field(description="plan with the trigger that started it")
    follows: str | None = Field(description="clock whose declaration started it")
    started: Signed | None = Field(description="null: a rule started it")
    started_at: Time
    known_at: Time = Field(description="time at which the matter became known")
    due_at: Time
    late: bool = Field(description="runs after `due_at`, or was declared after it")
    near: bool = Field(description="half of the limit has passed, or less than a day is left")
    reminders: int
    done: Signed | None
    declared_at: Time | None
    dismissed: Signed | None
    words: str | None = Field(
        description="reference of the receipt, or why it does not apply; null on the live stream"
    )
    changed_at: Time
    version: int = Field(description="counts decisions; also the ETag")


class DeclarationDraft(Resource):
    """The draft of a declaration, filled with the facts that the log knows; in French."""

    clock: str
    realm: str
    obligation: str
    authority: str
    title: str
    text: str
    blanks: list[str] = Field(description="what a person has to fill, as it stands in the text")


SMALL_COUNT: Final = 5
"""Counts of people below this are not written. Rule D58."""


class ObligationQueries(QueryBase):
    """Queries about the clocks of obligations."""

    async def obligations(
        self,
        *,
        state: Sequence[str] = (),
        incident: str | None = None,
        late: bool | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[ObligationClock]:
        """List clocks: those that run first, by limit; then the newest ends."""
        view = await self.read()
        rows = (await view.picture.rows(m.ObligationRow)).values()
        now = get_snapshot_time(view.picture)
        matching_clocks = [
            row
            for row in rows
            if (not state or row.state in state)
            and incident in (None, row.incident)
            and late in (None, is_late(row, now))
        ]
        page_clocks, following = paginate(matching_clocks, _order_clock, limit, cursor)
        texts = self._read_words(page_clocks)
        items = [self._shape_clock(view, row, texts, self._lang) for row in page_clocks]
        return Page(items=items, next=following)

    async def obligation(self, id: str) -> ObligationClock:
        """Return one clock. Raises NotFound."""
        view, row = await self._read_clock(id)
        return self._shape_clock(view, row, self._read_words([row]), self._lang)

    async def obligation_rules(self) -> list[ObligationRule]:
        """List the obligations of the territory, in the order of its file."""
        view = await self.read()
        obligations = view.picture.reference.names.obligations
        return [_shape_rule(one, self._realm, self._lang) for one in obligations.values()]

    async def declaration_draft(self, id: str) -> DeclarationDraft:
        """Return the draft of a declaration with the facts of its incident. Raises NotFound."""
        view, row = await self._read_clock(id)
        reference = view.picture.reference
        obligation = reference.names.obligations.get(row.obligation)
        if obligation is None:
            raise NotFound
        incident = await view.picture.row(IncidentRow, row.incident or "")
        values = describe_matter(
            row,
            incident,
            reference.names,
            find_territory_name(self._realm),
            get_snapshot_time(view.picture),
        )
        blanks = find_blanks(reference.sections)
        title, text = (
            drafting.fill_text(words, values, blanks)
            for words in (obligation.draft_title, obligation.draft)
        )
        return DeclarationDraft(
            clock=row.id,
            realm=self._realm,
            obligation=obligation.id,
            authority=obligation.authority,
            title=title,
            text=text,
            blanks=drafting.list_blanks(text),
        )

    async def _read_clock(self, id: str) -> tuple[OpenedRealm, m.ObligationRow]:
        view = await self.read()
        row = await view.picture.require(m.ObligationRow, id)
        return view, row

    def _shape_clock(
        self, view: OpenedRealm, row: m.ObligationRow, texts: Mapping[str, TextItem], lang: str
    ) -> ObligationClock:
        picture = view.picture
        obligations = picture.reference.names.obligations
        return build_clock(row, picture.realm, obligations, texts, lang, get_snapshot_time(picture))

    def _read_words(self, rows: Sequence[m.ObligationRow]) -> Mapping[str, TextItem]:
        text_ids = [row.text_id for row in rows if row.text_id is not None]
        return self._texts.get_many(text_ids) if self._texts is not None and text_ids else {}


def build_clock(
    row: m.ObligationRow,
    realm: str,
    obligations: Mapping[str, m.Obligation],
    texts: Mapping[str, TextItem],
    lang: str,
    now: Instant | None,
) -> ObligationClock:
    """Build a clock; without its words it is that of the live stream."""
    at = row.changed_at if now is None else now
    obligation = obligations.get(row.obligation)
    return ObligationClock.from_row(
        row,
        realm=realm,
        title=_get_title(obligation, lang) if obligation else row.obligation,
        basis=obligation.basis if obligation else "",
        authority=obligation.authority if obligation else "",
        late=is_late(row, at),
        near=is_near(row, at),
        words=get_text(texts.get(row.text_id or ""), lang),
    )


def is_late(row: m.ObligationRow, now: Instant) -> bool:
    """Return whether a limit passed without a declaration, or before it."""
    if row.state is m.ObligationState.RUNNING:
        return row.due_at <= now
    return row.declared_at is not None and row.declared_at > row.due_at


def is_near(row: m.ObligationRow, now: Instant) -> bool:
    """Return whether a clock runs and needs attention now."""
    return row.state is m.ObligationState.RUNNING and find_attention_time(row) <= now


def find_blanks(sections: Sequence[ref.SectionData]) -> Mapping[str, str]:
    """Return the words of the blanks of a version."""
    blanks = (one.blanks for one in sections if isinstance(one, ref.Obligations))
    return next(blanks, {})


def describe_matter(
    row: m.ObligationRow,
    incident: IncidentRow | None,
    names: TerritoryNames,
    territory: str,
    now: Instant,
) -> dict[str, str]:
    """Return the values of a draft that the log knows: incident, times, places, headcounts."""
    at = to_datetime(now)
    values = drafting.describe_incident(incident, names, territory, "fr", at)
    values["connu"] = drafting.format_hour(to_datetime(row.known_at), at, "fr")
    if incident is None:
        return values
    sites = [names.sites[id] for id in incident.members if id in names.sites]
    title = write_incident_title(incident, names, "fr")
    values |= {"numero": incident.number, "incident": title}
    if sites:
        values["agents"] = _write_count(sum(site.staff for site in sites))
    if incident.persons_concerned:
        values["public"] = _write_count(incident.persons_concerned)
    return values


def _write_count(people: int) -> str:
    return f"moins de {SMALL_COUNT}" if people < SMALL_COUNT else w.format_number(people, "fr")


def _order_clock(row: m.ObligationRow) -> tuple[int, int, str]:
    if row.state is m.ObligationState.RUNNING:
        return 0, row.due_at, row.id
    return 1, -row.changed_at, row.id


def _get_title(obligation: m.Obligation, lang: str) -> str:
    return obligation.title if lang == "fr" else obligation.title_en


def _shape_rule(one: m.Obligation, realm: str, lang: str) -> ObligationRule:
    return ObligationRule.from_row(
        one,
        realm=realm,
        title=_get_title(one, lang),
        amount=one.limit.amount,
        unit=one.limit.unit,
        plans=list(one.plans),
        kinds=list(one.kinds),
    )

"""Queries about statements, questions, templates, and rumours that wait for an answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import Field

from schemas import alerts as a
from schemas.base import Instant
from schemas.crisis import communication as m
from schemas.crisis.communication import Audience, QuestionState, StatementState
from services.console.communication import drafting
from services.console.logbook.erasures import format_erasure
from services.console.read_model.query_base import UNLIMITED, QueryBase, get_snapshot_time
from services.console.resource_base import Resource, Time
from services.console.resources import Page, Report, to_datetime
from services.messages.names import find_territory_name
from services.runtime.http.pagination import paginate
from services.runtime.secrets.erasure import read_erasure
from services.runtime.secrets.vault import TextItem, get_field


class Signed(Resource):
    """A person's step: token, role and time."""

    by: str
    role: str
    at: Time


class Statement(Resource):
    """A statement of the territory, and its way to publication. Rule D91."""

    id: str
    realm: str
    state: StatementState
    audience: Audience
    plain: bool = Field(description="plain language (FALC)")
    template: str | None
    incident: str | None
    report: str | None = Field(description="the rumour that it answers")
    question: str | None = Field(description="the question that it answers")
    title: str | None
    text: str | None = Field(description="null on the live stream, and when it was erased")
    blanks: int = Field(description="blanks to fill before it can be submitted")
    drafted: Signed
    revised: Signed | None
    readdressed: Signed | None = Field(description="last change of the audience")
    submitted: Signed | None
    validated: Signed | None
    refused: Signed | None
    published: Signed | None
    retracted: Signed | None
    reason: str | None = Field(description="why it was refused or retracted")
    changed_at: Time
    version: int = Field(description="counts decisions; also the ETag")
    moves: list[str] = Field(description="what may follow: submitted, validated, …")


class Question(Resource):
    """A question that somebody asked the territory. Rule D91."""

    id: str
    realm: str
    state: QuestionState
    asker: Audience
    text: str | None
    incident: str | None
    asked_at: Time
    due_at: Time | None
    late: bool = Field(description="still open after `due_at`")
    noted: Signed
    answered: Signed | None
    answer: str | None
    statement: str | None = Field(description="the statement that answers it")
    changed_at: Time
    version: int


class StatementTemplate(Resource):
    """A template of the territory, filled with the known facts of an incident."""

    id: str
    realm: str
    event: str = Field(description="family of incidents, or `any`")
    audience: Audience
    plain: bool
    title: str
    text: str
    blanks: list[str] = Field(description="what a person has to fill, as it stands in the text")


OPEN_FIRST: Final = {
    m.StatementState.SUBMITTED: 0,
    m.StatementState.VALIDATED: 1,
    m.StatementState.REFUSED: 2,
    m.StatementState.DRAFT: 3,
    m.StatementState.PUBLISHED: 4,
    m.StatementState.RETRACTED: 5,
}
"""Order of statements: those that wait for somebody first."""
TITLE_FIELD: Final = "title"


class CommunicationQueries(QueryBase):
    """Queries about statements and questions. Rule D91."""

    async def statements(
        self,
        *,
        state: Sequence[str] = (),
        audience: Sequence[str] = (),
        incident: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[Statement]:
        """List statements with their texts: those that wait for somebody first, then the newest."""
        view = await self.read()
        rows = (await view.picture.rows(m.StatementRow)).values()
        matching_rows = [
            row
            for row in rows
            if (not state or row.state in state)
            and (not audience or row.audience in audience)
            and incident in (None, row.incident)
        ]
        page_rows, following = paginate(
            matching_rows,
            lambda row: (OPEN_FIRST[row.state], -row.changed_at, row.id),
            limit,
            cursor,
        )
        texts = self._read_texts([*(row.text_id for row in page_rows), *_list_reasons(page_rows)])
        return Page(
            items=[build_statement(row, self._realm, texts, self._lang) for row in page_rows],
            next=following,
        )

    async def statement(self, id: str) -> Statement:
        """Return a statement with its text. Raises NotFound."""
        view = await self.read()
        row = await view.picture.require(m.StatementRow, id)
        texts = self._read_texts([row.text_id, *_list_reasons([row])])
        return build_statement(row, self._realm, texts, self._lang)

    async def questions(
        self,
        *,
        state: Sequence[str] = (),
        asker: Sequence[str] = (),
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[Question]:
        """List questions with their texts: open ones by deadline, then the newest answers."""
        view = await self.read()
        rows = (await view.picture.rows(m.QuestionRow)).values()
        matching_rows = [
            row
            for row in rows
            if (not state or row.state in state) and (not asker or row.asker in asker)
        ]
        page_rows, following = paginate(matching_rows, _order_question, limit, cursor)
        ids = [
            id for row in page_rows for id in (row.text_id, row.answer_text_id) if id is not None
        ]
        texts, now = self._read_texts(ids), get_snapshot_time(view.picture)
        return Page(
            items=[build_question(row, self._realm, texts, self._lang, now) for row in page_rows],
            next=following,
        )

    async def question(self, id: str) -> Question:
        """Return a question with its text. Raises NotFound."""
        view = await self.read()
        row = await view.picture.require(m.QuestionRow, id)
        texts = self._read_texts([id for id in (row.text_id, row.answer_text_id) if id is not None])
        return build_question(row, self._realm, texts, self._lang, get_snapshot_time(view.picture))

    async def statement_templates(
        self,
        *,
        incident: str | None = None,
        event: str | None = None,
        audience: str | None = None,
        plain: bool | None = None,
        id: str | None = None,
    ) -> list[StatementTemplate]:
        """List templates, filled with the known facts of an incident. Raises NotFound.

        Those for its kind of event, unless `event` or the `id` of one template is given.
        """
        view = await self.read()
        row = None
        if incident is not None:
            row = await view.picture.require(a.IncidentRow, incident)
        reference = view.picture.reference
        section = drafting.find_section(reference.sections)
        now = to_datetime(get_snapshot_time(view.picture))
        values = drafting.describe_incident(
            row, reference.names, find_territory_name(self._realm), self._lang, now
        )
        matching_templates = drafting.select_templates(
            section.templates,
            event=event or (row.kind if row is not None and id is None else None),
            audience=audience,
            plain=plain,
        )
        statement_templates = []
        for template in matching_templates:
            if id not in (None, template.id):
                continue
            title, text = (
                drafting.fill_text(words, values, section.blanks)
                for words in drafting.choose_words(template, self._lang)
            )
            statement_templates.append(
                StatementTemplate.from_row(
                    template,
                    realm=self._realm,
                    title=title,
                    text=text,
                    blanks=drafting.list_blanks(f"{title}\n{text}"),
                )
            )
        return statement_templates

    async def rumours(self) -> list[Report]:
        """List rumours that no published statement answers, newest first, without their words."""
        view = await self.read()
        reports = (await view.picture.rows(a.ReportRow)).values()
        statements = (await view.picture.rows(m.StatementRow)).values()
        answered_reports = {s.report for s in statements if s.state is m.StatementState.PUBLISHED}
        waiting = [
            row
            for row in reports
            if row.confirmation == "rumour" and row.id not in answered_reports
        ]
        waiting.sort(key=lambda row: (-row.recorded_at, row.id))
        return [view.shape.report(row) for row in waiting]

    def _read_texts(self, ids: Iterable[str]) -> Mapping[str, TextItem]:
        text_ids = list(dict.fromkeys(ids))
        return self._texts.get_many(text_ids) if self._texts is not None and text_ids else {}


def build_statement(
    row: m.StatementRow, realm: str, texts: Mapping[str, TextItem], lang: str
) -> Statement:
    """Build a statement; without its text it is that of the live stream."""
    item = texts.get(row.text_id)
    return Statement.from_row(
        row,
        realm=realm,
        title=get_field(item, TITLE_FIELD),
        text=get_text(item, lang),
        reason=get_text(texts.get(_get_text_id(row.reason)), lang),
        moves=[change for change, moves in m.STATEMENT_MOVES.items() if row.state in moves],
    )


def build_question(
    row: m.QuestionRow,
    realm: str,
    texts: Mapping[str, TextItem],
    lang: str,
    now: Instant | None = None,
) -> Question:
    """Build a question; without its text it is that of the live stream."""
    is_open = row.state is m.QuestionState.OPEN
    return Question.from_row(
        row,
        realm=realm,
        text=get_text(texts.get(row.text_id), lang),
        late=is_open and row.due_at is not None and now is not None and row.due_at < now,
        answer=get_text(texts.get(row.answer_text_id or ""), lang),
    )


def _order_question(row: m.QuestionRow) -> tuple[int, int, str]:
    if row.state is m.QuestionState.OPEN:
        return 0, row.due_at if row.due_at is not None else row.asked_at, row.id
    return 1, -row.changed_at, row.id


def _list_reasons(rows: Iterable[m.StatementRow]) -> list[str]:
    return [id for row in rows if (id := _get_text_id(row.reason))]


def _get_text_id(reference: str | None) -> str:
    """Return the text id of a reason, empty for a missing one."""
    return (reference or "").removeprefix("text:")


def get_text(item: TextItem | None, lang: str) -> str | None:
    """Return a text, or the notice of its erasure."""
    if item is None:
        return None
    erasure = read_erasure(item)
    return format_erasure(erasure, lang) if erasure is not None else get_field(item, "text")

"""Queries about changes of the reference data: proposed, waiting and past ones. Rule D63."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final

from schemas import reassignment as g
from schemas import reference_changes as c
from schemas.crisis.actions import ActionRow
from schemas.oncall import ReachRow
from services.console import resources as r
from services.console.http.problems import NotFound
from services.console.i18n import LANGUAGES, get_translator
from services.console.read_model.query_base import (
    UNLIMITED,
    QueryBase,
    get_known,
    get_snapshot_time,
)
from services.console.reference.record_view import (
    build_record_entries,
    build_record_form,
    build_record_state,
    list_open_edits,
)
from services.console.reference.reviews import (
    PARTNERS_TITLE,
    build_reviews,
    collect_actions,
    collect_confirmations,
)
from services.console.resources import Page
from services.oncall.schedule import get_local_day
from services.runtime.http.pagination import paginate, paginate_preordered
from services.territory.editing.records import RecordUnknown

_STATE_ORDER: Final = {c.ChangeState.PROPOSED: 0, c.ChangeState.APPROVED: 1}
_CURRENT_STATES: Final = frozenset({g.LineState.APPROVED, *g.ACTIVE_LINE_STATES})
_PARTNER_TITLES: Final = frozenset(get_translator(lang)(PARTNERS_TITLE) for lang in LANGUAGES)


class ReferenceQueries(QueryBase):
    """Queries about versions of the reference data."""

    async def reference_changes(
        self,
        *,
        state: Sequence[str] = (),
        texts: bool = False,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.ReferenceChange]:
        """List changes: those to approve, approved ones that wait, past ones, newest first."""
        view = await self.read()
        rows = (await view.picture.rows(c.ReferenceChangeRow)).values()
        matching_rows = [row for row in rows if not state or row.state in state]
        page_rows, following = paginate(
            matching_rows,
            lambda row: (_STATE_ORDER.get(row.state, 2), -row.ended_at, row.id),
            limit,
            cursor,
        )
        reason_texts = self._read_reasons(page_rows) if texts else {}
        return Page(
            items=[view.shape.reference_change(row, reason_texts) for row in page_rows],
            next=following,
        )

    async def reference_change(self, id: str, *, texts: bool = False) -> r.ReferenceChange:
        """Return one change. Raises NotFound."""
        view = await self.read()
        row = get_known(await view.picture.some(c.ReferenceChangeRow, [id]), id)
        return view.shape.reference_change(row, self._read_reasons([row]) if texts else {})

    async def records(
        self,
        *,
        kind: Sequence[c.RecordKind] = (),
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.RecordEntry]:
        """List the records that can be edited by themselves, of some kinds."""
        view = await self.read()
        rows = (await view.picture.rows(c.ReferenceChangeRow)).values()
        reference = view.picture.reference
        kinds = [one for one in c.RecordKind if not kind or one in kind]
        entries = build_record_entries(
            reference, kinds, list_open_edits(rows), get_translator(self._lang)
        )
        page_entries, following = paginate_preordered(
            entries, lambda one: f"{one.kind} {one.id}", limit, cursor
        )
        return Page(items=page_entries, next=following)

    async def record(self, kind: c.RecordKind, id: str) -> r.RecordState:
        """Return one record with its fields. Raises NotFound."""
        view = await self.read()
        rows = (await view.picture.rows(c.ReferenceChangeRow)).values()
        change = list_open_edits(rows).get((kind, id))
        persons = await self.persons_on_call()
        try:
            return build_record_state(
                view.picture.reference, kind, id, change, persons, get_translator(self._lang)
            )
        except RecordUnknown:
            raise NotFound from None

    async def record_form(self, kind: c.RecordKind) -> r.RecordForm:
        """Return the fields of a new record. Raises NotFound."""
        view = await self.read()
        persons = await self.persons_on_call()
        try:
            return build_record_form(
                view.picture.reference, kind, persons, get_translator(self._lang)
            )
        except RecordUnknown:
            raise NotFound from None

    async def persons_on_call(self) -> Collection[str]:
        """Return the tokens of people within reach of the directory, besides the reference data.

        Forms offer them for a post. Erased people have no address left and are not among them.
        """
        rows = await (await self.read()).picture.rows(ReachRow)
        return tuple(id for id, row in rows.items() if row.points)

    async def open_edits(self) -> Mapping[tuple[c.RecordKind, str], str]:
        """Return the open change of each record that has one."""
        view = await self.read()
        return list_open_edits((await view.picture.rows(c.ReferenceChangeRow)).values())

    async def reviews(self, *, kind: Sequence[c.RecordKind] = ()) -> r.RecordReviews:
        """List the yearly reviews of records of some kinds, the most urgent first. Rule D86."""
        view = await self.read()
        rows = (await view.picture.rows(c.ReferenceChangeRow)).values()
        actions = (await view.picture.rows(ActionRow)).values()
        titles = {a.text_id: self.words_of(a.text_id) for a in actions if a.plan is None}
        reviews = build_reviews(
            view.picture.reference,
            list_open_edits(rows),
            collect_actions(actions, titles, _PARTNER_TITLES),
            collect_confirmations(rows),
            get_local_day(get_snapshot_time(view.picture)),
        )
        return r.RecordReviews(items=[one for one in reviews if not kind or one.kind in kind])

    async def today(self) -> date:
        """Return the local day of a realm now."""
        return get_local_day(get_snapshot_time((await self.read()).picture))

    async def agents_moved(self, sites: Collection[str]) -> int:
        """Count the agents with a current reassignment from, to or for one of these sites."""
        if not sites:
            return 0
        view = await self.read()
        rows = (await view.picture.rows(g.ReassignmentRow)).values()
        return sum(
            row.count
            for row in rows
            if row.state in _CURRENT_STATES
            and not {row.site, row.place, row.need_site}.isdisjoint(sites)
        )

    def _read_reasons(self, rows: Sequence[c.ReferenceChangeRow]) -> Mapping[str, Any]:
        """Return text id → fields of the text."""
        ids = [
            decision.reason.removeprefix("text:")
            for row in rows
            for decision in row.decisions
            if decision.reason
        ]
        items = self._texts.get_many(ids) if self._texts is not None and ids else {}
        return {f"text:{id}": item.fields for id, item in items.items()}

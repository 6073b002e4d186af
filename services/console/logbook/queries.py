"""Query the logbook, single reports, and answers of commands."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from schemas import alerts as a
from schemas.base import Instant
from schemas.crisis.communication import QuestionRow, StatementRow
from schemas.words import EventType, MsgType
from services.console import resources as r
from services.console.http.problems import NotFound, RealmUnknown
from services.console.incidents.merging import list_merged_incidents
from services.console.incidents.resources import has_receipt
from services.console.incidents.titles import write_refusal
from services.console.logbook.erasures import format_erasure
from services.console.logbook.lines import LineRecord, build_key_after
from services.console.read_model import snapshot as pictures
from services.console.read_model import store
from services.console.read_model.query_base import UNLIMITED, OpenedRealm, QueryBase
from services.console.read_model.shapes import Shaper
from services.console.read_model.store import translate_store_errors
from services.console.resources import Page, to_datetime
from services.console.texts.names import TerritoryNames
from services.runtime.http.pagination import decode_cursor, encode_cursor
from services.runtime.secrets.erasure import read_erasure
from services.runtime.secrets.vault import OWN_WORDS_FIELD, TextItem

DEFAULT_KINDS: Final = frozenset(
    {"fact", "decision", "action", "communication", "watch", "alarm", "note", "runtime"}
)
"""Kinds of lines shown by default."""
FREE_TEXT_KINDS: Final = frozenset({"note", "decision"})
"""Kinds of lines that show a person's text to readers with the right to it."""

OWN_TEXT_FIELDS: Final = (
    "alias",
    "plan_hint",
    "phenomenon",
    "colour",
    "urgency",
    "measure",
    "commune",
    "zone",
    "affected_activities",
)
"""Fields of a report with the same name on input and on display."""


REPORTS_SEARCHED: Final = 5
"""Reports of an incident that are searched for a sentence of a person."""
WITHDRAWALS_SEARCHED: Final = 20
"""Most reports of an incident that may have been one error: more are not searched."""
LONGEST_SENTENCE: Final = 160


@dataclass(frozen=True, slots=True)
class FirstSentence:
    """The first sentence about an incident, and the report that holds it."""

    report: str
    sentence: str


@dataclass(frozen=True, slots=True)
class NewestVersion:
    """Last Update of a report that an Update replaced."""

    id: str
    source_key: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The cancellation that left an incident without a report that counts, and its time."""

    report: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TextLocation:
    """The text id of a report or line, and its incident."""

    text_id: str
    incident: str | None


class LogbookQueries(QueryBase):
    """Queries about logbook lines, reports and command answers."""

    async def report_text(self, id: str) -> TextLocation:
        """Return the text id of a report. Raises NotFound."""
        view = await self.read()
        row = await view.picture.row(a.ReportRow, id)
        if row is None or row.text_id is None:
            raise NotFound
        return TextLocation(row.text_id, row.incident)

    async def line_text(self, id: str) -> TextLocation:
        """Return the text id of a logbook line, a statement or a question.

        Raises NotFound, also for a line without text.
        """
        view = await self.read()
        statement = await view.picture.row(StatementRow, id)
        question = await view.picture.row(QuestionRow, id)
        for row in (statement, question):
            if row is not None:
                return TextLocation(row.text_id, row.incident)
        start: str | None = None
        while True:
            records, after = await pictures.read_lines(
                self._client,
                self._realm,
                incident=None,
                kinds=frozenset(),
                at=view.picture.at,
                before=start,
                limit=UNLIMITED,
                site=None,
            )
            if after is None and len(records) < UNLIMITED:
                records, after = await self._complete_page(
                    records, None, frozenset(), view.picture.at, start, UNLIMITED, None
                )
            for record in records:
                if record.id == id and record.text_id is not None:
                    return TextLocation(record.text_id, record.incident)
            if after is None:
                raise NotFound
            start = after

    async def timeline(
        self,
        *,
        incident: str | None = None,
        site: str | None = None,
        kind: Sequence[str] = (),
        texts: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[r.Line]:
        """Return a page of the logbook, newest first.

        `kind` restricts the kinds: none means all but `impact` (every change of a capacity), `all`
        means everything. With `texts` the reader may read free text (notes, reasons). The lines of
        merged incidents are among those of the incident that stands.
        """
        view = await self.read()
        incidents = (
            None
            if incident is None
            else list_merged_incidents(await view.picture.rows(a.IncidentRow), incident)
        )
        before = decode_cursor(cursor) if cursor is not None else None
        kinds = frozenset() if "all" in kind else frozenset(kind) or DEFAULT_KINDS
        most = max(1, min(limit, UNLIMITED))
        start = "".join(map(str, before)) if before else None
        pages = [
            await pictures.read_lines(
                self._client,
                self._realm,
                incident=one,
                kinds=kinds,
                at=view.picture.at,
                before=start,
                limit=most,
                site=site,
            )
            for one in incidents or (None,)
        ]
        records, after = _merge_pages(pages, most)
        if after is None and len(records) < most:
            records, after = await self._complete_page(
                records, incidents, kinds, view.picture.at, start, most, site
            )
        return Page(
            items=self.shape_lines(view.shape, records, texts=texts),
            next=encode_cursor(after) if after else None,
        )

    async def _complete_page(
        self,
        records: list[LineRecord],
        incidents: Collection[str] | None,
        kinds: AbstractSet[str],
        at: Instant | None,
        before: str | None,
        limit: int,
        site: str | None,
    ) -> tuple[list[LineRecord], str | None]:
        """Fill a page from the logs if Redis has dropped older lines."""
        floor = await self._floor(self._realm)
        if floor is None:
            return records, None
        end = min(
            [
                floor + "~",
                *([before] if before else []),
                *([build_key_after(at)] if at is not None else []),
            ]
        )
        together = records + await self._older(
            self._realm, incidents, kinds, end, limit - len(records), site
        )
        return together, together[-1].key if len(together) == limit else None

    def shape_lines(
        self, shape: Shaper, records: Sequence[LineRecord], *, texts: bool
    ) -> list[r.Line]:
        """Build lines, with their free text if the reader may see it."""
        text_ids = [
            record.text_id
            for record in records
            if record.text_id is not None
            and (record.kind in FREE_TEXT_KINDS or record.type == "NoteAdded")
        ]
        items = (
            self._texts.get_many(text_ids) if texts and text_ids and self._texts is not None else {}
        )
        return [
            shape.line(record, _get_shown_text(items.get(record.text_id or ""), shape.lang))
            for record in records
        ]

    def texts_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return texts of persons by id, without erased ones. For readers of the logbook."""
        items = self._texts.get_many(ids) if self._texts is not None and ids else {}
        return {
            id: text
            for id, item in items.items()
            if (text := _get_shown_text(item, "fr")) is not None
        }

    async def lines(
        self, view: OpenedRealm, keys: Sequence[str], *, texts: bool
    ) -> dict[str, r.Line]:
        """Return lines by key for the live stream; dropped lines are left out."""
        raw_lines = await view.picture.raw_lines(keys)
        records = [LineRecord.load(orjson.loads(raw)) for raw in raw_lines]
        return dict(
            zip(
                [record.key for record in records],
                self.shape_lines(view.shape, records, texts=texts),
                strict=True,
            )
        )

    async def report(self, id: str, *, texts: bool = False) -> r.Report:
        """Return a report and its outcome, even one for a realm that never opened.

        Raises NotFound, RealmUnknown.
        """
        try:
            view = await self.read()
        except RealmUnknown:
            if (lost_report := await self._find_undecided_report(id)) is None:
                raise
            return lost_report
        row = await view.picture.row(a.ReportRow, id)
        if row is not None:
            item = (
                self._texts.get_many([row.text_id]).get(row.text_id)
                if texts and row.text_id and self._texts
                else None
            )
            fields = item.fields if item else {}
            row = restore_own_text(row, fields.get(OWN_WORDS_FIELD) or {})
            report = view.shape.report(
                row,
                fields.get("headline"),
                fields.get("description"),
                fields.get("attachments") or (),
                read_erasure(item),
                fields.get("contact"),
            )
            return report.model_copy(
                update={"newer_alert_at": await self._find_newer_alert(view, row)}
            )
        if (lost_report := await self._find_undecided_report(id)) is None:
            raise NotFound
        return lost_report

    async def is_unread(self, id: str) -> bool:
        """Tell whether a report has a receipt and the cell has not read it. Raises NotFound."""
        view = await self.read()
        row = await view.picture.require(a.ReportRow, id)
        return has_receipt(row) and row.read_at is None

    async def some_reports(
        self, ids: Sequence[str], *, with_text: Collection[str] = ()
    ) -> dict[str, r.Report]:
        """Return the existing reports by id; those in `with_text` with their first sentence."""
        view = await self.read()
        rows = await view.picture.some(a.ReportRow, ids) if ids else {}
        text_ids = [row.text_id for id, row in rows.items() if id in with_text and row.text_id]
        texts = self._texts.get_many(text_ids) if text_ids and self._texts is not None else {}
        reports = {}
        for id, row in rows.items():
            item = texts.get(row.text_id or "")
            words = _shorten_first_sentence(
                (_get_shown_text(item, "fr") or _get_description(item)) if item else ""
            )
            contact = item.fields.get("contact") if item else None
            reports[id] = view.shape.report(row, words or None, contact=contact)
        return reports

    async def reports_of_sites(self, sites: Iterable[str]) -> dict[str, list[r.Report]]:
        """Return the three newest reports of each site, without their text."""
        view = await self.read()
        site_ids = set(sites)
        rows = (
            [row for row in (await view.picture.rows(a.ReportRow)).values() if row.site in site_ids]
            if site_ids
            else []
        )
        reports_by_site: dict[str, list[r.Report]] = {}
        for row in sorted(rows, key=lambda row: (-row.recorded_at, row.id)):
            mine = reports_by_site.setdefault(str(row.site), [])
            if len(mine) < 3:
                mine.append(view.shape.report(row))
        return reports_by_site

    async def first_words(self, incident: str) -> FirstSentence | None:
        """Return the first sentence a person wrote about an incident; for readers of reports.

        The reason of a withdrawal is none.
        """
        view = await self.read()
        ids = (await view.picture.reports_of(incident))[:REPORTS_SEARCHED]
        rows = await view.picture.some(a.ReportRow, ids) if ids else {}
        text_ids = [
            (row.id, row.text_id)
            for row in (rows[id] for id in ids if id in rows)
            if row.text_id is not None and row.msg_type is not MsgType.CANCEL
        ]
        texts = (
            self._texts.get_many([text for _id, text in text_ids])
            if text_ids and self._texts is not None
            else {}
        )
        for id, text in text_ids:
            item = texts.get(text)
            if item is None or read_erasure(item) is not None:  # its notice is nobody's sentence
                continue
            sentence = _shorten_first_sentence(
                _get_shown_text(item, "fr") or _get_description(item)
            )
            if sentence:
                return FirstSentence(id, sentence)
        return None

    async def find_withdrawal(self, incident: str) -> Withdrawal | None:
        """Return the withdrawal that left an incident without a report that counts, if any.

        Only incidents of few reports are searched: one of many is no single error.
        """
        view = await self.read()
        ids = await view.picture.reports_of(incident)
        if not 0 < len(ids) <= WITHDRAWALS_SEARCHED:
            return None
        rows = (await view.picture.some(a.ReportRow, ids)).values()
        withdrawals = [row for row in rows if row.msg_type is MsgType.CANCEL]
        if not withdrawals or any(
            row.msg_type is not MsgType.CANCEL
            and row.confirmation != "denied"
            and "cancelled" not in row.flags
            for row in rows
        ):
            return None
        last = max(withdrawals, key=lambda row: row.recorded_at)
        return Withdrawal(last.id, to_datetime(last.recorded_at))

    async def own_repeats(self, report: r.Report) -> list[str]:
        """Return the ids of the reports in which the same sender said the same again."""
        rows = await self._list_own_reports(report)
        return [row.id for row in rows if row.of == report.id and "cancelled" not in row.flags]

    async def own_versions(self, report: r.Report) -> frozenset[str]:
        """Return the ids of the reports that this one replaced, by the same sender.

        Its withdrawal takes them, too. Rule D3, cancellations.
        """
        rows = await self._list_own_reports(report) if report.references else []
        return frozenset(row.id for row in rows if row.id in report.references)

    async def newest_version(self, report: r.Report) -> NewestVersion | None:
        """Return the last Update of a report, also of its Updates, if one replaced it."""
        if "superseded" not in report.flags:
            return None
        rows = await self._list_incident_reports(report)
        updates = [row for row in rows if row.msg_type is MsgType.UPDATE and row.id != report.id]
        versions, newest = {report.id}, None
        for row in sorted(updates, key=lambda row: (row.occurred_at, row.recorded_at)):
            if not versions.isdisjoint(row.references):
                versions.add(row.id)
                newest = NewestVersion(row.id, row.source_key, to_datetime(row.recorded_at))
        return newest

    async def _list_own_reports(self, report: r.Report) -> list[a.ReportRow]:
        """Return the reports of the same sender in the incident of a report."""
        if report.source_key is None:
            return []
        rows = await self._list_incident_reports(report)
        return [row for row in rows if row.source_key == report.source_key]

    async def _list_incident_reports(self, report: r.Report) -> list[a.ReportRow]:
        """Return the reports in the incident of a report."""
        if report.incident is None:
            return []
        view = await self.read()
        ids = await view.picture.reports_of(report.incident)
        return list((await view.picture.some(a.ReportRow, ids)).values()) if ids else []

    async def _find_newer_alert(self, view: OpenedRealm, reopening: a.ReportRow) -> datetime | None:
        """Return the time of an alert that a reopening left open because it is newer.

        Only alerts that were known before the reopening count.
        """
        if reopening.type is not EventType.REOPENING or reopening.site is None:
            return None
        site = await view.picture.row(a.SiteRow, reopening.site)
        open_ = [cause for cause in site.causes if cause.type in reopening.lifts] if site else []
        ids = [id for cause in open_ for id in cause.reports]
        report_rows = (await view.picture.some(a.ReportRow, ids)).values() if ids else ()
        newer_times = [
            row.occurred_at
            for row in report_rows
            if row.occurred_at > reopening.occurred_at and row.recorded_at <= reopening.recorded_at
        ]
        return to_datetime(max(newer_times)) if newer_times else None

    async def _find_undecided_report(self, id: str) -> r.Report | None:
        """Return a report that could not be decided, if that was known by then."""
        async with translate_store_errors():
            raw = await self._client.hget(store.build_realm_key(self._realm, "lost"), id)
        if raw is None:
            return None
        fields = orjson.loads(raw)
        if self._moment is not None and fields["at"] > self._moment:
            return None
        return r.Report(
            id=id,
            realm=self._realm,
            state=fields["state"],
            reason=fields["reason"],
            source_key=fields.get("source_key"),
        )


def names_site(answer: Mapping[str, Any] | None) -> bool:
    """Return whether an answer refuses because of a site: its sentence needs the site's name."""
    return answer is not None and answer["state"] != "applied" and "site" in answer["values"]


def build_command_result(
    answer: Mapping[str, Any], lang: str, names: TerritoryNames | None = None
) -> r.CommandResult:
    """Turn a stored answer into a resource, with the sentence of a refusal."""
    is_refused = answer["state"] != "applied"
    code, values = answer.get("code"), {**answer["values"], "command": answer["command"]}
    return r.CommandResult(
        id=answer["id"],
        command_id=answer["id"],
        realm=answer["realm"],
        command=answer["command"],
        state=answer["state"],
        status=answer.get("status"),
        code=code,
        detail=write_refusal(code, values, lang, names) if is_refused and code else None,
        result={} if is_refused else answer["values"],
        at=to_datetime(answer["at"]),
    )


def restore_own_text(row: a.ReportRow, own: Mapping[str, Any]) -> a.ReportRow:
    """Return the report with its sender's text in place of the hashes of the log."""
    texts = {field: own[field] for field in OWN_TEXT_FIELDS if field in own}
    if "site_id" in own and "site_unknown" in row.flags:  # otherwise a person has linked it since
        texts["site"] = own["site_id"]
    return a.ReportRow.model_validate(row.model_dump() | texts) if texts else row


def _get_description(item: TextItem | None) -> str:
    return str(item.fields.get("description") or "") if item is not None else ""


def _shorten_first_sentence(text: str) -> str:
    """Return the first sentence of a text, shortened at a space."""
    sentence = re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0]
    if len(sentence) <= LONGEST_SENTENCE:
        return sentence
    return sentence[:LONGEST_SENTENCE].rsplit(" ", 1)[0] + " …"


def _get_shown_text(item: TextItem | None, lang: str) -> str | None:
    """Return the text of a note or reason or the headline of a report.

    An erased text returns the notice of its erasure.
    """
    if item is None:
        return None
    if (erasure := read_erasure(item)) is not None:
        return format_erasure(erasure, lang)
    text = item.fields.get("text") or item.fields.get("headline")
    return str(text) if text else None


def _merge_pages(
    pages: Sequence[tuple[list[LineRecord], str | None]], limit: int
) -> tuple[list[LineRecord], str | None]:
    """Merge pages of several incidents, newest first, down to where the shortest one ends."""
    ends = [after for _, after in pages if after is not None]
    end = max(ends, default="")
    records_by_key = {x.key: x for records, _ in pages for x in records if x.key >= end}
    keys = sorted(records_by_key, reverse=True)
    shown_keys = keys[:limit]
    is_cut = len(keys) > limit
    return [records_by_key[k] for k in shown_keys], shown_keys[-1] if is_cut else end or None

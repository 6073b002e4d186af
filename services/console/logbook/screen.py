"""Page `/main-courante`: the logbook, newest first."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from fastapi import Request

from services.console.http.context import is_limited
from services.console.http.decisions import get_author
from services.console.http.problems import NotFound
from services.console.i18n import N_, Translator, get_translator
from services.console.logbook.erasures import ErasureProposal, Erasures
from services.console.logbook.line_list import (
    KIND_LABELS,
    LATE_MIN,
    format_author,
    group_lines,
    label_kind,
    summarise_lines,
)
from services.console.logbook.lines import build_key
from services.console.read_model.queries import Queries
from services.console.resources import Line, to_datetime, to_instant
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.web.access import build_shell, require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import LINE_LIMIT, build_frame_context
from services.console.web.shell import ScreenShell
from services.runtime.http.pagination import encode_cursor
from services.runtime.identity.permissions import Permission

NOTES_SCANNED: Final = 200
"""Newest notes to search for the correction of a line."""
ROWS_SHOWN: Final = 60
"""Rows of a page; lines that are read as one are one row."""
PAGES_READ: Final = 10
"""Most pages of lines that are read to fill the rows: a storm writes many that are one row."""
WRITABLE_KINDS: Final = {
    "note": N_("note"),
    "fact": N_("fait"),
    "decision": N_("décision"),
    "action": N_("action"),
    "communication": N_("communication"),
}
"""Kinds that a person may write."""
DECIDED_KINDS: Final = ("decision", "action")


@dataclass(frozen=True, slots=True)
class LogbookRow:
    key: str
    id: str
    occurred_at: datetime
    recorded_at: datetime
    late_min: int
    kind: str
    decided: bool
    """A person decided or did it; the line then warns others with an open form."""
    text: str
    by: str
    source: str
    certainty: str
    incident: str | None
    report: str | None
    corrects: str | None
    """Key of the line that it corrects if that is on the page; otherwise its id."""
    corrected_by: str | None
    place: str
    danger: bool
    parts: "tuple[LogbookRow, ...]" = ()
    """The lines that this row sums up, newest first."""

    @property
    def late(self) -> bool:
        return self.late_min > LATE_MIN

    @property
    def occurred_from(self) -> datetime:
        """Time of the first event among the lines of this row."""
        return min((part.occurred_at for part in self.parts), default=self.occurred_at)

    @property
    def recorded_from(self) -> datetime:
        return self.parts[-1].recorded_at if self.parts else self.recorded_at


def get_line_key(line: Line) -> str:
    """Return the key of `services.console.logbook.lines` for a line resource."""
    service, _partition, seq, ordinal = line.place.split("/")
    return build_key(to_instant(line.recorded_at), service, int(seq), int(ordinal))


def build_rows(
    lines: Sequence[Line],
    notes: Iterable[Line],
    names: TerritoryNames,
    _: Translator,
    cited_key: str | None = None,
) -> list[LogbookRow]:
    """Build the rows of one page; lines that are read as one are the parts of one row.

    `notes` are lines of persons beyond the page, searched for corrections. A corrected or cited
    line stands alone.
    """
    lines_by_id = {line.id: line for line in (*notes, *lines)}
    corrections = {
        line.corrects: get_line_key(line) for line in lines_by_id.values() if line.corrects
    }

    def build_row(line: Line) -> LogbookRow:
        return LogbookRow(
            get_line_key(line),
            line.id,
            line.occurred_at,
            line.recorded_at,
            line.late_min,
            label_kind(line, _),
            line.kind in DECIDED_KINDS or line.change == "verdict",
            line.text,
            format_author(line, names, _),
            world.name_source(line.source, _),
            w.translate_code(w.CERTAINTY, line.certainty, _),
            line.incident,
            line.report,
            get_line_key(lines_by_id[line.corrects])
            if line.corrects in lines_by_id
            else line.corrects,
            corrections.get(line.id),
            line.place,
            line.danger,
        )

    def build_group(group: Sequence[Line]) -> LogbookRow:
        row = build_row(group[0])
        if len(group) == 1:
            return row
        parts = tuple(build_row(line) for line in group)
        return replace(
            row,
            text=summarise_lines(group, names, _),
            occurred_at=max(line.occurred_at for line in group),
            late_min=max(line.late_min for line in group),
            parts=parts,
        )

    cited = [line.id for line in lines if get_line_key(line) == cited_key]
    return [build_group(group) for group in group_lines(lines, (*cited, *corrections))]


def remove_early_alarms(lines: Sequence[Line]) -> list[Line]:
    """Return the lines without the alarms of limits that are not reached yet."""
    return [line for line in lines if not line.early]


def build_cursor(key: str | None) -> str | None:
    """Return the cursor of the page that begins with this line; None if no line has the key."""
    return encode_cursor(f"{key}~") if key and key.isdigit() else None


@dataclass(frozen=True, slots=True)
class ErasureLine:
    """Proposed erasure of a text."""

    proposal: ErasureProposal
    at: datetime
    is_own: bool
    """The reader proposed it: another person approves it."""


async def build_logbook_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `logbook.html`: the logbook, newest first.

    It begins at a cited line (`ligne`) or after a page's end (`suite`). Raises NotFound.
    """
    shell = await build_shell(
        request, queries, require_reader(request, Permission.LOG_READ), "logbook"
    )
    lang, query_params = shell.lang, request.query_params
    queries = queries.of(shell.realm.name, lang)
    kind = query_params.get("genre") if query_params.get("genre") in (*KIND_LABELS, "all") else None
    incident = query_params.get("incident") or None
    cited_key = await _find_line_key(queries, query_params.get("ligne"))
    cursor = query_params.get("suite") or build_cursor(cited_key)
    if incident is not None:
        await queries.incident(incident)
    kinds = ("all",) if cited_key else (kind,) if kind else ()
    (lines, following), notes, reference = await asyncio.gather(
        _read_rows(queries, incident, kinds, cursor),
        queries.timeline(kind=("note",), texts=True, limit=NOTES_SCANNED),
        queries.reference(),
    )
    _ = get_translator(lang)
    visible_lines = lines if kind or cited_key else remove_early_alarms(lines)
    return {
        **build_frame_context(request, shell),
        "lines": build_rows(visible_lines, notes.items, reference.names, _, cited_key),
        "early": len(lines) - len(visible_lines),
        "next": following,
        "kinds": KIND_LABELS,
        "kind": kind,
        "cited": cited_key,
        "incident_id": incident,
        "incidents": shell.overview.incidents,
        "written": WRITABLE_KINDS,
        "sources": {code: w.translate_code(world.SOURCE, code, _) for code in world.SOURCE},
        "certainties": ("confirmed", "unconfirmed", "rumour"),
        "newest": cursor is None,
        "erasures": _list_erasures(request, shell),
        "who": lambda token: w.name_person(token, reference.names, _),
    }


async def _read_rows(
    queries: Queries, incident: str | None, kinds: Sequence[str], cursor: str | None
) -> tuple[list[Line], str | None]:
    """Read lines until they fill the rows of a page; return them and the cursor of the next."""
    lines: list[Line] = []
    for _page in range(PAGES_READ):
        page = await queries.timeline(
            incident=incident, kind=kinds, texts=True, limit=ROWS_SHOWN, cursor=cursor
        )
        lines += page.items
        cursor = page.next
        if cursor is None or len(group_lines(lines)) >= ROWS_SHOWN:
            break
    return lines, cursor


def _has_erasures(request: Request) -> bool:
    return bool(Erasures(request.app.state.texts).open())


def _list_erasures(request: Request, shell: ScreenShell) -> list[ErasureLine]:
    """List the erasures for readers with the right to decide them."""
    principal = shell.reader.principal
    if is_limited(principal) or not principal.may(Permission.DIRECTORY_WRITE):
        return []
    return [
        ErasureLine(one, to_datetime(one.at), is_own=one.by == get_author(principal))
        for one in Erasures(request.app.state.texts).open()
        if one.realm == shell.realm.name
    ]


async def _find_line_key(queries: Queries, line: str | None) -> str | None:
    """Return the key of a line, given its key or its id (corrections cite ids).

    Raises NotFound if no recent line has that id.
    """
    if not line or build_cursor(line) is not None:
        return line
    newest = (await queries.timeline(kind=("all",), limit=LINE_LIMIT)).items
    cited_line = next((one for one in newest if one.id == line), None)
    if cited_line is None:
        raise NotFound
    return get_line_key(cited_line)


PAGE: Final = WebPage(
    "logbook",
    "/main-courante",
    "logbook.html",
    build_logbook_page,
    N_("Main courante"),
    needs=Permission.LOG_READ,
    is_personal_now=_has_erasures,  # authors may not approve their own (rule D58)
)

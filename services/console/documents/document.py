"""Document model: sections of lines and tables in both languages, with citations of the logbook.

A frozen document is stored as the bytes that `frozen` returns. Later views come from these bytes
alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.base import Instant
from services.console.i18n import Translator

FORMAT: Final = "vigie.document.v1"
LineMark = Literal["", "unconfirmed", "todo", "late", "remark"]


class DocumentPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DocumentLine(DocumentPart):
    text: str
    refs: tuple[int, ...] = Field(default=(), description="numbers in `sources`")
    mark: LineMark = ""
    strong: bool = False


class TableRow(DocumentPart):
    cells: tuple[str, ...]
    refs: tuple[int, ...] = ()
    strong: bool = False


class TableColumn(DocumentPart):
    title: str
    right: bool = False
    wide: bool = False


class Table(DocumentPart):
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    note: str = ""


class DocumentSection(DocumentPart):
    id: str
    title: str
    aside: str = ""
    lines: tuple[DocumentLine, ...] = ()
    table: Table | None = None
    half: bool = Field(default=False, description="true if it stands beside the next half section")
    map: bool = False

    @property
    def refs(self) -> set[int]:
        """Numbers of all cited sources."""
        rows = self.table.rows if self.table is not None else ()
        return {n for line in self.lines for n in line.refs} | {n for row in rows for n in row.refs}


def write_nothing_to_report(_: Translator) -> tuple[DocumentLine, ...]:
    return (DocumentLine(text=_("Rien à signaler.")),)


def build_table_section(
    id: str,
    title: str,
    columns: Iterable[TableColumn],
    rows: Iterable[TableRow],
    empty_text: str,
    *,
    lines: Iterable[DocumentLine] = (),
    note: str = "",
    aside: str = "",
) -> DocumentSection:
    """Return a section with a table; without rows, `empty_text` is its last line instead."""
    table = Table(columns=tuple(columns), rows=tuple(rows), note=note)
    if table.rows:
        return DocumentSection(id=id, title=title, aside=aside, lines=tuple(lines), table=table)
    last_line = DocumentLine(text=empty_text)
    return DocumentSection(id=id, title=title, aside=aside, lines=(*lines, last_line))


class Sheet(DocumentPart):
    """The document in one language."""

    title: str
    subtitle: str
    intro: str
    badge: str = ""
    badge_text: str = ""
    draft: str = Field(default="", description="mark on a document that nobody has validated")
    footer: str
    page_of: str = Field(description="text with {n} and {of}")
    map_text: str = ""
    map_note: str = ""
    sources_title: str
    sections: tuple[DocumentSection, ...]

    def section(self, id: str) -> DocumentSection | None:
        return next((s for s in self.sections if s.id == id), None)


class CitedSource(DocumentPart):
    """A logbook line that the document cites; `place` is its position in the hash-chained log."""

    n: int
    key: str
    id: str
    at: Instant
    place: str

    @property
    def short(self) -> str:
        """Short position such as `A3512.2`: initial of the log, sequence number, ordinal."""
        service, _partition, seq, ordinal = self.place.split("/")
        return f"{service[0].upper()}{seq}.{ordinal}"


class MapSite(DocumentPart):
    """A site on the map that is not normal."""

    x: float
    y: float
    status: str
    name: str


class Document(DocumentPart):
    format: Literal["vigie.document.v1"] = FORMAT
    kind: Literal["sitrep", "retex", "handover", "ledger"]
    realm: str
    territory: str
    simulated: bool
    number: int | None = None
    as_of: Instant
    level: int
    level_since: Instant | None = None
    validated_by: str | None = Field(
        default=None, description="role of the author; the token is in the log"
    )
    incidents: tuple[str, ...] = ()
    figures: dict[str, int] = Field(default_factory=dict)
    remarks: dict[str, str] = Field(
        default_factory=dict, description="section → text added by a person"
    )
    texts: dict[str, str] = Field(
        default_factory=dict,
        description="section → id of a text that is kept apart, so that it can be erased",
    )
    sources: tuple[CitedSource, ...] = ()
    spots: tuple[MapSite, ...] = ()
    hit: tuple[str, ...] = Field(
        default=(), description="INSEE codes of communes with a site that is not normal"
    )
    sheets: dict[str, Sheet] = Field(description="language → the same content")
    heads: dict[str, tuple[int, str]] = Field(
        default_factory=dict,
        description="validated document: last position of every log (sequence number, hash)",
    )

    def sheet(self, lang: str) -> Sheet:
        """Return the sheet in this language, else in French, else the only one."""
        return self.sheets.get(lang) or self.sheets.get("fr") or next(iter(self.sheets.values()))

    def frozen(self) -> bytes:
        """Return the bytes that are stored, hashed and signed."""
        absent = {name for name in ("heads", "texts") if not getattr(self, name)}
        return self.model_dump_json(exclude=absent or None).encode()


def hash_document(raw: bytes) -> str:
    """Return the hexadecimal SHA-256 of a document's bytes."""
    return sha256(raw).hexdigest()


class Citations:
    """Citable logbook lines by subject; the cited ones get their numbers, by time, at the end."""

    def __init__(self, lines: Iterable[CitedSource], index: Mapping[str, Sequence[str]]) -> None:
        """Index the lines of a document.

        `lines` have n = 0. `index` maps a subject (`site:S1`, `plan:PT-ELEC` …) to the keys of its
        lines, newest first.
        """
        self._lines = {line.key: line for line in lines}
        self._index = index
        self._numbers: dict[str, int] = {}

    def of(self, *subjects: str, most: int = 1) -> tuple[int, ...]:
        """Return provisional numbers of the newest lines about each subject; see `number_lines`."""
        keys = [key for subject in subjects for key in self._index.get(subject, ())[:most]]
        return tuple(
            dict.fromkeys(self._numbers.setdefault(key, len(self._numbers) + 1) for key in keys)
        )

    def key(self, key: str) -> tuple[int, ...]:
        """Return the provisional number of one line."""
        return (
            (self._numbers.setdefault(key, len(self._numbers) + 1),) if key in self._lines else ()
        )

    def number_lines(
        self, sheets: Iterable[Sheet]
    ) -> tuple[dict[int, int], tuple[CitedSource, ...]]:
        """Return provisional → final numbers of the cited lines, and their sources by time."""
        used = {n for sheet in sheets for section in sheet.sections for n in section.refs}
        keys = sorted(key for key, n in self._numbers.items() if n in used)
        return {self._numbers[key]: n for n, key in enumerate(keys, 1)}, tuple(
            self._lines[key].model_copy(update={"n": n}) for n, key in enumerate(keys, 1)
        )


def renumber_sheet(sheet: Sheet, final: Mapping[int, int]) -> Sheet:
    """Replace the provisional numbers of a sheet with the final ones."""

    def refs(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(final[n] for n in numbers))

    sections = []
    for section in sheet.sections:
        lines = tuple(line.model_copy(update={"refs": refs(line.refs)}) for line in section.lines)
        table = section.table
        if table is not None:
            table = table.model_copy(
                update={
                    "rows": tuple(
                        row.model_copy(update={"refs": refs(row.refs)}) for row in table.rows
                    )
                }
            )
        sections.append(section.model_copy(update={"lines": lines, "table": table}))
    return sheet.model_copy(update={"sections": tuple(sections)})

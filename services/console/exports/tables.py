"""Write lists as CSV, OpenDocument spreadsheets and GeoJSON, which open with a double click.

CSV: UTF-8 with a BOM, semicolons, CRLF (RFC 4180), a title per column in the reader's language,
local times, quotes around every cell. A sign that begins a formula, also behind a separator inside
a text, gets an apostrophe in front: a file read with another separator computes nothing. ODS: a
zip with the content, a manifest and, first and uncompressed, the media type (ODF 1.3, part 2).
Numbers stay numbers, times stay times; texts are cells of type string, which nothing computes.
"""

import csv
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile
from zoneinfo import ZoneInfo

import orjson
from fastapi.responses import Response, StreamingResponse

from schemas.topics import is_live
from services.console.exports.formats import CSV, EXERCISE_MARK, GEOJSON
from services.console.i18n import Translator, get_translator
from services.console.resource_base import Page, Resource

T = TypeVar("T")
R = TypeVar("R", bound=Resource)
Cell = str | int | float | bool | datetime | Sequence[str] | None
BOM: Final = "\ufeff"
SEPARATOR: Final = ";"
LIST_SEPARATOR: Final = ", "
_CELL_ENDS: Final = frozenset(";,\t\r\n")
"""Characters behind which a cell begins if a program reads the file with another separator."""
_BLANK_SIGNS: Final = frozenset("\t\r\n")
_FORMULA_SIGNS: Final = frozenset("=+-@＝＋－＠")
"""Signs that begin a formula, also as full-width characters."""
_CELL_START: Final = re.compile(r"""(?:^|[;,\s"])[;,\s"]*'*""")
"""Blanks, quotes and apostrophes before a possible sign: none of them hides it."""
_PARIS: Final = ZoneInfo("Europe/Paris")
PAGE_ROWS: Final = 1000
"""Rows that are read at once."""
CSV_TYPE: Final = f"{CSV}; charset=utf-8; header=present"
_UNPRINTABLE: Final = dict.fromkeys(
    [
        *(code for code in range(32) if chr(code) not in "\t\n\r"),
        *range(0xD800, 0xE000),
        0xFFFE,
        0xFFFF,
    ]
)
"""Characters that XML forbids, and that no table needs: none of them stands for anything."""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table: its title in French, and the cell of each row."""

    title: str
    cell: Callable[[T], Cell]


Columns = Sequence[Column[T]]
"""Columns of a table, from left to right."""


def write_cell(value: Cell, _: Translator) -> str:
    """Return the text of a cell; a number stays one, a text never becomes a formula."""
    match value:
        case None:
            return ""
        case bool():
            return _("oui") if value else _("non")
        case int():
            return str(value)
        case float():
            number = str(int(value)) if value.is_integer() else f"{Decimal(repr(value)):f}"
            return number.replace(".", ",") if _.lang == "fr" else number
        case datetime():
            return value.astimezone(_PARIS).strftime("%Y-%m-%d %H:%M:%S")
        case str():
            return escape_formula(value)
        case _:
            return escape_formula(LIST_SEPARATOR.join(value))


def escape_formula(text: str) -> str:
    """Put an apostrophe before each sign that may begin a formula; drop control characters."""
    plain = text.translate(_UNPRINTABLE)
    start = "'" if _begins_blank(plain) else ""
    return start + _CELL_START.sub(lambda m: m[0] + "'" * _begins_formula(m), plain)


def unescape_formula(text: str) -> str:
    """Remove the apostrophes of `escape_formula` from a cell that comes back."""
    plain = text.removeprefix("'") if _begins_blank(text) else text
    return _CELL_START.sub(lambda m: m[0].removesuffix("'" * _begins_formula(m)), plain)


def _begins_blank(text: str) -> bool:
    return text.lstrip("'")[:1] in _BLANK_SIGNS


def _begins_formula(start: re.Match[str]) -> bool:
    is_start = start.start() == 0 or not _CELL_ENDS.isdisjoint(start[0])
    return is_start and start.string[start.end() : start.end() + 1] in _FORMULA_SIGNS


def write_rows(columns: Columns[T], rows: Iterable[T], _: Translator) -> str:
    """Return rows as CSV lines, without titles."""
    out = io.StringIO()
    _open_writer(out).writerows(
        [write_cell(column.cell(row), _) for column in columns] for row in rows
    )
    return out.getvalue()


def write_titles(columns: Columns[T], _: Translator) -> str:
    """Return the first line of a table, with the BOM."""
    out = io.StringIO()
    _open_writer(out).writerow([_(column.title) for column in columns])
    return BOM + out.getvalue()


def _open_writer(out: io.StringIO) -> Any:
    return csv.writer(out, delimiter=SEPARATOR, lineterminator="\r\n", quoting=csv.QUOTE_ALL)


@dataclass(frozen=True, slots=True)
class FileNaming:
    """Realm, list and language of a file."""

    realm: str
    name: str
    lang: str

    def build_headers(self, extension: str) -> dict[str, str]:
        """Return the headers of a file to keep: `vigie-92-sites.csv`.

        That of an exercise says so: whoever gets it by mail sees its name first.
        """
        mark = "" if is_live(self.realm) else EXERCISE_MARK
        safe = "".join(
            c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in self.realm
        )
        return {
            "Content-Disposition": f'attachment; filename="{mark}vigie-{safe}-{self.name}.{extension}"',
            "Content-Language": self.lang,
            "Vary": "Accept, Accept-Language",
            "X-Content-Type-Options": "nosniff",
        }


ReadPage = Callable[[int, str | None], Awaitable[Page[R]]]
"""Reader of one page of a list, by its size and its cursor. Quoted: `Page[R]` is no generic alias."""


async def read_all_pages(read: "ReadPage[R]") -> list[R]:
    """Return a whole list."""
    page = await read(PAGE_ROWS, None)
    rows = list(page.items)
    while page.next is not None:
        page = await read(PAGE_ROWS, page.next)
        rows += page.items
    return rows


def build_csv_response(columns: Columns[T], rows: Iterable[T], about: FileNaming) -> Response:
    """Return a whole list as a CSV file."""
    _ = get_translator(about.lang)
    text = write_titles(columns, _) + write_rows(columns, rows, _)
    return Response(text.encode(), 200, about.build_headers("csv"), CSV_TYPE)


async def stream_csv_response(
    columns: Columns[R], read: "ReadPage[R]", about: FileNaming
) -> Response:
    """Return a long list as a CSV file, page by page.

    The first page is read before the answer begins, so its refusal is still a problem document.
    """
    _ = get_translator(about.lang)
    first = await read(PAGE_ROWS, None)

    async def write() -> AsyncIterator[bytes]:
        page = first
        yield (write_titles(columns, _) + write_rows(columns, page.items, _)).encode()
        while page.next is not None:
            page = await read(PAGE_ROWS, page.next)
            yield write_rows(columns, page.items, _).encode()

    return StreamingResponse(write(), 200, about.build_headers("csv"), CSV_TYPE)


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A point on the map, in degrees (WGS 84)."""

    lat: float
    lon: float


def build_feature(id: str, place: MapPoint | None, properties: dict[str, Any]) -> dict[str, Any]:
    """Return a GeoJSON feature; one without a place has no geometry (RFC 7946, 3.2)."""
    point = None if place is None else {"type": "Point", "coordinates": [place.lon, place.lat]}
    return {"type": "Feature", "id": id, "geometry": point, "properties": properties}


def build_geojson_response(features: Sequence[dict[str, Any]], about: FileNaming) -> Response:
    """Return features as a GeoJSON file."""
    body = orjson.dumps({"type": "FeatureCollection", "features": features})
    return Response(body, 200, about.build_headers("geojson"), GEOJSON)


ODS: Final = "application/vnd.oasis.opendocument.spreadsheet"
_NAMES: Final = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
)
_MANIFEST: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" '
    'manifest:version="1.3">'
    f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODS}"/>'
    '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>'
    "</manifest:manifest>"
)


def write_ods(columns: Columns[T], rows: Iterable[T], title: str, _: Translator) -> bytes:
    """Return a spreadsheet with one table: the titles of the columns, then the rows."""
    lines = [_write_row([_write_text(_(column.title)) for column in columns])]
    lines += [_write_row([_write_cell(column.cell(row), _) for column in columns]) for row in rows]
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMES} '
        f'office:version="1.3"><office:body><office:spreadsheet><table:table '
        f"table:name={quoteattr(title.translate(_UNPRINTABLE))}>{''.join(lines)}</table:table></office:spreadsheet>"
        "</office:body></office:document-content>"
    )
    out = io.BytesIO()
    with ZipFile(out, "w") as file:
        file.writestr("mimetype", ODS, ZIP_STORED)
        file.writestr("content.xml", content, ZIP_DEFLATED)
        file.writestr("META-INF/manifest.xml", _MANIFEST, ZIP_DEFLATED)
    return out.getvalue()


def _write_row(cells: list[str]) -> str:
    return f"<table:table-row>{''.join(cells)}</table:table-row>"


def _write_text(text: str) -> str:
    escaped_text = escape(text.translate(_UNPRINTABLE))
    return f'<table:table-cell office:value-type="string"><text:p>{escaped_text}</text:p></table:table-cell>'


def _write_cell(value: Cell, _: Translator) -> str:
    match value:
        case None:
            return "<table:table-cell/>"
        case bool():
            return _write_text(_("oui") if value else _("non"))
        case int() | float():
            return f'<table:table-cell office:value-type="float" office:value="{value!r}"/>'
        case datetime():
            local = value.astimezone(_PARIS).replace(tzinfo=None).isoformat(timespec="seconds")
            return f'<table:table-cell office:value-type="date" office:date-value="{local}"/>'
        case str():
            return _write_text(value)
        case _:
            return _write_text(LIST_SEPARATOR.join(value))


def build_ods_response(columns: Columns[T], rows: Iterable[T], about: FileNaming) -> Response:
    """Return a whole list as an OpenDocument spreadsheet."""
    body = write_ods(columns, rows, about.name, get_translator(about.lang))
    return Response(body, 200, about.build_headers("ods"), ODS)

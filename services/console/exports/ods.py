"""Write lists as an OpenDocument spreadsheet: numbers stay numbers, times stay times.

A zip with the content, a manifest and, first and uncompressed, the media type (ODF 1.3, part 2).
Texts are cells of type string, which no spreadsheet computes.
"""

import io
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile
from zoneinfo import ZoneInfo

from fastapi.responses import Response

from services.console.exports.tables import LIST_SEPARATOR, Cell, Columns, FileNaming
from services.console.i18n import Translator, get_translator

T = TypeVar("T")
ODS: Final = "application/vnd.oasis.opendocument.spreadsheet"
_PARIS: Final = ZoneInfo("Europe/Paris")
_UNPRINTABLE: Final = {code: None for code in range(32) if chr(code) not in "\t\n\r"}
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
        f"table:name={quoteattr(title)}>{''.join(lines)}</table:table></office:spreadsheet>"
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

"""Parse untrusted XML without entities, DTDs, files or network access."""

from typing import Any, Final
from xml.parsers import expat

from lxml import etree

from services.runtime.http.problems import ProblemError, build_field_problem

PARSER_OPTIONS: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "huge_tree": False,
    "load_dtd": False,
}
Element = etree._Element


class _PrologEnd(Exception):
    """The root element has begun."""


def parse_xml(body: bytes) -> Element:
    """Parse XML and return its root element.

    Raises ProblemError `invalid` for malformed XML or a DTD, with the line if known.
    """
    if (line := _find_doctype_line(body)) is not None:
        raise _build_body_problem(
            "dtd", f"ligne {line} : une DTD est refusée", f"line {line}: a DTD is refused"
        )
    try:
        root = etree.fromstring(body, etree.XMLParser(**PARSER_OPTIONS))
    except etree.XMLSyntaxError as error:
        raise _build_body_problem(
            "xml", f"XML illisible, ligne {error.lineno}", f"unreadable XML, line {error.lineno}"
        ) from None
    except (ValueError, LookupError):
        raise _build_body_problem("xml", "XML illisible", "unreadable XML") from None
    docinfo: Any = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise _build_body_problem("dtd", "une DTD est refusée", "a DTD is refused")
    return root


def _find_doctype_line(body: bytes) -> int | None:
    """Return the line of a DOCTYPE, found before its content is read, or None.

    Unreadable input is left to the parser.
    """
    line_numbers: list[int] = []
    scout = expat.ParserCreate()

    def doctype(*_: object) -> None:
        line_numbers.append(scout.CurrentLineNumber)
        raise _PrologEnd

    def element(*_: object) -> None:
        raise _PrologEnd

    scout.StartDoctypeDeclHandler = doctype
    scout.StartElementHandler = element
    try:
        scout.Parse(body, True)
    except (_PrologEnd, expat.ExpatError, ValueError, LookupError):
        pass
    return line_numbers[0] if line_numbers else None


def _build_body_problem(code: str, fr: str, en: str) -> ProblemError:
    return build_field_problem("body", code, fr, en)

"""Parse untrusted XML without entities, DTDs, files or network access."""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

from lxml import etree

from services.runtime.http.problems import ProblemError, fault

OPTIONS: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "huge_tree": False,
    "load_dtd": False,
}
Element = etree._Element


class _PrologOver(Exception):
    """The root element has begun."""


def read_xml(body: bytes) -> Element:
    """Parse XML and return its root element.

    Raises ProblemError `invalid` for malformed XML or a DTD, with the line if known.
    """
    if (line := _doctype_line(body)) is not None:
        raise _refused(
            "dtd", f"ligne {line} : une DTD est refusée", f"line {line}: a DTD is refused"
        )
    try:
        root = etree.fromstring(body, etree.XMLParser(**OPTIONS))
    except etree.XMLSyntaxError as error:
        raise _refused(
            "xml", f"XML illisible, ligne {error.lineno}", f"unreadable XML, line {error.lineno}"
        ) from None
    except (ValueError, LookupError):
        raise _refused("xml", "XML illisible", "unreadable XML") from None
    docinfo: Any = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise _refused("dtd", "une DTD est refusée", "a DTD is refused")
    return root


def _doctype_line(body: bytes) -> int | None:
    """Return the line of a DOCTYPE, found before its content is read, or None.

    Unreadable input is left to the parser.
    """
    found: list[int] = []
    scout = expat.ParserCreate()

    def doctype(*_: object) -> None:
        found.append(scout.CurrentLineNumber)
        raise _PrologOver

    def element(*_: object) -> None:
        raise _PrologOver

    scout.StartDoctypeDeclHandler = doctype
    scout.StartElementHandler = element
    try:
        scout.Parse(body, True)
    except (_PrologOver, expat.ExpatError, ValueError, LookupError):
        pass
    return found[0] if found else None


def _refused(code: str, fr: str, en: str) -> ProblemError:
    return ProblemError("invalid", faults=(fault("body", code, fr, en),))

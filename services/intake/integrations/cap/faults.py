"""Describe faults of a message in French and English, with element path and line."""

import re
from functools import cache
from typing import Any, Final

from lxml import etree

from schemas.cap import XSD
from services.intake.http.xml import PARSER_OPTIONS, Element
from services.runtime.http.problems import FieldFault, ProblemError, build_fault

MAX_FAULTS: Final = 20
"""Maximum number of reported faults."""
MAX_LOCATED_ELEMENTS: Final = 2_000
"""Maximum number of elements among which grammar errors are located.

libxml2 counts siblings for each error: beyond, a body of one megabyte would take minutes.
"""
_CAP_NAME: Final = re.compile(r"\{[^{}]*\}")
_STEP: Final = re.compile(r"([^\[\]]+)(?:\[(\d+)\])?")
"""A step in the path of an element: `*[2]`, `cap:info[3]`, `autre`."""
_EXPECTED: Final = re.compile(r"Expected is (?:one of )?\( (.*) \)\.$")
_VALUE_DESCRIPTIONS: Final = {
    "dateTime": (
        "une date avec décalage : 2027-02-11T09:40:00+01:00",
        "a time with its offset: 2027-02-11T09:40:00+01:00",
    ),
    "Time": (
        "une date avec décalage, sans fraction ni Z : 2027-02-11T09:40:00+01:00",
        "a time with its offset, without a fraction or Z: 2027-02-11T09:40:00+01:00",
    ),
    "language": ("un code de langue : fr-FR", "a language code: fr-FR"),
    "integer": ("un nombre entier", "an integer"),
    "decimal": ("un nombre", "a number"),
    "anyURI": ("une adresse (URI)", "an address (URI)"),
}


class FaultCollector:
    """Collect faults, at most MOST."""

    def __init__(self) -> None:
        self._found: list[FieldFault] = []

    @property
    def full(self) -> bool:
        return len(self._found) >= MAX_FAULTS

    def add(self, element: Element, code: str, fr: str, en: str) -> None:
        """Add a fault at an element."""
        if not self.full:
            line = element.sourceline
            at_fr, at_en = (f"ligne {line} : ", f"line {line}: ") if line else ("", "")
            self._found.append(
                build_fault(build_element_path(element), code, at_fr + fr, at_en + en)
            )

    def settle(self) -> None:
        """Check that there is no fault. Raises ProblemError `invalid`."""
        if self._found:
            raise ProblemError("invalid", faults=tuple(self._found))


def build_element_path(element: Element) -> str:
    """Return a path such as `/alert/info[2]/area/polygon[1]`; repeated elements have a number."""
    steps: list[str] = []
    at: Element | None = element
    while at is not None:
        name, parent = etree.QName(at).localname, at.getparent()
        if parent is not None:
            same = [c for c in parent if c.tag == at.tag]
            name += f"[{same.index(at) + 1}]" if len(same) > 1 else ""
        steps.append(name)
        at = parent
    return "/" + "/".join(reversed(steps))


@cache
def _load_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(XSD), etree.XMLParser(**PARSER_OPTIONS)))


def check_grammar(root: Element, body: bytes) -> None:
    """Validate a message against the XSD. Raises ProblemError `invalid` with the faulty elements.

    Cuts `root` if a large message is invalid.
    """
    large = sum(1 for _ in root.iter()) > MAX_LOCATED_ELEMENTS
    if large:
        if _is_valid(body):
            return
        _truncate_tree(root)
    if _load_schema().validate(root):
        if large:
            raise ProblemError("invalid", faults=(_build_unlocated_fault(root),))
        return
    faults = FaultCollector()
    errors: Any = _load_schema().error_log
    for entry in errors:
        if faults.full:
            break
        element = _find_element(root, entry.path)
        faults.add(element, *_describe_error(element, entry.type_name, entry.message))
    faults.settle()


def _is_valid(body: bytes) -> bool:
    """Validate in one pass and linear time, without locating errors."""
    try:
        etree.fromstring(body, etree.XMLParser(schema=_load_schema(), **PARSER_OPTIONS))
    except etree.XMLSyntaxError:
        return False
    return True


def _truncate_tree(root: Element) -> None:
    """Keep the first NAMED elements."""
    for n, element in enumerate(list(root.iter())):
        if n >= MAX_LOCATED_ELEMENTS and (parent := element.getparent()) is not None:
            parent.remove(element)


def _build_unlocated_fault(root: Element) -> FieldFault:
    return build_fault(
        build_element_path(root),
        "schema",
        f"non conforme après le {MAX_LOCATED_ELEMENTS}e élément",
        f"not valid after element {MAX_LOCATED_ELEMENTS}",
    )


def _find_element(root: Element, path: str | None) -> Element:
    """Return the element of a libxml2 path, as far as its steps can be followed.

    Prefixes in the path are those of the message.
    """
    element = root
    for step in (path or "").split("/")[2:]:
        if (step_match := _STEP.fullmatch(step)) is None:
            break
        alike = [
            c
            for c in element
            if isinstance(c.tag, str) and step_match[1] in ("*", _get_prefixed_name(c))
        ]
        if len(alike) < (number := int(step_match[2] or 1)):
            break
        element = alike[number - 1]
    return element


def _get_prefixed_name(element: Element) -> str:
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def _describe_error(element: Element, error: str, message: str) -> tuple[str, str, str]:
    """Return the code and sentences of an error, without the value that was sent."""
    name = etree.QName(element).localname
    if error == "SCHEMAV_CVC_ENUMERATION_VALID":
        names = message.rpartition(" set {")[2].removesuffix("}.").replace("'", "")
        return "enum", f"valeurs possibles : {names}", f"possible values: {names}"
    if error == "SCHEMAV_CVC_PATTERN_VALID":
        return "time", *_describe_value("Time")
    if error.startswith("SCHEMAV_CVC_DATATYPE_VALID"):
        return "value", *_describe_value(
            message.rpartition(" atomic type '")[2]
            .removesuffix("'.")
            .rpartition("}")[2]
            .removeprefix("xs:")
        )
    expected_match = _EXPECTED.search(_CAP_NAME.sub("", message))
    names = expected_match[1].replace(", ", " | ") if expected_match else ""
    if error == "SCHEMAV_ELEMENT_CONTENT" and "Missing child" in message:
        return "missing", f"il manque {names}", f"{names} is missing"
    if error == "SCHEMAV_ELEMENT_CONTENT":
        more_fr, more_en = (f" ; attendu : {names}", f"; expected: {names}") if names else ("", "")
        return (
            "unexpected",
            f"« {name} » n’est pas attendu ici{more_fr}",
            f"“{name}” is not expected here{more_en}",
        )
    if error == "SCHEMAV_CVC_TYPE_3_1_2":
        return (
            "unexpected",
            "un texte est attendu, sans éléments",
            "text is expected, without elements",
        )
    if error == "SCHEMAV_CVC_COMPLEX_TYPE_2_3":
        return (
            "unexpected",
            "texte inattendu entre les éléments",
            "unexpected text between the elements",
        )
    if "attribute" in message:
        return "unexpected", "attribut inattendu", "unexpected attribute"
    return "schema", "contenu refusé par la grammaire CAP 1.2", "refused by the grammar of CAP 1.2"


def _describe_value(kind: str) -> tuple[str, str]:
    fr, en = _VALUE_DESCRIPTIONS.get(kind, (f"de type {kind}", f"of type {kind}"))
    return f"doit être {fr}", f"must be {en}"

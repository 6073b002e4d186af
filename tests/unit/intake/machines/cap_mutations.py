"""One valid message with every element of CAP 1.2, and the result of each single fault.

The verdict follows the specification: required and repeatable elements from its data dictionary
(section 3.2), order and vocabulary from its schema (section 3.4). A refusal must name the element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple

from lxml import etree

from schemas.cap import NAMESPACE
from tests.unit.intake.machines.cap_messages import SQUARE, area, info, message, pair, ref


class Mutation(NamedTuple):
    name: str
    body: bytes
    refused_at: frozenset[str]
    """Elements of which one must be named; empty = the message is still valid."""
    why: str


class _Rule(NamedTuple):
    kind: str
    required: bool = False
    repeats: bool = False


_RULES: Final = {
    "identifier": _Rule("name", required=True),
    "sender": _Rule("name", required=True),
    "sent": _Rule("time", required=True),
    "status": _Rule("word", required=True),
    "msgType": _Rule("word", required=True),
    "source": _Rule("text"),
    "scope": _Rule("word", required=True),
    "restriction": _Rule("text"),
    "addresses": _Rule("text"),
    "code": _Rule("text", repeats=True),
    "note": _Rule("text"),
    "references": _Rule("references"),
    "incidents": _Rule("text"),
    "info": _Rule("parts", repeats=True),
    "language": _Rule("language"),
    "category": _Rule("word", required=True, repeats=True),
    "event": _Rule("filled", required=True),
    "responseType": _Rule("word", repeats=True),
    "urgency": _Rule("word", required=True),
    "severity": _Rule("word", required=True),
    "certainty": _Rule("word", required=True),
    "audience": _Rule("text"),
    "eventCode": _Rule("parts", repeats=True),
    "effective": _Rule("time"),
    "onset": _Rule("time"),
    "expires": _Rule("time"),
    "senderName": _Rule("text"),
    "headline": _Rule("text"),
    "description": _Rule("text"),
    "instruction": _Rule("text"),
    "web": _Rule("uri"),
    "contact": _Rule("text"),
    "parameter": _Rule("parts", repeats=True),
    "resource": _Rule("parts", repeats=True),
    "resourceDesc": _Rule("text", required=True),
    "mimeType": _Rule("text", required=True),
    "size": _Rule("integer"),
    "uri": _Rule("uri"),
    "derefUri": _Rule("text"),
    "digest": _Rule("text"),
    "area": _Rule("parts", repeats=True),
    "areaDesc": _Rule("text", required=True),
    "polygon": _Rule("polygon", repeats=True),
    "circle": _Rule("circle", repeats=True),
    "geocode": _Rule("parts", repeats=True),
    "altitude": _Rule("decimal"),
    "ceiling": _Rule("decimal"),
    "valueName": _Rule("text", required=True),
    "value": _Rule("text", required=True),
}

_NEEDED_BY: Final = {
    "restriction": "/alert/scope",
    "references": "/alert/msgType",
    "altitude": "/alert/info/area/ceiling",
}
"""Elements of this message that require the element."""
_WRONG: Final = {
    "name": ("a b", "a,b", "a<b", ""),
    "time": (
        "2026-11-25T08:00:00Z",
        "2026-11-25T08:00:00.5+01:00",
        "2026-11-25T08:00:00",
        "2026-11-25",
        "2026-02-30T08:00:00+01:00",
        "2026-11-25T25:00:00+01:00",
        "25/11/2026 08:00",
        "2026-11-25T08:00:00+0100",
        "2026-11-25 08:00:00+01:00",
        "",
    ),
    "word": ("Autre", "", "ACTUAL", "a b"),
    "references": (
        "bulletin-0",
        "a,b",
        "a,b,2026-11-25T08:00:00Z",
        "a,b,hier",
        ",b,2026-11-25T08:00:00+01:00",
        "a,b,c,d",
    ),
    "language": ("fr_FR", "français", "f r"),
    "filled": ("", "  "),
    "integer": ("gros", "1.5", ""),
    "decimal": ("haut", "1e3", ""),
    "uri": ("http://[x/",),
    "polygon": (
        "48.88,2.20",
        "48,2 49,2 48,2",
        "48,2 49,2 49,3 48,3",
        "48,2 49,2 49,3 ici",
        "148,2 149,2 149,3 148,2",
        "48,200 49,2 49,3 48,200",
        "48 2 49 2 49 3 48 2",
        "48;2 49;2 49;3 48;2",
        "nan,2 49,2 49,3 nan,2",
        "",
    ),
    "circle": (
        "48,2",
        "48,2 -1",
        "48,2 1 km",
        "148,2 1",
        "48 2 1",
        "48,2 large",
        "48,2,1",
        "48,2 inf",
        "",
    ),
    "text": (),
    "parts": (),
}


def complete() -> bytes:
    """Build a message with every element of CAP 1.2 once."""
    place = area(
        areaDesc="Nanterre",
        polygon=SQUARE,
        circle="48.8953,2.2289 0.3",
        geocode=pair("INSEE", "92050"),
        altitude="10",
        ceiling="500.5",
    )
    resource = [
        ("resourceDesc", "Carte"),
        ("mimeType", "image/png"),
        ("size", "4"),
        ("uri", "https://carte.example/1.png"),
        ("derefUri", "AAAA"),
        ("digest", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ]
    block = info(
        responseType="Monitor",
        audience="agents",
        eventCode=pair("interne", "C1"),
        effective="2026-11-25T08:00:00+01:00",
        onset="2026-11-25T09:00:00+01:00",
        expires="2099-11-25T09:00:00+01:00",
        senderName="Opérateur",
        headline="Coupure",
        description="Un poste est en défaut",
        instruction="Éteignez",
        web="https://operateur.example/x",
        contact="veille",
        parameter=pair("clients", "1200"),
        resource=resource,
        area=place,
    )
    return message(
        block,
        msgType="Update",
        source="supervision",
        scope="Restricted",
        restriction="autorités",
        addresses="prefecture@etat.example",
        code="profil-1",
        note="suite",
        references=ref("bulletin-0"),
        incidents="poste-7",
    )


def mutations() -> Iterator[Mutation]:
    """Yield all mutations."""
    root = etree.fromstring(complete())
    for n, element in enumerate(e for e in root.iter() if e is not root):
        yield from _of(root, n, element)
    yield from _of_pairs()


def _of(root: Any, n: int, element: Any) -> Iterator[Mutation]:
    name = etree.QName(element).localname
    rule, path, parent = _RULES[name], _path(element), _path(element.getparent())
    following = element.getnext()
    at = f"{path} ({n})"

    where = {parent, *([_path(following)] if following is not None else [])}
    if (because := _NEEDED_BY.get(name)) is not None:
        where.add(because)
    needed = rule.required or because is not None
    yield Mutation(
        f"{at} is missing",
        _spoilt(root, n, _remove),
        frozenset(where if needed else ()),
        "required" if needed else "optional",
    )

    second = frozenset() if rule.repeats else frozenset({f"{path}[2]"})
    yield Mutation(
        f"{at} stands twice",
        _spoilt(root, n, _double),
        second,
        "may repeat" if rule.repeats else "stands once",
    )

    for text in _WRONG[rule.kind]:
        yield Mutation(
            f"{at} is {text!r}", _spoilt(root, n, _fill(text)), frozenset({path}), f"no {rule.kind}"
        )
    yield Mutation(
        f"{at} holds a stranger",
        _spoilt(root, n, _stranger),
        frozenset({path, f"{path}/intrus"}),
        "no such element",
    )
    yield Mutation(
        f"{at} is called otherwise",
        _spoilt(root, n, _rename),
        frozenset({f"{parent}/{name}s", *where}),
        "no such element",
    )
    yield Mutation(
        f"{at} has an attribute",
        _spoilt(root, n, _attribute),
        frozenset({path}),
        "CAP has no attributes",
    )
    for version in ("urn:oasis:names:tc:emergency:cap:1.1", "http://www.incident.com/cap/1.0"):
        yield Mutation(
            f"{at} is of {version!r}",
            _spoilt(root, n, _of_namespace(version)),
            frozenset({path, *where}),
            "another vocabulary",
        )
    if following is not None:
        yield Mutation(
            f"{at} stands after {_path(following)}",
            _spoilt(root, n, _swap),
            frozenset({path, _path(following), parent}),
            "the order is fixed",
        )
    yield Mutation(
        f"{at} has a comment before it",
        _spoilt(root, n, _comment),
        frozenset(),
        "comments are nothing",
    )


def _of_pairs() -> Iterator[Mutation]:
    """Yield contradictions of two elements."""
    later, sent_at = "2026-11-25T08:00:01+01:00", "2026-11-25T08:00:00+01:00"
    expires = frozenset({"/alert/info/expires"})
    yield Mutation(
        "expires a second after sent", message(info(expires=later)), frozenset(), "in order"
    )
    yield Mutation(
        "expires when it is sent", message(info(expires=sent_at)), expires, "never in force"
    )
    yield Mutation(
        "expires before it was sent",
        message(info(expires="2026-11-25T07:59:59+01:00")),
        expires,
        "never in force",
    )
    yield Mutation(
        "expires before it was sent, in another offset",
        message(info(expires="2026-11-25T07:30:00+01:30")),
        expires,
        "instants are compared",
    )
    yield Mutation(
        "ends as it is sent",
        message(info(expires=sent_at, urgency="Past"), msgType="Update", references=ref("a")),
        frozenset(),
        "says that it is over",
    )
    yield Mutation(
        "is withdrawn as it is sent",
        message(info(expires=sent_at), msgType="Cancel", references=ref("a")),
        frozenset(),
        "says that it is over",
    )
    yield Mutation(
        "all is clear as it is sent",
        message(info(expires=sent_at, responseType="AllClear")),
        frozenset(),
        "says that it is over",
    )
    for kind in ("Update", "Cancel", "Ack", "Error"):
        yield Mutation(
            f"{kind} of nothing",
            message(msgType=kind),
            frozenset({"/alert/msgType"}),
            "it must refer",
        )
        yield Mutation(
            f"{kind} of several",
            message(msgType=kind, references=f"{ref('a')}\n {ref('b')}"),
            frozenset(),
            "spaces separate",
        )
    yield Mutation(
        "private to nobody",
        message(scope="Private"),
        frozenset({"/alert/scope"}),
        "addresses are required",
    )
    yield Mutation(
        "restricted by nothing",
        message(scope="Restricted"),
        frozenset({"/alert/scope"}),
        "restriction is required",
    )
    yield Mutation(
        "restricted by blanks",
        message(scope="Restricted", restriction=" "),
        frozenset({"/alert/restriction"}),
        "restriction is required",
    )


def _path(element: Any) -> str:
    """Return a path without indexes: a complete message repeats nothing."""
    steps = []
    while element is not None:
        steps.append(etree.QName(element).localname)
        element = element.getparent()
    return "/" + "/".join(reversed(steps))


def _spoilt(root: Any, n: int, change: Callable[[Any], None]) -> bytes:
    copy = deepcopy(root)
    change([e for e in copy.iter() if e is not copy][n])
    return etree.tostring(copy, xml_declaration=True, encoding="UTF-8")


def _remove(element: Any) -> None:
    element.getparent().remove(element)


def _double(element: Any) -> None:
    element.addnext(deepcopy(element))


def _fill(text: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        element.text = text

    return change


def _stranger(element: Any) -> None:
    etree.SubElement(element, f"{{{NAMESPACE}}}intrus")


def _rename(element: Any) -> None:
    element.tag = f"{element.tag}s"


def _attribute(element: Any) -> None:
    element.set("lang", "fr")


def _of_namespace(namespace: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        element.tag = f"{{{namespace}}}{etree.QName(element).localname}"

    return change


def _swap(element: Any) -> None:
    element.getnext().addnext(element)


def _comment(element: Any) -> None:
    element.addprevious(etree.Comment(" ici "))

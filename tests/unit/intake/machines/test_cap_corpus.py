"""Every valid CAP 1.2 message is read; every invalid one is refused with its element."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from schemas.cap import NAMESPACE
from services.intake.integrations.cap.faults import build_element_path
from services.intake.integrations.cap.message import read_message
from services.runtime.http.problems import ProblemError
from tests.unit.intake.machines.cap_messages import (
    INVALID,
    SITUATIONS,
    area,
    info,
    message,
    pair,
    ref,
)
from tests.unit.intake.machines.cap_mutations import complete, mutations

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=30
).filter(str.strip)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9@.:_-]{0,40}", fullmatch=True)
TIMES = st.builds(
    "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}{}".format,
    st.integers(2000, 2030),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.sampled_from(["+01:00", "-00:00", "+00:00", "-11:30", "+14:00"]),
)
COORDINATES = st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(
    lambda p: f"{p[0]:.4f},{p[1]:.4f}"
)
POLYGONS = st.lists(COORDINATES, min_size=3, max_size=12).map(
    lambda points: " ".join([*points, points[0]])
)
CIRCLES = st.builds("{} {:.2f}".format, COORDINATES, st.floats(0, 500))
PAIRS = st.builds(pair, WORDS, WORDS)


def several(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=1, max_size=3) | st.none()


AREAS = st.builds(
    area,
    areaDesc=WORDS,
    polygon=several(POLYGONS),
    circle=several(CIRCLES),
    geocode=several(PAIRS),
    altitude=st.sampled_from(["0", "-12.5", None]),
)
INFOS = st.builds(
    info,
    language=st.sampled_from(["fr-FR", "en", "es-419", None]),
    category=st.lists(
        st.sampled_from(
            [
                "Geo",
                "Met",
                "Safety",
                "Security",
                "Rescue",
                "Fire",
                "Health",
                "Env",
                "Transport",
                "Infra",
                "CBRNE",
                "Other",
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    event=WORDS,
    responseType=several(
        st.sampled_from(
            [
                "Shelter",
                "Evacuate",
                "Prepare",
                "Execute",
                "Avoid",
                "Monitor",
                "Assess",
                "AllClear",
                "None",
            ]
        )
    ),
    urgency=st.sampled_from(["Immediate", "Expected", "Future", "Past", "Unknown"]),
    severity=st.sampled_from(["Extreme", "Severe", "Moderate", "Minor", "Unknown"]),
    certainty=st.sampled_from(["Observed", "Likely", "Possible", "Unlikely", "Unknown"]),
    eventCode=several(PAIRS),
    effective=TIMES | st.none(),
    onset=TIMES | st.none(),
    expires=st.just("2099-01-01T00:00:00+00:00") | st.none(),
    headline=WORDS | st.none(),
    description=WORDS | st.none(),
    parameter=several(PAIRS),
    area=several(AREAS),
)
KINDS = st.sampled_from(
    [("Alert", None), *((t, ref("avant")) for t in ("Alert", "Update", "Cancel", "Ack", "Error"))]
)
MESSAGES = st.builds(
    lambda infos, kind, **parts: message(*infos, msgType=kind[0], references=kind[1], **parts),
    st.lists(INFOS, min_size=1, max_size=3),
    KINDS,
    identifier=NAMES,
    sender=NAMES,
    sent=TIMES,
    status=st.sampled_from(["Actual", "Exercise", "System", "Test", "Draft"]),
    note=WORDS | st.none(),
    code=several(WORDS),
)


def refused(body: bytes) -> list[Any]:
    """Return the faults of the refusal."""
    with pytest.raises(ProblemError) as caught:
        read_message(body)
    assert caught.value.problem.code == "invalid"
    return list(caught.value.problem.faults)


def faults_of(body: bytes) -> tuple[Any, ...]:
    """Empty when it is read."""
    try:
        read_message(body)
    except ProblemError as error:
        return tuple(error.problem.faults)
    return ()


def outcome(body: bytes) -> Any:
    """Return the message, or the faults."""
    try:
        return read_message(body)
    except ProblemError as error:
        return error.problem.faults


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_situations_of_the_specification_are_read(name: str) -> None:
    body = SITUATIONS[name]()
    cap_message, _ = read_message(body)
    assert cap_message.identity.identifier.encode() in body


@pytest.mark.parametrize("name", INVALID)
def test_faults_are_named_with_their_line_in_both_languages(name: str) -> None:
    make, element = INVALID[name]
    faults = refused(make())
    assert element in [f.field for f in faults]
    element_fault = next(f for f in faults if f.field == element)
    assert element_fault.message["fr"].startswith("ligne ")
    assert element_fault.message["en"].startswith("line ")


def test_every_element_spoilt_in_every_way_has_the_verdict_that_the_specification_gives_it() -> (
    None
):
    wrong = []
    for mutation in (all_mutations := list(mutations())):
        fields = frozenset(fault.field for fault in faults_of(mutation.body))
        if bool(fields) != bool(mutation.refused_at) or (
            fields and not fields & mutation.refused_at
        ):
            wrong.append((mutation.name, mutation.why, sorted(mutation.refused_at), sorted(fields)))
    assert wrong == []
    assert len(all_mutations) >= 600


ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "iso-8859-1",
    "windows-1252",
]


def encoded(text: str, encoding: str) -> bytes:
    """Encode the message with its declaration."""
    name = {"utf-8-sig": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(
        encoding, encoding.upper()
    )
    return f'<?xml version="1.0" encoding="{name}"?>\n{text}'.encode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_message_is_the_same_in_every_encoding_and_a_dtd_is_refused_in_every_one(
    encoding: str,
) -> None:
    text = complete().partition(b"?>")[2].decode().strip()
    cap_message, _ = read_message(encoded(text, encoding))
    assert (cap_message.infos[0].sender_name, cap_message.infos[0].instruction) == (
        "Opérateur",
        "Éteignez",
    )
    for subset in (
        "",
        '[<!ENTITY x "y">]',
        '[<!ENTITY x SYSTEM "file:///etc/hostname">]',
        'SYSTEM "http://127.0.0.1:9/x.dtd"',
    ):
        (fault,) = refused(
            encoded(
                f"<!DOCTYPE alert {subset}>{text.replace('Nanterre', '&x;' if 'ENTITY' in subset else 'x')}",
                encoding,
            )
        )
        assert fault.code == "dtd"


@pytest.mark.parametrize(
    "body",
    [
        message(info(headline="é")).decode().encode("iso-8859-1"),
        b" " + message(),
        message() + b"x",
        message() + message(),
        message()[:-20],
        message().replace(b"UTF-8", b"KLINGON"),
        message().replace(b"<event>", b"<event>&eacute;"),
        message().replace(b"<event>", b"<event>\x00"),
        b"",
        b"\xff\xfe",
        b"{}",
    ],
    ids=[
        "latin-1 that says UTF-8",
        "a space before",
        "a letter after",
        "two messages",
        "cut",
        "unknown encoding",
        "undeclared entity",
        "NUL",
        "nothing",
        "a mark alone",
        "JSON",
    ],
)
def test_anything_but_xml_is_refused_as_such(body: bytes) -> None:
    (fault,) = refused(body)
    assert (fault.field, fault.code) == ("body", "xml")


@settings(max_examples=30)
@given(MESSAGES)
def test_every_valid_message_is_read(body: bytes) -> None:
    cap_message, _ = read_message(body)
    assert len(cap_message.infos) == body.count(b"<info>")
    assert sum(len(a.polygons) for i in cap_message.infos for a in i.areas) == body.count(
        b"<polygon>"
    )


@settings(max_examples=40)
@given(MESSAGES, st.data())
def test_a_valid_message_with_one_part_spoilt_is_refused_at_that_part_or_where_it_should_stand(
    body: bytes, data: st.DataObject
) -> None:
    root = etree.fromstring(body)
    required = (
        "identifier",
        "sender",
        "sent",
        "status",
        "msgType",
        "scope",
        "category",
        "event",
        "urgency",
        "severity",
        "certainty",
        "areaDesc",
    )
    parts = [e for e in root.iter() if etree.QName(e).localname in required]
    part = data.draw(st.sampled_from(parts))
    parent, before = part.getparent(), part.getnext()
    spoilt = data.draw(st.sampled_from(["gone", "renamed", "filled"]))
    if spoilt == "gone" and etree.QName(part).localname != "category":
        parent.remove(part)
        expected = {build_element_path(parent)} | (
            {build_element_path(before)} if before is not None else set()
        )
    elif spoilt == "renamed":
        part.tag = f"{{{NAMESPACE}}}autre"
        expected = {build_element_path(part)}
    else:
        etree.SubElement(part, f"{{{NAMESPACE}}}dedans")
        expected = {build_element_path(part)}
    fields = {f.field for f in refused(etree.tostring(root))}
    assert fields & expected, (fields, expected)


@settings(max_examples=60)
@given(st.sampled_from(sorted(SITUATIONS)), st.data())
def test_any_bytes_become_a_message_or_are_refused(name: str, data: st.DataObject) -> None:
    body = bytearray(SITUATIONS[name]())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "repeat", "insert"])):
            case "flip":
                body[at] = data.draw(st.integers(0, 255))
            case "cut":
                del body[at : at + data.draw(st.integers(1, 60))]
                body = body or bytearray(b" ")
            case "repeat":
                body[at:at] = body[at : at + 80]
            case _:
                body[at:at] = data.draw(
                    st.sampled_from(
                        [
                            b"<",
                            b"&x;",
                            b"]]>",
                            b"<!DOCTYPE a>",
                            b"\xff\xfe",
                            b"<info>",
                            b"</area>",
                            b"<?xml?>",
                        ]
                    )
                )
    assert outcome(bytes(body))


@pytest.mark.parametrize(
    ("root", "what"),
    [
        ('<alert xmlns="urn:oasis:names:tc:emergency:cap:1.1"/>', "CAP 1.1"),
        ('<alert xmlns="http://www.incident.com/cap/1.0"/>', "CAP 1.0"),
        ('<feed xmlns="http://www.w3.org/2005/Atom"/>', "Atom"),
        ('<entry xmlns="http://www.w3.org/2005/Atom"/>', "Atom"),
        ('<rss version="2.0"/>', "RSS"),
        ('<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"/>', "EDXL-DE"),
        ('<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>', "SOAP"),
        ("<alert/>", "urn:oasis:names:tc:emergency:cap:1.2"),
        ("<html/>", "html"),
    ],
)
def test_another_xml_document_is_named(root: str, what: str) -> None:
    (fault,) = refused(root.encode())
    assert what in fault.message["fr"]
    assert what in fault.message["en"]


def test_a_prefix_a_comment_and_another_encoding_are_nothing_special() -> None:
    body = message(info(headline="Élève")).decode().replace("<status>", "<!-- essai --><status>")
    prefixed = (
        body.replace("<", "<c:")
        .replace("<c:/", "</c:")
        .replace("<c:?", "<?")
        .replace("<c:!", "<!")
        .replace("xmlns=", "xmlns:c=")
    )
    utf16 = body.replace("UTF-8", "UTF-16").replace("UTF-8".lower(), "utf-16").encode("utf-16")
    for one in (body.encode(), prefixed.encode(), utf16):
        cap_message, _ = read_message(one)
        assert cap_message.infos[0].headline == "Élève"


@pytest.mark.parametrize(
    "many",
    [
        message(info(responseType="x")).replace(
            b"<responseType>x</responseType>", b"<responseType>x</responseType>" * 30_000
        ),
        message().replace(b"</alert>", b"<info/>" * 120_000 + b"</alert>"),
        message(info(area=area(polygon="1,1 " * 200_000 + "2,2"))),
        message().replace(b"<event>", b"<event>" * 200 + b"</event>" * 200),
    ],
    ids=["words", "blocks", "points", "depth"],
)
def test_a_megabyte_of_faults_is_refused_in_seconds(many: bytes) -> None:
    began = time.perf_counter()
    assert 1 <= len(refused(many)) <= 20
    assert time.perf_counter() - began < 20

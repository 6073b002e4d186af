"""CAP messages for tests: a small bulletin as a tree, and the situations of the specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree

from schemas.cap import NAMESPACE

Parts = list[tuple[str, Any]]
"""Elements in order: a text, or parts again."""
SQUARE = "48.88,2.20 48.88,2.26 48.92,2.26 48.92,2.20 48.88,2.20"
"""In the north-west of the territory."""
ELSEWHERE = "43.60,1.40 43.60,1.45 43.65,1.45 43.65,1.40 43.60,1.40"


def pair(name: str, value: str) -> Parts:
    return [("valueName", name), ("value", value)]


def info(**changes: Any) -> Parts:
    """Build an info block; None leaves a part out, a list repeats it."""
    parts: dict[str, Any] = {
        "language": "fr-FR",
        "category": "Infra",
        "event": "Coupure de courant",
        "responseType": None,
        "urgency": "Immediate",
        "severity": "Severe",
        "certainty": "Observed",
        "audience": None,
        "eventCode": None,
        "effective": None,
        "onset": None,
        "expires": None,
        "senderName": None,
        "headline": None,
        "description": None,
        "instruction": None,
        "web": None,
        "contact": None,
        "parameter": None,
        "resource": None,
        "area": area(),
    }
    return _parts(parts | changes)


def area(**changes: Any) -> Parts:
    return _parts(
        {
            "areaDesc": "Nanterre",
            "polygon": None,
            "circle": None,
            "geocode": pair("INSEE", "92050"),
            "altitude": None,
            "ceiling": None,
        }
        | changes
    )


def message(*infos: Parts, **changes: Any) -> bytes:
    """Build a whole message; without infos, one of the default kind."""
    parts: dict[str, Any] = {
        "identifier": "bulletin-1",
        "sender": "alerte@operateur.example",
        "sent": "2026-11-25T08:00:00+01:00",
        "status": "Actual",
        "msgType": "Alert",
        "source": None,
        "scope": "Public",
        "restriction": None,
        "addresses": None,
        "code": None,
        "note": None,
        "references": None,
        "incidents": None,
    }
    return dump([*_parts(parts | changes), *(("info", i) for i in infos or (info(),))])


def bare(**changes: Any) -> bytes:
    """Build a message without an info block."""
    full = etree.fromstring(message(**changes))
    for block in full.findall(f"{{{NAMESPACE}}}info"):
        full.remove(block)
    return etree.tostring(full)


def vigilance(
    colour: str = "3; orange; Severe",
    kind: str = "1; Wind",
    language: str = "fr-FR",
    event: str = "Vent violent",
    **changes: Any,
) -> Parts:
    """Build a block as in the European feeds of weather services."""
    return info(
        **{
            "language": language,
            "category": "Met",
            "event": event,
            "urgency": "Expected",
            "certainty": "Likely",
            "onset": "2026-11-25T08:00:00+01:00",
            "expires": "2099-11-26T08:00:00+01:00",
            "parameter": [pair("awareness_level", colour), pair("awareness_type", kind)],
            "area": area(areaDesc="Hauts-de-Seine", geocode=pair("EMMA_ID", "FR105")),
        }
        | changes
    )


def _parts(given: dict[str, Any]) -> Parts:
    parts: Parts = []
    for name, value in given.items():
        several = isinstance(value, list) and bool(value) and not isinstance(value[0], tuple)
        parts += [(name, v) for v in (value if several else [value]) if v is not None]
    return parts


def dump(parts: Parts) -> bytes:
    root = etree.Element(f"{{{NAMESPACE}}}alert", nsmap={None: NAMESPACE})
    _add(root, parts)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add(parent: Any, parts: Parts) -> None:
    for name, value in parts:
        child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        if isinstance(value, list):
            _add(child, value)
        else:
            child.text = str(value)


def ref(
    identifier: str,
    sent: str = "2026-11-25T08:00:00+01:00",
    sender: str = "alerte@operateur.example",
) -> str:
    return f"{sender},{identifier},{sent}"


SITUATIONS: dict[str, Callable[[], bytes]] = {
    "a national threat level rises, with a resource": lambda: message(
        info(
            category="Security",
            event="Niveau de menace",
            severity="Severe",
            certainty="Likely",
            urgency="Immediate",
            responseType="Monitor",
            senderName="Gouvernement",
            headline="La menace passe au niveau élevé",
            instruction="Restez attentifs",
            web="https://menace.example/niveau?x=1",
            parameter=pair("NIVEAU", "élevé"),
            resource=[
                ("resourceDesc", "Carte"),
                ("mimeType", "image/gif"),
                ("uri", "https://menace.example/carte.gif"),
            ],
            area=area(areaDesc="Le pays et ses territoires", geocode=None),
        ),
        identifier="43b080713727",
        sender="menace@etat.example",
        sent="2003-04-02T14:39:01-05:00",
    ),
    "a severe storm warning with a polygon and two codes of a county": lambda: message(
        info(
            category="Met",
            event="Orage violent",
            responseType="Shelter",
            eventCode=pair("SAME", "SVR"),
            expires="2003-06-17T16:00:00-07:00",
            senderName="Météo",
            headline="Orages violents",
            description="Le radar montre un orage",
            instruction="Mettez-vous à l’abri",
            contact="prévisionniste",
            area=area(
                areaDesc="Comté",
                polygon="38.47,-120.14 38.34,-119.95 38.52,-119.74 38.62,-119.89 38.47,-120.14",
                geocode=[pair("SAME", "006109"), pair("SAME", "006009")],
            ),
        ),
        identifier="KSTO1055887203",
        sender="ksto@meteo.example",
        sent="2003-06-17T14:57:00-07:00",
    ),
    "an earthquake report that updates a first one, in a circle": lambda: message(
        info(
            category="Geo",
            event="Séisme",
            urgency="Past",
            severity="Minor",
            certainty="Observed",
            senderName="Réseau sismique",
            parameter=[pair("Magnitude", "3.4 Ml"), pair("Depth", "11.8 km")],
            area=area(areaDesc="À l’ouest", circle="32.9525,-115.5527 0", geocode=None),
        ),
        identifier="TRI13970876.2",
        sender="trinet@sismo.example",
        sent="2003-06-11T20:56:00-07:00",
        msgType="Update",
        references="trinet@sismo.example,TRI13970876.1,2003-06-11T20:30:00-07:00",
    ),
    "a child is missing, in two languages": lambda: message(
        info(
            language="en-US",
            category="Rescue",
            event="Child abduction",
            severity="Severe",
            certainty="Likely",
            area=area(areaDesc="Los Angeles", geocode=pair("SAME", "006037")),
        ),
        info(
            language="es-US",
            category="Rescue",
            event="Secuestro",
            severity="Severe",
            certainty="Likely",
            area=area(areaDesc="Los Angeles", geocode=pair("SAME", "006037")),
        ),
        identifier="KAR0-0306112239-SW",
        sender="kard@radio.example",
        sent="2003-06-11T22:39:00-07:00",
        source="SW",
        incidents="x y",
    ),
    "an answer to a message": lambda: bare(
        identifier="ack-1", msgType="Ack", references=ref("bulletin-1"), note="reçu"
    ),
    "a refusal of a message": lambda: bare(
        identifier="err-1", msgType="Error", references=ref("bulletin-1"), note="polygone ouvert"
    ),
    "for named people only": lambda: message(
        scope="Private", addresses='"M. le Maire" a@b.example', code=["profil", "x"]
    ),
    "for authorities only": lambda: message(scope="Restricted", restriction="autorités"),
    "a test": lambda: message(status="Test"),
    "a draft": lambda: message(status="Draft"),
    "between systems": lambda: message(status="System"),
    "several categories, answers and areas": lambda: message(
        info(
            category=["Met", "Safety"],
            responseType=["Prepare", "Monitor"],
            area=[area(), area(polygon=[SQUARE, ELSEWHERE], altitude="0", ceiling="500.5")],
        )
    ),
    "UTC as the specification writes it": lambda: message(sent="2026-11-25T08:00:00-00:00"),
    "a sign of life of a national hub, with what it sent before": lambda: bare(
        identifier="hub-1",
        status="System",
        source="hub",
        code="signe-de-vie",
        references=" ".join(
            ref(f"urn:oid:2.49.0.1.124.{n}", f"2026-11-25T07:5{n}:00-00:00", "cap@hub.example")
            for n in range(10)
        ),
    ),
    "a bilingual bulletin with ten codes per area and times in UTC": lambda: message(
        *(
            info(
                language=language,
                category="Met",
                event=event,
                urgency="Future",
                certainty="Possible",
                severity="Moderate",
                audience="grand public",
                eventCode=pair("profile:CAP-CP:Event:0.4", "snowfall"),
                effective="2026-11-25T07:00:00-00:00",
                onset="2026-11-26T07:00:00-00:00",
                expires="2026-11-26T23:00:00-00:00",
                parameter=[
                    pair("layer:SOREM:1.0:Broadcast_Immediately", "No"),
                    pair("layer:X:1.0:Parent", ""),
                ],
                area=[
                    area(
                        polygon=f"\n  {SQUARE.replace(' ', '   ')}\n",
                        geocode=[pair("profile:CAP-CP:Location:0.3", f"{n}") for n in range(10)],
                    ),
                    area(geocode=None),
                ],
            )
            for language, event in (("en-CA", "snowfall"), ("fr-CA", "neige"))
        ),
        identifier="urn:oid:2.49.0.1.124.3550516540.2026",
        sender="cap-pac@meteo.example",
        sent="2026-11-25T07:00:00-00:00",
        addresses="",
        code="profile:CAP-CP:0.4",
    ),
    "a tsunami bulletin that says it is over, as it is sent": lambda: message(
        info(
            category="Geo",
            event="Fin d’alerte",
            responseType="None",
            urgency="Past",
            severity="Unknown",
            certainty="Unlikely",
            onset="2013-01-05T10:58:23-00:00",
            expires="2013-01-05T10:58:23-00:00",
            area=area(geocode=None, polygon=SQUARE, circle="55.3,-134.9 0.0"),
        ),
        identifier="PAAQ-4",
        sender="centre@tsunami.example",
        sent="2013-01-05T10:58:23-00:00",
        msgType="Update",
        incidents="mg5a94",
        references=" ".join(
            ref(f"PAAQ-{n}", f"2013-01-05T0{n}:01:16-00:00", "centre@tsunami.example")
            for n in (1, 2, 3)
        ),
    ),
    "a program's own namespaces on the root, and an empty note": lambda: message(
        info(
            eventCode=[pair("SAME", "NWS"), pair("meteo", "BHS")],
            responseType="Avoid",
            instruction="",
        ),
        note="",
        code="IPAWSv1.0",
    ).replace(
        b"<alert ",
        b'<alert xmlns:ns2="http://services.example/caprequest" xmlns:ns4="http://services.example/CAPService/" ',
    ),
    "everything under a prefix, with comments and an instruction to a browser": lambda: (
        message()
        .replace(b"<", b"<cap:")
        .replace(b"<cap:/", b"</cap:")
        .replace(b"<cap:?", b"<?")
        .replace(b"xmlns=", b"xmlns:cap=")
        .replace(
            b"?>", b'?>\n<?xml-stylesheet href="alerte.xsl" type="text/xsl"?>\n<!-- bulletin -->', 1
        )
    ),
    "a warning for two mountain zones with heights": lambda: message(
        vigilance(
            kind="9; Avalanches",
            area=[
                area(
                    areaDesc=f"Massif {n}",
                    geocode=pair("EMMA_ID", f"FR7{n}"),
                    altitude="1800",
                    ceiling="4810",
                )
                for n in (1, 2)
            ],
        )
    ),
    "a picture inside the message and a film beside it": lambda: message(
        info(
            resource=[
                [
                    ("resourceDesc", "photo"),
                    ("mimeType", "image/jpeg"),
                    ("size", "1200"),
                    ("derefUri", "QUJD" * 400),
                    ("digest", "da39a3ee"),
                ],
                [
                    ("resourceDesc", ""),
                    ("mimeType", "video/mp4"),
                    ("uri", "https://film.example/a%20b?x=1&y=é"),
                ],
            ]
        )
    ),
    "hundreds of points": lambda: message(
        info(
            area=area(
                geocode=None,
                polygon=" ".join(
                    [f"48.{n:03d},2.2" for n in range(700)] + ["48.5,2.3", "48.000,2.2"]
                ),
            )
        )
    ),
    "signed by somebody unknown": lambda: message().replace(
        b"</alert>",
        b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="s"><ds:SignedInfo/></ds:Signature></alert>',
    ),
    "an empty language is the default one": lambda: message(info(language="")),
    "midnight at the end of a day": lambda: message(sent="2026-11-25T24:00:00+01:00"),
}
"""Every one is valid."""

INVALID: dict[str, tuple[Callable[[], bytes], str]] = {
    "no identifier": (lambda: message(identifier=None), "/alert/sender"),
    "a space in the identifier": (lambda: message(identifier="a b"), "/alert/identifier"),
    "a comma in the sender": (lambda: message(sender="a,b"), "/alert/sender"),
    "Z in place of an offset": (lambda: message(sent="2026-11-25T08:00:00Z"), "/alert/sent"),
    "a fraction of a second": (lambda: message(sent="2026-11-25T08:00:00.5+01:00"), "/alert/sent"),
    "no offset": (lambda: message(sent="2026-11-25T08:00:00"), "/alert/sent"),
    "a day that does not exist": (lambda: message(sent="2026-02-30T08:00:00+01:00"), "/alert/sent"),
    "an unknown status": (lambda: message(status="Real"), "/alert/status"),
    "an unknown msgType": (lambda: message(msgType="Notice"), "/alert/msgType"),
    "no scope": (lambda: message(scope=None), "/alert/info"),
    "restricted to nobody": (lambda: message(scope="Restricted"), "/alert/scope"),
    "private, without addresses": (
        lambda: message(scope="Private", addresses=" "),
        "/alert/addresses",
    ),
    "an update of nothing": (lambda: message(msgType="Update"), "/alert/msgType"),
    "a cancellation of nothing": (
        lambda: bare(msgType="Cancel", references=" "),
        "/alert/references",
    ),
    "a reference that is no triple": (
        lambda: message(msgType="Update", references="bulletin-0"),
        "/alert/references",
    ),
    "a reference without an offset": (
        lambda: message(msgType="Update", references=ref("a", "2026-11-25T08:00:00Z")),
        "/alert/references",
    ),
    "no category": (lambda: message(info(category=None)), "/alert/info/event"),
    "an unknown category": (
        lambda: message(info(), info(category="Meteo")),
        "/alert/info[2]/category",
    ),
    "no event": (lambda: message(info(event=None)), "/alert/info/urgency"),
    "an empty event": (lambda: message(info(event=" ")), "/alert/info/event"),
    "an unknown urgency": (lambda: message(info(urgency="Now")), "/alert/info/urgency"),
    "an unknown severity": (lambda: message(info(severity="High")), "/alert/info/severity"),
    "a certainty of CAP 1.0": (
        lambda: message(info(certainty="Very Likely")),
        "/alert/info/certainty",
    ),
    "an unknown responseType": (
        lambda: message(info(responseType="Run")),
        "/alert/info/responseType",
    ),
    "expires before it was sent": (
        lambda: message(info(expires="2026-11-25T07:59:59+01:00")),
        "/alert/info/expires",
    ),
    "an onset that is no time": (lambda: message(info(onset="demain")), "/alert/info/onset"),
    "a size that is no number": (
        lambda: message(
            info(resource=[("resourceDesc", "x"), ("mimeType", "y"), ("size", "gros")])
        ),
        "/alert/info/resource/size",
    ),
    "a resource without its kind": (
        lambda: message(info(resource=[("resourceDesc", "x")])),
        "/alert/info/resource",
    ),
    "a parameter without a value": (
        lambda: message(info(parameter=[("valueName", "x")])),
        "/alert/info/parameter",
    ),
    "an area without a name": (
        lambda: message(info(area=area(areaDesc=None))),
        "/alert/info/area/geocode",
    ),
    "three points": (
        lambda: message(info(area=area(polygon="48,2 49,2 48,2"))),
        "/alert/info/area/polygon",
    ),
    "an open polygon": (
        lambda: message(info(area=[area(), area(polygon="48,2 49,2 49,3 48,3")])),
        "/alert/info/area[2]/polygon",
    ),
    "longitude first": (
        lambda: message(info(area=area(polygon="148,2 149,2 149,3 148,2"))),
        "/alert/info/area/polygon",
    ),
    "a polygon of words": (
        lambda: message(info(area=area(polygon=[SQUARE, "ici là ailleurs ici"]))),
        "/alert/info/area/polygon[2]",
    ),
    "a circle without a radius": (
        lambda: message(info(area=area(circle="48,2"))),
        "/alert/info/area/circle",
    ),
    "a negative radius": (
        lambda: message(info(area=area(circle="48,2 -1"))),
        "/alert/info/area/circle",
    ),
    "a ceiling without an altitude": (
        lambda: message(info(area=area(ceiling="10"))),
        "/alert/info/area/ceiling",
    ),
    "a ceiling below its altitude": (
        lambda: message(info(area=area(altitude="20", ceiling="10"))),
        "/alert/info/area/ceiling",
    ),
    "parts in another order": (
        lambda: dump([("sender", "a"), ("identifier", "b")]),
        "/alert/sender",
    ),
    "a part of nobody's": (
        lambda: message(info(web=None)).replace(b"</info>", b"<bogus/></info>"),
        "/alert/info/bogus",
    ),
    "text between the parts": (lambda: message().replace(b"<info>", b"texte<info>"), "/alert"),
    "an attribute": (lambda: message().replace(b"<scope>", b'<scope x="1">'), "/alert/scope"),
    "an element in a text": (
        lambda: message(info(headline="x")).replace(b">x<", b"><b/><"),
        "/alert/info/headline",
    ),
}
"""Fault, and the element that is named."""

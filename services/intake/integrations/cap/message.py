"""Parse a CAP 1.2 message and check constraints that a grammar cannot express.

See the data dictionary of the specification, section 3.2.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from lxml import etree

from schemas.cap import NAMESPACE
from services.intake.http.xml import Element, parse_xml
from services.intake.integrations.cap.faults import FaultCollector, check_grammar
from services.runtime.http.problems import build_field_problem

Point = tuple[float, float]
"""Latitude and longitude."""
Pairs = tuple[tuple[str, str], ...]
"""Pairs of valueName and value."""
ATOM: Final = "http://www.w3.org/2005/Atom"
_OLDER_VERSIONS: Final = {
    "http://www.incident.com/cap/1.0": "CAP 1.0",
    "urn:oasis:names:tc:emergency:cap:1.0": "CAP 1.0",
    "urn:oasis:names:tc:emergency:cap:1.1": "CAP 1.1",
}
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)([+-])(\d\d):(\d\d)")
_NAME: Final = re.compile(r"[^\s,<&]+")
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_PAIR: Final = re.compile(rf"({_NUMBER}),({_NUMBER})")
_REFERRING: Final = frozenset({"Update", "Cancel", "Ack", "Error"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MessageIdentity:
    """Identity of a message. Equal identities are the same message, however the time is written."""

    sender: str
    identifier: str
    sent_at: datetime

    @property
    def key(self) -> str:
        return f"{self.sender},{self.identifier}"

    @property
    def sent_ms(self) -> int:
        return int(self.sent_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Circle:
    centre: Point
    radius_km: float


@dataclass(frozen=True, slots=True)
class CapArea:
    description: str
    polygons: tuple[tuple[Point, ...], ...]
    circles: tuple[Circle, ...]
    geocodes: Pairs


@dataclass(frozen=True, slots=True)
class Info:
    language: str
    categories: tuple[str, ...]
    event: str
    responses: tuple[str, ...]
    urgency: str
    severity: str
    certainty: str
    event_codes: Pairs
    effective: datetime | None
    onset: datetime | None
    expires: datetime | None
    sender_name: str
    headline: str
    description: str
    instruction: str
    web: str
    contact: str
    parameters: Pairs
    areas: tuple[CapArea, ...]


@dataclass(frozen=True, slots=True)
class CapMessage:
    identity: MessageIdentity
    status: str
    type: str
    note: str
    references: tuple[MessageIdentity, ...]
    infos: tuple[Info, ...]


def read_message(body: bytes) -> tuple[CapMessage, Element]:
    """Read a message and its root element. Raises ProblemError `invalid` with element paths."""
    root = parse_xml(body)
    _refuse_other_formats(root)
    check_grammar(root, body)
    reader = _MessageReader()
    message = reader.message(root)
    reader.faults.settle()
    assert message is not None, "without a fault everything could be read"
    return message, root


def _refuse_other_formats(root: Element) -> None:
    """Refuse other formats by their name. Raises ProblemError `invalid`."""
    name = etree.QName(root)
    if (name.namespace, name.localname) == (NAMESPACE, "alert"):
        return
    what, why_fr, why_en = _describe_format(name.namespace or "", name.localname)
    send = (
        "envoyez chaque message CAP 1.2 (« alert ») seul",
        "send each CAP 1.2 message (“alert”) by itself",
    )
    raise build_field_problem(
        f"/{name.localname}", what, f"{why_fr} ; {send[0]}", f"{why_en}; {send[1]}"
    )


def _describe_format(namespace: str, name: str) -> tuple[str, str, str]:
    if namespace in _OLDER_VERSIONS and name == "alert":
        version = _OLDER_VERSIONS[namespace]
        return (
            "cap_version",
            f"c’est un message {version}, et non 1.2",
            f"this is a {version} message, not 1.2",
        )
    if namespace == ATOM:
        return (
            "atom",
            "c’est un flux Atom, et non un message CAP",
            "this is an Atom feed, not a CAP message",
        )
    if name.lower() in ("rss", "rdf"):
        return (
            "rss",
            "c’est un flux RSS, et non un message CAP",
            "this is an RSS feed, not a CAP message",
        )
    if "edxl" in namespace.lower() or name.lower().startswith("edxl"):
        return (
            "edxl_de",
            "c’est une enveloppe EDXL-DE, et non un message CAP",
            "this is an EDXL-DE envelope, not a CAP message",
        )
    if name == "Envelope":
        return (
            "soap",
            "c’est une enveloppe SOAP, et non un message CAP",
            "this is a SOAP envelope, not a CAP message",
        )
    if name == "alert":
        return (
            "cap_namespace",
            f"« alert » sans l’espace de noms {NAMESPACE}",
            f"“alert” without the namespace {NAMESPACE}",
        )
    return (
        "not_cap",
        f"« {name} » n’est pas un message CAP 1.2",
        f"“{name}” is not a CAP 1.2 message",
    )


class _MessageReader:
    """Read grammatical content and collect faults of meaning."""

    def __init__(self) -> None:
        self.faults = FaultCollector()

    def message(self, root: Element) -> CapMessage | None:
        sender, identifier, sent_time = (
            self._name(root, "sender"),
            self._name(root, "identifier"),
            self._time(_find_child(root, "sent")),
        )
        type_, scope = _read_child_text(root, "msgType"), _read_child_text(root, "scope")
        if scope == "Restricted" and not _read_child_text(root, "restriction"):
            self._missing(root, "scope", "restriction", "scope Restricted")
        if scope == "Private" and not _read_child_text(root, "addresses"):
            self._missing(root, "scope", "addresses", "scope Private")
        references = self._references(root, type_)
        infos = tuple(
            self._info(element, sent_time, type_) for element in _find_children(root, "info")
        )
        if sent_time is None:
            return None
        return CapMessage(
            MessageIdentity(sender, identifier, sent_time),
            _read_child_text(root, "status"),
            type_,
            _read_child_text(root, "note"),
            references,
            infos,
        )

    def _missing(self, root: Element, at: str, name: str, why: str) -> None:
        element = _find_child(root, name)
        where = element if element is not None else _find_child(root, at)
        assert where is not None, "the grammar asks for it"
        self.faults.add(
            where,
            "missing",
            f"« {name} » est obligatoire avec {why}",
            f"“{name}” is required with {why}",
        )

    def _name(self, root: Element, name: str) -> str:
        element = _find_child(root, name)
        assert element is not None, "the grammar asks for it"
        value = _read_text(element)
        if not _NAME.fullmatch(value):
            self.faults.add(
                element,
                "name",
                "au moins un caractère, sans espace, virgule, < ni &",
                "at least one character, no space, comma, < or &",
            )
        return value

    def _time(self, element: Element | None) -> datetime | None:
        if element is None:
            return None
        at = parse_time(_read_text(element))
        if at is None:
            self.faults.add(
                element,
                "time",
                "cette date n’existe pas, ou précède 1970",
                "no such time, or before 1970",
            )
        return at

    def _references(self, root: Element, type_: str) -> tuple[MessageIdentity, ...]:
        element = _find_child(root, "references")
        triples = [] if element is None else _read_text(element).split()
        if type_ in _REFERRING and not triples:
            self._missing(root, "msgType", "references", f"msgType {type_}")
        references = []
        for triple in triples:
            parts = triple.split(",")
            sent_time = parse_time(parts[2]) if len(parts) == 3 else None
            if sent_time is None or not (parts[0] and parts[1]):
                assert element is not None
                self.faults.add(
                    element,
                    "references",
                    "des triplets « sender,identifier,sent » séparés par des espaces",
                    "triples “sender,identifier,sent” separated by spaces",
                )
                break
            references.append(MessageIdentity(parts[0], parts[1], sent_time))
        return tuple(references)

    def _info(self, info: Element, sent_at: datetime | None, type_: str) -> Info:
        event, expires = _find_child(info, "event"), _find_child(info, "expires")
        assert event is not None, "the grammar asks for it"
        if not _read_text(event):
            self.faults.add(event, "missing", "ne peut pas être vide", "must not be empty")
        ends = self._time(expires)
        over = (
            type_ == "Cancel"
            or _read_child_text(info, "urgency") == "Past"
            or "AllClear" in _read_child_texts(info, "responseType")
        )
        if (
            expires is not None
            and ends is not None
            and sent_at is not None
            and (ends < sent_at or (ends == sent_at and not over))
        ):
            self.faults.add(expires, "expires", "doit être après « sent »", "must be after “sent”")
        return Info(
            language=_read_child_text(info, "language") or "en-US",
            categories=_read_child_texts(info, "category"),
            event=_read_text(event),
            responses=_read_child_texts(info, "responseType"),
            urgency=_read_child_text(info, "urgency"),
            severity=_read_child_text(info, "severity"),
            certainty=_read_child_text(info, "certainty"),
            event_codes=_read_pairs(info, "eventCode"),
            effective=self._time(_find_child(info, "effective")),
            onset=self._time(_find_child(info, "onset")),
            expires=ends,
            sender_name=_read_child_text(info, "senderName"),
            headline=_read_child_text(info, "headline"),
            description=_read_child_text(info, "description"),
            instruction=_read_child_text(info, "instruction"),
            web=_read_child_text(info, "web"),
            contact=_read_child_text(info, "contact"),
            parameters=_read_pairs(info, "parameter"),
            areas=tuple(self._area(element) for element in _find_children(info, "area")),
        )

    def _area(self, area: Element) -> CapArea:
        altitude, ceiling = _find_child(area, "altitude"), _find_child(area, "ceiling")
        if ceiling is not None and altitude is None:
            self.faults.add(
                ceiling, "ceiling", "seulement avec « altitude »", "only together with “altitude”"
            )
        elif (
            ceiling is not None
            and altitude is not None
            and float(_read_text(ceiling)) < float(_read_text(altitude))
        ):
            self.faults.add(
                ceiling,
                "ceiling",
                "ne peut pas être sous « altitude »",
                "must not be below “altitude”",
            )
        polygons, circles = (
            map(self._polygon, _find_children(area, "polygon")),
            map(self._circle, _find_children(area, "circle")),
        )
        return CapArea(
            _read_child_text(area, "areaDesc"),
            tuple(p for p in polygons if p is not None),
            tuple(c for c in circles if c is not None),
            _read_pairs(area, "geocode"),
        )

    def _polygon(self, element: Element) -> tuple[Point, ...] | None:
        points = [_parse_point(pair) for pair in _read_text(element).split()]
        good = [p for p in points if p is not None]
        if len(good) < len(points) or len(points) < 4:
            self.faults.add(
                element,
                "polygon",
                "au moins quatre couples « latitude,longitude » séparés par des espaces",
                "at least four pairs “latitude,longitude” separated by spaces",
            )
        elif good[0] != good[-1]:
            self.faults.add(
                element,
                "polygon_open",
                "le premier et le dernier point doivent être les mêmes",
                "the first and last point must be the same",
            )
        else:
            return tuple(good)
        return None

    def _circle(self, element: Element) -> Circle | None:
        parts = _read_text(element).split()
        centre = _parse_point(parts[0]) if len(parts) == 2 else None
        if (
            centre is None
            or not re.fullmatch(_NUMBER, parts[1])
            or not 0 <= float(parts[1]) < 21_000
        ):
            self.faults.add(
                element,
                "circle",
                "« latitude,longitude rayon », le rayon en kilomètres",
                "“latitude,longitude radius”, the radius in kilometres",
            )
            return None
        return Circle(centre, float(parts[1]))


def parse_time(text: str) -> datetime | None:
    """Read a CAP time in UTC; None if invalid or before 1970."""
    if (time_match := _TIME.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second = (int(time_match[n]) for n in range(1, 7))
    offset = timedelta(hours=int(time_match[8]), minutes=int(time_match[9])) * (
        -1 if time_match[7] == "-" else 1
    )
    midnight = (hour, minute, second) == (24, 0, 0)
    try:
        at = datetime(
            year, month, day, 0 if midnight else hour, minute, second, tzinfo=timezone(offset)
        ) + timedelta(days=midnight)
        return at.astimezone(UTC) if at >= _EPOCH else None
    except (ValueError, OverflowError):
        return None


def _parse_point(pair: str) -> Point | None:
    if len(pair) > 100 or (pair_match := _PAIR.fullmatch(pair)) is None:
        return None
    lat, lon = float(pair_match[1]), float(pair_match[2])
    return (lat, lon) if -90 <= lat <= 90 and -180 <= lon <= 180 else None


def _find_children(element: Element, name: str) -> list[Element]:
    return element.findall(f"{{{NAMESPACE}}}{name}")


def _find_child(element: Element, name: str) -> Element | None:
    return element.find(f"{{{NAMESPACE}}}{name}")


def _read_text(element: Element) -> str:
    """Return the text of an element, including text around comments."""
    return "".join((element.text or "", *(inner.tail or "" for inner in element))).strip()


def _read_child_text(element: Element, name: str) -> str:
    child = _find_child(element, name)
    return "" if child is None else _read_text(child)


def _read_child_texts(element: Element, name: str) -> tuple[str, ...]:
    return tuple(_read_text(child) for child in _find_children(element, name))


def _read_pairs(element: Element, name: str) -> Pairs:
    return tuple(
        (_read_child_text(child, "valueName"), _read_child_text(child, "value"))
        for child in _find_children(element, name)
    )

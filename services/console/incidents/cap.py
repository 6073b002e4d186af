"""Write an incident as a CAP 1.2 message for other systems.

It is never an alert to the population: only the préfet sends those (rule D57). Every recorded state
of an incident is one message of a chain: first an Alert, then Updates, at the end a Cancel, each
with references to the earlier ones. Identifier and `sent` derive from the time of that state, so
the same state is always the same message. No free text of a report is sent (rule D59). Pure. Rules
D2 and D56, CAP.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from lxml import etree

from schemas.alerts import IncidentRow
from schemas.base import Instant
from schemas.cap import NAMESPACE, SEVERITY_WORD
from schemas.topics import RealmKind, is_live, parse_realm
from schemas.words import Certainty, EventType, IncidentState
from services.console.i18n import get_translator
from services.console.incidents.titles import write_incident_title
from services.console.resource_base import to_datetime
from services.console.sites.geometry import Ring
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

PARIS: Final = ZoneInfo("Europe/Paris")
LANGUAGES: Final = (("fr-FR", "fr"), ("en-GB", "en"))
MAX_REFERENCES: Final = 300
"""Largest number of earlier messages in the references: the first and the newest."""
GRAVE_SEVERITY: Final = 4
_CATEGORIES: Final = {
    "power": "Infra",
    "water": "Infra",
    "it": "Infra",
    "flood": "Met",
    "heat": "Met",
    "snow": "Met",
    "wind": "Met",
    "weather": "Met",
    "kitchen": "Health",
    "security": "Security",
    "gas": "CBRNE",
    "fire": "Fire",
    "absence": "Other",
    "strike": "Other",
}
_EVENT_TYPES: Final = {
    "power": EventType.OUTAGE_POWER,
    "water": EventType.OUTAGE_WATER,
    "it": EventType.OUTAGE_IT,
    "flood": EventType.WEATHER_ALERT,
    "heat": EventType.WEATHER_ALERT,
    "snow": EventType.WEATHER_ALERT,
    "wind": EventType.WEATHER_ALERT,
    "weather": EventType.WEATHER_ALERT,
    "kitchen": EventType.SUPPLIER_FAILURE,
    "security": EventType.SECURITY_INCIDENT,
    "gas": EventType.GAS_LEAK,
    "fire": EventType.FIRE,
    "absence": EventType.STAFF_SHORTAGE,
}
_CERTAINTY: Final = {
    Certainty.CONFIRMED: "Observed",
    Certainty.UNCONFIRMED: "Possible",
    Certainty.RUMOUR: "Unknown",
}
_ENDED_STATES: Final = frozenset({IncidentState.CLOSED, IncidentState.MERGED})
_NAMESPACES: Final[Any] = {None: NAMESPACE}
_INVALID_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold (XML 1.0, 2.2); unknown site codes may contain them."""
_RESTRICTION: Final = "Services de l’État, collectivités et partenaires du département"


@dataclass(frozen=True, slots=True)
class CapWriter:
    """Writer of CAP messages about the incidents of one realm."""

    realm: str
    sender: str
    names: TerritoryNames
    shapes: Mapping[str, Sequence[Ring]]
    """Outlines by INSEE code, longitude first."""

    def message(self, row: IncidentRow, earlier: Iterable[Instant]) -> bytes:
        """Write the row as a message; `earlier` holds the times of its former states."""
        before = sorted({t for t in earlier if row.known_at <= t < row.updated_at})
        over = row.state in _ENDED_STATES
        alert = etree.Element(f"{{{NAMESPACE}}}alert", nsmap=_NAMESPACES)
        _add_element(alert, "identifier", _build_identifier(row, row.updated_at))
        _add_element(alert, "sender", self.sender)
        _add_element(alert, "sent", _format_time(row.updated_at))
        _add_element(alert, "status", self._status())
        _add_element(alert, "msgType", "Cancel" if over else "Update" if before else "Alert")
        _add_element(alert, "scope", "Restricted")
        _add_element(alert, "restriction", _RESTRICTION)
        if not is_live(self.realm):
            _add_element(alert, "note", "EXERCICE EXERCICE EXERCICE")
        if over and not before:
            before = [row.known_at]
        if before:
            _add_element(
                alert,
                "references",
                " ".join(
                    f"{self.sender},{_build_identifier(row, t)},{_format_time(t)}"
                    for t in _limit_references(before)
                ),
            )
        _add_element(alert, "incidents", row.number)
        for language, lang in LANGUAGES:
            self._info(alert, row, language, lang)
        return bytes(
            etree.tostring(alert, xml_declaration=True, encoding="UTF-8", pretty_print=True)
        )

    def _status(self) -> str:
        if is_live(self.realm):
            return "Actual"
        return "Exercise" if parse_realm(self.realm)[1] is RealmKind.EXERCISE else "Test"

    def _info(self, alert: Any, row: IncidentRow, language: str, lang: str) -> None:
        _, over = get_translator(lang), row.state in _ENDED_STATES
        title = write_incident_title(row, self.names, lang)
        info = etree.SubElement(alert, f"{{{NAMESPACE}}}info")
        _add_element(info, "language", language)
        _add_element(info, "category", _CATEGORIES.get(row.kind, "Safety"))
        _add_element(info, "event", w.translate_code(world.FAMILY, row.kind, _))
        _add_element(info, "responseType", "AllClear" if over else "Monitor")
        _add_element(
            info,
            "urgency",
            "Past"
            if over
            else "Immediate"
            if row.danger or row.severity >= GRAVE_SEVERITY
            else "Expected",
        )
        _add_element(info, "severity", SEVERITY_WORD.get(row.severity, "Unknown"))
        _add_element(info, "certainty", _CERTAINTY[row.certainty])
        if (kind := _EVENT_TYPES.get(row.kind)) is not None:
            _add_pair(info, "eventCode", "vigie:type", kind.value)
        _add_element(info, "onset", _format_time(row.opened_at))
        _add_element(info, "senderName", f"Vigie {parse_realm(self.realm)[0]}")
        _add_element(info, "headline", f"{title} (N{int(row.level)})")
        _add_element(info, "description", self._description(row, lang))
        for name, value in (
            ("vigie:incident", row.id),
            ("vigie:kind", row.kind),
            ("vigie:level", f"N{int(row.level)}"),
            ("vigie:state", row.state.value),
            ("vigie:severity", str(row.severity)),
            ("vigie:sites", str(len(row.members))),
        ):
            _add_pair(info, "parameter", name, value)
        for insee in row.communes or sorted(self.shapes):
            self._area(info, insee)

    def _description(self, row: IncidentRow, lang: str) -> str:
        _ = get_translator(lang)
        sentences = [
            _(
                "Niveau {level}, {state}.",
                level=f"N{int(row.level)}",
                state=w.translate_code(w.INCIDENT_STATE, row.state, _),
            )
        ]
        if row.members:
            sentences.append(_("Sites touchés : {n}.", n=len(row.members)))
        if row.zone_sites:
            sentences.append(_("Sites de la zone sans nouvelles : {n}.", n=len(row.zone_sites)))
        if row.persons_concerned:
            sentences.append(_("Personnes concernées : {n}.", n=row.persons_concerned))
        if row.merged_into is not None:
            sentences.append(_("Suivi sous un autre incident."))
        return " ".join(sentences)

    def _area(self, info: Any, insee: str) -> None:
        area = etree.SubElement(info, f"{{{NAMESPACE}}}area")
        _add_element(area, "areaDesc", self.names.commune(insee))
        for ring in self.shapes.get(insee, ()):
            closed_ring = ring if ring[0] == ring[-1] else [*ring, ring[0]]
            _add_element(
                area, "polygon", " ".join(f"{lat:.5f},{lon:.5f}" for lon, lat, *_ in closed_ring)
            )
        _add_pair(area, "geocode", "INSEE", insee)


def _build_identifier(row: IncidentRow, at: Instant) -> str:
    return f"{row.id}.{at}"


def _limit_references(times: list[Instant]) -> list[Instant]:
    return times if len(times) <= MAX_REFERENCES else [times[0], *times[-MAX_REFERENCES + 1 :]]


def _format_time(at: Instant) -> str:
    """Format local time in whole seconds; CAP would require UTC to be written as -00:00."""
    return to_datetime(at // 1000 * 1000).astimezone(PARIS).isoformat()


def _add_element(parent: Any, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{NAMESPACE}}}{name}").text = _INVALID_XML.sub("\ufffd", text)


def _add_pair(parent: Any, name: str, value_name: str, value: str) -> None:
    pair = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    _add_element(pair, "valueName", value_name)
    _add_element(pair, "value", value)

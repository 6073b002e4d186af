"""Interpret info blocks: type, severity, certainty, vigilance, times, and language variants.

Rules D1 to D3 (reports) and D9 (planned effects).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

from schemas.base import is_token
from schemas.cap import SEVERITY
from schemas.words import EventType
from services.intake.integrations.cap.message import CapMessage, Info
from services.intake.integrations.signals import MAX_LABELS, find_rule
from services.runtime.identity.principals import Rule, Source

TYPE_CODE: Final = "vigie:type"
"""valueName of an eventCode with one of Vigie's event types, as Vigie emits it."""
COLOUR_CODE: Final = "vigie:colour"
"""valueName of a parameter with the colour of a vigilance."""
MAX_UNREAD_CHARACTERS: Final = 64
"""Characters of an unknown value that are shown."""
_TYPES: Final = frozenset(t.value for t in EventType)
_BY_CATEGORY: Final = {
    "Met": EventType.WEATHER_ALERT,
    "Fire": EventType.FIRE,
    "Health": EventType.SANITARY_ALERT,
    "Transport": EventType.TRANSPORT_DISRUPTION,
    "Security": EventType.SECURITY_INCIDENT,
    "CBRNE": EventType.SECURITY_INCIDENT,
}
_BY_RESPONSE: Final = {"Evacuate": EventType.EVACUATION, "Shelter": EventType.SHELTER_IN_PLACE}
_COLOURS: Final = {"green": "vert", "yellow": "jaune", "orange": "orange", "red": "rouge"} | {
    c: c for c in ("vert", "jaune", "rouge")
}
"""Colours in the second part of MeteoAlarm's `awareness_level` (`3; orange; Severe`)."""
_PHENOMENA: Final = {
    "1": "vent",
    "2": "neige-verglas",
    "3": "orages",
    "4": "brouillard",
    "5": "canicule",
    "6": "grand-froid",
    "7": "vagues-submersion",
    "8": "feux-de-foret",
    "9": "avalanches",
    "10": "pluie-inondation",
    "12": "crues",
    "13": "pluie-inondation",
}
"""Phenomena by the first part of MeteoAlarm's `awareness_type` (`1; Wind`)."""
_GRAVITY: Final = {colour: n for n, colour in enumerate(("vert", "jaune", "orange", "rouge"))}
_PERIOD: Final = re.compile(r"-\d{1,4}")
_CODE: Final = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class CapEvent:
    """One event of a message: its blocks in several languages, the French one first."""

    infos: tuple[Info, ...]
    type: EventType
    name: str
    """Name that later messages share: the phenomenon, or a hash of the event code."""
    site: str | None
    severity: int
    phenomenon: str | None
    colour: str | None
    drop: bool
    unread: tuple[tuple[str, str], ...] = ()
    """Codes of Vigie with a value that it does not know, as (name, value)."""

    @property
    def info(self) -> Info:
        return self.infos[0]

    @property
    def over(self) -> bool:
        """True if the sender declares the end of the threat."""
        return "AllClear" in self.info.responses

    @property
    def declares(self) -> str | None:
        """Colour of the phenomenon, if there is one; green after the end."""
        if self.phenomenon is None:
            return None
        return "vert" if self.over else self.colour


def interpret_message(message: CapMessage, source: Source) -> list[CapEvent]:
    """Return the events of a message in its order, with unique names."""
    events: list[CapEvent] = []
    names: dict[tuple[str, str], int] = {}
    for blocks in _group_by_language(message.infos):
        event = _build_event(message, blocks, source)
        place = event.type.value, event.name
        names[place] = names.get(place, 0) + 1
        if (n := names[place]) > 1:
            event = replace(event, name=f"{event.name}-{n}")
        events.append(event)
    return events


def find_gravest_colours(events: Iterable[CapEvent]) -> dict[str, str]:
    """Return the gravest colour of each phenomenon.

    A vigilance is in force from its declaration, not from its period: tomorrow's yellow in the same
    message must not end today's orange.
    """
    gravest_colours: dict[str, str] = {}
    for event in events:
        if event.phenomenon and event.declares:
            gravest_colours[event.phenomenon] = max(
                gravest_colours.get(event.phenomenon, "vert"),
                event.declares,
                key=lambda c: _GRAVITY.get(c, 0),
            )
    return gravest_colours


def parse_phenomenon(name: str) -> str | None:
    """Return the phenomenon in the name of a weather alert, if it is a vigilance."""
    first = (
        name
        if (last := _PERIOD.search(name)) is None or last.end() < len(name)
        else name[: last.start()]
    )
    return None if _CODE.fullmatch(first) else first


def _group_by_language(infos: Iterable[Info]) -> list[tuple[Info, ...]]:
    """Group blocks that differ only in language into one event."""
    groups: list[list[Info]] = []
    open_: dict[Any, list[list[Info]]] = {}
    for info in infos:
        alike = open_.setdefault(_build_content_key(info), [])
        group = next(
            (g for g in alike if all(i.language.lower() != info.language.lower() for i in g)), None
        )
        if group is None:
            group = []
            groups.append(group)
            alike.append(group)
        group.append(info)
    return [tuple(sorted(g, key=lambda i: not i.language.lower().startswith("fr"))) for g in groups]


def _build_content_key(info: Info) -> Any:
    """Return the content of a block that does not depend on its language."""
    areas = tuple((a.polygons, a.circles, a.geocodes) for a in info.areas)
    times = info.effective, info.onset, info.expires
    return (
        info.categories,
        info.responses,
        info.urgency,
        info.severity,
        info.certainty,
        info.event_codes,
        times,
        areas,
    )


def _build_event(message: CapMessage, blocks: tuple[Info, ...], source: Source) -> CapEvent:
    info = blocks[0]
    codes = {
        name.strip().casefold(): value for name, value in chain(info.parameters, info.event_codes)
    }
    rule = (
        next(
            (r for i in blocks if (r := find_rule(build_labels(message, i), source)) is not None),
            None,
        )
        or _NO_RULE
    )
    phenomenon, colour = (
        rule.phenomenon or _read_phenomenon(codes),
        rule.colour or _read_colour(codes),
    )
    type_ = rule.type or _choose_type(info, codes, phenomenon or colour, source)
    weather = type_ is EventType.WEATHER_ALERT
    name = phenomenon if weather and phenomenon and is_token(phenomenon) else _hash_event_name(info)
    return CapEvent(
        blocks,
        type_,
        name[:50],
        rule.site or source.site,
        rule.severity or source.severity or SEVERITY[info.severity],
        phenomenon if weather else None,
        colour if weather else None,
        rule.drop,
        tuple(_list_unread_codes(codes, rule)),
    )


_NO_RULE: Final = Rule(when={"": ""})
"""A rule without effect."""


def _hash_event_name(info: Info) -> str:
    what = info.event_codes[0][1] if info.event_codes else info.event
    return blake2b(what.strip().casefold().encode(), digest_size=6).hexdigest()


def _choose_type(
    info: Info, codes: Mapping[str, str], vigilance: str | None, source: Source
) -> EventType:
    if (own := codes.get(TYPE_CODE, "").casefold()) in _TYPES:
        return EventType(own)
    if vigilance:
        return EventType.WEATHER_ALERT
    if "Met" not in info.categories:
        # A storm warning may ask people to take shelter, and is still a storm warning.
        for response in info.responses:
            if response in _BY_RESPONSE:
                return _BY_RESPONSE[response]
    return next((_BY_CATEGORY[c] for c in info.categories if c in _BY_CATEGORY), source.type)


def _read_phenomenon(codes: Mapping[str, str]) -> str | None:
    if own := codes.get("vigie:phenomenon"):
        return own[:64]
    return _PHENOMENA.get(codes.get("awareness_type", "").partition(";")[0].strip())


def _read_colour(codes: Mapping[str, str]) -> str | None:
    own_colour = _parse_colour(codes.get(COLOUR_CODE, ""))
    return own_colour or _parse_colour(codes.get("awareness_level", ""))


def _parse_colour(text: str) -> str | None:
    """Return the colour in a text such as `orange` or `3; orange; Severe`."""
    parts = (part.strip() for part in text.casefold().split(";"))
    return next((_COLOURS[part] for part in parts if part in _COLOURS), None)


def _list_unread_codes(codes: Mapping[str, str], rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield codes of Vigie with an unknown value that no rule of the source replaces."""
    own_type, own_colour = codes.get(TYPE_CODE, ""), codes.get(COLOUR_CODE, "")
    if own_type and rule.type is None and own_type.casefold() not in _TYPES:
        yield TYPE_CODE, own_type[:MAX_UNREAD_CHARACTERS]
    if own_colour and rule.colour is None and _parse_colour(own_colour) is None:
        yield COLOUR_CODE, own_colour[:MAX_UNREAD_CHARACTERS]


def build_labels(message: CapMessage, info: Info) -> dict[str, str]:
    """Return the labels that a source's rules can match."""
    labels = {
        "sender": message.identity.sender,
        "status": message.status,
        "msgType": message.type,
        "event": info.event,
        "language": info.language,
        "category": "|".join(info.categories),
        "responseType": "|".join(info.responses),
        "urgency": info.urgency,
        "severity": info.severity,
        "certainty": info.certainty,
        "senderName": info.sender_name,
        "headline": info.headline,
    }
    for prefix, pairs in (("eventCode.", info.event_codes), ("parameter.", info.parameters)):
        for name, value in pairs[:MAX_LABELS]:
            labels.setdefault(prefix + name, value)
    return labels


def build_time_fields(info: Info, sent_at: datetime, now: datetime) -> dict[str, Any]:
    """Return the time fields of the native report.

    An announced event has an effect only in its window. One that expired before it arrived has
    none. Rule D9, planned effects.
    """
    begins = info.onset or info.effective or sent_at
    if begins > sent_at:
        window = {"from": begins.isoformat()} | (
            {"to": info.expires.isoformat()} if info.expires and info.expires > begins else {}
        )
        return {"occurred_at": sent_at.isoformat(), "effective": [window]}
    if info.expires is None:
        return {"occurred_at": begins.isoformat()}
    if info.expires <= now:
        return {
            "occurred_at": begins.isoformat(),
            "effective": [
                {"from": begins.isoformat(), "to": max(begins, info.expires).isoformat()}
            ],
        }
    return {"occurred_at": begins.isoformat(), "estimated_end": info.expires.isoformat()}


def is_expired(info: Info, now: datetime) -> bool:
    """Return whether the block has expired."""
    return info.expires is not None and info.expires <= now


def build_text_fields(
    info: Info, sender: str, unread: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the free text of the native report, with the codes that Vigie could not read."""
    paragraphs = (
        info.description,
        info.instruction,
        info.web,
        " · ".join(a.description for a in info.areas if a.description),
        *(f"Valeur inconnue de Vigie : {name} = {value}" for name, value in unread),
    )
    body: dict[str, Any] = {
        "headline": (info.headline or info.event)[:2_000],
        "source": {"name": (info.sender_name or sender)[:200], "contact": info.contact[:500]},
    }
    if description := "\n".join(t for t in paragraphs if t)[:200_000]:
        body["description"] = description
    return body

"""The duty of a post as an iCalendar file, for calendar programs. People are tokens, as everywhere outside the directory (D58)."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b

import icalendar

from schemas.base import Instant
from schemas.oncall import Place
from services.oncall.rota import Rota

_DEPUTY = "suppléant"


def feed(rota: Rota, role: str, scope: str | None, name: str, start: Instant, end: Instant, at: Instant) -> bytes:
    """Shifts that touch [start, end), holder and deputy. The same shift has the same UID for ever; importing the file gives the same shifts back."""
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Vigie//astreintes//FR")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    calendar.add("x-wr-timezone", "Europe/Paris")
    for place in Place:
        for span in rota.spans(role, scope, place, start, end):
            for person in span.stand.persons:
                event = icalendar.Event()
                uid = blake2b(f"{role}|{scope}|{place}|{span.start}|{person}".encode(), digest_size=12).hexdigest()
                event.add("uid", f"{uid}@vigie")
                event.add("dtstamp", _utc(at))
                event.add("dtstart", _utc(span.start))
                event.add("dtend", _utc(span.end))
                event.add("summary", f"{role} : {person}" if place is Place.HOLDER else f"{role} ({_DEPUTY}) : {person}")
                if scope is not None:
                    event.add("categories", [scope])
                calendar.add_component(event)
    return bytes(calendar.to_ical())


def _utc(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

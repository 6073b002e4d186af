"""The duty of a post as an iCalendar file, for calendar programs. People are tokens, as everywhere outside the directory (D58)."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import icalendar

from schemas.base import DAY_MS, Instant
from schemas.oncall import Place
from services.oncall.schedule import Rota

_DEPUTY = "suppléant"
BEHIND_MS: Final = 400 * DAY_MS
"""How far before the span a shift that touches it may have begun."""


def feed(
    rota: Rota, role: str, scope: str | None, name: str, start: Instant, end: Instant, at: Instant
) -> bytes:
    """Shifts that touch [start, end), holder and deputy. The same shift has the same UID for ever; importing the file gives the same shifts back.

    A shift begins where it does and not with the span, so that it stays one event while the span moves on; who stands there for longer than
    `BEHIND_MS` has one event without a beginning of its own.
    """
    first = start - BEHIND_MS
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Vigie//astreintes//FR")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    calendar.add("x-wr-timezone", "Europe/Paris")
    for place in Place:
        for span in (s for s in rota.spans(role, scope, place, first, end) if s.end > start):
            began = None if span.start == first else span.start
            for person in span.stand.persons:
                event = icalendar.Event()
                uid = blake2b(
                    f"{role}|{scope}|{place}|{began}|{person}".encode(), digest_size=12
                ).hexdigest()
                event.add("uid", f"{uid}@vigie")
                event.add("dtstamp", _utc(at))
                event.add("dtstart", _utc(start if began is None else began))
                event.add("dtend", _utc(span.end))
                event.add(
                    "summary",
                    f"{role} : {person}"
                    if place is Place.HOLDER
                    else f"{role} ({_DEPUTY}) : {person}",
                )
                if scope is not None:
                    event.add("categories", [scope])
                calendar.add_component(event)
    return bytes(calendar.to_ical())


def _utc(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

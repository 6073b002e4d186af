"""Write the schedule of a role as an iCalendar file.

People are tokens, as everywhere outside the directory. Rule D58.
"""

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import icalendar

from schemas.base import DAY_MS, Instant
from schemas.oncall import Place
from services.oncall.schedule import Schedule

_DEPUTY_LABEL = "suppléant"
LOOKBACK_MS: Final = 400 * DAY_MS
"""Longest time before the span, in ms, at which a shift that touches it may begin."""


def export_schedule(
    rota: Schedule,
    role: str,
    scope: str | None,
    name: str,
    start: Instant,
    end: Instant,
    at: Instant,
) -> bytes:
    """Build an iCalendar file with the shifts of holder and deputy that touch [start, end).

    A shift keeps its UID for ever, and importing the file gives the same shifts back. An event
    begins with its shift, not with the span, so it stays one event while the span moves on. A shift
    longer than `LOOKBACK_MS` begins at `start`.
    """
    first = start - LOOKBACK_MS
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
                event.add("dtstamp", _to_datetime(at))
                event.add("dtstart", _to_datetime(start if began is None else began))
                event.add("dtend", _to_datetime(span.end))
                event.add(
                    "summary",
                    f"{role} : {person}"
                    if place is Place.HOLDER
                    else f"{role} ({_DEPUTY_LABEL}) : {person}",
                )
                if scope is not None:
                    event.add("categories", [scope])
                calendar.add_component(event)
    return bytes(calendar.to_ical())


def _to_datetime(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

"""Some three hundred calendar files in the forms of many programs, each with its shifts.

Invalid ones have a part of their refusal instead. Expected instants come from wall clocks and
`zoneinfo`, without a calendar library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from tests.unit.oncall.corpus import VTIMEZONE
from tests.unit.oncall.rotas import PARIS

Wall = datetime
"""A local time without a zone."""
Span = tuple[Wall, Wall]


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content: bytes
    expected: list[tuple[int, int]] | str
    """Instants of the shifts in order, or a part of the sentence."""


@dataclass(frozen=True, slots=True)
class Producer:
    """Habits of one program when it writes calendars."""

    name: str
    head: tuple[str, ...]
    zone: str
    """VTIMEZONE of the file; empty when it has none."""
    stamp: Callable[[str, Wall], str]
    """A property with a local time."""
    extra: tuple[str, ...] = ()
    """Lines of every event."""
    newline: str = "\r\n"
    encoding: str = "utf-8"
    folds: bool = False


def _with_zone(tzid: str) -> Callable[[str, Wall], str]:
    return lambda name, wall: f"{name};TZID={tzid}:{wall:%Y%m%dT%H%M%S}"


def _utc(name: str, wall: Wall) -> str:
    return f"{name}:{wall.replace(tzinfo=PARIS).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _floating(name: str, wall: Wall) -> str:
    return f"{name}:{wall:%Y%m%dT%H%M%S}"


def _named(tzid: str, first: str = "1970", more: tuple[str, ...] = ()) -> str:
    text = VTIMEZONE.replace("Heure de Paris", tzid).replace(":1970", f":{first}")
    return "\n".join((*text.split("\n")[:2], *more, *text.split("\n")[2:]))


PRODUCERS: Final = (
    Producer(
        "google",
        (
            "PRODID:-//Google Inc//Google Calendar 70.9054//EN",
            "CALSCALE:GREGORIAN",
            "METHOD:PUBLISH",
            "X-WR-TIMEZONE:Europe/Paris",
        ),
        _named("Europe/Paris", more=("X-LIC-LOCATION:Europe/Paris",)),
        _with_zone("Europe/Paris"),
        ("SEQUENCE:0", "TRANSP:OPAQUE"),
    ),
    Producer(
        "exchange",
        ("PRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN", "METHOD:PUBLISH"),
        _named("Romance Standard Time", "1601"),
        _with_zone("Romance Standard Time"),
        ("CLASS:PUBLIC", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY", "X-MICROSOFT-DISALLOW-COUNTER:FALSE"),
        folds=True,
    ),
    Producer(
        "exchange-own-zone",
        ("PRODID:Microsoft Exchange Server 2010",),
        _named("Customized Time Zone", "0001"),
        _with_zone("Customized Time Zone"),
    ),
    Producer(
        "apple",
        ("PRODID:-//Apple Inc.//macOS 14//FR", "X-APPLE-CALENDAR-COLOR:#CC73E1"),
        _named("Europe/Paris"),
        _with_zone("Europe/Paris"),
        ("CREATED:20270101T080000Z", "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC"),
    ),
    Producer(
        "nextcloud",
        ("PRODID:-//IDN nextcloud.com//Calendar app 4//EN",),
        "",
        _with_zone("Europe/Paris"),
        newline="\n",
    ),
    Producer(
        "evolution",
        ("PRODID:-//Ximian//NONSGML Evolution//EN",),
        "",
        _with_zone("/freeassociation.sourceforge.net/Europe/Paris"),
    ),
    Producer(
        "pager",
        ("PRODID:-//Pager//NONSGML//EN", "X-WR-CALNAME:Astreinte"),
        "",
        _utc,
        ("URL:https://pager.example/rota",),
    ),
    Producer(
        "spreadsheet", ("PRODID:-//Tableur//FR",), "", _floating, newline="\n", encoding="utf-8-sig"
    ),
    Producer(
        "teams",
        ("PRODID:Microsoft Teams",),
        "",
        _with_zone('"Romance Standard Time"'),
        encoding="utf-16",
    ),
)

SEASONS: Final = (date(2027, 3, 22), date(2027, 10, 25), date(2027, 6, 7))
"""Mondays: of the weeks with the March and the October night, and of one without."""


def _at(day: date, clock: str) -> Wall:
    return datetime.combine(day, time.fromisoformat(clock))


def _every(first: Span, days: int, count: int) -> list[Span]:
    return [
        (first[0] + timedelta(days=days * n), first[1] + timedelta(days=days * n))
        for n in range(count)
    ]


PATTERNS: Final[dict[str, Callable[[date], tuple[Span, str, list[Span]]]]] = {
    "week from Friday to Friday": lambda monday: (
        span := (_at(monday + timedelta(4), "08:00"), _at(monday + timedelta(11), "08:00")),
        "FREQ=WEEKLY;COUNT=3",
        _every(span, 7, 3),
    ),
    "one week in three": lambda monday: (
        span := (_at(monday, "08:00"), _at(monday + timedelta(7), "08:00")),
        "FREQ=WEEKLY;INTERVAL=3;COUNT=2;WKST=MO",
        _every(span, 21, 2),
    ),
    "nights": lambda monday: (
        span := (_at(monday, "18:00"), _at(monday + timedelta(1), "08:00")),
        "FREQ=DAILY;COUNT=7",
        _every(span, 1, 7),
    ),
    "days of the week": lambda monday: (
        span := (_at(monday, "08:00"), _at(monday, "18:00")),
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;COUNT=6",
        [*_every(span, 1, 5), *_every((span[0] + timedelta(7), span[1] + timedelta(7)), 1, 1)],
    ),
    "weekends": lambda monday: (
        span := (_at(monday + timedelta(4), "18:00"), _at(monday + timedelta(7), "08:00")),
        "FREQ=WEEKLY;BYDAY=FR;COUNT=2",
        _every(span, 7, 2),
    ),
}


def _file(by: Producer, *events: tuple[str, ...]) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", *by.head, *(by.zone.split("\n") if by.zone else ())]
    for n, event in enumerate(events):
        uid = next((line[4:] for line in event if line.startswith("UID:")), f"{by.name}-{n}")
        rest = [line for line in event if not line.startswith("UID:")]
        lines += [
            "BEGIN:VEVENT",
            f"UID:{uid}",
            "DTSTAMP:20270101T000000Z",
            "SUMMARY:ast-technique",
            *by.extra,
            *rest,
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    if by.folds:
        lines = [
            by.newline.join((line[:40], f" {line[40:]}")) if len(line) > 40 else line
            for line in lines
        ]
    return (by.newline.join(lines) + by.newline).encode(by.encoding)


def _instants(spans: list[Span]) -> list[tuple[int, int]]:
    return sorted((_instant(a), _instant(b)) for a, b in spans)


def _instant(wall: Wall) -> int:
    return round(wall.replace(tzinfo=PARIS).timestamp() * 1000)


def valid() -> Iterator[File]:
    """Yield every producer and pattern, in both nights and outside them."""
    for by in PRODUCERS:
        for monday in SEASONS:
            for name, pattern in PATTERNS.items():
                first, rule, spans = pattern(monday)
                if (
                    by.stamp is _utc
                ):  # it writes each shift by itself: a rule in UTC would drift with the hour
                    events = [(by.stamp("DTSTART", a), by.stamp("DTEND", b)) for a, b in spans]
                else:
                    events = [
                        (
                            by.stamp("DTSTART", first[0]),
                            by.stamp("DTEND", first[1]),
                            f"RRULE:{rule}",
                        )
                    ]
                yield File(f"{by.name}, {name}, {monday}", _file(by, *events), _instants(spans))
            yield from _exceptions(by, monday)


def _exceptions(by: Producer, monday: date) -> Iterator[File]:
    """Yield series with one occurrence left out, moved or added, and whole days."""
    first = (_at(monday + timedelta(4), "08:00"), _at(monday + timedelta(11), "08:00"))
    spans = _every(first, 7, 3)
    series = (
        "UID:s",
        by.stamp("DTSTART", first[0]),
        by.stamp("DTEND", first[1]),
        "RRULE:FREQ=WEEKLY;COUNT=3",
    )
    if by.stamp is _utc:
        return
    yield File(
        f"{by.name}, one left out, {monday}",
        _file(by, (*series, by.stamp("EXDATE", spans[1][0]))),
        _instants([spans[0], spans[2]]),
    )
    moved = (spans[1][0] + timedelta(hours=4), spans[1][1])
    change = (
        "UID:s",
        by.stamp("RECURRENCE-ID", spans[1][0]),
        by.stamp("DTSTART", moved[0]),
        by.stamp("DTEND", moved[1]),
    )
    yield File(
        f"{by.name}, one moved, {monday}",
        _file(by, series, change),
        _instants([spans[0], moved, spans[2]]),
    )
    day = monday + timedelta(6)
    whole = (f"DTSTART;VALUE=DATE:{day:%Y%m%d}", f"DTEND;VALUE=DATE:{day + timedelta(1):%Y%m%d}")
    yield File(
        f"{by.name}, a whole day, {monday}",
        _file(by, whole),
        _instants([(_at(day, "00:00"), _at(day + timedelta(1), "00:00"))]),
    )


def tolerated() -> Iterator[File]:
    """Yield common breaches of RFC 5545 with one meaning only."""
    day = date(2027, 6, 7)
    for by in PRODUCERS:
        if by.stamp is _utc:
            continue
        span = (_at(day, "08:00"), _at(day, "20:00"))
        times = (by.stamp("DTSTART", span[0]), by.stamp("DTEND", span[1]))
        until = _file(by, (*times, f"RRULE:FREQ=DAILY;UNTIL={day + timedelta(2):%Y%m%d}"))
        yield File(f"{by.name}, until a day: with that day", until, _instants(_every(span, 1, 3)))
        one_day = (f"DTSTART;VALUE=DATE:{day:%Y%m%d}", f"DTEND;VALUE=DATE:{day:%Y%m%d}")
        yield File(
            f"{by.name}, a day that ends where it begins",
            _file(by, one_day),
            _instants([(_at(day, "00:00"), _at(day + timedelta(1), "00:00"))]),
        )
        nothing = _file(by, (*times, "RRULE:FREQ=DAILY;COUNT=2", "EXDATE;TZID=Europe/Paris:"))
        yield File(f"{by.name}, nothing is left out", nothing, _instants(_every(span, 1, 2)))


def broken() -> Iterator[File]:
    """Yield invalid files with a part of their refusal."""
    monday = date(2027, 6, 7)
    span = (_at(monday, "08:00"), _at(monday, "20:00"))
    for by in PRODUCERS:
        start, end = by.stamp("DTSTART", span[0]), by.stamp("DTEND", span[1])
        text = _file(by, (start, end)).decode(by.encoding)
        wrong: dict[str, tuple[tuple[str, ...], str]] = {
            "no start": ((end,), "n’a pas de début"),
            "no end": ((start,), "n’a pas de durée"),
            "ends before it begins": (
                (by.stamp("DTSTART", span[1]), by.stamp("DTEND", span[0])),
                "finit avant de commencer",
            ),
            "no length": ((start, by.stamp("DTEND", span[0])), "n’a pas de durée"),
            "a day, then an hour": (
                (f"DTSTART;VALUE=DATE:{monday:%Y%m%d}", end),
                "commence par une date",
            ),
            "a zone of nowhere": (
                ("DTSTART;TZID=Ailleurs/Nulle part:20270607T080000", "DURATION:PT8H"),
                "fuseau horaire",
            ),
            "a time that is none": (
                ("DTSTART:20270607T2561", "DURATION:PT8H"),
                "valeur illisible : DTSTART",
            ),
            "a day that is none": (("DTSTART;VALUE=DATE:20270230",), "valeur illisible : DTSTART"),
            "an unknown rhythm": (
                (start, end, "RRULE:FREQ=PARFOIS;COUNT=2"),
                "valeur illisible : RRULE",
            ),
            "every minute": ((start, end, "RRULE:FREQ=MINUTELY"), "trop souvent"),
            "too many": ((start, end, "RRULE:FREQ=DAILY;COUNT=1600"), "la limite est de 1500"),
            "a rule that was given up": (
                (start, end, "RRULE:FREQ=DAILY;COUNT=3", "EXRULE:FREQ=DAILY;COUNT=1"),
                "EXRULE",
            ),
            "everything cancelled": ((start, end, "STATUS:CANCELLED"), "aucune garde"),
            "centuries ago": (("DTSTART:17530607T080000Z", "DURATION:PT8H"), "est en 1753"),
        }
        for name, (event, refusal) in wrong.items():
            if (by.name, name) == ("exchange-own-zone", "too many"):
                continue  # Three seconds of rules for changes of the clock
            yield File(f"{by.name}, {name}", _file(by, event), refusal)
        yield File(
            f"{by.name}, cut in the last event",
            text[: text.rindex("END:VEVENT")].encode(by.encoding),
            "il manque un « END »",
        )
        yield File(
            f"{by.name}, crossed",
            text.replace("END:VEVENT", "END:VTODO").encode(by.encoding),
            "ne ferme pas",
        )
        yield File(f"{by.name}, no event", _file(by), "aucun événement")
        withdrawn = text.replace("METHOD:PUBLISH", "X-WAS:PUBLISH").replace(
            "VERSION:2.0", f"VERSION:2.0{by.newline}METHOD:CANCEL"
        )
        yield File(f"{by.name}, a withdrawal", withdrawn.encode(by.encoding), "annule")

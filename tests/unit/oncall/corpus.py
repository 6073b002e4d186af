"""Calendars of people and programs, each with its shifts or its refusal.

`CASES`: name → (lines of events, expected). Expected: shifts `(from, to)` in Paris time, or a part
of the refusal.
"""

from __future__ import annotations

Expected = list[tuple[str, str]] | str

VTIMEZONE = """BEGIN:VTIMEZONE
TZID:Heure de Paris
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE"""


def event(*lines: str, uid: str = "e1", summary: str = "ast-technique") -> str:
    """Build a VEVENT with these lines."""
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", f"SUMMARY:{summary}", *lines, "END:VEVENT"])


def ics(*parts: str, head: tuple[str, ...] = (), newline: str = "\r\n") -> bytes:
    """Build a VCALENDAR with these components."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//essai//FR",
        *head,
        *(line for part in parts for line in part.split("\n")),
        "END:VCALENDAR",
    ]
    return (newline.join(lines) + newline).encode()


def _plain(start: str, end: str, **more: str) -> str:
    return event(f"DTSTART;TZID=Europe/Paris:{start}", f"DTEND;TZID=Europe/Paris:{end}", **more)


_WEEK = ("DTSTART;TZID=Europe/Paris:20270319T080000", "DTEND;TZID=Europe/Paris:20270326T080000")
_NIGHT = ("DTSTART;TZID=Europe/Paris:20270327T180000", "DTEND;TZID=Europe/Paris:20270328T080000")

CASES: dict[str, tuple[bytes, Expected]] = {
    # ── times ────────────────────────────────────────────────────────────────────────────────────────────────────
    "one shift in Paris time": (
        ics(_plain("20270301T080000", "20270308T080000")),
        [("01/03 08:00", "08/03 08:00")],
    ),
    "utc": (
        ics(event("DTSTART:20270301T070000Z", "DTEND:20270301T170000Z")),
        [("01/03 08:00", "01/03 18:00")],
    ),
    "utc in summer": (
        ics(event("DTSTART:20270701T060000Z", "DTEND:20270701T160000Z")),
        [("01/07 08:00", "01/07 18:00")],
    ),
    "floating is Paris": (
        ics(event("DTSTART:20270701T080000", "DTEND:20270701T180000")),
        [("01/07 08:00", "01/07 18:00")],
    ),
    "all day": (
        ics(event("DTSTART;VALUE=DATE:20270301", "DTEND;VALUE=DATE:20270308")),
        [("01/03 00:00", "08/03 00:00")],
    ),
    "all day without end": (
        ics(event("DTSTART;VALUE=DATE:20270301")),
        [("01/03 00:00", "02/03 00:00")],
    ),
    "all day over the spring change": (
        ics(event("DTSTART;VALUE=DATE:20270328")),
        [("28/03 00:00", "29/03 00:00")],
    ),
    "all day over the autumn change": (
        ics(event("DTSTART;VALUE=DATE:20271031")),
        [("31/10 00:00", "01/11 00:00")],
    ),
    "duration": (
        ics(event("DTSTART;TZID=Europe/Paris:20270301T080000", "DURATION:PT12H")),
        [("01/03 08:00", "01/03 20:00")],
    ),
    "duration in days": (
        ics(event("DTSTART;TZID=Europe/Paris:20270301T080000", "DURATION:P7D")),
        [("01/03 08:00", "08/03 08:00")],
    ),
    "a day over the spring change": (
        ics(event("DTSTART;TZID=Europe/Paris:20270327T200000", "DURATION:P1D")),
        [("27/03 20:00", "28/03 20:00")],
    ),
    "24 hours over the spring change": (
        ics(event("DTSTART;TZID=Europe/Paris:20270327T200000", "DURATION:PT24H")),
        [("27/03 20:00", "28/03 21:00")],
    ),
    "12 hours every night over the autumn change": (
        ics(
            event(
                "DTSTART;TZID=Europe/Paris:20271030T200000",
                "DURATION:PT12H",
                "RRULE:FREQ=DAILY;COUNT=2",
            )
        ),
        [("30/10 20:00", "31/10 07:00"), ("31/10 20:00", "01/11 08:00")],
    ),
    "a day and a half over the spring change": (
        ics(event("DTSTART;TZID=Europe/Paris:20270326T200000", "DURATION:P1DT11H30M")),
        [("26/03 20:00", "28/03 08:30")],
    ),
    "windows zone": (
        ics(
            event(
                "DTSTART;TZID=Romance Standard Time:20270701T080000",
                "DTEND;TZID=Romance Standard Time:20270701T180000",
            )
        ),
        [("01/07 08:00", "01/07 18:00")],
    ),
    "windows zone elsewhere": (
        ics(
            event(
                "DTSTART;TZID=GMT Standard Time:20270701T080000",
                "DTEND;TZID=GMT Standard Time:20270701T180000",
            )
        ),
        [("01/07 09:00", "01/07 19:00")],
    ),
    "another zone": (
        ics(
            event(
                "DTSTART;TZID=America/New_York:20270301T020000",
                "DTEND;TZID=America/New_York:20270301T120000",
            )
        ),
        [("01/03 08:00", "01/03 18:00")],
    ),
    "quoted zone": (
        ics(
            event(
                'DTSTART;TZID="Europe/Paris":20270301T080000',
                'DTEND;TZID="Europe/Paris":20270301T180000',
            )
        ),
        [("01/03 08:00", "01/03 18:00")],
    ),
    "zone of its own": (
        ics(
            VTIMEZONE,
            event(
                "DTSTART;TZID=Heure de Paris:20270701T080000",
                "DTEND;TZID=Heure de Paris:20270701T180000",
            ),
        ),
        [("01/07 08:00", "01/07 18:00")],
    ),
    "zone of its own over the change": (
        ics(
            VTIMEZONE,
            event(
                "DTSTART;TZID=Heure de Paris:20270327T180000",
                "DTEND;TZID=Heure de Paris:20270328T080000",
            ),
        ),
        [("27/03 18:00", "28/03 08:00")],
    ),
    "prefixed zone": (
        ics(
            event(
                "DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Paris:20270301T080000",
                "DTEND;TZID=/freeassociation.sourceforge.net/Europe/Paris:20270301T180000",
            )
        ),
        [("01/03 08:00", "01/03 18:00")],
    ),
    "over the spring night": (
        ics(_plain("20270327T180000", "20270328T080000")),
        [("27/03 18:00", "28/03 08:00")],
    ),
    "over the autumn night": (
        ics(_plain("20271030T180000", "20271031T080000")),
        [("30/10 18:00", "31/10 08:00")],
    ),
    "a start that does not exist": (
        ics(_plain("20270328T023000", "20270328T080000")),
        [("28/03 03:30", "28/03 08:00")],
    ),
    "a start that exists twice": (
        ics(_plain("20271031T023000", "20271031T080000")),
        [("31/10 02:30", "31/10 08:00")],
    ),
    # ── recurrence ───────────────────────────────────────────────────────────────────────────────────────────────
    "weekly over the spring change": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;INTERVAL=1;COUNT=3")),
        [
            ("19/03 08:00", "26/03 08:00"),
            ("26/03 08:00", "02/04 08:00"),
            ("02/04 08:00", "09/04 08:00"),
        ],
    ),
    "every third week": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;INTERVAL=3;COUNT=2")),
        [("19/03 08:00", "26/03 08:00"), ("09/04 08:00", "16/04 08:00")],
    ),
    "nights over the spring change": (
        ics(event(*_NIGHT, "RRULE:FREQ=DAILY;COUNT=2")),
        [("27/03 18:00", "28/03 08:00"), ("28/03 18:00", "29/03 08:00")],
    ),
    "until": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;UNTIL=20270326T070000Z")),
        [("19/03 08:00", "26/03 08:00"), ("26/03 08:00", "02/04 08:00")],
    ),
    "weekend by day": (
        ics(
            event(
                "DTSTART;TZID=Europe/Paris:20270306T000000",
                "DURATION:P1D",
                "RRULE:FREQ=WEEKLY;BYDAY=SA,SU;COUNT=3",
            )
        ),
        [
            ("06/03 00:00", "07/03 00:00"),
            ("07/03 00:00", "08/03 00:00"),
            ("13/03 00:00", "14/03 00:00"),
        ],
    ),
    "exdate": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;TZID=Europe/Paris:20270326T080000")),
        [("19/03 08:00", "26/03 08:00"), ("02/04 08:00", "09/04 08:00")],
    ),
    "exdate in utc": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20270326T070000Z")),
        [("19/03 08:00", "26/03 08:00"), ("02/04 08:00", "09/04 08:00")],
    ),
    "rdate": (
        ics(event(*_WEEK, "RDATE;TZID=Europe/Paris:20270430T080000")),
        [("19/03 08:00", "26/03 08:00"), ("30/04 08:00", "07/05 08:00")],
    ),
    "rdate as a period": (
        ics(event(*_WEEK, "RDATE;VALUE=PERIOD:20270430T060000Z/PT10H")),
        [("19/03 08:00", "26/03 08:00"), ("30/04 08:00", "30/04 18:00")],
    ),
    "one moved occurrence": (
        ics(
            event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=2"),
            event(
                "RECURRENCE-ID;TZID=Europe/Paris:20270326T080000",
                "DTSTART;TZID=Europe/Paris:20270326T120000",
                "DTEND;TZID=Europe/Paris:20270402T080000",
            ),
        ),
        [("19/03 08:00", "26/03 08:00"), ("26/03 12:00", "02/04 08:00")],
    ),
    "one cancelled occurrence": (
        ics(
            event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=2"),
            event(
                "RECURRENCE-ID;TZID=Europe/Paris:20270326T080000",
                "DTSTART;TZID=Europe/Paris:20270326T080000",
                "DTEND;TZID=Europe/Paris:20270402T080000",
                "STATUS:CANCELLED",
            ),
        ),
        [("19/03 08:00", "26/03 08:00")],
    ),
    "yearly": (
        ics(event("DTSTART;VALUE=DATE:20270101", "RRULE:FREQ=YEARLY;COUNT=2")),
        [("01/01 00:00", "02/01 00:00"), ("01/01 00:00", "02/01 00:00")],
    ),
    "last friday of the month": (
        ics(
            event(
                "DTSTART;TZID=Europe/Paris:20270326T180000",
                "DURATION:PT14H",
                "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=2",
            )
        ),
        [("26/03 18:00", "27/03 08:00"), ("30/04 18:00", "01/05 08:00")],
    ),
    "all day every week": (
        ics(
            event(
                "DTSTART;VALUE=DATE:20270322",
                "DTEND;VALUE=DATE:20270329",
                "RRULE:FREQ=WEEKLY;COUNT=2",
            )
        ),
        [("22/03 00:00", "29/03 00:00"), ("29/03 00:00", "05/04 00:00")],
    ),
    # ── form ─────────────────────────────────────────────────────────────────────────────────────────────────────
    "bare line feeds": (
        ics(_plain("20270301T080000", "20270308T080000"), newline="\n"),
        [("01/03 08:00", "08/03 08:00")],
    ),
    "byte order mark": (
        b"\xef\xbb\xbf" + ics(_plain("20270301T080000", "20270308T080000")),
        [("01/03 08:00", "08/03 08:00")],
    ),
    "folded lines": (
        ics(_plain("20270301T080000", "20270308T080000")).replace(
            b"SUMMARY:ast-technique", b"SUMMARY:ast-tech\r\n nique"
        ),
        [("01/03 08:00", "08/03 08:00")],
    ),
    "tasks and alarms beside": (
        ics(
            "BEGIN:VTODO\nUID:t\nSUMMARY:autre\nDUE:20270301T080000Z\nEND:VTODO",
            event(*_WEEK, "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT1H\nDESCRIPTION:x\nEND:VALARM"),
        ),
        [("19/03 08:00", "26/03 08:00")],
    ),
    "two calendars in one file": (
        ics(_plain("20270301T080000", "20270308T080000"))
        + ics(_plain("20270308T080000", "20270315T080000", uid="e2")),
        [("01/03 08:00", "08/03 08:00"), ("08/03 08:00", "15/03 08:00")],
    ),
    "unknown properties": (
        ics(event(*_WEEK, "X-MICROSOFT-CDO-BUSYSTATUS:BUSY", "CLASS:PUBLIC", "TRANSP:OPAQUE")),
        [("19/03 08:00", "26/03 08:00")],
    ),
    "latin-1 text": (
        ics(event(*_WEEK)).replace(b"PRODID", b"X-NOTE:\xe9t\xe9\r\nPRODID"),
        [("19/03 08:00", "26/03 08:00")],
    ),
    # ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────
    "empty": (b"", "n’a pas de « BEGIN:VCALENDAR »"),
    "not a calendar": (b"<html><body>404</body></html>", "n’a pas de « BEGIN:VCALENDAR »"),
    "a contact card": (
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:x\r\nEND:VCARD\r\n",
        "n’a pas de « BEGIN:VCALENDAR »",
    ),
    "binary": (bytes(range(256)) * 4, "pas du texte"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "pas du texte"),
    "no event": (ics(), "aucun événement"),
    "only tasks": (ics("BEGIN:VTODO\nUID:t\nSUMMARY:autre\nEND:VTODO"), "aucun événement"),
    "cut off": (ics(_plain("20270301T080000", "20270308T080000"))[:-20], "END"),
    "an end that closes nothing": (
        b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\nEND:VCALENDAR\r\n",
        "abîmé",
    ),
    "crossed ends": (b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\nEND:VEVENT\r\n", ""),
    "nested junk": (b"BEGIN:VEVENT\r\n" * 2000 + b"END:VEVENT\r\n" * 2000, "imbriqué"),
    "no start": (ics(event("DTEND:20270301T080000Z")), "n’a pas de début"),
    "a start that is no date": (ics(event("DTSTART:demain", "DURATION:PT1H")), "valeur illisible"),
    "the 31st of february": (
        ics(event("DTSTART:20270231T080000Z", "DURATION:PT1H")),
        "valeur illisible",
    ),
    "hour 25": (ics(event("DTSTART:20270301T250000Z", "DURATION:PT1H")), "valeur illisible"),
    "ends before it begins": (
        ics(_plain("20270308T080000", "20270301T080000")),
        "finit avant de commencer",
    ),
    "no length": (ics(_plain("20270308T080000", "20270308T080000")), "pas de durée"),
    "an hour without an end": (ics(event("DTSTART:20270301T080000Z")), "pas de durée"),
    "negative duration": (
        ics(event("DTSTART:20270301T080000Z", "DURATION:-PT1H")),
        "finit avant de commencer",
    ),
    "two years long": (ics(_plain("20270301T080000", "20290301T080000")), "plus d’un an"),
    "a day and an hour": (
        ics(event("DTSTART;VALUE=DATE:20270301", "DTEND:20270308T080000Z")),
        "commence par une date",
    ),
    "unknown zone": (
        ics(
            event(
                "DTSTART;TZID=Mars/Olympus:20270301T080000",
                "DTEND;TZID=Mars/Olympus:20270301T180000",
            )
        ),
        "fuseau horaire",
    ),
    "unknown frequency": (ics(event(*_WEEK, "RRULE:FREQ=SOMETIMES")), "RRULE"),
    "a rule without frequency": (ics(event(*_WEEK, "RRULE:COUNT=3")), ""),
    "every second for ever": (ics(event(*_WEEK, "RRULE:FREQ=SECONDLY")), "trop souvent"),
    "every minute for ever": (ics(event(*_WEEK, "RRULE:FREQ=MINUTELY;INTERVAL=5")), "trop souvent"),
    "every hour for ever": (ics(event(*_WEEK, "RRULE:FREQ=HOURLY")), "trop souvent"),
    "two starts": (ics(event(*_WEEK, "DTSTART:20270301T080000Z")), "deux fois"),
    "count zero": (ics(event(*_WEEK, "RRULE:FREQ=DAILY;COUNT=0")), ""),
    "a cancellation": (
        ics(_plain("20270301T080000", "20270308T080000"), head=("METHOD:CANCEL",)),
        "annule",
    ),
    "everything cancelled": (ics(event(*_WEEK, "STATUS:CANCELLED")), "aucune garde"),
    "year one": (ics(event("DTSTART:00010101T000000Z", "DURATION:PT1H")), ""),
    "year 9999": (ics(event("DTSTART:99991231T000000Z", "DURATION:PT1H")), "9999"),
    "exrule": (
        ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=3", "EXRULE:FREQ=WEEKLY;COUNT=1")),
        "EXRULE",
    ),
    "unreadable exdate": (ics(event(*_WEEK, "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:hier")), "EXDATE"),
    "too many shifts": (
        ics(
            event(
                "DTSTART:20270301T080000Z",
                "DURATION:PT1H",
                "RRULE:FREQ=HOURLY;UNTIL=20280301T080000Z",
            )
        ),
        "1500",
    ),
}

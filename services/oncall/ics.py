"""Expand an iCalendar file (RFC 5545) into occurrences, or refuse it in one French sentence.

Pure. `read_calendar` may take long for a hostile file: use `read_untrusted_calendar`
(services.oncall.ics_worker) for files from outside.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import icalendar
import recurring_ical_events

from schemas.base import DAY_MS, Instant
from services.oncall.schedule import PARIS

MAX_FILE_BYTES: Final = 5 << 20
MAX_COMPONENTS: Final = 5_000
MAX_DEPTH: Final = 6
MAX_SHIFTS: Final = 1_500
LOOKAHEAD_MS: Final = 400 * DAY_MS
"""Time for which a rule without an end is followed, ms."""
LOOKBACK_MS: Final = 31 * DAY_MS
"""Age in ms beyond which shifts are dropped if there are more than `MAX_SHIFTS`."""
_TOO_FREQUENT: Final = frozenset({"SECONDLY", "MINUTELY"})
_MAX_SHIFT_MS: Final = 366 * DAY_MS
_TIME_PROPERTIES: Final = (
    "DTSTART",
    "DTEND",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "RECURRENCE-ID",
    "EXRULE",
)
_MAX_SHOWN_CHARACTERS: Final = 80
_EMPTY_LIST: Final = re.compile(
    r"^(?:EXDATE|RDATE)[^:\r\n]*:[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE
)
"""Empty list of dates, as some programs write it."""
_DURATION_WITH_HOURS: Final = re.compile(
    r"^DURATION((?:;[^:\r\n]*)?):(\+?P(?:\d{1,6}D)?T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?[ \t]*\r?)$",
    re.IGNORECASE | re.MULTILINE,
)
"""Duration with hours, minutes or seconds beside its days.

The parser adds both up, so they are noted beside it.
"""
_EXACT_SECONDS: Final = "X-VIGIE-EXACT-S"
"""Parameter of such a duration, then property of its event: hours, minutes and seconds, in s."""
_QUOTED_VALUE: Final = re.compile(r"(?:got|format|duration|parts):\s*'?([^']*)'?", re.IGNORECASE)


TimeWindow = tuple[Instant, Instant]


class CalendarRefused(ValueError):
    """Signal a file that cannot be imported; the message is a French sentence for the sender."""


@dataclass(frozen=True, slots=True)
class CalendarOccurrence:
    """One event at one time, with the words that may name persons and roles."""

    start: Instant
    end: Instant
    title: str
    attendees: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name of the event in a refusal."""
        return f"« {self.title} » du {format_local_time(self.start)}"


@dataclass(frozen=True, slots=True)
class ImportedCalendar:
    """Content of a calendar file."""

    name: str | None
    occurrences: tuple[CalendarOccurrence, ...]
    """By ascending time."""


def format_local_time(at: Instant) -> str:
    """Format a local time: `28/03/2027 08:00`."""
    return datetime.fromtimestamp(at / 1000, PARIS).strftime("%d/%m/%Y %H:%M")


def read_calendar(
    content: bytes, now: Instant, window: TimeWindow | None = None
) -> ImportedCalendar:
    """Read the occurrences that touch `window`, by default all.

    Raises CalendarRefused.
    """
    text = _decode_text(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _parse_calendar(text, now, window)
    except CalendarRefused:
        raise
    except RecursionError:
        raise CalendarRefused(
            "Ce fichier est trop imbriqué pour être un calendrier d’astreinte."
        ) from None
    # Two libraries read foreign bytes: any error means that the file is unreadable.
    except Exception as error:
        raise CalendarRefused(
            f"Ce calendrier ne peut pas être lu ({type(error).__name__})."
        ) from error


def _decode_text(content: bytes) -> str:
    if len(content) > MAX_FILE_BYTES:
        size, most = len(content) / (1 << 20), MAX_FILE_BYTES >> 20
        raise CalendarRefused(
            f"Ce fichier est trop gros : {size:.1f} Mo, la limite est de {most} Mo."
        )
    for encoding in (
        ("utf-8-sig", "utf-16")
        if content[:2] in (b"\xff\xfe", b"\xfe\xff")
        else ("utf-8-sig", "cp1252")
    ):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise CalendarRefused(
            "Ce fichier n’est pas du texte : un calendrier iCalendar (.ics) est attendu."
        )
    if "\0" in text:
        raise CalendarRefused(
            "Ce fichier n’est pas du texte : un calendrier iCalendar (.ics) est attendu."
        )
    _check_shape(text)
    return _DURATION_WITH_HOURS.sub(_note_exact_seconds, _EMPTY_LIST.sub("", text))


def _note_exact_seconds(duration: re.Match[str]) -> str:
    hours, minutes, seconds = (int(n or 0) for n in duration.groups()[2:])
    return f"DURATION{duration[1]};{_EXACT_SECONDS}={hours * 3600 + minutes * 60 + seconds}:{duration[2]}"


def _check_shape(text: str) -> None:
    """Check size, nesting and pairing of BEGIN and END before a parser builds anything."""
    open_ones: list[str] = []
    components = 0
    for line in text.splitlines():
        head, _, name = line.partition(":")
        if head.upper() == "BEGIN":
            open_ones.append(name.strip().upper())
            components += 1
        elif head.upper() == "END" and (not open_ones or open_ones.pop() != name.strip().upper()):
            raise CalendarRefused(
                "Ce calendrier est abîmé : un « END » ne ferme pas ce qui est ouvert."
            )
        if len(open_ones) > MAX_DEPTH:
            raise CalendarRefused(
                "Ce fichier est trop imbriqué pour être un calendrier d’astreinte."
            )
        if components > MAX_COMPONENTS:
            raise CalendarRefused(
                f"Ce calendrier a plus de {MAX_COMPONENTS} éléments : exportez une période plus courte."
            )
    if components == 0:
        raise CalendarRefused(
            "Ce fichier n’est pas un calendrier iCalendar : il n’a pas de « BEGIN:VCALENDAR »."
        )
    if open_ones:
        raise CalendarRefused("Ce calendrier est coupé : il manque un « END ».")


def _parse_calendar(text: str, now: Instant, window: TimeWindow | None) -> ImportedCalendar:
    try:
        calendars = [
            c for c in icalendar.Calendar.from_ical(text, multiple=True) if c.name == "VCALENDAR"
        ]
    except ValueError as error:
        raise CalendarRefused(
            f"Ce calendrier ne peut pas être lu : {_describe_error(error)}."
        ) from error
    if not calendars:
        raise CalendarRefused(
            "Ce fichier n’est pas un calendrier iCalendar : il n’a pas de « BEGIN:VCALENDAR »."
        )
    if any(str(c.get("METHOD", "")).upper() == "CANCEL" for c in calendars):
        raise CalendarRefused(
            "Ce fichier annule des événements : retirez plutôt le calendrier, ou remplacez la "
            "garde."
        )
    events = [e for c in calendars for e in c.walk("VEVENT")]
    if not events:
        raise CalendarRefused("Ce calendrier ne contient aucun événement.")
    for event in events:
        _check_event(event)
        _extend_rule_to_end_of_day(event)
        _keep_exact_seconds(event)
    endless = {str(e.get("UID")) for e in events if _is_endless(e)}
    occurrences: list[CalendarOccurrence] = []
    for calendar in calendars:
        for part, (first, last) in _split_by_endlessness(calendar, endless, now, window):
            occurrences += _expand_events(part, first, last)
    if window is None and len(occurrences) > MAX_SHIFTS:
        occurrences = [o for o in occurrences if o.end >= now - LOOKBACK_MS]
    if len(occurrences) > MAX_SHIFTS:
        raise CalendarRefused(
            f"Ce calendrier donne {len(occurrences)} gardes, la limite est de {MAX_SHIFTS} : choisissez une période plus courte."
        )
    if not occurrences:
        window_text = (
            f" entre le {format_local_time(window[0])} et le {format_local_time(window[1])}"
            if window
            else ""
        )
        raise CalendarRefused(f"Ce calendrier n’a aucune garde{window_text}.")
    name = next(
        (str(c.get(key)) for c in calendars for key in ("NAME", "X-WR-CALNAME") if c.get(key)), None
    )
    ordered_occurrences = tuple(
        sorted(occurrences, key=lambda o: (o.start, o.end, o.title, o.attendees))
    )
    return ImportedCalendar(name, ordered_occurrences)


def _describe_error(error: ValueError) -> str:
    bad_value = _extract_value(str(error))
    return "une ligne est illisible" + (f", « {bad_value} »" if bad_value else "")


def _extract_value(complaint: str) -> str:
    """Extract the value from the error of a library, without its English."""
    quote_match = _QUOTED_VALUE.search(complaint)
    return quote_match[1].strip()[:_MAX_SHOWN_CHARACTERS] if quote_match is not None else ""


def _get_event_title(event: Any) -> str:
    title = str(event.get("SUMMARY") or "").strip() or "sans titre"
    return (
        title if len(title) <= _MAX_SHOWN_CHARACTERS else title[: _MAX_SHOWN_CHARACTERS - 1] + "…"
    )


def _build_refusal(event: Any, why: str) -> CalendarRefused:
    start = event.get("DTSTART")
    try:
        when = f" du {format_local_time(_to_instant(start.dt))}" if start is not None else ""
    except (AttributeError, ValueError, OverflowError, OSError):
        when = ""
    return CalendarRefused(f"L’événement « {_get_event_title(event)} »{when} {why}.")


def _check_event(event: Any) -> None:
    """Refuse times and rules that the libraries would accept or answer badly."""
    for name, what in event.errors:
        if str(name).upper() in _TIME_PROPERTIES:
            property_value = _extract_value(str(what))
            raise _build_refusal(
                event,
                f"a une valeur illisible : {name}"
                + (f", « {property_value} »" if property_value else ""),
            )
    if "DTSTART" not in event:
        raise _build_refusal(event, "n’a pas de début")
    for name in ("DTSTART", "DTEND", "DURATION", "RRULE", "RECURRENCE-ID"):
        if isinstance(event.get(name), list) and name != "RRULE":
            raise _build_refusal(event, f"a deux fois « {name} »")
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        if (property_value := event.get(name)) is not None:
            _check_time(event, property_value.dt, property_value.params.get("TZID"))
    for name in ("RDATE", "EXDATE"):
        for property_value in _as_list(event.get(name)):
            for one in property_value.dts:
                moment = one.dt[0] if isinstance(one.dt, tuple) else one.dt
                _check_time(event, moment, property_value.params.get("TZID"))
    _check_length(event)
    for rule in _as_list(event.get("RRULE")):
        _check_rule(event, rule)
    if "EXRULE" in event:
        raise _build_refusal(
            event,
            (
                "a une règle d’exclusion EXRULE, qui n’est plus du format : remplacez-la par des "
                "EXDATE"
            ),
        )


def _check_length(event: Any) -> None:
    start, end = event["DTSTART"].dt, event["DTEND"].dt if "DTEND" in event else None
    if end is not None and isinstance(end, datetime) != isinstance(start, datetime):
        raise _build_refusal(event, "commence par une date et finit par une heure, ou l’inverse")
    lasts = _to_instant(end) - _to_instant(start) if end is not None else None
    if "DURATION" in event:
        lasts = round(event["DURATION"].dt.total_seconds() * 1000)
    if lasts is not None and lasts < 0:
        raise _build_refusal(event, "finit avant de commencer")
    if (lasts == 0 and isinstance(start, datetime)) or (
        lasts is None and isinstance(start, datetime)
    ):
        raise _build_refusal(event, "n’a pas de durée")
    if lasts is not None and lasts > _MAX_SHIFT_MS:
        raise _build_refusal(event, "dure plus d’un an")


def _check_time(event: Any, moment: date | datetime, zone: str | None) -> None:
    if isinstance(moment, datetime) and moment.tzinfo is None and zone is not None:
        raise _build_refusal(
            event,
            f"nomme un fuseau horaire qui n’est ni connu ni décrit : « {zone[:_MAX_SHOWN_CHARACTERS]} »",
        )
    if not isinstance(moment, date):
        raise _build_refusal(event, "a une heure sans date")
    if not 1900 <= moment.year <= 2200:
        raise _build_refusal(event, f"est en {moment.year}")


def _check_rule(event: Any, rule: Any) -> None:
    frequency = str(next(iter(rule.get("FREQ", [])), "")).upper()
    count = next(iter(rule.get("COUNT", [])), None)
    interval = next(iter(rule.get("INTERVAL", [])), 1)
    if not frequency:
        raise _build_refusal(event, "a une règle de répétition sans fréquence")
    if (frequency in _TOO_FREQUENT or (frequency == "HOURLY" and "UNTIL" not in rule)) and (
        count is None or count > MAX_SHIFTS
    ):
        raise _build_refusal(event, f"se répète trop souvent pour une astreinte ({frequency})")
    if interval < 1 or (count is not None and count < 1):
        raise _build_refusal(
            event, "a une règle de répétition sans effet (INTERVAL ou COUNT inférieur à 1)"
        )


def _as_list(property_value: Any) -> list[Any]:
    if property_value is None:
        return []
    return property_value if isinstance(property_value, list) else [property_value]


def _extend_rule_to_end_of_day(event: Any) -> None:
    """Extend a rule that ends on a day to the end of that day, if its shifts have hours."""
    for rule in _as_list(event.get("RRULE")) if isinstance(event["DTSTART"].dt, datetime) else ():
        until = next(iter(rule.get("UNTIL", [])), None)
        if until is not None and not isinstance(until, datetime):
            rule["UNTIL"] = [datetime.combine(until, time(23, 59, 59), PARIS).astimezone(UTC)]


def _keep_exact_seconds(event: Any) -> None:
    """Copy the exact part of a duration to the event, because its occurrences lose the duration."""
    if "DURATION" in event and _EXACT_SECONDS in event["DURATION"].params:
        event[_EXACT_SECONDS] = event["DURATION"].params[_EXACT_SECONDS]


def _is_endless(event: Any) -> bool:
    return any("COUNT" not in rule and "UNTIL" not in rule for rule in _as_list(event.get("RRULE")))


def _split_by_endlessness(
    calendar: Any, endless: set[str], now: Instant, window: TimeWindow | None
) -> Iterator[tuple[Any, TimeWindow]]:
    """Yield the calendar, or its series with and without an end, each with its relevant window."""
    events = list(calendar.walk("VEVENT"))
    if window is not None:
        yield calendar, window
        return
    for without_end in (False, True):
        mine = [e for e in events if (str(e.get("UID")) in endless) is without_end]
        if mine:
            part = icalendar.Calendar()
            for event in mine:
                part.add_component(event)
            yield part, _endless_window(mine, now) if without_end else _whole_window(mine, now)


def _endless_window(events: list[Any], now: Instant) -> TimeWindow:
    starts = [_to_instant(e["DTSTART"].dt) for e in events]
    first = min(starts)
    return first if first > now - LOOKAHEAD_MS else now - LOOKBACK_MS, max(
        now, *starts
    ) + LOOKAHEAD_MS


def _whole_window(events: list[Any], now: Instant) -> TimeWindow:
    starts = [_to_instant(e["DTSTART"].dt) for e in events]
    entries = [
        _to_instant(d.dt[0] if isinstance(d.dt, tuple) else d.dt)
        for e in events
        for g in _as_list(e.get("RDATE"))
        for d in g.dts
    ]
    has_rules = any("RRULE" in e for e in events)
    event_times = [*starts, *entries]
    return min(event_times), max(event_times) + _MAX_SHIFT_MS if not has_rules else max(
        now, *event_times
    ) + 10 * LOOKAHEAD_MS


def _expand_events(calendar: Any, first: Instant, last: Instant) -> Iterator[CalendarOccurrence]:
    query = recurring_ical_events.of(calendar)
    span = (datetime.fromtimestamp(first / 1000, PARIS), datetime.fromtimestamp(last / 1000, PARIS))
    for event in query.between(*span):
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        start = _to_instant(event["DTSTART"].dt)
        end = _get_occurrence_end(event) if "DTEND" in event else start
        if end == start and not isinstance(event["DTSTART"].dt, datetime):
            end = _end_of_day_event(event["DTSTART"].dt)
        if start < end:
            yield CalendarOccurrence(
                start,
                end,
                _get_event_title(event),
                tuple(_list_attendees(event)),
                tuple(_list_categories(event)),
            )


def _get_occurrence_end(event: Any) -> Instant:
    """Return the end of an occurrence.

    Days of a duration are calendar days, also of 23 and 25 hours; its hours are exact hours (RFC
    5545 3.3.6).
    """
    ends, exact_s = event["DTEND"].dt, int(event.get(_EXACT_SECONDS, 0))
    return (
        _to_instant(ends - timedelta(seconds=exact_s)) + exact_s * 1000
        if isinstance(ends, datetime)
        else _to_instant(ends)
    )


def _end_of_day_event(start: date | datetime) -> Instant:
    """Return the end of an event with a day and no end: it lasts that day."""
    return _to_instant(start + timedelta(days=1))


def _to_instant(moment: date | datetime) -> Instant:
    """Convert a date or time to an instant.

    A day begins at local midnight; a time without zone is local.
    """
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), PARIS)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=PARIS)
    return int(moment.timestamp() * 1000)


def _list_attendees(event: Any) -> Iterator[str]:
    """Yield addresses or names of invited people, without rooms, groups and refusals."""
    for one in _as_list(event.get("ATTENDEE")):
        params = getattr(one, "params", {})
        if (
            str(params.get("CUTYPE", "INDIVIDUAL")).upper() in ("INDIVIDUAL", "UNKNOWN")
            and str(params.get("PARTSTAT", "")).upper() != "DECLINED"
        ):
            address = str(one)
            yield address[7:] if address[:7].lower() == "mailto:" else address


def _list_categories(event: Any) -> Iterator[str]:
    for one in _as_list(event.get("CATEGORIES")):
        yield from (str(c) for c in getattr(one, "cats", [one]))

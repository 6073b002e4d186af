"""RTE EcoWatt v5: tension of the power system and programmed cuts, by day and hour."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from services.watch.connector import (
    Bodies,
    FeedConnector,
    FeedKey,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Reading,
    build_end,
    build_post,
    is_outdated,
)
from services.watch.parsing import (
    PARIS,
    FeedDrift,
    Instant,
    StrictModel,
    check_clock,
    format_instant,
    get_paris_day,
    parse_json,
    validate_model,
    write_day,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "digital.iservices.rte-france.com"
TENSE, CUTS = 2, 3
ONE_HOUR: Final = timedelta(hours=1)
WORDS: Final = {1: "vert", 2: "orange", 3: "rouge"}


class _Hour(StrictModel):
    pas: int
    hvalue: int


class _Signal(StrictModel):
    GenerationFichier: Instant
    jour: Instant
    dvalue: int
    values: list[_Hour]


class RteEcowatt(FeedConnector):
    """Post orange as information and red as a cut to verify: EcoWatt does not say where."""

    spec = FeedSpec(
        name="rte-ecowatt",
        title="EcoWatt (RTE)",
        hosts=(HOST,),
        poll_s=1800,
        heartbeat_s=26 * 3600,
        stale_after_s=26 * 3600,
        speaks_as="rte",
        types=("info", "outage_power"),
        min_interval_s=900,
        key=FeedKey("Authorization", f"https://{HOST}/token/oauth/"),
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        return (FeedRequest("main", f"https://{HOST}/open_api/ecowatt/v5/signals"),)

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        signals = _list_signals(bodies)
        times = [validate_model(_Signal, raw).GenerationFichier for raw in signals]
        return max(times, default=None)

    def read(self, bodies: Bodies, look: Look) -> Reading:
        raws = _list_signals(bodies)
        if not raws:
            raise FeedDrift("signals: empty")
        reading = Reading(look.memory)
        signals: dict[date, _Signal] = {}
        twice: set[date] = set()
        for raw in raws:
            try:
                signal = _read_signal(raw)
                day = get_paris_day(signal.jour)
                if signals.setdefault(day, signal) != signal:
                    twice.add(day)
                    raise FeedDrift("jour: twice, with a difference")
            except FeedDrift as fault:
                reading.note_drift(fault)
        for day in twice:
            del signals[day]
        if not signals:
            return reading
        made_at = max(signal.GenerationFichier for signal in signals.values())
        check_clock(made_at, look.now)
        reading.edition, reading.edition_at = format_instant(made_at), made_at
        if is_outdated(made_at, look, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        first = "days" not in look.memory
        days: dict[str, dict[str, Any]] = look.memory.setdefault("days", {})
        for day, signal in sorted(signals.items()):
            self._judge(day, signal, days, reading, first=first)
        self._end_past(days, signals, reading)
        reading.word = ", ".join(
            f"{write_day(day)} {WORDS[signal.dvalue]}" for day, signal in sorted(signals.items())
        )
        return reading.settle()

    def _judge(
        self,
        day: date,
        signal: _Signal,
        days: dict[str, dict[str, Any]],
        reading: Reading,
        *,
        first: bool,
    ) -> None:
        """Compare a day with the reports about it. The first run says only programmed cuts."""
        state = days.setdefault(day.isoformat(), {"level": 1})
        level, before = signal.dvalue, state["level"]
        windows = _find_windows(signal, level)
        spans = [[format_instant(begin), format_instant(end)] for begin, end in windows]
        has_moved = level == CUTS and "alias" in state and state.get("spans") != spans
        if level == before and not has_moved:
            return
        local = signal.GenerationFichier.astimezone(PARIS)
        alias = f"ecowatt:{day.isoformat()}:{local:%Y%m%dT%H%M%S}"
        at, reference = format_instant(signal.GenerationFichier), state.get("alias")
        state["level"] = level
        if first and level == TENSE:
            return
        if level < before:
            if reference is None:
                return
            was = "outage_power" if before == CUTS else "info"
            headline = _write_fall(day, signal, before)
            reading.posts.append(build_end(alias, at, reference, headline, type=was))
            del state["alias"]
            return
        effective = [{"from": begin, "to": end} for begin, end in spans]
        if level == CUTS:
            post = build_post(
                alias,
                at,
                type="outage_power",
                severity=2,
                certainty="unconfirmed",
                msg_type="Update" if has_moved else None,
                references=[reference] if has_moved else None,
                effective=effective,
                headline=(
                    f"EcoWatt ROUGE le {write_day(day)}, {_write_hours(signal, level)} : "
                    "coupures programmées, zones non connues d’EcoWatt"
                ),
                plan_hint="PT-ELEC",
            )
        else:
            post = build_post(
                alias,
                at,
                type="info",
                severity=2,
                effective=effective,
                headline=(
                    f"EcoWatt orange le {write_day(day)}, {_write_hours(signal, level)} : "
                    "système électrique tendu"
                ),
            )
        reading.posts.append(post)
        state |= {"alias": alias, "spans": spans}

    def _end_past(
        self, days: dict[str, dict[str, Any]], signals: dict[date, _Signal], reading: Reading
    ) -> None:
        """Take back the report of a day that has passed and that a newer file no longer names."""
        assert reading.edition_at is not None
        today = get_paris_day(reading.edition_at)
        for name in sorted(days):
            day = date.fromisoformat(name)
            if day >= today or day in signals:
                continue
            state = days.pop(name)
            if "alias" in state:
                local = reading.edition_at.astimezone(PARIS)
                reading.posts.append(
                    build_end(
                        f"ecowatt:{name}:{local:%Y%m%dT%H%M%S}",
                        format_instant(reading.edition_at),
                        state["alias"],
                        f"EcoWatt {write_day(day)} : journée passée",
                        type="outage_power" if state["level"] == CUTS else "info",
                    )
                )


def _list_signals(bodies: Bodies) -> list[Any]:
    document = parse_json(bodies["main"].content)
    signals = document.get("signals") if isinstance(document, dict) else None
    if not isinstance(signals, list):
        raise FeedDrift("signals: no list")
    return signals


def _read_signal(raw: Any) -> _Signal:
    """Return one day. Raises FeedDrift for any value outside its list."""
    signal = validate_model(_Signal, raw)
    if signal.dvalue not in WORDS:
        raise FeedDrift("dvalue: out of range")
    if signal.jour.astimezone(PARIS).hour != 0:
        raise FeedDrift("jour: not midnight in Paris")
    steps = [hour.pas for hour in signal.values]
    local_steps = [hour.astimezone(PARIS).hour for hour in _list_hours(signal)]
    if steps not in (list(range(24)), list(range(len(local_steps))), local_steps):
        raise FeedDrift("values.pas: not the hours of that day")
    if any(hour.hvalue not in range(4) for hour in signal.values):
        raise FeedDrift("values.hvalue: out of range")
    if any(hour.hvalue > signal.dvalue for hour in signal.values):
        raise FeedDrift("values.hvalue: an hour is graver than its day")
    return signal


def _list_hours(signal: _Signal) -> list[datetime]:
    """Return the beginnings of the hours that pass on a day: 23 or 25 when clocks change."""
    next_day = get_paris_day(signal.jour) + timedelta(days=1)
    count = round((_find_midnight(next_day) - signal.jour) / ONE_HOUR)
    return [signal.jour + n * ONE_HOUR for n in range(count)]


def _find_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PARIS)


def _find_hours(signal: _Signal) -> list[datetime]:
    """Return when each value begins. On any day 24 values are the hours of the clock."""
    hours = _list_hours(signal)
    if len(signal.values) == len(hours):
        return hours
    day = get_paris_day(signal.jour)
    clock = [datetime(day.year, day.month, day.day, n, tzinfo=PARIS) for n in range(24)]
    return [time.astimezone(UTC) for time in clock]


def _find_windows(signal: _Signal, level: int) -> list[tuple[datetime, datetime]]:
    """Return the periods with at least this level: begin, end. Without hours, the whole day."""
    begins = _find_hours(signal)
    ends = [*begins[1:], _find_midnight(get_paris_day(signal.jour) + timedelta(days=1))]
    windows: list[tuple[datetime, datetime]] = []
    for hour, begin, end in zip(signal.values, begins, ends, strict=True):
        if hour.hvalue < level or begin == end:  # one hour of the clock is missing in March
            continue
        if windows and windows[-1][1] == begin:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((begin, end))
    return windows or [(begins[0], ends[-1])]


def _write_hours(signal: _Signal, level: int) -> str:
    """Write `9–11 h et 18–20 h`, by the clock of that day."""
    windows = _find_windows(signal, level)
    runs = [
        f"{begin.astimezone(PARIS).hour}–{end.astimezone(PARIS).hour or 24} h"
        for begin, end in windows
    ]
    return " et ".join(runs)


def _write_fall(day: date, signal: _Signal, before: int) -> str:
    word = f"EcoWatt {write_day(day)} : n’est plus {WORDS[before]}"
    if signal.dvalue == TENSE:
        return f"{word} (orange {_write_hours(signal, TENSE)})"
    return word


CONNECTOR = RteEcowatt()

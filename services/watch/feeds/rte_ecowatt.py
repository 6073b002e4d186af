"""RTE EcoWatt v5: tension of the power system and programmed cuts, by day and hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
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
    is_stale,
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

    def list_requests(self, watched: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
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
        for raw in raws:
            try:
                signal = _read_signal(raw)
                if get_paris_day(signal.jour) in signals:
                    raise FeedDrift("jour: twice")
                signals[get_paris_day(signal.jour)] = signal
            except FeedDrift as fault:
                reading.note_drift(fault)
        if not signals:
            return reading
        made = max(signal.GenerationFichier for signal in signals.values())
        check_clock(made, look.now)
        reading.edition, reading.edition_at = format_instant(made), made
        if is_stale(made, look.now, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        before = dict(look.memory)
        first = "days" not in look.memory
        days: dict[str, dict[str, Any]] = look.memory.setdefault("days", {})
        for day, signal in sorted(signals.items()):
            self._judge(day, signal, days, reading, first=first)
        self._end_past(days, signals, reading)
        reading.word = ", ".join(
            f"{write_day(day)} {WORDS[signal.dvalue]}" for day, signal in sorted(signals.items())
        )
        return reading.settle(before)

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
        moved = level == CUTS and "alias" in state and state.get("spans") != spans
        if level == before and not moved:
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
                msg_type="Update" if moved else None,
                references=[reference] if moved else None,
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
        """Take back cuts of a day that has passed and that a newer file no longer names."""
        assert reading.edition_at is not None
        today = get_paris_day(reading.edition_at)
        for name in sorted(days):
            day = date.fromisoformat(name)
            if day >= today or day in signals:
                continue
            state = days.pop(name)
            if state["level"] == CUTS and "alias" in state:
                local = reading.edition_at.astimezone(PARIS)
                reading.posts.append(
                    build_end(
                        f"ecowatt:{name}:{local:%Y%m%dT%H%M%S}",
                        format_instant(reading.edition_at),
                        state["alias"],
                        f"EcoWatt {write_day(day)} : journée passée",
                        type="outage_power",
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
    if steps != list(range(len(steps))) or len(steps) not in (23, 24, 25):
        raise FeedDrift("values.pas: not the hours of a day")
    if any(hour.hvalue not in range(4) for hour in signal.values):
        raise FeedDrift("values.hvalue: out of range")
    if len(steps) != 24 and len(steps) != _count_hours(signal):
        raise FeedDrift("values.pas: not the hours of that day")
    return signal


def _count_hours(signal: _Signal) -> int:
    next_day = get_paris_day(signal.jour) + timedelta(days=1)
    return round((_find_midnight(next_day) - signal.jour).total_seconds() / 3600)


def _find_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PARIS)


def _find_hour(signal: _Signal, step: int) -> datetime:
    """Return the beginning of an hour. A day of 23 or 25 values counts hours that pass."""
    if len(signal.values) != 24:
        return signal.jour + timedelta(hours=step)
    day = get_paris_day(signal.jour)
    if step == 24:
        return _find_midnight(day + timedelta(days=1))
    return datetime(day.year, day.month, day.day, step, tzinfo=PARIS)


def _list_runs(signal: _Signal, level: int) -> list[tuple[int, int]]:
    """Return the runs of hours with at least this level: first hour, hour after the last."""
    runs: list[tuple[int, int]] = []
    for hour in signal.values:
        if hour.hvalue < level:
            continue
        if runs and runs[-1][1] == hour.pas:
            runs[-1] = (runs[-1][0], hour.pas + 1)
        else:
            runs.append((hour.pas, hour.pas + 1))
    return runs or [(0, len(signal.values))]


def _find_windows(signal: _Signal, level: int) -> list[tuple[datetime, datetime]]:
    return [
        (_find_hour(signal, begin), _find_hour(signal, end))
        for begin, end in _list_runs(signal, level)
    ]


def _write_hours(signal: _Signal, level: int) -> str:
    runs = [f"{begin}–{end} h" for begin, end in _list_runs(signal, level)]
    return " et ".join(runs)


def _write_fall(day: date, signal: _Signal, before: int) -> str:
    word = f"EcoWatt {write_day(day)} : n’est plus {WORDS[before]}"
    if signal.dvalue == TENSE:
        return f"{word} (orange {_write_hours(signal, TENSE)})"
    return word


CONNECTOR = RteEcowatt()

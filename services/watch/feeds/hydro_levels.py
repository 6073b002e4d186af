"""River level at Paris-Austerlitz, from Vigicrues and from Hub'Eau.

Both publish the readings of one sensor, so a reading has the same alias from either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from services.watch.connector import (
    Bodies,
    FeedBody,
    FeedConnector,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Memory,
    Reading,
    build_post,
    is_stale,
    read_stored_time,
)
from services.watch.parsing import (
    BodyRefused,
    FeedDrift,
    StrictModel,
    check_clock,
    format_instant,
    parse_instant,
    parse_json,
    validate_model,
    write_metres,
    write_moment,
)
from services.watch.river_forecast import TOLD_FROM_M, RiverForecast, read_forecast
from services.watch.watched import WatchedTerritory

FORECAST: Final = "previsions"
VIGICRUES: Final = "www.vigicrues.gouv.fr"
HUBEAU: Final = "hubeau.eaufrance.fr"
LOWEST_M: Final = 0.1
HIGHEST_M: Final = 9.5
"""Bounds of a reading (1910: 8.62 m). Outside, it is another station or another unit."""
INFORMATION_BELOW_M: Final = 4.50
FLOOD_FROM_M: Final = 4.60
PREVIOUS_FROM_M: Final = 4.55
"""The reading before the first flood level must be at least this high."""
SEVERITIES: Final = ((6.20, 4), (5.60, 3), (0.0, 2))
THRESHOLDS_M: Final = (4.6, 5.0, 5.8, 6.6)
STEP_M: Final = 0.05
JUMP_M: Final = 0.5
JUMP_PERIOD: Final = timedelta(minutes=15)
WIDEST_JUMP_M: Final = 1.5
AGREEMENT_M: Final = 0.20
SOURCES_AGREE_M: Final = 0.10
RECENT: Final = timedelta(minutes=30)
DOUBTS_NEEDED: Final = 3
"""A doubtful reading counts once two more agree with it."""
MOST_HOLDS: Final = 2
INFORMATION_PERIOD: Final = timedelta(hours=3)
FLOOD_PERIOD: Final = timedelta(minutes=60)
FAST_FROM_M: Final = 4.0
FAST_POLL_S: Final = 300
KEPT: Final = 40
LONGEST_SERIES: Final = timedelta(days=45)
DOUBTFUL: Final = "Douteuse"


class _Serie(StrictModel):
    CdStationHydro: str
    GrdSerie: str
    ObssHydro: list[Any]


class _Observation(StrictModel):
    DtObsHydro: str | int
    ResObsHydro: float


class _Measurement(StrictModel):
    code_station: str
    grandeur_hydro: str
    date_obs: str
    resultat_obs: float
    libelle_qualification_obs: str | None = None


@dataclass(frozen=True, slots=True)
class _Level:
    at: datetime
    metres: float
    doubtful: bool = False


class HydroLevels(FeedConnector):
    """Post the newest reading that is plausible. A doubtful one waits for two that agree."""

    spec = FeedSpec(
        name="hydro-levels",
        title="Hauteur de la Seine à Austerlitz",
        hosts=(VIGICRUES, HUBEAU),
        poll_s=600,
        heartbeat_s=4 * 3600,
        stale_after_s=2 * 3600,
        speaks_as="vigicrues",
        types=("info", "flood_level"),
        max_bytes=2_000_000,
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:
        code = territory.station.code
        return (
            FeedRequest(
                "vigicrues",
                f"https://{VIGICRUES}/services/observations.json/index.php"
                f"?CdStationHydro={code}&GrdSerie=H&FormatDate=iso",
                optional=True,
            ),
            FeedRequest(
                "hubeau",
                f"https://{HUBEAU}/api/v2/hydrometrie/observations_tr"
                f"?code_entite={code}&grandeur_hydro=H&size=20&sort=desc",
                optional=True,
            ),
            FeedRequest(
                FORECAST,
                f"https://{VIGICRUES}/services/previsions.json/index.php"
                f"?CdStationHydro={code}&GrdSimul=H&FormatDate=iso",
                optional=True,
            ),
        )

    def find_companions(self, file: Path) -> Mapping[str, Path]:
        """Find `previsions-<name>.json` beside `<name>.json`."""
        path = file.parent / f"{FORECAST}-{file.stem}.json"
        return {FORECAST: path} if path.exists() else {}

    def name_body(self, content: bytes) -> str:
        if b'"Simul"' in content:
            return FORECAST
        return "vigicrues" if b'"Serie"' in content else "hubeau"

    def choose_poll(self, memory: Memory) -> int:
        high = memory.get("level") or 0.0
        return FAST_POLL_S if high >= FAST_FROM_M else self.spec.poll_s

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        times = []
        for name, body in _list_measured(bodies):
            code = _find_code(name, body.content)
            times += [level.at for level in _read_levels(name, body.content, code)]
        return max(times, default=None)

    def read(self, bodies: Bodies, look: Look) -> Reading:
        by_source, faults = self._read_sources(bodies, look)
        readings = _merge(by_source)
        newest = readings[-1]
        check_clock(newest.at, look.now)
        if newest.at - readings[0].at > LONGEST_SERIES:
            raise FeedDrift("a reading is much older than the others")
        reading = Reading(look.memory, edition=format_instant(newest.at), edition_at=newest.at)
        reading.faults += faults
        if is_stale(newest.at, look.now, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        accepted_readings = _accept_new(readings, look)
        if accepted_readings and accepted_readings[-1].at == newest.at:
            self._judge(accepted_readings[-1], _do_agree(by_source, newest.at), look, reading)
        forecast = self._judge_forecast(bodies, look, reading)
        reading.word = f"{write_metres(newest.metres)} le {write_moment(newest.at)}"
        if forecast is not None:
            reading.word += f", prévu {_write_band(forecast)}"
        return reading.settle()

    def _judge_forecast(self, bodies: Bodies, look: Look, reading: Reading) -> RiverForecast | None:
        """Post a new forecast of a high river, and return the one in force.

        One that is not understood is a fault, but no drift: the readings stand by themselves.
        """
        body, station = bodies.get(FORECAST), look.territory.station
        if body is None:
            return None
        try:
            forecast = read_forecast(body.content, station.code, look.now)
        except (BodyRefused, FeedDrift) as fault:
            reading.faults.append(str(fault))
            return None
        if forecast is None:
            return None
        made_at = format_instant(forecast.made_at)
        last_forecast = look.memory.get("forecast", "")
        high = forecast.highest.high >= TOLD_FROM_M
        if made_at > last_forecast and (high or look.memory.get("forecast_high")):
            reading.posts.append(
                build_post(
                    f"hydro:{station.code}:prev:{made_at}",
                    made_at,
                    type="info",
                    severity=1,
                    measure={
                        "name": "river_forecast",
                        "value": forecast.write_series(),
                        "unit": "m",
                        "object": station.object,
                    },
                    headline=f"{station.name}, prévision : {_write_band(forecast)}",
                )
            )
            look.memory["forecast"], look.memory["forecast_high"] = made_at, high
        return forecast if high else None

    def _read_sources(
        self, bodies: Bodies, look: Look
    ) -> tuple[dict[str, list[_Level]], list[str]]:
        """Read each source by itself. Raises the first fault if none can be read."""
        levels_by_source: dict[str, list[_Level]] = {}
        faults: list[BodyRefused | FeedDrift] = []
        for name, body in _list_measured(bodies):
            try:
                levels = _read_levels(name, body.content, look.territory.station.code)
                if not levels:
                    raise FeedDrift(f"{name}: no reading")
                levels_by_source[name] = levels
            except (BodyRefused, FeedDrift) as fault:
                faults.append(fault)
        if not levels_by_source:
            raise faults[0] if faults else BodyRefused("no body with readings")
        return levels_by_source, [str(fault) for fault in faults]

    def _judge(self, level: _Level, agree: bool, look: Look, reading: Reading) -> None:
        """Post a reading that was accepted, or hold one that crosses a threshold alone.

        Readings that come hourly never support each other: after two holds the next one counts.
        """
        memory, station = look.memory, look.territory.station
        metres = round(level.metres, 2)
        last_report = memory.get("said", {})
        kind = _choose_type(metres, memory.get("type", "info"))
        alias = f"hydro:{station.code}:H:{format_instant(level.at)}"
        measure = {"name": "river_level", "value": metres, "unit": "m", "object": station.object}
        headline = f"{station.name} {write_metres(metres)}"
        holds = memory.get("holds", 0)
        if holds < MOST_HOLDS and not _is_supported(level, agree, memory):
            memory["holds"] = holds + 1
            memory["held"] = [*_list_held_aliases(memory), alias]
            reading.posts.append(
                build_post(
                    alias,
                    format_instant(level.at),
                    type="flood_level",
                    severity=2,
                    certainty="unconfirmed",
                    measure=measure,
                    headline=f"{headline}, à confirmer",
                )
            )
            return
        memory["level"], memory["holds"] = metres, 0
        held_aliases = _list_held_aliases(memory)
        memory.pop("held", None)
        is_due = _is_due(level, metres, kind, last_report, memory.get("type"))
        if not is_due and not held_aliases:
            return
        severity = 1 if kind == "info" else next(s for m, s in SEVERITIES if metres >= m)
        reading.posts.append(
            build_post(
                alias,
                format_instant(level.at),
                type=kind,
                severity=severity,
                msg_type="Update" if held_aliases else None,
                references=held_aliases,
                measure=measure,
                headline=headline,
            )
        )
        memory["said"] = {"at": format_instant(level.at), "metres": metres}
        memory["type"] = kind


def _list_held_aliases(memory: Memory) -> list[str]:
    """Return the readings that wait for another one: the next that counts answers for all."""
    aliases: str | list[str] = memory.get("held", [])
    return [aliases] if isinstance(aliases, str) else aliases


def _list_measured(bodies: Bodies) -> list[tuple[str, FeedBody]]:
    """Return the bodies with readings."""
    return [(name, body) for name, body in bodies.items() if name != FORECAST]


def _write_band(forecast: RiverForecast) -> str:
    """Write `5,40–5,90 m le 26/01 à 8 h`: the band at its highest."""
    top = forecast.highest
    low = write_metres(top.low).removesuffix(" m")
    return f"{low}–{write_metres(top.high)} le {write_moment(top.at)}"


def _find_code(name: str, content: bytes) -> str:
    """Return the station that a body is about."""
    document = parse_json(content)
    if name == "vigicrues":
        return str(document["Serie"]["CdStationHydro"])
    return str(next(row["code_station"] for row in document["data"] if row["code_station"]))


def _read_levels(name: str, content: bytes, code: str) -> list[_Level]:
    """Return the readings of one source, oldest first. Raises BodyRefused, FeedDrift."""
    document = parse_json(content)
    if not isinstance(document, dict):
        raise FeedDrift(f"{name}: no object")
    read_levels = _read_series if name == "vigicrues" else _read_rows
    levels = sorted(read_levels(document, code), key=lambda level: level.at)
    for level in levels:
        if not LOWEST_M <= level.metres <= HIGHEST_M:
            raise FeedDrift(f"{name}: a level is out of range")
    return levels


def _read_series(document: dict[str, Any], code: str) -> list[_Level]:
    serie = validate_model(_Serie, document.get("Serie"))
    if serie.CdStationHydro != code or serie.GrdSerie != "H":
        raise FeedDrift("Serie: another station or quantity")
    levels = []
    for item in serie.ObssHydro:
        pair = item if isinstance(item, list) else None
        raw = {"DtObsHydro": pair[0], "ResObsHydro": pair[1]} if pair and len(pair) == 2 else item
        observation = validate_model(_Observation, raw)
        levels.append(_Level(_read_time(observation.DtObsHydro), observation.ResObsHydro))
    return levels


def _read_rows(document: dict[str, Any], code: str) -> list[_Level]:
    rows = document.get("data")
    if not isinstance(rows, list):
        raise FeedDrift("data: no list")
    levels = []
    for raw in rows:
        if isinstance(raw, dict) and raw.get("code_station", "") is None:
            continue  # the copy of the same reading under the site
        row = validate_model(_Measurement, raw)
        if row.code_station != code or row.grandeur_hydro != "H":
            raise FeedDrift("data: another station or quantity")
        doubtful = row.libelle_qualification_obs == DOUBTFUL
        levels.append(_Level(_read_time(row.date_obs), row.resultat_obs / 1000, doubtful))
    return levels


def _read_time(raw_time: str | int) -> datetime:
    """Return a time, ISO or in epoch milliseconds. Raises FeedDrift."""
    try:
        if isinstance(raw_time, int):
            return datetime.fromtimestamp(raw_time / 1000, UTC)
        return parse_instant(raw_time)
    except (ValueError, OverflowError, OSError) as error:
        raise FeedDrift("time of a reading: unreadable") from error


def _merge(by_source: dict[str, list[_Level]]) -> list[_Level]:
    """Join the sources: one reading per instant, doubtful if any source says so or they differ."""
    levels_by_time: dict[datetime, _Level] = {}
    for levels in by_source.values():
        for level in levels:
            earlier_level = levels_by_time.get(level.at, level)
            differs = abs(earlier_level.metres - level.metres) > SOURCES_AGREE_M
            doubtful = earlier_level.doubtful or level.doubtful or differs
            levels_by_time[level.at] = _Level(level.at, earlier_level.metres, doubtful)
    return [levels_by_time[at] for at in sorted(levels_by_time)]


def _do_agree(by_source: dict[str, list[_Level]], at: datetime) -> bool:
    """Return whether two sources have this reading, within 0.10 m.

    A row that a source repeats is no second source.
    """
    readings = [
        (name, x.metres) for name, levels in by_source.items() for x in levels if x.at == at
    ]
    values = [metres for _, metres in readings]
    sources = {name for name, _ in readings}
    return len(sources) > 1 and max(values) - min(values) <= SOURCES_AGREE_M


def _accept_new(readings: list[_Level], look: Look) -> list[_Level]:
    """Accept readings in their order, those after the last one; return the accepted ones."""
    memory = look.memory
    last = memory.get("last")
    after = read_stored_time(last) if last else None
    new = [r for r in readings if after is None or r.at > after]
    accepted_readings = []
    for level in new:
        if _is_plausible(level, memory):
            memory["doubts"] = []
        elif not _settles_doubt(level, memory):
            continue
        memory["accepted"] = [
            *memory.get("accepted", []),
            [format_instant(level.at), level.metres],
        ][-KEPT:]
        accepted_readings.append(level)
    if new:
        memory["last"] = format_instant(new[-1].at)
    return accepted_readings


def _is_plausible(level: _Level, memory: Memory) -> bool:
    if level.doubtful:
        return False
    last_accepted = memory.get("accepted")
    if not last_accepted:
        return True
    at, metres = last_accepted[-1]
    periods = max(1.0, (level.at - read_stored_time(at)) / JUMP_PERIOD)
    return bool(abs(level.metres - metres) <= min(JUMP_M * periods, WIDEST_JUMP_M))


def _settles_doubt(level: _Level, memory: Memory) -> bool:
    """Add a doubtful reading; return True once it is the third that agree."""
    doubts = memory.get("doubts", [])
    if doubts:
        at, metres = doubts[-1]
        close = abs(level.metres - metres) <= AGREEMENT_M
        if not close or level.at - read_stored_time(at) > RECENT:
            doubts = []
    doubts = [*doubts, [format_instant(level.at), level.metres]]
    is_settled = len(doubts) >= DOUBTS_NEEDED
    memory["doubts"] = [] if is_settled else doubts
    return is_settled


def _is_supported(level: _Level, agree: bool, memory: Memory) -> bool:
    """Return whether the reading may cross the thresholds that lie below it."""
    last_level = memory.get("level")
    crossed_steps = [
        t for t in THRESHOLDS_M if level.metres >= t and (last_level is None or last_level < t)
    ]
    if not crossed_steps:
        return True
    if agree and FLOOD_FROM_M not in crossed_steps:
        return True
    for at, metres in reversed(memory["accepted"][:-1]):
        if level.at - read_stored_time(at) > RECENT:
            break
        high = FLOOD_FROM_M not in crossed_steps or metres >= PREVIOUS_FROM_M
        if abs(level.metres - metres) <= AGREEMENT_M and high:
            return True
    return False


def _choose_type(metres: float, before: str) -> str:
    if metres >= FLOOD_FROM_M:
        return "flood_level"
    return "info" if metres < INFORMATION_BELOW_M else before


def _is_due(
    level: _Level, metres: float, kind: str, last_report: dict[str, Any], before: str | None
) -> bool:
    """Return whether the reading is news: another step, another type, or its period is over."""
    if not last_report or kind != before:
        return True
    period = INFORMATION_PERIOD if kind == "info" else FLOOD_PERIOD
    has_moved = abs(metres - last_report["metres"]) >= STEP_M - 1e-9
    return has_moved or level.at - read_stored_time(last_report["at"]) >= period


CONNECTOR = HydroLevels()

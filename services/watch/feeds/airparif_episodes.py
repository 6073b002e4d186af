"""Airparif: episodes of air pollution, anchored on the dates of the daily indices."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

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
)
from services.watch.parsing import (
    PARIS,
    FeedDrift,
    StrictModel,
    format_instant,
    get_paris_day,
    parse_json,
    validate_model,
    write_day,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "api.airparif.fr"
KEPT_ALIASES: Final = 60
ONE_DAY: Final = timedelta(days=1)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
SEVERITY: Final = {"INFORMATION": 2, "ALERTE": 3}
WORDS: Final = {"INFORMATION": "seuil d’information", "ALERTE": "seuil d’alerte"}


class _Pollutant(StrictModel):
    nom: Literal["NO2", "O3", "PM10", "PM2.5", "PM25", "SO2"]
    niveau: Literal["-", "INFORMATION", "ALERTE"]


class _Day(StrictModel):
    actif: bool
    polluants: list[dict[str, Any]]


class _EpisodeDocument(StrictModel):
    actif: bool
    jour: _Day
    demain: _Day


class AirparifEpisodes(FeedConnector):
    """Post episodes as information. The body has no date, so the companion must be fresh."""

    spec = FeedSpec(
        name="airparif-episodes",
        title="Épisodes de pollution Airparif",
        hosts=(HOST,),
        poll_s=3600,
        heartbeat_s=26 * 3600,
        stale_after_s=0,
        speaks_as="airparif",
        types=("info",),
        min_interval_s=600,
        max_bytes=1_000_000,
        key=FeedKey("X-Api-Key"),
        hours=(9, 20),
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:
        return (
            FeedRequest("main", f"https://{HOST}/episodes/en-cours-et-prevus"),
            FeedRequest(
                "indices", f"https://{HOST}/indices/prevision/commune?insee={territory.air_commune}"
            ),
        )

    def find_companions(self, file: Path) -> Mapping[str, Path]:
        """Find the indices beside a saved body: its own, else the fresh ones, else any."""
        fitting_names = [f"indices-{file.stem}.json", "indices-fresh.json"]
        index_files = [
            file.parent / name for name in fitting_names if (file.parent / name).exists()
        ]
        index_files += sorted(file.parent.glob("indices-*.json"))
        return {"indices": index_files[0]} if index_files else {}

    def read(self, bodies: Bodies, look: Look) -> Reading:
        document = validate_model(_EpisodeDocument, parse_json(bodies["main"].content))
        first = _read_first_day(bodies, look.territory.air_commune)
        today = get_paris_day(look.now)
        reading = Reading(look.memory, edition=first.isoformat())
        reading.edition_at = datetime(first.year, first.month, first.day, tzinfo=PARIS)
        if first < today:
            reading.verdict = FetchVerdict.STALE
            return reading
        if document.actif != (document.jour.actif or document.demain.actif):
            raise FeedDrift("actif: differs from its days")
        days = {today: document.jour, today + ONE_DAY: document.demain}
        if document.actif and first > today + ONE_DAY:
            raise FeedDrift("indices: do not reach these days")
        self._judge(days, look, reading)
        reading.word = _write_word(look)
        return reading.settle()

    def _judge(self, days: dict[date, _Day], look: Look, reading: Reading) -> None:
        """Compare the levels of both days with the episodes that stand."""
        report_states: dict[str, dict[str, Any]] = look.memory.setdefault("said", {})
        tomorrow = max(days)
        levels: dict[str, dict[date, str]] = {}
        for day, model in days.items():
            day_levels = _read_levels(model, reading)
            if model.actif != any(level != "-" for level in day_levels.values()):
                raise FeedDrift("actif: differs from the levels of its day")
            for name, level in day_levels.items():
                levels.setdefault(name, {})[day] = level
        for name, by_day in sorted(levels.items()):
            active = {day: level for day, level in by_day.items() if level != "-"}
            if active:
                self._say(name, active, tomorrow, look, reading)
            elif name in report_states and len(by_day) == len(days):
                _end(name, look, reading)

    def _say(
        self, name: str, active: dict[date, str], tomorrow: date, look: Look, reading: Reading
    ) -> None:
        report_states = look.memory["said"]
        state = report_states.get(name)
        level = max(active.values(), key=lambda word: SEVERITY[word])
        first = min(active)
        if state is not None and state["level"] == level and state["last"] >= str(max(active)):
            return
        begin = state["first"] if state else first.isoformat()
        alias = _choose_alias(f"airparif:{begin}:{name}:{level}", look)
        when = (
            f"prévu demain {write_day(first)}"
            if first == tomorrow
            else f"dépassé aujourd’hui {write_day(first)}"
        )
        reading.posts.append(
            build_post(
                alias,
                format_instant(look.now),
                type="info",
                severity=SEVERITY[level],
                msg_type="Update" if state else None,
                references=[state["alias"]] if state else None,
                phenomenon="pollution-air",
                effective=[
                    {"from": _format_midnight(day), "to": _format_midnight(day + ONE_DAY)}
                    for day in sorted(active)
                ],
                headline=f"Airparif : {WORDS[level]} {when} ({name}), Île-de-France",
            )
        )
        report_states[name] = {
            "alias": alias,
            "level": level,
            "first": begin,
            "last": max(active).isoformat(),
        }


def _read_levels(day: _Day, reading: Reading) -> dict[str, str]:
    """Return the level of each pollutant that is understood; another one is drift."""
    level_by_pollutant: dict[str, str] = {}
    twice: set[str] = set()
    for raw in day.polluants:
        try:
            pollutant = validate_model(_Pollutant, raw)
            if level_by_pollutant.setdefault(pollutant.nom, pollutant.niveau) != pollutant.niveau:
                twice.add(pollutant.nom)
                raise FeedDrift(f"{pollutant.nom}: two levels")
        except FeedDrift as fault:
            reading.note_drift(fault)
    return {name: level for name, level in level_by_pollutant.items() if name not in twice}


def _choose_alias(base: str, look: Look) -> str:
    """Return an alias that no report had before: a level may come back in one episode."""
    aliases: list[str] = look.memory.get("aliases", [])
    alias, count = base, 1
    while alias in aliases:
        count += 1
        alias = f"{base}:{count}"
    look.memory["aliases"] = [*aliases, alias][-KEPT_ALIASES:]
    return alias


def _end(name: str, look: Look, reading: Reading) -> None:
    state = look.memory["said"].pop(name)
    reading.posts.append(
        build_end(
            _choose_alias(f"airparif:{state['first']}:{name}:end", look),
            format_instant(look.now),
            state["alias"],
            f"Airparif : fin de l’épisode ({name}), Île-de-France",
            type="info",
            phenomenon="pollution-air",
        )
    )


def _read_first_day(bodies: Bodies, commune: str) -> date:
    """Return the first day of the indices. Raises FeedDrift, BodyRefused."""
    body = bodies.get("indices")
    document = parse_json(body.content) if body is not None else None
    rows = document.get(commune) if isinstance(document, dict) else None
    first = rows[0] if isinstance(rows, list) and rows else None
    first_date = first.get("date") if isinstance(first, dict) else None
    if not isinstance(first_date, str) or not _DATE.fullmatch(first_date):
        raise FeedDrift("indices: no first date")
    try:
        return date.fromisoformat(first_date)
    except ValueError as error:
        raise FeedDrift("indices: no first date") from error


def _format_midnight(day: date) -> str:
    return format_instant(datetime(day.year, day.month, day.day, tzinfo=PARIS))


def _write_word(look: Look) -> str:
    report_states = look.memory.get("said", {})
    words = [f"{WORDS[state['level']]} ({name})" for name, state in sorted(report_states.items())]
    return ", ".join(words) or "aucun épisode"


CONNECTOR = AirparifEpisodes()

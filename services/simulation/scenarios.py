"""Read exercises from `scenarios.yaml` and `scenario_events.csv` (scenarios/README.md).

Each event becomes a body for `POST /api/v1/reports`.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from services.intake.reports.native import parse_report
from services.runtime.http.problems import ProblemError
from services.territory.source import YamlInvalid, find_line, read_yaml

PARIS = ZoneInfo("Europe/Paris")
COLUMNS = (
    "scenario_id",
    "event_id",
    "occurred_at",
    "reported_at",
    "source",
    "event_type",
    "site_id",
    "commune_insee",
    "severity",
    "status",
    "msg_type",
    "refs",
    "capacity_lost_pct",
    "expected_duration_h",
    "persons_concerned",
    "title",
    "details",
    "plan_hint",
    "affected_activities",
    "measure",
    "value",
    "value_of",
    "unit",
    "scope",
    "object",
    "zone",
    "phenomenon",
    "colour",
    "effective",
    "lifts",
)
"""Required columns of `scenario_events.csv`; all others are ignored."""


REPORTS_PATH: Final = "/api/v1/reports"


class ScenarioUnknown(ValueError):
    """Signal an unknown scenario id; the message lists the scenarios of the folder."""


class ScenarioInvalid(ValueError):
    """Signal a file that cannot be played; the message names the line and the reason."""


@dataclass(frozen=True, slots=True)
class Event:
    """One report of a scenario, or one request to another path."""

    id: str
    reported_at: int
    """Time when it is posted (`recorded_at`), ms UTC."""
    body: dict[str, Any]
    """Native report body; `references` still hold event ids."""
    path: str = REPORTS_PATH
    """Route of the API that takes it."""


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One action that the player asks for."""

    id: str
    at: int
    """Time when it is asked for, ms UTC."""
    body: dict[str, Any]
    """Body for `POST /api/v1/actions`, without the incident."""
    about: str | None = None
    """Id of an event; the action belongs to its incident."""


@dataclass(frozen=True, slots=True)
class ExerciseDaysOff:
    """Public holidays and school holidays as ISO dates; spans include both ends."""

    holidays: tuple[str, ...] = ()
    school_holidays: tuple[tuple[str, str], ...] = ()


NO_DAYS_OFF: Final = ExerciseDaysOff()


@dataclass(frozen=True, slots=True)
class Scenario:
    id: str
    title: str
    start: int
    """T+0, ms UTC."""
    events: tuple[Event, ...]
    calendar: ExerciseDaysOff | None = NO_DAYS_OFF
    """Days off of the realm; None: those of the territory.

    Expectations of shipped scenarios assume none.
    """
    actions: tuple[PlannedAction, ...] = ()

    @property
    def opening(self) -> int:
        """Start of the realm's clock, ms UTC: T+0, or the first report if it is earlier."""
        return min([self.start, *(e.reported_at for e in self.events)])

    @property
    def end(self) -> int:
        """Time of the last event or action, ms UTC."""
        times = (*(e.reported_at for e in self.events), *(a.at for a in self.actions))
        return max(times, default=self.start)


def _to_iso(local: str) -> str:
    return datetime.fromisoformat(local).replace(tzinfo=PARIS).isoformat()


def _to_instant(local: str) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=PARIS).timestamp() * 1000)


def _split_cell(cell: str) -> list[str]:
    return [part for part in cell.split("|") if part]


def _read_measure(row: dict[str, str]) -> dict[str, Any] | None:
    if not (row["measure"] or row["object"] or row["scope"]):
        return None
    value: Any = row["value"] or None
    if value is not None and row["unit"] == "bool":
        value = value == "1"
    elif value is not None and row["unit"] != "datetime":
        value = float(value)
    elif value is not None:
        value = _to_iso(value)
    measure = {
        "name": row["measure"] or None,
        "value": value,
        "value_of": float(row["value_of"]) if row["value_of"] else None,
        "unit": row["unit"] or None,
        "scope": row["scope"] or None,
        "object": row["object"] or None,
    }
    return {k: v for k, v in measure.items() if v is not None}


def _read_window(interval: str) -> dict[str, str]:
    start, _, end = interval.partition("/")
    return {"from": _to_iso(start)} | ({"to": _to_iso(end)} if end else {})


def build_report_body(row: dict[str, str]) -> dict[str, Any]:
    """Build the native report body of one CSV row.

    Ignores columns for the author (`noise`).
    """
    measure = _read_measure(row)
    body: dict[str, Any] = {
        "alias": row["event_id"],
        "site_id": row["site_id"],
        "commune": row["commune_insee"],
        "zone": _split_cell(row["zone"]),
        "type": row["event_type"],
        "severity": int(row["severity"]),
        "certainty": row["status"],
        "msg_type": row["msg_type"],
        "references": _split_cell(row["refs"]),
        "occurred_at": _to_iso(row["occurred_at"]),
        "recorded_at": _to_iso(row["reported_at"]),
        "headline": row["title"],
        "description": row["details"],
        "plan_hint": row["plan_hint"],
        "affected_activities": _split_cell(row["affected_activities"]),
        "measure": measure,
        "phenomenon": row["phenomenon"],
        "colour": row["colour"],
        "effective": [_read_window(w) for w in _split_cell(row["effective"])],
        "lifts": _split_cell(row["lifts"]),
        "source": {"name": row["source"]},
    }
    for key in ("capacity_lost_pct", "expected_duration_h"):
        if row[key]:
            body[key] = float(row[key])
    if row["persons_concerned"]:
        body["persons_concerned"] = int(row["persons_concerned"])
    if row["status"] == "rumour":
        body["rumour"] = True
    if measure and measure.get("name") == "estimated_end":
        body["estimated_end"] = measure["value"]
    return {k: v for k, v in body.items() if v not in ("", None, [])}


def load_scenario(folder: Path, scenario_id: str) -> Scenario:
    """Load a scenario with its events in the order of `reported_at`.

    Raises ScenarioUnknown, ScenarioInvalid and OSError.
    """
    heads_by_id = {head.id: head for head in list_scenarios(folder)}
    if scenario_id not in heads_by_id:
        raise ScenarioUnknown(
            f"no scenario {scenario_id!r} in {folder}; there are {', '.join(sorted(heads_by_id))}"
        )
    events = list(_read_events(folder / "scenario_events.csv", scenario_id))
    events.sort(key=lambda e: e.reported_at)  # Stable sort: equal times keep the file's order.
    return Scenario(
        scenario_id, heads_by_id[scenario_id].title, heads_by_id[scenario_id].start, tuple(events)
    )


@dataclass(frozen=True, slots=True)
class ScenarioHead:
    """A scenario without its events."""

    id: str
    title: str
    begins: str
    """Start as written in the file, local time."""
    start: int


def list_scenarios(folder: Path) -> list[ScenarioHead]:
    """List the scenarios of a folder.

    Raises ScenarioInvalid and OSError.
    """
    path = folder / "scenarios.yaml"
    try:
        document = read_yaml(path)
    except YamlInvalid as error:
        raise ScenarioInvalid(f"{path}:{error.line}: {error}") from error
    entries = document.get("scenarios") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ScenarioInvalid(f"{path}: no list `scenarios:`")
    return [_read_head(path, entries, n) for n in range(len(entries))]


def _read_head(path: Path, entries: Any, n: int) -> ScenarioHead:
    one, where = entries[n], f"{path}:{find_line(entries, n)}"
    if not isinstance(one, dict) or (
        missing := [key for key in ("id", "titre", "debut") if key not in one]
    ):
        raise ScenarioInvalid(
            f"{where}: a scenario needs {', '.join(missing) if isinstance(one, dict) else 'id, titre, debut'}"
        )
    begins = str(one["debut"])
    try:
        return ScenarioHead(str(one["id"]), str(one["titre"]), begins, _to_instant(begins))
    except (ValueError, OverflowError):
        raise ScenarioInvalid(f"{where}: debut: {begins[:40]!r} is no time") from None


def _read_events(path: Path, scenario_id: str) -> Iterator[Event]:
    lines: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ScenarioInvalid(f"{path}:1: no column {', '.join(missing)}")
            for row in reader:
                if row["scenario_id"] != scenario_id:
                    continue
                event = _read_event(f"{path}:{reader.line_num}", row)
                if event.id in lines:
                    raise ScenarioInvalid(
                        f"{path}:{reader.line_num}: event {event.id} stands in line {lines[event.id]} already"
                    )
                lines[event.id] = reader.line_num
                yield event
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioInvalid(f"{path}: {error}") from error


def _read_event(where: str, row: dict[str, str]) -> Event:
    if None in row or None in row.values():
        raise ScenarioInvalid(f"{where}: wrong number of columns")
    try:
        event = Event(row["event_id"], _to_instant(row["reported_at"]), build_report_body(row))
        parse_report(orjson.dumps(event.body))
    except ProblemError as error:
        fault_text = "; ".join(
            f"{fault.field}: {fault.message['en']}" for fault in error.problem.faults
        )
        raise ScenarioInvalid(f"{where}: {fault_text or error}") from error
    except (
        ValueError,
        OverflowError,
        TypeError,
    ) as error:  # orjson raises TypeError for a lone surrogate.
        raise ScenarioInvalid(f"{where}: {error}") from error
    return event

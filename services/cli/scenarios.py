"""Exercises as files: `scenarios.yaml` and `scenario_events.csv` (scenarios/README.md) → bodies for `POST /api/v1/reports`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

PARIS = ZoneInfo("Europe/Paris")


class ScenarioUnknown(ValueError):
    """No scenario of that id in the folder; the message lists those that exist."""


@dataclass(frozen=True, slots=True)
class Event:
    """One report of a scenario, in the order in which it is learnt."""

    id: str
    reported_at: int
    """ms UTC: when it is posted, the `recorded_at` of the report."""
    body: dict[str, Any]
    """Native report body; `references` still hold event ids."""


@dataclass(frozen=True, slots=True)
class Scenario:
    id: str
    title: str
    start: int
    """T+0, ms UTC."""
    events: tuple[Event, ...]

    @property
    def opening(self) -> int:
        """When the realm's clock must start: T+0, or the first report if something was learnt before, ms UTC."""
        return min([self.start, *(e.reported_at for e in self.events)])

    @property
    def end(self) -> int:
        """Time of the last event, ms UTC."""
        return max((e.reported_at for e in self.events), default=self.start)


def _iso(local: str) -> str:
    return datetime.fromisoformat(local).replace(tzinfo=PARIS).isoformat()


def _ms(local: str) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=PARIS).timestamp() * 1000)


def _several(cell: str) -> list[str]:
    return [part for part in cell.split("|") if part]


def _measure(row: dict[str, str]) -> dict[str, Any] | None:
    if not (row["measure"] or row["object"] or row["scope"]):
        return None
    value: Any = row["value"] or None
    if value is not None and row["unit"] == "bool":
        value = value == "1"
    elif value is not None and row["unit"] != "datetime":
        value = float(value)
    elif value is not None:
        value = _iso(value)
    measure = {
        "name": row["measure"] or None, "value": value, "value_of": float(row["value_of"]) if row["value_of"] else None,
        "unit": row["unit"] or None, "scope": row["scope"] or None, "object": row["object"] or None,
    }  # fmt: skip
    return {k: v for k, v in measure.items() if v is not None}


def _window(interval: str) -> dict[str, str]:
    start, _, end = interval.partition("/")
    return {"from": _iso(start)} | ({"to": _iso(end)} if end else {})


def report_body(row: dict[str, str]) -> dict[str, Any]:
    """The native body of one CSV row. The author's columns (`noise`) stay behind."""
    measure = _measure(row)
    body: dict[str, Any] = {
        "alias": row["event_id"], "site_id": row["site_id"], "commune": row["commune_insee"], "zone": _several(row["zone"]),
        "type": row["event_type"], "severity": int(row["severity"]), "certainty": row["status"], "msg_type": row["msg_type"],
        "references": _several(row["refs"]), "occurred_at": _iso(row["occurred_at"]), "recorded_at": _iso(row["reported_at"]),
        "headline": row["title"], "description": row["details"], "plan_hint": row["plan_hint"],
        "affected_activities": _several(row["affected_activities"]), "measure": measure, "phenomenon": row["phenomenon"],
        "colour": row["colour"], "effective": [_window(w) for w in _several(row["effective"])], "lifts": _several(row["lifts"]),
        "source": {"name": row["source"]},
    }  # fmt: skip
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
    """The scenario with its events in reported order. Raises ScenarioUnknown, OSError."""
    document = YAML(typ="safe").load((folder / "scenarios.yaml").read_text(encoding="utf-8"))
    known = {s["id"]: s for s in document["scenarios"]}
    if scenario_id not in known:
        raise ScenarioUnknown(f"no scenario {scenario_id!r} in {folder}; there are {', '.join(sorted(known))}")
    with (folder / "scenario_events.csv").open(encoding="utf-8", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["scenario_id"] == scenario_id]
    rows.sort(key=lambda r: float(r["reported_offset_min"]))  # stable: the file's order among equals
    events = tuple(Event(r["event_id"], _ms(r["reported_at"]), report_body(r)) for r in rows)
    head = known[scenario_id]
    return Scenario(scenario_id, head["titre"], _ms(str(head["debut"])), events)

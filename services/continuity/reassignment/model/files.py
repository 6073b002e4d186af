"""Read and write situations and proposals as CSV and JSON. Each error names file and place."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from schemas.catalogue.strategies import needs_outside_help
from services.continuity.reassignment.model.explain import LineReason, StaffGap
from services.continuity.reassignment.model.moves import (
    DISPLACED,
    RELEASABLE,
    TELEWORK,
    LineKey,
    PreviousLine,
)
from services.continuity.reassignment.model.plan import ProposedLine, SolvedProposal
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables

SITUATION_COLUMNS = ("situation", "site_id", "staff_pct", "seat_pct", "host_ok")
LEFT_COLUMN = "left_min"
"""Optional column: minutes until the announced return of the site. Rule D80."""
MOST_AGENTS = 1_000_000
"""Most agents of a line; no territory has as many."""
SUPPLY_NAMES = {DISPLACED: "displaced", RELEASABLE: "spare"}


class FileInvalid(ValueError):
    """Error: a file cannot be read; the message says where."""


def read_situation(rows: Path, meta: Path, name: str, tables: ReferenceTables) -> ModelSituation:
    """Read a situation: its sites from a CSV file, its hours and switches from a JSON file.

    Raise FileInvalid.
    """
    documents = _read_json(meta)
    matching_documents = (
        [d for d in documents if isinstance(d, dict) and d.get("id") == name]
        if isinstance(documents, list)
        else []
    )
    if not matching_documents:
        raise FileInvalid(f"{meta}: no entry with the id {name!r}")
    try:
        elapsed_min, transit, tele = (
            matching_documents[0][key] for key in ("elapsed_h", "transit", "tele")
        )
    except KeyError as missing:
        raise FileInvalid(f"{meta}: {name} has no {missing}") from None
    if (
        not isinstance(elapsed_min, int | float)
        or not isfinite(elapsed_min)
        or transit not in (0, 1)
        or tele not in (0, 1)
    ):
        raise FileInvalid(f"{meta}: {name}: elapsed_h is a number, transit and tele are 0 or 1")
    return ModelSituation(_read_sites(rows, name, tables), elapsed_min, bool(transit), bool(tele))


def _read_sites(path: Path, name: str, tables: ReferenceTables) -> dict[str, SiteCapacityState]:
    """Read the sites; a byte order mark, which spreadsheets write, is skipped."""
    sites: dict[str, SiteCapacityState] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(SITUATION_COLUMNS) <= set(reader.fieldnames or ()):
                raise FileInvalid(f"{path}: the columns are {', '.join(SITUATION_COLUMNS)}")
            for row in reader:
                if row["situation"] == name:
                    sites[row["site_id"]] = _read_site_state(
                        path, reader.line_num, row, sites, tables
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileInvalid(f"{path}: {error}") from error
    return sites


def _read_site_state(
    path: Path,
    line: int,
    row: Mapping[str, str],
    sites: Mapping[str, SiteCapacityState],
    tables: ReferenceTables,
) -> SiteCapacityState:
    site = row["site_id"]
    if site not in tables.site_index:
        raise FileInvalid(f"{path}:{line}: no site {site!r} in the territory")
    if site in sites:
        raise FileInvalid(f"{path}:{line}: site {site!r} stands twice")
    try:
        staff, seats, host = int(row["staff_pct"]), int(row["seat_pct"]), int(row["host_ok"])
        left_min = int(row[LEFT_COLUMN]) if row.get(LEFT_COLUMN) else None
    except (TypeError, ValueError):
        raise FileInvalid(
            f"{path}:{line}: staff_pct, seat_pct and host_ok are whole numbers, "
            "left_min too where it is given"
        ) from None
    if not (0 <= staff <= 100 and 0 <= seats <= 100 and host in (0, 1)):
        raise FileInvalid(f"{path}:{line}: percentages are 0 to 100, host_ok is 0 or 1")
    return SiteCapacityState(staff, seats, bool(host), left_min=left_min)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileInvalid(f"{path}: {error}") from error


def read_previous(path: Path, tables: ReferenceTables) -> tuple[PreviousLine, ...]:
    """Read the lines of an earlier proposal, from its JSON or from a list of lines.

    A line counts as approved unless its `state` is `proposed`.
    """
    document = _read_json(path)
    lines = document.get("lines") if isinstance(document, dict) else document
    if not isinstance(lines, list):
        raise FileInvalid(f'{path}: a list of lines, or a document with "lines"')
    return tuple(_read_previous_line(path, n, line, tables) for n, line in enumerate(lines))


def _read_previous_line(path: Path, n: int, line: Any, tables: ReferenceTables) -> PreviousLine:
    try:
        source, target, count = line["from"], line["to"], line["count"]
        supply = next(short for short, word in SUPPLY_NAMES.items() if word == line["supply"])
        own = bool(line.get("own_work", False))
        need = ("", "", "") if own else (target["need_site"], target["activity"], target["metier"])
        key = LineKey(
            source["site"],
            source["activity"],
            source["metier"],
            supply,
            need[0],
            need[1],
            need[2],
            target["site"] or TELEWORK,
        )
    except (KeyError, TypeError, AttributeError, StopIteration):
        raise FileInvalid(
            f"{path}: line {n + 1} is not a line of a proposal (from, to, supply, count)"
        ) from None
    if not all(isinstance(part, str) for part in key.fields()):
        raise FileInvalid(f"{path}: line {n + 1}: sites, activities and métiers are words")
    if (
        not isinstance(count, int)
        or not 0 <= count <= MOST_AGENTS
        or line.get("state", "approved") not in ("approved", "proposed")
    ):
        raise FileInvalid(
            f"{path}: line {n + 1}: count is a whole number up to {MOST_AGENTS}, "
            "state is approved or proposed"
        )
    if (key.site, key.activity, key.metier) not in tables.cell_index:
        raise FileInvalid(
            f"{path}: line {n + 1}: no agents of {key.metier} for {key.activity} "
            f"at {key.site} in the territory"
        )
    return PreviousLine(key, count, line.get("state", "approved") == "approved")


def dump_line(line: ProposedLine) -> dict[str, Any]:
    """Convert a line to JSON; `to.site` is null for telework."""
    key = line.key
    target = (
        (key.site, key.activity, key.metier)
        if key.own_work
        else (key.need_site, key.need_activity, key.need_metier)
    )
    return {
        "from": {"site": key.site, "activity": key.activity, "metier": key.metier},
        "to": {
            "site": None if key.place == TELEWORK else key.place,
            "activity": target[1],
            "metier": target[2],
            "need_site": target[0],
        },
        "metier": target[2],
        "supply": SUPPLY_NAMES[key.supply],
        "own_work": key.own_work,
        "criticality": line.criticality,
        "count": line.count,
        "approved": line.approved_count,
        "score": {"tenths": line.tenths, "minutes": line.minutes, "co2_g": line.grams},
        "why": [_dump_reason(r) for r in line.why],
    }


def _dump_reason(reason: LineReason) -> dict[str, Any]:
    return {"code": reason.code, **reason.values}


def _dump_gap(gap: StaffGap, strategies: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return asdict(gap) | {
        "why": [_dump_reason(r) for r in gap.why],
        "outside_help": select_outside_help(strategies.get(gap.activity, ())),
    }


def select_outside_help(strategies: tuple[str, ...]) -> list[str]:
    """Select strategies that need outside help: suppliers and mutual aid."""
    return [strategy for strategy in strategies if needs_outside_help(strategy)]


def dump_proposal(
    proposal: SolvedProposal, strategies: Mapping[str, tuple[str, ...]], seconds: float
) -> dict[str, Any]:
    """Convert a proposal to JSON; `strategies` maps each activity to its strategies."""
    return {
        "objective": dict(proposal.objective),
        "solve_s": round(seconds, 3),
        "proved": proposal.open_level is None,
        "open_level": proposal.open_level,
        "bound": proposal.best_bound,
        "demand": proposal.demand,
        "displaced": proposal.displaced_count,
        "groups": proposal.groups,
        "lines": [dump_line(line) for line in proposal.lines],
        "unmet": [_dump_gap(gap, strategies) for gap in proposal.unmet],
        "idle": [_dump_gap(gap, strategies) for gap in proposal.idle],
        "suspended": [_dump_gap(gap, strategies) for gap in proposal.staff_gaps],
        "void": [
            {"line": list(k.key.fields()), "approved": k.before, "stay": k.count}
            for k in proposal.kept_lines
            if k.count < k.before
        ],
    }

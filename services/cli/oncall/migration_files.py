"""Read exports of other products, and write a migration into the folder of a territory."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from schemas.oncall import Rotation
from services.cli.data.trial import load_checked_territory
from services.console.directory.contact_file import COLUMNS
from services.oncall.migration.mapping import MigratedPerson, MigratedStep, Migration
from services.territory import TerritoryInvalid
from services.territory.source import SourceProblem

MAX_FILE_BYTES: Final = 20 << 20
_ROTATIONS, _REACHABILITY, _RULES = "rotations.csv", "reachability.csv", "escalade.yaml"
_ROTATION_COLUMNS: Final = (
    "role",
    "scope",
    "place",
    "persons",
    "every_days",
    "hand_off",
    "since",
    "until",
    "from",
    "to",
)
_CHANNELS: Final = "app, sms, voix"
_LAST_WAIT_MIN: Final = 10


class ExportInvalid(ValueError):
    """Signal a file that is no export; the message names it."""


def read_objects(
    paths: Sequence[Path], list_objects: Callable[[Any], Iterator[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Read the objects of JSON files, and of the JSON files in folders. Raises ExportInvalid."""
    files = [
        file
        for path in paths
        for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])
    ]
    objects: list[dict[str, Any]] = []
    for file in files:
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ExportInvalid(f"{file} : plus de {MAX_FILE_BYTES >> 20} Mo")
            objects += list_objects(json.loads(file.read_bytes()))
        except OSError as error:
            raise ExportInvalid(f"{file} : {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            if isinstance(error, ExportInvalid):
                raise
            raise ExportInvalid(f"{file} : ce n’est pas du JSON lisible") from error
    return objects


def write_migration(folder: Path, migration: Migration) -> str:
    """Write rotations, channels and steps to a folder and return the version that they make.

    Rotations of the same post and steps of the same level are replaced, so that a second run
    changes nothing. The folder stays unchanged on an error. Raises TerritoryInvalid.
    """
    before = {
        name: (folder / name).read_bytes() if (folder / name).exists() else None
        for name in (_ROTATIONS, _REACHABILITY, _RULES)
    }
    try:
        _write_rotations(folder / _ROTATIONS, migration.rotations)
        _write_channels(folder / _REACHABILITY, migration)
        for level, steps in migration.ladders.items():
            _write_steps(folder / _RULES, level, steps)
        return load_checked_territory(folder).version
    except (TerritoryInvalid, OSError):
        for name, content in before.items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
            else:
                (folder / name).write_bytes(content)
        raise


def write_people(file: Path, people: Sequence[MigratedPerson]) -> None:
    """Write people as a file for `vigie directory import`, readable to its owner alone.

    Raises OSError, also for a file that exists.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for one in people:
            for channel, address in one.points or (("", ""),):
                writer.writerow((one.person, one.name, "fr", channel, address, ""))


def _read_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of a table; an absent one is empty."""
    if not file.exists():
        return [], []
    reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
    rows = list(reader)
    return list(reader.fieldnames or ()), rows


def _write_rows(file: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(text.getvalue(), encoding="utf-8", newline="")


def _write_rotations(file: Path, rotations: Sequence[Rotation]) -> None:
    if not rotations:
        return
    columns, rows = _read_rows(file)
    posts = {(r.role, r.scope or "", r.place.value) for r in rotations}
    other_rows = [
        row for row in rows if (row["role"], row["scope"], row["place"] or "holder") not in posts
    ]
    _write_rows(file, columns or _ROTATION_COLUMNS, other_rows + [_build_row(r) for r in rotations])


def _build_row(rotation: Rotation) -> dict[str, str]:
    start, end = rotation.hours or (None, None)
    return {
        "role": rotation.role,
        "scope": rotation.scope or "",
        "place": rotation.place.value,
        "persons": "|".join(rotation.persons),
        "every_days": str(rotation.every_days),
        "hand_off": _format_clock(rotation.hand_off_min),
        "since": rotation.since.isoformat(),
        "until": rotation.until.isoformat() if rotation.until else "",
        "from": _format_clock(start),
        "to": _format_clock(end),
    }


def _format_clock(minute: int | None) -> str:
    return "" if minute is None else f"{minute // 60:02d}:{minute % 60:02d}"


def _write_channels(file: Path, migration: Migration) -> None:
    """Append the people of the rotations that have no row yet."""
    columns, rows = _read_rows(file)
    existing_people = {row["person"] for row in rows}
    points = {one.person: one.points for one in migration.people}
    new_lines = [
        {"person": person, "channels": "|".join(dict.fromkeys(c for c, _ in points[person]))}
        for person in migration.list_holders()
        if person not in existing_people and points.get(person)
    ]
    if new_lines:
        empty = dict.fromkeys(columns, "")
        _write_rows(file, columns or ("person", "channels"), rows + [empty | r for r in new_lines])


def _write_steps(file: Path, level: str, steps: Sequence[MigratedStep]) -> None:
    """Replace the steps of a level in `vagues`. Raises TerritoryInvalid."""
    waits = [later.after_min - one.after_min for one, later in pairwise(steps)]
    lines = [
        f"    - {{vague: {n}, apres_min: {one.after_min - steps[0].after_min}, "
        f"qui: [{', '.join(one.roles)}], canaux: [{_CHANNELS}], accuse_min: {wait}, "
        "reponses_attendues: 1}\n"
        for n, (one, wait) in enumerate(zip(steps, [*waits, _LAST_WAIT_MIN], strict=True), 1)
    ]
    text = file.read_bytes().decode("utf-8")
    block = re.compile(
        rf"(^vagues:[^\n]*\n(?:[ ]+[^\n]*\n)*?  {level}:[^\n]*\n)(?:    -[^\n]*\n)+", re.MULTILINE
    )
    new_text, replacements = block.subn(lambda match: match[1] + "".join(lines), text, count=1)
    if not replacements:
        raise TerritoryInvalid(
            [SourceProblem(_RULES, 0, f"no steps of {level} that could be replaced")]
        )
    file.write_bytes(new_text.encode("utf-8"))

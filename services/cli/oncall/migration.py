"""`vigie oncall migrate`: take over schedules and escalations of another product.

It reads an export and writes the migration into the folder of a territory.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from schemas.oncall import Rotation
from services.cli.client import print_error
from services.cli.data.trial import load_checked_territory
from services.cli.lists import AsJson
from services.cli.output import open_console, print_json
from services.console.directory.contact_file import COLUMNS
from services.oncall.migration import grafana_oncall, opsgenie
from services.oncall.migration.forms import FormInvalid
from services.oncall.migration.mapping import (
    Mapping,
    MappingInvalid,
    MigratedPerson,
    MigratedStep,
    Migration,
    Outcome,
    read_mapping,
)
from services.territory import TerritoryInvalid
from services.territory.source import SourceProblem, YamlInvalid, read_yaml

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
_COLOURS: Final = {Outcome.TAKEN: "green", Outcome.CHANGED: "yellow", Outcome.LEFT: "red"}


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
        except FormInvalid as error:
            raise ExportInvalid(f"{file} : {error}") from error
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


class Product(StrEnum):
    """Product that the export comes from."""

    OPSGENIE = "opsgenie"
    GRAFANA_ONCALL = "grafana-oncall"


_READERS: Final[dict[Product, Callable[[Any], Iterator[dict[str, Any]]]]] = {
    Product.OPSGENIE: opsgenie.list_objects,
    Product.GRAFANA_ONCALL: grafana_oncall.list_objects,
}
_CONVERTERS: Final[dict[Product, Callable[[Iterable[dict[str, Any]], Mapping], Migration]]] = {
    Product.OPSGENIE: opsgenie.convert_opsgenie,
    Product.GRAFANA_ONCALL: grafana_oncall.convert_grafana,
}


def migrate(
    product: Annotated[Product, typer.Argument(help="Product that the export comes from")],
    files: Annotated[
        list[Path], typer.Argument(help="JSON files of the export, or folders of them")
    ],
    mapping: Annotated[
        Path | None,
        typer.Option("--map", help="YAML file: roles of schedules, levels of escalations, tokens"),
    ] = None,
    folder: Annotated[Path, typer.Option("--territory", help="Folder to write to")] = Path(
        "territories/92"
    ),
    people: Annotated[
        Path | None,
        typer.Option(help="New file for the people, to give to `vigie directory import`"),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write to the folder; without it, only show")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take over schedules and escalations of another product, into the folder of a territory.

    Shows one line per object: taken over, to check, or left, with the reason. Nothing is in force
    before another person approves the version (`vigie territory propose`).
    """
    try:
        migration = _CONVERTERS[product](
            read_objects(files, _READERS[product]),
            read_mapping(read_yaml(mapping) or {}) if mapping else Mapping(),
        )
    except (ExportInvalid, MappingInvalid, YamlInvalid) as error:
        raise print_error(str(error)) from error
    except OSError as error:
        raise print_error(f"{error.filename} : {error.strerror}") from error
    version = _write(folder, people, migration) if write else None
    if as_json:
        print_json(_build_document(migration, version))
        return
    _show_remarks(migration)
    if version is None:
        typer.secho("Rien n’a été écrit (--write écrit dans le dossier)", fg="yellow")
    else:
        typer.secho(
            f"{folder} : version {version}. Relisez, puis : vigie territory propose {folder}",
            fg="green",
        )


def _write(folder: Path, people: Path | None, migration: Migration) -> str:
    """Write the migration and return the version; on an error nothing. Raises typer.Exit."""
    try:
        if people is not None:
            write_people(people, migration.people)
        try:
            return write_migration(folder, migration)
        except (TerritoryInvalid, OSError):
            if people is not None:
                people.unlink()
            raise
    except TerritoryInvalid as error:
        for problem in error.problems:
            typer.secho(f"{folder}/{problem}", err=True, fg="red")
        raise print_error(f"{folder} est inchangé") from error
    except OSError as error:
        raise print_error(f"{error.filename} : {error.strerror}") from error


def _show_remarks(migration: Migration) -> None:
    table = Table(title="Reprise")
    for column in ("Objet", "Résultat", "Raison"):
        table.add_column(column, overflow="fold")
    for remark in migration.remarks:
        outcome = Text(remark.outcome.value, style=_COLOURS[remark.outcome])
        table.add_row(remark.subject, outcome, remark.reason)
    open_console().print(table)
    counts = Counter(remark.outcome for remark in migration.remarks)
    typer.echo(", ".join(f"{outcome.value} : {counts[outcome]}" for outcome in Outcome))


def _build_document(migration: Migration, version: str | None) -> dict[str, Any]:
    return {
        "version": version,
        "rotations": [rotation.model_dump(mode="json") for rotation in migration.rotations],
        "ladders": {
            level: [{"after_min": s.after_min, "roles": list(s.roles)} for s in steps]
            for level, steps in migration.ladders.items()
        },
        "people": [one.person for one in migration.people],
        "items": [
            {"object": r.subject, "outcome": r.outcome.name.lower(), "reason": r.reason}
            for r in migration.remarks
        ],
    }

"""`vigie oncall migrate`: take over schedules and escalations of another product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from services.cli.client import print_error
from services.cli.crisis.read import AsJson
from services.cli.oncall.migration_files import (
    ExportInvalid,
    read_objects,
    write_migration,
    write_people,
)
from services.cli.output import open_console, print_json
from services.oncall.migration import grafana_oncall, opsgenie
from services.oncall.migration.mapping import (
    Mapping,
    MappingInvalid,
    Migration,
    Outcome,
    read_mapping,
)
from services.territory import TerritoryInvalid
from services.territory.source import YamlInvalid, read_yaml


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
_COLOURS: Final = {Outcome.TAKEN: "green", Outcome.CHANGED: "yellow", Outcome.LEFT: "red"}


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
    """Write the migration and return the version. Raises typer.Exit."""
    try:
        if people is not None:
            write_people(people, migration.people)
        return write_migration(folder, migration)
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
        colour = _COLOURS[remark.outcome]
        table.add_row(remark.subject, f"[{colour}]{remark.outcome.value}[/]", remark.reason)
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

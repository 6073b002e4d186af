"""`vigie scenario check|list`: check exercise files and list the shipped ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import print_error
from services.cli.output import IDENTIFIER, print_rows
from services.runtime.kafka.clients import format_time
from services.runtime.process.settings import SHIPPED, Settings
from services.simulation.exercise_file import ExerciseInvalid, load_exercise
from services.simulation.scenarios import ScenarioInvalid, list_scenarios
from services.territory import TerritoryInvalid, load_territory

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Exercises: check an exercise file, list the shipped scenarios.",
)


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(
            help="Exercise in one YAML file (docs/how-to/write-an-exercise.md)",
            exists=True,
            dir_okay=False,
        ),
    ],
    territory: Annotated[
        Path | None,
        typer.Option(
            help="Reference data to check against; default: the installed one",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Check an exercise file; name each fault with file and line.

    Play it with `vigie play FILE`.
    """
    try:
        exercise = load_exercise(file, load_territory(territory or Settings().territory))
    except ExerciseInvalid as exc:
        for problem in exc.problems:
            typer.secho(str(problem), err=True, fg="red")
        typer.secho(f"{len(exc.problems)} problem{'' if len(exc.problems) == 1 else 's'}", err=True)
        raise typer.Exit(1) from exc
    except (TerritoryInvalid, OSError) as exc:
        raise print_error(exc) from exc
    scenario = exercise.scenario
    minutes = (scenario.end - scenario.opening) / 60_000
    typer.echo(
        f"{scenario.id}, {scenario.title}: {len(scenario.events)} events over {minutes:g} min, {len(exercise.responders)} lines of responders, "
        f"{len(exercise.checks)} expectations. vigie play {file}"
    )


@app.command("list")
def list_(
    scenarios: Annotated[
        Path, typer.Option(help="Folder with scenarios.yaml", exists=True, file_okay=False)
    ] = SHIPPED / "scenarios",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """List the shipped exercises."""
    try:
        found = list_scenarios(scenarios)
    except (OSError, ScenarioInvalid) as exc:
        raise print_error(exc) from exc
    if as_json:
        typer.echo(
            json.dumps(
                {"items": [asdict(one) | {"start": format_time(one.start)} for one in found]},
                ensure_ascii=False,
            )
        )
    else:
        print_rows(
            "Exercices fournis",
            (IDENTIFIER, "Titre", "Début"),
            [(one.id, one.title, one.begins) for one in found],
        )

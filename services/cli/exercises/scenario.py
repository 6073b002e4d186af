"""`vigie scenario …`: check exercise files, list the shipped ones, write short drills."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import call_api, print_error
from services.cli.lists import AsJson, AsOf, Realm, build_query, format_local_time
from services.cli.output import IDENTIFIER, create_group, print_json, print_rows, strip_controls
from services.runtime.kafka.clients import format_time
from services.runtime.process.settings import SHIPPED, Settings
from services.simulation.exercise_file import ExerciseInvalid, load_exercise
from services.simulation.scenarios import ScenarioInvalid, list_scenarios
from services.territory import TerritoryInvalid, load_territory

app = create_group("Exercises: check a file, list the shipped scenarios, write short drills.")


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
        scenario_heads = list_scenarios(scenarios)
    except (OSError, ScenarioInvalid) as exc:
        raise print_error(exc) from exc
    if as_json:
        print_json(
            {"items": [asdict(one) | {"start": format_time(one.start)} for one in scenario_heads]}
        )
    else:
        print_rows(
            "Exercices fournis",
            (IDENTIFIER, "Titre", "Début"),
            [(one.id, one.title, one.begins) for one in scenario_heads],
        )


@app.command()
def drills(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """List the plans to exercise, the weakest first."""
    answer = call_api("GET", f"/api/v1/exercise-proposals{build_query(realm, as_of)}")
    if as_json:
        print_json(answer)
        return
    print_rows(
        "Plans à exercer",
        (
            "Plan",
            "Contacts non joints",
            "Perte la plus lourde",
            "S’arrêtent",
            "Fiches jamais faites",
        ),
        [
            (
                one["plan"],
                f"{one['unreached_pct']:.0f} %",
                strip_controls(one["resource_name"]),
                str(one["stopped"] or ""),
                str(one["cards"]),
            )
            for one in answer["items"]
        ],
    )


@app.command()
def drill(
    plan: Annotated[str, typer.Argument(help="Plan to exercise (`vigie scenario drills`)")],
    seed: Annotated[int, typer.Option(min=1, max=9999, help="Another seed, another drill")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output", dir_okay=False)
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
) -> None:
    """Write a drill of 15 minutes for one plan as an exercise file.

    Play it with `vigie play FILE`.
    """
    query = build_query(realm, as_of, seed=seed)
    proposal = call_api("GET", f"/api/v1/exercise-proposals/{quote(plan, safe='')}{query}")
    if out is None:
        typer.echo(proposal["file"], nl=False)
        return
    try:
        out.write_text(proposal["file"], encoding="utf-8")
    except OSError as error:
        raise print_error(error) from error
    typer.echo(f"{proposal['title']} : vigie play {out}")


@app.command()
def progress(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Show the time to the first useful action of each role over closed exercises."""
    answer = call_api("GET", f"/api/v1/exercise-progress{build_query(realm, as_of)}")
    if as_json:
        print_json(answer)
        return
    print_rows(
        f"Première action utile, exercices terminés depuis un an\u00a0: {answer['exercises']}",
        ("Rôle", "Exercice", "Le", "Minutes"),
        [
            (
                strip_controls(one["name"]),
                strip_controls(run["title"]),
                format_local_time(run["opened_at"]),
                f"{run['minutes']:g}",
            )
            for one in answer["items"]
            for run in one["runs"]
        ],
    )

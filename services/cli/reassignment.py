"""`vigie reassignment solve`: a situation given as tables, solved outside any realm."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.cli.client import fail
from services.continuity.reassignment.files import FileInvalid, proposal_document, read_previous, read_situation
from services.continuity.reassignment.lexicographic import Choice
from services.continuity.reassignment.plan import Options
from services.continuity.reassignment.plan import solve as solve_situation
from services.continuity.reassignment.solver import SolverFailed, Work
from services.continuity.reassignment.tables import Tables, TablesInvalid
from services.runtime.settings import Settings
from services.runtime.territory import Territory, TerritoryInvalid, load_territory

app = typer.Typer(no_args_is_help=True, help="Who works on what, and where, when sites close or staff is missing.")
SHOWN_LINES = 40


@app.callback()
def _group() -> None:
    """Who works on what, and where, when sites close or staff is missing."""


@app.command()
def solve(
    situations: Annotated[Path, typer.Option(help="CSV: situation, site_id, staff_pct, seat_pct, host_ok")],
    meta: Annotated[Path, typer.Option(help="JSON: id, elapsed_h, transit, tele of each situation")],
    name: Annotated[str, typer.Option(help="Which situation")],
    approved: Annotated[Path | None, typer.Option(help="Lines decided before, as JSON of an earlier proposal")] = None,
    cohesion: Annotated[bool, typer.Option(help="Keep teams together: fewest groups after the penalties")] = False,
    tie_break: Annotated[bool, typer.Option(help="Make the choice among equals that every solver makes")] = False,
    nodes: Annotated[int, typer.Option(min=1, help="Most nodes of branch and bound")] = Work().nodes,
    territory: Annotated[Path | None, typer.Option(help="Folder like territories/92; default: the installed one", file_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Propose who goes where in a situation given as tables. Exit 0 if an answer exists, whatever stays unmet."""
    try:
        data = load_territory(territory or Settings().territory)
        tables = Tables(data.sites, data.staffing)
        situation = read_situation(situations, meta, name, tables)
        previous = read_previous(approved, tables) if approved else ()
        options = Options(Choice(cohesion=cohesion, tie_break=tie_break, work=Work(nodes=nodes)))
        began = time.perf_counter()
        proposal = solve_situation(tables, situation, previous, options)
        seconds = time.perf_counter() - began
    except (TerritoryInvalid, TablesInvalid, FileInvalid, SolverFailed) as error:
        raise fail(error) from error
    document = proposal_document(proposal, _strategies(data), seconds)
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        _show(name, document)


def _strategies(territory: Territory) -> dict[str, tuple[str, ...]]:
    return {activity.id: activity.strategies for activity in territory.activities}


def _show(name: str, document: dict[str, Any]) -> None:
    console = Console()
    levels = ", ".join(f"{level} {value}" for level, value in document["objective"].items())
    console.print(f"{name}: {levels} ({document['solve_s']} s)")
    if not document["proved"]:
        console.print(f"level {document['open_level']} is not proved optimal: best bound {document['bound']:g}", style="yellow")
    table = Table(title=f"{len(document['lines'])} lines, {sum(line['count'] for line in document['lines'])} agents")
    for column in ("from", "to", "métier", "agents", "min", "why"):
        table.add_column(column)
    for line in document["lines"][:SHOWN_LINES]:
        source, target = line["from"], line["to"]
        table.add_row(
            f"{source['site']} {source['activity']}", f"{target['site'] or 'telework'} {target['activity']}", line["metier"],
            str(line["count"]), str(line["score"]["minutes"]), " ".join(reason["code"] for reason in line["why"]),
        )  # fmt: skip
    console.print(table)
    if len(document["lines"]) > SHOWN_LINES:
        console.print(f"… {len(document['lines']) - SHOWN_LINES} lines more: --json")
    for gap in document["unmet"]:
        why = " ".join(reason["code"] for reason in gap["why"])
        asked = f"; outside help: {', '.join(gap['outside_help'])}" if gap["outside_help"] else ""
        console.print(
            f"unmet: {gap['count']} {gap['metier']} for {gap['activity']} at {gap['site']}, {gap['missing']} missing ({why}){asked}",
            style="red",
        )

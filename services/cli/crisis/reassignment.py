"""`vigie reassignment`: solve a situation given as tables, and decide on proposals of a realm."""

import time
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.table import Table

from schemas.reassignment import Reason
from services.cli.client import print_error
from services.cli.crisis.decide import Body, Key, decision, post_decision
from services.cli.crisis.decide import Reason as Given
from services.cli.lists import AsJson, Realm, TerritoryFolder
from services.cli.output import create_group, open_console, print_json
from services.console.i18n import get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.reassignment.texts import describe_reassignment_reason
from services.console.texts.names import TerritoryNames
from services.continuity.reassignment.model.files import (
    FileInvalid,
    dump_proposal,
    read_previous,
    read_situation,
)
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.plan import SolveOptions
from services.continuity.reassignment.model.plan import solve_situation_program as solve_situation
from services.continuity.reassignment.model.solver import SolverFailed, SolverWork
from services.continuity.reassignment.model.tables import ReferenceTables, TablesInvalid
from services.runtime.process.settings import Settings
from services.territory import TerritoryInvalid, load_territory

app = create_group("Staff reassignment when sites close or staff is missing.")
Proposal = Annotated[str, typer.Argument(help="Id of the proposal, from `vigie reassignments`")]
_ = get_translator("fr")
MAX_SHOWN_LINES = 40
MISSING_LABELS: Final = {"people": "d’agents", "seats": "de places"}


@app.callback()
def _group() -> None:
    """Solve and decide on reassignments when sites close or staff is missing."""


@app.command()
def solve(
    situations: Annotated[
        Path, typer.Option(help="CSV: situation, site_id, staff_pct, seat_pct, host_ok")
    ],
    meta: Annotated[
        Path, typer.Option(help="JSON: id, elapsed_h, transit, tele of each situation")
    ],
    name: Annotated[str, typer.Option(help="Id of the situation")],
    approved: Annotated[
        Path | None, typer.Option(help="Lines decided before, as JSON of an earlier proposal")
    ] = None,
    cohesion: Annotated[
        bool, typer.Option(help="Keep teams together: fewest groups after the penalties")
    ] = False,
    tie_break: Annotated[
        bool, typer.Option(help="Choose among equal solutions as every solver does")
    ] = False,
    nodes: Annotated[
        int, typer.Option(min=1, help="Largest number of branch-and-bound nodes")
    ] = SolverWork().nodes,
    territory: TerritoryFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Solve a situation given as tables and propose reassignments.

    Exits with 0 if there is a solution, also with unmet needs.
    """
    try:
        data = load_territory(territory or Settings().territory)
        tables = ReferenceTables(data.sites, data.staffing)
        situation = read_situation(situations, meta, name, tables)
        previous = read_previous(approved, tables) if approved else ()
        options = SolveOptions(
            SolveChoice(cohesion=cohesion, tie_break=tie_break, work=SolverWork(nodes=nodes))
        )
        began = time.perf_counter()
        proposal = solve_situation(tables, situation, previous, options)
        seconds = time.perf_counter() - began
    except (TerritoryInvalid, TablesInvalid, FileInvalid, SolverFailed) as error:
        raise print_error(error) from error
    document = dump_proposal(
        proposal, {activity.id: activity.strategies for activity in data.activities}, seconds
    )
    if as_json:
        print_json(document)
    else:
        _show_proposal(name, document, TerritoryNames.of(data.sections))


Lines = Annotated[
    list[str] | None,
    typer.Option("--line", help="Lines; may be repeated. Default: all undecided lines"),
]


@app.command()
@decision("reassignments/{proposal}/approve", "Approuvé, les ordres partent", is_versioned=True)
def approve(proposal: Proposal, line: Lines = None, reason: Given = None) -> Body:
    """Approve lines of a proposal; their orders go out at once.

    Exits with 1 if the proposal is outdated; `vigie reassignments` shows the one in force.
    """
    return {"lines": line or None, "reason": reason}


@app.command()
@decision("reassignments/{proposal}/decline", "Écarté", is_versioned=True)
def decline(proposal: Proposal, line: Lines = None, reason: Given = None) -> Body:
    """Decline lines of a proposal, with a reason."""
    return {"lines": line or None, "reason": reason}


@app.command()
def announce(
    proposal: Proposal,
    start: Annotated[
        bool,
        typer.Option(
            "--start",
            help="Send the drafts. Without it, only drafts are made and nobody is informed",
        ),
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel", help="app, sms, email …; may be repeated, in order of preference"
        ),
    ] = None,
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Announce the orders to the agents of the sites, by count: draft, then --start.

    `vigie callout show` shows costs and progress.
    """
    body = {"start": start} | ({"channels": channel} if channel else {})
    message = "Les agents sont prévenus" if start else "Préparé, rien n’est parti"
    post_decision(
        f"reassignments/{quote(proposal, safe='')}/announce",
        realm,
        body,
        key=key,
        as_json=as_json,
        success_text=message,
    )


@app.command()
@decision("reassignments/compute", "Demandé, la proposition suit")
def compute(
    preference: Annotated[str, typer.Option(help="best, fewest, least_co2, fastest")] = "best",
    transit: Annotated[
        bool | None, typer.Option("--transit/--no-transit", help="Public transport runs")
    ] = None,
    telework: Annotated[
        bool | None, typer.Option("--telework/--no-telework", help="Telework is possible")
    ] = None,
    reason: Given = None,
) -> None:
    """Request a proposal now."""


@app.command()
@decision("reassignments/{line}/{what}", "Noté")
def step(
    line: Annotated[
        str, typer.Argument(help="Id of the line, from `vigie reassignments PROPOSAL`")
    ],
    what: Annotated[str, typer.Argument(help="accept, refuse, arrive or release")],
    also: Annotated[
        list[str] | None,
        typer.Option("--line", help="Further lines of the same step; may be repeated"),
    ] = None,
    reason: Given = None,
) -> Body:
    """Report a step: the order was accepted, or refused with --reason; agents arrived, or left."""
    if what not in ("accept", "refuse", "arrive", "release"):
        raise typer.BadParameter("accept, refuse, arrive or release")
    return {"lines": also or [], "reason": reason}


def _describe_reasons(reasons: list[dict[str, Any]], names: TerritoryNames) -> str:
    """Describe reasons in the words of the reassignment page; `--json` has the codes."""
    parsed_reasons = (
        Reason.model_validate(
            {"code": r["code"], "values": {k: v for k, v in r.items() if k != "code"}}
        )
        for r in reasons
    )
    return ", ".join(describe_reassignment_reason(reason, names, "fr") for reason in parsed_reasons)


def _show_proposal(name: str, document: dict[str, Any], names: TerritoryNames) -> None:
    console = open_console()
    levels = ", ".join(f"{level} {value}" for level, value in document["objective"].items())
    console.print(f"{name}: {levels} ({document['solve_s']} s)")
    if not document["proved"]:
        console.print(
            f"optimum non prouvé au niveau {document['open_level']}\u00a0: meilleure borne {document['bound']:g}",
            style="yellow",
        )
    line_text = _.plural("{n} ligne", "{n} lignes", len(document["lines"]))
    agents = sum(line["count"] for line in document["lines"])
    table = Table(title=f"{line_text}, {_.plural('{n} agent', '{n} agents', agents)}")
    for column in ("De", "Vers", "Métier", "Agents", "Min", "Pourquoi"):
        table.add_column(column)
    for line in document["lines"][:MAX_SHOWN_LINES]:
        source, target = line["from"], line["to"]
        table.add_row(
            f"{source['site']} {source['activity']}",
            f"{target['site'] or 'télétravail'} {target['activity']}",
            names.metier(line["metier"], "fr"),
            format_small_count(line["count"]),
            str(line["score"]["minutes"]),
            _describe_reasons(line["why"], names),
        )
    console.print(table)
    if len(document["lines"]) > MAX_SHOWN_LINES:
        more = len(document["lines"]) - MAX_SHOWN_LINES
        more_text = _.plural("{n} autre ligne", "{n} autres lignes", more)
        console.print(f"… {more_text}\u00a0: --json")
    for gap in document["unmet"]:
        help_text = (
            f"\u00a0; recours extérieurs\u00a0: {', '.join(gap['outside_help'])}"
            if gap["outside_help"]
            else ""
        )
        console.print(
            f"manque\u00a0: {format_small_count(gap['count'])} {names.metier(gap['metier'], 'fr')} pour {gap['activity']} à {gap['site']}, faute {MISSING_LABELS[gap['missing']]} ({_describe_reasons(gap['why'], names)}){help_text}",
            style="red",
        )

"""`vigie obligation`: legal deadlines from the shell. Rule D92."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import call_api
from services.cli.crisis.decide import Body, decision
from services.cli.lists import (
    AsJson,
    AsOf,
    Filters,
    Realm,
    Row,
    build_query,
    format_dated_time,
    format_local_time,
    listing,
    parse_time,
    resolve_incident,
)
from services.cli.output import IDENTIFIER, create_group, strip_controls
from services.console.texts.words import OBLIGATION_STATE

app = create_group("Legal deadlines: clocks, drafts of declarations, proofs.")
_UNIT = {"hours": "h", "days": "jours", "working_days": "jours ouvrés", "months": "mois"}
Clock = Annotated[str, typer.Argument(help="Id of the clock")]


@app.command("list")
@listing(
    "/api/v1/obligations",
    "Échéances légales",
    (
        (IDENTIFIER, lambda c: c["id"]),
        ("État", lambda c: str(OBLIGATION_STATE.get(c["state"], c["state"]))),
        ("Obligation", lambda c: c["title"]),
        ("Limite", lambda c: format_dated_time(c["due_at"])),
        ("En retard", lambda c: "oui" if c["late"] else ""),
        ("Déclarée", lambda c: format_local_time(c["declared_at"])),
        ("Version", lambda c: str(c["version"])),
    ),
)
def list_(
    state: Annotated[list[str] | None, typer.Option(help="running, done, dismissed")] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    late: Annotated[bool | None, typer.Option("--late/--not-late", help="Past the limit")] = None,
) -> Filters:
    """List the clocks: those that run, by limit, then the newest ends."""
    return {
        "state": state,
        "incident": incident,
        "late": None if late is None else str(late).lower(),
    }


def _format_limit(rule: Row) -> str:
    span = f"{rule['amount']} {_UNIT[rule['unit']]}"
    return f"sans délai ({span})" if rule["without_delay"] else span


@app.command("rules")
@listing(
    "/api/v1/obligation-rules",
    "Obligations",
    (
        (IDENTIFIER, lambda r: r["id"]),
        ("Obligation", lambda r: r["title"]),
        ("Délai", _format_limit),
        ("Fondement", lambda r: r["basis"]),
    ),
)
def rules() -> None:
    """List the legal obligations of the territory."""


@app.command("start")
@decision("obligations", "Échéance lancée", creates="clock")
def start(
    obligation: Annotated[str, typer.Argument(help="Id of the obligation; see `rules`")],
    incident: Annotated[str, typer.Option(help="Id or number of an incident")],
    known_at: Annotated[
        str, typer.Option("--known", help="The fact is known since then; ISO 8601, Paris time")
    ],
    realm: Realm = None,
) -> Body:
    """Start the clock of an obligation in an incident."""
    return {
        "obligation": obligation,
        "incident": resolve_incident(incident, realm),
        "known_at": parse_time(known_at),
    }


@app.command("done")
@decision("obligations/{clock}:done", "Déclaration enregistrée", is_versioned=True)
def end_clock(
    clock: Clock,
    receipt: Annotated[str, typer.Option(help="Reference number of the receipt; stored encrypted")],
    declared_at: Annotated[
        str | None, typer.Option("--at", help="Declared then; ISO 8601, Paris time; now if absent")
    ] = None,
) -> Body:
    """End a clock with the time and the receipt of the declaration."""
    return {
        "receipt": receipt,
        "declared_at": None if declared_at is None else parse_time(declared_at),
    }


@app.command("dismiss")
@decision("obligations/{clock}:dismiss", "Échéance sans objet", is_versioned=True)
def dismiss(
    clock: Clock,
    reason: Annotated[str, typer.Option(help="Why it does not apply; stored encrypted")],
) -> None:
    """End a clock that does not apply."""


@app.command("draft")
def draft(clock: Clock, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Print the draft of the declaration, with blanks in square brackets."""
    path = f"/api/v1/obligations/{quote(clock, safe='')}/draft{build_query(realm, as_of)}"
    declaration = call_api("GET", path)
    if as_json:
        typer.echo(json.dumps(declaration, ensure_ascii=False, indent=2))
        return
    typer.echo(strip_controls(declaration["title"]))
    typer.echo(f"({strip_controls(declaration['authority'])})\n")
    for line in declaration["text"].splitlines():
        typer.echo(strip_controls(line))

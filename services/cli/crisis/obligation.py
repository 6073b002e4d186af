"""`vigie obligation`: legal deadlines from the shell. Rule D92."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error
from services.cli.crisis.decide import Expected, Key, post_decision
from services.cli.crisis.read import (
    AsJson,
    AsOf,
    Limit,
    Realm,
    Row,
    build_query,
    fetch_list,
    format_local_time,
    parse_time,
    resolve_incident,
    show_list,
)
from services.cli.output import IDENTIFIER, strip_controls
from services.runtime.process.settings import Settings

app = typer.Typer(
    help="Legal deadlines: clocks, drafts of declarations, proofs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_STATE = {"running": "en cours", "done": "déclarée", "dismissed": "sans objet"}
_UNIT = {"hours": "h", "days": "jours", "working_days": "jours ouvrés", "months": "mois"}
Clock = Annotated[str, typer.Argument(help="Id of the clock")]


@app.command("list")
def list_(
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[list[str] | None, typer.Option(help="running, done, dismissed")] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    late: Annotated[bool | None, typer.Option("--late/--not-late", help="Past the limit")] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List the clocks: those that run, by limit, then the newest ends."""
    found = fetch_list(
        "/api/v1/obligations",
        realm,
        as_of,
        limit,
        state=state,
        incident=None if incident is None else resolve_incident(incident, realm),
        late=None if late is None else str(late).lower(),
    )
    show_list(
        found,
        as_json,
        "Échéances légales",
        (
            (IDENTIFIER, lambda c: c["id"]),
            ("État", lambda c: str(_STATE.get(c["state"], c["state"]))),
            ("Obligation", lambda c: c["title"]),
            ("Limite", lambda c: format_local_time(c["due_at"])),
            ("En retard", lambda c: "oui" if c["late"] else ""),
            ("Déclarée", lambda c: format_local_time(c["declared_at"])),
            ("Version", lambda c: str(c["version"])),
        ),
    )


@app.command("rules")
def rules(
    realm: Realm = None, as_of: AsOf = None, limit: Limit = 200, as_json: AsJson = False
) -> None:
    """List the legal obligations of the territory."""
    show_list(
        fetch_list("/api/v1/obligation-rules", realm, as_of, limit),
        as_json,
        "Obligations",
        (
            (IDENTIFIER, lambda r: r["id"]),
            ("Obligation", lambda r: r["title"]),
            ("Délai", _format_limit),
            ("Fondement", lambda r: r["basis"]),
        ),
    )


def _format_limit(rule: Row) -> str:
    span = f"{rule['amount']} {_UNIT[rule['unit']]}"
    return f"sans délai ({span})" if rule["without_delay"] else span


@app.command("start")
def start(
    obligation: Annotated[str, typer.Argument(help="Id of the obligation; see `rules`")],
    incident: Annotated[str, typer.Option(help="Id or number of an incident")],
    known_at: Annotated[
        str, typer.Option("--known", help="The matter is known since then; ISO 8601, Paris time")
    ],
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Start the clock of an obligation in an incident."""
    body = {
        "obligation": obligation,
        "incident": resolve_incident(incident, realm),
        "known_at": parse_time(known_at),
    }
    post_decision("obligations", realm, body, key=key, as_json=as_json, done="Échéance lancée")


@app.command("done")
def done(
    clock: Clock,
    receipt: Annotated[str, typer.Option(help="Reference number of the receipt; stored encrypted")],
    declared_at: Annotated[
        str | None, typer.Option("--at", help="Declared then; ISO 8601, Paris time; now if absent")
    ] = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End a clock with the time and the receipt of the declaration."""
    body = {
        "receipt": receipt,
        "declared_at": None if declared_at is None else parse_time(declared_at),
    }
    post_decision(
        _build_path(clock, "done"),
        realm,
        body,
        key=key,
        expected=expected,
        as_json=as_json,
        done="Déclaration enregistrée",
    )


@app.command("dismiss")
def dismiss(
    clock: Clock,
    reason: Annotated[str, typer.Option(help="Why it does not apply; stored encrypted")],
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End a clock that does not apply."""
    post_decision(
        _build_path(clock, "dismiss"),
        realm,
        {"reason": reason},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Échéance sans objet",
    )


@app.command("draft")
def draft(clock: Clock, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Print the draft of the declaration, with blanks in square brackets."""
    path = f"/api/v1/obligations/{quote(clock, safe='')}/draft{build_query(realm, as_of)}"
    try:
        with ApiClient(Settings()) as client:
            found: Row = client.get(path)
    except (VigieUnreachable, ApiRefused) as exc:
        raise print_error(exc) from exc
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    typer.echo(strip_controls(found["title"]))
    typer.echo(f"({strip_controls(found['authority'])})\n")
    for line in found["text"].splitlines():
        typer.echo(strip_controls(line))


def _build_path(clock: str, verb: str) -> str:
    """Return the path of one decision about a clock."""
    return f"obligations/{quote(clock, safe='')}:{verb}"

"""`vigie commission`: show whether an installation is ready for a crisis. Rule D111."""

from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from services.cli.client import call_api
from services.cli.lists import PARIS, AsJson, Realm, build_query
from services.cli.output import open_console, print_json, strip_controls

_STATES: Final = {
    "done": ("fait", "green"),
    "partly": ("en partie", "yellow"),
    "open": ("à faire", "red"),
}
PATH: Final = "/api/v1/commissioning"


def commission(
    realm: Realm = None,
    as_json: AsJson = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm-territory",
            metavar="VERSION",
            help="Confirm that you have read this version of the reference data",
        ),
    ] = None,
) -> None:
    """Show whether a live realm is ready for a crisis: each condition, as found.

    Exits with 1 while something is missing without which a crisis would reach nobody, or its data
    would be lost.
    """
    if confirm is not None:
        path = f"{PATH}/territory{build_query(realm, None)}"
        answer = call_api("POST", path, {"version": confirm})
    else:
        answer = call_api("GET", f"{PATH}{build_query(realm, None)}")
    if as_json:
        print_json(answer)
    else:
        _print_conditions(answer)
    if any(item["grave"] for item in answer["items"]):
        raise typer.Exit(1)


def _print_conditions(conditions: dict[str, Any]) -> None:
    table = Table("condition", "état", "constat", "le", "sur la machine")
    for item in conditions["items"]:
        word, style = _STATES[item["state"]]
        is_done = item["state"] == "done"
        table.add_row(
            item["title"],
            Text(f"{word} !" if item["grave"] else word, style),
            strip_controls(item["text"]),
            f"{datetime.fromisoformat(item['at']).astimezone(PARIS):%d/%m/%Y}"
            if item["at"]
            else "",
            "" if is_done else item["command"] or "",
        )
    console = open_console()
    console.print(table)
    console.print(f"version des données : {conditions['reference'] or '–'}")

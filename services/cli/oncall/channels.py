"""`vigie channels`: show the configured channels, their guarantees and faulty settings."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from schemas.words import Channel
from services.cli.client import print_error
from services.runtime.secrets.files import describe_wrong_variables


def channels(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show the channels to people and check their settings, as delivery reads them.

    Exits with 1 on an error.
    """
    from pydantic import ValidationError

    from services.delivery.channels.configured import find_faults, list_configured_channels
    from services.delivery.settings import DeliverySettings

    try:
        settings = DeliverySettings()
    except ValidationError as error:
        raise print_error(ValueError(describe_wrong_variables(error))) from error
    named = list_configured_channels(settings)
    found: dict[Channel, list[dict[str, Any]]] = {channel: [] for channel in Channel}
    for channel, fault in find_faults(settings):
        found[channel].append(
            {"variable": fault.variable, "what": fault.what, "error": fault.error}
        )
    rows = [
        {"channel": c.value, "configured": c in named, **_describe_policy(c), "faults": found[c]}
        for c in Channel
    ]
    if as_json:
        typer.echo(json.dumps({"items": rows}, ensure_ascii=False))
    else:
        _show_channels(rows)
    if any(fault["error"] for faults in found.values() for fault in faults):
        raise typer.Exit(1)


def _describe_policy(channel: Channel) -> dict[str, Any]:
    from services.delivery.notifications.channel_policies import DEFAULT_POLICIES

    policy = DEFAULT_POLICIES[channel]
    return {
        "doubt": policy.doubt.value,
        "limit_s": policy.limit_ms / 1000,
        "tries": policy.tries,
        "receipt_s": None if policy.receipt_ms is None else policy.receipt_ms / 1000,
    }


def _show_channels(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for column in ("channel", "", "in doubt", "tries", "call within", "receipt within"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        wrong = any(fault["error"] for fault in row["faults"])
        state = (
            "[red]faulty[/]"
            if wrong
            else "[green]configured[/]"
            if row["configured"]
            else "[dim]not configured[/]"
        )
        receipt = "none given" if row["receipt_s"] is None else f"{row['receipt_s']:g} s"
        table.add_row(
            row["channel"],
            state,
            row["doubt"].replace("_", " "),
            str(row["tries"]),
            f"{row['limit_s']:g} s",
            receipt,
        )
    from rich.markup import escape

    from services.cli.output import open_console

    shown = open_console(markup=True)
    shown.print(table)
    for row in rows:
        for fault in row["faults"]:
            shown.print(
                f"[{'red' if fault['error'] else 'yellow'}]{fault['variable']}[/] {escape(fault['what'])}",
                highlight=False,
            )

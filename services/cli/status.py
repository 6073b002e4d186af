"""`vigie status`: what runs, since when, how far behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from services.runtime.settings import Settings
from services.runtime.supervisor.lock import is_held
from services.runtime.supervisor.status import read_status

STYLES = {"ready": "green", "starting": "yellow", "waiting": "yellow", "ended": "dim", "stopping": "yellow"}


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False) -> None:
    """Show the processes of the running system. Exit 1 when it does not run; scripts read `state` for the rest."""
    settings = Settings()
    found = read_status(settings.data.status)
    if found is None or not is_held(settings.data.lock):
        sentence = f"Vigie does not run on {settings.data_dir}"
        if as_json:
            typer.echo(json.dumps({"state": "stopped", "processes": [], "detail": sentence}))
        else:
            typer.secho(sentence, err=True, fg="red")
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Vigie {found['state']} · http://{found['http']}", title_justify="left")
    for column in ("process", "pid", "state", "for", "restarts", "why"):
        table.add_column(column, justify="right" if column in ("pid", "for", "restarts") else "left", no_wrap=column != "why")
    now = datetime.now(UTC)
    for p in found["processes"]:
        style = STYLES.get(p["state"], "red")
        lasting = int((now - datetime.fromisoformat(p["since"])).total_seconds())
        table.add_row(
            p["name"], str(p["pid"] or ""), f"[{style}]{p['state']}[/]", _duration(lasting), str(p["restarts"]), (p["why"] or "")[:160]
        )
    Console().print(table)


def _duration(seconds: int) -> str:
    hours, rest = divmod(max(seconds, 0), 3600)
    return f"{hours} h {rest // 60:02d}" if hours else f"{rest // 60} min {rest % 60:02d}" if rest >= 60 else f"{rest} s"

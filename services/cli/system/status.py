"""`vigie status`: show the processes, their state and their lag."""

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import psutil
import typer

from services.appliance.supervisor.status import MIN_FREE_MB, read_free_mb, read_status
from services.cli.client import describe_unreadable
from services.cli.output import open_console, print_json
from services.runtime.process.files import is_locked
from services.runtime.process.settings import DataDir, Settings
from services.runtime.process.sockets import read_ports

ANSWER_TIMEOUT_S = 2.0
"""Seconds to wait for broker and console; a status must come while they are down."""

MAX_SKEW_MS: Final = 2_000
"""Tolerated lead of a record over this machine's clock, ms."""

STYLES = {
    "ready": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "ended": "dim",
    "stopping": "yellow",
}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
    targets: Annotated[
        bool, typer.Option("--targets", help="Print the targets for Prometheus (file_sd_configs)")
    ] = False,
) -> None:
    """Show the processes of the running system.

    Exits with 1 if it does not run; scripts read `state` for everything else.
    """
    settings = Settings()
    if targets:
        if not (process_targets := list_targets(settings)):
            typer.secho(
                f"{settings.data.ports} names no process: check the data directory and the rights of this user",
                err=True,
                fg="red",
            )
            raise typer.Exit(1)
        typer.echo(json.dumps(process_targets))
        return
    document = read_status(settings.data.status)
    if document is None or not is_locked(settings.data.lock):
        sentence = (
            describe_unreadable(settings.data) or f"Vigie does not run on {settings.data_dir}"
        )
        if as_json:
            typer.echo(json.dumps({"state": "stopped", "processes": [], "detail": sentence}))
        else:
            typer.secho(sentence, err=True, fg="red")
        raise typer.Exit(1)
    document["redis"] = strip_login(document.get("redis") or "")
    (document["lag"], newest_ms), overviews = asyncio.run(_ask_both(settings))
    document["faults"] = [
        *find_disk_faults(settings.data),
        *find_missing_processes(document["processes"]),
        *find_clock_faults(newest_ms, time.time() * 1000),
    ]
    document["levels"] = (
        None
        if overviews is None
        else {realm: overview["level"]["level"] for realm, overview in overviews.items()}
    )
    document["holds"] = (
        None
        if overviews is None
        else {realm: o["hold"]["until"] for realm, o in overviews.items() if o["hold"]["held"]}
    )
    if as_json:
        print_json(document)
    else:
        _show_status(document)


def strip_login(url: str) -> str:
    """Remove the login from a URL."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


def list_targets(settings: Settings) -> list[dict[str, Any]]:
    """List the metrics addresses of all processes, by the ports of the last start.

    A process that is down stays listed, so that it shows as down.
    """
    from services.appliance.supervisor.plan import list_process_names

    services = list_process_names(1)
    return [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"process": name}}
        for name, port in read_ports(settings.data.ports).items()
        if re.sub(r"-\d+$", "", name) in services  # The broker's ports have no metrics.
    ]


def find_disk_faults(data: DataDir) -> list[str]:
    """Report a full disk, on which the broker stops and the shown states may be outdated."""
    try:
        free = read_free_mb(data)
    except OSError as error:
        return [f"the disk of {data.root} cannot be read: {error.strerror}"]
    full = f"the disk of {data.root} is full ({free} MB free, {MIN_FREE_MB} needed): make room; the states below may be old"
    return [full] if free < MIN_FREE_MB else []


def find_missing_processes(processes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Report processes with a pid that does not exist: their states are outdated."""
    missing = [p["name"] for p in processes if p["pid"] and not psutil.pid_exists(p["pid"])]
    return (
        [f"processes that no longer exist, though shown below: {', '.join(missing)}"]
        if missing
        else []
    )


def find_clock_faults(newest_ms: int | None, now_ms: float) -> list[str]:
    """Report records from the future: deadlines fire early, or wait until the clock gets there."""
    ahead_ms = (newest_ms or 0) - now_ms
    fault = f"the newest record is {ahead_ms / 1000:.0f} s ahead of this machine: set the clocks (NTP) of broker and machine"
    return [fault] if ahead_ms > MAX_SKEW_MS else []


async def _ask_both(
    settings: Settings,
) -> tuple[tuple[dict[str, int] | None, int | None], dict[str, Any] | None]:
    """Return the answers of broker and console, which are asked at the same time."""
    asking = asyncio.to_thread(_fetch_overviews, settings)
    # The console answers while the modules for the broker are imported
    overviews, broker_answer = await asyncio.gather(asking, _ask_broker(settings.kafka))
    return broker_answer, overviews


async def _ask_broker(kafka: str) -> tuple[dict[str, int] | None, int | None]:
    """Return the unapplied inputs of each decider and the time of the newest record.

    Both are None while the broker does not answer.
    """
    from aiokafka.errors import KafkaError

    from services.runtime.worker.lag import read_system_progress

    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            progress = await read_system_progress(kafka)
    except (KafkaError, OSError, TimeoutError):
        return None, None
    return progress.lag, progress.newest_at


def _fetch_overviews(settings: Settings) -> dict[str, Any] | None:
    """Fetch the overview of each open realm; None while the console does not answer."""
    from services.cli.client import ApiClient, ApiRefused, VigieUnreachable

    try:
        with ApiClient(settings, timeout_s=ANSWER_TIMEOUT_S) as client:
            realms = client.get("/api/v1/realms?limit=100")["items"]
            return {
                r["id"]: client.get(f"/api/v1/overview?realm={r['id']}")
                for r in realms
                if r.get("state") != "closed"
            }
    except (VigieUnreachable, ApiRefused, KeyError, TypeError):
        return None


def _show_status(status: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Vigie {status['state']} · http://{status['http']}", title_justify="left")
    for column in ("process", "pid", "state", "for", "restarts", "why"):
        table.add_column(
            column,
            justify="right" if column in ("pid", "for", "restarts") else "left",
            no_wrap=column != "why",
        )
    now = datetime.now(UTC)
    for p in status["processes"]:
        style = STYLES.get(p["state"], "red")
        lasting = int((now - datetime.fromisoformat(p["since"])).total_seconds())
        table.add_row(
            p["name"],
            str(p["pid"] or ""),
            f"[{style}]{p['state']}[/]",
            _format_duration(lasting),
            str(p["restarts"]),
            escape((p["why"] or "")[:160]),
        )
    console = open_console(markup=True)
    for fault in status.get("faults", ()):
        console.print(f"[red]{escape(fault)}[/]")
    console.print(table)
    if status["lag"] is None:
        console.print("[red]the broker does not answer[/]")
    else:
        console.print(
            "not applied yet: "
            + ", ".join(f"{service} {count}" for service, count in status["lag"].items())
        )
    if status["levels"]:
        console.print(
            "level: " + ", ".join(f"{realm} N{level}" for realm, level in status["levels"].items())
        )
    for realm, until in (status["holds"] or {}).items():
        console.print(
            f"[red]{realm}: sending is held until {until}; only danger to people goes out[/]"
        )


def _format_duration(seconds: int) -> str:
    hours, rest = divmod(max(seconds, 0), 3600)
    return (
        f"{hours} h {rest // 60:02d}"
        if hours
        else f"{rest // 60} min {rest % 60:02d}"
        if rest >= 60
        else f"{rest} s"
    )

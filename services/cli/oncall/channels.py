"""`vigie channels`: show the configured channels, their guarantees and faulty settings."""

import re
from typing import Annotated, Any, Final

import httpx2 as httpx
import typer
from pydantic import ValidationError

from schemas.words import Channel
from services.cli.client import print_error
from services.cli.output import open_console, print_json
from services.delivery.channels.base import SettingsFault
from services.delivery.channels.configured import (
    ProviderPlan,
    find_faults,
    list_configured_channels,
)
from services.delivery.settings import DeliverySettings
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import read_ports
from services.runtime.secrets.files import describe_wrong_variables
from services.runtime.secrets.local_secrets import build_header

ANSWER_TIMEOUT_S: Final = 5.0
_CONFIGURED: Final = re.compile(
    r'^vigie_channel_configured\{channel="(\w+)"\} (\S+)$', re.MULTILINE
)
_DOUBTS: Final = {"at_least_once": "au moins une fois", "at_most_once": "une fois au plus"}
OTHER_SETTINGS: Final = (
    "cette commande a d’autres réglages que la distribution en service, qui a {channels} : "
    "lancez-la comme le fait l’unité (docs/how-to/something-is-wrong.md)"
)


def channels(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show the channels to people, also those of single realms, and check their settings.

    They are read as delivery reads them, but from the settings of this command. If the running
    delivery has others, a line says so.

    Exits with 1 on an error.
    """
    try:
        settings = DeliverySettings()
    except ValidationError as error:
        raise print_error(describe_wrong_variables(error) or error) from error
    configured_channels = list_configured_channels(settings)
    faults_by_channel: dict[Channel, list[dict[str, Any]]] = {channel: [] for channel in Channel}
    for channel, fault in find_faults(settings):
        faults_by_channel[channel].append(_describe_fault(fault))
    rows = [
        {
            "channel": c.value,
            "configured": c in configured_channels,
            **_describe_policy(c),
            "faults": faults_by_channel[c],
        }
        for c in Channel
    ]
    realms = _describe_realms(ProviderPlan.read(settings))
    running = fetch_running_channels(settings)
    if as_json:
        names = None if running is None else sorted(running)
        print_json({"items": rows, "realms": realms, "running": names})
    else:
        _show_channels(rows)
        _show_realms(realms)
        if running is not None and running != {c.value for c in configured_channels}:
            text = ", ".join(sorted(running)) or "aucun canal"
            typer.secho(OTHER_SETTINGS.format(channels=text), fg="yellow")
    if any(fault["error"] for row in (*rows, *realms) for fault in row["faults"]):
        raise typer.Exit(1)


def fetch_running_channels(settings: Settings) -> frozenset[str] | None:
    """Return the channels of the running delivery process of this machine.

    The result is None if it does not answer, or tells this user nothing.
    """
    ports = read_ports(settings.data.ports).items()
    port = next((port for name, port in ports if re.sub(r"-\d+$", "", name) == "delivery"), None)
    if port is None:
        return None
    url, header = f"http://127.0.0.1:{port}/metrics", build_header(settings.data.secrets)
    try:
        answer = httpx.get(url, headers=header, timeout=ANSWER_TIMEOUT_S, trust_env=False)
    except httpx.TransportError:
        return None
    values = dict(_CONFIGURED.findall(answer.text))
    return frozenset(c for c, value in values.items() if float(value)) if values else None


def _describe_fault(fault: SettingsFault) -> dict[str, Any]:
    return {"variable": fault.variable, "what": fault.what, "error": fault.error}


def _describe_realms(plan: ProviderPlan) -> list[dict[str, Any]]:
    """Describe each channel that a realm sets itself; `channel` is None for faults of its file."""
    rows = []
    for file in plan.files:
        if file.faults:
            faults = [_describe_fault(fault) for fault in file.faults]
            rows.append({"realm": file.realm, "channel": None, "use": None, "faults": faults})
        for own in file.channels:
            if own.is_faulty or own.settings is None:
                use = "national"
            else:
                use = "own" if own.type.is_configured(own.settings) else "none"
            faults = [_describe_fault(fault) for fault in own.faults]
            channel = own.type.channel.value
            rows.append({"realm": file.realm, "channel": channel, "use": use, "faults": faults})
    return rows


def _show_realms(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    words = {
        "own": "réglages propres",
        "none": "désactivé",
        "national": "en défaut, reste national",
    }
    console = open_console(markup=True)
    for row in rows:
        if row["channel"] is not None:
            console.print(f"{row['realm']} {row['channel']} : {words[row['use']]}", highlight=False)
        for fault in row["faults"]:
            color = "red" if fault["error"] else "yellow"
            subject = escape(f"{row['realm']} {fault['variable']}".strip())
            console.print(f"[{color}]{subject}[/] {escape(fault['what'])}", highlight=False)


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
    for column in ("canal", "", "en cas de doute", "essais", "appel en", "accusé en"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        wrong = any(fault["error"] for fault in row["faults"])
        state = (
            "[red]en défaut[/]"
            if wrong
            else "[green]configuré[/]"
            if row["configured"]
            else "[dim]non configuré[/]"
        )
        receipt = "aucun" if row["receipt_s"] is None else f"{row['receipt_s']:g} s"
        table.add_row(
            row["channel"],
            state,
            _DOUBTS[row["doubt"]],
            str(row["tries"]),
            f"{row['limit_s']:g} s",
            receipt,
        )
    from rich.markup import escape

    console = open_console(markup=True)
    console.print(table)
    for row in rows:
        for fault in row["faults"]:
            console.print(
                f"[{'red' if fault['error'] else 'yellow'}]{fault['variable']}[/] {escape(fault['what'])}",
                highlight=False,
            )

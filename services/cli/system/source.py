"""`vigie source`: programs that report by a third-party protocol.

The key is printed once and not kept.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from schemas.words import EventType
from services.cli.client import call_api, open_api, print_error
from services.cli.lists import NO_LIMIT, AsJson, fetch_list, format_moment
from services.cli.output import create_group, open_console, print_json, strip_controls
from services.cli.system.token import (
    Several,
    SeveralTypes,
    check_places,
    wait_until_accepted,
)
from services.runtime.process.settings import Settings
from services.runtime.secrets.files import describe_wrong_variables
from services.watch.mail_reader import MailPosition
from services.watch.mailbox import Mailbox, MailboxFault, MailboxSettings, parse_address

app = create_group("Sources: add, change, list, disable, enable, try the mailbox.")
Name = Annotated[str, typer.Argument(help="Name of the source, e.g. prometheus-si")]


@app.command()
def add(
    name: Name,
    dialect: Annotated[
        str,
        typer.Option(
            help="Its integration, e.g. pagerduty, generic, cap or sms (docs/how-to/sources.md)"
        ),
    ],
    key: Annotated[
        str | None, typer.Option(help="Existing key (a routing key); default: a new key")
    ] = None,
    sites: Several = None,
    types: SeveralTypes = None,
    site: Annotated[
        str | None, typer.Option(help="Site of its signals if nothing else names one")
    ] = None,
    type: Annotated[
        EventType | None,
        typer.Option(
            help="Type of its signals if no rule names one; default: outage_it, for cap info"
        ),
    ] = None,
    severity: Annotated[
        int | None, typer.Option(help="1 to 5; default: from the message", min=1, max=5)
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option(
            help="YAML with `rules:` and, for generic, `fields:` (docs/how-to/sources.md)"
        ),
    ] = None,
    speaks_for: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "cloudevents: value of `source` on events.external that belongs to this "
                "source; a trailing * matches a prefix"
            )
        ),
    ] = None,
    heartbeat: Annotated[
        int | None,
        typer.Option(
            help="Promised period in seconds; a longer silence is reported", min=10, max=604_800
        ),
    ] = None,
    exercise_realm: Annotated[
        str | None,
        typer.Option(help="cap: realm for messages of status Exercise; default: they are refused"),
    ] = None,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(
            help=(
                "cap: PEM certificate of the signer; without its signature nothing counts "
                "as confirmed"
            )
        ),
    ] = None,
    speaks_as: Annotated[str, typer.Option(help="Kind of source of its reports")] = "supervision",
    realm: Several = None,
    rate: Annotated[
        float | None, typer.Option(help="Largest number of reports per second; 0 = no limit", min=0)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the key")] = False,
) -> None:
    """Add a source and print its key.

    Returns when the running front accepts it.
    """
    settings = Settings()
    body: dict[str, Any] = {
        "name": name,
        "dialect": dialect,
        "key": key,
        "site": site,
        "severity": severity,
        "speaks_as": speaks_as,
        "speaks_for": speaks_for or [],
        "heartbeat_s": heartbeat,
        "exercise_realm": exercise_realm,
        "rate_per_s": rate,
        "scope": {"sites": sites or [], "types": types or [], "realms": realm or []},
    }
    try:
        body |= {"type": type.value} if type else {}
        body |= {"certificates": [file.read_text(encoding="ascii") for file in certificate or ()]}
        body |= _read_mapping(map) if map else {}
    except (OSError, ValueError, YAMLError) as exc:
        raise print_error(f"{map or 'certificate'}: {exc}") from exc
    with open_api(settings) as client:
        check_places(client, [*(sites or ()), *([site] if site else ())], realms=realm or ())
        _, answer = client.post("/api/v1/sources", body)
        if dialect != "poster":  # The key of a poster may only post its form.
            wait_until_accepted(settings, answer["key"])
    typer.echo(
        answer["key"] if quiet else f"{answer['name']} ({answer['dialect']})\n{answer['key']}"
    )
    if dialect == "poster" and not quiet:
        typer.echo(
            f"{settings.urls[0]}/signaler?{urlencode({'site': site or '', 'token': answer['key']})}"
        )


@app.command()
def change(
    name: Name,
    site: Annotated[
        str | None, typer.Option(help="Site of its signals if nothing else names one")
    ] = None,
    type: Annotated[
        EventType | None, typer.Option(help="Type of its signals if no rule names one")
    ] = None,
    severity: Annotated[int | None, typer.Option(help="1 to 5", min=1, max=5)] = None,
    map: Annotated[
        Path | None, typer.Option(help="YAML with `rules:` and, for generic, `fields:`")
    ] = None,
    heartbeat: Annotated[
        int | None, typer.Option(help="Promised period in seconds", min=10, max=604_800)
    ] = None,
    exercise_realm: Annotated[
        str | None, typer.Option(help="cap: realm for messages of status Exercise")
    ] = None,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(help="cap: PEM certificates of signers; they replace the earlier ones"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Largest number of reports per second; 0 = no limit", min=0)
    ] = None,
) -> None:
    """Change the mapping of a source from now on.

    Messages refused under the old one can be replayed: `vigie dlq replay`.
    """
    mapping = {
        "site": site,
        "type": type and type.value,
        "severity": severity,
        "heartbeat_s": heartbeat,
        "exercise_realm": exercise_realm,
        "rate_per_s": rate,
    }
    body: dict[str, Any] = {n: v for n, v in mapping.items() if v is not None}
    try:
        body |= (
            {"certificates": [file.read_text(encoding="ascii") for file in certificate]}
            if certificate
            else {}
        )
        body |= _read_mapping(map) if map else {}
    except (OSError, ValueError, YAMLError) as exc:
        raise print_error(f"{map or 'certificate'}: {exc}") from exc
    if not body:
        raise typer.BadParameter("nothing to change")
    call_api("PATCH", f"/api/v1/sources/{quote(name, safe='')}", body)
    typer.echo(f"{name} changée")


def _read_mapping(file: Path) -> dict[str, Any]:
    document = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not set(document) <= {"rules", "fields"}:
        raise ValueError("`rules:` and `fields:` are expected (docs/how-to/sources.md)")
    return document


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every source with its figures."""
    source_page = fetch_list("/api/v1/sources", None, None, NO_LIMIT)
    if as_json:
        print_json(source_page)
        return
    table = Table(
        "source",
        "dialecte",
        "site",
        "vue",
        "promet",
        "par min",
        "acceptés",
        "refusés",
        "dernier refus",
    )
    for s in source_page["items"]:
        last_contact = (
            format_moment(datetime.fromtimestamp(s["last_seen"] / 1000, UTC))
            if s["last_seen"]
            else ""
        )
        refusals = ", ".join(f"{code} {count}" for code, count in s["refused"].items())
        last = s["last_refusal"] or {}
        why = ", ".join(f"{f['field']}: {f['detail']}" for f in last.get("fields", ())) or last.get(
            "code", ""
        )
        table.add_row(
            s["name"] if s["enabled"] else Text(f"{s['name']} (arrêtée)", "dim"),
            s["dialect"],
            s["site"] or "",
            Text(last_contact or "jamais", "red") if s["silent"] else last_contact,
            f"{s['heartbeat_s']} s" if s["heartbeat_s"] else "",
            Text(f"{s['per_minute']:g} (dépasse son débit)", "red")
            if s.get("over_rate")
            else f"{s['per_minute']:g}",
            str(s["accepted"]),
            refusals,
            strip_controls(why),
        )
    open_console().print(table)


@app.command()
def disable(name: Name) -> None:
    """Disable a source; its keys stop at once."""
    call_api("POST", f"/api/v1/sources/{quote(name, safe='')}/disable", {})
    typer.echo(f"{name} arrêtée")


@app.command()
def enable(name: Name) -> None:
    """Enable a source; its keys count again."""
    call_api("POST", f"/api/v1/sources/{quote(name, safe='')}/enable", {})
    typer.echo(f"{name} remise en marche")


@app.command()
def mailbox() -> None:
    """Look into the mailbox of VIGIE_MAILBOX_URL, and change nothing.

    Exits with 1 and the reason if it cannot be read.
    """
    try:
        settings = MailboxSettings()
    except ValueError as error:
        if (wrong := describe_wrong_variables(error)) is None:
            raise
        raise print_error(wrong) from error
    if not settings.mailbox_url.get_secret_value():
        raise print_error("VIGIE_MAILBOX_URL is not set")
    address = parse_address(settings.mailbox_url)
    try:
        with Mailbox(address, settings.mailbox_ca) as box:
            newest, unread = box.find_newest(), len(box.list_unread())
    except MailboxFault as fault:
        raise print_error(f"{address.name}: {fault}") from fault
    typer.echo(f"{address.name} : dernier courriel n° {newest}, courriels non lus : {unread}")
    position = MailPosition.read(settings.data.mail_position)
    if position is not None and position.mailbox == address.name:
        looked_at = format_moment(position.looked_at)
        typer.echo(f"relevé jusqu’au n° {position.number}, le {looked_at}")
    else:
        typer.echo("pas encore relevé : les courriels non lus seront pris")

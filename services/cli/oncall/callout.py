"""`vigie callout` and `vigie headcount`: write to many people, ask those of a site.

A draft shows the cost; nothing is sent before `start`.

Rule D37.
"""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from services.cli.client import call_api, open_api, print_error
from services.cli.crisis.decide import Body, Key, Reason, decision
from services.cli.lists import (
    AsJson,
    AsOf,
    OfIncident,
    Realm,
    build_query,
    format_local_time,
    listing,
    resolve_incident,
)
from services.cli.output import create_group, print_json
from services.console.i18n import get_translator
from services.console.messages.page import label_state
from services.console.texts.words import CHANNEL, translate_code

_ = get_translator("fr")

app = create_group("Send one message to many people: draft, list, start, show, stop.")
Callout = Annotated[str, typer.Argument(help="Id of the call-out, from `vigie callout list`")]


@app.command("draft")
def draft(
    text: Annotated[
        str, typer.Argument(help="Text of the message; nothing that strangers must not read")
    ],
    site: Annotated[
        list[str] | None,
        typer.Option(help="Site: call the people that work there; may be repeated"),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Call all people of the directory")
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Channel, in order of preference; may be repeated. Default: sms"),
    ] = None,
    corrects: Annotated[
        str | None,
        typer.Option(help="Call-out to correct; its people are called unless others are named"),
    ] = None,
    incident: OfIncident = None,
    danger: Annotated[bool, typer.Option("--danger", help="Danger to people")] = False,
    answer: Annotated[bool, typer.Option("--answer", help="Ask for an answer")] = False,
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Draft a call-out; show its recipients, channels, duration and cost.

    Nothing is sent.
    """
    body = {
        "text": text,
        "sites": site or [],
        "everybody": everybody,
        "incident": resolve_incident(incident, realm),
        "danger": danger,
        "answer_expected": answer,
        **({"channels": channel} if channel else {}),
        **({"corrects": corrects} if corrects else {}),
    }
    where = "/api/v1/callouts" + (f"?{urlencode({'realm': realm})}" if realm else "")
    with open_api(timeout_s=30) as client:
        status, result = client.call("POST", where, body, {"Idempotency-Key": key} if key else {})
        if status == 202:
            result = client.wait_for_decision(result, 15)
    if result["state"] != "applied":
        raise print_error(result.get("detail") or result.get("code") or result["state"])
    show(str(result["result"]["callout"]), realm, as_json=as_json)


@app.command("list")
@listing(
    "/api/v1/callouts",
    "Diffusions d’alerte et recensements",
    (
        ("Rédigée", lambda one: format_local_time(one["drafted_at"])),
        ("État", lambda one: label_state(one["state"], one["started_at"] is not None, _)),
        ("Sites", lambda one: str(len(one["sites"]))),
        ("Personnes", lambda one: str(one["people"])),
        ("Prévenues", lambda one: str(one["handed"])),
        ("Échecs", lambda one: str(one["failed"])),
        ("Identifiant", lambda one: one["id"]),
    ),
)
def list_callouts() -> None:
    """List call-outs and headcounts, newest first."""


@app.command("start")
@decision("callouts/{id}/start", "Diffusion d’alerte lancée")
def start(id: Callout, reason: Reason = None) -> None:
    """Start a call-out that was drafted: its messages go out now."""


@app.command("stop")
@decision("callouts/{id}/stop", "Diffusion d’alerte arrêtée")
def stop(id: Callout, reason: Reason = None) -> None:
    """Stop a call-out: nobody else is notified. Messages that are out stay out."""


@app.command("show")
def show(id: Callout, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Show costs and progress of a call-out."""
    where = f"/api/v1/callouts/{quote(id, safe='')}" + build_query(realm, as_of)
    callout = call_api("GET", where)
    print_json(callout) if as_json else _show_callout(callout)


def _show_callout(callout: dict[str, Any]) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from services.cli.output import open_console

    console = open_console()
    state = label_state(callout["state"], callout["started_at"] is not None, _)
    console.print(f"Diffusion d’alerte {callout['id']} · {state}", highlight=False)
    for e in callout["estimates"]:
        long = f" ({e['parts']} SMS par personne)" if e["parts"] > 1 else ""
        people_text = _.plural("{n} personne", "{n} personnes", e["people"])
        console.print(
            f"  {translate_code(CHANNEL, e['channel'], _)} : {people_text}, {e['seconds'] // 60} min {e['seconds'] % 60:02}, {e['cost_cents'] / 100:.2f} €{long}"
        )
    if callout["unreachable"]:
        people_text = _.plural("{n} personne", "{n} personnes", callout["unreachable"])
        console.print(f"  {people_text} sans aucun de ces canaux", style="red")
    with Progress(
        TextColumn("  prévenues"), BarColumn(), MofNCompleteColumn(), console=console
    ) as bar:
        bar.add_task("", total=callout["people"] or None, completed=callout["handed"])
    console.print(
        f"  reçus {callout['received']}, réponses {callout['answered']}, échecs {callout['failed']}, douteux {callout['ambiguous']}, "
        f"{callout['spent_cents'] / 100:.2f} € dépensés"
        + (f", fin vers {format_local_time(callout['eta_at'])}" if callout["eta_at"] else "")
    )


headcount_app = create_group("Headcounts: ask everybody at a site whether they are safe.")


@headcount_app.command("start")
@decision("headcounts", "Recensement lancé : vigie headcount list")
def start_headcount(
    site: Annotated[list[str], typer.Argument(help="Sites")],
    incident: OfIncident = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="Channel, in order of preference; may be repeated. Default: app, sms, voice"
        ),
    ] = None,
    realm: Realm = None,
) -> Body:
    """Start a headcount: everybody of these sites is asked now whether they are safe."""
    return {"sites": site, "incident": resolve_incident(incident, realm), "channels": channel}


@headcount_app.command("close")
@decision("headcounts/{id}/close", "Recensement clos")
def close_headcount(
    id: Annotated[str, typer.Argument(help="Id of the headcount, from `vigie headcount list`")],
    reason: Reason = None,
) -> None:
    """Close a headcount by decision, before its share is reached: nobody else is asked."""


@headcount_app.command("list")
def list_headcounts(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """List headcounts with their counts, newest first."""
    where = "/api/v1/headcounts" + build_query(realm, as_of)
    headcount_page = call_api("GET", where)
    if as_json:
        print_json(headcount_page)
        return
    for h in headcount_page["items"]:
        pct = round(100 * h["answered"] / h["people"]) if h["people"] else 0
        typer.echo(
            f"{h['id']} {h['state']} {', '.join(h['sites'])}: {h['answered']}/{h['people']} ({pct} %), "
            f"en sécurité {h['safe']}, besoin d’aide {h['help']}, absents {h['away']}, relances {h['reminded']}"
        )

"""`vigie headcount`: ask everybody of a site whether they are safe.

Rule D37.
"""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.client import call_api
from services.cli.crisis.decide import Body, Reason, decision
from services.cli.crisis.read import AsJson, AsOf, OfIncident, Realm, build_query, resolve_incident
from services.cli.output import create_group, print_json

app = create_group("Headcounts: ask everybody at a site whether they are safe.")


@app.command("start")
@decision("headcounts", "Recensement lancé : vigie headcount list")
def start(
    site: Annotated[list[str], typer.Argument(help="Sites")],
    incident: OfIncident = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Channel, in order of preference [app, sms, voice]; may be repeated"),
    ] = None,
    realm: Realm = None,
) -> Body:
    """Start a headcount."""
    return {"sites": site, "incident": resolve_incident(incident, realm), "channels": channel}


@app.command("close")
@decision("headcounts/{id}/close", "Recensement clos")
def close(
    id: Annotated[str, typer.Argument(help="Id of the headcount, from `vigie headcount list`")],
    reason: Reason = None,
) -> None:
    """Close a headcount by decision."""


@app.command("list")
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

"""`vigie resource`: resource requests and stocks from the shell.

Rule D88.
"""

from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import call_api
from services.cli.crisis.decide import Body, Reason, decision
from services.cli.lists import (
    AsJson,
    AsOf,
    OfIncident,
    Realm,
    build_query,
    format_dated_time,
    format_local_time,
    listing,
    parse_time,
    resolve_incident,
    show_list,
)
from services.cli.output import IDENTIFIER, create_group
from services.console.i18n import get_translator
from services.console.texts import words as w

app = create_group("Resource requests: ask, offer, commit, follow; levels of stocks.")
_ = get_translator("fr")
Request = Annotated[str, typer.Argument(help="Id of the request")]
Time = Annotated[str | None, typer.Option(help="ISO 8601; without offset, Paris time")]


@app.command("list")
@listing(
    "/api/v1/resource-requests",
    "Demandes de moyens",
    (
        ("N°", lambda one: str(one["number"])),
        ("Priorité", lambda one: w.translate_code(w.REQUEST_PRIORITY, one["priority"], _)),
        ("État", lambda one: w.translate_code(w.REQUEST_STATE, one["state"], _)),
        ("Quoi", lambda one: one["title"]),
        ("Pour", lambda one: one["site_name"]),
        ("À partir de", lambda one: format_dated_time(one["from"])),
        ("Arrivée", lambda one: format_local_time(one["eta_at"])),
        (IDENTIFIER, lambda one: one["id"]),
    ),
)
def list_(
    state: Annotated[list[str] | None, typer.Option(help="requested, offered, …")] = None,
    site: Annotated[str | None, typer.Option(help="Requests of this site")] = None,
    kind: Annotated[str | None, typer.Option(help="generator, water, …")] = None,
) -> None:
    """List requests: open ones first, life first."""


@app.command("stocks")
@listing(
    "/api/v1/stocks",
    "Stocks",
    (
        (IDENTIFIER, lambda one: one["id"]),
        ("Quoi", lambda one: one["name"]),
        ("Lieu", lambda one: one["site_name"]),
        ("Libre", lambda one: str(one["available"])),
        ("Réservé", lambda one: str(one["reserved"])),
        ("Engagé", lambda one: str(one["engaged"])),
        ("En tout", lambda one: str(one["quantity"])),
    ),
)
def list_stocks(
    kind: Annotated[str | None, typer.Option(help="generator, water, …")] = None,
) -> None:
    """List stocks with their free, reserved and engaged quantities."""


@app.command("suggest")
def suggest(
    request: Request, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False
) -> None:
    """List the offers that could be made for a request, best first, with the reason."""
    path = f"/api/v1/resource-requests/{quote(request, safe='')}{build_query(realm, as_of)}"
    answer = call_api("GET", path)
    show_list(
        {"items": answer["suggestions"] or []},
        as_json,
        answer["title"],
        (
            ("Stock ou partenaire", lambda one: one["stock"] or one["partner"]),
            ("Nom", lambda one: one["name"]),
            ("Combien", lambda one: str(one["quantity"])),
            ("Arrivée", lambda one: format_local_time(one["eta_at"])),
            ("Coût", lambda one: "" if one["cost_eur"] is None else f"{one['cost_eur']} €"),
            ("Pourquoi", lambda one: one["text"]),
        ),
    )


@app.command("ask")
@decision("resource-requests", "Demande envoyée", creates="request")
def ask(
    kind: Annotated[str, typer.Argument(help="generator, pump, water, meals, people, …")],
    quantity: Annotated[int, typer.Argument(min=1, help="How many")],
    site: Annotated[str, typer.Option(help="For which site")],
    metier: Annotated[str | None, typer.Option(help="Job family, for people")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="ISO 8601; default: as soon as possible")
    ] = None,
    until: Time = None,
    priority: Annotated[str, typer.Option(help="life, continuity, comfort")] = "continuity",
    incident: OfIncident = None,
    reason: Annotated[str | None, typer.Option(help="Details; kept encrypted")] = None,
    realm: Realm = None,
) -> Body:
    """Request a resource for a site."""
    return {
        "kind": kind,
        "quantity": quantity,
        "site": site,
        "metier": metier,
        "from": parse_time(start) if start else None,
        "until": parse_time(until) if until else None,
        "priority": priority,
        "incident": resolve_incident(incident, realm),
        "reason": reason,
    }


@app.command("offer")
@decision("resource-requests/{request}:offer", "Moyen réservé", is_versioned=True)
def offer(
    request: Request,
    stock: Annotated[str | None, typer.Option(help="Stock to reserve from")] = None,
    partner: Annotated[str | None, typer.Option(help="Partner that offers")] = None,
    quantity: Annotated[int | None, typer.Option(min=1, help="Default: what is needed")] = None,
    eta: Time = None,
    cost: Annotated[int | None, typer.Option(min=0, help="Whole cost in euros")] = None,
    expires: Time = None,
) -> Body:
    """Offer a resource from a stock, which reserves it, or from a partner."""
    return {
        "stock": stock,
        "partner": partner,
        "quantity": quantity,
        "eta_at": parse_time(eta) if eta else None,
        "cost_eur": cost,
        "expires_at": parse_time(expires) if expires else None,
    }


@app.command("commit")
@decision("resource-requests/{request}:commit", "Moyen promis", is_versioned=True)
def commit(
    request: Request,
    offer: Annotated[
        list[str] | None, typer.Option(help="Offer to take; default: the best that cover it")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Also less than requested")] = False,
) -> Body:
    """Commit offers: from now on they are promised to the site."""
    return {"offers": offer or [], "partial": partial}


@app.command("depart")
@decision("resource-requests/{request}:depart", "En route", is_versioned=True)
def depart(request: Request, eta: Time = None) -> Body:
    """Record that the resource has left."""
    return {"eta_at": parse_time(eta) if eta else None}


@app.command("arrive")
@decision("resource-requests/{request}:arrive", "Sur place", is_versioned=True)
def arrive(request: Request) -> None:
    """Record that the resource is in place."""


@app.command("release")
@decision("resource-requests/{request}:release", "Moyen rendu", is_versioned=True)
def release(request: Request, reason: Reason = None) -> None:
    """Release the resource; it goes back unless it was used up."""


@app.command("cancel")
@decision("resource-requests/{request}:cancel", "Demande annulée", is_versioned=True)
def cancel(
    request: Request, reason: Annotated[str, typer.Option(help="Why; kept encrypted")]
) -> None:
    """Cancel a request before anything is in place."""


@app.command("count")
@decision("stocks/{stock}:count", "Stock compté")
def count(
    stock: Annotated[str, typer.Argument(help="Id of the stock")],
    quantity: Annotated[int, typer.Argument(min=0, help="Including what is out now")],
) -> None:
    """Record a count of a stock."""

"""`vigie resource`: resource requests and stocks from the shell.

Rule D88.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error
from services.cli.crisis.decide import Expected, Key, Reason, post_decision
from services.cli.crisis.read import (
    AsJson,
    AsOf,
    Limit,
    OfIncident,
    Realm,
    build_query,
    fetch_list,
    format_local_time,
    parse_time,
    resolve_incident,
    show_list,
)
from services.cli.output import IDENTIFIER
from services.console.i18n import get_translator
from services.console.texts import words as w
from services.runtime.process.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Resource requests: ask, offer, commit, follow; levels of stocks.",
)
_ = get_translator("fr")
Request = Annotated[str, typer.Argument(help="Id of the request")]
Time = Annotated[str | None, typer.Option(help="ISO 8601; without offset, Paris time")]


@app.command("list")
def list_(
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[list[str] | None, typer.Option(help="requested, offered, …")] = None,
    site: Annotated[str | None, typer.Option(help="Requests of this site")] = None,
    kind: Annotated[str | None, typer.Option(help="generator, water, …")] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List requests: open ones first, life first."""
    found = fetch_list(
        "/api/v1/resource-requests", realm, as_of, limit, state=state, site=site, kind=kind
    )
    show_list(
        found,
        as_json,
        "Demandes de moyens",
        (
            ("N°", lambda one: str(one["number"])),
            ("Priorité", lambda one: w.translate_code(w.REQUEST_PRIORITY, one["priority"], _)),
            ("État", lambda one: w.translate_code(w.REQUEST_STATE, one["state"], _)),
            ("Quoi", lambda one: one["title"]),
            ("Pour", lambda one: one["site_name"]),
            ("À partir de", lambda one: format_local_time(one["from"])),
            ("Arrivée", lambda one: format_local_time(one["eta_at"])),
            (IDENTIFIER, lambda one: one["id"]),
        ),
    )


@app.command("stocks")
def list_stocks(
    realm: Realm = None,
    as_of: AsOf = None,
    kind: Annotated[str | None, typer.Option(help="generator, water, …")] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List stocks with their free, reserved and engaged quantities."""
    found = fetch_list("/api/v1/stocks", realm, as_of, limit, kind=kind)
    show_list(
        found,
        as_json,
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


@app.command("suggest")
def suggest(
    request: Request, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False
) -> None:
    """List the offers that could be made for a request, best first, with the reason."""
    path = f"/api/v1/resource-requests/{quote(request, safe='')}{build_query(realm, as_of)}"
    try:
        with ApiClient(Settings()) as client:
            found = client.get(path)
    except (VigieUnreachable, ApiRefused) as exc:
        raise print_error(exc) from exc
    show_list(
        {"items": found["suggestions"] or [], "next": None},
        as_json,
        found["title"],
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
def ask(
    kind: Annotated[str, typer.Argument(help="generator, pump, water, meals, people, …")],
    quantity: Annotated[int, typer.Argument(min=1)],
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
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Request a resource for a site."""
    body = {
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
    post_decision(
        "resource-requests", realm, body, key=key, as_json=as_json, done="Demande envoyée"
    )


@app.command("offer")
def offer(
    request: Request,
    stock: Annotated[str | None, typer.Option(help="Stock to reserve from")] = None,
    partner: Annotated[str | None, typer.Option(help="Partner that offers")] = None,
    quantity: Annotated[int | None, typer.Option(min=1, help="Default: what is needed")] = None,
    eta: Time = None,
    cost: Annotated[int | None, typer.Option(min=0, help="Whole cost in euros")] = None,
    expires: Time = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Offer a resource from a stock, which reserves it, or from a partner."""
    body = {
        "stock": stock,
        "partner": partner,
        "quantity": quantity,
        "eta_at": parse_time(eta) if eta else None,
        "cost_eur": cost,
        "expires_at": parse_time(expires) if expires else None,
    }
    _post_step(request, "offer", realm, body, expected, key, as_json, "Moyen réservé")


@app.command("commit")
def commit(
    request: Request,
    offer: Annotated[
        list[str] | None, typer.Option(help="Offer to take; default: the best that cover it")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Also less than requested")] = False,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Commit offers: the promise."""
    body = {"offers": offer or [], "partial": partial}
    _post_step(request, "commit", realm, body, expected, key, as_json, "Moyen promis")


@app.command("depart")
def depart(
    request: Request,
    eta: Time = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Record that the resource has left."""
    body = {"eta_at": parse_time(eta) if eta else None}
    _post_step(request, "depart", realm, body, expected, key, as_json, "En route")


@app.command("arrive")
def arrive(
    request: Request,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Record that the resource is in place."""
    _post_step(request, "arrive", realm, {}, expected, key, as_json, "Sur place")


@app.command("release")
def release(
    request: Request,
    realm: Realm = None,
    reason: Reason = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Release the resource; it goes back unless it was used up."""
    body = {"reason": reason}
    _post_step(request, "release", realm, body, expected, key, as_json, "Moyen rendu")


@app.command("cancel")
def cancel(
    request: Request,
    reason: Annotated[str, typer.Option(help="Why; kept encrypted")],
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a request before anything is in place."""
    body = {"reason": reason}
    _post_step(request, "cancel", realm, body, expected, key, as_json, "Demande annulée")


@app.command("count")
def count(
    stock: Annotated[str, typer.Argument(help="Id of the stock")],
    quantity: Annotated[int, typer.Argument(min=0, help="Including what is out now")],
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Record a count of a stock."""
    path = f"stocks/{quote(stock, safe='')}:count"
    post_decision(
        path, realm, {"quantity": quantity}, key=key, as_json=as_json, done="Stock compté"
    )


def _post_step(
    request: str,
    verb: str,
    realm: str | None,
    body: dict[str, Any],
    expected: int | None,
    key: str | None,
    as_json: bool,
    done: str,
) -> None:
    path = f"resource-requests/{quote(request, safe='')}:{verb}"
    post_decision(path, realm, body, key=key, expected=expected, as_json=as_json, done=done)

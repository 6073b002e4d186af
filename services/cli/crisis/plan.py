"""`vigie plan`: show a plan, list and complete cards of sites, decide. Rules D49, D83–D85."""

from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.words import CardState
from services.cli.client import call_api
from services.cli.crisis.decide import Body, Card, Force, Plan, Reason, decision, quote_path
from services.cli.crisis.documents import download_document, write_file
from services.cli.lists import (
    AsJson,
    AsOf,
    Filters,
    OfIncident,
    Realm,
    build_query,
    format_local_time,
    listing,
    parse_time,
    resolve_incident,
)
from services.cli.output import create_group, print_json, print_rows
from services.console.i18n import get_translator
from services.console.texts import words as w

_ = get_translator("fr")
DEEDS_SHOWN = 10

plan = create_group("Show a plan and its cards, decide on it.")


@plan.command("show")
def show_plan(id: Plan, realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Show a plan: its content, the progress of its cards, the effects of its activation."""
    plan_detail = call_api("GET", f"/api/v1/plans/{quote_path(id)}{build_query(realm, as_of)}")
    if as_json:
        print_json(plan_detail)
        return
    content, effects = plan_detail["content"] or {}, plan_detail["activation"]
    typer.secho(
        f"{plan_detail['title']} ({w.translate_code(w.PLAN_STATE, plan_detail['state'], _)})",
        bold=True,
    )
    if content.get("purpose"):
        typer.echo(content["purpose"])
    if plan_detail["state"] not in ("active", "partly_active", "recovering"):
        effect_texts = (
            _.plural("{n} fiche du plan", "{n} fiches du plan", effects["cards"]),
            _.plural(
                "{n} site avec ses propres fiches",
                "{n} sites avec leurs propres fiches",
                len(effects["sites"]),
            ),
            _.plural(
                "{n} message aux responsables de site",
                "{n} messages aux responsables de site",
                effects["messages"],
            ),
        )
        typer.echo(f"À l’activation : {', '.join(effect_texts)}")
    steps = {card["id"]: card["steps"] for card in content.get("cards", ())}
    print_rows(
        "Fiches",
        ("Identifiant", "Fiche", "Rôle", "Avant", "État", "Étapes"),
        [
            (
                card["id"],
                card["task"],
                w.translate_code(w.ROLE, card["role"], _),
                format_local_time(card["due_at"]),
                _describe_state(card),
                str(len(steps.get(card["id"], ()))),
            )
            for card in plan_detail["cards"]
        ],
    )


def _describe_state(card: dict[str, Any]) -> str:
    progress = card["progress"]
    if progress is None:
        return w.translate_code(w.CARD_STATE, card["state"], _) + (
            ", en retard" if card["overdue"] else ""
        )
    closed_count = progress["done"] + progress["not_applicable"]
    late = f", {progress['overdue']} en retard" if progress["overdue"] else ""
    return f"{closed_count} sur {progress['total']}{late}"


@plan.command("pdf")
def print_plan(
    id: Plan,
    file: Annotated[Path, typer.Argument(help="PDF to write", dir_okay=False)],
    realm: Realm = None,
    as_of: AsOf = None,
) -> None:
    """Write the content of a plan as PDF: minimal mode, recovery order, cards by role."""
    path = f"/api/v1/plans/{quote_path(id)}/pdf"
    write_file(file, download_document(path, realm, as_of).content)


@plan.command("proof")
def show_proof(
    id: Annotated[str | None, typer.Argument(help="Id of the plan; default: all plans")] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Show the proven share of each plan, or of one, and the change that helps most."""
    path = "plan-proofs" if id is None else f"plans/{quote_path(id)}/proof"
    answer = call_api("GET", f"/api/v1/{path}{build_query(realm, as_of)}")
    if as_json:
        print_json(answer)
    elif id is None:
        _print_proofs(answer)
    else:
        _print_proof(answer)


def _print_proofs(proofs: dict[str, Any]) -> None:
    if proofs["pct"] is not None:
        typer.secho(f"Plans prouvés à {_format_pct(proofs['pct'])}", bold=True)
    print_rows(
        "Par pôle",
        ("Pôle", "Prouvé"),
        [(one["name"], _format_pct(one["pct"])) for one in proofs["poles"]],
    )
    print_rows(
        "Par plan",
        ("Plan", "Prouvé", "Ce qui aiderait le plus", "Gain"),
        [
            (
                one["id"],
                _format_pct(one["pct"]),
                one["best"]["text"] if one["best"] else "",
                _format_gain(one["best"]["gain"]) if one["best"] else "",
            )
            for one in proofs["items"]
        ],
    )


def _print_proof(proof: dict[str, Any]) -> None:
    typer.secho(f"{proof['title']} : prouvé à {_format_pct(proof['pct'])}", bold=True)
    print_rows(
        "Preuves",
        ("Preuve", "Acquis", "Part"),
        [
            (one["name"], f"{one['proven']} sur {one['total']}", _format_pct(one["pct"]))
            for one in proof["shares"]
        ],
    )
    print_rows(
        "Ce qui aiderait le plus",
        ("Geste", "Gain", "Écran"),
        [
            (one["text"], _format_gain(one["gain"]), one["path"])
            for one in proof["changes"][:DEEDS_SHOWN]
        ],
    )


def _format_pct(value: float) -> str:
    return f"{w.format_number(value, 'fr')}\u00a0%"


def _format_gain(value: float) -> str:
    return f"+ {w.format_number(value, 'fr')} points"


@plan.command("cards")
@listing(
    "/api/v1/site-cards",
    "Fiches par site",
    (
        ("Avant", lambda c: format_local_time(c["due_at"])),
        ("Site", lambda c: c["name"] or c["role"]),
        ("Fiche", lambda c: c["task"]),
        (
            "État",
            lambda c: (
                w.translate_code(w.CARD_STATE, c["state"], _)
                + (", en retard" if c["overdue"] else "")
            ),
        ),
        ("Identifiants", lambda c: " ".join((c["plan"], c["card"], c["site"] or ""))),
    ),
)
def list_cards(
    id: Annotated[str | None, typer.Argument(help="Id of the plan; default: all plans")] = None,
    site: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
    card: Annotated[str | None, typer.Option(help="Id of the card")] = None,
    state: Annotated[list[CardState] | None, typer.Option(help="May be repeated")] = None,
) -> Filters:
    """List the cards of sites: one per site and card of an active plan."""
    return {
        "plan": id,
        "site": site or None,
        "card": card,
        "state": [one.value for one in state] if state else None,
    }


@plan.command("complete")
@decision("plans/{id}/cards/{card}:complete", "Fiche faite")
def complete_card(
    id: Plan,
    card: Card,
    site: Annotated[str | None, typer.Option(help="Site, for a card with one per site")] = None,
    number: Annotated[float | None, typer.Option(help="Evidence: a number")] = None,
    at: Annotated[str | None, typer.Option(help="Evidence: a time, ISO 8601")] = None,
    reason: Reason = None,
) -> Body:
    """Complete a card, of one site if every site has its own; --reason is evidence in words."""
    proof = {"number": number, "at": parse_time(at) if at else None}
    proof_values = {name: value for name, value in proof.items() if value is not None}
    return {"site": site, "reason": reason, "proof": proof_values or None}


@plan.command("activate")
@decision("plans/{plan}/activate", "{plan} activé", is_versioned=True)
def activate(
    plan: Plan,
    realm: Realm = None,
    incident: OfIncident = None,
    level: Annotated[
        int | None, typer.Option(min=0, max=4, help="Level of the plan; default: the proposed one")
    ] = None,
    reason: Reason = None,
) -> Body:
    """Activate a plan, proposed or not."""
    return {"incident": resolve_incident(incident, realm), "level": level, "reason": reason}


@plan.command("refuse")
@decision("plans/{plan}/refuse", "{plan} refusé", is_versioned=True)
def refuse(plan: Plan, reason: Reason = None) -> None:
    """Refuse a proposed plan."""


@plan.command("postpone")
@decision("plans/{plan}/postpone", "{plan} différé", is_versioned=True)
def postpone(
    plan: Plan,
    until: Annotated[
        str, typer.Option(help="When it is proposed again: ISO 8601; without offset, Paris time")
    ],
    reason: Reason = None,
) -> Body:
    """Postpone the decision on a proposed plan."""
    return {"until": parse_time(until), "reason": reason}


@plan.command("stand-down")
@decision("plans/{plan}/stand-down", "{plan} levé", is_versioned=True)
def stand_down(plan: Plan, reason: Reason = None, force: Force = False) -> None:
    """Stand a plan down."""

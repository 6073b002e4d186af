"""`vigie ledger`: the costs of a crisis from the shell. Rule D93."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import call_api
from services.cli.crisis.documents import Html, Pdf, download_document, show_document, write_file
from services.cli.lists import (
    AsJson,
    AsOf,
    Filters,
    Realm,
    Row,
    build_query,
    format_local_time,
    listing,
    resolve_incident,
    show_list,
)
from services.cli.output import create_group
from services.console.i18n import get_translator
from services.console.ledger.resources import COST_KIND, format_quantity
from services.console.texts import words as w

app = create_group("Costs: lines, sums, tables and the document to print.")
_ = get_translator("fr")
Incident = Annotated[str | None, typer.Option(help="Id or number of an incident")]
Pole = Annotated[str | None, typer.Option(help="Id of a pôle")]
Kind = Annotated[str | None, typer.Option(help="agent_days, travel, resource, fuel, message")]
Claim = Annotated[
    str | None, typer.Option(help="Declaration to an insurer; see `obligation rules`")
]


def _format_amount(eur: float | None) -> str:
    return _("sans prix") if eur is None else w.format_euros(round(eur * 100), "fr")


def _format_quantity(line: Row) -> str:
    return format_quantity(line["quantity"], line["unit"], _)


def _collect_filters(
    incident: str | None, pole: str | None, kind: str | None, claim: str | None
) -> Filters:
    return {"incident": incident, "pole": pole, "kind": kind, "claim": claim}


@app.command("list")
@listing(
    "/api/v1/ledger",
    "Dépenses",
    (
        ("Date", lambda line: format_local_time(line["at"])),
        ("Nature", lambda line: w.translate_code(COST_KIND, line["kind"], _)),
        ("Objet", lambda line: line["what"]),
        ("Quantité", _format_quantity),
        ("Montant", lambda line: _format_amount(line["amount_eur"])),
        ("Prix", lambda line: "provisoire" if line["draft"] else ""),
        ("Source", lambda line: line["source"]),
    ),
)
def list_(
    incident: Incident = None, pole: Pole = None, kind: Kind = None, claim: Claim = None
) -> None:
    """List the costs with their sources in the log, newest first."""


@app.command("totals")
def show_totals(
    realm: Realm = None,
    as_of: AsOf = None,
    incident: Incident = None,
    pole: Pole = None,
    kind: Kind = None,
    claim: Claim = None,
    as_json: AsJson = False,
) -> None:
    """Show the sums by kind, incident, pôle and declaration to an insurer."""
    filters = _collect_filters(resolve_incident(incident, realm), pole, kind, claim)
    totals = call_api("GET", f"/api/v1/ledger-totals{build_query(realm, as_of, **filters)}")
    if as_json:
        typer.echo(json.dumps(totals, ensure_ascii=False, indent=2))
        return
    groups = {"kinds": "Nature", "incidents": "Incident", "poles": "Pôle", "claims": "Dossier"}
    sums = [{"group": label, **one} for group, label in groups.items() for one in totals[group]]
    total = {"group": "Total", "title": "", **totals}
    show_list(
        {"items": [*sums, total]},
        False,
        "Dépenses",
        (
            ("Par", lambda one: one["group"]),
            ("", lambda one: one["title"]),
            ("Lignes", lambda one: str(one["lines"])),
            ("Montant", lambda one: _format_amount(one["amount_eur"])),
            ("Dont provisoire", lambda one: _format_amount(one["draft_eur"])),
            ("Sans prix", lambda one: str(one["unpriced"] or "")),
        ),
    )


@app.command("document")
def show_ledger(
    realm: Realm = None,
    as_of: AsOf = None,
    incident: Incident = None,
    pole: Pole = None,
    kind: Kind = None,
    claim: Claim = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the lines as CSV here", dir_okay=False)
    ] = None,
    ods: Annotated[
        Path | None, typer.Option("--ods", help="Write the lines as ODS here", dir_okay=False)
    ] = None,
    pdf: Pdf = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Show the costs as a document to print, or write them as CSV, ODS, PDF or HTML."""
    filters = _collect_filters(resolve_incident(incident, realm), pole, kind, claim)
    for file, form in ((csv, "csv"), (ods, "ods")):
        if file is not None:
            table = download_document("/api/v1/ledger", realm, as_of, format=form, **filters)
            write_file(file, table.content)
    if pdf or html or as_json or not (csv or ods):
        show_document(
            "/api/v1/ledger-document", realm, as_of, as_json=as_json, pdf=pdf, html=html, **filters
        )

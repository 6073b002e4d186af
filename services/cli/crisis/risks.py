"""`vigie risks`: probability that limits of activities break, and the effect of decisions."""

from __future__ import annotations

import json

import typer

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error
from services.cli.crisis.read import AsJson, AsOf, Realm, build_query, format_local_time
from services.cli.output import print_rows, strip_controls
from services.console.i18n import get_translator
from services.console.risk.page import write_percent
from services.runtime.process.settings import Settings

_ = get_translator("fr")


def risks(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """List interrupted activities with the probability that RTO and DMIA break."""
    try:
        with ApiClient(Settings()) as client:
            answer = client.get(f"/api/v1/risks{build_query(realm, as_of)}")
    except (VigieUnreachable, ApiRefused) as error:
        raise print_error(error) from error
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    rows = []
    for one in answer["items"]:
        name = f"{one['activity']} {strip_controls(one['name'])}"
        rows.append(
            (
                name,
                "",
                _write(one["rto_pct"]),
                _write(one["dmia_pct"]),
                format_local_time(one["back_at"]),
            )
        )
        rows += [
            (
                "",
                f"avec {strip_controls(d['name'])}",
                _write(d["rto_pct"]),
                _write(d["dmia_pct"]),
                "",
            )
            for d in one["decisions"]
        ]
    basis = f"{answer['draws']} tirages, retours observés : {answer['returns_seen']}"
    print_rows(
        f"risque de rupture ({basis})",
        ("Activité", "Décision", "RTO", "DMIA", "Retour probable"),
        rows,
    )


def _write(pct: float | None) -> str:
    return "" if pct is None else write_percent(pct, _)

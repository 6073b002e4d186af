"""`vigie hazards` and `vigie risks`: coming losses, and the work before them.

A hazard has an hour at each site. A limit of an activity has a probability to break, and decisions
change it.
"""

import typer

from services.cli.client import call_api
from services.cli.lists import AsJson, AsOf, Realm, Row, build_query, format_local_time
from services.cli.output import print_json, print_rows, strip_controls
from services.console.hazards.page import HAZARDS, write_margin
from services.console.i18n import get_translator
from services.console.risk.page import write_percent

_ = get_translator("fr")
_STATES = {"expected": "attendu", "possible": "possible", "reached": "atteint"}


def risks(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """List interrupted activities with the probability that RTO and DMIA break."""
    answer = call_api("GET", f"/api/v1/risks{build_query(realm, as_of)}")
    if as_json:
        print_json(answer)
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


def hazards(realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """List the sites that a natural hazard reaches, with hour, margin and deadlines."""
    answer = call_api("GET", f"/api/v1/hazards{build_query(realm, as_of)}")
    if as_json:
        print_json(answer)
        return
    if not answer["items"]:
        typer.echo("aucun aléa en vue")
    for item in answer["items"]:
        _print_hazard(item)


def _print_hazard(item: Row) -> None:
    title = _(HAZARDS[item["hazard"]])
    if item["peak_m"] is not None:
        title += f" : {item['level_m']:.2f} m, {item['peak_m']:.2f} m "
        title += format_local_time(item["peak_at"])
    print_rows(
        title,
        ("Site", "Nom", "État", "Heure", "±", "Préparer avant", "Fermer avant", "Activités"),
        [
            (
                site["site"],
                strip_controls(site["name"]),
                _STATES[site["state"]],
                format_local_time(site["at"] or site["earliest"]),
                "" if site["margin_min"] is None else write_margin(site["margin_min"], _),
                format_local_time(site["prepare_by"]),
                "déjà fermé" if site["closed"] else format_local_time(site["close_by"]),
                ", ".join(one["id"] for one in site["activities"][:3]),
            )
            for site in item["sites"]
        ],
    )
    for group in item["closures"]:
        at, count = format_local_time(group["by"]), len(group["sites"])
        typer.echo(
            _.plural("fermer {n} site avant {at}", "fermer {n} sites avant {at}", count, at=at)
        )

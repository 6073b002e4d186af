"""`vigie territory`: check reference data in a folder, propose it, or load it at once.

Rule D63.
"""

import asyncio
import os
import shutil
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from rich.table import Table

from schemas.reassignment import ACTIVE_LINE_STATES
from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error, require_broker
from services.cli.crisis.decide import Key
from services.cli.data import territory_changes, territory_records
from services.cli.data.official_days import official_days
from services.cli.data.trial import load_checked_territory
from services.cli.lists import AsJson, Realm
from services.cli.output import create_group, open_console, print_json
from services.console.i18n import get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.texts.world import FORMER_KIND
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process.settings import Settings
from services.territory import Territory, TerritoryInvalid
from services.territory.official_days import PARIS, list_calendar_warnings, write_days_off
from services.territory.publish import publish_territory

app = create_group("Reference data: check a folder, propose it, or load it at once.")
TELEWORK: Final = "telework"
TROUBLED: Final = "degraded,closed,evacuated,sheltering,unknown"
"""Statuses of sites with a cause, as the list of sites filters them."""
Folder = Annotated[
    Path, typer.Argument(help="Folder like territories/92", exists=True, file_okay=False)
]


def _load_territory(folder: Path) -> Territory:
    try:
        return load_checked_territory(folder)
    except TerritoryInvalid as exc:
        raise _print_problems(folder, exc) from exc


def _print_problems(folder: Path, exc: TerritoryInvalid) -> typer.Exit:
    """Print the problems of a folder and return the exit to raise."""
    for problem in exc.problems:
        typer.secho(os.path.join(folder, str(problem)), err=True, fg="red")  # noqa: PTH118  a sentence follows
    typer.secho(f"{len(exc.problems)} problem{'' if len(exc.problems) == 1 else 's'}", err=True)
    return typer.Exit(1)


@app.command()
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Check a folder; name each problem with file and line.

    Finds unknown ids, impossible times, uncovered roles and others. `--json`: `{version, sections,
    problems, warnings}`, also for a folder with problems.
    """
    try:
        territory = load_checked_territory(folder)
    except TerritoryInvalid as exc:
        if as_json:
            print_json(
                {
                    "version": None,
                    "sections": [],
                    "problems": [
                        {"file": p.file, "line": p.line, "what": p.what} for p in exc.problems
                    ],
                }
            )
        raise _print_problems(folder, exc) from exc
    warnings = list(list_calendar_warnings(territory.policy, datetime.now(PARIS).date()))
    if as_json:
        sections = [
            {"section": s.section.value, "bytes": len(s.model_dump_json())}
            for s in territory.sections
        ]
        summary = {
            "version": territory.version,
            "sections": sections,
            "problems": [],
            "warnings": warnings,
        }
        print_json(summary)
        return
    for warning in warnings:
        typer.secho(f"{folder}/escalade.yaml: {warning}", err=True, fg="yellow")
    table = Table(title=f"{folder}: version {territory.version}")
    table.add_column("Section")
    table.add_column("Bytes", justify="right")
    for section in territory.sections:
        table.add_row(str(section.section), str(len(section.model_dump_json())))
    open_console().print(table)


@app.command()
def copy(
    folder: Annotated[
        Path, typer.Argument(help="New folder, named as its live realm: /srv/territories/92")
    ],
) -> None:
    """Copy the installed territory to a new folder, which you change and name in VIGIE_TERRITORY.

    A wheel is replaced at each upgrade, with all changes in it.
    """
    source = Settings().territory
    try:
        shutil.copytree(source, folder)
    except FileExistsError as exc:
        raise print_error(f"{folder} exists already: name a new folder") from exc
    except OSError as exc:
        reason = exc.strerror or "the disk took not all of it"
        raise print_error(f"{folder} cannot be written: {reason}") from exc
    typer.echo(f"{folder}: a copy of {source}")
    typer.echo(f"Next: change it, `vigie territory check {folder}`, then set VIGIE_TERRITORY")


@app.command()
def holidays(
    folder: Folder,
    zone: Annotated[
        str, typer.Option(help="Zone of the school holidays, a column of vacances_scolaires.csv")
    ] = "C",
    country: Annotated[str, typer.Option(help="Country of the public holidays")] = "FR",
    years: Annotated[int, typer.Option(min=1, max=10, help="Number of years, from this one")] = 3,
) -> None:
    """Load the official public and school holidays into `escalade.yaml` of a folder.

    Public holidays follow the law of the country, school holidays the file `vacances_scolaires.csv`
    of the folder. Clocks of activities that are closed on these days stand still. Propose or load
    the version afterwards.
    """
    try:
        days, spans = write_days_off(folder, country, zone, datetime.now(PARIS).year, years)
    except TerritoryInvalid as exc:
        raise _print_problems(folder, exc) from exc
    typer.echo(
        f"{days} public holidays and {spans} school holidays of zone {zone} in {folder}/escalade.yaml"
    )
    for warning in list_calendar_warnings(
        _load_territory(folder).policy, datetime.now(PARIS).date()
    ):
        typer.secho(f"{folder}/escalade.yaml: {warning}", err=True, fg="yellow")


@app.command()
def load(
    folder: Folder,
    realm: Annotated[
        str | None,
        typer.Option(help="Realm to publish to; default: the live realm of the territory"),
    ] = None,
    release: Annotated[
        bool,
        typer.Option(
            "--release",
            help="Accept that a site with reassigned agents or an open incident is dropped",
        ),
    ] = False,
) -> None:
    """Publish a version to a realm at once, without a second person.

    For the first version, an exercise, or an emergency. It is ordered like any other input, and
    decisions cite it from its last section on. A version without a site from or to which agents are
    reassigned, or that has an open incident, is refused with the list, unless --release accepts it.
    """
    territory, settings = _load_territory(folder), Settings()
    name = realm or territory.code
    if not release and (sites := _list_sites_in_incidents(settings, name, territory)):
        raise _refuse_sites(sites)
    if (
        ended_reassignments := _list_ended_reassignments(settings, name, territory)
    ) and not _show_ended_reassignments(ended_reassignments, release=release):
        raise typer.Exit(1)

    async def publish() -> None:
        async with RecordProducer(
            settings.kafka, InputMarks.open(settings.data.secrets)
        ) as producer:
            await publish_territory(producer, territory, name)

    require_broker(settings)
    try:
        asyncio.run(publish())
    except BrokerAway as exc:
        raise print_error(exc) from exc
    typer.echo(f"version {territory.version} published to realm {name}")


@app.command()
def propose(
    folder: Folder,
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    effective: Annotated[
        str | None,
        typer.Option(
            help=(
                "When it comes into force, ISO 8601; without offset, Paris time. Default: at its "
                "approval"
            )
        ),
    ] = None,
    realm: Realm = None,
    release: Annotated[
        bool,
        typer.Option(
            "--release",
            help="Accept that a site with reassigned agents or an open incident is dropped",
        ),
    ] = False,
    whatif: Annotated[
        bool, typer.Option("--whatif/--no-whatif", help="Replay recorded crises with it first")
    ] = True,
    last: Annotated[
        int, typer.Option(min=1, help="Largest number of crises, newest first")
    ] = territory_changes.DEFAULT_CRISES,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Propose a version, which another person approves.

    First shows its differences and its effect on recorded crises.
    """
    territory, settings = _load_territory(folder), Settings()
    if (
        ended_reassignments := _list_ended_reassignments(
            settings, realm or territory.code, territory
        )
    ) and not _show_ended_reassignments(ended_reassignments, release=release):
        raise typer.Exit(1)
    territory_changes.propose(
        territory,
        settings,
        realm=realm,
        effective=effective,
        reason=reason,
        release=release,
        last=last if whatif else None,
        yes=yes,
        key=key,
        as_json=as_json,
    )


app.command("official-days")(official_days)
app.command("changes")(territory_changes.changes)
app.command("records")(territory_records.records)
app.command("record")(territory_records.record)
app.command("edit")(territory_records.edit)
app.command("new")(territory_records.new)
app.command("retire")(territory_records.retire)
app.command("reviews")(territory_records.reviews)
app.command("confirm")(territory_records.confirm)
app.command("approve")(territory_changes.approve)
app.command("decline")(territory_changes.decline)
app.command("withdraw")(territory_changes.withdraw)


def _list_sites_in_incidents(
    settings: Settings, realm: str, territory: Territory
) -> list[dict[str, Any]]:
    """List sites with an open cause that the version drops; empty if nothing answers yet."""
    kept_sites, dropped_sites, cursor = {site.id for site in territory.sites}, [], ""
    while True:
        query = {"realm": realm, "status": TROUBLED} | ({"cursor": cursor} if cursor else {})
        page = _fetch_present(settings, f"/api/v1/sites?{urlencode(query)}")
        dropped_sites += [
            site
            for site in page["items"]
            if site["causes"] and site["id"] not in kept_sites and site["kind"] != FORMER_KIND
        ]
        if not (cursor := page.get("next") or ""):
            return dropped_sites


def _fetch_present(settings: Settings, path: str) -> dict[str, Any]:
    """Return a page of a list; an empty one if nothing answers yet, or if the realm opens."""
    try:
        with ApiClient(settings) as client:
            page: dict[str, Any] = client.get(path)
            return page
    except VigieUnreachable:
        return {"items": []}
    except ApiRefused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return {"items": []}
        raise print_error(error) from error


def _refuse_sites(sites: list[dict[str, Any]]) -> typer.Exit:
    """Show the sites in incidents that the version drops."""
    for site in sites:
        typer.secho(f"{site['name']} ({site['id']})", err=True)
    typer.secho(
        "refusé\u00a0: ces sites ont un incident ouvert. --release les retire quand même ; leurs "
        "incidents restent ouverts jusqu’à ce que quelqu’un les ferme.",
        err=True,
        fg="red",
    )
    return typer.Exit(1)


def _list_ended_reassignments(
    settings: Settings, realm: str, territory: Territory
) -> list[dict[str, Any]]:
    """List active reassignment lines that the version would end.

    Empty if nothing answers yet: then no reassignment exists.
    """
    valid_places, ended_reassignments, cursor = (
        {site.id for site in territory.sites} | {TELEWORK},
        [],
        "",
    )
    states = ",".join(("approved", *ACTIVE_LINE_STATES))
    while True:
        parameters = {"realm": realm, "state": states} | ({"cursor": cursor} if cursor else {})
        page = _fetch_present(settings, f"/api/v1/reassignments/lines?{urlencode(parameters)}")
        ended_reassignments += [
            x
            for x in page["items"]
            if not {x["from"]["site"], x["to"]["site"], x["need_site"] or TELEWORK} <= valid_places
        ]
        if not (cursor := page.get("next") or ""):
            return ended_reassignments


def _show_ended_reassignments(ended_reassignments: list[dict[str, Any]], *, release: bool) -> bool:
    """Show the agents with a reassignment that the version ends.

    Returns whether --release allows it.
    """
    table = Table(
        title=get_translator("fr").plural(
            "{n} agent réaffecté d’un site que cette version n’a plus",
            "{n} agents réaffectés de sites que cette version n’a plus",
            sum(x["count"] for x in ended_reassignments),
        )
    )
    for column in ("De", "Vers", "Métier", "Agents"):
        table.add_column(column)
    for x in ended_reassignments:
        table.add_row(
            x["from"]["site"], x["to"]["site"], x["metier_name"], format_small_count(x["count"])
        )
    open_console(stderr=not release).print(table)
    if not release:
        typer.secho(
            (
                "refusé\u00a0: --release les rend à leur poste et publie ; leurs responsables "
                "l’apprennent"
            ),
            err=True,
            fg="red",
        )
    return release

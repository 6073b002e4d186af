"""`vigie public`: publish, retract and export the public pages from the shell. D96, D97."""

from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from services.cli.client import ask_to_go_on, open_api, print_error
from services.cli.crisis.decide import Body, Reason, decision, quote_path
from services.cli.lists import (
    AsJson,
    AsOf,
    Realm,
    build_query,
    fetch_list,
    format_local_time,
    parse_time,
)
from services.cli.output import create_group, print_json
from services.console.i18n import get_translator
from services.runtime.process.files import open_atomic_file

_ = get_translator("fr")
app = create_group("Public pages: show, publish, retract and export them.")
PATH: Final = "/api/v1/publications/"
Page = Annotated[str, typer.Option("--page", help="services (the public), or agents")]
_STATE: Final = {"never": "jamais publiée", "published": "publiée", "retracted": "retirée"}
_STATUS: Final = {
    "open": "ouvert",
    "degraded": "ouvert en partie",
    "closed": "fermé",
    "concerned": "concerné",
    "unconcerned": "non concerné",
    None: "–",
}
_COUNTED: Final = {
    "open": ("{n} ouvert", "{n} ouverts"),
    "degraded": ("{n} ouvert en partie", "{n} ouverts en partie"),
    "closed": ("{n} fermé", "{n} fermés"),
    "concerned": ("{n} site concerné", "{n} sites concernés"),
}
_TITLE: Final = {"services": "Page publique", "agents": "Page des agents"}


@app.command("show")
def show(
    page: Page = "services", realm: Realm = None, as_of: AsOf = None, as_json: AsJson = False
) -> None:
    """Show the published version, and the changes that wait for the next publication."""
    with open_api() as client:
        publication = client.get(PATH + quote_path(page) + build_query(realm, as_of))
    if as_json:
        print_json(publication)
        return
    _print_publication(publication)
    if as_of is None:
        typer.echo(f"Empreinte pour --draft : {publication['draft']}")


def _print_publication(publication: dict[str, Any], *, stderr: bool = False) -> None:
    """Print the published version, the present state in counts, and the changes."""
    echo = partial(typer.echo, err=stderr)
    state = _STATE.get(publication["state"], publication["state"])
    echo(f"{_TITLE[publication['id']]} : {state}, version {publication['number']}")
    if publication["published"] and publication["state"] == "published":
        echo(f"Publiée : {format_local_time(publication['published']['at'])}")
    if publication["next_at"]:
        echo(f"Prochaine mise à jour : {format_local_time(publication['next_at'])}")
    counts = ", ".join(_.plural(*_COUNTED[one], n) for one, n in publication["counts"].items())
    echo(f"Situation : {counts}")
    count = len(publication["changes"])
    echo(_.plural("À publier : {n} changement", "À publier : {n} changements", count))
    for change in publication["changes"]:
        before, now = _STATUS[change["published"]], _STATUS[change["present"]]
        instead = f", se rendre à {change['instead']}" if change["instead"] else ""
        difference = f"{now}, détail changé" if before == now else f"{before} → {now}"
        echo(f"  {change['name']}, {change['commune']} : {difference}{instead}")


@app.command("publish")
@decision("publications/{page}:publish", "Page publiée", is_versioned=True)
def publish(
    page: Page = "services",
    next_at: Annotated[
        str | None,
        typer.Option("--next", help="Next update promised at; ISO 8601, Paris time"),
    ] = None,
    draft: Annotated[
        str | None,
        typer.Option(
            help="Publish what `vigie public show` displayed under this hash, without asking"
        ),
    ] = None,
    realm: Realm = None,
) -> Body:
    """Show the page as it is now and publish it, as the communication function.

    It is refused if the situation changes before you confirm.
    """
    promised_at = None if next_at is None else parse_time(next_at)
    return {"next_at": promised_at, "draft": draft or _confirm_draft(page, realm)}


def _confirm_draft(page: str, realm: str | None) -> str:
    """Show the page as a publication would freeze it, ask, and return its hash. Raises Abort."""
    with open_api() as client:
        publication = client.get(PATH + quote_path(page) + build_query(realm, None))
    _print_publication(publication, stderr=True)
    draft = str(publication["draft"])
    ask_to_go_on("Publier ?", f"To publish exactly this: --draft {draft}")
    return draft


@app.command("retract")
@decision("publications/{page}:retract", "Page retirée", is_versioned=True)
def retract(page: Page = "services", reason: Reason = None) -> None:
    """Retract the page at once: nothing of it stays public."""


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the files", file_okay=False)],
    realm: Realm = None,
    as_of: AsOf = None,
) -> None:
    """Write the published page as signed files of a static site: HTML, JSON, Atom, FALC."""
    files = fetch_list(f"{PATH}services/files", realm, as_of, 100)["items"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            with open_atomic_file(folder / Path(file["name"]).name) as target:
                target.write(b64decode(file["base64"]))
    except OSError as error:
        raise print_error(f"{folder}: {error.strerror or error}") from error
    typer.secho(f"{len(files)} fichiers : {folder}", fg="green")

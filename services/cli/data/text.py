"""`vigie text`: erase the text of a report or logbook line for good.

One person proposes, another approves.
"""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from services.cli.client import ApiClient, ApiRefused, call_api, open_api, print_error
from services.cli.lists import AsJson, Realm
from services.cli.output import create_group, print_json

app = create_group("Erase texts that must not be kept.")


@app.command("erase")
def erase(
    id: Annotated[
        str,
        typer.Argument(help="Id of the report, statement, question or line of the main courante"),
    ],
    reason: Annotated[
        str | None, typer.Option(help="Reason; it is shown in place of the text, so name nobody")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve an erasure that another person proposed")
    ] = False,
    decline: Annotated[
        bool, typer.Option("--decline", help="End a proposal with --reason; the text stays")
    ] = False,
    realm: Realm = None,
    as_json: AsJson = False,
) -> None:
    """Propose an erasure with --reason; a second person uses --approve, or --decline --reason.

    It covers text, original bytes and photos.
    """
    if not approve and not reason:
        raise print_error(
            "say why with --reason, or approve what another person has proposed with --approve"
        )
    if approve and decline:
        raise print_error("--approve or --decline, not both")
    body = {"approve": True} if approve else {"reason": reason, "decline": decline}
    with open_api() as client:
        erasure = _post_erasure(client, id, realm, body)
    if as_json:
        print_json(erasure)
    elif erasure["state"] == "erased":
        typer.echo("Effacé")
    elif erasure["state"] == "declined":
        typer.echo("Refusé. Le texte reste.")
    else:
        typer.echo(f"Proposé. Une autre personne approuve : vigie text erase {id} --approve")


def _post_erasure(
    client: ApiClient, id: str, realm: str | None, body: dict[str, Any]
) -> dict[str, Any]:
    """Erase the text of the report with this id, else of the logbook line."""
    query = f"?{urlencode({'realm': realm})}" if realm else ""
    try:
        return dict(client.post(f"/api/v1/reports/{quote(id, safe='')}/erase{query}", body)[1])
    except ApiRefused as refusal:
        if refusal.status != 404:
            raise
    return dict(client.post(f"/api/v1/log/{quote(id, safe='')}/erase{query}", body)[1])


@app.command("proposals")
def proposals(as_json: AsJson = False) -> None:
    """List erasures that wait for a second person."""
    items = call_api("GET", "/api/v1/erasures")["items"]
    if as_json:
        print_json({"items": items})
        return
    for one in items:
        typer.echo(
            f"{one['proposed_at']}  {one['kind']:<6}  {one['id']}  {one['proposed_by']}: {one['reason']}"
        )

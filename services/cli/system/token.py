"""`vigie token`: bearer tokens of programs and people.

A token is printed once and not kept.
"""

import json
import time
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from schemas.words import EventType
from services.cli.client import ApiClient, ApiRefused, call_api, open_api, print_error
from services.cli.lists import NO_LIMIT, PARIS, AsJson, build_query, fetch_list
from services.cli.output import create_group, open_console, strip_controls
from services.runtime.identity.accounts import LOCAL_ADMIN
from services.runtime.identity.permissions import Role
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import write_private

app = create_group("Bearer tokens: create, list, rotate, revoke.")
ACCEPTANCE_TIMEOUT_S = 10.0

SeveralTypes = Annotated[
    list[EventType] | None, typer.Option(help="May be repeated; default: no limit")
]
Several = Annotated[list[str] | None, typer.Option(help="May be repeated; default: no limit")]


def wait_until_accepted(settings: Settings, token: str) -> None:
    """Wait until the running front accepts the token.

    Raises Refused and Away.
    """
    end = time.monotonic() + ACCEPTANCE_TIMEOUT_S
    with ApiClient(settings.model_copy(update={"token": token})) as client:
        while True:
            try:
                client.get("/api/v1/whoami")
                return
            except ApiRefused as refusal:
                if refusal.status != 401 or time.monotonic() > end:
                    raise
            time.sleep(0.1)


def check_places(
    client: ApiClient,
    sites: Collection[str],
    poles: Collection[str] = (),
    realms: Collection[str] = (),
) -> None:
    """Check that the territory has these sites and pôles: a limit to another one bars everything.

    Without the list of sites, as while the console is down, they are accepted. Raises typer.Exit.
    """
    if not (sites or poles):
        return
    known_sites, known_poles = set[str](), set[str]()
    live_realms: list[str | None] = [realm for realm in realms if "~" not in realm]
    for realm in live_realms or [None]:
        try:
            rows = client.get(f"/api/v1/reference/sites{build_query(realm, None)}")["sites"]
        except ApiRefused:
            return
        known_sites |= {row["id"] for row in rows}
        known_poles |= {row["pole"] for row in rows}
    unknown_sites = sorted(set(sites) - known_sites)
    unknown_poles = sorted(set(poles) - known_poles)
    if unknown_sites:
        raise print_error(
            f"no site {', '.join(unknown_sites)}: nothing was made. "
            "List the sites with `vigie sites`."
        )
    if unknown_poles:
        raise print_error(
            f"no pôle {', '.join(unknown_poles)}: nothing was made. "
            f"There are {', '.join(sorted(known_poles))}."
        )


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="Role of the bearer")],
    label: Annotated[str, typer.Option(help="Purpose of the token; never a person's name")] = "",
    speaks_as: Annotated[
        str | None, typer.Option(help="Kind of source of its reports, e.g. enedis")
    ] = None,
    duty: Annotated[
        str | None, typer.Option(help="Role of the organisation, e.g. coordinateur_pca")
    ] = None,
    principal: Annotated[str | None, typer.Option(help="Add a token to this principal")] = None,
    site: Several = None,
    type: SeveralTypes = None,
    realm: Several = None,
    days: Annotated[
        int | None, typer.Option(help="Days of validity; 0 = until revoked; default: 365", min=0)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Largest number of reports per second; 0 = no limit; default: that of the role",
            min=0,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the token")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Create a token.

    Returns when the running front accepts it.
    """
    settings = Settings()
    scope = {"sites": site or [], "types": type or [], "realms": realm or []}
    body: dict[str, Any] = {
        "label": label,
        "speaks_as": speaks_as,
        "duty": duty,
        "scope": scope,
        "days": days,
        "rate_per_s": rate,
    }
    body |= {"principal": principal} if principal else {"role": role}
    with open_api(settings) as client:
        check_places(client, site or (), realms=realm or ())
        _, answer = client.post("/api/v1/tokens", body)
        wait_until_accepted(settings, answer["token"])
    if as_json:
        typer.echo(json.dumps(answer))
    elif quiet:
        typer.echo(answer["token"])
    else:
        state = _state(answer | {"revoked_at": None})
        typer.echo(
            f"{answer['id']}  {answer['principal']['id']} ({answer['principal']['role']}), {state}\n{answer['token']}"
        )
        typer.secho("Notez-le maintenant : il n’est gardé nulle part.", err=True, dim=True)


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens, including revoked ones."""
    token_page = fetch_list("/api/v1/tokens", None, None, NO_LIMIT)
    if as_json:
        typer.echo(json.dumps(token_page))
        return
    table = Table()
    for column in ("Jeton", "Pour", "Rôle", "Libellé", "Depuis", "État"):
        table.add_column(column, no_wrap=column in ("Jeton", "Pour", "Depuis"))
    for t in token_page["items"]:
        state = _state(t)
        table.add_row(
            t["id"],
            t["principal"],
            t["role"] or "?",
            strip_controls(t["label"] or ""),
            _day(t["created_at"]),
            state,
        )
    open_console().print(table)


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, PARIS):%Y-%m-%d}"


def _state(token: dict[str, Any]) -> str:
    """Return whether it opens anything, and until when."""
    if token["revoked_at"]:
        return "révoqué"
    if token["expires_at"] is None:
        return "valable"
    day = _day(token["expires_at"])
    return f"jusqu’au {day}" if token["expires_at"] > time.time() * 1000 else f"expiré le {day}"


@app.command()
def rotate(
    token: Annotated[str, typer.Argument(help="Id of the token (t-…), from `vigie token list`")],
    days: Annotated[
        int | None,
        typer.Option(
            help=(
                "Days of validity; 0 = until revoked; default: 365, unlimited for the token "
                "of this machine"
            ),
            min=0,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the token")] = False,
) -> None:
    """Create another token for the same principal, then revoke this one."""
    token_row = next(
        (
            t
            for t in fetch_list("/api/v1/tokens", None, None, NO_LIMIT)["items"]
            if t["id"] == token
        ),
        None,
    )
    if token_row is None or token_row["revoked_at"]:
        raise print_error(f"{token} : aucun jeton valable de ce nom")
    settings = Settings()
    with open_api(settings) as client:
        _, answer = client.post(
            "/api/v1/tokens", {"principal": token_row["principal"], "days": days}
        )
        wait_until_accepted(settings, answer["token"])
    # Written before the old token ends, so that commands on this machine find the new one.
    if token_row["principal"] == LOCAL_ADMIN:
        write_private(settings.data.secrets / "admin.token", answer["token"].encode(), replace=True)
    if answer["principal"]["role"] == Role.ADMIN:
        settings = settings.model_copy(update={"token": answer["token"]})
    with open_api(settings) as client:
        client.call("DELETE", f"/api/v1/tokens/{quote(token, safe='')}")
    typer.echo(answer["token"] if quiet else f"{answer['id']} remplace {token}\n{answer['token']}")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Id of the token (t-…), from `vigie token list`")],
) -> None:
    """Revoke a token."""
    call_api("DELETE", f"/api/v1/tokens/{quote(token, safe='')}")
    typer.echo(f"{token} révoqué")

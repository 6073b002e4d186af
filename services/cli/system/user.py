"""`vigie user`: accounts of people.

A new account logs in with a one-time code, then chooses a password and a second factor.
"""

import json
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import pyotp
import typer
from rich.table import Table

from services.cli.client import call_api, open_api, print_error
from services.cli.lists import NO_LIMIT, AsJson, build_query, fetch_list
from services.cli.output import create_group, open_console
from services.cli.system.token import check_places
from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import create_totp_secret

app = create_group(
    "Accounts of people: add, import, export, code, password, totp, list, unlink, disable, enable."
)
CSV_HEADERS = {"Content-Type": "text/csv"}
Login = Annotated[str, typer.Argument(help="User name")]


def _user_path(login: str, verb: str) -> str:
    return f"/api/v1/users/{quote(login, safe='')}/{verb}"


@app.command()
def add(
    login: Login,
    role: Annotated[Role, typer.Option(help="Role of the account")],
    duty: Annotated[
        str | None, typer.Option(help="Role of the organisation, e.g. coordinateur_pca")
    ] = None,
    person: Annotated[str | None, typer.Option(help="Person token in the directory")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Limit to these sites")] = None,
    pole: Annotated[list[str] | None, typer.Option(help="Limit to these pôles")] = None,
    realm: Annotated[
        list[str] | None, typer.Option(help="Limit to these live realms and their exercises")
    ] = None,
) -> None:
    """Add an account and print its one-time code, valid for two days."""
    scope = {"sites": site or [], "poles": pole or [], "realms": realm or []}
    body = {"login": login, "role": role, "duty": duty, "person": person, "scope": scope}
    with open_api() as client:
        check_places(client, site or (), pole or (), realm or ())
        _, answer = client.post("/api/v1/users", body)
    typer.echo(f"{answer['id']} ({answer['role']})\n{answer['code']}")


@app.command()
def code(login: Login) -> None:
    """Create a new one-time code for an account."""
    typer.echo(call_api("POST", _user_path(login, "code"))["code"])


@app.command()
def password(login: Login) -> None:
    """Set the password; all sessions of the account end.

    A terminal asks for it twice; without one it is the first line of the input.
    """
    if sys.stdin.isatty():
        new_password = typer.prompt("Mot de passe", hide_input=True, confirmation_prompt=True)
    else:  # getpass would warn that it cannot hide what nobody types
        new_password = sys.stdin.readline().rstrip("\r\n")
    if not new_password:
        raise print_error(
            "aucun mot de passe : tapez-le dans un terminal, ou donnez-le sur une ligne de l’entrée"
        )
    call_api("POST", _user_path(login, "password"), {"password": new_password})
    typer.echo("Mot de passe changé.")


@app.command()
def totp(login: Login) -> None:
    """Switch the second factor on; all sessions of the account end.

    Shows the secret, asks for a code from the device, and prints ten codes to keep on paper.
    """
    secret = create_totp_secret()
    typer.echo(
        f"Secret : {secret}\n{pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name='Vigie')}"
    )
    answer = call_api(
        "POST",
        _user_path(login, "second-factor"),
        {"secret": secret, "second": typer.prompt("Code affiché par l’appareil")},
    )
    typer.echo("Codes de secours, chacun une fois :\n" + "\n".join(answer["printed"]))


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List all accounts."""
    account_page = fetch_list("/api/v1/users", None, None, NO_LIMIT)
    if as_json:
        typer.echo(json.dumps(account_page))
        return
    table = Table(
        "Compte", "Rôle", "Fonction", "Territoires", "Actif", "Mot de passe", "Second facteur"
    )
    for u in account_page["items"]:
        marks = ("oui" if u[k] else "non" for k in ("enabled", "has_password", "has_second_factor"))
        realms = ", ".join(r for r in (u.get("scope") or {}).get("realms", ()) if "~" not in r)
        table.add_row(u["login"], u["role"] or "?", u["duty"] or "", realms or "tous", *marks)
    open_console().print(table)


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="CSV: login,role and perhaps duty,person,sites,poles,realms")
    ],
    check: Annotated[bool, typer.Option("--check", help="Check the file only")] = False,
    realm: Annotated[str | None, typer.Option(help="Live realm of the sites and pôles")] = None,
) -> None:
    """Open the accounts of a file and print their one-time codes; no right is changed.

    The whole file is checked before anything is written.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise print_error(error) from error
    path = "/api/v1/accounts/import"
    trial = build_query(realm, None, dry_run="true")
    answer = call_api("POST", f"{path}{trial}", content, CSV_HEADERS)
    if not check and not answer["faults"]:
        answer = call_api("POST", f"{path}{build_query(realm, None)}", content, CSV_HEADERS)
    typer.echo(answer["text"], err=bool(answer["faults"]))
    if answer["faults"]:
        raise typer.Exit(1)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="New CSV file, as `import` reads it")],
) -> None:
    """Write all accounts with their rights to a CSV file, without any secret."""
    with open_api() as client:
        size = client.save("/api/v1/accounts?format=csv", file)
    typer.echo(f"{file} : {size} octets")


@app.command()
def disable(login: Login) -> None:
    """Disable an account; its tokens and sessions stop at once."""
    call_api("POST", _user_path(login, "disable"))
    typer.echo(f"{login} désactivé")


@app.command()
def link(login: Login) -> None:
    """Allow the provider's first identity of that name to take the account, for seven days.

    Accounts of coordinators, directors and elected need it; an administrator's is never linked.
    """
    call_api("POST", _user_path(login, "link"))
    typer.echo(f"{login} : premier lien autorisé pendant sept jours")


@app.command()
def unlink(login: Login) -> None:
    """Unlink an account from its identity at the organisation's provider; its sessions end.

    The next identity that names the account gets it.
    """
    call_api("POST", _user_path(login, "unlink"))
    typer.echo(f"{login} délié")


@app.command()
def enable(login: Login) -> None:
    """Enable a disabled account."""
    call_api("POST", _user_path(login, "enable"))
    typer.echo(f"{login} activé")

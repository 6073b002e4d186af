"""`vigie report` posts one report; `vigie line` posts one as a caller words it on the phone."""

import json
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from schemas.catalogue.event_types import endangers_people
from schemas.catalogue.sources import STAFF
from schemas.words import EventType, MsgType
from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, open_api, print_error
from services.cli.lists import build_query, parse_time
from services.runtime.process.settings import Settings

MAX_SUGGESTIONS: Final = 3
SEND_ANYWAY: Final = "Pour envoyer quand même : --unknown-site, une personne le rattachera."
UnknownSite = Annotated[
    bool,
    typer.Option(
        "--unknown-site", help="Send it with an unknown site or commune; a person links it later"
    ),
]


def report(
    type: Annotated[EventType, typer.Option(help="Type of the report")],
    severity: Annotated[
        int,
        typer.Option(min=1, max=5, help="5 is the gravest: people are in danger"),
    ],
    site: Annotated[str | None, typer.Option(help="Site id")] = None,
    commune: Annotated[str | None, typer.Option(help="INSEE code")] = None,
    realm: Annotated[str | None, typer.Option(help="Default: the live realm")] = None,
    occurred_at: Annotated[
        str | None, typer.Option(help="ISO 8601; without offset, Paris time; default: now")
    ] = None,
    headline: Annotated[str | None, typer.Option(help="Headline, one line")] = None,
    description: Annotated[str | None, typer.Option(help="Description, free text")] = None,
    loss: Annotated[float | None, typer.Option(min=0, max=100, help="Capacity lost, %")] = None,
    lifts: Annotated[
        list[EventType] | None,
        typer.Option(help="With reopening: type of the trouble that is over"),
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="Id of the report to update or cancel")
    ] = None,
    msg_type: Annotated[MsgType, typer.Option(help="Alert, Update or Cancel")] = MsgType.ALERT,
    certainty: Annotated[str, typer.Option(help="confirmed, unconfirmed, rumour")] = "confirmed",
    source: Annotated[
        str | None, typer.Option(help="Kind of source, e.g. enedis; default: that of your account")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency-Key; a repeated key has no second effect")
    ] = None,
    unknown_site: UnknownSite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, as in the API")
    ] = False,
) -> None:
    """Post one report and print its id.

    An unknown site or commune is refused, with similar ones; so is an unknown realm. Danger to
    people is sent all the same, and the doubt is printed.
    """
    body: dict[str, Any] = {
        "type": type,
        "severity": severity,
        "site_id": site,
        "commune": commune,
        "realm": realm,
        "headline": headline,
        "occurred_at": (parse_time(occurred_at) if occurred_at else datetime.now(UTC).isoformat()),
        "description": description,
        "capacity_lost_pct": loss,
        "lifts": lifts,
        "references": reference,
        "msg_type": msg_type,
        "certainty": certainty,
        "source": source and {"name": source},
    }
    with open_api() as client:
        _check_realm(client, realm)
        if not unknown_site and not endangers_people(type, severity):
            _check_place(client, site, commune, realm)
        _, receipt = client.post(
            "/api/v1/reports",
            {k: v for k, v in body.items() if v is not None},
            key or str(uuid.uuid4()),
        )
    _print_warnings(receipt)
    typer.echo(json.dumps(receipt) if as_json else receipt["report_id"])


def _print_warnings(receipt: Mapping[str, Any]) -> None:
    """Print on stderr the doubts of the front about the place of an accepted report."""
    for warning in receipt.get("warnings", ()):
        typer.secho(f"accepté, mais {warning['field']} : {warning['detail']}", err=True)


def _check_realm(client: ApiClient, realm: str | None) -> None:
    """Check that the realm exists: reports of another one would be refused after their receipt.

    Without permission or without data, it is accepted. Raises typer.Exit.
    """
    try:
        if realm is not None:
            client.get(f"/api/v1/realms/{quote(realm, safe='~')}")
    except ApiRefused as exc:
        if exc.status == HTTPStatus.NOT_FOUND:
            raise print_error(f"territoire inconnu, {realm} : rien n’a été envoyé. {exc}") from exc


def _check_place(
    client: ApiClient, site: str | None, commune: str | None, realm: str | None
) -> None:
    """Check site and commune if their lists are readable; otherwise accept them.

    Raises typer.Exit.
    """
    for kind, value, fetch in (
        ("site", site, fetch_site_names),
        ("commune", commune, _fetch_commune_names),
    ):
        names = fetch(client, realm) if value is not None else None
        if names and value is not None and value not in names:
            raise print_error(_describe_unknown(kind, value, names))


def line(
    text: Annotated[
        str, typer.Argument(help="`117 ELEC`, `117 EAU PARTIEL`, `RAS 117`, `STOP 117`")
    ],
    caller: Annotated[
        str, typer.Option(help="Kind of source, e.g. site_manager if the manager is calling")
    ] = STAFF,
    realm: Annotated[str | None, typer.Option(help="Default: the live realm")] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency-Key; a repeated key has no second effect")
    ] = None,
    unknown_site: UnknownSite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, as in the API")
    ] = False,
) -> None:
    """Report in the words of a text message for a caller, and print the id of the report.

    A site that is not known is refused.
    """
    body = {"text": text, "caller": caller, "known_site": not unknown_site} | (
        {"realm": realm} if realm else {}
    )
    try:
        with ApiClient(Settings()) as client:
            _check_realm(client, realm)
            _, receipt = client.post("/api/v1/reports:line", body, key or str(uuid.uuid4()))
    except (VigieUnreachable, ApiRefused) as exc:
        exit_error = print_error(exc)
        if isinstance(exc, ApiRefused) and any(
            e.get("code") == "unknown_site" for e in exc.problem.get("errors", ())
        ):
            typer.secho(
                f"Rien n’a été envoyé. Liste des sites : vigie sites. {SEND_ANYWAY}", err=True
            )
        raise exit_error from exc
    _print_warnings(receipt)
    typer.echo(json.dumps(receipt) if as_json else receipt["report_id"])


def fetch_site_names(client: ApiClient, realm: str | None) -> dict[str, str] | None:
    """Return id → name of every site, or None without permission or without data."""
    return _fetch_names(client, f"sites{build_query(realm, None)}", "items", "id")


def _fetch_commune_names(client: ApiClient, realm: str | None) -> dict[str, str] | None:
    """Return INSEE code → name of every commune, or None without permission or without data."""
    path = f"reference/communes{build_query(realm, None)}"
    return _fetch_names(client, path, "communes", "insee")


def _fetch_names(client: ApiClient, path: str, rows: str, id: str) -> dict[str, str] | None:
    try:
        return {row[id]: row["name"] for row in client.get(f"/api/v1/{path}")[rows]}
    except ApiRefused:
        return None


def _find_similar(value: str, names: Mapping[str, str]) -> list[str]:
    """Find sites or communes with a similar id or with these words in their names."""
    words = _fold_text(value).split()
    name_matches = [
        id
        for id, name in names.items()
        if words and all(word in _fold_text(f"{id} {name}") for word in words)
    ]
    like = get_close_matches(value.lower(), names, MAX_SUGGESTIONS, 0.6)
    return list(dict.fromkeys([*name_matches, *like]))[:MAX_SUGGESTIONS]


def _describe_unknown(kind: str, value: str, names: Mapping[str, str]) -> str:
    """Return the sentence about an unknown site or commune, with similar ones."""
    near = [f"{id} ({names[id]})" for id in _find_similar(value, names)]
    where = {
        "site": "Liste des sites : vigie sites.",
        "commune": "Une commune est désignée par son code INSEE.",
    }
    labels = {"site": "site inconnu", "commune": "commune inconnue"}
    advice = f"Est-ce {' ou '.join(near)} ?" if near else where[kind]
    return f"{labels[kind]}, {value} : rien n’a été envoyé. {advice} {SEND_ANYWAY}"


def _fold_text(text: str) -> str:
    return "".join(
        c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c)
    )

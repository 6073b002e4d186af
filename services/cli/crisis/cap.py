"""`vigie cap`: post a CAP 1.2 message from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from schemas.cap import MEDIA_TYPE
from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error
from services.runtime.process.settings import Settings


def cap(
    file: Annotated[
        Path,
        typer.Argument(help="CAP 1.2 message, XML", exists=True, dir_okay=False, readable=True),
    ],
    realm: Annotated[
        str | None,
        typer.Option(help="Realm for a message of status Exercise; default: the live realm"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Post a CAP message and print the ids of its reports, or the reason for none."""
    query = f"?realm={quote(realm, safe='')}" if realm else ""
    try:
        with ApiClient(Settings()) as client:
            answer = client.send(f"/api/v1/cap{query}", file.read_bytes(), MEDIA_TYPE)
    except (VigieUnreachable, ApiRefused, OSError) as exc:
        raise print_error(exc) from exc
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for report in answer["reports"]:
        typer.echo(report["report_id"])
    if not answer["reports"]:
        typer.echo(answer["detail"])

"""Situation reports, evidence bundles, lessons learned and CAP messages from the shell."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx2 as httpx
import typer

from schemas.cap import MEDIA_TYPE
from services.cli.client import open_api, print_error
from services.cli.crisis.decide import Body, Key, Reason, decision, post_decision
from services.cli.lists import (
    AsJson,
    AsOf,
    Incident,
    OfIncident,
    Realm,
    build_query,
    format_dated_time,
    listing,
    parse_time,
    resolve_incident,
)
from services.cli.output import create_group, print_json
from services.console.i18n import get_translator
from services.console.texts import words as w


def cap(
    file: Annotated[
        Path,
        typer.Argument(help="CAP 1.2 message, XML", exists=True, dir_okay=False, readable=True),
    ],
    realm: Annotated[
        str | None,
        typer.Option(help="Realm for a message of status Exercise; default: the live realm"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, as in the API")
    ] = False,
) -> None:
    """Post a CAP message and print the ids of its reports, or the reason for none."""
    query = f"?realm={quote(realm, safe='')}" if realm else ""
    with open_api() as client:
        answer = client.send(f"/api/v1/cap{query}", file.read_bytes(), MEDIA_TYPE)
    if as_json:
        print_json(answer)
        return
    for report in answer["reports"]:
        typer.echo(report["report_id"])
    for warning in answer.get("warnings", ()):
        typer.secho(f"accepté, mais {warning['field']} : {warning['detail']}", err=True)
    if not answer["reports"]:
        typer.echo(answer["detail"])


_ = get_translator("fr")
Pdf = Annotated[
    Path | None, typer.Option("--pdf", help="Write the PDF here", dir_okay=False, writable=True)
]
Html = Annotated[
    Path | None,
    typer.Option("--html", help="Write one static HTML page here", dir_okay=False, writable=True),
]


def download_document(
    path: str, realm: str | None, as_of: str | None, **params: Any
) -> httpx.Response:
    """Fetch a document.

    Exits with one sentence on failure.
    """
    with open_api(timeout_s=120) as client:
        return client.read(path + build_query(realm, as_of, **params))


def write_file(file: Path, content: bytes) -> None:
    """Write a file, or exit with the reason."""
    try:
        file.write_bytes(content)
    except OSError as exc:
        raise print_error(exc) from exc
    typer.secho(f"{file} ({len(content)} octets)", err=True, fg="green")


def show_document(
    path: str,
    realm: str | None,
    as_of: str | None,
    *,
    as_json: bool,
    pdf: Path | None,
    html: Path | None,
    **params: Any,
) -> None:
    """Write the requested files, or print the document as text or JSON."""
    for file, form in ((pdf, "pdf"), (html, "html")):
        if file is not None:
            write_file(file, download_document(path, realm, as_of, format=form, **params).content)
    if as_json or (pdf is None and html is None):
        typer.echo(
            download_document(
                path, realm, as_of, format="json" if as_json else "text", **params
            ).text,
            nl=as_json,
        )


def sitrep(
    realm: Realm = None,
    as_of: AsOf = None,
    number: Annotated[
        int | None,
        typer.Option(min=1, help="Number of a validated report; default: the present draft"),
    ] = None,
    pdf: Pdf = None,
    html: Html = None,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate", help="Validate the draft: it gets a number and can no longer be edited"
        ),
    ] = False,
    remark: Annotated[
        list[str] | None,
        typer.Option(help="SECTION=TEXT to add: essential, evolution, decisions, partners, ahead"),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show the situation report: the draft or a validated one, as text, PDF, HTML or JSON."""
    if not validate:
        if remark:
            raise typer.BadParameter("--remark goes with --validate")
        show_document(
            f"/api/v1/sitreps/{number or 'draft'}",
            realm,
            as_of,
            as_json=as_json,
            pdf=pdf,
            html=html,
        )
        return
    remarks = {}
    for one in remark or ():
        section, sign, text = one.partition("=")
        if not sign:
            raise typer.BadParameter(f"not SECTION=TEXT: {one!r}")
        remarks[section] = text
    body = {"remarks": remarks, "number": number, "as_of": parse_time(as_of) if as_of else None}
    post_decision(
        "sitreps", realm, body, key=key, as_json=as_json, success_text="Point de situation validé"
    )
    if pdf is not None or html is not None:
        show_document("/api/v1/sitreps/latest", realm, None, as_json=False, pdf=pdf, html=html)


def export(
    incident: Incident,
    realm: Realm = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Zip file to write; default: named after the bundle, in this folder",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Export the signed evidence bundle of an incident.

    It holds facts with their hash chain, messages, receipts, decisions and situation reports.
    """
    with open_api(timeout_s=120) as client:
        incidents = client.get(
            "/api/v1/incidents" + build_query(realm, None, q=incident, limit=1000)
        )["items"]
        incident_row = next((i for i in incidents if incident in (i["id"], i["number"])), None)
        id = incident_row["id"] if incident_row else incident
        file = out or Path(f"preuves-{incident_row['number'] if incident_row else id}.zip")
        size = client.save(
            f"/api/v1/incidents/{quote(id, safe='')}/export" + build_query(realm, None), file
        )
    typer.secho(f"{file} ({size} octets)\nvigie verify --bundle {file}", err=True, fg="green")


def retex(
    incident: Annotated[
        str | None, typer.Argument(help="Id or number of an incident; default: the whole realm")
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    pdf: Pdf = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Show the lessons learned from the log.

    Delays against targets, alarms, plans, late cards, planned versus actual.
    """
    id = resolve_incident(incident, realm)
    show_document("/api/v1/retex", realm, as_of, as_json=as_json, pdf=pdf, html=html, incident=id)


improvement = create_group("Improvement actions of lessons learned.")
Improvement = Annotated[str, typer.Argument(help="Id of the action, from `vigie improvement list`")]


@improvement.command("add")
@decision("improvements", "Action décidée", creates="improvement")
def add_improvement(
    text: Annotated[str, typer.Argument(help="What has to be done")],
    owner: Annotated[str, typer.Option(help="Role that owns it, as in escalade.yaml")],
    due: Annotated[str, typer.Option(help="ISO 8601")],
    incident: OfIncident = None,
    realm: Realm = None,
) -> Body:
    """Add an improvement action; it is a task until it is done."""
    return {
        "text": text,
        "owner": owner,
        "due_at": parse_time(due),
        "incident": resolve_incident(incident, realm),
    }


@improvement.command("done")
@decision("improvements/{id}/done", "Action faite")
def done_improvement(id: Improvement, reason: Reason = None) -> None:
    """Complete an improvement action."""


@improvement.command("drop")
@decision("improvements/{id}/drop", "Action abandonnée")
def drop_improvement(id: Improvement, reason: Annotated[str, typer.Option(help="Reason")]) -> None:
    """Drop an improvement action."""


@improvement.command("list")
@listing(
    "/api/v1/improvements",
    "Actions d’amélioration",
    (
        ("Action", lambda i: i["text"] or ""),
        ("Responsable de l’action", lambda i: w.translate_code(w.ROLE, i["owner"], _)),
        ("Échéance", lambda i: format_dated_time(i["due_at"])),
        ("État", lambda i: w.translate_code(w.IMPROVEMENT_STATE, i["state"], _)),
        ("Identifiant", lambda i: i["id"]),
    ),
)
def list_improvements() -> None:
    """List improvement actions, open ones first."""

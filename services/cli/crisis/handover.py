"""`vigie handover`: the one-page handover of the crisis cell from the shell. Rule D115."""

from typing import Annotated, Final
from urllib.parse import quote

import typer

from services.cli.crisis.decide import Body, decision
from services.cli.crisis.documents import Html, Pdf, show_document
from services.cli.lists import AsJson, AsOf, Realm, format_local_time, listing
from services.cli.output import create_group

app = create_group("Handover of the crisis cell: draft, sign, accept; the page of one.")
_STATE: Final = {
    "draft": "projet",
    "signed": "signée par le sortant",
    "accepted": "signée par les deux",
    "withdrawn": "retirée",
}
Number = Annotated[str, typer.Argument(help="Number of the handover")]
To = Annotated[
    list[str],
    typer.Option("--to", help="Role, ROLE:SCOPE, person or site that gets the message; repeatable"),
]


@app.command("list")
@listing(
    "/api/v1/handovers",
    "Relèves",
    (
        ("N°", lambda h: str(h["number"])),
        ("État", lambda h: str(_STATE.get(h["state"], h["state"]))),
        ("Niveau", lambda h: f"N{h['level']}"),
        ("Objectif", lambda h: str(h["objective"] or "")[:60]),
        ("Destinataires", lambda h: ", ".join(h["recipient_names"])),
        ("Changé", lambda h: format_local_time(h["changed_at"])),
        ("Version", lambda h: str(h["version"])),
    ),
    limit=50,
)
def list_() -> None:
    """List handovers, newest first."""


@app.command("show")
def show(
    number: Number,
    realm: Realm = None,
    as_of: AsOf = None,
    pdf: Pdf = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Show the page of a handover as text, or write it as PDF or HTML."""
    path = f"/api/v1/handovers/{quote(number, safe='')}/document"
    show_document(path, realm, as_of, as_json=as_json, pdf=pdf, html=html)


@app.command("draft")
@decision("handovers", "Relève rédigée", creates="number")
def draft(
    objective: Annotated[str, typer.Argument(help="What the next shift has to reach")], to: To
) -> Body:
    """Draft the next handover with its objective and its recipients."""
    return {"objective": objective, "recipients": to}


@app.command("revise")
@decision("handovers/{number}:revise", "Relève n° {number} reprise", is_versioned=True)
def revise(
    number: Number,
    objective: Annotated[str | None, typer.Option(help="Another objective")] = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="Other recipients")] = None,
) -> Body:
    """Change the objective or the recipients; a signed handover has to be signed again."""
    return {"objective": objective, "recipients": to or None}


@app.command("sign")
@decision("handovers/{number}:sign", "Relève n° {number} signée par le sortant", is_versioned=True)
def sign(number: Number) -> None:
    """Sign as the outgoing person: the page is frozen."""


@app.command("accept")
@decision("handovers/{number}:accept", "Relève n° {number} signée par l’entrant", is_versioned=True)
def accept(number: Number) -> None:
    """Sign as the incoming person: the recipients are told."""


@app.command("withdraw")
@decision("handovers/{number}:withdraw", "Relève n° {number} retirée", is_versioned=True)
def withdraw(
    number: Number, reason: Annotated[str, typer.Option(help="Why; kept encrypted")]
) -> None:
    """Withdraw a handover that nobody accepted."""

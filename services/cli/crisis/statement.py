"""`vigie statement`: statements and questions from the shell. Rule D91."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.crisis.decide import Body, Reason, decision
from services.cli.lists import (
    Filters,
    Realm,
    format_dated_time,
    format_local_time,
    listing,
    parse_time,
    resolve_incident,
)
from services.cli.output import IDENTIFIER, create_group

app = create_group("Statements: draft, submit, validate, publish; questions and their answers.")
_AUDIENCE = {
    "agents": "agents",
    "families": "familles",
    "users": "usagers",
    "elected": "élus",
    "press": "presse",
}
_STATE = {
    "draft": "brouillon",
    "submitted": "à valider",
    "validated": "validé",
    "published": "publié",
    "refused": "refusé",
    "retracted": "retiré",
    "open": "sans réponse",
    "answered": "répondue",
}
Text = Annotated[str | None, typer.Option(help="The text; `-` reads it from standard input")]
TextFile = Annotated[Path | None, typer.Option("--file", help="A file with the text, UTF-8")]
Statement = Annotated[str, typer.Argument(help="Id of the statement")]


@app.command("list")
@listing(
    "/api/v1/statements",
    "Communiqués",
    (
        (IDENTIFIER, lambda s: s["id"]),
        ("État", lambda s: str(_STATE.get(s["state"], s["state"]))),
        ("Public", lambda s: str(_AUDIENCE.get(s["audience"], s["audience"]))),
        ("FALC", lambda s: "oui" if s["plain"] else ""),
        ("Titre", lambda s: str(s["title"] or "")),
        ("Changé", lambda s: format_local_time(s["changed_at"])),
        ("Version", lambda s: str(s["version"])),
    ),
)
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(help="draft, submitted, validated, published, refused, retracted"),
    ] = None,
    audience: Annotated[
        list[str] | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
) -> None:
    """List statements: those that wait for somebody, then the newest."""


@app.command("templates")
@listing(
    "/api/v1/statement-templates",
    "Modèles",
    (
        (IDENTIFIER, lambda t: t["id"]),
        ("Public", lambda t: str(_AUDIENCE.get(t["audience"], t["audience"]))),
        ("FALC", lambda t: "oui" if t["plain"] else ""),
        ("Titre", lambda t: t["title"]),
        ("À compléter", lambda t: str(len(t["blanks"]))),
    ),
)
def templates(
    incident: Annotated[str | None, typer.Option(help="Fill them for this incident")] = None,
    audience: Annotated[
        str | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
    plain: Annotated[bool | None, typer.Option("--plain/--not-plain", help="FALC")] = None,
) -> Filters:
    """List the territory's templates, filled with the known facts of an incident."""
    is_plain = None if plain is None else str(plain).lower()
    return {"incident": incident, "audience": audience, "plain": is_plain}


@app.command("draft")
@decision("statements", "Communiqué rédigé", creates="statement")
def draft(
    audience: Annotated[
        str | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Id of a template")] = None,
    text: Text = None,
    file: TextFile = None,
    title: Annotated[str | None, typer.Option(help="Title of the statement")] = None,
    plain: Annotated[bool | None, typer.Option("--plain", help="Plain language (FALC)")] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    rumour: Annotated[str | None, typer.Option(help="Report that it answers")] = None,
    question: Annotated[str | None, typer.Option(help="Question that it answers")] = None,
    realm: Realm = None,
) -> Body:
    """Draft a statement from a template, or in words of your own."""
    return {
        "audience": audience,
        "template": template,
        "text": read_words(text, file),
        "title": title,
        "plain": plain,
        "incident": None if incident is None else resolve_incident(incident, realm),
        "report": rumour,
        "question": question,
    }


@app.command("revise")
@decision("statements/{statement}:revise", "Texte repris", is_versioned=True)
def revise(
    statement: Statement,
    text: Text = None,
    file: TextFile = None,
    title: Annotated[str | None, typer.Option(help="Title of the statement")] = None,
) -> Body:
    """Replace the text of a draft, or of a refused statement."""
    return {"text": read_words(text, file), "title": title}


@app.command("readdress")
@decision("statements/{statement}:readdress", "Public changé", is_versioned=True)
def readdress(
    statement: Statement,
    audience: Annotated[str, typer.Argument(help="agents, families, users, elected, press")],
    plain: Annotated[bool | None, typer.Option("--plain/--not-plain", help="FALC")] = None,
) -> None:
    """Change the audience of a statement before its publication; it becomes a draft again."""


@app.command("submit")
@decision("statements/{statement}:submit", "Communiqué soumis", is_versioned=True)
def submit(statement: Statement) -> None:
    """Ask the communication function to validate a draft."""


@app.command("validate")
@decision("statements/{statement}:validate", "Communiqué validé", is_versioned=True)
def validate(statement: Statement) -> None:
    """Validate a submitted statement, as another person than its authors."""


@app.command("refuse")
@decision("statements/{statement}:refuse", "Communiqué refusé", is_versioned=True)
def refuse(
    statement: Statement, reason: Annotated[str, typer.Option(help="Why; kept encrypted")]
) -> None:
    """Refuse a submitted statement; its author may revise it."""


@app.command("publish")
@decision("statements/{statement}:publish", "Communiqué publié", is_versioned=True)
def publish(statement: Statement) -> None:
    """Publish a validated statement; the question that it answers is answered."""


@app.command("retract")
@decision("statements/{statement}:retract", "Communiqué retiré", is_versioned=True)
def retract(statement: Statement, reason: Reason = None) -> None:
    """Retract a statement for good; a published one needs --reason."""


@app.command("questions")
@listing(
    "/api/v1/questions",
    "Questions",
    (
        (IDENTIFIER, lambda q: q["id"]),
        ("État", lambda q: str(_STATE.get(q["state"], q["state"]))),
        ("De", lambda q: str(_AUDIENCE.get(q["asker"], q["asker"]))),
        ("Reçue", lambda q: format_local_time(q["asked_at"])),
        ("Attendue", lambda q: format_dated_time(q["due_at"])),
        ("Question", lambda q: str(q["text"] or "")[:80]),
    ),
)
def questions(
    state: Annotated[list[str] | None, typer.Option(help="open, answered")] = None,
) -> None:
    """List questions: open ones by deadline, then the newest answers."""


@app.command("ask")
@decision("questions", "Question notée", creates="question")
def ask(
    asker: Annotated[str, typer.Option("--from", help="agents, families, users, elected, press")],
    text: Text = None,
    file: TextFile = None,
    due_at: Annotated[
        str | None, typer.Option("--by", help="Answer wanted by then; ISO 8601, Paris time")
    ] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    realm: Realm = None,
) -> Body:
    """Note a question that somebody asked."""
    return {
        "asker": asker,
        "text": read_words(text, file),
        "due_at": None if due_at is None else parse_time(due_at),
        "incident": None if incident is None else resolve_incident(incident, realm),
    }


@app.command("answer")
@decision("questions/{question}:answer", "Réponse notée", is_versioned=True)
def answer(
    question: Annotated[str, typer.Argument(help="Id of the question")],
    text: Text = None,
    file: TextFile = None,
    statement: Annotated[str | None, typer.Option(help="A published statement")] = None,
) -> Body:
    """Answer a question by a published statement, or in other words."""
    return {"text": read_words(text, file), "statement": statement}


def read_words(text: str | None, file: Path | None) -> str | None:
    """Return the text of an option, of standard input (`-`) or of a file.

    Raises typer.BadParameter.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file}: {error}") from None
    return sys.stdin.read() if text == "-" else text

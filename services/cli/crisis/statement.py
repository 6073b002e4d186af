"""`vigie statement`: statements and questions from the shell. Rule D91."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.crisis.decide import Expected, Key, Reason, post_decision
from services.cli.crisis.read import (
    AsJson,
    AsOf,
    Limit,
    Realm,
    fetch_list,
    format_local_time,
    parse_time,
    resolve_incident,
    show_list,
)
from services.cli.output import IDENTIFIER

app = typer.Typer(
    help="Statements: draft, submit, validate, publish; questions and their answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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
def list_(
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="draft, submitted, validated, published, refused, retracted"),
    ] = None,
    audience: Annotated[
        list[str] | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List statements: those that wait for somebody, then the newest."""
    found = fetch_list("/api/v1/statements", realm, as_of, limit, state=state, audience=audience)
    show_list(
        found,
        as_json,
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


@app.command("templates")
def templates(
    incident: Annotated[str | None, typer.Option(help="Fill them for this incident")] = None,
    audience: Annotated[
        str | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
    plain: Annotated[bool | None, typer.Option("--plain/--not-plain", help="FALC")] = None,
    realm: Realm = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List the territory's templates, filled with the known facts of an incident."""
    found = fetch_list(
        "/api/v1/statement-templates",
        realm,
        None,
        limit,
        incident=None if incident is None else resolve_incident(incident, realm),
        audience=audience,
        plain=None if plain is None else str(plain).lower(),
    )
    show_list(
        found,
        as_json,
        "Modèles",
        (
            (IDENTIFIER, lambda t: t["id"]),
            ("Public", lambda t: str(_AUDIENCE.get(t["audience"], t["audience"]))),
            ("FALC", lambda t: "oui" if t["plain"] else ""),
            ("Titre", lambda t: t["title"]),
            ("À compléter", lambda t: str(len(t["blanks"]))),
        ),
    )


@app.command("draft")
def draft(
    audience: Annotated[
        str | None, typer.Option(help="agents, families, users, elected, press")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Id of a template")] = None,
    text: Text = None,
    file: TextFile = None,
    title: Annotated[str | None, typer.Option()] = None,
    plain: Annotated[bool | None, typer.Option("--plain", help="Plain language (FALC)")] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    rumour: Annotated[str | None, typer.Option(help="Report that it answers")] = None,
    question: Annotated[str | None, typer.Option(help="Question that it answers")] = None,
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Draft a statement from a template, or in words of your own."""
    body = {
        "audience": audience,
        "template": template,
        "text": read_words(text, file),
        "title": title,
        "plain": plain,
        "incident": None if incident is None else resolve_incident(incident, realm),
        "report": rumour,
        "question": question,
    }
    post_decision("statements", realm, body, key=key, as_json=as_json, done="Communiqué rédigé")


@app.command("revise")
def revise(
    statement: Statement,
    text: Text = None,
    file: TextFile = None,
    title: Annotated[str | None, typer.Option()] = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Replace the text of a draft, or of a refused statement."""
    body = {"text": read_words(text, file), "title": title}
    post_decision(
        build_path(statement, "revise"),
        realm,
        body,
        key=key,
        expected=expected,
        as_json=as_json,
        done="Texte repris",
    )


@app.command("submit")
def submit(
    statement: Statement,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Ask the communication function to validate a draft."""
    post_decision(
        build_path(statement, "submit"),
        realm,
        {},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Communiqué soumis",
    )


@app.command("validate")
def validate(
    statement: Statement,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Validate a submitted statement, as another person than its authors."""
    post_decision(
        build_path(statement, "validate"),
        realm,
        {},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Communiqué validé",
    )


@app.command("refuse")
def refuse(
    statement: Statement,
    reason: Annotated[str, typer.Option(help="Why; kept encrypted")],
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a submitted statement; its author may revise it."""
    post_decision(
        build_path(statement, "refuse"),
        realm,
        {"reason": reason},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Communiqué refusé",
    )


@app.command("publish")
def publish(
    statement: Statement,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Publish a validated statement; the question that it answers is answered."""
    post_decision(
        build_path(statement, "publish"),
        realm,
        {},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Communiqué publié",
    )


@app.command("retract")
def retract(
    statement: Statement,
    reason: Reason = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Retract a statement for good; a published one needs --reason."""
    post_decision(
        build_path(statement, "retract"),
        realm,
        {"reason": reason},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Communiqué retiré",
    )


@app.command("questions")
def questions(
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[list[str] | None, typer.Option(help="open, answered")] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List questions: open ones by deadline, then the newest answers."""
    found = fetch_list("/api/v1/questions", realm, as_of, limit, state=state)
    show_list(
        found,
        as_json,
        "Questions",
        (
            (IDENTIFIER, lambda q: q["id"]),
            ("État", lambda q: str(_STATE.get(q["state"], q["state"]))),
            ("De", lambda q: str(_AUDIENCE.get(q["asker"], q["asker"]))),
            ("Reçue", lambda q: format_local_time(q["asked_at"])),
            ("Attendue", lambda q: format_local_time(q["due_at"]) if q["due_at"] else ""),
            ("Question", lambda q: str(q["text"] or "")[:80]),
        ),
    )


@app.command("ask")
def ask(
    asker: Annotated[str, typer.Option("--from", help="agents, families, users, elected, press")],
    text: Text = None,
    file: TextFile = None,
    due_at: Annotated[
        str | None, typer.Option("--by", help="Answer wanted by then; ISO 8601, Paris time")
    ] = None,
    incident: Annotated[str | None, typer.Option(help="Id or number of an incident")] = None,
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Note a question that somebody asked."""
    body = {
        "asker": asker,
        "text": read_words(text, file),
        "due_at": None if due_at is None else parse_time(due_at),
        "incident": None if incident is None else resolve_incident(incident, realm),
    }
    post_decision("questions", realm, body, key=key, as_json=as_json, done="Question notée")


@app.command("answer")
def answer(
    question: Annotated[str, typer.Argument(help="Id of the question")],
    text: Text = None,
    file: TextFile = None,
    statement: Annotated[str | None, typer.Option(help="A published statement")] = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question by a published statement, or in other words."""
    post_decision(
        f"questions/{quote(question, safe='')}:answer",
        realm,
        {"text": read_words(text, file), "statement": statement},
        key=key,
        expected=expected,
        as_json=as_json,
        done="Réponse notée",
    )


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


def build_path(statement: str, verb: str) -> str:
    """Return the path of one decision about a statement."""
    return f"statements/{quote(statement, safe='')}:{verb}"

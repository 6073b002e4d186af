"""`vigie action`: ask somebody to do something until a time, list actions, answer."""

from typing import Annotated

import typer

from schemas.words import ActionPriority, ActionState
from services.cli.crisis.decide import Body, Reason, decision
from services.cli.lists import (
    Filters,
    OfIncident,
    Realm,
    format_dated_time,
    listing,
    parse_time,
    resolve_incident,
)
from services.cli.output import create_group
from services.console.texts.words import ACTION_STATE

app = create_group("Ask for an action, list, accept, decline, complete or cancel it.")
Id = Annotated[str, typer.Argument(help="Id of the action, from `vigie action list`")]


@app.command("ask")
@decision("actions", "Action confiée", creates="action")
def ask(
    title: Annotated[str, typer.Argument(help="What to do; nothing that a stranger may not read")],
    to: Annotated[
        str, typer.Option(help="Role, <role>:<pôle or site>, person or site (its manager)")
    ],
    due: Annotated[str, typer.Option(help="Until when: ISO 8601; without offset, Paris time")],
    incident: OfIncident = None,
    plan: Annotated[str | None, typer.Option(help="Plan that it belongs to")] = None,
    priority: Annotated[
        ActionPriority, typer.Option(help="urgent also calls by voice, at any hour")
    ] = ActionPriority.NORMAL,
    realm: Realm = None,
) -> Body:
    """Ask somebody to do something until a time; they are called at once."""
    return {
        "title": title,
        "assignee": to,
        "due_at": parse_time(due),
        "incident": resolve_incident(incident, realm),
        "plan": plan,
        "priority": priority.value,
    }


@app.command("list")
@listing(
    "/api/v1/actions",
    "Actions",
    (
        ("Avant", lambda a: format_dated_time(a["due_at"])),
        ("Quoi", lambda a: a["title"] or ""),
        ("À qui", lambda a: a["assignee"] or ""),
        ("État", lambda a: ACTION_STATE[a["state"]] + (", en retard" if a["late"] else "")),
        ("Priorité", lambda a: _PRIORITIES[a["priority"]]),
        ("Identifiant", lambda a: a["id"]),
    ),
)
def list_actions(
    state: Annotated[list[ActionState] | None, typer.Option(help="May be repeated")] = None,
    kind: Annotated[str | None, typer.Option(help="`request`, or a kind of task")] = None,
    to: Annotated[str | None, typer.Option(help="Role, pôle, site or person")] = None,
    incident: OfIncident = None,
    late: Annotated[bool, typer.Option("--late", help="Only those past their time")] = False,
) -> Filters:
    """List actions and tasks: open ones first, the earliest due first."""
    return {
        "state": [one.value for one in state] if state else None,
        "kind": kind,
        "assignee": to,
        "incident": incident,
        "late": True if late else None,
    }


_PRIORITIES: dict[str, str] = {
    "low": "basse",
    "normal": "normale",
    "high": "haute",
    "urgent": "urgente",
}


@app.command("accept")
@decision("actions/{id}:accept", "Action acceptée")
def accept(id: Id) -> None:
    """Accept an action: you do it."""


@app.command("decline")
@decision("actions/{id}:decline", "Action refusée")
def decline(id: Id, reason: Reason = None) -> None:
    """Decline an action: its requester and the pilot are told."""


@app.command("complete")
@decision("actions/{id}:complete", "Action faite")
def complete(
    id: Id,
    outcome: Annotated[str | None, typer.Option(help="Of a task: confirmed, denied, …")] = None,
) -> None:
    """Mark an action as done."""


@app.command("cancel")
@decision("actions/{id}:cancel", "Action annulée")
def cancel(id: Id, reason: Reason = None) -> None:
    """Cancel an action that is no longer needed; its calls stop."""

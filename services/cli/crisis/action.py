"""`vigie action`: ask somebody to do something until a time, list actions, answer."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.words import ActionPriority, ActionState
from services.cli.crisis.decide import Body, Reason, decision
from services.cli.crisis.read import (
    AsJson,
    AsOf,
    Limit,
    OfIncident,
    Realm,
    fetch_list,
    format_local_time,
    parse_time,
    resolve_incident,
    show_list,
)

app = typer.Typer(
    help="Ask for an action, list, accept, decline, complete or cancel it.",
    no_args_is_help=True,
    add_completion=False,
)
Id = Annotated[str, typer.Argument(help="Id of the action, from `vigie action list`")]


@app.command("ask")
@decision("actions", "Action confiée")
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
def list_actions(
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[list[ActionState] | None, typer.Option(help="May be repeated")] = None,
    kind: Annotated[str | None, typer.Option(help="`request`, or a kind of task")] = None,
    to: Annotated[str | None, typer.Option(help="Role, pôle, site or person")] = None,
    incident: OfIncident = None,
    late: Annotated[bool, typer.Option("--late", help="Only those past their time")] = False,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """List actions and tasks: open ones first, the earliest due first."""
    found = fetch_list(
        "/api/v1/actions",
        realm,
        as_of,
        limit,
        state=[one.value for one in state] if state else None,
        kind=kind,
        assignee=to,
        incident=resolve_incident(incident, realm),
        late=True if late else None,
    )
    show_list(
        found,
        as_json,
        "Actions",
        (
            ("Avant", lambda a: format_local_time(a["due_at"])),
            ("Quoi", lambda a: a["title"] or ""),
            ("À qui", lambda a: a["assignee"] or ""),
            ("État", lambda a: _STATES[a["state"]] + (", en retard" if a["late"] else "")),
            ("Priorité", lambda a: _PRIORITIES[a["priority"]]),
            ("Identifiant", lambda a: a["id"]),
        ),
    )


_STATES = {
    "requested": "sans réponse",
    "accepted": "acceptée",
    "done": "faite",
    "declined": "refusée",
    "cancelled": "annulée",
}
_PRIORITIES = {"low": "basse", "normal": "normale", "high": "haute", "urgent": "urgente"}


@app.command("accept")
@decision("actions/{id}:accept", "Action acceptée")
def accept(id: Id) -> Body:
    """Accept an action: you do it."""
    return {}


@app.command("decline")
@decision("actions/{id}:decline", "Action refusée")
def decline(id: Id, reason: Reason = None) -> Body:
    """Decline an action: its requester and the pilot are told."""
    return {"reason": reason}


@app.command("complete")
@decision("actions/{id}:complete", "Action faite")
def complete(
    id: Id,
    outcome: Annotated[str | None, typer.Option(help="Of a task: confirmed, denied, …")] = None,
) -> Body:
    """Mark an action as done."""
    return {"outcome": outcome}


@app.command("cancel")
@decision("actions/{id}:cancel", "Action annulée")
def cancel(id: Id, reason: Reason = None) -> Body:
    """Cancel an action that is no longer needed; its calls stop."""
    return {"reason": reason}

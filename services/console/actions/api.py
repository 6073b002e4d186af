"""`/api/v1/actions`: ask somebody to do something until a time, and answer. Rule D87.

The title goes to the encrypted texts; the log holds a reference to it. Tasks of the rules are kinds
of actions: they are listed, accepted and completed here, too.
"""

from typing import Annotated, Final

from fastapi import Depends, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.crisis.actions import (
    AcceptAction,
    CancelAction,
    CompleteAction,
    DeclineAction,
    RequestAction,
)
from schemas.words import ActionPriority, ActionState
from services.console.actions.page import PRIORITY_LABELS
from services.console.actions.queries import REQUEST, CanRead
from services.console.actions.rights import can_read_words, check_action, check_assignee
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import (
    Column,
    Columns,
    FileNaming,
    build_csv_response,
    read_all_pages,
)
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    Multiple,
    ReadContext,
    RealmReader,
    require_decision,
    set_etag,
)
from services.console.http.scopes import check_incident
from services.console.i18n import N_, Translator, get_translator
from services.console.resources import Action, Page
from services.console.sites.instructions_api import complete_sentence
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.permissions import Permission


def list_action_columns(names: TerritoryNames, _: Translator) -> Columns[Action]:
    """Return the columns of the table of actions."""
    return (
        Column(N_("Action"), lambda a: a.title),
        Column(N_("Nature"), lambda a: name_action_kind(a, _)),
        Column(N_("État"), lambda a: _(w.ACTION_STATE[a.state])),
        Column(N_("En retard"), lambda a: a.late),
        Column(N_("Priorité"), lambda a: _(PRIORITY_LABELS[a.priority])),
        Column(N_("À qui"), lambda a: name_assignee(a, names, _)),
        Column(N_("Site"), lambda a: names.site(a.site)),
        Column(N_("Code du site"), lambda a: a.site),
        Column(N_("Incident"), lambda a: a.incident),
        Column(N_("Plan"), lambda a: a.plan),
        Column(N_("Demandée par"), lambda a: _name_actor(a.requested_by, names, _)),
        Column(N_("Demandée à (Paris)"), lambda a: a.requested_at),
        Column(N_("Avant (Paris)"), lambda a: a.due_at),
        Column(N_("Rappelée à (Paris)"), lambda a: a.reminded_at),
        Column(N_("Acceptée par"), lambda a: _name_actor(a.accepted_by, names, _)),
        Column(N_("Acceptée à (Paris)"), lambda a: a.accepted_at),
        Column(N_("Terminée par"), lambda a: _name_actor(a.ended_by, names, _)),
        Column(N_("Terminée à (Paris)"), lambda a: a.ended_at),
        Column(N_("Résultat"), lambda a: a.outcome),
        Column(N_("Raison"), lambda a: a.reason),
        Column(N_("Identifiant"), lambda a: a.id),
    )


def name_action_kind(action: Action, _: Translator) -> str:
    """Name the nature of an action: requested by a person, or a task of the rules."""
    if action.kind == REQUEST:
        return _("action demandée")
    return w.translate_code(w.TASK, action.kind, _)


def name_assignee(action: Action, names: TerritoryNames, _: Translator) -> str:
    """Name the assignee of an action: a role in its scope, a person by role, or the cell."""
    if action.person is not None:
        return w.name_person(action.person, names, _)
    return w.name_role(action.role, action.scope, names, _) if action.role else _("Cellule")


def _name_actor(token: str | None, names: TerritoryNames, _: Translator) -> str:
    return w.name_person(token, names, _) if token else ""


router = DecisionRouter(prefix="/api/v1/actions", tags=["actions"])
LONGEST_TITLE: Final = 160
"""Characters of a title: together with place, time and answer it fits an SMS."""
Requester = Annotated[DecisionContext, Depends(require_decision(Permission.INCIDENT_DECIDE))]
Answerer = Annotated[DecisionContext, Depends(require_decision(Permission.TASK_WORK))]
ACTION = Subject(router, "/{id}", "action", Answerer, check_action)


class NewAction(DecisionBody):
    """Something to do until a time, without anything confidential."""

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    assignee: str = Field(
        min_length=1,
        max_length=128,
        description="role, `<role>:<pôle or site>`, token of a person, or site (its manager)",
    )
    due_at: AwareDatetime
    incident: str | None = Field(default=None, max_length=64)
    plan: str | None = Field(default=None, max_length=64)
    priority: ActionPriority = ActionPriority.NORMAL


class CompleteActionRequest(DecisionBody):
    outcome: str | None = Field(
        default=None,
        max_length=32,
        pattern="^[a-z_]+$",
        description="of a task of the rules: confirmed, denied, done, …",
    )


async def build_reader(reader: ReadContext) -> CanRead:
    """Return the function that says which words this reader sees."""
    reference = await reader.model.reference()
    return lambda action: can_read_words(reader.principal, action, reference)


@router.get(
    "",
    response_model=Page[Action],
    responses=TABLE_RESPONSES,
    summary="Actions and tasks: open ones first, the earliest due first; also as CSV",
)
async def list_actions(
    reader: RealmReader,
    state: Multiple[ActionState],
    form: TableForm,
    kind: Annotated[
        str | None, Query(max_length=32, description="`request`, or the kind of a task")
    ] = None,
    assignee: Annotated[
        str | None, Query(max_length=128, description="role, pôle, site or person")
    ] = None,
    incident: str | None = None,
    plan: str | None = None,
    late: Annotated[bool | None, Query(description="open past `due_at`; false: the others")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Action] | Response:
    can_read = await build_reader(reader)

    async def read(limit: int, after: str | None) -> Page[Action]:
        return await reader.model.actions(
            state=state,
            kind=kind,
            assignee=assignee,
            incident=incident,
            plan=plan,
            late=late,
            can_read=can_read,
            limit=limit,
            cursor=after,
        )

    if form == "json":
        return await read(limit, cursor)
    names = (await reader.model.reference()).names
    columns = list_action_columns(names, get_translator(reader.lang))
    about = FileNaming(reader.realm, "actions", reader.lang)
    return build_csv_response(columns, await read_all_pages(read), about)


@router.get("/{id}", summary="One action; its ETag is its version")
async def get_action(reader: RealmReader, id: str, response: Response) -> Action:
    action = await reader.model.action(id, can_read=await build_reader(reader))
    set_etag(response, action.version)
    return action


@router.decision("", "Ask a role, a person or a site to do something")
async def request_action(author: Requester, body: NewAction) -> Response:
    require_text(body.title, "title")
    author = author.within(body)
    await check_assignee(author, body.assignee)
    if body.incident is not None:
        await check_incident(author, body.incident)
    return await send_text(author, body, "alerts", RequestAction, complete_sentence(body.title))


ACTION.forward(":accept", "I do it", AcceptAction)
ACTION.forward(":decline", "I cannot: the pilot is told", DeclineAction)


@router.decision("/{id}:complete", "It is done")
async def complete_action(
    author: Answerer, id: str, body: CompleteActionRequest | None = None
) -> Response:
    await check_action(author.within(body), id)
    outcome = body.outcome if body is not None else None
    return await send_decision(author, body, "alerts", CompleteAction, action=id, outcome=outcome)


ACTION.forward(":cancel", "No longer needed: its calls stop", CancelAction, author=Requester)

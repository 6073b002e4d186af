"""Turn a decision into its HTTP answer.

200 with the result, the decider's refusal as a problem, or 202 while it is pending.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.base import Command
from services.console.http.context import DecisionBody, DecisionContext, to_instant
from services.console.http.decisions import CommandDispatcher, CommandOutcome, MakeCommand
from services.console.logbook.queries import build_command_result, names_site
from services.console.resources import CommandResult
from services.console.texts.names import TerritoryNames
from services.runtime.http.problems import CATALOGUE, MEDIA_TYPE, build_field_problem

Handler = TypeVar("Handler", bound=Callable[..., Any])
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": CommandResult, "description": "decided"},
    202: {
        "model": CommandResult,
        "description": "accepted; the decision comes at `Location`: `/api/v1/commands/{id}`",
    },
    403: {"description": "the decider refuses: role", "content": {MEDIA_TYPE: {}}},
    404: {"description": "the decider knows no such thing", "content": {MEDIA_TYPE: {}}},
    409: {"description": "the decider refuses: state", "content": {MEDIA_TYPE: {}}},
    412: {
        "description": "somebody decided in the meantime (If-Match)",
        "content": {MEDIA_TYPE: {}},
    },
}
"""Answers of every decision, for the OpenAPI document."""
_HEADER: dict[str, Any] = {"in": "header", "required": False, "schema": {"type": "string"}}
HEADERS: list[dict[str, Any]] = [
    _HEADER
    | {
        "name": "Idempotency-Key",
        "description": "1 to 128 printable characters: the same key again is the same decision, "
        "with its answer",
    },
    _HEADER
    | {
        "name": "Prefer",
        "description": "`wait=N`: seconds to wait for the decision, 2 when absent (RFC 7240)",
    },
]
"""Headers of every decision."""
VERSIONED: dict[str, Any] = {
    "parameters": [
        _HEADER
        | {
            "name": "If-Match",
            "description": "the version on which this is decided (`ETag`); 412 when somebody "
            "decided meanwhile",
        }
    ]
}
"""Header of a decision on which two people may collide."""


class DecisionRouter(APIRouter):
    """A router with routes that send a decision."""

    def decision(
        self, path: str, summary: str, *, versioned: bool = False, idle: str = "", **options: Any
    ) -> Callable[[Handler], Handler]:
        """Add a POST route with the answers of a decision, `versioned` with an If-Match.

        `idle` says when there is nothing to decide: the answer is 204 then.
        """
        if versioned:
            options["openapi_extra"] = VERSIONED
        responses = RESPONSES | ({204: {"description": idle}} if idle else {})
        return self.post(path, summary=summary, responses=responses, **options)


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of thing that decisions name by the `{id}` of their path."""

    router: DecisionRouter
    path: str
    field: str
    """Field of the commands that takes the id."""
    author: Any
    """Dependency that yields the author."""
    check: Callable[[DecisionContext, str], Awaitable[None]] | None = None
    """Refuse an id outside the author's scope."""
    service: str = "alerts"

    def forward(
        self,
        action: str,
        summary: str,
        kind: type[Command],
        *,
        author: Any = None,
        body: Any = DecisionBody | None,
        needs_reason: bool = False,
        operation_id: str | None = None,
        versioned: bool = False,
    ) -> None:
        """Add a decision that sends one command; its operation is named after the command.

        `action` ends the path; `author` is another dependency than that of the subject.
        """

        async def decide(author: DecisionContext, id: str, body: DecisionBody | None) -> Response:
            if needs_reason:
                require_text(body.reason if body is not None else None)
            if self.check is not None:
                await self.check(author.within(body), id)
            subject: dict[str, Any] = {self.field: id}
            return await send_decision(author, body, self.service, kind, **subject)

        # FastAPI reads the shape of a request from the annotations and defaults of its function
        body_type = DecisionBody if needs_reason else body
        decide.__annotations__ |= {"author": author or self.author, "body": body_type}
        if not isinstance(body_type, type):
            decide.__defaults__ = (None,)
        name = operation_id or re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        path = self.path + action
        self.router.decision(path, summary, versioned=versioned, operation_id=name)(decide)


async def send_decision(
    author: DecisionContext,
    body: DecisionBody | None,
    service: str,
    kind: type[Command],
    *,
    more_texts: Mapping[str, Any] | None = None,
    first: Sequence[tuple[str, MakeCommand]] = (),
    **fields: Any,
) -> Response:
    """Send a command and answer.

    Fields of the command that the body has are taken from it, `expected` is the version of the
    request, and `fields` holds the others. `more_texts` is free text stored with the reason;
    `first` holds commands to send before it. Raises BrokerAway, ProblemError.
    """

    def make(by: str, role: str, reason: str | None) -> Command:
        values = _collect_fields(author, body, kind, fields)
        return kind(author=by, role=role, reason=reason, **values)

    reason = body.reason if body else None
    return await _send(
        author.within(body), service, make, reason, more_texts=more_texts, first=first
    )


async def send_text(
    author: DecisionContext,
    body: DecisionBody | None,
    service: str,
    kind: type[Command],
    text: str,
    /,
    *,
    more_texts: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Response:
    """Store a text, send a command that carries its id as `text_id`, and answer.

    Fields and errors are those of `send_decision`.
    """

    def make(by: str, role: str, reference: str | None) -> Command:
        fields["text_id"] = (reference or "").removeprefix("text:")
        return kind(author=by, role=role, **_collect_fields(author, body, kind, fields))

    return await _send(author, service, make, text, more_texts=more_texts)


def _collect_fields(
    author: DecisionContext, body: DecisionBody | None, kind: type[Command], fields: dict[str, Any]
) -> dict[str, Any]:
    """Return the fields of a command: those given, those of the body, and the version."""
    shared_fields = kind.model_fields.keys() & type(body).model_fields.keys() if body else set()
    names = shared_fields - fields.keys() - {"author", "role", "realm", "reason"}
    values = {name: getattr(body, name) for name in names}
    if "expected" in kind.model_fields:
        values["expected"] = author.expected_version
    times = {name: to_instant(at) for name, at in values.items() if isinstance(at, datetime)}
    return values | times | fields


async def _send(
    author: DecisionContext,
    service: str,
    make: MakeCommand,
    reason: str | None,
    *,
    more_texts: Mapping[str, Any] | None = None,
    first: Sequence[tuple[str, MakeCommand]] = (),
) -> Response:
    decisions: CommandDispatcher = author.request.app.state.decisions
    outcome = await decisions.decide(
        service,
        author.realm,
        author.principal,
        make,
        reason=reason,
        key=author.key,
        wait_s=author.wait_s,
        more_texts=more_texts,
        first=first,
    )
    names = (await author.model.reference()).names if names_site(outcome.answer) else None
    return build_answer(author.request, outcome, author.lang, names)


async def send_commands(
    author: DecisionContext, service: str, commands: Sequence[tuple[str, Command]]
) -> Response:
    """Send commands that belong together, under their own ids, and answer for the last.

    Raises BrokerAway, ProblemError.
    """
    decisions: CommandDispatcher = author.request.app.state.decisions
    outcome = await decisions.send_all(
        service, author.realm, author.principal, commands, author.wait_s, author.key
    )
    return build_answer(author.request, outcome, author.lang)


async def find_repeated_answer(author: DecisionContext) -> Response | None:
    """Return the earlier answer for this key, or None.

    Call it before computing anything that may have changed since. Raises ProblemError `key_reused`.
    """
    decisions: CommandDispatcher = author.request.app.state.decisions
    before = await decisions.find_earlier_outcome(author.principal, author.realm, author.key)
    return None if before is None else build_answer(author.request, before, author.lang)


def build_answer(
    request: Request, outcome: CommandOutcome, lang: str, names: TerritoryNames | None = None
) -> Response:
    """Build the HTTP answer of an outcome."""
    headers = {"Cache-Control": "no-store", "Content-Language": lang, "Vigie-Command": outcome.id}
    unknown: list[str] = getattr(request.state, "unknown_fields", [])
    if outcome.is_replay:
        headers["Idempotency-Replayed"] = "true"
    if outcome.answer is None:
        location = f"/api/v1/commands/{outcome.id}?{urlencode({'realm': outcome.realm})}"
        pending = CommandResult(
            id=outcome.id,
            command_id=outcome.id,
            realm=outcome.realm,
            state="pending",
            unknown_fields=unknown,
        )
        return Response(
            pending.model_dump_json(), 202, headers | {"Location": location}, "application/json"
        )
    result = build_command_result(outcome.answer, lang, names).model_copy(
        update={"unknown_fields": unknown}
    )
    if result.state == "applied":
        return Response(result.model_dump_json(), 200, headers, "application/json")
    return Response(
        orjson.dumps(_build_problem(request, result, lang)),
        _get_status(result),
        headers,
        MEDIA_TYPE,
    )


def _get_status(result: CommandResult) -> int:
    if result.status is not None:
        return result.status
    return 500 if result.code == "failed" else 422


def _build_problem(request: Request, result: CommandResult, lang: str) -> dict[str, Any]:
    """Build a problem document (RFC 9457) with the decider's code."""
    title = CATALOGUE["refused"].title["en" if lang == "en" else "fr"]
    return {
        "type": f"urn:vigie:problem:{result.code or 'refused'}",
        "title": title,
        "status": _get_status(result),
        "detail": result.detail or title,
        "code": result.code or "refused",
        "instance": request.url.path,
        "command_id": result.id,
        **({"unknown_fields": result.unknown_fields} if result.unknown_fields else {}),
    }


def require_text(text: str | None, field: str = "reason") -> str:
    """Return a text that the decision requires. Raises ProblemError `invalid` if it is empty."""
    if text is None or not text.strip():
        raise build_field_problem(field, "missing", "champ obligatoire", "required field")
    return text

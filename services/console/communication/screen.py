"""Page `/communication`: statements, questions and rumours. Rule D91."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.crisis.communication import Audience, QuestionState, StatementState
from schemas.ranks import may_validate_statement
from services.console.communication.queries import Question, Signed, Statement
from services.console.http.decisions import get_author
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web.screen_context import ScreenData, ScreenPage, list_reached_incidents
from services.runtime.identity.permissions import Permission

OVER_SHOWN: Final = 30
"""Published and retracted statements, and answered questions, on the page."""
AUDIENCES: Final = tuple(Audience)
_ICONS: Final = {
    StatementState.DRAFT: ("wait", "mute"),
    StatementState.SUBMITTED: ("wait", "soon"),
    StatementState.VALIDATED: ("check", "soon"),
    StatementState.PUBLISHED: ("check", "ok"),
    StatementState.REFUSED: ("cross", "over"),
    StatementState.RETRACTED: ("stop", "mute"),
}
_STEPS: Final = (
    ("drafted", N_("rédigé")),
    ("revised", N_("repris")),
    ("readdressed", N_("public changé")),
    ("submitted", N_("soumis")),
    ("validated", N_("validé")),
    ("refused", N_("refusé")),
    ("published", N_("publié")),
    ("retracted", N_("retiré")),
)
OPEN_STATES: Final = frozenset(
    {
        StatementState.DRAFT,
        StatementState.SUBMITTED,
        StatementState.VALIDATED,
        StatementState.REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class StatementStep:
    """A step in the life of a statement: its word, its time and the role behind it."""

    label: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class StatementView:
    """A statement on the page."""

    statement: Statement
    title: str
    audience: str
    state: str
    icon: str
    tone: str
    steps: list[StatementStep]
    can_revise: bool
    can_readdress: bool
    can_submit: bool
    can_validate: bool
    can_publish: bool
    can_retract: bool
    waits: str
    """Reason why this reader cannot validate a submitted statement; empty if they can."""


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A question on the page."""

    question: Question
    asker: str
    by: str


@dataclass(frozen=True, slots=True)
class Editor:
    """Reader of the page: account, role, the right to write, and the incidents to write about."""

    author: str
    role: str
    may_write: bool
    reaches: Callable[[str | None], bool] = lambda _incident: True


def build_statement_views(
    statements: Iterable[Statement], editor: Editor, names: TerritoryNames, _: Translator
) -> list[StatementView]:
    """Build the statements with the decisions that this reader may take."""
    return [_build_view(one, editor, names, _) for one in statements]


def build_question_views(
    questions: Iterable[Question], names: TerritoryNames, _: Translator
) -> list[QuestionView]:
    return [
        QuestionView(
            one, w.translate_code(w.ASKER, one.asker, _), _name(one.answered or one.noted, names, _)
        )
        for one in questions
    ]


def split_statements(
    views: Sequence[StatementView],
) -> tuple[list[StatementView], list[StatementView]]:
    """Return the statements that wait for somebody, and the others, the newest first."""
    waiting = [view for view in views if view.statement.state in OPEN_STATES]
    over = [view for view in views if view.statement.state not in OPEN_STATES]
    return waiting, sorted(over, key=lambda view: view.statement.changed_at, reverse=True)


def split_questions(views: Sequence[QuestionView]) -> tuple[list[QuestionView], list[QuestionView]]:
    """Return the open questions, and the answered ones."""
    is_open = [view.question.state is QuestionState.OPEN for view in views]
    return (
        [view for view, waits in zip(views, is_open, strict=True) if waits],
        [view for view, waits in zip(views, is_open, strict=True) if not waits],
    )


def _build_view(
    one: Statement, editor: Editor, names: TerritoryNames, _: Translator
) -> StatementView:
    icon, tone = _ICONS[one.state]
    signed_steps = [(label, getattr(one, name)) for name, label in _STEPS]
    steps = [
        StatementStep(_(label), s.at, _name(s, names, _))
        for label, s in signed_steps
        if s is not None
    ]
    author_steps = (one.drafted, one.revised, one.readdressed, one.submitted)
    authors = {step.by for step in author_steps if step is not None}
    is_submitted = one.state is StatementState.SUBMITTED
    writes = editor.may_write and editor.reaches(one.incident)
    validator = may_validate_statement(editor.role) and writes
    waits = ""
    if is_submitted and not validator:
        waits = _("Attend la validation par la communication.")
    elif is_submitted and editor.author in authors:
        waits = _("Une autre personne que ses auteurs doit le valider.")

    def may(change: str) -> bool:
        return writes and change in one.moves

    return StatementView(
        statement=one,
        title=one.title or w.translate_code(w.AUDIENCE_FOR, one.audience, _).capitalize(),
        audience=w.translate_code(w.AUDIENCE, one.audience, _),
        state=w.translate_code(w.STATEMENT_STATE, one.state, _),
        icon=icon,
        tone=tone,
        steps=sorted(steps, key=lambda step: step.at),
        can_revise=may("revised"),
        can_readdress=may("readdressed"),
        can_submit=may("submitted") and not one.blanks,
        can_validate=is_submitted and not waits,
        can_publish=may("published"),
        can_retract=may("retracted"),
        waits=waits,
    )


def _name(signature: Signed, names: TerritoryNames, _: Translator) -> str:
    """Name a person by role, never by name; an account without a post by the role it acted in."""
    if signature.by in names.holders:
        return w.name_person(signature.by, names, _)
    return w.name_role(signature.role, None, names, _)


async def build_communication_page(x: ScreenData) -> dict[str, Any]:
    """Build `communication.html`: statements, questions and rumours. Rule D91.

    Raises NotFound.
    """
    reader = x.shell.reader
    query_params = x.request.query_params
    incident = query_params.get("incident", x.shell.only_incident) or None
    statements, questions, rumours, templates, publications = await asyncio.gather(
        x.queries.statements(),
        x.queries.questions(),
        x.queries.rumours(),
        x.queries.statement_templates(incident=incident),
        x.queries.publications(),
    )
    may_write = reader.may(Permission.STATEMENT_WRITE) and x.shell.moment is None
    incidents = await list_reached_incidents(x)
    editor = Editor(
        get_author(reader.principal),
        reader.principal.acting_role,
        may_write,
        lambda about: reader.reaches_some(incidents, about),
    )
    views = build_statement_views(statements.items, editor, x.names, x._)
    waiting, over = split_statements(views)
    is_open, answered_questions = split_questions(
        build_question_views(questions.items, x.names, x._)
    )
    template = next((t for t in templates if t.id == query_params.get("modele")), None)
    reused_view = next((v for v in views if v.statement.id == query_params.get("reprise")), None)
    prefill = reused_view.statement if reused_view is not None else template
    audience = query_params.get("public")
    return {
        "publications": publications,
        "waiting": waiting,
        "over": over[:OVER_SHOWN],
        "over_count": len(over),
        "published": [s for s in over if s.statement.published and not s.statement.retracted],
        "open_questions": is_open,
        "answered": answered_questions[:OVER_SHOWN],
        "answered_count": len(answered_questions),
        "rumours": rumours[:OVER_SHOWN],
        "site_name": x.names.site,
        "templates": templates,
        "template_id": template.id if template and reused_view is None else None,
        "filled": prefill,
        "again": reused_view,
        "incident_id": incident,
        "rumour_id": query_params.get("rumeur") or None,
        "question_id": query_params.get("question") or None,
        "carried": {
            k: query_params[k] for k in ("rumeur", "question", "public") if query_params.get(k)
        },
        "audience": prefill.audience.value if prefill else audience,
        "audiences": [one.value for one in AUDIENCES],
        "askers": [one.value for one in reversed(AUDIENCES)],
        "may_write": may_write,
        "own_incidents": [one for one in x.shell.overview.incidents if reader.reaches(one)],
        "may_draft": reader.reaches_some(incidents, incident),
        "may_note": reader.may(Permission.NOTE_WRITE) and x.shell.moment is None,
    }


PAGE: Final = ScreenPage(
    "communication",
    "/communication",
    "communication.html",
    build_communication_page,
    N_("Communication"),
    needs=Permission.LOG_READ,
    personal=True,  # authors may not validate their own statements (rule D91)
)

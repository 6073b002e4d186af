"""Decide about questions of the press, families, users, agents and elected people. Rule D91."""

from __future__ import annotations

from schemas.base import copy_with
from schemas.crisis import communication as m
from services.alerts.decision import AlertsDecision
from services.alerts.lookups import get_incident
from services.runtime.decider.command_checks import check_version, get_row
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def receive_question(draft: AlertsDecision, command: m.ReceiveQuestion) -> CommandResult:
    if command.incident is not None:
        get_incident(draft, command.incident)
    row = m.QuestionRow(
        id=draft.derive("question"),
        state=m.QuestionState.OPEN,
        asker=command.asker,
        text_id=command.text_id,
        incident=command.incident,
        asked_at=draft.now if command.occurred_at is None else command.occurred_at,
        due_at=command.due_at,
        noted=m.Signature(by=command.author, role=command.role, at=draft.now),
        changed_at=draft.now,
    )
    draft.emit(m.QuestionChanged(row=row, change="received"))
    return _build_result(row)


def answer_question(draft: AlertsDecision, command: m.AnswerQuestion) -> CommandResult:
    """Answer a question by a published statement or in other words."""
    row = get_open_question(draft, command.question)
    check_version(row, command.expected)
    if command.statement is None and command.text_id is None:
        raise RefusedCommand(409, "answer_empty")
    if command.statement is not None:
        statement = get_row(draft.state.statements, command.statement, "statement_not_found")
        if statement.state is not m.StatementState.PUBLISHED:
            raise RefusedCommand(409, "statement_not_published", statement=statement.id)
    signature = m.Signature(by=command.author, role=command.role, at=draft.now)
    return _answer(draft, row, signature, command.statement, command.text_id)


def answer_by_statement(
    draft: AlertsDecision, question: str, statement: str, signature: m.Signature
) -> None:
    """Answer a question by the statement that is published for it; an answered one stays."""
    row = draft.state.questions.get(question)
    if row is not None and row.state is m.QuestionState.OPEN:
        _answer(draft, row, signature, statement, None)


def get_open_question(draft: AlertsDecision, id: str) -> m.QuestionRow:
    """Return an open question; refuse an unknown (404) or an answered one (409)."""
    row = get_row(draft.state.questions, id, "question_not_found")
    if row.state is not m.QuestionState.OPEN:
        raise RefusedCommand(409, "question_answered", question=id)
    return row


def _answer(
    draft: AlertsDecision,
    row: m.QuestionRow,
    signature: m.Signature,
    statement: str | None,
    text_id: str | None,
) -> CommandResult:
    new = copy_with(
        row,
        {
            "state": m.QuestionState.ANSWERED,
            "answered": signature,
            "answer_text_id": text_id,
            "statement": statement,
            "changed_at": draft.now,
            "version": row.version + 1,
        },
    )
    draft.emit(m.QuestionChanged(row=new, change="answered"))
    return _build_result(new)


def _build_result(row: m.QuestionRow) -> CommandResult:
    return {"question": row.id, "state": row.state.value, "version": row.version}

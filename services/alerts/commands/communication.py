"""Decide about statements, and about questions of press, families, users and others. Rule D91."""

from typing import Any, Final

from schemas.base import Command, copy_with
from schemas.crisis import communication as m
from schemas.ranks import may_validate_statement
from services.alerts.decision import AlertsDecision, get_incident, get_report
from services.runtime.decider.command_checks import (
    check_version,
    get_row,
    require_person,
    require_reason,
)
from services.runtime.decider.protocol import CommandResult, RefusedCommand

ANSWERABLE: Final = frozenset({"rumour", "unconfirmed", "denied"})
"""Confirmation of the reports that a statement may answer."""


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
    return _build_question_result(row)


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
    return _build_question_result(new)


def _build_question_result(row: m.QuestionRow) -> CommandResult:
    return {"question": row.id, "state": row.state.value, "version": row.version}


def draft_statement(draft: AlertsDecision, command: m.DraftStatement) -> CommandResult:
    if command.incident is not None:
        get_incident(draft, command.incident)
    if command.question is not None:
        get_open_question(draft, command.question)
    row = m.StatementRow(
        id=draft.derive("statement"),
        state=m.StatementState.DRAFT,
        audience=command.audience,
        plain=command.plain,
        template=command.template,
        incident=command.incident or _find_incident(draft, command),
        report=command.report,
        question=command.question,
        text_id=command.text_id,
        blanks=command.blanks,
        drafted=sign(draft, command),
        changed_at=draft.now,
    )
    draft.emit(m.StatementChanged(row=row, change="drafted"))
    return _build_result(row)


def revise_statement(draft: AlertsDecision, command: m.ReviseStatement) -> CommandResult:
    row = _get_statement(draft, command.statement, command.expected)
    return _move(draft, row, "revised", command, text_id=command.text_id, blanks=command.blanks)


def readdress_statement(draft: AlertsDecision, command: m.ReaddressStatement) -> CommandResult:
    """Change the audience before the publication. Submission and validation start anew.

    The validated words were those for another audience. The same audience changes nothing.
    """
    row = _get_statement(draft, command.statement, command.expected)
    plain = row.plain if command.plain is None else command.plain
    is_changed = (command.audience, plain) != (row.audience, row.plain)
    if not is_changed and row.state in m.STATEMENT_MOVES["readdressed"]:
        return _build_result(row)
    return _move(
        draft,
        row,
        "readdressed",
        command,
        audience=command.audience,
        plain=plain,
        submitted=None,
        validated=None,
    )


def submit_statement(draft: AlertsDecision, command: m.SubmitStatement) -> CommandResult:
    row = _get_statement(draft, command.statement, command.expected)
    if row.blanks:
        raise RefusedCommand(409, "statement_blanks", blanks=row.blanks)
    return _move(draft, row, "submitted", command)


def validate_statement(draft: AlertsDecision, command: m.ValidateStatement) -> CommandResult:
    """Validate a statement as the communication function, not as one of its authors."""
    row = _get_statement(draft, command.statement, command.expected)
    _require_validator(command)
    if command.author in list_authors(row):
        raise RefusedCommand(403, "statement_second_person", statement=row.id)
    return _move(draft, row, "validated", command)


def refuse_statement(draft: AlertsDecision, command: m.RefuseStatement) -> CommandResult:
    row = _get_statement(draft, command.statement, command.expected)
    _require_validator(command)
    require_reason(command)
    return _move(draft, row, "refused", command, reason=command.reason)


def publish_statement(draft: AlertsDecision, command: m.PublishStatement) -> CommandResult:
    """Publish a validated statement, and answer the question that it answers."""
    row = _get_statement(draft, command.statement, command.expected)
    result = _move(draft, row, "published", command)
    if row.question is not None:
        answer_by_statement(draft, row.question, row.id, sign(draft, command))
    return result


def retract_statement(draft: AlertsDecision, command: m.RetractStatement) -> CommandResult:
    row = _get_statement(draft, command.statement, command.expected)
    if row.state is m.StatementState.PUBLISHED:
        require_reason(command)
    return _move(draft, row, "retracted", command, reason=command.reason)


def sign(draft: AlertsDecision, command: Command) -> m.Signature:
    """Return the signature of a command's author."""
    return m.Signature(by=command.author, role=command.role, at=draft.now)


def list_authors(row: m.StatementRow) -> frozenset[str]:
    """Return the authors of the present text and audience, and the person that submitted it."""
    steps = (row.drafted, row.revised, row.readdressed, row.submitted)
    return frozenset(step.by for step in steps if step is not None)


def _find_incident(draft: AlertsDecision, command: m.DraftStatement) -> str | None:
    """Return the incident of the rumour or question that a statement answers."""
    if command.report is not None:
        report = get_report(draft, command.report)
        if report.confirmation not in ANSWERABLE:
            raise RefusedCommand(409, "no_rumour", report=report.id)
        return draft.incident_of(report.id)
    if command.question is not None:
        return draft.state.questions[command.question].incident
    return None


def _get_statement(draft: AlertsDecision, id: str, expected: int | None) -> m.StatementRow:
    row = get_row(draft.state.statements, id, "statement_not_found")
    check_version(row, expected)
    return row


def _require_validator(command: Command) -> None:
    """Refuse programs, and roles other than the communication function and those above it."""
    require_person(command)
    if not may_validate_statement(command.role):
        raise RefusedCommand(403, "statement_role", role=command.role)


def _move(
    draft: AlertsDecision, row: m.StatementRow, change: str, command: Command, **values: Any
) -> CommandResult:
    """Move a statement along one arrow; refuse (409) any other move."""
    after = m.STATEMENT_MOVES[change].get(row.state)
    if after is None:
        raise RefusedCommand(409, "statement_state", state=row.state.value, change=change)
    new = copy_with(
        row,
        {
            **values,
            "state": after,
            change: sign(draft, command),
            "changed_at": draft.now,
            "version": row.version + 1,
        },
    )
    draft.emit(m.StatementChanged(row=new, change=change))
    return _build_result(new)


def _build_result(row: m.StatementRow) -> CommandResult:
    return {"statement": row.id, "state": row.state.value, "version": row.version}

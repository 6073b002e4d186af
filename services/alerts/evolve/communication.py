"""Statements and questions."""

from __future__ import annotations

from schemas.base import Instant
from schemas.crisis.communication import (
    QuestionRow,
    QuestionState,
    StatementRow,
    StatementState,
)
from services.alerts.state import State


def evolve_statement(s: State, row: StatementRow) -> State:
    return s.put(statements=s.statements.set(row.id, row))


def evolve_question(s: State, row: QuestionRow) -> State:
    return s.put(questions=s.questions.set(row.id, row))


def is_kept_statement(row: StatementRow, before: Instant) -> bool:
    """Return whether a statement is still needed: retracted and old ones are not."""
    return row.state is not StatementState.RETRACTED or row.changed_at >= before


def is_kept_question(row: QuestionRow, before: Instant) -> bool:
    """Return whether a question is still needed: answered and old ones are not."""
    return row.state is not QuestionState.ANSWERED or row.changed_at >= before

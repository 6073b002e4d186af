"""Checks that commands of every decider share, and their refusals."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from schemas.base import Command
from services.runtime.decider.protocol import RefusedCommand

R = TypeVar("R")
_PROGRAM_PREFIX = "system:"


class Versioned(Protocol):
    """A row with a version that counts its decisions."""

    @property
    def version(self) -> int: ...


def get_row(rows: Mapping[str, R], id: str, code: str) -> R:
    """Return a row; refuse an unknown id (404) with a code like `plan_not_found`."""
    row = rows.get(id)
    if row is None:
        raise RefusedCommand(404, code, **{code.removesuffix("_not_found"): id})
    return row


def check_version(row: Versioned, expected: int | None) -> None:
    """Refuse a decision (412) on another version than the present one."""
    if expected is not None and expected != row.version:
        raise RefusedCommand(412, "version_conflict", expected=expected, version=row.version)


def is_program(author: str) -> bool:
    return author.startswith(_PROGRAM_PREFIX)


def require_person(command: Command) -> None:
    """Refuse a program (403): a person answers for the decision."""
    if is_program(command.author):
        raise RefusedCommand(403, "person_needed")


def require_reason(command: Command) -> str:
    """Return the reason; refuse a command without one (409)."""
    if not command.reason:
        raise RefusedCommand(409, "reason_required")
    return command.reason

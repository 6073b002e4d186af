"""The refusal of a command by a decider."""

from __future__ import annotations

from typing import Literal, cast

from schemas.base import Command
from schemas.runtime import CommandRefused

Scalar = str | int | float | bool | None
CommandResult = dict[str, Scalar]
"""Answer to a command that took effect; the body of the HTTP 200 response."""


class RefusedCommand(Exception):
    """A refused command with its status, code and values; becomes the fact `CommandRefused`."""

    def __init__(self, status: int, code: str, **values: Scalar) -> None:
        super().__init__(code)
        self.status, self.code, self.values = status, code, values

    def to_fact(self, command_id: str, command: Command) -> CommandRefused:
        """Return the fact that answers the command."""
        return CommandRefused(
            command_id=command_id,
            command=type(command).__name__,
            status=cast("Literal[403, 404, 409, 412]", self.status),
            code=self.code,
            values=self.values,
        )

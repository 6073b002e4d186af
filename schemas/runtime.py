"""Inputs and facts of every decider."""

from typing import Final, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Message, register_message

CONDUCTOR: Final = "/conductor"
"""Source of records sent by the conductor of simulated realms."""


@register_message
class Tick(Message):
    """Time passed without other inputs; only inputs move time.

    The owner of a realm sends it to its own input when something is due.
    """


@register_message
class StepTo(Message):
    """The conductor moves the clock of a simulated realm to the input's `at`.

    It never does so in a live realm.
    """


@register_message
class OpenRealm(Command):
    """Open a realm with a simulated clock, such as an exercise.

    `vigie up` opens live realms. Sent to alerts, which forwards it to the other services.
    """

    territory: str
    title_code: str = Field(
        default="exercise", description="scenario id or another short code; no free text"
    )
    started_at: Instant = Field(
        description="time of the simulated clock at the start; ignored in a live realm"
    )
    lineage: str | None = Field(
        default=None, description="realm in which this history began, for forks"
    )
    speed: float | None = Field(
        default=None, description="simulated seconds per real second; None = as fast as possible"
    )
    responders: tuple[dict[str, str | int | float | bool | None], ...] = Field(
        default=(),
        description="simulated answers (docs/reference/responders.md); by default nobody answers",
    )


@register_message
class CloseRealm(Command):
    """Close a realm: it accepts no further report or decision and stays readable."""


@register_message
class StepRequested(Command):
    """Move a simulated realm to `to`.

    Recorded in `alerts.log`; the conductor acts on the fact `StepAccepted`.
    """

    to: Instant


@register_message
class StepSettled(Message):
    """From the conductor: the realm is quiet at `to`.

    Answers the waiting StepRequested with `CommandApplied`.
    """

    command_id: str
    to: Instant


@register_message
class SetPace(Command):
    """Pause or resume a simulated realm, or change its speed.

    Recorded as `PaceChanged`, on which the conductor acts.
    """

    paused: bool = False
    speed: float | None = Field(
        default=None, description="simulated seconds per real second; None = as fast as possible"
    )


@register_message
class RealmOpened(Fact):
    """A realm was opened; alerts routes it to continuity and delivery, which record it too."""

    territory: str
    title_code: str
    started_at: Instant
    lineage: str
    speed: float | None = None
    responders: tuple[dict[str, str | int | float | bool | None], ...] = ()


@register_message
class RealmClosed(Fact):
    """A realm was closed, see CloseRealm."""


@register_message
class StepAccepted(Fact):
    """The realm shall move to `to`, through every deadline before it."""

    to: Instant
    command_id: str


@register_message
class PaceChanged(Fact):
    """The pace of a simulated realm changed, see SetPace."""

    paused: bool
    speed: float | None


@register_message
class InputFailed(Fact):
    """Processing an input raised an error; the input had no effect.

    Its id stays unseen, so a replay after the fix works. The original bytes are in `dead-letters`.
    """

    input_id: str
    input_type: str
    error: str = Field(description="exception class and message, no personal data")


@register_message
class InputRefused(Fact):
    """An input is unreadable or not for this realm; the bytes are in `dead-letters`.

    Reasons: unknown type, invalid data, foreign realm, no signature of this installation.
    """

    input_id: str
    input_type: str
    code: Literal[
        "unknown_type",
        "invalid",
        "wrong_realm",
        "realm_unknown",
        "realm_closed",
        "realm_not_simulated",
        "no_data",
        "unsigned",
    ]
    detail: str


@register_message
class InputDuplicate(Fact):
    """An input had no effect: a known id, or a forwarded fact at or before the watermark."""

    input_id: str


@register_message
class DeadlineFailed(Fact):
    """A deadline raised an error and was removed; an alarm is shown and everything else goes on."""

    key: str
    due: Instant
    error: str


@register_message
class LossDeclared(Fact):
    """An operator accepted the loss of the end of this log (`vigie repair --accept-loss`).

    Raises `history`.
    """

    detail: str


@register_message
class Rebased(Fact):
    """Input positions start anew after a restore, a take-over or a re-created input.

    Raises `history`.
    """

    cluster_id: str
    next_offset: int
    urgent_next_offset: int | None = None
    """Next offset of the urgent lane; None without a lane or a change."""
    taken_at: Instant | None = None
    """Time of the restored backup, which holds nothing later; None for another cause."""


@register_message
class CommandApplied(Fact):
    """A command took effect; `result` is the HTTP 200 response."""

    command_id: str
    command: str
    result: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


@register_message
class CommandRefused(Fact):
    """The decider refused a command.

    Holds the HTTP status 403, 404, 409 or 412, a stable code and its values.
    """

    command_id: str
    command: str
    status: Literal[403, 404, 409, 412]
    code: str
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

"""Inputs and facts that every decider has, whatever its domain."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Message, message

CONDUCTOR: Final = "/conductor"
"""Source of what the conductor of simulated realms sends."""


@message
class Tick(Message):
    """Something is due and nothing arrived: the owner writes this to its own input. Only inputs move time."""


@message
class StepTo(Message):
    """The conductor moves the clock of a simulated realm to the input's `at`. Never in a live realm."""


@message
class OpenRealm(Command):
    """Open an exercise, what-if or test realm (a live realm is opened by `up`). Sent to alerts, which tells the others."""

    territory: str
    title_code: str = Field(
        default="exercise", description="scenario id or another short code; no free text"
    )
    started_at: Instant = Field(
        description="time of the simulated clock at the start; ignored in a live realm"
    )
    lineage: str | None = Field(
        default=None, description="realm where this history began, for forks"
    )
    speed: float | None = Field(
        default=None, description="simulated seconds per real second; None = as fast as possible"
    )
    responders: tuple[dict[str, str | int | float | bool | None], ...] = Field(
        default=(),
        description="how simulated people answer (docs/reference/responders.md); nobody answers by default",
    )


@message
class CloseRealm(Command):
    """No further report or decision is taken in this realm; it stays readable."""


@message
class StepRequested(Command):
    """Move a simulated realm to `to`. Recorded in alerts.log; the conductor acts on the fact `StepAccepted`."""

    to: Instant


@message
class StepSettled(Message):
    """From the conductor to alerts: the realm is quiet at `to`; answers the waiting StepRequested with `CommandApplied`."""

    command_id: str
    to: Instant


@message
class SetPace(Command):
    """Pause or resume a simulated realm, or change its speed. Recorded as `PaceChanged`; the conductor obeys."""

    paused: bool = False
    speed: float | None = Field(
        default=None, description="simulated seconds per real second; None = as fast as possible"
    )


@message
class RealmOpened(Fact):
    """Routed by alerts to continuity and delivery, which record it too."""

    territory: str
    title_code: str
    started_at: Instant
    lineage: str
    speed: float | None = None
    responders: tuple[dict[str, str | int | float | bool | None], ...] = ()


@message
class RealmClosed(Fact):
    """See CloseRealm."""


@message
class StepAccepted(Fact):
    """The realm shall move to `to`, through every deadline before it."""

    to: Instant
    command_id: str


@message
class PaceChanged(Fact):
    """See SetPace."""

    paused: bool
    speed: float | None


@message
class InputFailed(Fact):
    """`decide` raised. The input had no effect, its id stays unseen (a replay after the fix works); bytes are in `dead-letters`."""

    input_id: str
    input_type: str
    error: str = Field(description="exception class and message, no personal data")


@message
class InputRefused(Fact):
    """The input could not be read or is not for this realm: unknown type, invalid data, foreign realm, no mark of this installation. Bytes are in `dead-letters`."""

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


@message
class InputDuplicate(Fact):
    """The same id, or a forwarded fact at or before the watermark: no effect."""

    input_id: str


@message
class DeadlineFailed(Fact):
    """Firing raised: this deadline is disarmed, an alarm is shown, everything else goes on."""

    key: str
    due: Instant
    error: str


@message
class LossDeclared(Fact):
    """An operator accepted that a tail of this log is lost (`vigie repair --accept-loss`). Raises `history`."""

    detail: str


@message
class Rebased(Fact):
    """Input positions count from here: restore, take-over, re-created input. Raises `history`."""

    cluster_id: str
    next_offset: int
    urgent_next_offset: int | None = None
    """Next offset of the urgent lane; None if the decider has none or it does not change."""


@message
class CommandApplied(Fact):
    """A command took effect; `result` is what HTTP answers with 200."""

    command_id: str
    command: str
    result: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


@message
class CommandRefused(Fact):
    """The decider's own refusal: HTTP status 403, 404, 409 or 412, a stable code, and values for the sentence."""

    command_id: str
    command: str
    status: Literal[403, 404, 409, 412]
    code: str
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

"""Every reason for a process to stop by itself: named exits, and failpoints of fault tests.

A stop is fail-stop: no graceful shutdown, no commit, no leaving of the group. A process that doubts
its view must not do anything more with it. The supervisor restarts codes 70 and 71; the others wait
for a person (`docs/how-to/exits.md`).

With `VIGIE_FAILPOINT=<point>[:<n>]` the process sends itself SIGKILL at the n-th pass. Without the
variable, each point costs one test of a constant.
"""

import logging
import os
import signal
import sys
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

import structlog

ExitName = Literal[
    "append.failed",
    "append.conflict",
    "agent.crashed",
    "agent.ended",
    "take.failed",
    "decider.broken",
    "publish.failed",
    "progress.none",
    "input.disorder",
    "log.truncated",
    "source.forked",
    "input.gap",
    "input.rewritten",
    "chain.stuck",
    "logic.newer",
]
_REPAIR_LOG = "check the broker's disk; then `vigie repair --accept-loss`"
_REPAIR_INPUT = (
    "check the broker's disk; then `vigie repair --rebase` (ids deduplicate what was applied "
    "already)"
)
Point = Literal[
    "before-decide",
    "after-append",
    "before-publish",
    "after-publish",
    "before-commit",
    "during-snapshot",
    "during-takeover",
    "before-claim",
    "after-claim",
    "before-call",
    "after-call",
    "after-outcome",
    "after-text",
]
SETTING: Final = "VIGIE_FAILPOINT"
ARMED: Final = bool(os.environ.get(SETTING))
_point = ""
_remaining_passes = 0


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    means: str
    act: str
    """Instruction for the operator; empty if the restart repairs it."""

    @property
    def restart(self) -> bool:
        """True if a restart alone may help."""
        return self.code in (70, 71)


EXITS: Final[dict[ExitName, Exit]] = {
    "append.failed": Exit(70, "the broker refused a Transaction or its producer was fenced", ""),
    "agent.crashed": Exit(70, "an error of the runtime itself while an input was applied", ""),
    "agent.ended": Exit(70, "a task of the worker ended by itself", ""),
    "take.failed": Exit(70, "a log partition could not be taken over", ""),
    "publish.failed": Exit(70, "a fact could not be forwarded", ""),
    "input.disorder": Exit(70, "the stream processor delivered an input out of order", ""),
    "progress.none": Exit(
        70, "an append was not acknowledged, or an input not applied, for too long", ""
    ),
    "append.conflict": Exit(71, "another worker appended to the same log partition", ""),
    "log.truncated": Exit(73, "the log has lost records that were acknowledged", _REPAIR_LOG),
    "source.forked": Exit(
        73, "a receiver has applied a fact that this service's log does not hold", _REPAIR_LOG
    ),
    "input.gap": Exit(
        74, "the input topic lacks records between the last applied and the next one", _REPAIR_INPUT
    ),
    "input.rewritten": Exit(
        74, "the input topic no longer holds the record that was applied last", _REPAIR_INPUT
    ),
    "chain.stuck": Exit(
        75,
        "too many log records in a row do not continue the chain",
        "find the program that writes to the log (docs/how-to/exits.md)",
    ),
    "logic.newer": Exit(76, "the log was written by a newer version", "start the newer version"),
    "decider.broken": Exit(77, "the decider broke its protocol", "install a corrected version"),
}


class Stop(Exception):
    """Stop the process with this named exit."""

    def __init__(self, name: ExitName, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name: ExitName = name
        self.detail = detail


def stop(name: ExitName, detail: str, *, error: BaseException | None = None) -> NoReturn:
    """Log one line and end the process now."""
    reason = EXITS[name]
    log = structlog.get_logger("vigie.runtime")
    log.critical(
        name,
        detail=detail,
        means=reason.means,
        act=reason.act or "restarting",
        code=reason.code,
        exc_info=error,
    )
    exit_now(reason.code)


def exit_now(code: int = 0) -> NoReturn:
    """End the process now, without waiting for threads that still compute."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def stop_for_error(error: BaseException, otherwise: ExitName) -> NoReturn:
    """Stop with the name of the error if it has one, else with `otherwise`."""
    if isinstance(error, Stop):
        stop(error.name, error.detail)
    stop(otherwise, f"{type(error).__name__}: {error}", error=error)


def set_point(setting: str) -> None:
    """Kill this process at the n-th pass of a point, `<point>[:<n>]`, if ARMED."""
    global _point, _remaining_passes
    _point, _, count = setting.partition(":")
    _remaining_passes = int(count or 1)


def reach_failpoint(point: Point) -> None:
    """Kill this process if `point` is armed and was passed often enough.

    Call it as `if ARMED: reach(…)`.
    """
    global _remaining_passes
    if point != _point:
        return
    _remaining_passes -= 1
    if _remaining_passes <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


set_point(os.environ.get(SETTING, ""))

"""Points where fault tests kill a process.

With `VIGIE_FAILPOINT=<point>[:<n>]` the process sends itself SIGKILL at the n-th pass. Without the
variable, each point costs one test of a constant.
"""

from __future__ import annotations

import os
import signal
from typing import Final, Literal

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

"""Delays before something that has ended is started again."""

from dataclasses import dataclass

from services.runtime.process.exits import EXITS

RESTART_DELAYS_S = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""The first restart is at once, so a killed service is back quickly; later ones are ever slower."""
STEADY_S = 10.0
"""Seconds of readiness after which a process has recovered: its next end counts as the first."""
FIRST_REPAIR_DELAY_S = 8.0
"""Delay after the first of several exits that need a person: a false alarm is over by then."""
REPAIR_DELAY_S = 60.0
"""Delay after each later one (`exits.EXITS`).

It retries, so that a repair needs no full restart.
"""


@dataclass(slots=True)
class RestartBackoff:
    """Delays before a process or a service is started again."""

    ends: int = 0
    """Number of ends in a row without a steady time between them."""
    waits: int = 0
    """Number of exits in a row that a person must repair."""

    def next_delay_s(self, code: int, ready_for_s: float) -> float:
        """Return the delay after an end with this exit code.

        `ready_for_s` is the time for which the process was ready, 0 if it never was.
        """
        if ready_for_s >= STEADY_S:
            self.waits = 0
        if any(e.code == code and not e.restart for e in EXITS.values()):
            self.waits += 1
            return FIRST_REPAIR_DELAY_S if self.waits == 1 else REPAIR_DELAY_S
        self.ends = 1 if ready_for_s >= STEADY_S else self.ends + 1
        return RESTART_DELAYS_S[min(self.ends, len(RESTART_DELAYS_S)) - 1]

"""Try a version of the reference data on recorded crises, in a process of its own. Rule D86.

`python -m services.simulation.trial_worker CRISES SECONDS < sections.json` writes a `Foreseen` to
standard output. It replays the newest crises and begins none after SECONDS. It needs the broker
(`VIGIE_KAFKA`).
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from pydantic import TypeAdapter

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen
from services.runtime.process.settings import Settings
from services.simulation.effects import Comparison, compare_crises, sum_up_effects
from services.simulation.recording import NotRecorded

NICENESS = 10
_SECTIONS: TypeAdapter[tuple[SectionData, ...]] = TypeAdapter(tuple[SectionData, ...])


async def try_version(
    comparisons: AsyncIterator[Comparison | NotRecorded], seconds: float
) -> Foreseen:
    """Sum up the comparisons that are ready within `seconds`, and one at least."""
    until = time.monotonic() + seconds
    outcomes: list[Comparison] = []
    unread = 0
    async for comparison in comparisons:
        if isinstance(comparison, Comparison):
            outcomes.append(comparison)
        else:
            unread += 1
        if time.monotonic() > until:
            break
    return sum_up_effects(outcomes, unread)


async def _run(sections: Sequence[SectionData], crises: int, seconds: float) -> Foreseen:
    async with aclosing(compare_crises(Settings().kafka, sections, crises)) as comparisons:
        return await try_version(comparisons, seconds)


def main(arguments: Sequence[str]) -> int:
    """Read sections from standard input and write the effect to standard output."""
    os.nice(NICENESS)
    crises, seconds = arguments
    sections = _SECTIONS.validate_json(sys.stdin.buffer.read())
    print(asyncio.run(_run(sections, int(crises), float(seconds))).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Try a version of the reference data on recorded crises before it is proposed. Rule D86.

The replay runs in a process of its own, because it takes the processor for seconds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import orjson
import structlog
from pydantic import ValidationError

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen

CRISES: Final = 5
BUDGET_S: Final = 10.0
"""Seconds after which no further crisis is replayed."""
TIMEOUT_S: Final = 20.0
"""Seconds after which the proposal goes without a trial; a page waits 30 seconds."""
log = structlog.get_logger(__name__)


async def try_version(sections: Sequence[SectionData]) -> Foreseen | None:
    """Return the effect of a version on the newest recorded crises; None if it took too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.simulation.trial_worker",
        str(CRISES),
        str(BUDGET_S),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    payload = orjson.dumps([section.model_dump(mode="json") for section in sections])
    try:
        output, _ = await asyncio.wait_for(process.communicate(payload), TIMEOUT_S)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return Foreseen.model_validate_json(output)
    except ValidationError:
        log.warning("reference.trial_failed", status=process.returncode)
        return None

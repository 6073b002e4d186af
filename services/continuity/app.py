"""The continuity process: the decider's worker."""

from __future__ import annotations

from services.continuity.decider import ContinuityDecider
from services.runtime import logs
from services.runtime.pace import UNHURRIED_MS
from services.runtime.processor import Tuning, run_processor
from services.runtime.settings import Settings


def main() -> None:
    """Run until told to stop. Raises pydantic.ValidationError for settings that cannot be."""
    logs.configure("continuity")
    run_processor(ContinuityDecider(), Settings(), Tuning(every_ms=UNHURRIED_MS))

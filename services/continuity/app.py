"""Worker process of the continuity decider."""

from __future__ import annotations

from services.continuity.decider import ContinuityDecider
from services.runtime.kafka.fetch_throttle import UNHURRIED_MS
from services.runtime.process import logs
from services.runtime.process.settings import Settings
from services.runtime.worker.worker import Tuning, run_processor


def main() -> None:
    """Run until a signal stops it. Raise pydantic.ValidationError for invalid settings."""
    logs.configure("continuity")
    run_processor(ContinuityDecider(), Settings(), Tuning(every_ms=UNHURRIED_MS))

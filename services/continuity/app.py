"""Wires the decider of continuity to Kafka."""

from __future__ import annotations

from services.continuity.decider import ContinuityDecider
from services.runtime.processor import run_processor
from services.runtime.settings import Settings


def main() -> None:
    """Run the worker until it is stopped."""
    run_processor(ContinuityDecider(), Settings())

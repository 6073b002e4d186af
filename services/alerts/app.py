"""Wires the decider of alerts to Kafka."""

from __future__ import annotations

from services.alerts.decider import AlertsDecider
from services.runtime.processor import run_processor
from services.runtime.settings import Settings


def main() -> None:
    """Run the worker until it is stopped."""
    run_processor(AlertsDecider(), Settings())

"""Run alerts: `python -m services.alerts`."""

from services.alerts.decider import AlertsDecider
from services.runtime.kafka.fetch_throttle import REPORT_FETCH_INTERVAL_MS
from services.runtime.process.settings import Settings
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.worker import run_worker


def main() -> None:
    """Run the worker until it is stopped."""
    run_worker(AlertsDecider(), Settings(), Tuning(every_ms=REPORT_FETCH_INTERVAL_MS))


if __name__ == "__main__":
    main()

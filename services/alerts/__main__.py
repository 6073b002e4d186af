"""Run alerts: `python -m services.alerts`."""

from services.alerts.decider import AlertsDecider
from services.runtime.process.settings import Settings
from services.runtime.worker.worker import run_worker


def main() -> None:
    """Run the worker until it is stopped."""
    run_worker(AlertsDecider(), Settings())


if __name__ == "__main__":
    main()

"""Run the continuity service: `python -m services.continuity`."""

from services.continuity.decider import ContinuityDecider
from services.runtime.kafka.fetch_throttle import BACKGROUND_FETCH_INTERVAL_MS
from services.runtime.process import logs
from services.runtime.process.settings import Settings
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.worker import run_worker


def main() -> None:
    """Run until a signal stops it. Raise pydantic.ValidationError for invalid settings."""
    logs.configure_logging("continuity")
    run_worker(ContinuityDecider(), Settings(), Tuning(every_ms=BACKGROUND_FETCH_INTERVAL_MS))


if __name__ == "__main__":
    main()

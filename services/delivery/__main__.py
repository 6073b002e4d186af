"""Run the delivery service: `python -m services.delivery`."""

from services.delivery.channels.configured import publish_channels
from services.delivery.decider import DeliveryDecider
from services.delivery.sender.process import SenderThread
from services.delivery.settings import DeliverySettings
from services.runtime.process import logs, tracing
from services.runtime.worker.worker import run_worker


def main() -> None:
    """Run until a signal stops it. Raise pydantic.ValidationError for invalid settings."""
    logs.configure_logging("delivery")
    tracing.configure_tracing("delivery")
    settings = DeliverySettings()
    publish_channels(settings)
    with SenderThread(settings):
        run_worker(DeliveryDecider(), settings)


if __name__ == "__main__":
    main()

"""Run the front: `python -m services.intake`."""

import logging
import sys

import structlog
import uvloop

from services.intake.app import run
from services.intake.settings import IntakeSettings
from services.runtime.process import logs, tracing
from services.runtime.secrets.keyring import MasterKeyInvalid


def main() -> int:
    """Run the front and return the exit code: 0 after a stop, 1 if it cannot start.

    One log line gives the reason of a failed start.
    """
    logs.configure_logging("intake")
    tracing.configure_tracing("intake")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(
        logging.ERROR
        # The sender gets the reason for a bad body in the response.
    )
    try:
        uvloop.run(run(IntakeSettings.read()))
    except (OSError, MasterKeyInvalid) as error:
        structlog.get_logger(__name__).error("intake.cannot_start", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

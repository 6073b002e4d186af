"""Prepare the system for `vigie up`: `python -m services.cli.system.preparation`."""

from __future__ import annotations

import asyncio
import sys

from services.appliance.supervisor.up import UpFailed
from services.cli.system.prepare import prepare_system
from services.runtime.process import logs
from services.runtime.process.settings import Settings


def main() -> None:
    """Prepare the system; name the reason of a failure in the last line."""
    logs.configure_logging("prepare")
    try:
        asyncio.run(prepare_system(Settings()))
    except UpFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

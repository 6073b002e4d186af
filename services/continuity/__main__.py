"""Run the continuity service: `python -m services.continuity`."""

from services.continuity.app import main

main()

"""Run the delivery service: `python -m services.delivery`."""

from services.delivery.app import main

main()

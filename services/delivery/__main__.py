"""`python -m services.delivery`."""

from services.delivery.app import main

main()

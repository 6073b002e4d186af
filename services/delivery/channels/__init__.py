"""Ways to reach a person in a live realm: one module per provider, each one call. Which are there is a matter of settings."""

from services.delivery.channels.base import Driver, Outgoing, Result
from services.delivery.channels.configured import configured_drivers

__all__ = ["Driver", "Outgoing", "Result", "configured_drivers"]

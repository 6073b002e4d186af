"""E-mail through an SMTP relay."""

from services.delivery.channels.email.driver import EmailDriver
from services.delivery.channels.email.settings import lint

__all__ = ["EmailDriver", "lint"]

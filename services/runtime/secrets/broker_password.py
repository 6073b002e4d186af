"""The password of the embedded broker: 32 random bytes in `secrets/broker.password`.

It is created once. Only the owner of the data directory can read it, so no other user of the
machine can use the broker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.runtime.secrets.keyring import get_or_create_secret, read_secret

BROKER_USER: Final = "vigie"
PASSWORD_FILE: Final = "broker.password"  # noqa: S105


def get_or_create_password(folder: Path) -> str:
    """Return the password in this folder of secrets, creating it first if it is missing.

    Processes that start at once agree on one. Raises OSError.
    """
    return get_or_create_secret(folder / PASSWORD_FILE)


def read_password(folder: Path) -> str | None:
    """Return the password, or None if it is missing or unreadable for this user."""
    return read_secret(folder / PASSWORD_FILE)

"""Secrets of one machine in `secrets/`: broker password and token of the health ports.

Each holds 32 random bytes and is created once. Only the owner of the data directory can read them.
So no other user of the machine can use the broker, read the counters of a process, or learn why it
is not ready.
"""

import hmac
from pathlib import Path
from typing import Final

from services.runtime.secrets.keyring import get_or_create_secret, read_secret

BROKER_USER: Final = "vigie"
PASSWORD_FILE: Final = "broker.password"  # noqa: S105
TOKEN_FILE: Final = "metrics.token"  # noqa: S105
_SCHEME: Final = "bearer "


def get_or_create_token(folder: Path) -> str:
    """Return the token of this folder of secrets, creating it first if it is missing.

    Raises OSError.
    """
    return get_or_create_secret(folder / TOKEN_FILE)


def build_header(folder: Path) -> dict[str, str]:
    """Return the header with the token; empty if this user cannot read it."""
    token = read_secret(folder / TOKEN_FILE)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def is_token_valid(authorization: str | None, token: str) -> bool:
    """Return whether the value of an `Authorization` header is this token."""
    if authorization is None or not authorization.lower().startswith(_SCHEME):
        return False
    bearer_token = authorization[len(_SCHEME) :].strip()
    return hmac.compare_digest(bearer_token.encode("utf-8", "surrogateescape"), token.encode())


def get_or_create_password(folder: Path) -> str:
    """Return the password in this folder of secrets, creating it first if it is missing.

    Processes that start at once agree on one. Raises OSError.
    """
    return get_or_create_secret(folder / PASSWORD_FILE)


def read_password(folder: Path) -> str | None:
    """Return the password, or None if it is missing or unreadable for this user."""
    return read_secret(folder / PASSWORD_FILE)

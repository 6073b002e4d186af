"""The token of the health ports: 32 random bytes in `secrets/metrics.token`, created once.

Only the owner of the data directory can read it. So no other user of the machine can read the
counters of a process, or why it is not ready.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from services.runtime.secrets.keyring import get_or_create_secret, read_secret

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

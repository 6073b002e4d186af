"""The token of the health ports: 32 random bytes in `secrets/metrics.token`, made once.

Only the owner of the data directory reads it, so no other user of the machine reads the counters of
a process, or why it is not ready.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from services.runtime.secrets.keyring import make_secret, read_secret

NAME: Final = "metrics.token"
_SCHEME: Final = "bearer "


def make_token(folder: Path) -> str:
    """Return the token of this folder of secrets; make one first where there is none.

    Raises OSError.
    """
    return make_secret(folder / NAME)


def bear_token(folder: Path) -> dict[str, str]:
    """Return the header that shows the token; none where this user cannot read it."""
    token = read_secret(folder / NAME)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def is_borne(authorization: str | None, token: str) -> bool:
    """True when the value of an `Authorization` header is this token."""
    if authorization is None or not authorization.lower().startswith(_SCHEME):
        return False
    shown = authorization[len(_SCHEME) :].strip()
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.encode())

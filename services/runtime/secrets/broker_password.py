"""The password of the embedded broker: 32 random bytes in `secrets/broker.password`, made once.

Only the owner of the data directory reads it, so no other user of the machine speaks to the broker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.runtime.secrets.keyring import make_secret, read_secret

USER: Final = "vigie"
NAME: Final = "broker.password"


def make_password(folder: Path) -> str:
    """Return the password that lies in this folder of secrets; make one first where there is none.

    Processes that start at once agree on one. Raises OSError.
    """
    return make_secret(folder / NAME)


def read_password(folder: Path) -> str | None:
    """Return the password; None where there is none, or where this user may not read it."""
    return read_secret(folder / NAME)

"""The territory that ships with the product, read once per process: it never changes."""

from __future__ import annotations

from functools import cache
from typing import Final

from services.runtime.process.settings import REPOSITORY
from services.territory import Territory, load_territory

FOLDER: Final = REPOSITORY / "territories" / "92"


@cache
def territory() -> Territory:
    return load_territory(FOLDER)

"""Names of fallback strategies, by the codes in activities.yaml (`strategies`)."""

from __future__ import annotations

from typing import Final

from schemas.catalogue.strategies import STRATEGIES
from services.console.i18n import Translator

SITE_STRATEGY: Final = "SR-SITE"


def name_strategy(listed: str, _: Translator) -> str:
    """Name a strategy; an unknown code stays as it is.

    `SR-SITE:datacenter de secours` → `repli sur un autre site (datacenter de secours)`.
    """
    code, _sign, more = listed.partition(":")
    name = _(STRATEGIES[code].label.fr) if code in STRATEGIES else code
    return f"{name} ({more.strip()})" if more else name

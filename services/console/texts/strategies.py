"""Names of fallback strategies, by the codes in activities.yaml (`strategies`)."""

from __future__ import annotations

from typing import Final

from services.console.i18n import N_, Translator

SITE_STRATEGY: Final = "SR-SITE"
_STRATEGY_NAMES: Final = {
    SITE_STRATEGY: N_("repli sur un autre site"),
    "SR-TELE": N_("télétravail"),
    "SR-DEG": N_("mode dégradé"),
    "SR-RH": N_("renfort interne"),
    "SR-MUT": N_("aide mutuelle"),
    "SR-FOUR": N_("autre fournisseur"),
    "SR-SUSP": N_("suspension"),
}


def name_strategy(listed: str, _: Translator) -> str:
    """Name a strategy; an unknown code stays as it is.

    `SR-SITE:datacenter de secours` → `repli sur un autre site (datacenter de secours)`.
    """
    code, _sign, more = listed.partition(":")
    name = _(_STRATEGY_NAMES[code]) if code in _STRATEGY_NAMES else code
    return f"{name} ({more.strip()})" if more else name

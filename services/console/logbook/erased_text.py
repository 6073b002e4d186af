"""Write the notice that stands in place of an erased text."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from services.console.i18n import translator
from services.console.resources.base import when
from services.runtime.secrets.erasure import Erased


def tell_erased(erased: Erased, lang: str) -> str:
    """Return when and why a text was erased."""
    at = when(erased.at).astimezone(ZoneInfo("Europe/Paris"))
    _ = translator(lang)
    return _(
        "Texte effacé le {day} à {time}. Motif : {reason}",
        day=at.strftime("%d/%m/%Y"),
        time=at.strftime("%H:%M"),
        reason=erased.reason,
    )

"""Write the notice that stands in place of an erased text."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from services.console.i18n import get_translator
from services.console.resource_base import to_datetime
from services.runtime.secrets.erasure import TextErasure


def format_erasure(erased: TextErasure, lang: str) -> str:
    """Return when and why a text was erased."""
    at = to_datetime(erased.at).astimezone(ZoneInfo("Europe/Paris"))
    _ = get_translator(lang)
    return _(
        "Texte effacé le {day} à {time}. Motif : {reason}",
        day=at.strftime("%d/%m/%Y"),
        time=at.strftime("%H:%M"),
        reason=erased.reason,
    )

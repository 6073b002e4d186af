"""Reassignments in words: reasons of the model, and periods of orders. Rule D80, horizon.

The codes of reasons are in `docs/reference/reassignment-model.md`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from schemas.reassignment import Reason
from services.console.i18n import Translator, get_translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

Values = Mapping[str, str | int]
_MakeSentence = Callable[[Values, TerritoryNames, Translator], str]
PARIS: Final = ZoneInfo("Europe/Paris")
CLEAR_WEEKDAY_SPAN: Final = timedelta(days=6)
"""Span in which a weekday alone is clear."""


def describe_moment(at: datetime, now: datetime, lang: str) -> str:
    """Return `8 h 30` today, `lundi 8 h 30` within six days, else `lundi 15/11 8 h 30`."""
    there, here = at.astimezone(PARIS), now.astimezone(PARIS)
    hour = (
        f"{there.hour} h {there.minute:02}" if lang == "fr" else f"{there.hour}:{there.minute:02}"
    )
    if there.date() == here.date():
        return hour
    weekday = format_datetime(
        there, "EEEE" if abs(there - here) < CLEAR_WEEKDAY_SPAN else "EEEE dd/MM", locale=lang
    )
    return f"{weekday} {hour}"


def describe_order_period(
    starts_at: datetime | None, ends_at: datetime | None, dispatched_at: datetime, _: Translator
) -> str:
    """Describe the period of an order; empty for orders of earlier versions."""
    if starts_at is None:
        return ""
    begins = _("dès maintenant")
    if starts_at > dispatched_at:
        begins = _("à partir de {at}", at=describe_moment(starts_at, dispatched_at, _.lang))
    if ends_at is None:
        return _("{begins}, jusqu’à nouvel ordre", begins=begins)
    return _(
        "{begins}, jusqu’à {at}", begins=begins, at=describe_moment(ends_at, dispatched_at, _.lang)
    )


def describe_reassignment_reason(reason: Reason, names: TerritoryNames, lang: str) -> str:
    """Return the sentence of a reason, or the code itself if it is unknown."""
    _ = get_translator(lang)
    say = _SENTENCES.get(reason.code)
    return reason.code if say is None else say(reason.values, names, _)


def _describe_substitution(v: Values, names: TerritoryNames, _: Translator) -> str:
    substitution_text = _("par {metier}, métier voisin", metier=names.metier(str(v["by"]), _.lang))
    return (
        _("{said}, condition {rule}", said=substitution_text, rule=v["condition"])
        if "condition" in v
        else substitution_text
    )


def _describe_travel(v: Values, _names: TerritoryNames, _: Translator) -> str:
    if v["mode"] == "transit":
        return _("{n} min en transports", n=v["minutes"])
    return _("{n} min en voiture", n=v["minutes"])


def _name_kind(v: Values, _: Translator) -> str:
    return w.translate_code(world.KIND_MANY, str(v["kind"]), _)


_SENTENCES: Final[dict[str, _MakeSentence]] = {
    "own_work": lambda _v, _n, _: _("reprend son propre travail"),
    "displaced": lambda _v, _n, _: _("site perdu"),
    "spare": lambda v, _n, _: _("quitte un travail de criticité {n}", n=v["criticality"]),
    "same_metier": lambda _v, _n, _: _("même métier"),
    "substitution": _describe_substitution,
    "telework": lambda v, _n, _: _("télétravail possible à {pct} %", pct=v["pct"]),
    "own_site": lambda _v, _n, _: _("sur le site même"),
    "usual_host": lambda v, _n, _: _("lieu habituel : {kind}", kind=_name_kind(v, _)),
    "other_host": lambda v, _n, _: _("lieu de repli : {kind}", kind=_name_kind(v, _)),
    "no_travel": lambda _v, _n, _: _("sans trajet"),
    "travel": _describe_travel,
    "R1": lambda v, n, _: _(
        "Aucun autre métier ne peut remplacer : {metier}", metier=n.metier(str(v["metier"]), _.lang)
    ),
    "R2": lambda v, _n, _: _.plural(
        "{n} agent sans contrôle d’honorabilité à jour",
        "{n} agents sans contrôle d’honorabilité à jour",
        int(v["agents"]),
    ),
    "R3": lambda v, _n, _: _.plural(
        "{n} agent qui ne travaille pas en cuisine (attestation d’hygiène)",
        "{n} agents qui ne travaillent pas en cuisine (attestation d’hygiène)",
        int(v["agents"]),
    ),
    "R5": lambda v, _n, _: _("Plus de {n} min de trajet", n=v["minutes"]),
    "R9": lambda v, _n, _: _.plural(
        "{n} agent maintenu à son poste (contrainte signalée)",
        "{n} agents maintenus à leur poste (contrainte signalée)",
        int(v["kept"]),
    ),
    "all_at_minimum": lambda v, n, _: _(
        "{metier} : tous à leur minimum", metier=n.metier(str(v["metier"]), _.lang)
    ),
    "taken": lambda v, _n, _: _.plural(
        "le seul agent possible sert un besoin plus urgent",
        "les {n} agents possibles servent un besoin plus urgent",
        int(v["available"]),
    ),
    "no_host": lambda _v, _n, _: _("aucun lieu de repli sain de ce genre"),
    "back_soon": lambda v, _n, _: _(
        "rétablissement annoncé dans {minutes} min : personne ne serait au travail avant",
        minutes=v["minutes"],
    ),
    "no_desk": lambda _v, _n, _: _("plus de poste libre dans les lieux de repli"),
    "telework_off": lambda _v, _n, _: _("télétravail impossible en ce moment"),
    "no_telework": lambda _v, _n, _: _("ne se fait pas en télétravail"),
    "telework_limited": lambda v, _n, _: _("télétravail limité à {pct} %", pct=v["pct"]),
    "site_bound": lambda _v, _n, _: _("le service n’existe que sur place"),
}

"""Page of maintenance windows: choices for people, and recurrences in words."""

from typing import Final

from schemas.catalogue.event_types import EVENT_TYPES
from schemas.recurrence import RuleInvalid, parse_rule
from services.console.i18n import N_, Translator

PLANNABLE_TYPES: Final = tuple(row.type for row in EVENT_TYPES.values() if row.plannable)
USUAL_RULES: Final = {
    "FREQ=DAILY": N_("chaque jour"),
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR": N_("chaque jour ouvré"),
    "FREQ=WEEKLY": N_("chaque semaine, ce jour-là"),
    "FREQ=WEEKLY;INTERVAL=2": N_("une semaine sur deux, ce jour-là"),
    "FREQ=MONTHLY": N_("chaque mois, à cette date"),
}
"""Usual recurrences on the page; the API and the command line accept any supported rule."""
_WEEKDAYS: Final = (
    N_("lundi"),
    N_("mardi"),
    N_("mercredi"),
    N_("jeudi"),
    N_("vendredi"),
    N_("samedi"),
    N_("dimanche"),
)
_FREQUENCIES: Final = {
    "DAILY": (N_("chaque jour"), N_("tous les {n} jours")),
    "WEEKLY": (N_("chaque semaine"), N_("toutes les {n} semaines")),
    "MONTHLY": (N_("chaque mois"), N_("tous les {n} mois")),
}


def describe_rule(rrule: str | None, _: Translator) -> str:
    """Describe a recurrence (`chaque semaine, lundi, jeudi`); keep an unreadable rule."""
    if rrule is None:
        return _("une fois")
    try:
        rule = parse_rule(rrule)
    except RuleInvalid:
        return rrule
    one, many = _FREQUENCIES[rule.freq]
    every = _(one) if rule.interval == 1 else _(many, n=rule.interval)
    days = [f"{n} " * bool(n) + _(_WEEKDAYS[day]) for n, day in rule.weekdays] + [
        str(day) for day in rule.month_days
    ]
    return ", ".join([every, *days])

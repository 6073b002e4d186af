"""Texts about the agents of reassignments, by count. Rule D58."""

from collections.abc import Sequence

from services.console.i18n import Translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.resources import ReassignmentLine, Site
from services.console.texts import words as w


def describe_confinement(site: Site, _: Translator) -> str:
    """Explain that nobody may leave a site; empty if agents may work elsewhere. Rule D78."""
    if site.confinement is None:
        return ""
    if site.confinement == "sheltering":
        return _("confinés : personne ne sort")
    if site.headcount is None:
        return _("comptage en cours")
    return _(
        "comptage en cours : {found} sur {expected}",
        found=w.format_number(site.headcount.found, _.lang),
        expected=w.format_number(site.headcount.expected, _.lang),
    )


def estimate_words(site: Site, _: Translator) -> str:
    """Return the planned agents of a site, because nobody has counted them. Rule D78."""
    return _.plural(
        "estimé : {n} agent prévu, comptage non fait",
        "estimé : {n} agents prévus, comptage non fait",
        site.staff,
    )


def describe_need(agents: int, needed_count: int | None, _: Translator) -> str:
    """Describe the number of agents still needed; empty if all are."""
    if needed_count is None or needed_count >= agents:
        return ""
    return (
        _("plus nécessaires")
        if needed_count == 0
        else _("{n} encore nécessaires", n=format_small_count(needed_count))
    )


def describe_agents_elsewhere(lines: Sequence[ReassignmentLine], _: Translator) -> str:
    """Describe the agents of proposed lines that are elsewhere without need; empty if none are."""
    recalled_count, held_count = (
        sum(x.recalled or 0 for x in lines),
        sum(x.held or 0 for x in lines),
    )
    recall_texts = (
        [_("{n} rappelés d’où ils ne servent plus", n=format_small_count(recalled_count))]
        if recalled_count
        else []
    )
    return ", ".join(
        recall_texts
        + (
            [_("{n} encore ailleurs, à libérer d’abord", n=format_small_count(held_count))]
            if held_count
            else []
        )
    )

"""Page of actions: the pressing ones first, and the form to ask for one. Rule D87."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.ranks import SITE_MANAGER_ROLE
from schemas.words import ActionPriority, ActionState
from services.console.actions.queries import OPEN_STATES, REQUEST
from services.console.i18n import N_, Translator
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Action, Incident
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times

ENDED_SHOWN: Final = 30
"""Ended actions on the page; the API lists all."""
TASKS_SHOWN: Final = 50
USUAL_DELAY: Final = timedelta(hours=1)
PRIORITY_LABELS: Final = {
    ActionPriority.URGENT: N_("urgente : appel vocal, à toute heure"),
    ActionPriority.HIGH: N_("haute : SMS d’abord"),
    ActionPriority.NORMAL: N_("normale"),
    ActionPriority.LOW: N_("basse"),
}


@dataclass(frozen=True, slots=True)
class ActionLine:
    """An action as displayed, with the decisions that this reader may take."""

    action: Action
    title: str
    who: str
    by: str
    """Person of the acceptance or the end; empty before."""
    incident: str
    state: str
    answers: bool
    cancels: bool


@dataclass(frozen=True, slots=True)
class ActionGroup:
    key: str
    title: str
    lines: list[ActionLine]


def build_line(
    action: Action,
    names: TerritoryNames,
    incidents: Sequence[Incident],
    _: Translator,
    *,
    answers: bool,
    cancels: bool,
) -> ActionLine:
    """Build the line of an action in the reader's language, without a raw id."""
    who = (
        w.name_person(action.person, names, _)
        if action.person is not None
        else w.name_role(action.role, action.scope, names, _)
        if action.role
        else _("Cellule")
    )
    actor = action.ended_by or action.accepted_by
    is_open = action.state in OPEN_STATES
    return ActionLine(
        action,
        action.title or _("Texte effacé, ou réservé aux personnes concernées"),
        who,
        w.name_person(actor, names, _) if actor else "",
        next((i.title for i in incidents if i.id == action.incident), ""),
        _(w.ACTION_STATE[action.state]),
        is_open and answers,
        is_open and cancels and action.kind == REQUEST,
    )


def group_lines(lines: Iterable[ActionLine], _: Translator) -> list[ActionGroup]:
    """Group lines by urgency: late, declined, unanswered, accepted, ended; tasks apart."""
    groups: dict[str, list[ActionLine]] = {}
    for line in lines:
        groups.setdefault(_choose_group(line.action), []).append(line)
    titles = {
        "late": _("En retard"),
        "declined": _("Refusées, à confier à quelqu’un d’autre"),
        "requested": _("Sans réponse"),
        "accepted": _("Acceptées"),
        "tasks": _("Vérifications que les règles demandent"),
        "ended": _("Terminées"),
    }
    most = {"ended": ENDED_SHOWN, "declined": ENDED_SHOWN, "tasks": TASKS_SHOWN}
    return [
        ActionGroup(key, title, groups[key][: most.get(key)])
        for key, title in titles.items()
        if key in groups
    ]


def _choose_group(action: Action) -> str:
    if action.state not in OPEN_STATES:
        return "declined" if action.state is ActionState.DECLINED else "ended"
    if action.kind != REQUEST:
        return "tasks"
    if action.late:
        return "late"
    return "accepted" if action.state is ActionState.ACCEPTED else "requested"


def map_open_by_site(lines: Iterable[ActionLine]) -> dict[str, list[ActionLine]]:
    """Map each site to the open actions that people asked of it."""
    lines_by_site: dict[str, list[ActionLine]] = {}
    for line in lines:
        action = line.action
        if action.site is not None and action.kind == REQUEST and action.state in OPEN_STATES:
            lines_by_site.setdefault(action.site, []).append(line)
    return lines_by_site


def list_assignees(
    reference: IndexedReference, _: Translator, within: Callable[[str | None], bool]
) -> list[tuple[str, str]]:
    """Return (assignee, label) of each role that somebody holds: functions first, then sites.

    `within` says whether the reader may ask people of a pôle or site.
    """
    roster = reference.roster
    posts = dict.fromkeys((h.role, h.scope) for h in roster.holders) if roster is not None else {}
    assignees = [
        (
            role == SITE_MANAGER_ROLE,
            w.name_role(role, scope, reference.names, _),
            role if scope is None else f"{role}:{scope}",
        )
        for role, scope in posts
        if within(scope)
    ]
    return [(id, label) for _site, label, id in sorted(assignees)]


def propose_due(now: datetime) -> str:
    """Return the due time that the form proposes, in Paris."""
    return times.to_paris(now + USUAL_DELAY).strftime("%Y-%m-%dT%H:%M")

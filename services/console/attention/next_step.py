"""Name the next decision of a reader, its deadline, its consequence and its page.

The decision is the first of the attention queue (D77) that asks for the reader's role.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas.words import CardState
from services.console.attention.resources import AttentionState, DemandLine
from services.console.i18n import N_, Translator
from services.console.resources import Incident, SiteCard, Task
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.permissions import Role

_ROLES_OF_ACCOUNTS: Final[Mapping[Role, str]] = {
    Role.COORDINATOR: "coordinateur_pca",
    Role.DIRECTOR: "directeur_pole",
    Role.ELECTED: "elu_astreinte",
    Role.LIAISON: "liaison_cod",
}
"""Role of an account without a function of its own → role with the queue it follows."""


@dataclass(frozen=True, slots=True)
class DemandText:
    """The words of one kind of demand, and where it is answered."""

    one: str
    many: str
    consequence: str
    path: str


_TEXTS: Final[Mapping[str, DemandText]] = {
    "danger": DemandText(
        N_("Un incident met des personnes en danger"),
        N_("Un incident met des personnes en danger, {n} sites"),
        N_("Sans prise en charge, les appels continuent de monter."),
        "/incidents/{incident}",
    ),
    "headcount": DemandText(
        N_("Une personne n’est pas retrouvée"),
        N_("{n} personnes ne sont pas retrouvées"),
        N_("Les secours ne savent pas qui chercher."),
        "/appels",
    ),
    "escalation": DemandText(
        N_("Un appel attend une prise en charge"),
        N_("Un appel attend une prise en charge, {n} incidents"),
        N_("Sans réponse, la vague suivante est appelée."),
        "/incidents/{incident}",
    ),
    "level_proposed": DemandText(
        N_("Un niveau est proposé"),
        N_("Un niveau est proposé"),
        N_("Le niveau ne change pas tant que personne ne décide."),
        "/incidents/{incident}",
    ),
    "lowering_proposed": DemandText(
        N_("Un incident est terminé sur le terrain"),
        N_("{n} incidents sont terminés sur le terrain"),
        N_("Le niveau reste levé, des personnes restent mobilisées."),
        "/incidents/{incident}",
    ),
    "plan_proposed": DemandText(
        N_("Un plan est proposé : {plan}"),
        N_("Un plan est proposé : {plan}"),
        N_("Aucune fiche ne part tant que le plan n’est pas activé."),
        "/plans",
    ),
    "cards_late": DemandText(
        N_("Une fiche est en retard : {plan}"),
        N_("{n} fiches sont en retard : {plan}"),
        N_("La suite du plan attend ces gestes."),
        "/plans",
    ),
    "clocks_rto": DemandText(
        N_("Une activité approche de son délai de reprise"),
        N_("{n} activités approchent de leur délai de reprise"),
        N_("Au-delà, un arbitrage doit être écrit."),
        "/activites",
    ),
    "clocks_dmia": DemandText(
        N_("Une activité approche de sa durée maximale d’interruption"),
        N_("{n} activités approchent de leur durée maximale d’interruption"),
        N_("Au-delà, le préjudice n’est plus acceptable."),
        "/activites",
    ),
    "action": DemandText(
        N_("Une action attend votre réponse"),
        N_("{n} actions attendent votre réponse"),
        N_("Sans réponse, votre suppléant puis le pilote sont appelés."),
        "/actions",
    ),
    "action_late": DemandText(
        N_("Une action est en retard"),
        N_("{n} actions sont en retard"),
        N_("Le suppléant, puis le pilote sont appelés."),
        "/actions",
    ),
    "obligation": DemandText(
        N_("Une échéance légale approche"),
        N_("{n} échéances légales approchent"),
        N_("Après la limite, la déclaration est tardive et doit être motivée."),
        "/echeances",
    ),
    "obligation_late": DemandText(
        N_("Une échéance légale est dépassée"),
        N_("{n} échéances légales sont dépassées"),
        N_("Déclarez avec le motif du retard, ou écrivez pourquoi elle est sans objet."),
        "/echeances",
    ),
    "reassignment_proposed": DemandText(
        N_("Une proposition de réaffectation attend"),
        N_("Une proposition de réaffectation attend, {n} mouvements"),
        N_("Les activités manquent de bras tant qu’elle n’est pas décidée."),
        "/reaffectation",
    ),
}
_TASK_CONSEQUENCE: Final = N_("Tant que la tâche est ouverte, la situation reste incertaine.")


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next decision of one reader."""

    title: str
    due_at: datetime | None
    late: bool
    consequence: str
    path: str
    urgent: bool
    """People are in danger."""
    more: int
    """Other decisions that wait for the same reader."""


def choose_role(role: Role, duty: str | None) -> str | None:
    """Return the role with the queue of a reader; None: the queue of the whole cell."""
    return duty or _ROLES_OF_ACCOUNTS.get(role)


def build_next_step(
    state: AttentionState,
    role: str | None,
    incidents: Iterable[Incident],
    names: TerritoryNames,
    now: datetime,
    _: Translator,
    *,
    own_plans: Container[str] | None = None,
) -> NextStep | None:
    """Return the first decision for a role out of the queue of the whole cell; None: nothing.

    A role such as `directeur_pole` has many holders: with `own_plans`, plans that this reader may
    not decide are left out.
    """
    mine = [
        d
        for d in (*state.queue, *state.digest)
        if role is None or (role in d.roles and not _is_of_others(d, own_plans))
    ]
    if not mine:
        return None
    first = mine[0]
    title, consequence, path = _describe_demand(first, incidents, names, _)
    return NextStep(
        title=title,
        due_at=first.due_at,
        late=first.due_at is not None and first.due_at <= now,
        consequence=consequence,
        path=path,
        urgent=first.urgency == 1,
        more=len(mine) - 1,
    )


def _is_of_others(demand: DemandLine, own_plans: Container[str] | None) -> bool:
    return (
        own_plans is not None
        and demand.kind == "plan_proposed"
        and demand.plan is not None
        and demand.plan not in own_plans
    )


def _describe_demand(
    demand: DemandLine, incidents: Iterable[Incident], names: TerritoryNames, _: Translator
) -> tuple[str, str, str]:
    text = _TEXTS.get(demand.kind)
    if text is None:
        kind = w.translate_code(w.TASK, demand.kind, _)
        title = kind if demand.count == 1 else _("{what} ({n})", what=kind, n=demand.count)
        return title, _(_TASK_CONSEQUENCE), "/"
    plan = names.plan(demand.plan) if demand.plan is not None else ""
    title = _(text.one if demand.count == 1 else text.many, n=demand.count, plan=plan)
    incident = next((i for i in incidents if i.id == demand.incident), None)
    if incident is not None and "{incident}" in text.path:
        title = _("{what} : {where}", what=title, where=incident.title)
    path = text.path.format(incident=demand.incident) if demand.incident else "/plans"
    if demand.incident is None and "{incident}" not in text.path:
        path = text.path
    return title, _(text.consequence), path


def build_site_step(
    tasks: Iterable[Task],
    sites: Iterable[str],
    now: datetime,
    _: Translator,
    cards: Iterable[SiteCard] = (),
) -> NextStep | None:
    """Return the next task or action card at the sites of a manager; None: nothing is asked."""
    own = set(sites)
    mine = [
        *(_build_task_step(t, now, _) for t in tasks if t.site in own and t.state == "open"),
        *(
            _build_card_step(card, _)
            for card in cards
            if card.site in own and card.state in (CardState.TO_DO, CardState.DOING)
        ),
    ]
    if not mine:
        return None
    mine.sort(key=lambda pair: pair[0])
    return replace(mine[0][1], more=len(mine) - 1)


def _build_task_step(
    task: Task, now: datetime, _: Translator
) -> tuple[tuple[bool, datetime, str], NextStep]:
    late = task.due_at is not None and task.due_at <= now
    step = NextStep(
        title=task.title,
        due_at=task.due_at,
        late=late,
        consequence=_("Sans réponse, la cellule vous rappelle."),
        path=f"/sites/{task.site}",
        urgent=task.kind == "headcount",
        more=0,
    )
    return (task.due_at is None, task.due_at or task.opened_at, task.id), step


def _build_card_step(card: SiteCard, _: Translator) -> tuple[tuple[bool, datetime, str], NextStep]:
    step = NextStep(
        title=card.task,
        due_at=card.due_at,
        late=card.overdue,
        consequence=_("Sans réponse, la cellule compte cette fiche comme non faite."),
        path=f"/mes-sites#fiche-{card.card}-{card.site}",
        urgent=False,
        more=0,
    )
    return (False, card.due_at, card.id), step

"""Name the next decision of a reader, its deadline, its consequence and its page.

The decision is the first of the attention queue (D77) that asks for the reader's role.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from schemas.crisis.area_orders import AREA_ORDER
from schemas.words import ActionState, CardState
from services.console.actions.queries import OPEN_STATES, REQUEST
from services.console.attention.queries import POLE_ROLES
from services.console.attention.resources import AttentionState, DemandLine
from services.console.i18n import N_, Translator
from services.console.reassignment.page import SiteOrder
from services.console.resources import Action, Incident, SiteCard, Task
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal

_ROLES_OF_ACCOUNTS: Final[Mapping[Role, str]] = {
    Role.COORDINATOR: "coordinateur_pca",
    Role.DIRECTOR: "directeur_pole",
    Role.ELECTED: "elu_astreinte",
    Role.LIAISON: "liaison_cod",
}
"""Role of an account without a function of its own → role with the queue it follows."""


_CELL_ACCOUNTS: Final = frozenset({Role.ADMIN, Role.CELL})
"""Roles of accounts without a function of their own that follow the queue of the whole cell."""


_ACCEPTED: Final = N_(
    "Vous vous en chargez. Passé ce délai, votre suppléant puis le pilote sont appelés."
)
"""Consequence of an action that its assignee accepted and has not completed."""


@dataclass(frozen=True, slots=True)
class DemandText:
    """The words of one kind of demand, its button, and where it is answered."""

    one: str
    many: str
    consequence: str
    button: str
    path: str = "/incidents/{incident}"
    anchor: str = ""


_INCIDENT: Final = N_("Ouvrir l’incident")
_TEXTS: Final[Mapping[str, DemandText]] = {
    "danger": DemandText(
        N_("Un incident peut mettre des personnes en danger"),
        N_("Un incident peut mettre des personnes en danger, {n} sites"),
        N_("Sans prise en charge, les vagues d’appels se poursuivent."),
        _INCIDENT,
    ),
    "danger_doubted": DemandText(
        N_("Un danger est signalé, à vérifier"),
        N_("{n} dangers sont signalés, à vérifier"),
        N_("Personne n’est appelé tant que la cellule n’a pas confirmé."),
        N_("Vérifier"),
        "/?vue=taches",
    ),
    "danger_placeless": DemandText(
        N_("Un danger est signalé sans lieu connu : demandez où"),
        N_("{n} dangers sont signalés sans lieu connu : demandez où"),
        N_("Personne ne sait où envoyer les secours : rappelez qui l’a signalé."),
        N_("Lire et rappeler"),
        "/signalements/{report}",
    ),
    "headcount_proposed": DemandText(
        N_("Un site sous consigne n’a pas commencé son recensement"),
        N_("{n} sites sous consigne n’ont pas commencé leur recensement"),
        N_("Personne ne sait encore s’il manque quelqu’un."),
        N_("Lancer le recensement"),
        "/?vue=taches",
    ),
    "area_order": DemandText(
        N_("Un site n’a pas dit si la consigne de zone le concerne : appelez-le"),
        N_("{n} sites n’ont pas dit si la consigne de zone les concerne : appelez-les"),
        N_("Des personnes y sont peut-être sans connaître la consigne."),
        N_("Voir les sites"),
        anchor="area-orders",
    ),
    "help": DemandText(
        N_("Une personne demande de l’aide au recensement"),
        N_("{n} personnes demandent de l’aide au recensement"),
        N_("Chaque demande attend un rappel ou les secours."),
        N_("Lire les demandes d’aide"),
        "/appels",
    ),
    "missing": DemandText(
        N_("Une personne n’est pas retrouvée"),
        N_("{n} personnes ne sont pas retrouvées"),
        N_("Les secours ne savent pas qui chercher."),
        _INCIDENT,
    ),
    "counting": DemandText(
        N_("Recensement commencé, une personne attendue, pas encore retrouvée"),
        N_("Recensement commencé, {n} personnes attendues, aucune encore retrouvée"),
        N_("Les secours ne savent pas qui chercher."),
        _INCIDENT,
    ),
    "headcount": DemandText(
        N_("Une personne n’a pas répondu au recensement"),
        N_("{n} personnes n’ont pas répondu au recensement"),
        N_("Les secours ne savent pas qui chercher."),
        N_("Ouvrir le recensement"),
        "/appels",
    ),
    "escalation": DemandText(
        N_("Un appel attend une prise en charge"),
        N_("Un appel attend une prise en charge, {n} incidents"),
        N_("Sans réponse, la vague suivante est appelée."),
        N_("Répondre à l’appel"),
    ),
    "level_proposed": DemandText(
        N_("Passage à N{level} proposé"),
        N_("Passage à N{level} proposé"),
        N_("Le niveau ne change pas tant que personne ne décide."),
        N_("Décider du niveau"),
        "/",
        "level-menu",
    ),
    "lowering_proposed": DemandText(
        N_("Un incident est terminé sur le terrain"),
        N_("{n} incidents sont terminés sur le terrain"),
        N_("Le niveau reste en vigueur, des personnes restent mobilisées."),
        N_("Voir les incidents"),
        "/?vue=incidents",
    ),
    "plan_proposed": DemandText(
        N_("Un plan est proposé : {plan}"),
        N_("Un plan est proposé : {plan}"),
        N_("Aucune fiche ne part tant que le plan n’est pas activé."),
        N_("Décider du plan"),
        "/plans/{plan}",
    ),
    "cards_late": DemandText(
        N_("Une fiche est en retard : {plan}"),
        N_("{n} fiches sont en retard : {plan}"),
        N_("La suite du plan attend ces gestes."),
        N_("Voir les fiches"),
        "/plans/{plan}",
    ),
    "clocks_rto": DemandText(
        N_("{activity} : le délai de reprise approche"),
        N_("{n} délais de reprise approchent, d’abord {activity}"),
        N_("Au-delà, un arbitrage doit être écrit."),
        N_("Voir les activités"),
        "/activites",
    ),
    "clocks_dmia": DemandText(
        N_("{activity} : la durée maximale d’interruption approche"),
        N_("{n} durées maximales d’interruption approchent, d’abord {activity}"),
        N_("Au-delà, le préjudice n’est plus acceptable."),
        N_("Voir les activités"),
        "/activites",
    ),
    "action": DemandText(
        N_("Une action attend votre réponse"),
        N_("{n} actions attendent votre réponse"),
        N_("Sans réponse, votre suppléant puis le pilote sont appelés."),
        N_("Répondre"),
        "/actions",
    ),
    "action_late": DemandText(
        N_("Une action est en retard"),
        N_("{n} actions sont en retard"),
        N_("Le suppléant, puis le pilote sont appelés."),
        N_("Voir les actions"),
        "/actions",
    ),
    "resource_request": DemandText(
        N_("Une demande de moyens attend une promesse"),
        N_("{n} demandes de moyens attendent une promesse"),
        N_("Le site ne sait pas s’il recevra ce qu’il demande."),
        N_("Trouver un moyen"),
        "/moyens",
    ),
    "resource_late": DemandText(
        N_("Un moyen promis n’est pas arrivé"),
        N_("{n} moyens promis ne sont pas arrivés"),
        N_("Le site compte dessus : relancez, ou promettez-en un autre."),
        N_("Voir les moyens"),
        "/moyens",
    ),
    "obligation": DemandText(
        N_("Une échéance légale approche"),
        N_("{n} échéances légales approchent"),
        N_("Après la limite, la déclaration est tardive et doit être motivée."),
        N_("Voir les échéances"),
        "/echeances",
    ),
    "obligation_late": DemandText(
        N_("Une échéance légale est dépassée"),
        N_("{n} échéances légales sont dépassées"),
        N_("Déclarez avec la raison du retard, ou écrivez pourquoi elle est sans objet."),
        N_("Voir les échéances"),
        "/echeances",
    ),
    "handover_signed": DemandText(
        N_("Une relève signée attend la signature de l’entrant"),
        N_("Une relève signée attend la signature de l’entrant"),
        N_("Tant que personne ne la signe, le sortant reste en charge."),
        N_("Ouvrir la relève"),
        "/releve",
    ),
    "handover_returned": DemandText(
        N_("Une autre personne a retiré ou modifié la relève : elle est à reprendre"),
        N_("Une autre personne a retiré ou modifié la relève : elle est à reprendre"),
        N_("Tant que personne ne la signe, le sortant reste en charge."),
        N_("Ouvrir la relève"),
        "/releve",
    ),
    "statement_submitted": DemandText(
        N_("Un communiqué attend la validation d’une seconde personne"),
        N_("{n} communiqués attendent la validation d’une seconde personne"),
        N_("Rien n’est publié avant."),
        N_("Lire et valider"),
        "/communication",
    ),
    "change_proposed": DemandText(
        N_("Un changement des données de référence attend une seconde personne"),
        N_("{n} changements des données de référence attendent une seconde personne"),
        N_("Les règles en vigueur restent les anciennes."),
        N_("Lire et décider"),
        "/donnees",
    ),
    "erasure_proposed": DemandText(
        N_("Un effacement de texte attend une seconde personne"),
        N_("{n} effacements de texte attendent une seconde personne"),
        N_("Le texte reste lisible."),
        N_("Lire et décider"),
        "/main-courante",
        "erasures",
    ),
    "page_dangerous": DemandText(
        N_("Une page publiée envoie des personnes là où tient une consigne"),
        N_("{n} pages publiées envoient des personnes là où tient une consigne"),
        N_("Des personnes se rendent là où il faut partir ou rester à l’abri."),
        N_("Publier ou retirer"),
        "/publication",
    ),
    "strategy_dangerous": DemandText(
        N_("Une stratégie de repli envoie des personnes là où tient une consigne"),
        N_("{n} stratégies de repli envoient des personnes là où tient une consigne"),
        N_("Des agents se rendent là où il faut partir ou rester à l’abri."),
        N_("Voir les stratégies"),
        "/plans",
        "fallback",
    ),
    "page_stale": DemandText(
        N_("Une page publiée ne dit plus la situation présente"),
        N_("{n} pages publiées ne disent plus la situation présente"),
        N_("Le public ou les agents lisent un état ancien."),
        N_("Voir les changements"),
        "/publication",
    ),
    "reassignment_proposed": DemandText(
        N_("Une proposition de réaffectation attend"),
        N_("Une proposition de réaffectation attend, {n} mouvements"),
        N_("Les activités manquent d’agents tant qu’elle n’est pas décidée."),
        N_("Voir la proposition"),
        "/reaffectation",
    ),
}
_TASK: Final = DemandText(
    "",
    "",
    N_("Tant que la tâche est ouverte, la situation reste incertaine."),
    N_("Voir les tâches"),
    "/?vue=taches",
)
_DANGER_TAKEN: Final = N_("Pris en charge : le danger reste affiché jusqu’à la fin de l’incident.")


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next decision of one reader."""

    title: str
    due_at: datetime | None
    late: bool
    consequence: str
    path: str
    """Page with its query."""
    anchor: str
    """Id of the place on the page; empty: its top."""
    button: str
    urgent: bool
    """People are in danger."""
    more: int
    """Other decisions that wait for the same reader."""


def choose_role(role: Role, duty: str | None) -> str | None:
    """Return the role with the queue of a reader; None: the queue of the whole cell."""
    return duty or _ROLES_OF_ACCOUNTS.get(role)


def map_account_roles(
    accounts: Iterable[Principal], poles: Container[str] | None
) -> dict[str, frozenset[str]]:
    """Map each account without a person to its role: it answers a call under its own id.

    A role that each pôle has counts for the accounts of these `poles` alone.
    """
    roles: dict[str, frozenset[str]] = {}
    for account in accounts:
        role = choose_role(account.role, account.duty)
        is_near = role not in POLE_ROLES or any(
            poles is not None and pole in poles for pole in account.scope.poles
        )
        if role is not None and account.person is None and is_near:
            roles[account.id] = frozenset({role})
    return roles


def follows_queue(role: Role, duty: str | None) -> bool:
    """Return whether decisions of the cell are asked of an account; others only read them."""
    return duty is not None or role in _ROLES_OF_ACCOUNTS or role in _CELL_ACCOUNTS


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
        if role is None
        or (role in d.roles and role not in d.answered and not _is_of_others(d, own_plans))
    ]
    if not mine:
        return None
    titles = {i.id: i.title for i in incidents}
    in_charge = {i.id for i in incidents if i.acknowledged_by}
    first = min(mine, key=lambda d: _is_taken_danger(d, in_charge))
    text = _TEXTS.get(first.kind, _TASK)
    consequence = _DANGER_TAKEN if _is_taken_danger(first, in_charge) else text.consequence
    path, anchor = _find_place(text, first)
    return NextStep(
        title=_describe_demand(text, first, titles, names, _),
        due_at=first.due_at,
        late=first.due_at is not None and first.due_at <= now,
        consequence=_(consequence),
        path=path,
        anchor=anchor,
        button=_(text.button),
        urgent=first.urgency == 1,
        more=len(mine) - 1,
    )


def _is_taken_danger(demand: DemandLine, in_charge: Container[str]) -> bool:
    """Return whether somebody is in charge of a danger: it waits for no decision."""
    return demand.kind == "danger" and demand.incident in in_charge


def _is_of_others(demand: DemandLine, own_plans: Container[str] | None) -> bool:
    return (
        own_plans is not None
        and demand.kind == "plan_proposed"
        and demand.plan is not None
        and demand.plan not in own_plans
    )


def _describe_demand(
    text: DemandText,
    demand: DemandLine,
    titles: Mapping[str, str],
    names: TerritoryNames,
    _: Translator,
) -> str:
    if not text.one:
        kind = w.translate_code(w.TASK, demand.kind, _)
        return (
            kind
            if demand.count == 1
            else _("{what} ({n})", what=kind, n=w.format_number(demand.count, _.lang))
        )
    title = _(
        text.one if demand.count == 1 else text.many,
        n=w.format_number(demand.count, _.lang),
        plan=names.plan(demand.plan) if demand.plan is not None else "",
        activity=names.activity_short(demand.activity or "", _.lang),
        level=demand.key.rpartition(":")[2],
    )
    where = titles.get(demand.incident or "")
    is_at_incident = "{incident}" in text.path
    if where and is_at_incident:
        title = _("{what} : {where}", what=title, where=where)
    if demand.others:
        more = _.plural("{n} autre danger signalé", "{n} autres dangers signalés", demand.others)
        title = _("{what} ; {more}", what=title, more=more)
    return title


def _find_place(text: DemandText, demand: DemandLine) -> tuple[str, str]:
    """Return the page and the anchor of a demand; without its object, the first page."""
    objects = {"{incident}": demand.incident, "{plan}": demand.plan, "{report}": demand.report}
    path = text.path
    for blank, id in objects.items():
        if blank in path:
            path = path.replace(blank, id) if id is not None else "/"
    return path, text.anchor


def build_site_step(
    tasks: Iterable[Task],
    sites: Iterable[str],
    now: datetime,
    _: Translator,
    cards: Iterable[SiteCard] = (),
    actions: Iterable[Action] = (),
    orders: Mapping[str, Iterable[SiteOrder]] = MappingProxyType({}),
) -> NextStep | None:
    """Return the next task, card, action or order at the sites of a manager, danger first.

    None: nothing is asked. `orders` maps a site to its orders of reassignment.
    """
    own = set(sites)
    mine = [
        *(_build_task_step(t, now, _) for t in tasks if t.site in own and t.state == "open"),
        *(
            _build_card_step(card, _)
            for card in cards
            if card.site in own and card.state in (CardState.TO_DO, CardState.DOING)
        ),
        *(
            _build_action_step(action, _)
            for action in actions
            if action.site in own and action.kind == REQUEST and action.state in OPEN_STATES
        ),
        *(
            _build_order_step(site, order, now, _)
            for site, site_orders in orders.items()
            for order in site_orders
            if site in own and order.is_asked
        ),
    ]
    if not mine:
        return None
    mine.sort(key=lambda pair: (not pair[1].urgent, pair[0]))
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
        anchor="tasks",
        button=_("Lancer le recensement") if task.kind == "headcount" else _("Répondre"),
        urgent=task.kind in ("headcount", AREA_ORDER),
        more=0,
    )
    return (task.due_at is None, task.due_at or task.opened_at, task.id), step


def _build_card_step(card: SiteCard, _: Translator) -> tuple[tuple[bool, datetime, str], NextStep]:
    step = NextStep(
        title=card.task,
        due_at=card.due_at,
        late=card.overdue,
        consequence=_("Sans réponse, la cellule compte cette fiche comme non faite."),
        path="/mes-sites",
        anchor=f"fiche-{card.card}-{card.site}",
        button=_("Ouvrir la fiche"),
        urgent=False,
        more=0,
    )
    return (False, card.due_at, card.id), step


def _build_order_step(
    site: str, order: SiteOrder, now: datetime, _: Translator
) -> tuple[tuple[bool, datetime, str], NextStep]:
    title, consequence = (
        (
            N_("Fin de réaffectation : {what}, {n} agents"),
            N_("Ils ne sont plus nécessaires. Confirmez leur retour dès qu’ils sont revenus."),
        )
        if order.is_over
        else (
            N_("Ordre de réaffectation : {what}, {n} agents"),
            N_("Sans réponse, la cellule ne sait pas si l’ordre est suivi."),
        )
    )
    step = NextStep(
        title=_(title, what=order.direction_text, n=order.agents_text),
        due_at=None,
        late=False,
        consequence=order.warning or _(consequence),
        path="/mes-sites",
        anchor=f"ordres-{site}",
        button=_("Lire l’ordre"),
        urgent=False,
        more=0,
    )
    return (True, now, f"{site}-{order.key}"), step


def _build_action_step(
    action: Action, _: Translator
) -> tuple[tuple[bool, datetime, str], NextStep]:
    text = _TEXTS["action_late" if action.late else "action"]
    is_accepted = action.state is ActionState.ACCEPTED
    step = NextStep(
        title=action.title or _(text.one),
        due_at=action.due_at,
        late=action.late,
        consequence=_(_ACCEPTED if is_accepted and not action.late else text.consequence),
        path="/actions",
        anchor="",
        button=_("Dire que c’est fait") if is_accepted else _("Répondre"),
        urgent=False,
        more=0,
    )
    return (action.due_at is None, action.due_at or action.requested_at, action.id), step

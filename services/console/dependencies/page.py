"""Words of losses on the page `/dependances`, and of their cascade. Rule D130. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.dependencies import resources as d
from services.console.dependencies.drawing import (
    KIND_TITLES,
    MOST_DRAWN,
    Cascade,
    CascadeNode,
    Drawing,
    draw_columns,
    draw_list,
)
from services.console.dependencies.network import ResourceKind
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times

VULNERABLE: Final = (
    "",
    N_("public sensible"),
    N_("public vulnérable"),
    N_("public très vulnérable"),
)
LEAST_CHANCE: Final = 0.01
NAMED: Final = 3
"""Names of a list in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class LossLine:
    """One row of a ranking."""

    names: list[str]
    ids: list[str]
    stops: str
    bare: str
    delays: str
    plans: str
    together: str


@dataclass(frozen=True, slots=True)
class CascadeLine:
    """One row of the cascade as a table."""

    id: str
    name: str
    pole: str
    state: str
    carried: str
    limits: str
    tone: str


@dataclass(frozen=True, slots=True)
class CommuneLine:
    """One commune that loses transport lines."""

    insee: str
    name: str
    lost_lines: str
    running_lines: str
    cut_off: bool
    sites: str


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One activity with agents in these communes."""

    id: str
    name: str
    pole: str
    cut_off_text: str
    """Sites and agents without a line; empty if there are none."""
    fewer: str
    """Sites and agents with fewer lines; empty if there are none."""


@dataclass(frozen=True, slots=True)
class CascadeView:
    """The cascade of one loss in words and as drawings."""

    title: str
    sentences: list[str]
    activities: list[CascadeLine]
    roles: list[tuple[str, str, bool]]
    """Role, person left, and true if there is none."""
    plans: list[tuple[str, str, str, str]]
    """(plan, title, when, trigger)."""
    communes: list[CommuneLine]
    access: list[AccessLine]
    wide: Drawing
    narrow: Drawing
    label: str


@dataclass(frozen=True, slots=True)
class ResourceChoices:
    """Resources of one kind, for the list of a form."""

    title: str
    options: list[tuple[str, str]]


def write_hours(hours: float, _: Translator) -> str:
    """Write a limit as the impact analysis does: `15 min`, `2 h`, `240 h`."""
    if hours < 1:
        return _("{n} min", n=round(hours * 60))
    return _("{n} h", n=w.format_number(hours, _.lang))


def write_delays(rto_h: float | None, dmia_h: float | None, _: Translator) -> str:
    if rto_h is None or dmia_h is None:
        return ""
    return _("RTO {rto}, DMIA {dmia}", rto=write_hours(rto_h, _), dmia=write_hours(dmia_h, _))


def list_choices(
    resources: Sequence[d.DependencyResource], names: TerritoryNames, _: Translator
) -> list[ResourceChoices]:
    """Group the resources by kind, by name.

    Resources that are down already and managers of single sites are left out.
    """
    groups = []
    for kind, title in KIND_TITLES.items():
        options = sorted(
            (one.name, one.id)
            for one in resources
            if one.kind == kind and not one.down and not _is_site_manager(one, names)
        )
        if options:
            groups.append(ResourceChoices(_(title), [(id, name) for name, id in options]))
    return groups


def _is_site_manager(one: d.DependencyResource, names: TerritoryNames) -> bool:
    token = one.id.partition(":")[2]
    return (
        one.kind == ResourceKind.PERSON
        and token in names.holders
        and names.holders[token][1] in names.sites
    )


def build_loss_lines(
    losses: Sequence[d.DependencyLoss], names: TerritoryNames, _: Translator
) -> list[LossLine]:
    """Build the rows of a ranking."""
    return [_build_loss_line(loss, names, _) for loss in losses]


def _build_loss_line(loss: d.DependencyLoss, names: TerritoryNames, _: Translator) -> LossLine:
    stopped_names = [_shorten_activity(one, names, _) for one in loss.activities if one.stops]
    vacant = [role.name for role in loss.roles if role.left is None]
    parts = [_shorten_list(stopped_names, _)] if stopped_names else []
    cut_off = [one for one in loss.communes if one.cut_off]
    if cut_off:
        places = _shorten_list([one.name for one in cut_off], _)
        parts.append(_("sans ligne : {places} ({count})", places=places, count=_count(cut_off, _)))
    elif loss.communes:
        parts.append(_("moins de lignes : {count}", count=_count(loss.communes, _)))
    if vacant:
        parts.append(_("sans titulaire : {roles}", roles=_shorten_list(vacant, _)))
    bare = [
        _shorten_activity(one, names, _)
        for one in loss.activities
        if one.stops and not one.strategies
    ]
    return LossLine(
        names=[one.name for one in loss.resources],
        ids=[one.id for one in loss.resources],
        stops=" ; ".join(parts),
        bare=_shorten_list(bare, _) if bare else "",
        delays=write_delays(loss.first_rto_h, loss.first_dmia_h, _),
        plans=_write_plans(loss, names, _),
        together=_shorten_list(loss.together, _),
    )


def _count(communes: Sequence[d.LossCommune], _: Translator) -> str:
    """Count the sites and agents of communes."""
    sites, agents = sum(one.sites for one in communes), sum(one.agents for one in communes)
    return _write_places(sites, agents, _)


def _write_places(sites: int, agents: int, _: Translator) -> str:
    agents_text = _.plural("{n} agent", "{n} agents", agents)
    return _.plural("{n} site, {agents}", "{n} sites, {agents}", sites, agents=agents_text)


def _shorten_activity(one: d.LossActivity, names: TerritoryNames, _: Translator) -> str:
    """Return the id and the short name of an activity."""
    short = names.activities[one.id].short_name if _.lang == "fr" else None
    return f"{one.id} {short or one.name}"


def _write_plans(loss: d.DependencyLoss, names: TerritoryNames, _: Translator) -> str:
    """Name the plans that would be proposed, or else those without a decider."""
    if loss.plans:
        return ", ".join(plan.title for plan in loss.plans)
    if not loss.undecided:
        return ""
    return _("sans décideur : {plans}", plans=_name_plans(loss.undecided, names))


def _name_plans(ids: Sequence[str], names: TerritoryNames) -> str:
    return ", ".join(names.plan(id) for id in ids)


def _shorten_list(names: Sequence[str], _: Translator) -> str:
    """Join names; only the first ones if there are many."""
    if len(names) <= NAMED:
        return ", ".join(names)
    rest = _.plural("et {n} autre", "et {n} autres", len(names) - NAMED)
    return f"{', '.join(names[:NAMED])} {rest}"


@dataclass(frozen=True, slots=True)
class HiddenLine:
    """One hidden dependency with its evidence."""

    resource: str
    activity: str
    title: str
    comparison: str
    sure: str
    evidence: list[str]


def build_hidden_lines(
    hidden_dependencies: d.HiddenDependencies, now: datetime, _: Translator
) -> list[HiddenLine]:
    """Build the rows of hidden dependencies."""
    return [
        HiddenLine(
            one.resource,
            one.activity,
            f"{one.resource_name} → {one.activity} {one.activity_name}",
            _(
                "dégradée dans {together} crises sur {exposed} avec cette panne, "
                "et dans {other} sur {without} sans elle",
                together=one.together,
                exposed=one.exposed,
                other=one.degraded_without,
                without=one.without,
            ),
            _write_chance(one.adjusted, _),
            [
                _(
                    "{realm} : panne {out}, activité déclarée dégradée {degraded}",
                    realm=_name_realm(case.realm, _),
                    out=times.hm_dated(case.out_at, now, _.lang),
                    degraded=times.hm_dated(case.degraded_at, now, _.lang),
                )
                for case in one.evidence
            ],
        )
        for one in hidden_dependencies.items
    ]


def _name_realm(realm: str, _: Translator) -> str:
    exercise = realm.partition("~")[2]
    return _("exercice {name}", name=exercise) if exercise else _("crise réelle")


def _write_chance(chance: float, _: Translator) -> str:
    """Write the share of false findings to expect."""
    if chance < LEAST_CHANCE:
        return _("moins de 1 % de risque d’erreur")
    return _("{pct} % de risque d’erreur", pct=round(chance * 100))


def build_cascade_view(loss: d.DependencyLoss, names: TerritoryNames, _: Translator) -> CascadeView:
    """Build the view of one loss."""
    cascade = build_cascade(loss, names, _)
    lost_names = _(" et ").join(one.name for one in loss.resources)
    return CascadeView(
        title=_("Perte : {lost}", lost=lost_names),
        sentences=_write_sentences(loss, names, _),
        activities=[
            CascadeLine(
                one.id,
                one.name,
                one.pole_name,
                _write_state(one, _),
                _write_carried(one, _),
                write_delays(one.rto_h, one.dmia_h, _),
                _choose_tone(one),
            )
            for one in loss.activities
        ],
        roles=[
            (
                role.name,
                _("plus personne") if role.left is None else w.name_person(role.left, names, _),
                role.left is None,
            )
            for role in loss.roles
        ],
        plans=[(plan.id, plan.title, _write_when(plan, _), plan.text) for plan in loss.plans],
        communes=[
            CommuneLine(
                one.insee,
                one.name,
                ", ".join(one.lost),
                ", ".join(one.left) or _("plus aucune"),
                one.cut_off,
                _write_places(one.sites, one.agents, _),
            )
            for one in loss.communes
        ],
        access=[
            AccessLine(
                one.id,
                one.name,
                one.pole_name,
                _write_places(one.cut_sites, one.cut_agents, _) if one.cut_sites else "",
                _write_places(one.sites - one.cut_sites, one.agents - one.cut_agents, _)
                if one.sites > one.cut_sites
                else "",
            )
            for one in loss.access
        ],
        wide=draw_columns(cascade),
        narrow=draw_list(cascade),
        label=_(
            "Enchaînement de la perte ({lost}) ; mêmes valeurs dans le tableau", lost=lost_names
        ),
    )


def _write_sentences(loss: d.DependencyLoss, names: TerritoryNames, _: Translator) -> list[str]:
    sentences = []
    if loss.stopped:
        sentences.append(
            _.plural(
                "{n} activité s’arrête, dont {bare} sans stratégie pour cette perte",
                "{n} activités s’arrêtent, dont {bare} sans stratégie pour cette perte",
                loss.stopped,
                bare=loss.bare,
            )
        )
        first = _(
            "première échéance : {delays}",
            delays=write_delays(loss.first_rto_h, loss.first_dmia_h, _),
        )
        sentences.append(first)
    elif not any(role.left is None for role in loss.roles) and not loss.communes:
        sentences.append(_("aucune activité ne s’arrête de ce seul fait"))
    cut_off = [one for one in loss.communes if one.cut_off]
    others = [one for one in loss.communes if not one.cut_off]
    if cut_off:
        places = ", ".join(one.name for one in cut_off)
        sentences.append(
            _("plus aucune ligne : {places} ({count})", places=places, count=_count(cut_off, _))
        )
    if others:
        places = _shorten_list([one.name for one in others], _)
        sentences.append(
            _("moins de lignes : {places} ({count})", places=places, count=_count(others, _))
        )
    if loss.communes:
        sentences.append(
            _("une ligne interrompue ne ferme aucun site : les agents viennent autrement")
        )
    if loss.vulnerable_public:
        sentences.append(_(VULNERABLE[loss.vulnerable_public]))
    vacant = [role.name for role in loss.roles if role.left is None]
    if vacant:
        sentences.append(_("plus personne pour : {roles}", roles=", ".join(vacant)))
    if loss.undecided:
        sentences.append(
            _("plans sans décideur désigné : {plans}", plans=_name_plans(loss.undecided, names))
        )
    if loss.orphan_cards:
        sentences.append(
            _.plural(
                "{n} fiche réflexe sans titulaire ni suppléant",
                "{n} fiches réflexes sans titulaire ni suppléant",
                loss.orphan_cards,
            )
        )
    if loss.already:
        sentences.append(_("déjà interrompues : {ids}", ids=", ".join(loss.already)))
    down = [one.name for one in loss.resources if one.down]
    if down:
        sentences.append(_("déjà hors service : {names}", names=", ".join(down)))
    if loss.together:
        sentences.append(_("seulement ensemble : {names}", names=_shorten_list(loss.together, _)))
    return sentences


def _write_when(plan: d.LossPlan, _: Translator) -> str:
    return (
        _("tout de suite")
        if plan.after_h == 0
        else _("après {delay}", delay=write_hours(plan.after_h, _))
    )


def _write_state(one: d.LossActivity, _: Translator) -> str:
    if one.stops:
        return _("s’arrête : {after} %", after=w.format_number(one.after_pct, _.lang))
    return _(
        "passe de {before} à {after} %",
        before=w.format_number(one.before_pct, _.lang),
        after=w.format_number(one.after_pct, _.lang),
    )


def _write_carried(one: d.LossActivity, _: Translator) -> str:
    if not one.stops:
        return ""
    return ", ".join(s.name for s in one.strategies) or _("aucune stratégie")


def _choose_tone(one: d.LossActivity) -> str:
    if not one.stops:
        return "weak"
    return "carried" if one.strategies else "bare"


def build_cascade(loss: d.DependencyLoss, names: TerritoryNames, _: Translator) -> Cascade:
    """Build the nodes of the drawing from a loss."""
    lost_nodes = tuple(
        CascadeNode(one.id, (one.name, _("perdu")), "lost") for one in loss.resources
    )
    causes = tuple(node.id for node in lost_nodes)
    failures: list[CascadeNode] = []
    poles: dict[str, list[str]] = {}
    for one in loss.activities:
        title = _shorten_activity(one, names, _)
        state = " · ".join(part for part in (_write_state(one, _), _write_carried(one, _)) if part)
        failures.append(CascadeNode(one.id, (title, state), _choose_tone(one), causes))
        poles.setdefault(one.pole, []).append(one.id)
    for role in loss.roles:
        id = f"role {role.role} {role.scope}"
        holder_text = (
            _("plus personne")
            if role.left is None
            else _("reste : {who}", who=w.name_person(role.left, names, _))
        )
        tone = "bare" if role.left is None else "weak"
        failures.append(CascadeNode(id, (role.name, holder_text), tone, causes))
        if role.scope in names.poles:
            poles.setdefault(role.scope or "", []).append(id)
    for commune in loss.communes:
        lines = tuple(one.id for one in loss.resources if one.name in commune.lost)
        failures.append(_build_commune_node(commune, lines, _))
        served_poles = {
            names.activities[id].pole for id in commune.activities if id in names.activities
        }
        for pole in sorted(served_poles) if commune.cut_off else ():
            poles.setdefault(pole, []).append(f"commune {commune.insee}")
    drawn_ids = {node.id for node in failures[:MOST_DRAWN]}
    plans = [(plan.id, _write_when(plan, _)) for plan in loss.plans]
    plans += [(id, _("sans décideur désigné")) for id in loss.undecided]
    pole_nodes = tuple(
        CascadeNode(
            f"pole {pole}",
            (w.capitalize(names.pole_short(pole, _.lang)),),
            "pole",
            tuple(id for id in ids if id in drawn_ids),
        )
        for pole, ids in poles.items()
    )
    hidden_count = len(failures) - MOST_DRAWN
    more = (
        _.plural("et {n} autre, dans le tableau", "et {n} autres, dans le tableau", hidden_count)
        if hidden_count > 0
        else ""
    )
    return Cascade(
        lost_nodes,
        tuple(failures[:MOST_DRAWN]),
        pole_nodes,
        tuple(
            CascadeNode(
                f"plan {id}", (names.plan(id), when), "plan", _find_causes(id, poles, names, causes)
            )
            for id, when in plans
        ),
        (
            _("Ressource perdue"),
            _("Communes desservies")
            if loss.communes and not loss.activities and not loss.roles
            else _("Activités et rôles touchés"),
            _("Pôles"),
            _("Plans"),
        ),
        more,
    )


def _build_commune_node(
    commune: d.LossCommune, causes: tuple[str, ...], _: Translator
) -> CascadeNode:
    places = _write_places(commune.sites, commune.agents, _)
    remaining_lines = (
        _("sans ligne")
        if commune.cut_off
        else _("reste : {lines}", lines=_shorten_list(commune.left, _))
    )
    tone = "bare" if commune.cut_off else "weak"
    return CascadeNode(
        f"commune {commune.insee}", (commune.name, places, remaining_lines), tone, causes
    )


def _find_causes(
    plan: str, poles: dict[str, list[str]], names: TerritoryNames, lost_ids: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the pôle of a plan if the loss hits it, else the lost resources."""
    pole = names.plans[plan].pole if plan in names.plans else None
    return (f"pole {pole}",) if pole in poles else lost_ids

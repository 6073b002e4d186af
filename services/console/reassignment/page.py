"""Page of reassignments: flow diagram, undecided lines by activity, and unmet needs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.reassignment import (
    ACTIVE_LINE_STATES,
    TRAVEL_MINUTES_KEY,
    LineState,
    Preference,
    ProposalState,
)
from services.console.continuity.clocks import RunningClock
from services.console.i18n import N_, Translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.reassignment.agent_counts import describe_agents_elsewhere, describe_need
from services.console.reassignment.texts import describe_order_period
from services.console.resources import Flow, Proposal, ReassignmentLine
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name

IDLE, TELEWORK = "idle", "telework"
WIDTH, HEIGHT, TOP, GAP = 960.0, 452.0, 14.0, 13.0
LEFT, RIGHT, BAR = 254.0, 730.0, 8.0
MAX_GROUPS: Final = 8
"""Most groups on each side of the diagram; the smallest are combined."""
OTHERS: Final = "others"
RECENT_SPAN: Final = timedelta(days=1)
PREFERENCE_LABELS: Final = {
    Preference.BEST: N_("Le plus d’agents au travail"),
    Preference.FEWEST: N_("Le moins de déplacements"),
    Preference.LEAST_CO2: N_("Le moins de CO₂"),
    Preference.FASTEST: N_("Les trajets les plus courts"),
}
STATE_LABELS: Final = {
    LineState.PROPOSED: N_("à décider"),
    LineState.APPROVED: N_("approuvée"),
    LineState.DECLINED: N_("écartée"),
    LineState.DISPATCHED: N_("ordre parti"),
    LineState.ACCEPTED: N_("ordre reçu"),
    LineState.ARRIVED: N_("au travail"),
    LineState.RELEASED: N_("de retour"),
    LineState.VOID: N_("annulée, lieu perdu"),
    LineState.REFUSED: N_("ordre refusé"),
}
REMOVED_LABEL: Final = N_("annulée, site retiré des données")
_STATE_ICONS: Final = {
    LineState.PROPOSED: "wait",
    LineState.APPROVED: "check",
    LineState.DECLINED: "cross",
    LineState.DISPATCHED: "check",
    LineState.ACCEPTED: "check",
    LineState.ARRIVED: "check",
    LineState.RELEASED: "check",
    LineState.VOID: "cross",
    LineState.REFUSED: "cross",
}
_NEXT_STEPS: Final = {
    LineState.DISPATCHED: ("accept", N_("Ordre reçu")),
    LineState.ACCEPTED: ("arrive", N_("Arrivés")),
    LineState.ARRIVED: ("release", N_("De retour")),
}
"""State → next step of the site."""
_RETURN_STEP: Final = _NEXT_STEPS[LineState.ARRIVED]
"""Step of agents without further need, arrived or not."""


def _get_next_step(state: LineState, needed_count: int | None) -> tuple[str, str]:
    if state not in _NEXT_STEPS:
        return "", ""
    return _RETURN_STEP if needed_count == 0 else _NEXT_STEPS[state]


@dataclass(frozen=True, slots=True)
class FlowNode:
    """One end of flows."""

    label: str
    count: int
    x: float
    y: float
    height: float
    text_y: float
    idle: bool


@dataclass(frozen=True, slots=True)
class FlowBand:
    """Agents from a source to a target."""

    path: str
    work: str
    source: str
    target: str
    count: int


@dataclass(frozen=True, slots=True)
class FlowDiagram:
    """Flow diagram, drawn on the server so that it needs no script."""

    sources: list[FlowNode]
    targets: list[FlowNode]
    bands: list[FlowBand]
    total: int


def draw_flows(flows: Sequence[Flow], names: TerritoryNames, _: Translator) -> FlowDiagram | None:
    """Draw sources on the left, places on the right, and bands as wide as their agents.

    Return None if nobody moves.
    """
    total = sum(f.count for f in flows)
    if not total:
        return None
    left, right = (
        _group_counts([(f.source, f.count) for f in flows], ()),
        _group_counts([(f.target, f.count) for f in flows], (TELEWORK, IDLE)),
    )
    scale = (HEIGHT - TOP - GAP * (max(len(left), len(right)) - 1)) / total
    at_left, at_right = _stack_groups(left, scale), _stack_groups(right, scale)
    merged_counts: dict[tuple[str, str, str], int] = {}
    for f in flows:
        key = (
            f.source if f.source in left else OTHERS,
            f.target if f.target in right else OTHERS,
            f.work,
        )
        merged_counts[key] = merged_counts.get(key, 0) + f.count
    order = {"help": 0, "own": 1, "idle": 2}
    down, across = dict(at_left), dict(at_right)
    bands = []
    for (source, target, work), count in sorted(
        merged_counts.items(),
        key=lambda m: (list(left).index(m[0][0]), list(right).index(m[0][1]), order[m[0][2]]),
    ):
        y, z, h = down[source], across[target], count * scale
        down[source], across[target] = y + h, z + h
        bands.append(
            FlowBand(
                _draw_band(y, z, h),
                work,
                _name_group(source, names, _),
                _name_group(target, names, _),
                count,
            )
        )
    return FlowDiagram(
        [
            _build_node(key, count, LEFT, at_left[key], scale, names, _)
            for key, count in left.items()
        ],
        [
            _build_node(key, count, RIGHT, at_right[key], scale, names, _)
            for key, count in right.items()
        ],
        bands,
        total,
    )


def _group_counts(
    counts: Sequence[tuple[str, int]], separate_groups: tuple[str, ...]
) -> dict[str, int]:
    """Sum the groups: telework first, then the largest, the combined rest, and idle agents last.

    `separate_groups` names the groups that are never combined.
    """
    sums: dict[str, int] = {}
    for key, count in counts:
        sums[key] = sums.get(key, 0) + count
    usual = sorted(
        (key for key in sums if key not in separate_groups), key=lambda key: (-sums[key], key)
    )
    largest_groups = usual[: MAX_GROUPS - 1] if len(usual) > MAX_GROUPS else usual
    groups = {TELEWORK: sums[TELEWORK]} if TELEWORK in separate_groups and TELEWORK in sums else {}
    groups |= {key: sums[key] for key in largest_groups}
    if rest := sum(sums[key] for key in usual if key not in largest_groups):
        groups[OTHERS] = rest
    return groups | ({IDLE: sums[IDLE]} if IDLE in separate_groups and IDLE in sums else {})


def _stack_groups(groups: Mapping[str, int], scale: float) -> dict[str, float]:
    offsets, y = {}, TOP
    for key, count in groups.items():
        offsets[key] = y
        y += count * scale + GAP
    return offsets


def _build_node(
    key: str, count: int, x: float, y: float, scale: float, names: TerritoryNames, _: Translator
) -> FlowNode:
    height = count * scale
    return FlowNode(
        _name_group(key, names, _),
        count,
        x,
        round(y, 1),
        round(height, 1),
        round(y + height / 2 + 4, 1),
        key == IDLE,
    )


def _name_group(key: str, names: TerritoryNames, _: Translator) -> str:
    match key:
        case "telework":
            return _("Télétravail")
        case "idle":
            return _("Sans affectation")
        case "others":
            return _("Autres lieux")
    kind = w.translate_code(world.KIND_MANY, key, _)
    if kind != key:
        return kind[:1].upper() + kind[1:]
    return shorten_site_name(names.site(key))


def _draw_band(y: float, z: float, h: float) -> str:
    a, b, m = LEFT + BAR, RIGHT, (LEFT + BAR + RIGHT) / 2
    return f"M{a:g} {y:.1f}C{m:g} {y:.1f} {m:g} {z:.1f} {b:g} {z:.1f}V{z + h:.1f}C{m:g} {z + h:.1f} {m:g} {y + h:.1f} {a:g} {y + h:.1f}Z"


@dataclass(frozen=True, slots=True)
class OrderMove:
    """One line of an order: agents of one métier from one site."""

    id: str
    text: str


def _list_moves(lines: Sequence[ReassignmentLine], _: Translator) -> list[OrderMove]:
    """List the lines of an order, so that a site may refuse one of them. Rule D101."""
    return [OrderMove(line.id, _describe_move(line, _)) for line in lines]


def _describe_move(line: ReassignmentLine, _: Translator) -> str:
    values = {
        "n": format_small_count(line.count),
        "metier": line.metier_name,
        "site": shorten_site_name(line.source.name),
    }
    if line.target.site == TELEWORK:
        return _("{metier} ({n}), {site}, à domicile", **values)
    if line.target.site == line.source.site:
        return _("{metier} ({n}), {site}, sur place", **values)
    return _(
        "{metier} ({n}), {site} → {place}", **values, place=shorten_site_name(line.target.name)
    )


@dataclass(frozen=True, slots=True)
class DecisionGroup:
    """Lines that share one decision: the same work, place and state."""

    key: str
    ids: list[str]
    moves: list[OrderMove]
    activity: str
    name: str
    criticality: int
    sources: list[str]
    sources_more: int
    site_ids: list[str]
    """Sites with an order: those that agents leave, and the one that they come to."""
    source_ids: list[str]
    place: str
    place_name: str
    agents: int
    agents_text: str
    """Number of agents as it may be shown. Rule D58."""
    minutes: int | None
    """Longest travel time, in minutes."""
    kg: float
    trades: str
    """Métiers of the agents, the largest first."""
    why: str
    idle_text: str
    """Text about agents elsewhere without need; empty if there are none, or after the decision."""
    state: LineState
    state_text: str
    icon: str
    own_work: bool
    still: str
    """Text about the number still needed; empty if all are, or before the order."""
    next: str
    next_said: str
    period: str
    """Text of the period; empty before the order, and once nobody is needed."""


def group_lines(
    lines: Sequence[ReassignmentLine], _: Translator, *, one_by_one: bool = False
) -> list[DecisionGroup]:
    """Group the lines: needs first, most critical first, then agents with their own work.

    Among equals, the needs of vulnerable people come first. Rule D82.
    """
    groups: dict[tuple[bool, int, int, str, str, str, str, bool, str], list[ReassignmentLine]] = {}
    for line in lines:
        key = (
            line.own_work,
            line.criticality,
            -line.vulnerable_public,
            line.target.activity,
            line.target.site,
            line.state.value,
            line.cause or "",
            line.needed == 0,
            line.id if one_by_one else "",
        )
        groups.setdefault(key, []).append(line)
    return [_build_group(groups[key], _) for key in sorted(groups)]


def _build_group(lines: list[ReassignmentLine], _: Translator) -> DecisionGroup:
    first, agents = lines[0], sum(line.count for line in lines)
    names = list(
        dict.fromkeys(
            shorten_site_name(line.source.name) for line in sorted(lines, key=lambda x: -x.count)
        )
    )
    trades = list(dict.fromkeys(line.metier_name for line in sorted(lines, key=lambda x: -x.count)))
    reasons = list(
        dict.fromkeys(
            why.text
            for line in lines[:1]
            for why in line.why
            if why.code not in ("travel", "no_travel", "displaced")
        )
    )
    trade_summary = trades[0] + (f" +{len(trades) - 1}" if len(trades) > 1 else "")
    minutes = max(line.score["minutes"] for line in lines)
    needed_counts = [line.needed for line in lines if line.needed is not None]
    state_label = REMOVED_LABEL if first.cause == "site_removed" else STATE_LABELS[first.state]
    kind = [
        *([first.cause] if first.cause else ()),
        *(["over"] if first.needed == 0 else ()),
        "own" if first.own_work else "help",
    ]
    verb, verb_said = _get_next_step(first.state, first.needed)
    return DecisionGroup(
        key="-".join(
            (
                first.target.activity,
                first.target.site,
                first.state.value,
                *kind,
                first.id if len(lines) == 1 else "all",
            )
        ),
        ids=[line.id for line in lines],
        moves=_list_moves(lines, _),
        activity=first.target.activity,
        name=first.target.activity_name,
        criticality=first.criticality,
        sources=names[:1],
        sources_more=len(names) - 1,
        source_ids=sorted({line.source.site for line in lines}),
        site_ids=sorted({line.source.site for line in lines} | {first.target.site} - {TELEWORK}),
        place=first.target.site,
        place_name=_("Télétravail")
        if first.target.site == TELEWORK
        else shorten_site_name(first.target.name),
        agents=agents,
        agents_text=format_small_count(agents),
        minutes=minutes or None,
        kg=round(sum(line.score["co2_g"] * line.count for line in lines) / 1000, 1),
        trades=trade_summary,
        why=_("\u00a0; ").join([trade_summary, *reasons]),
        idle_text=describe_agents_elsewhere(lines, _) if first.state is LineState.PROPOSED else "",
        state=first.state,
        state_text=_(state_label),
        icon=_STATE_ICONS[first.state],
        own_work=first.own_work,
        still=describe_need(
            agents,
            sum(needed_counts) if needed_counts and first.state in ACTIVE_LINE_STATES else None,
            _,
        ),
        next=verb,
        next_said=_(verb_said) if verb else "",
        period="" if first.needed == 0 else _describe_period(lines, _),
    )


def _describe_period(lines: Sequence[ReassignmentLine], _: Translator) -> str:
    """Describe the period of these lines."""
    begins = [line.starts_at for line in lines if line.starts_at is not None]
    ends = [line.ends_at for line in lines if line.ends_at is not None]
    dispatch_times = [line.dispatched_at for line in lines if line.dispatched_at is not None]
    if not begins or not dispatch_times:
        return ""
    return describe_order_period(
        min(begins), max(ends) if len(ends) == len(lines) else None, min(dispatch_times), _
    )


class OrderDirection(StrEnum):
    """Direction of an order, seen from its site."""

    LEAVE = "leave"
    HOME = "home"
    COME = "come"
    STAY = "stay"


DIRECTION_LABELS: Final = {
    OrderDirection.LEAVE: N_("Partent travailler ailleurs"),
    OrderDirection.HOME: N_("Travaillent à domicile"),
    OrderDirection.COME: N_("Viennent travailler ici"),
    OrderDirection.STAY: N_("Restent ici pour un autre travail"),
}


@dataclass(frozen=True, slots=True)
class SiteOrder:
    """Order of one site, by count: lines of the same direction and state, with their next step."""

    key: str
    way: OrderDirection
    direction_text: str
    ids: list[str]
    moves: list[OrderMove]
    agents: int
    agents_text: str
    places: list[str]
    warning: str
    """Sentence that keeps agents where they are while an order stands; empty without one."""
    state_text: str
    icon: str
    still: str
    next: str
    next_said: str
    period: str
    is_asked: bool
    """The manager answers now: the order is new, or its agents are no longer needed."""
    is_over: bool
    """Its agents are no longer needed: the manager confirms that they are back."""


def _find_direction(line: ReassignmentLine, site: str) -> OrderDirection:
    if line.source.site != site:
        return OrderDirection.COME
    if line.target.site == TELEWORK:
        return OrderDirection.HOME
    return OrderDirection.STAY if line.target.site == site else OrderDirection.LEAVE


def list_site_orders(
    site: str,
    lines: Iterable[ReassignmentLine],
    _: Translator,
    barred_sites: Collection[str] = (),
    sheltering_sites: Collection[str] = (),
) -> list[SiteOrder]:
    """List the orders under way of a site by direction, those that need an answer first.

    Agents without further need have their own entry. Nobody is sent to `barred_sites`, and nobody
    leaves `sheltering_sites`.
    """
    orders: dict[tuple[int, OrderDirection, bool], list[ReassignmentLine]] = {}
    for line in lines:
        if line.state in ACTIVE_LINE_STATES and site in (line.source.site, line.target.site):
            orders.setdefault(
                (
                    ACTIVE_LINE_STATES.index(line.state),
                    _find_direction(line, site),
                    line.needed == 0,
                ),
                [],
            ).append(line)
    return [
        _build_site_order(
            way,
            orders[place, way, over],
            _,
            _warn_of_order(way, orders[place, way, over], _, barred_sites, sheltering_sites),
        )
        for place, way, over in sorted(orders)
    ]


def _warn_of_order(
    way: OrderDirection,
    lines: Sequence[ReassignmentLine],
    _: Translator,
    barred_sites: Collection[str],
    sheltering_sites: Collection[str],
) -> str:
    """Say where agents neither go, leave nor go back while an order stands; empty without one.

    Rules D78 and D102.
    """
    homes = {line.source.site: line.source.name for line in lines}
    places = {line.target.site: line.target.name for line in lines}
    if lines[0].needed == 0:
        barred_homes = [name for site, name in homes.items() if site in barred_sites]
        return _name_barred(_(_NO_RETURN), barred_homes, _)
    if lines[0].state is LineState.ARRIVED or way is OrderDirection.STAY:
        return ""
    if way is not OrderDirection.COME and not homes.keys().isdisjoint(sheltering_sites):
        return _(_NO_DEPARTURE)
    barred_places = [name for site, name in places.items() if site in barred_sites]
    if way is OrderDirection.COME:
        return _(_NO_ARRIVAL_HERE) if barred_places else ""
    return _name_barred(_(_NO_ARRIVAL), barred_places, _)


def _name_barred(text: str, names: Iterable[str], _: Translator) -> str:
    short_names = ", ".join(shorten_site_name(name) for name in names)
    return text.format(places=short_names) if short_names else ""


_NO_ARRIVAL: Final = N_(
    "N’envoyez personne à {places} : une consigne d’évacuation ou de confinement y tient."
)
_NO_ARRIVAL_HERE: Final = N_(
    "Personne ne vient : une consigne d’évacuation ou de confinement tient au site."
)
_NO_DEPARTURE: Final = N_("Personne ne part : une consigne de confinement tient au site.")
_NO_RETURN: Final = N_(
    "Personne ne revient à {places} : une consigne d’évacuation ou de confinement y tient."
)


def _build_site_order(
    way: OrderDirection, lines: list[ReassignmentLine], _: Translator, warning: str
) -> SiteOrder:
    state, agents = lines[0].state, sum(line.count for line in lines)
    others = (
        [line.source.name if way is OrderDirection.COME else line.target.name for line in lines]
        if way in (OrderDirection.LEAVE, OrderDirection.COME)
        else []
    )
    needed_count = sum(line.count if line.needed is None else line.needed for line in lines)
    step, step_label = _get_next_step(state, needed_count)
    return SiteOrder(
        key=f"{way}-{state}{'' if needed_count else '-over'}",
        way=way,
        direction_text=_(DIRECTION_LABELS[way]),
        ids=[line.id for line in lines],
        moves=_list_moves(lines, _),
        agents=agents,
        agents_text=format_small_count(agents),
        places=[shorten_site_name(name) for name in dict.fromkeys(others)],
        warning=warning,
        state_text=_(STATE_LABELS[state]),
        icon=_STATE_ICONS[state],
        still=describe_need(agents, needed_count, _),
        next=step,
        next_said=_(step_label),
        period=_describe_period(lines, _) if needed_count else "",
        is_asked=state is LineState.DISPATCHED or needed_count == 0,
        is_over=needed_count == 0,
    )


REPLACEMENTS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refused order with its author, time, reason and replacement. Rule D101."""

    group: DecisionGroup
    at: datetime
    by: str | None
    """Token of the person; None: unknown."""
    reason: str | None
    """Text of the reason; None: not to be read, or erased."""
    replacement: str


def _list_refusals(
    lines: Iterable[ReassignmentLine],
    proposal: Proposal | None,
    later_lines: Sequence[ReassignmentLine],
    _: Translator,
) -> list[Refusal]:
    """List the refused orders, newest first.

    `later_lines` are the lines that may replace them: undecided, or approved since.
    """
    lines_by_refusal: dict[tuple[datetime, str, str], list[ReassignmentLine]] = {}
    for line in lines:
        if line.ended_at is not None:
            key = (line.ended_at, line.changed_by or "", line.reason or "")
            lines_by_refusal.setdefault(key, []).append(line)
    refusals = []
    for (at, by, reason), refused_lines in sorted(lines_by_refusal.items(), reverse=True):
        for group in group_lines(refused_lines, _):
            mine = [line for line in refused_lines if line.id in group.ids]
            text = _describe_replacement(mine, at, proposal, later_lines, _)
            refusals.append(Refusal(group, at, by or None, reason or None, text))
    return refusals


def _describe_replacement(
    refused_lines: Sequence[ReassignmentLine],
    at: datetime,
    proposal: Proposal | None,
    later_lines: Sequence[ReassignmentLine],
    _: Translator,
) -> str:
    """Describe the moves that replace a refused order; empty after the end of the crisis.

    Help is replaced by other help for the same need, own work by another place for its agents.
    """
    origins = {line.proposal for line in refused_lines}

    def is_later(time: datetime, origin: str) -> bool:
        # the clock of an exercise stands still between its steps
        return time > at or (time == at and origin not in origins)

    is_newer = proposal is not None and is_later(proposal.computed_at, proposal.id)
    replacements = [
        line
        for line in later_lines
        if (is_newer if line.approved_at is None else is_later(line.approved_at, line.proposal))
        and any(_can_replace(line, refused) for refused in refused_lines)
    ]
    if replacements:
        move_texts = [
            f"{_describe_move(line, _)}, {_(STATE_LABELS[line.state])}"
            for line in replacements[:REPLACEMENTS_SHOWN]
        ]
        if rest := len(replacements) - len(move_texts):
            move_texts.append(_.plural("{n} autre", "{n} autres", rest))
        return _("À la place : {moves}", moves=_("\u00a0; ").join(move_texts))
    if proposal is None or proposal.state is not ProposalState.OPEN:
        return ""
    if not proposal.displaced and not proposal.demand:  # nobody misses them any more
        return ""
    if is_newer:
        return _("La proposition n° {n} ne donne rien à la place.", n=proposal.number)
    return _("Une autre proposition suit.")


def _can_replace(line: ReassignmentLine, refused: ReassignmentLine) -> bool:
    if line.own_work or refused.own_work:
        return line.own_work and refused.own_work and _get_cell(line) == _get_cell(refused)
    need = (refused.need_site, refused.target.activity)
    return (line.need_site, line.target.activity) == need


def _get_cell(line: ReassignmentLine) -> tuple[str, str, str]:
    return (line.source.site, line.source.activity, line.metier)


def _find_refused_moves(
    proposal: Proposal | None, reassigned_lines: Iterable[ReassignmentLine]
) -> frozenset[tuple[str, ...]]:
    """Return the moves that were refused after the proposal: nobody can approve them. Rule D101."""
    if proposal is None:
        return frozenset()
    refused, under_way = set[tuple[str, ...]](), set[tuple[str, ...]]()
    for line in reassigned_lines:
        move = (*_get_cell(line), line.target.site)
        if line.state in ACTIVE_LINE_STATES:
            under_way.add(move)
        elif (
            line.state is LineState.REFUSED
            and line.ended_at is not None
            and line.ended_at >= proposal.computed_at
        ):
            refused.add(move)
    return frozenset(refused - under_way)


@dataclass(frozen=True, slots=True)
class ReassignmentView:
    """Everything that the page shows about one proposal."""

    proposal: Proposal | None
    failed_proposal: Proposal | None
    picture: FlowDiagram | None
    vital: list[DecisionGroup]
    """Undecided lines for work below its minimum."""
    own: list[DecisionGroup]
    """Undecided lines of agents with their own work."""
    blocked: list[DecisionGroup]
    """Undecided lines with a move refused after the proposal: nobody can approve them."""
    decided_groups: list[DecisionGroup]
    refusals: list[Refusal]
    """Orders of the last day that a site or the cell refused."""
    void: list[DecisionGroup]
    """Orders of the last day that ended with the loss or removal of a place."""
    returned: list[DecisionGroup]
    """Orders of the last day with their agents back."""
    unneeded: int
    """Number of agents under way that nobody needs any more."""
    under_way: list[DecisionGroup]
    undecided: int
    """Number of lines that can be decided."""
    kg: int
    """CO2 of all moves of the proposal, including those that an earlier approval covers."""
    others: list[Proposal]
    """Other proposals for comparison: the newest of each preference."""
    covered: int


def build_reassignment_view(
    proposals: Sequence[Proposal],
    proposal: Proposal | None,
    reassigned_lines: Sequence[ReassignmentLine],
    sites: Sequence[str],
    now: datetime,
    names: TerritoryNames,
    _: Translator,
) -> ReassignmentView:
    """Build the page.

    `proposals` are newest first, `proposal` has its lines, and `reassigned_lines` are the approved
    lines. `sites` are those of a limited reader; the lines under way are then shown one by one.
    """
    lines = proposal.lines or [] if proposal is not None else []
    refused_moves = _find_refused_moves(proposal, reassigned_lines)
    undecided = [line for line in lines if line.state is LineState.PROPOSED]
    blocked = [x for x in undecided if (*_get_cell(x), x.target.site) in refused_moves]
    waiting = [x for x in undecided if (*_get_cell(x), x.target.site) not in refused_moves]
    under_way = [x for x in reassigned_lines if x.state in ACTIVE_LINE_STATES]
    recent_lines: dict[LineState, list[ReassignmentLine]] = {}
    for line in reassigned_lines:
        if line.ended_at is not None and now - line.ended_at < RECENT_SPAN:
            recent_lines.setdefault(line.state, []).append(line)
    groups = group_lines(waiting, _)
    newest = proposals[0] if proposals else None
    others: dict[Preference, Proposal] = {}
    for p in proposals:
        if (
            proposal is not None
            and p.id != proposal.id
            and p.preference is not proposal.preference
            and p.sites_hit == proposal.sites_hit
            and p.agents
        ):
            others.setdefault(p.preference, p)
    return ReassignmentView(
        proposal=proposal,
        failed_proposal=newest
        if newest is not None and newest.state is ProposalState.FAILED
        else None,
        picture=draw_flows(proposal.flow, names, _) if proposal is not None else None,
        vital=[g for g in groups if not g.own_work],
        own=[g for g in groups if g.own_work],
        blocked=group_lines(
            [x.model_copy(update={"state": LineState.REFUSED}) for x in blocked], _
        ),
        decided_groups=group_lines([x for x in lines if x.state is LineState.DECLINED], _),
        refusals=_list_refusals(
            recent_lines.get(LineState.REFUSED, ()), proposal, [*waiting, *under_way], _
        ),
        void=group_lines(recent_lines.get(LineState.VOID, ()), _),
        returned=group_lines(recent_lines.get(LineState.RELEASED, ()), _),
        under_way=group_lines(
            [x for x in under_way if not sites or {x.source.site, x.target.site} & set(sites)],
            _,
            one_by_one=bool(sites),
        ),
        undecided=len(waiting),
        unneeded=sum(x.count for x in under_way if x.needed == 0),
        kg=round(proposal.objective.get("C", 0) / 1000) if proposal is not None else 0,
        others=list(others.values()),
        covered=(proposal.demand - proposal.unmet_agents) if proposal is not None else 0,
    )


LIMITS_SHOWN: Final = 5


def list_next_limits(clocks: Sequence[RunningClock]) -> list[RunningClock]:
    """List the next territory-wide limits, vital work first, passed limits last."""
    return sorted(
        (c for c in clocks if c.site is None), key=lambda c: (c.mtpd_over, c.criticality)
    )[:LIMITS_SHOWN]


@dataclass(frozen=True, slots=True)
class QualityFigure:
    name: str
    value: float
    is_good: bool = False


def list_quality_figures(proposal: Proposal, _: Translator) -> list[QualityFigure]:
    """List the quality figures of a proposal, level by level."""
    o = proposal.objective
    uncovered = {
        "U1": _("Criticité 1 non couverte (pondérée)"),
        "U2": _("Criticité 2 non couverte (pondérée)"),
        "U3": _("Criticité 3 non couverte (pondérée)"),
    }
    costs = {
        "K": _("Agents déplacés autrement qu’avant"),
        "I": _("Sans affectation, criticité 1 à 3"),
        "Q": _("Écart de métier et de lieu (0 : aucun, 10 : fort)"),
    }
    figures = [
        *(QualityFigure(name, o.get(key, 0), not o.get(key)) for key, name in uncovered.items()),
        *(QualityFigure(name, o.get(key, 0)) for key, name in costs.items()),
    ]
    if TRAVEL_MINUTES_KEY in o:
        minutes = o[TRAVEL_MINUTES_KEY]
        figures.append(QualityFigure(_("Trajets cumulés, minutes, aller"), minutes))
    carbon_kg = round(o.get("C", 0) / 1000)
    return [*figures, QualityFigure(_("CO₂, aller et retour, kg"), carbon_kg)]

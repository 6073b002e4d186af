"""Explain lines, unmet needs and idle agents: the hard rule, the missing desk or people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK
from services.continuity.reassignment.model.program import KEPT_FRACTION, Program
from services.continuity.reassignment.model.situation import OPTIMISED_CRITICALITIES, Quantities
from services.continuity.reassignment.model.tables import LONGEST_MIN, Ints

MISSING_PEOPLE: Final = "people"
MISSING_SEATS: Final = "seats"


@dataclass(frozen=True, slots=True)
class LineReason:
    """Reason code with its values.

    A code is a rule of `docs/reference/reassignment-model.md` (R1 … R9) or a word of this module.
    """

    code: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StaffGap:
    """Agents of a cell without an answer: the missing resource, and the reasons."""

    site: str
    activity: str
    metier: str
    count: int
    missing: str
    why: tuple[LineReason, ...]

    @classmethod
    def of(
        cls, q: Quantities, cell: int, count: int, missing: str, why: tuple[LineReason, ...]
    ) -> "StaffGap":
        staff_cell = q.tables.cells[cell]
        return cls(staff_cell.site, staff_cell.activity, staff_cell.metier, count, missing, why)


def explain_line(program: Program, n: int, *, at_home: bool) -> tuple[LineReason, ...]:
    """Explain a line: the source of the agents, the métier, the place, the way."""
    return (
        *_explain_agents(program, n),
        _explain_place(program, n),
        *(() if at_home else (_explain_way(program, n),)),
    )


def _explain_agents(program: Program, n: int) -> Iterator[LineReason]:
    q, moves = program.quantities, program.moves
    tables, cell = q.tables, int(moves.cell[n])
    if moves.demand[n] == OWN_WORK:
        yield LineReason("own_work")
        return
    if moves.is_released[n]:
        yield LineReason("spare", {"criticality": tables.rule(cell).criticality})
    else:
        yield LineReason("displaced")
    wanted_metier, has = (
        tables.cells[q.demands[int(moves.demand[n])].cell].metier,
        tables.cells[cell].metier,
    )
    if wanted_metier == has:
        yield LineReason("same_metier")
        return
    line = next(s for s in tables.substitutions[wanted_metier] if s.by == has)
    values: dict[str, str | int] = {"by": has, "tenths": line.tenths}
    yield LineReason(
        "substitution", values | {"condition": line.condition} if line.condition else values
    )


def _explain_place(program: Program, n: int) -> LineReason:
    q, moves = program.quantities, program.moves
    work_cell = (
        int(moves.cell[n]) if moves.demand[n] == OWN_WORK else q.demands[int(moves.demand[n])].cell
    )
    rule, place = q.tables.rule(work_cell), int(moves.place[n])
    if place == AT_HOME:
        return LineReason("telework", {"pct": rule.tele_pct})
    if place == int(q.tables.cell_site[work_cell]):
        return LineReason("own_site")
    kind = q.tables.sites[place].kind
    return LineReason("usual_host" if kind in rule.home_kinds else "other_host", {"kind": kind})


def _explain_way(program: Program, n: int) -> LineReason:
    q, moves = program.quantities, program.moves
    home, place = int(q.tables.cell_site[int(moves.cell[n])]), int(moves.place[n])
    if home == place:
        return LineReason("no_travel")
    by_transit = bool(q.tables.ways(q.situation.transit).by_transit[home, place])
    return LineReason(
        "travel",
        {
            "minutes": int(moves.minutes[n]),
            "mode": "transit" if by_transit else "car",
            "grams": int(moves.grams[n]),
        },
    )


def list_unmet_gaps(program: Program, solution: Ints) -> tuple[StaffGap, ...]:
    """Return every unfilled demand, by cell."""
    q, first = program.quantities, len(program.moves)
    left_resources = _LeftResources(program, solution)
    return tuple(
        StaffGap.of(
            q, demand.cell, int(solution[first + n]), *_explain_unmet(program, n, left_resources)
        )
        for n, demand in enumerate(q.demands)
        if solution[first + n]
    )


def list_idle_gaps(program: Program, solution: Ints) -> tuple[StaffGap, ...]:
    """Return displaced agents of criticality 1 to 3 with neither a desk nor telework, by cell."""
    q, first = program.quantities, len(program.moves) + len(program.quantities.demands)
    return tuple(
        StaffGap.of(q, cell, int(solution[first + n]), MISSING_SEATS, tuple(_explain_idle(q, cell)))
        for n, cell in enumerate(program.idle_cells)
        if solution[first + n] and q.tables.rule(cell).criticality in OPTIMISED_CRITICALITIES
    )


class _LeftResources:
    """Resources that a solution leaves: desks by site, agents by cell, telework by demand."""

    def __init__(self, program: Program, solution: Ints) -> None:
        q, moves = program.quantities, program.moves
        self.desks, self.telework = list(q.free_desks), [d.tele_cap for d in q.demands]
        self.agents = [d + r for d, r in zip(q.displaced, q.releasable, strict=True)]
        for n in np.flatnonzero(solution[: len(moves)]).tolist():
            place, cell, demand, count = (
                int(moves.place[n]),
                int(moves.cell[n]),
                int(moves.demand[n]),
                int(solution[n]),
            )
            work_cell = cell if demand == OWN_WORK else q.demands[demand].cell
            self.agents[cell] -= count
            if (
                place != AT_HOME
                and q.tables.rule(work_cell).needs_desk
                and place != int(q.tables.cell_site[work_cell])
            ):
                self.desks[place] -= count
            elif place == AT_HOME and demand != OWN_WORK:
                self.telework[demand] -= count


def _explain_unmet(
    program: Program, index: int, resources: _LeftResources
) -> tuple[str, tuple[LineReason, ...]]:
    q = program.quantities
    demand, tables = q.demands[index], q.tables
    cell = tables.cells[demand.cell]
    rule = tables.rule(demand.cell)
    able = tables.helpers[cell.metier]
    others = [(n, condition) for n, _, condition in able if n != demand.cell or q.displaced[n]]
    reasons: list[LineReason] = list(_explain_barred_agents(q, cell.metier))
    available = sum(
        q.displaced[n] + (q.releasable[n] if n != demand.cell else 0) for n, _ in others
    )
    if not tables.substitutions.get(cell.metier):
        reasons.insert(0, LineReason("R1", {"metier": cell.metier}))
    if not available:
        return MISSING_PEOPLE, (*reasons, LineReason("all_at_minimum", {"metier": cell.metier}))
    moves = program.moves
    reasons += _explain_return(q, demand.cell)
    if not np.any(moves.demand == index):
        if not demand.own_site and not q.hosts(int(tables.cell_site[demand.cell]), rule.activity):
            return MISSING_SEATS, (
                *reasons,
                LineReason("no_host"),
                *_explain_no_telework(q, demand.cell, demand.need),
            )
        return MISSING_PEOPLE, (*reasons, LineReason("R5", {"minutes": LONGEST_MIN}))
    hosts = (
        q.hosts(int(tables.cell_site[demand.cell]), rule.activity) if not rule.site_bound else ()
    )
    at_home = resources.telework[index] > 0 and not any(resources.agents[n] for n, _ in others)
    if (
        rule.needs_desk
        and not demand.own_site
        and not at_home
        and all(resources.desks[h] <= 0 for h in hosts)
    ):
        return MISSING_SEATS, (
            *reasons,
            LineReason("no_desk" if hosts else "no_host"),
            *_explain_no_telework(q, demand.cell, demand.need),
        )
    kept_agents = sum(q.displaced[n] // KEPT_FRACTION for n, _ in others if n != demand.cell)
    return MISSING_PEOPLE, (
        *reasons,
        LineReason("taken", {"available": available}),
        *((LineReason("R9", {"kept": kept_agents}),) if kept_agents else ()),
    )


def _explain_return(q: Quantities, cell: int) -> Iterator[LineReason]:
    """Yield the announced return of a cell's site if it is too soon to send agents (D80)."""
    site, activity = q.tables.sites[int(q.tables.cell_site[cell])].id, q.tables.rule(cell).activity
    announced_min, horizon = q.situation.of(site).left_min, q.situation.horizon
    if announced_min is not None and q.situation.left_min(site, activity) < max(
        LONGEST_MIN + horizon.setup_min, horizon.home_min
    ):
        yield LineReason("back_soon", {"minutes": announced_min})


def _explain_barred_agents(q: Quantities, metier: str) -> Iterator[LineReason]:
    """Yield the agents that R2 or R3 excludes from helping."""
    tables = q.tables
    allowed_metiers = {n for n, _, _ in tables.helpers[metier]}
    for line in tables.substitutions.get(metier, ()):
        if line.condition not in ("R2", "R3"):
            continue
        barred_count = sum(
            q.displaced[n] + q.releasable[n]
            for n, c in enumerate(tables.cells)
            if c.metier == line.by and n not in allowed_metiers
        )
        if barred_count:
            yield LineReason(line.condition, {"by": line.by, "agents": barred_count})


def _explain_no_telework(q: Quantities, cell: int, count: int) -> Iterator[LineReason]:
    rule = q.tables.rule(cell)
    if not q.situation.telework:
        yield LineReason("telework_off")
    elif not rule.needs_desk or not rule.tele_pct:
        yield LineReason("no_telework", {"activity": rule.activity})
    elif rule.tele_pct < 100:
        yield LineReason(
            "telework_limited", {"pct": rule.tele_pct, "agents": count * rule.tele_pct // 100}
        )


def _explain_idle(q: Quantities, cell: int) -> Iterator[LineReason]:
    rule = q.tables.rule(cell)
    if rule.site_bound:
        yield LineReason("site_bound")
        return
    yield from _explain_return(q, cell)
    site = int(q.tables.cell_site[cell])
    hosts = [h for h in q.hosts(site, rule.activity) if q.tables.sites[h].kind in rule.home_kinds]
    near = [h for h in hosts if q.tables.ways(q.situation.transit).minutes[site, h] <= LONGEST_MIN]
    yield (
        LineReason("no_desk")
        if near
        else LineReason("R5", {"minutes": LONGEST_MIN})
        if hosts
        else LineReason("no_host")
    )
    yield from _explain_no_telework(q, cell, q.displaced[cell])

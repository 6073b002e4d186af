"""Explain lines, unmet needs and idle agents: the hard rule, the missing desk or people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK
from services.continuity.reassignment.model.program import KEPT, Program
from services.continuity.reassignment.model.situation import OPTIMISED, Quantities
from services.continuity.reassignment.model.tables import LONGEST_MIN, Ints

PEOPLE: Final = "people"
SEATS: Final = "seats"


@dataclass(frozen=True, slots=True)
class Reason:
    """Reason code with its values.

    A code is a rule of `docs/reference/reassignment-model.md` (R1 … R9) or a word of this module.
    """

    code: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gap:
    """Agents of a cell without an answer: the missing resource, and the reasons."""

    site: str
    activity: str
    metier: str
    count: int
    missing: str
    why: tuple[Reason, ...]

    @classmethod
    def of(cls, q: Quantities, cell: int, count: int, missing: str, why: tuple[Reason, ...]) -> Gap:
        found = q.tables.cells[cell]
        return cls(found.site, found.activity, found.metier, count, missing, why)


def reasons_of(program: Program, n: int, *, at_home: bool) -> tuple[Reason, ...]:
    """Explain a line: the source of the agents, the métier, the place, the way."""
    return (*_who(program, n), _where(program, n), *(() if at_home else (_way(program, n),)))


def _who(program: Program, n: int) -> Iterator[Reason]:
    q, moves = program.quantities, program.moves
    tables, cell = q.tables, int(moves.cell[n])
    if moves.demand[n] == OWN_WORK:
        yield Reason("own_work")
        return
    if moves.released[n]:
        yield Reason("spare", {"criticality": tables.rule(cell).criticality})
    else:
        yield Reason("displaced")
    wanted, has = (
        tables.cells[q.demands[int(moves.demand[n])].cell].metier,
        tables.cells[cell].metier,
    )
    if wanted == has:
        yield Reason("same_metier")
        return
    line = next(s for s in tables.substitutions[wanted] if s.by == has)
    values: dict[str, str | int] = {"by": has, "tenths": line.tenths}
    yield Reason(
        "substitution", values | {"condition": line.condition} if line.condition else values
    )


def _where(program: Program, n: int) -> Reason:
    q, moves = program.quantities, program.moves
    worked = (
        int(moves.cell[n]) if moves.demand[n] == OWN_WORK else q.demands[int(moves.demand[n])].cell
    )
    rule, place = q.tables.rule(worked), int(moves.place[n])
    if place == AT_HOME:
        return Reason("telework", {"pct": rule.tele_pct})
    if place == int(q.tables.cell_site[worked]):
        return Reason("own_site")
    kind = q.tables.sites[place].kind
    return Reason("usual_host" if kind in rule.home_kinds else "other_host", {"kind": kind})


def _way(program: Program, n: int) -> Reason:
    q, moves = program.quantities, program.moves
    home, place = int(q.tables.cell_site[int(moves.cell[n])]), int(moves.place[n])
    if home == place:
        return Reason("no_travel")
    by_transit = bool(q.tables.ways(q.situation.transit).by_transit[home, place])
    return Reason(
        "travel",
        {
            "minutes": int(moves.minutes[n]),
            "mode": "transit" if by_transit else "car",
            "grams": int(moves.grams[n]),
        },
    )


def unmet_gaps(program: Program, solution: Ints) -> tuple[Gap, ...]:
    """Return every unfilled demand, by cell."""
    q, first = program.quantities, len(program.moves)
    left = _Left(program, solution)
    return tuple(
        Gap.of(q, demand.cell, int(solution[first + n]), *_why_unmet(program, n, left))
        for n, demand in enumerate(q.demands)
        if solution[first + n]
    )


def idle_gaps(program: Program, solution: Ints) -> tuple[Gap, ...]:
    """Return displaced agents of criticality 1 to 3 with neither a desk nor telework, by cell."""
    q, first = program.quantities, len(program.moves) + len(program.quantities.demands)
    return tuple(
        Gap.of(q, cell, int(solution[first + n]), SEATS, tuple(_why_idle(q, cell)))
        for n, cell in enumerate(program.idle_cells)
        if solution[first + n] and q.tables.rule(cell).criticality in OPTIMISED
    )


class _Left:
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
            worked = cell if demand == OWN_WORK else q.demands[demand].cell
            self.agents[cell] -= count
            if (
                place != AT_HOME
                and q.tables.rule(worked).needs_desk
                and place != int(q.tables.cell_site[worked])
            ):
                self.desks[place] -= count
            elif place == AT_HOME and demand != OWN_WORK:
                self.telework[demand] -= count


def _why_unmet(program: Program, index: int, left: _Left) -> tuple[str, tuple[Reason, ...]]:
    q = program.quantities
    demand, tables = q.demands[index], q.tables
    cell = tables.cells[demand.cell]
    rule = tables.rule(demand.cell)
    able = tables.helpers[cell.metier]
    others = [(n, condition) for n, _, condition in able if n != demand.cell or q.displaced[n]]
    reasons: list[Reason] = list(_barred_by_condition(q, cell.metier))
    available = sum(
        q.displaced[n] + (q.releasable[n] if n != demand.cell else 0) for n, _ in others
    )
    if not tables.substitutions.get(cell.metier):
        reasons.insert(0, Reason("R1", {"metier": cell.metier}))
    if not available:
        return PEOPLE, (*reasons, Reason("all_at_minimum", {"metier": cell.metier}))
    moves = program.moves
    reasons += _back_soon(q, demand.cell)
    if not np.any(moves.demand == index):
        if not demand.own_site and not q.hosts(int(tables.cell_site[demand.cell]), rule.activity):
            return SEATS, (
                *reasons,
                Reason("no_host"),
                *_why_no_telework(q, demand.cell, demand.need),
            )
        return PEOPLE, (*reasons, Reason("R5", {"minutes": LONGEST_MIN}))
    hosts = (
        q.hosts(int(tables.cell_site[demand.cell]), rule.activity) if not rule.site_bound else ()
    )
    at_home = left.telework[index] > 0 and not any(left.agents[n] for n, _ in others)
    if (
        rule.needs_desk
        and not demand.own_site
        and not at_home
        and all(left.desks[h] <= 0 for h in hosts)
    ):
        return SEATS, (
            *reasons,
            Reason("no_desk" if hosts else "no_host"),
            *_why_no_telework(q, demand.cell, demand.need),
        )
    kept = sum(q.displaced[n] // KEPT for n, _ in others if n != demand.cell)
    return PEOPLE, (
        *reasons,
        Reason("taken", {"available": available}),
        *((Reason("R9", {"kept": kept}),) if kept else ()),
    )


def _back_soon(q: Quantities, cell: int) -> Iterator[Reason]:
    """Yield the announced return of a cell's site if it is too soon to send agents (D80)."""
    site, activity = q.tables.sites[int(q.tables.cell_site[cell])].id, q.tables.rule(cell).activity
    announced, horizon = q.situation.of(site).left_min, q.situation.horizon
    if announced is not None and q.situation.left_min(site, activity) < max(
        LONGEST_MIN + horizon.setup_min, horizon.home_min
    ):
        yield Reason("back_soon", {"minutes": announced})


def _barred_by_condition(q: Quantities, metier: str) -> Iterator[Reason]:
    """Yield the agents that R2 or R3 excludes from helping."""
    tables = q.tables
    allowed = {n for n, _, _ in tables.helpers[metier]}
    for line in tables.substitutions.get(metier, ()):
        if line.condition not in ("R2", "R3"):
            continue
        barred = sum(
            q.displaced[n] + q.releasable[n]
            for n, c in enumerate(tables.cells)
            if c.metier == line.by and n not in allowed
        )
        if barred:
            yield Reason(line.condition, {"by": line.by, "agents": barred})


def _why_no_telework(q: Quantities, cell: int, count: int) -> Iterator[Reason]:
    rule = q.tables.rule(cell)
    if not q.situation.telework:
        yield Reason("telework_off")
    elif not rule.needs_desk or not rule.tele_pct:
        yield Reason("no_telework", {"activity": rule.activity})
    elif rule.tele_pct < 100:
        yield Reason(
            "telework_limited", {"pct": rule.tele_pct, "agents": count * rule.tele_pct // 100}
        )


def _why_idle(q: Quantities, cell: int) -> Iterator[Reason]:
    rule = q.tables.rule(cell)
    if rule.site_bound:
        yield Reason("site_bound")
        return
    yield from _back_soon(q, cell)
    site = int(q.tables.cell_site[cell])
    hosts = [h for h in q.hosts(site, rule.activity) if q.tables.sites[h].kind in rule.home_kinds]
    near = [h for h in hosts if q.tables.ways(q.situation.transit).minutes[site, h] <= LONGEST_MIN]
    yield (
        Reason("no_desk")
        if near
        else Reason("R5", {"minutes": LONGEST_MIN})
        if hosts
        else Reason("no_host")
    )
    yield from _why_no_telework(q, cell, q.displaced[cell])

"""Turn a situation into a proposal: lines, their costs, and the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.continuity.reassignment.model.approved import Kept, bound
from services.continuity.reassignment.model.cohesion import groups_used
from services.continuity.reassignment.model.explain import (
    Gap,
    Reason,
    idle_gaps,
    reasons_of,
    unmet_gaps,
)
from services.continuity.reassignment.model.lexicographic import (
    COHESION,
    TIE_BREAK,
    Choice,
    solve_program,
    tie_breaks,
)
from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK, find_moves
from services.continuity.reassignment.model.previous import LineKey, PreviousLine
from services.continuity.reassignment.model.program import Level, Program, build
from services.continuity.reassignment.model.situation import Quantities, Situation
from services.continuity.reassignment.model.tables import Ints, Tables


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a solve.

    `tie_break` makes the same choice among equals as every other solver; `stability` weighs lines
    that people have seen (level K).
    """

    choice: Choice = Choice()
    stability: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """`count` agents that work at `key.place`; `approved` of them were decided before."""

    key: LineKey
    count: int
    approved: int
    criticality: int
    """Criticality of the work that they do."""
    tenths: int
    minutes: int
    grams: int
    why: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Best possible answer, with the first level that is not proved and its best known bound."""

    objective: Mapping[str, int]
    lines: tuple[Line, ...]
    unmet: tuple[Gap, ...]
    idle: tuple[Gap, ...]
    suspended: tuple[Gap, ...]
    kept: tuple[Kept, ...]
    """Fate of every approved line."""
    demand: int
    displaced: int
    groups: int
    open_level: str | None
    bound: float | None
    iterations: int


def solve(
    tables: Tables,
    situation: Situation,
    previous: Sequence[PreviousLine] = (),
    options: Options = Options(),
) -> Proposal:
    """Solve a situation, given earlier decisions. The same arguments give the same proposal."""
    quantities = Quantities(tables, situation)
    moves, bounds, kept = bound(
        quantities, find_moves(quantities), previous, stability=options.stability
    )
    program = build(quantities, moves, bounds)
    answer = solve_program(program, options.choice)
    return _proposal(
        program, answer.solution, kept, options, answer.open_level, answer.bound, answer.iterations
    )


def _proposal(
    program: Program,
    solution: Ints,
    kept: tuple[Kept, ...],
    options: Options,
    open_level: str | None,
    best: float | None,
    iterations: int,
) -> Proposal:
    q, moves = program.quantities, program.moves
    used = np.flatnonzero(solution[: len(moves)]).tolist()
    levels = program.values(solution)
    if not options.choice.solidarity:
        del levels[Level.S]
    objective = {level.value: value for level, value in levels.items()}
    groups = groups_used(program, solution)
    if options.choice.cohesion:
        objective[COHESION] = groups
    if options.choice.tie_break:
        objective[TIE_BREAK] = int(tie_breaks(program, solution > 0) @ solution)
    lines = sorted(
        (_line(program, n, int(solution[n])) for n in used), key=lambda line: line.key.fields()
    )
    return Proposal(
        objective,
        tuple(lines),
        unmet_gaps(program, solution),
        idle_gaps(program, solution),
        tuple(
            Gap.of(q, cell, count, "seats", (Reason("site_bound"),))
            for cell, count in sorted(q.suspended.items())
        ),
        kept,
        sum(d.need for d in q.demands),
        sum(q.displaced),
        groups,
        open_level,
        best,
        iterations,
    )


def _line(program: Program, n: int, count: int) -> Line:
    q, moves = program.quantities, program.moves
    worked = (
        int(moves.cell[n]) if moves.demand[n] == OWN_WORK else q.demands[int(moves.demand[n])].cell
    )
    return Line(
        moves.key(q.tables, q, n),
        count,
        int(program.bounds.floor[n]),
        q.tables.rule(worked).criticality,
        int(moves.tenths[n]),
        int(moves.minutes[n]),
        int(moves.grams[n]),
        reasons_of(program, n, at_home=moves.place[n] == AT_HOME),
    )

"""Turn a situation into a proposal: lines, their costs, and the gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.continuity.reassignment.model.approved import KeptLine, compute_bounds
from services.continuity.reassignment.model.cohesion import count_used_groups
from services.continuity.reassignment.model.explain import (
    LineReason,
    StaffGap,
    explain_line,
    list_idle_gaps,
    list_unmet_gaps,
)
from services.continuity.reassignment.model.lexicographic import (
    COHESION,
    TIE_BREAK,
    SolveChoice,
    build_tie_break_costs,
    solve_program,
)
from services.continuity.reassignment.model.moves import (
    AT_HOME,
    OWN_WORK,
    LineKey,
    PreviousLine,
    find_moves,
)
from services.continuity.reassignment.model.program import ObjectiveLevel, Program, build_program
from services.continuity.reassignment.model.situation import ModelSituation, Quantities
from services.continuity.reassignment.model.tables import Ints, ReferenceTables


@dataclass(frozen=True, slots=True)
class SolveOptions:
    """Options of a solve.

    `tie_break` makes the same choice among equals as every other solver; `stability` weighs lines
    that people have seen (level K).
    """

    choice: SolveChoice = SolveChoice()
    stability: bool = True


@dataclass(frozen=True, slots=True)
class ProposedLine:
    """`count` agents that work at `key.place`; `approved_count` of them were decided before."""

    key: LineKey
    count: int
    approved_count: int
    criticality: int
    """Criticality of the work that they do."""
    tenths: int
    minutes: int
    grams: int
    why: tuple[LineReason, ...]


@dataclass(frozen=True, slots=True)
class SolvedProposal:
    """Best possible answer, with the first level that is not proved and its best known bound."""

    objective: Mapping[str, int]
    lines: tuple[ProposedLine, ...]
    unmet: tuple[StaffGap, ...]
    idle: tuple[StaffGap, ...]
    staff_gaps: tuple[StaffGap, ...]
    kept_lines: tuple[KeptLine, ...]
    """Fate of every approved line."""
    demand: int
    displaced_count: int
    groups: int
    open_level: str | None
    best_bound: float | None
    iterations: int


def solve_situation_program(
    tables: ReferenceTables,
    situation: ModelSituation,
    previous: Sequence[PreviousLine] = (),
    options: SolveOptions = SolveOptions(),
) -> SolvedProposal:
    """Solve a situation, given earlier decisions. The same arguments give the same proposal."""
    quantities = Quantities(tables, situation)
    moves, bounds, line_fates = compute_bounds(
        quantities, find_moves(quantities), previous, stability=options.stability
    )
    program = build_program(quantities, moves, bounds)
    answer = solve_program(program, options.choice)
    return _build_proposal(
        program,
        answer.solution,
        line_fates,
        options,
        answer.open_level,
        answer.best_bound,
        answer.iterations,
    )


def _build_proposal(
    program: Program,
    solution: Ints,
    approved_lines: tuple[KeptLine, ...],
    options: SolveOptions,
    open_level: str | None,
    best: float | None,
    iterations: int,
) -> SolvedProposal:
    q, moves = program.quantities, program.moves
    used = np.flatnonzero(solution[: len(moves)]).tolist()
    levels = program.values(solution)
    if not options.choice.solidarity:
        del levels[ObjectiveLevel.S]
    objective = {level.value: value for level, value in levels.items()}
    groups = count_used_groups(program, solution)
    if options.choice.cohesion:
        objective[COHESION] = groups
    if options.choice.tie_break:
        objective[TIE_BREAK] = int(build_tie_break_costs(program, solution > 0) @ solution)
    lines = sorted(
        (_build_line(program, n, int(solution[n])) for n in used),
        key=lambda line: line.key.fields(),
    )
    return SolvedProposal(
        objective,
        tuple(lines),
        list_unmet_gaps(program, solution),
        list_idle_gaps(program, solution),
        tuple(
            StaffGap.of(q, cell, count, "seats", (LineReason("site_bound"),))
            for cell, count in sorted(q.suspended.items())
        ),
        approved_lines,
        sum(d.need for d in q.demands),
        sum(q.displaced),
        groups,
        open_level,
        best,
        iterations,
    )


def _build_line(program: Program, n: int, count: int) -> ProposedLine:
    q, moves = program.quantities, program.moves
    work_cell = (
        int(moves.cell[n]) if moves.demand[n] == OWN_WORK else q.demands[int(moves.demand[n])].cell
    )
    return ProposedLine(
        moves.key(q.tables, q, n),
        count,
        int(program.bounds.floor[n]),
        q.tables.rule(work_cell).criticality,
        int(moves.tenths[n]),
        int(moves.minutes[n]),
        int(moves.grams[n]),
        explain_line(program, n, at_home=moves.place[n] == AT_HOME),
    )

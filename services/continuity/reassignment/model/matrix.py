"""Arrays of a program for a solver: its matrix by columns, and the limits of columns and rows."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.program import NO_LIMIT, Program
from services.continuity.reassignment.model.tables import Ints

Reals = NDArray[np.float64]


class ProgramMatrix:
    """Nonzero entries in the order of their columns."""

    def __init__(self, program: Program) -> None:
        none = np.zeros(0, dtype=np.int64)
        parts = [
            row.columns if row.minus is None else np.append(row.columns, row.minus)
            for row in program.rows
        ]
        columns = np.concatenate([none, *parts])
        order = np.argsort(columns, kind="stable")
        values = np.ones(len(columns))
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        values[
            [
                end - 1
                for end, row in zip(ends.tolist(), program.rows, strict=True)
                if row.minus is not None
            ]
        ] = -1.0
        self._columns = columns[order]
        self._rows = np.repeat(
            np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]
        )[order]
        self._values = values[order]
        self._starts = np.searchsorted(self._columns, np.arange(program.size + 1))

    def of(self, columns: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32], Reals]:
        """Return starts, row indices and values of some columns, in the form of HiGHS.

        There is one start more than there are columns.
        """
        begin, end = self._starts[columns], self._starts[columns + 1]
        starts = np.append(0, np.cumsum(end - begin))
        entries = np.repeat(begin - starts[:-1], end - begin) + np.arange(starts[-1])
        return starts.astype(np.int32), self._rows[entries], self._values[entries]

    def compute_reduced_costs(self, cost: Reals, duals: Reals) -> Reals:
        """Compute the reduced costs of all columns from the duals of the rows."""
        return cost - np.bincount(
            self._columns, weights=self._values * duals[self._rows], minlength=len(cost)
        )


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Limits of columns and rows; infinite if there is no limit."""

    lower: Reals
    upper: Reals
    row_lower: Reals
    row_upper: Reals

    @classmethod
    def of_program(cls, program: Program) -> ProgramLimits:
        row_lower = np.array([row.lower for row in program.rows], dtype=np.int64)
        row_upper = np.array([row.upper for row in program.rows], dtype=np.int64)
        return cls(
            _convert_to_reals(program.lower),
            _convert_to_reals(program.upper),
            _convert_to_reals(row_lower),
            _convert_to_reals(row_upper),
        )

    @property
    def open(self) -> NDArray[np.bool_]:
        """Columns that may take more than one value."""
        return self.lower < self.upper

    def hold(self, columns: NDArray[np.bool_], values: Reals) -> None:
        """Fix these columns at their values."""
        self.lower[columns] = self.upper[columns] = values[columns]

    def hold_rows(self, rows: NDArray[np.int32], sums: Reals) -> Reals:
        """Fix these rows at the limit nearer to their sum, and return that limit."""
        lower, upper = self.row_lower[rows], self.row_upper[rows]
        side = np.where(np.abs(sums[rows] - lower) <= np.abs(sums[rows] - upper), lower, upper)
        self.row_lower[rows] = self.row_upper[rows] = side
        return side


def _convert_to_reals(values: Ints) -> Reals:
    reals = values.astype(np.float64)
    reals[values >= NO_LIMIT] = highspy.kHighsInf
    reals[values <= -NO_LIMIT] = -highspy.kHighsInf
    return reals

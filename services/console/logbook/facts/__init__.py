"""Logbook lines of each fact: which values are stored, and the sentence that shows them. Rule D55.

The modules of this folder are found by themselves: the line of a new fact is two functions and one
row of `LINES` in one of them, or in a new one. A fact without a row appears through others:
CommandApplied through its effects, and so on. Pure.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from services.console.logbook.facts.base import LineType


@cache
def load_line_types() -> Mapping[str, LineType]:
    """Load the lines of all modules by fact. Raises ValueError if two have the same fact."""
    line_types: dict[str, LineType] = {}
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        rows = getattr(importlib.import_module(info.name), "LINES", {})
        if twins := line_types.keys() & rows.keys():
            raise ValueError(f"{info.name}: another line tells {', '.join(sorted(twins))}")
        line_types |= rows
    return line_types

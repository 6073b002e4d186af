"""How what a command shows goes to a terminal, or past one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from services.runtime.http.control_characters import show_plain

PIPED_COLUMNS: Final = 200
"""In a file or a pipe an identifier stays in one piece."""
IDENTIFIER: Final = "Identifiant"
"""The column that is copied into the next command: it is never broken."""
READABLE: Final = 12
"""Letters of a word that a column of a table shows in one piece, at least."""


def plain(text: str) -> str:
    """Return words that somebody else wrote without controls. Markup of rich is not looked for (`console`)."""
    return show_plain(text)


def console(*, markup: bool = False, **options: Any) -> Console:
    """Takes no word for markup or a picture: a headline that held `[/x]` ended the command, `:warning:` became another sign.

    `markup`: for a command that marks its own words, and escapes those of others.
    """
    return Console(
        width=None if sys.stdout.isatty() else PIPED_COLUMNS, markup=markup, emoji=False, **options
    )


def in_columns(heading: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table, or one below the other, without what is empty, where the terminal is too narrow to read them side by side."""
    shown = console()
    if (
        shown.width
        < sum(_needed(name, [row[at] for row in rows]) + 3 for at, name in enumerate(names)) + 1
    ):
        _below_each_other(shown, heading, names, rows)
        return
    table = Table(title=heading, title_justify="left")
    for at, name in enumerate(names):
        table.add_column(
            name,
            overflow="fold",
            no_wrap=name == IDENTIFIER,
            min_width=_needed(name, [row[at] for row in rows]),
        )
    for row in rows:
        table.add_row(*row)
    shown.print(table)


def _needed(name: str, cells: Sequence[str]) -> int:
    """Letters that a column must have to be read."""
    longest = max((len(word) for cell in (name, *cells) for word in cell.split()), default=0)
    return longest if name == IDENTIFIER else min(longest, READABLE)


def _below_each_other(
    shown: Console, heading: str, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    shown.print(heading)
    for row in rows:
        shown.print()
        part = Table.grid(padding=(0, 1))
        part.add_column(no_wrap=True)
        part.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            if cell:
                part.add_row(f"{name}\u00a0:", cell)
        shown.print(part)

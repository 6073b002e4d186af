"""Create groups of commands, and print their output to a terminal, file or pipe."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Timer
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from services.runtime.http.control_characters import replace_control_characters

PIPED_COLUMNS: Final = 200
"""Width for files and pipes, so that identifiers stay in one piece."""
IDENTIFIER: Final = "Identifiant"
"""Column with ids to copy into the next command; it is never broken."""
PROGRESS_AFTER_S: Final = 1.0
"""Time after which a step says that it runs; a quick one stays silent."""
_is_progress_shown: Final = ContextVar("is_progress_shown", default=False)
MIN_WORD_CHARACTERS: Final = 12
"""Least characters of a word that a table column shows in one piece."""


def create_group(help: str) -> typer.Typer:
    """Return a group of commands, which prints its help if no command is named."""
    return typer.Typer(
        help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )


@contextmanager
def reserve_progress() -> Iterator[None]:
    """Keep inner steps silent, because a progress bar of their caller is on the terminal."""
    token = _is_progress_shown.set(True)
    try:
        yield
    finally:
        _is_progress_shown.reset(token)


@contextmanager
def show_progress(text: str, after_s: float = PROGRESS_AFTER_S) -> Iterator[None]:
    """Show on the terminal that a slow step runs; nothing in a pipe, a file or with `--json`.

    A step within another one stays silent.
    """
    if _is_progress_shown.get() or not sys.stderr.isatty() or "--json" in sys.argv:
        yield
        return
    status = Console(stderr=True, emoji=False, markup=False).status(text)
    timer = Timer(after_s, status.start)
    timer.daemon = True
    timer.start()
    try:
        with reserve_progress():
            yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def strip_controls(text: str) -> str:
    """Remove control characters from foreign text.

    Markup of rich is left; `console` ignores it.
    """
    return replace_control_characters(text)


def print_json(document: Any) -> None:
    """Print one JSON document on one line."""
    typer.echo(json.dumps(document, ensure_ascii=False))


def open_console(*, markup: bool = False, **options: Any) -> Console:
    """Open a console that interprets neither markup nor emoji.

    A headline with `[/x]` would end the command, `:warning:` would become another character.
    `markup`: for a command that marks up its own text and escapes foreign text.
    """
    return Console(
        width=None if sys.stdout.isatty() else PIPED_COLUMNS, markup=markup, emoji=False, **options
    )


def print_rows(heading: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table, or below each other if the terminal is too narrow.

    Below each other, empty cells are left out. Foreign text loses its control characters.
    """
    heading, rows = (
        strip_controls(heading),
        [[strip_controls(cell) for cell in row] for row in rows],
    )
    console = open_console()
    if (
        console.width
        < sum(_needed_width(name, [row[at] for row in rows]) + 3 for at, name in enumerate(names))
        + 1
    ):
        _print_below_each_other(console, heading, names, rows)
        return
    table = Table(title=heading, title_justify="left")
    for at, name in enumerate(names):
        table.add_column(
            name,
            overflow="fold",
            no_wrap=name == IDENTIFIER,
            min_width=_needed_width(name, [row[at] for row in rows]),
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _needed_width(name: str, cells: Sequence[str]) -> int:
    """Return the width that a column needs."""
    longest = max((len(word) for cell in (name, *cells) for word in cell.split()), default=0)
    return longest if name == IDENTIFIER else min(longest, MIN_WORD_CHARACTERS)


def _print_below_each_other(
    console: Console, heading: str, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    console.print(heading)
    for row in rows:
        console.print()
        part = Table.grid(padding=(0, 1))
        part.add_column(no_wrap=True)
        part.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            if cell:
                part.add_row(f"{name}\u00a0:", cell)
        console.print(part)

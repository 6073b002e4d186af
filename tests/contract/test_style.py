"""The style check refuses riddles in names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import style

NAMES = """
def test_nobody_is_told_of_it() -> None: ...
def test_who_calls_is_recorded() -> None: ...
def test_it_runs() -> None: ...
def test_a_what_if_gives_every_fact_again() -> None: ...
def test_withdrawn_messages_leave_the_queue() -> None: ...
def build_what_if() -> None:
    '''Build a what-if run.'''
"""

LOCALS = """
class Row:
    held: int

def build_row(rows):
    '''Build a row.'''
    found = rows[0]
    for told in rows:
        row = told
    return found, row
"""

BLOCKS = """
try:
    def test_it_runs() -> None: ...
except ValueError:
    def test_it_fails() -> None: ...
else:
    def test_it_ends() -> None: ...
finally:
    match 1:
        case 1:
            def test_it_stops() -> None: ...
"""


def test_a_riddle_in_the_name_of_a_test_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "ROOT", tmp_path)
    file = tmp_path / "test_names.py"
    file.write_text(NAMES, encoding="utf-8")
    refused = [b.text for b in style.find_breaches(file) if b.rule == "name"]
    assert refused == ["test_nobody_is_told_of_it", "test_who_calls_is_recorded", "test_it_runs"]


def test_a_definition_in_any_block_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "ROOT", tmp_path)
    file = tmp_path / "test_blocks.py"
    file.write_text(BLOCKS, encoding="utf-8")
    refused = {b.text for b in style.find_breaches(file) if b.rule == "name"}
    assert refused == {"test_it_runs", "test_it_fails", "test_it_ends", "test_it_stops"}


def test_a_local_variable_named_by_a_participle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "ROOT", tmp_path)
    file = tmp_path / "locals.py"
    file.write_text(LOCALS, encoding="utf-8")
    assert [b.text for b in style.find_breaches(file) if b.rule == "local"] == ["found", "told"]

"""Counts of agents of one métier on the terminal. Rule D58."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.crisis import contingency, reassignment


def _write(count: int) -> dict[str, Any]:
    """Return a proposal with one line, and one gap, of this many agents."""
    line = {
        "from": {"site": "pmi-04", "activity": "SOL-02"},
        "to": {"site": "sst-06", "activity": "SOL-01"},
        "metier": "puer",
        "count": count,
        "score": {"minutes": 20},
        "why": [],
    }
    gap = {"metier": "puer", "count": count, "activity": "SOL-01", "site": "sst-06"}
    gap |= {"missing": "people", "why": [], "outside_help": []}
    return {
        "objective": {},
        "solve_s": 1,
        "proved": True,
        "lines": [line],
        "unmet": [gap],
    }


@pytest.mark.parametrize(("count", "shown"), [(1, "< 3"), (2, "< 3"), (3, "3")])
def test_the_terminal_shows_no_small_count_of_one_metier(
    capsys: pytest.CaptureFixture[str], count: int, shown: str
) -> None:
    """D58: pages hid it, the commands did not."""
    names: Any = SimpleNamespace(metier=lambda *_: "puéricultrice")
    reassignment._show_proposal("essai", _write(count), names)
    text = capsys.readouterr().out
    assert f"manque\u00a0: {shown} puéricultrice" in text
    assert f" {shown} " in next(row for row in text.splitlines() if "pmi-04" in row)
    gap = {"count": count, "metier_name": "puéricultrice", "activity": "SOL-01"}
    contingency._show_losses([{"sites": ["pmi-04"], "unmet": {"U1": 1}, "gaps": [gap]}])
    assert f"{shown} puéricultrice" in capsys.readouterr().out

"""Situations and earlier proposals as files: read, or refused with the place."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.continuity.reassignment.model.files import (
    FileInvalid,
    dump_proposal,
    read_previous,
    read_situation,
)
from services.continuity.reassignment.model.plan import solve_situation_program
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.unit.continuity.reassignment.cases import cell, rule, site, small

META = [{"id": "X", "elapsed_h": 1, "transit": 1, "tele": 1}]
ROWS = "situation,site_id,staff_pct,seat_pct,host_ok\nX,a,100,0,0\n"


def territory() -> ReferenceTables:
    return small(
        [site("a"), site("b", 500), site("c", 3_000)],
        [rule("SOL-04", 2, tele_pct=50), rule("RHF-01", 3, release_pct=100)],
        [
            cell("a", "SOL-04", "infirmier", 6, 4),
            cell("b", "SOL-04", "comptable", 1),
            cell("c", "RHF-01", "infirmier", 3),
        ],
    )


def document() -> Any:
    proposal = solve_situation_program(
        territory(), ModelSituation({"a": SiteCapacityState(100, 0, False)})
    )
    return json.loads(json.dumps(dump_proposal(proposal, {}, 0.0)))


def test_a_proposal_is_read_back_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "proposal.json"
    file.write_text(json.dumps(document()))
    now = ModelSituation({"a": SiteCapacityState(100, 0, False)})
    proposal = solve_situation_program(territory(), now)
    read = read_previous(file, territory())
    assert [(line.key, line.count, line.is_approved) for line in read] == [
        (line.key, line.count, True) for line in proposal.lines
    ]
    assert all(
        k.count == k.before for k in solve_situation_program(territory(), now, read).kept_lines
    )


def test_a_table_written_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """It begins with a byte order mark: the first column seemed to be missing."""
    rows, meta = tmp_path / "situations.csv", tmp_path / "situations.json"
    rows.write_text(ROWS, encoding="utf-8-sig")
    meta.write_text(json.dumps(META), encoding="utf-8-sig")
    assert read_situation(rows, meta, "X", territory()).sites == {
        "a": SiteCapacityState(100, 0, False)
    }


def _said(tmp_path: Path, place: str, value: Any) -> str:
    """Return the complaint about a proposal with another second line at a place (`to.site`)."""
    text, file = document(), tmp_path / "proposal.json"
    *outer, last = place.split(".")
    inside = text["lines"][1]
    for name in outer:
        inside = inside[name]
    inside[last] = value
    file.write_text(json.dumps(text))
    with pytest.raises(FileInvalid) as failure:
        read_previous(file, territory())
    return str(failure.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("from.site", ["a"], "line 2: sites, activities and métiers are words"),
        ("from.metier", {"a": 1}, "line 2: sites, activities and métiers are words"),
        ("to.site", 5, "line 2: sites, activities and métiers are words"),
        ("from.site", "z", "line 2: no agents of infirmier for SOL-04 at z"),
        ("from", None, "line 2 is not a line of a proposal"),
        ("supply", "lent", "line 2 is not a line of a proposal"),
        ("count", 10**30, "line 2: count is a whole number up to 1000000"),
        ("count", -1, "line 2: count is a whole number"),
        ("count", 1.5, "line 2: count is a whole number"),
        (
            "state",
            "perhaps",
            "line 2: count is a whole number up to 1000000, state is approved or proposed",
        ),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, place: str, value: Any, says: str) -> None:
    assert _said(tmp_path, place, value).startswith(says)


ODD = (
    None,
    True,
    -1,
    0,
    3,
    10**30,
    1 << 41,
    1.5,
    float("nan"),
    "",
    [],
    {},
    ["a"],
    {"a": 1},
    "a",
    "b",
    "telework",
    "proposed",
    "spare",
)


def test_lines_of_any_values_are_solved_or_refused(tmp_path: Path) -> None:
    random, sound, refusals = Random(20261126), document(), []
    tables, now, file = (
        territory(),
        ModelSituation({"a": SiteCapacityState(100, 0, False)}),
        tmp_path / "proposal.json",
    )
    for _ in range(400):
        text = json.loads(json.dumps(sound))
        line = random.choice(text["lines"])
        inside = random.choice((line, line, line["from"], line["to"]))
        inside[random.choice(list(inside))] = random.choice(ODD)
        line.setdefault("state", random.choice(("approved", "proposed")))
        file.write_text(json.dumps(text))
        try:
            solve_situation_program(tables, now, read_previous(file, tables))
        except FileInvalid as refused:
            refusals.append(str(refused))
    assert all(word.startswith(f"{file}: line ") for word in refusals)
    assert 100 < len(refusals) < 380


@pytest.mark.parametrize(
    ("rows", "meta", "says"),
    [
        (ROWS, "[" * 5000, "meta.json: "),
        (
            ROWS,
            json.dumps([{**META[0], "elapsed_h": float("nan")}]),
            "meta.json: X: elapsed_h is a number",
        ),
        (
            ROWS,
            json.dumps([{**META[0], "elapsed_h": float("inf")}]),
            "meta.json: X: elapsed_h is a number",
        ),
        (
            ROWS,
            json.dumps([{**META[0], "transit": [1]}]),
            "meta.json: X: elapsed_h is a number, transit and tele are 0 or 1",
        ),
        (ROWS, "{}", "meta.json: no entry with the id 'X'"),
        (ROWS + "X,nowhere,100,0,0\n", json.dumps(META), "rows.csv:3: no site 'nowhere'"),
        (ROWS + "X,a,100,0,0\n", json.dumps(META), "rows.csv:3: site 'a' stands twice"),
        (ROWS + "X,b,-1,0,0\n", json.dumps(META), "rows.csv:3: percentages are 0 to 100"),
        (
            ROWS + "X,b\n",
            json.dumps(META),
            "rows.csv:3: staff_pct, seat_pct and host_ok are whole numbers",
        ),
        ("situation,site_id\n", json.dumps(META), "rows.csv: the columns are situation, site_id"),
        (ROWS + '"' + "x" * 200_000, json.dumps(META), "rows.csv: "),
    ],
)
def test_an_unreadable_situation_is_named(tmp_path: Path, rows: str, meta: str, says: str) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(FileInvalid) as failure:
        read_situation(tmp_path / "rows.csv", tmp_path / "meta.json", "X", territory())
    assert says in str(failure.value)

"""Whole scenarios: nobody is proposed a journey out of danger's way (D78)."""

from __future__ import annotations

from schemas import reassignment as m
from schemas.base import MINUTE_MS
from tests.scenarios.memory import MemoryPlayer, played_to, scenario

CONFINED = "clg-0921494Z"
"""S20: shelters from T+4, is evacuated at T+9, and everybody is found at T+38, told at T+40."""


def lines(player: MemoryPlayer) -> list[tuple[float, m.LineRow]]:
    """Every line that was proposed, with its minute."""
    records = [
        f
        for f in player.system.facts(player.realm, ["continuity"])
        if f.name == "ProposalLinesRecorded"
    ]
    told = [(f.at, f.message()) for f in records]
    start = scenario("S20").start
    return [
        ((at - start) / MINUTE_MS, line)
        for at, fact in told
        if isinstance(fact, m.ProposalLinesRecorded)
        for line in fact.row.lines
    ]


def test_nobody_leaves_the_college_beside_the_gas_leak_before_all_are_found() -> None:
    found = [
        (at, line)
        for at, line in lines(played_to("S20", 120, planner=True))
        if CONFINED in (line.site, line.place, line.need_site)
    ]
    assert [at for at, _ in found if at < 45] == []

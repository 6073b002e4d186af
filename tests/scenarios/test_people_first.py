"""No scenario proposes a journey out of a danger zone (D78)."""

from __future__ import annotations

from schemas import reassignment as m
from schemas.base import MINUTE_MS
from tests.scenarios.memory import MemoryPlayer, played_to, scenario

CONFINED = "clg-0921494Z"
"""Minutes of S20: shelter from T+4, evacuation at T+9, all found at T+38, reported at T+40."""


def lines(player: MemoryPlayer) -> list[tuple[float, m.LineRow]]:
    """List every proposed line with its minute."""
    records = [
        f
        for f in player.system.facts(player.realm, ["continuity"])
        if f.name == "ProposalLinesRecorded"
    ]
    timed_facts = [(f.at, f.message()) for f in records]
    start = scenario("S20").start
    return [
        ((at - start) / MINUTE_MS, line)
        for at, fact in timed_facts
        if isinstance(fact, m.ProposalLinesRecorded)
        for line in fact.row.lines
    ]


def test_no_agent_leaves_the_college_beside_the_gas_leak_before_all_are_found() -> None:
    departures = [
        (at, line)
        for at, line in lines(played_to("S20", 120, planner=True))
        if CONFINED in (line.site, line.place, line.need_site)
    ]
    assert [at for at, _ in departures if at < 45] == []

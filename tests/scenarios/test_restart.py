"""A service that restarts from its snapshot decides as if it had never stopped."""

from __future__ import annotations

import json

import pytest

from services.runtime.log.transaction import FactRecord
from tests.scenarios.memory import MemoryPlayer, scenario

REALM = "92~ex-restart"


def as_text(facts: list[FactRecord]) -> list[str]:
    return [json.dumps([f.name, f.at, f.id, f.data], sort_keys=True) for f in facts]


@pytest.mark.parametrize("name", ["S02", "S04", "S11"])
def test_a_restart_in_the_middle_of_a_scenario_changes_no_fact(name: str) -> None:
    player = MemoryPlayer(scenario(name), REALM)
    start, end = player.played.start, player.played.end
    middle = start + (end - start) // 2
    player.play(middle)
    restarted_player = player.copy()
    for service in restarted_player.system.services.values():
        service.restart(REALM)
    for one in (player, restarted_player):
        one.play_on(middle, end)
    assert as_text(restarted_player.system.facts(REALM)) == as_text(player.system.facts(REALM))

"""An action through all deciders: the messages go out, people answer them, and it climbs (D87)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.actions import ActionRow, RequestAction
from schemas.base import MINUTE_MS
from schemas.words import ActionState
from services.simulation.scenarios import Scenario
from tests.scenarios.memory import MemoryPlayer

START = 1_802_335_200_000
ROLE = "cellule_logistique"
HOLDER = "cel-logistique"


def _play(responders: tuple[dict[str, Any], ...], minutes: int) -> tuple[MemoryPlayer, ActionRow]:
    """Ask for an action that is due in an hour, and play so many minutes."""
    player = MemoryPlayer(Scenario("A", "", START, ()), "92~ex-actions", responders=responders)
    request = RequestAction(
        author="p-cell",
        role="cell",
        text_id="t-1",
        assignee=ROLE,
        due_at=START + 60 * MINUTE_MS,
    )
    player.system.step(player.realm, START)
    player.system.feed("alerts", player.realm, request, id="ask", at=START)
    player.system.step(player.realm, START + minutes * MINUTE_MS)
    (action,) = player.system.services["alerts"].state(player.realm).actions.values()
    return player, action


def _called(player: MemoryPlayer) -> list[tuple[str, str]]:
    rows = player.system.services["delivery"].state(player.realm).notifications.values()
    return [(n.template, n.role) for n in sorted(rows, key=lambda n: n.planned_at)]


def test_a_person_accepts_by_the_message_and_says_later_that_it_is_done() -> None:
    player, action = _play(({"person": HOLDER, "answer": "ack", "after_s": 300},), 90)
    assert action.state is ActionState.DONE
    assert (action.accepted_by, action.accepted_at) == (HOLDER, START + 5 * MINUTE_MS)
    assert (action.ended_by, action.ended_at) == (HOLDER, START + 65 * MINUTE_MS)
    assert {("action_request", ROLE), ("action_due", ROLE)} <= {*_called(player)}


@pytest.mark.parametrize(
    ("responders", "minutes"), [((), 75), (({"role": ROLE, "outcome": "failed"},), 20)]
)
def test_without_an_answer_or_a_channel_that_works_the_pilot_is_called(
    responders: tuple[dict[str, Any], ...], minutes: int
) -> None:
    """Nobody answers until it is late; or no message arrives, and it climbs long before that."""
    player, action = _play(responders, minutes)
    assert action.state is ActionState.REQUESTED
    assert ("action_overdue", "coordinateur_pca") in _called(player)

"""An action passes all deciders: messages leave, people answer, and it escalates (D87)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import MINUTE_MS
from schemas.crisis.actions import ActionRow, RequestAction
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
        author="p-cell", role="cell", text_id="t-1", assignee=ROLE, due_at=START + 60 * MINUTE_MS
    )
    player.system.step(player.realm, START)
    player.system.feed("alerts", player.realm, request, id="ask", at=START)
    player.system.step(player.realm, START + minutes * MINUTE_MS)
    (action,) = player.system.services["alerts"].state(player.realm).actions.values()
    return player, action


def _called(player: MemoryPlayer) -> list[tuple[str, str]]:
    rows = player.system.services["delivery"].state(player.realm).notifications.values()
    return [(n.template, n.role) for n in sorted(rows, key=lambda n: n.planned_at)]


def test_a_person_accepts_an_action_by_message_and_reports_its_end_later() -> None:
    player, action = _play(({"person": HOLDER, "answer": "ack", "after_s": 300},), 90)
    assert action.state is ActionState.DONE
    assert (action.accepted_by, action.accepted_at) == (HOLDER, START + 5 * MINUTE_MS)
    assert (action.ended_by, action.ended_at) == (HOLDER, START + 65 * MINUTE_MS)
    assert {("action_request", ROLE), ("action_due", ROLE)} <= {*_called(player)}


@pytest.mark.parametrize(
    ("responders", "minutes"), [((), 75), (({"role": ROLE, "outcome": "failed"},), 20)]
)
def test_an_action_without_an_answer_or_a_channel_calls_the_pilot(
    responders: tuple[dict[str, Any], ...], minutes: int
) -> None:
    """Unanswered, it escalates when late; without a channel, long before that."""
    player, action = _play(responders, minutes)
    assert action.state is ActionState.REQUESTED
    assert ("action_overdue", "coordinateur_pca") in _called(player)

"""Called people without an answer learn that the call is no longer needed."""

from __future__ import annotations

import pytest

from schemas.calling import NotificationWithdrawn
from schemas.delivery import NotificationRow
from schemas.words import Answer, Channel
from tests.unit.delivery.desk import Desk, desk

VALUES = {"kind": "power", "number": "n"}


def called(
    d: Desk, id: str = "n1", channels: tuple[Channel, ...] = (Channel.SMS, Channel.VOICE)
) -> None:
    """Build a call that a provider accepted."""
    d.plan(id, channels, escalation="e1", incident="i1", values=VALUES)
    d.claim(id=id)
    d.outcome("accepted", id=id)


def end(d: Desk, why: str, id: str = "n1") -> None:
    d.tell(NotificationWithdrawn(notification=id, why=why))


def news(d: Desk) -> list[NotificationRow]:
    return [row for row in d.state.notifications.values() if row.template == "withdrawn"]


@pytest.mark.parametrize("why", ["closed", "level_lowered", "maintenance", "inhibited", "joined"])
def test_called_people_learn_the_end_and_its_reason(why: str) -> None:
    d = desk()
    called(d)
    end(d, why)
    (notice,) = news(d)
    assert (notice.person, notice.incident, notice.answer_expected) == ("dgs", "i1", False)
    assert notice.values == VALUES | {"end": why}


def test_the_end_is_never_sent_by_telephone() -> None:
    d = desk()
    called(d, channels=(Channel.VOICE, Channel.SMS))
    end(d, "closed")
    assert Channel.VOICE not in news(d)[0].channels


def test_people_with_only_a_telephone_are_called() -> None:
    d = desk(channels=("voice",))
    called(d, channels=(Channel.VOICE,))
    end(d, "closed")
    assert news(d)[0].channels == (Channel.VOICE,)


def test_people_never_reached_get_no_notice_of_the_end() -> None:
    d = desk()
    d.plan("n1", escalation="e1", values=VALUES)
    end(d, "closed")
    assert d.row().state == "withdrawn"
    assert not news(d)


@pytest.mark.parametrize("retry", [False, True])
def test_a_call_that_failed_on_all_channels_leaves_no_notice_of_the_end(retry: bool) -> None:
    """They read «appel sans objet» without a call before."""
    d = desk(channels=("sms",))
    d.plan("n1", escalation="e1", values=VALUES)
    d.claim()
    d.outcome("failed", retry=retry)
    end(d, "closed")
    assert not news(d)


@pytest.mark.parametrize("outcome", ["ambiguous", None])
def test_people_perhaps_reached_learn_the_end(outcome: str | None) -> None:
    d = desk()
    d.plan("n1", escalation="e1", values=VALUES)
    d.claim()
    if outcome is not None:
        d.outcome(outcome)
    end(d, "closed")
    assert len(news(d)) == 1


def test_people_with_an_answer_get_no_notice_of_the_end() -> None:
    d = desk()
    called(d)
    d.answer(Answer.ACK)
    end(d, "closed")
    assert not news(d)


@pytest.mark.parametrize("why", ["superseded", "merged", "person_gone"])
def test_another_call_takes_the_place_of_one_that_is_replaced(why: str) -> None:
    d = desk()
    called(d)
    end(d, why)
    assert not news(d)


def test_people_called_in_several_cycles_get_one_notice() -> None:
    d = desk()
    called(d, "n1")
    d.wait(900)
    called(d, "n2")
    end(d, "closed", "n1")
    end(d, "closed", "n2")
    assert len(news(d)) == 1

"""Keys of deadlines are typed values with one text, which logs and snapshots hold for ever."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schemas.words import Channel
from services.delivery.deadlines import (
    KEYS,
    AttemptDue,
    CallOutDue,
    ChannelFree,
    DeliveryDeadline,
    HeldMessageDue,
    HoldEnds,
    LaterMessageDue,
    OutcomeLost,
)
from services.runtime.decider.protocol import DeadlineKey, DeadlineKeys, Deadlines


@dataclass(frozen=True, slots=True)
class Boundary(DeadlineKey, head="boundary"):
    thing: str
    at: int


@dataclass(frozen=True, slots=True)
class SameHead(DeadlineKey, head="boundary"):
    thing: str


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (HoldEnds(), "hold"),
        (AttemptDue("n-1", 2), "attempt/n-1/2"),
        (HeldMessageDue("n-1"), "held/n-1"),
        (OutcomeLost("n-1"), "loss/n-1"),
        (LaterMessageDue("n-1"), "later/n-1"),
        (ChannelFree(Channel.SMS), "pace/sms"),
        (CallOutDue("c-1", "progress"), "callout/c-1/progress"),
    ],
)
def test_deadlines_of_delivery_keep_their_text(key: DeliveryDeadline, text: str) -> None:
    assert str(key) == text
    assert KEYS.parse(text) == key


def test_only_the_first_field_may_contain_the_separator() -> None:
    key = Boundary("a:b", 7)
    assert DeadlineKeys(Boundary).parse(str(key)) == key


@pytest.mark.parametrize("text", ["elsewhere:x:1", "boundary:x:noon", "boundary:x", ""])
def test_a_text_of_no_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        DeadlineKeys(Boundary).parse(text)


def test_two_kinds_cannot_share_a_head() -> None:
    with pytest.raises(ValueError, match="same head"):
        DeadlineKeys[DeadlineKey](Boundary, SameHead)


def test_deadlines_are_armed_and_disarmed_by_typed_keys() -> None:
    armed = Deadlines().arm(Boundary("a", 7), 10)
    assert armed.due_of(Boundary("a", 7)) == 10
    assert armed.due_of(Boundary("a", 8)) is None
    first = armed.first()
    assert first is not None
    assert (first.due, first.key) == (10, "boundary:a:7")
    assert armed.disarm(Boundary("a", 7)).first() is None

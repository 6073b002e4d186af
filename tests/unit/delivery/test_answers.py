"""Human answers (D33)."""

from __future__ import annotations

from schemas.calling import AnswerReceived, NotificationWithdrawn
from schemas.delivery import NotificationChanged
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Answer, Channel, NotificationState
from tests.unit.delivery.desk import desk


def test_an_answer_ends_the_notification_and_goes_to_alerts() -> None:
    d = desk()
    d.plan()
    d.claim()
    d.outcome("accepted")
    facts = d.answer()
    assert (
        AnswerReceived(
            notification="n1",
            person="dgs",
            answer=Answer.ACK,
            channel="sms",
            at=d.now,
            proved=Channel.SMS,
        )
        in facts
    )
    assert isinstance(facts[-1], CommandApplied)
    assert (d.row().state, d.row().answer, d.row().acknowledged_at) == (
        NotificationState.ANSWERED,
        "ack",
        d.now,
    )


def test_an_answer_proves_the_channel_without_which_it_could_not_be() -> None:
    def proved(channel: str, *outcomes: str) -> Channel | None:
        d = desk(channels=("sms", "email"))
        d.plan(channels=(Channel.SMS, Channel.EMAIL))
        for outcome in outcomes:
            d.claim()
            d.outcome(outcome)
        (answer_fact,) = (f for f in d.answer(channel=channel) if isinstance(f, AnswerReceived))
        return answer_fact.proved

    assert proved("sms", "accepted") is Channel.SMS
    assert proved("link", "accepted") is Channel.SMS
    assert proved("link", "failed", "accepted") is Channel.EMAIL, "only one was not in vain"
    assert proved("link", "ambiguous", "accepted") is None, "either may have brought the link"
    assert proved("app", "accepted") is None, "the page was opened by hand"
    assert proved("voice", "accepted") is None, "nobody had been rung"
    assert proved("sms") is None, "nothing had been sent"


def test_after_an_answer_nothing_more_is_sent() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(Channel.SMS, Channel.VOICE))
    d.claim()
    d.outcome("accepted")
    d.answer()
    d.wait(3600)
    assert len(d.row().attempts) == 1
    assert d.state.agenda.first() is None


def test_an_answer_before_any_attempt_calls_the_attempt_off() -> None:
    d = desk()
    d.plan()
    d.answer()
    assert d.claim() is None
    assert d.row().state is NotificationState.ANSWERED


def test_the_same_answer_again_has_no_second_effect() -> None:
    d = desk()
    d.plan()
    first_at = d.now
    d.answer()
    again = d.answer()
    assert [type(f) for f in again] == [CommandApplied]
    d.wait(60)
    assert d.row().acknowledged_at == first_at


def test_an_acknowledgement_can_become_a_decline() -> None:
    d = desk()
    d.plan()
    d.answer(Answer.ACK)
    facts = d.answer(Answer.DECLINE)
    assert [f.answer for f in facts if isinstance(f, AnswerReceived)] == [Answer.DECLINE]
    assert d.row().answer == "decline"


def test_a_late_answer_to_a_withdrawn_call_still_counts() -> None:
    d = desk()
    d.plan()
    d.claim()
    d.withdraw()
    assert any(isinstance(f, AnswerReceived) for f in d.answer())
    assert d.row().state is NotificationState.ANSWERED


def test_people_answer_only_their_own_calls() -> None:
    d = desk()
    d.plan()
    (refused,) = d.answer(person="president")
    assert isinstance(refused, CommandRefused)
    assert (refused.status, refused.code) == (403, "not_addressee")


def test_answers_to_nothing_are_refused_by_name() -> None:
    d = desk()
    d.plan("info", answer_expected=False)
    codes = [
        f.code for f in (*d.answer(id="n9"), *d.answer(id="info")) if isinstance(f, CommandRefused)
    ]
    assert codes == ["notification_not_found", "answer_not_expected"]


def test_an_answer_elsewhere_ends_the_call_without_a_notice() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(Channel.SMS, Channel.VOICE))
    d.claim()
    d.outcome("accepted")
    facts = d.tell(NotificationWithdrawn(notification="n1", why="ack"))
    assert [type(f) for f in facts] == [NotificationChanged], "alerts knows"
    assert (d.row().state, d.row().answer, d.row().acknowledged_at) == (
        NotificationState.ANSWERED,
        "ack",
        d.now,
    )
    d.wait(3600)
    assert len(d.row().attempts) == 1, "the phone does not ring"


def test_an_answer_elsewhere_removes_failed_calls_from_the_dead_letters() -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome("failed")
    d.tell(NotificationWithdrawn(notification="n1", why="decline"))
    assert (d.row().state, d.row().answer) == (NotificationState.ANSWERED, "decline")

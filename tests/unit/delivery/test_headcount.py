"""Headcount (D37): asked at once, reminded at 10, 20 and 40 minutes, closed at 98 %.

Managers are called at 30 minutes. Logs hold counts and no single answers.
"""

# ruff: noqa: ARG002  stand-ins have the signatures of what they stand for

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.base import Message
from schemas.callouts import (
    CHUNK_PEOPLE,
    Called,
    CallOutChanged,
    CallOutRow,
    DraftCallOut,
    HeadcountAnswer,
    HeadcountSaid,
    HeadcountTallied,
    StartCallOut,
    StopCallOut,
    headcount_text_id,
)
from schemas.people.directory import Contact
from schemas.people.replies import parse_headcount_reply
from schemas.reports import ReportReceived
from schemas.words import Channel, NotificationState
from services.delivery.callouts.headcount_tally import HeadcountTally
from services.delivery.sender.attempt_view import AttemptView, OpenHeadcount
from services.delivery.sender.sender import create_attempt_view
from services.runtime.secrets.vault import TextItem
from tests.unit.delivery.desk import T0, Desk
from tests.unit.delivery.test_callouts import take

SMS = Channel.SMS


def asked(count: int = 10, realm: str = "92") -> Desk:
    """Ask everybody at `cen-1`; the provider accepts all messages."""
    d = Desk(realm)
    people = [Called(person=f"agent-{n}", channels=(SMS,)) for n in range(count)]
    for at in range(0, count, CHUNK_PEOPLE):
        chunk = tuple(people[at : at + CHUNK_PEOPLE])
        d.tell(
            DraftCallOut(
                author="c",
                role="coordinator",
                callout="c1",
                kind="headcount",
                sites=("cen-1",),
                danger=True,
                answer_expected=True,
                channels=(SMS,),
                people=chunk,
                last=at + CHUNK_PEOPLE >= count,
            )
        )
    d.tell(StartCallOut(author="c", role="coordinator", callout="c1"))
    for _ in range(1 + count // 45):
        d.wait(5)
        take(d)
    return d


def row(d: Desk) -> CallOutRow:
    return next(f.row for f in reversed(d.facts) if isinstance(f, CallOutChanged))


def told(d: Desk) -> list[Any]:
    return sorted(
        (r for r in d.state.notifications.values() if r.campaign == "c1"),
        key=lambda r: int(r.person.split("-")[1]),
    )


def answer(d: Desk, count: int) -> None:
    for r in [r for r in told(d) if r.answer is None][:count]:
        d.answer(person=r.person, id=r.id)


def test_only_people_without_an_answer_are_reminded_three_times() -> None:
    d = asked()
    answer(d, 4)
    times = []
    for minute in range(1, 60):
        d.wait(60)
        take(d)
        times += [minute] * (sum(len(r.attempts) for r in told(d)) - 10 - len(times))
    assert all(len(r.attempts) == 1 for r in told(d)[:4])
    assert {len(r.attempts) for r in told(d)[4:]} == {4}
    assert sorted(set(times)) == [10, 20, 40]
    assert row(d).reminded == 3


def managers_asked(d: Desk) -> list[AttentionRequested]:
    return [f for f in d.facts if isinstance(f, AttentionRequested)]


def test_the_managers_of_the_sites_are_called_at_thirty_minutes_with_the_numbers() -> None:
    """Alerts calls them: it knows the schedule."""
    d = asked()
    answer(d, 7)
    d.wait(29 * 60)
    assert not managers_asked(d)
    d.wait(60)
    (one,) = managers_asked(d)
    assert (one.code, one.sites, one.found, one.expected) == (
        "headcount_manager",
        ("cen-1",),
        7,
        10,
    )
    assert row(d).managers_called_at is not None
    d.wait(60 * 60)
    assert len(managers_asked(d)) == 1


def test_a_headcount_closes_at_98_percent_without_further_calls() -> None:
    d = asked(100)
    answer(d, 97)
    d.wait(60)
    assert row(d).state == "running"
    answer(d, 1)
    d.wait(60)
    assert (row(d).state, row(d).answered) == ("done", 98)
    d.wait(3600)
    assert row(d).reminded == 0
    assert {len(r.attempts) for r in told(d)} <= {0, 1}


def test_a_headcount_closes_by_decision() -> None:
    d = asked()
    d.tell(StopCallOut(author="c", role="coordinator", callout="c1"))
    d.wait(3600)
    assert row(d).state == "stopped"
    assert {len(r.attempts) for r in told(d)} == {1}
    assert not managers_asked(d)


def test_reminders_of_many_come_in_transactions_that_fit() -> None:
    d = asked(2 * CHUNK_PEOPLE + 20)
    d.wait(10 * 60)
    for _ in range(10):
        d.wait(5)
        take(d)
    assert {len(r.attempts) for r in told(d)} == {2}
    assert row(d).reminded == 1


def test_simulated_answers_are_counted_each_once_and_only_in_an_exercise() -> None:
    for realm, counted in (("92~ex-7", (2, 1, 0)), ("92", (0, 0, 0))):
        d = asked(4, realm)
        answer(d, 3)
        for headcount_answer in (
            HeadcountAnswer.SAFE,
            HeadcountAnswer.HELP,
            HeadcountAnswer.SAFE,
            HeadcountAnswer.SAFE,
        ):
            d.tell(HeadcountSaid(callout="c1", answer=headcount_answer))
        d.tell(HeadcountSaid(callout="unknown", answer=HeadcountAnswer.SAFE))
        assert (row(d).safe, row(d).help, row(d).away) == counted


def test_counts_are_published_and_kept_in_a_snapshot() -> None:
    d = asked()
    d.tell(HeadcountTallied(callout="c1", safe=5, help=1, away=2))
    assert (row(d).safe, row(d).help, row(d).away) == (5, 1, 2)
    assert d.tell(HeadcountTallied(callout="c1", safe=5, help=1, away=2)) == []
    assert d.decider.load("92", "92", json.loads(json.dumps(d.decider.dump(d.state)))) == d.state


def test_facts_hold_no_answers_of_single_people() -> None:
    d = asked()
    answer(d, 3)
    fact_texts = [f.model_dump_json() for f in d.facts if not isinstance(f, CallOutChanged)]
    assert not any(word in text for text in fact_texts for word in ('"safe"', '"help"', '"away"'))
    assert {r.answer for r in told(d)[:3]} == {"ack"}
    assert {r.state for r in told(d)[:3]} == {NotificationState.ANSWERED}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("safe", ("1", "OK", "oui")),
        ("safe", ("oui, pas besoin d’aide", "1 aucun blessé", "ok sans aide", "1️⃣")),
        (
            "help",
            ("2 svp", "Non !", "AIDE", "sos", "J’ai besoin d’aide", "besoin daide", "au secours"),
        ),
        ("help", ("oui mais j’ai besoin d’aide", "1 mais BLESSÉ", "ok, bloqués au 3e", "1 help")),
        (
            "safe",
            ("oui, personne n’est blessé", "ok, pas de malaise", "1 pas besoin d’une ambulance"),
        ),
        ("help", ("oui besoin d’une ambulance", "1 urgent, malaise", "oui en danger")),
        ("help", ("je ne suis pas en sécurité", "3, mon collègue est blessé")),
        ("away", ("3", "absent", "indisponible", "Je ne suis pas sur place")),
        (None, ("4", "", "où êtes-vous ?", "pas d’aide")),
    ],
)
def test_replies_are_one_two_or_three_or_say_the_same(
    said: str | None, words: Sequence[str]
) -> None:
    assert [parse_headcount_reply(w) for w in words] == [said] * len(words)


# ── the teller ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Kept:
    """Texts and Kafka of a teller."""

    items: dict[str, TextItem] = field(default_factory=dict)
    sent: list[tuple[str, Message]] = field(default_factory=list)

    def get_many(self, text_ids: Sequence[str]) -> dict[str, TextItem]:
        return {id: self.items[id] for id in text_ids if id in self.items}

    async def erase(self, id: str) -> None:
        del self.items[id]

    def of(self, realm: str) -> Kept:
        return self

    async def get(self, person: str) -> Contact | None:
        """Get the directory: p0 and p1 at cen-1, p2 at cen-2, p3 erased."""
        return (
            None
            if person == "p3"
            else Contact(person=person, site="cen-2" if person == "p2" else "cen-1")
        )

    def reports(self) -> list[tuple[str | None, float | str | None, float | None]]:
        """Return (site, found, expected)."""
        report_messages = [m for _, m in self.sent if isinstance(m, ReportReceived)]
        assert all(
            m.measure is not None and m.measure.name == "headcount_found" for m in report_messages
        )
        return [
            (m.site_id, m.measure.value, m.measure.value_of)
            for m in report_messages
            if m.measure is not None
        ]

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[int, int]:
        self.sent.append((topic, message))
        return 0, 0


def headcount(
    outbox: AttemptView, kept: Kept, *answers: str, sites: tuple[str, ...] = ("cen-1",)
) -> None:
    persons_by_call = {f"n{n}": f"p{n}" for n in range(4)}
    outbox.headcounts["c1"] = OpenHeadcount(
        "92",
        sites,
        T0,
        over=False,
        persons=set(persons_by_call.values()),
        notifications=persons_by_call,
    )
    for n, headcount_answer in enumerate(answers):
        kept.items[headcount_text_id(f"n{n}")] = TextItem({"headcount": headcount_answer})


async def test_the_tallier_publishes_each_count_once() -> None:
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, "safe", "safe", "help")
    teller = HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    )
    await teller.tell()
    await teller.tell()
    (_, tally), (topic, report) = answer_store.sent
    assert tally == HeadcountTallied(callout="c1", safe=2, help=1, away=0)
    assert isinstance(report, ReportReceived)
    assert (topic, report.site_id) == ("alerts.inputs", "cen-1")
    assert report.measure is not None
    assert (report.measure.name, report.measure.value, report.measure.value_of) == (
        "headcount_found",
        3,
        4,
    )
    answer_store.items[headcount_text_id("n2")] = TextItem({"headcount": "safe"})
    await teller.tell()
    assert [m for _, m in answer_store.sent][2] == HeadcountTallied(
        callout="c1", safe=3, help=0, away=0
    )


async def test_several_sites_are_counted_one_by_one() -> None:
    """An incident at one site could be closed with people missing, since only one site reported."""
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, "safe", sites=("cen-2", "cen-1"))
    teller = HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    )
    await teller.tell()
    assert answer_store.reports() == [("cen-2", 0, 2), ("cen-1", 1, 2)], (
        "nobody found yet is told, and who has no place is missed at the first"
    )
    answer_store.sent.clear()
    answer_store.items[headcount_text_id("n2")] = TextItem({"headcount": "help"})
    await teller.tell()
    assert answer_store.reports() == [("cen-2", 1, 2)], "what was told is not told again"
    answer_store.sent.clear()
    await HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    ).tell()
    ids = [m.report_id for _, m in answer_store.sent if isinstance(m, ReportReceived)]
    assert ids == ["c1-cen-2-found-1", "c1-cen-1-found-1"], (
        "after a start the same count is the same report"
    )


@pytest.mark.parametrize("sites", [("cen-1",), ("cen-1", "cen-2")])
async def test_a_count_that_has_begun_is_published_before_the_first_answer(
    sites: tuple[str, ...],
) -> None:
    """D37: without an answer nobody was missed, and the incident could be closed without a word."""
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, sites=sites)
    teller = HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    )
    outbox.headcounts["c1"].started_at = None
    await teller.tell()
    assert answer_store.sent == [], "a draft counts nobody"
    outbox.headcounts["c1"].started_at = T0
    await teller.tell()
    await teller.tell()
    nobody = [("cen-1", 0, 4)] if len(sites) == 1 else [("cen-1", 0, 3), ("cen-2", 0, 1)]
    assert answer_store.reports() == nobody
    assert len(answer_store.sent) == len(nobody), "no answer is no tally"


@pytest.mark.parametrize("sites", [("cen-1",), ("cen-1", "cen-2")])
async def test_answers_to_an_old_headcount_do_not_count_in_the_new_one(
    sites: tuple[str, ...],
) -> None:
    """D37: the link of the first message stood for «everybody is found» in the second headcount."""
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, "safe", "safe", "safe", sites=sites)
    outbox.headcounts["c1"].over = True
    outbox.headcounts["c2"] = OpenHeadcount(
        "92", ("cen-1",), T0 + 1000, over=False, persons={"p0", "p1"}, notifications={}
    )
    teller = HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    )
    await teller.tell()
    answer_store.sent.clear()
    answer_store.items[headcount_text_id("n3")] = TextItem({"headcount": "safe"})
    await teller.tell()
    assert answer_store.reports() == []
    assert [m for _, m in answer_store.sent] == [
        HeadcountTallied(callout="c1", safe=4, help=0, away=0)
    ], "the answer still counts in its own headcount"


async def test_a_restart_publishes_no_closed_count_and_later_answers_count() -> None:
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, "safe", sites=("cen-2", "cen-1"))
    outbox.headcounts["c1"].over = True
    teller = HeadcountTally(
        outbox, answer_store, answer_store, answer_store, wall_clock=lambda: T0 / 1000
    )
    await teller.tell()
    assert answer_store.reports() == []
    answer_store.items[headcount_text_id("n1")] = TextItem({"headcount": "safe"})
    await teller.tell()
    assert answer_store.reports() == [("cen-1", 2, 2)]


async def test_single_answers_are_destroyed_after_thirty_days() -> None:
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store, "safe", "help")
    await HeadcountTally(
        outbox,
        answer_store,
        answer_store,
        answer_store,
        wall_clock=lambda: (T0 + 30 * 86_400_000) / 1000,
    ).tell()
    assert len(answer_store.items) == 2
    await HeadcountTally(
        outbox,
        answer_store,
        answer_store,
        answer_store,
        wall_clock=lambda: (T0 + 30 * 86_400_000 + 1) / 1000,
    ).tell()
    assert (answer_store.items, outbox.headcounts) == ({}, {})


def test_the_state_of_the_tallier_survives_a_restart() -> None:
    outbox, answer_store = create_attempt_view(), Kept()
    headcount(outbox, answer_store)
    after = create_attempt_view()
    after.load(json.loads(json.dumps(outbox.dump())))
    assert after.headcounts == outbox.headcounts

from dataclasses import replace
from pathlib import Path

import pytest

from services.intake.integrations.episodes import EpisodeTracker
from services.intake.reports.deduplication import (
    AnswerIndex,
    KnownReport,
    derive_keyed_id,
    identify_report,
)
from services.intake.reports.native import PreparedReport
from services.intake.reports.redaction import LogRedactor
from tests.unit.intake.test_native import ADMIN, claim, report

SECRET = b"s" * 32

WORDS = LogRedactor(b"key")


@pytest.fixture
def ledger(tmp_path: Path) -> AnswerIndex:
    return AnswerIndex(tmp_path / "answers.db", WORDS)


def known(n: int, alias: str | None = None) -> KnownReport:
    return KnownReport(derive_keyed_id("92", "s", str(n)), "92", f"{n:032x}", n, "s", alias)


def id_of(made: PreparedReport, key: str | None = None, sender: str = "s") -> str:
    return identify_report(made, sender, key, SECRET).report_id


def test_a_key_makes_the_id_within_realm_and_sender() -> None:
    made, other = claim(report()), claim(report(severity=1))
    assert id_of(made, "k") == id_of(other, "k") != id_of(made, "l")
    assert id_of(made, "k") != id_of(made, "k", sender="t")
    assert id_of(made, "k") != id_of(claim(report(realm="92~ex-1")), "k")
    assert (
        identify_report(made, "s", "k", SECRET).fingerprint
        != identify_report(other, "s", "k", SECRET).fingerprint
    )


def test_without_a_key_the_content_and_the_minute_make_the_id() -> None:
    first = id_of(claim(report(occurred_at="2027-02-11T09:40:00+01:00")))
    assert id_of(claim(report(occurred_at="2027-02-11T08:40:59Z"))) == first
    assert id_of(claim(report(occurred_at="2027-02-11T09:41:00+01:00"))) != first
    assert id_of(claim(report(headline="Autre"))) != first
    seconds_apart = [
        identify_report(claim(report(occurred_at=f"2027-02-11T09:40:{s}Z")), "s", None, SECRET)
        for s in ("01", "02")
    ]
    assert seconds_apart[0] == seconds_apart[1]


def test_the_fingerprint_of_a_body_needs_the_key_of_the_installation() -> None:
    assert (
        identify_report(claim(report()), "s", "k", b"a" * 32).fingerprint
        != identify_report(claim(report()), "s", "k", b"b" * 32).fingerprint
    )


async def test_answers_survive_a_restart(ledger: AnswerIndex, tmp_path: Path) -> None:
    ledger.record_sent(0, ledger.sending(0), 7, known(1, alias="E1"))
    assert ledger.get(known(1).report_id) == known(1, alias="E1")
    await ledger.flush()
    ledger.close()
    again = AnswerIndex(tmp_path / "answers.db", WORDS)
    assert again.get(known(1).report_id) == known(1, alias="E1")
    assert again.resolve("92", "s", "E1") == known(1).report_id
    assert again.get("no uuid") is None
    again.close()


async def test_a_report_logged_before_a_crash_is_answered_on_retry(
    ledger: AnswerIndex, tmp_path: Path
) -> None:
    ledger._store([replace(known(1), answered=False)], {0: 8})
    ledger.close()
    again = AnswerIndex(tmp_path / "answers.db", WORDS)
    assert again.get(known(1).report_id) == replace(known(1), answered=False)
    again.mark_answered(known(1).report_id)
    assert again.get(known(1).report_id) == known(1)
    again.close()


async def test_old_entries_are_dropped_except_open_episodes(ledger: AnswerIndex) -> None:
    aliases = ["E1", "disk@17:outage_it:cen-1", "net@17:outage_it:", "net@17:outage_it:#end"]
    for n, alias in enumerate(aliases):
        ledger.record_sent(0, ledger.sending(0), n, known(n, alias=alias))
    await ledger.flush()
    ledger._prune(1 << 60)
    assert [ledger.get(known(n).report_id) is not None for n in range(4)] == [
        False,
        True,
        False,
        False,
    ]


async def test_an_open_episode_keeps_its_last_report(ledger: AnswerIndex) -> None:
    aliases = [
        "disk@17:outage_it:B#2",
        "disk@17#1",
        "net@17:outage_it:",
        "net@17#1",
        "net@17#2",
        "net@17:outage_it:#end",
        "a@b#c",
    ]
    for n, alias in enumerate(aliases):
        ledger.record_sent(0, ledger.sending(0), n, replace(known(n, alias=alias), occurred_at=n))
    await ledger.flush()
    ledger._prune(1 << 60)
    assert [n for n in range(len(aliases)) if ledger.get(known(n).report_id)] == [0, 1]
    assert ledger._reading.execute("SELECT COUNT(*) FROM occurred").fetchone() == (2,)


async def test_reports_of_an_alias_come_with_their_content(ledger: AnswerIndex) -> None:
    first, second = (
        replace(known(1, alias="disk@17:outage_it:"), occurred_at=3),
        known(2, alias="disk@17#1"),
    )
    ledger.record_sent(0, ledger.sending(0), 1, first)
    await ledger.flush()
    ledger.record_sent(0, ledger.sending(0), 2, second)
    ledger.record_sent(0, ledger.sending(0), 3, known(3, alias="dish@17:outage_it:"))
    assert ledger.aliases("92", "s", "disk", "@") == {"17:outage_it:": first, "17#1": second}


async def test_the_position_never_passes_a_record_that_is_still_under_way(
    ledger: AnswerIndex,
) -> None:
    """Else a kill between its acknowledgement and the next flush would lose the answer."""
    early, late = ledger.sending(3), ledger.sending(3)
    ledger.record_sent(3, late, 12, known(1))
    await ledger.flush()
    assert dict(ledger._reading.execute("SELECT partition, next FROM positions")) == {3: 0}
    ledger.record_sent(3, early, 11, known(2))
    await ledger.flush()
    assert dict(ledger._reading.execute("SELECT partition, next FROM positions")) == {3: 13}


async def test_the_first_answer_stands(ledger: AnswerIndex) -> None:
    first = known(1)
    ledger._store([first], {})
    ledger._store([KnownReport(first.report_id, "92", "f" * 32, 99, "s")], {})
    assert ledger.get(first.report_id) == first


@pytest.mark.parametrize(("flushed", "hashed"), [(False, True), (True, True), (True, False)])
async def test_references_are_ids_aliases_or_keys_of_the_same_sender(
    ledger: AnswerIndex, flushed: bool, hashed: bool
) -> None:
    """Also by an alias that an earlier version kept in the clear (not `hashed`)."""
    alias = WORDS.name("92", "E1") if hashed else "E1"
    first = KnownReport(derive_keyed_id("92", "s", "key-1"), "92", "0" * 32, 1, "s", alias)
    ledger.record_sent(0, ledger.sending(0), 0, first)
    if flushed:
        await ledger.flush()
    for reference in (first.report_id, "E1", "key-1"):
        assert ledger.resolve("92", "s", reference) == first.report_id
    assert ledger.resolve("92", "other", "E1") == "E1"
    assert ledger.resolve("92~ex-1", "s", "E1") == "E1"
    assert ledger.resolve("92", "s", "never heard of") == "never heard of"


def test_a_reference_resolved_later_does_not_make_another_body() -> None:
    from services.intake.reports.native import parse_report, prepare_report

    body = parse_report(
        b'{"type":"info","severity":1,"occurred_at":"2027-02-11T08:40:59Z","references":["E1"]}'
    )
    before, after = (
        prepare_report(body, ADMIN, "92", lambda _, r, to=to: to or r) for to in (None, "id")
    )
    assert before.content == after.content
    assert after.message["references"] == ["id"]


async def test_reports_of_another_front_are_known_here(ledger: AnswerIndex) -> None:
    """Its own answers stay answered, whichever of flush and log comes first."""
    ledger.is_followed = True
    own, late, other = known(1), known(2), known(3, alias="E3")
    ledger.record_sent(0, ledger.sending(0), 0, own)
    ledger.store_read([own, other], {0: 2})
    await ledger.flush()
    ledger.record_sent(0, ledger.sending(0), 2, late)
    await ledger.flush()
    ledger.store_read([late], {0: 3})
    assert [ledger.get(k.report_id) for k in (own, late, other)] == [
        own,
        late,
        replace(other, answered=False),
    ]
    assert ledger.get_positions() == {0: 3}, "own answers move no position past unread records"


async def test_the_first_body_on_the_log_stands_at_every_front(ledger: AnswerIndex) -> None:
    ledger.is_followed = True
    first = known(1)
    ledger.store_read([first, replace(first, fingerprint="f" * 32)], {0: 2})
    assert ledger.get(first.report_id) == replace(first, answered=False)


async def test_an_episode_that_another_front_closed_is_over_here(ledger: AnswerIndex) -> None:
    tracker = EpisodeTracker(ledger)
    opened = replace(known(1, alias="disk@17:outage_it:"), occurred_at=1)
    ledger.store_read([opened], {0: 1})
    newest = tracker.newest("92", "s", "disk")
    assert newest is not None
    assert newest.ended is None
    closed = replace(known(2, alias="disk@17:outage_it:#end"), occurred_at=5)
    ledger.store_read([closed], {0: 2})
    newest = tracker.newest("92", "s", "disk")
    assert newest is not None
    assert newest.over == 5
    assert tracker.over("92", "s", "outage_it", None) == 5

"""The runtime serves every domain; here a toy domain in memory."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import END_OF_TIME, Fact, Message
from schemas.runtime import (
    CloseRealm,
    CommandApplied,
    CommandRefused,
    DeadlineFailed,
    InputDuplicate,
    InputFailed,
    InputRefused,
    LossDeclared,
    OpenRealm,
    PaceChanged,
    RealmClosed,
    RealmOpened,
    SetPace,
    StepAccepted,
    StepRequested,
    StepSettled,
    StepTo,
    Tick,
)
from schemas.topics import partition_of
from schemas.wire import Place
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import RETENTION_MS
from services.runtime.kafka.clients import build_headers
from services.runtime.log.transaction import MAX_TRANSACTION_BYTES, Transaction
from services.runtime.process import tracing
from services.runtime.process.exits import EXITS, Stop
from services.runtime.testing import MemoryService
from tests.faults.matrix import proves
from tests.faults.runtime.toy import (
    EchoDecider,
    ToyAck,
    ToyDecider,
    ToyEscalated,
    ToyReport,
    ToyState,
)

LIVE, EXERCISE = "92", "92~ex-1"
T0 = 1_800_000_000_000
MANY = 1_200
"""Small deadlines: more than one record holds."""


def opened(realm: str = LIVE, *, logic: int = 1) -> MemoryService:
    service = MemoryService(ToyDecider(logic), clock=T0)
    service.feed(
        realm,
        OpenRealm(author="system:up", role="admin", territory="92", started_at=T0),
        id=f"open-{realm}",
        source="up",
    )
    return service


def report(
    n: int = 1, *, incident: str = "i1", delay_ms: int | None = None, does: str = "well"
) -> ToyReport:
    return ToyReport(incident=incident, n=n, delay_ms=delay_ms, does=does)


def names(transaction: Transaction) -> list[str]:
    return [fact.name for fact in transaction.facts]


def only(transaction: Transaction) -> Fact:
    (fact,) = transaction.facts
    return fact.message()


def test_a_realm_must_be_opened_before_anything_is_taken() -> None:
    service = MemoryService(ToyDecider())
    refused = only(service.feed(LIVE, report()))
    assert isinstance(refused, InputRefused)
    assert refused.code == "realm_unknown"
    with pytest.raises(KeyError):
        service.state(LIVE)


def test_a_command_to_an_unknown_realm_is_answered() -> None:
    answer = only(
        MemoryService(ToyDecider()).feed(LIVE, CloseRealm(author="p1", role="admin"), id="c1")
    )
    assert isinstance(answer, CommandRefused)
    assert (answer.command_id, answer.status, answer.code) == ("c1", 404, "realm_unknown")


def test_a_live_realm_opens_at_the_brokers_time_and_a_simulated_one_at_the_scripts() -> None:
    assert opened(LIVE).realm(LIVE).now == T0
    service = MemoryService(ToyDecider(), clock=T0)
    opening = service.feed(
        EXERCISE, OpenRealm(author="p1", role="cell", territory="92", started_at=5_000), id="o1"
    )
    assert names(opening) == ["RealmOpened", "CommandApplied"]
    assert service.realm(EXERCISE).now == 5_000 == opening.at


def test_a_realm_opens_once() -> None:
    service = opened()
    again = OpenRealm(author="p1", role="admin", territory="92", started_at=T0)
    assert isinstance(only(service.feed(LIVE, again, id=f"open-{LIVE}")), InputDuplicate)
    refused = only(service.feed(LIVE, again, id="other"))
    assert isinstance(refused, CommandRefused)
    assert refused.code == "realm_exists"


def test_a_closed_realm_takes_nothing_more() -> None:
    service = opened(EXERCISE)
    service.feed(EXERCISE, report(delay_ms=10))
    closing = service.feed(EXERCISE, CloseRealm(author="p1", role="admin"))
    assert names(closing) == ["RealmClosed", "CommandApplied"]
    assert closing.next_due is None
    refused = only(service.feed(EXERCISE, report(2)))
    assert isinstance(refused, InputRefused)
    assert refused.code == "realm_closed"
    answer = only(service.feed(EXERCISE, CloseRealm(author="p1", role="admin")))
    assert isinstance(answer, CommandRefused)
    assert answer.status == 409


def test_a_closed_realm_holds_no_state_and_still_recognises_inputs() -> None:
    service = opened(EXERCISE)
    transaction = service.feed(EXERCISE, report(delay_ms=10), id="once")
    before = service.state(EXERCISE)
    service.feed(EXERCISE, CloseRealm(author="p1", role="admin"), id="close")
    after = service.state(EXERCISE)
    assert before != service.machine.decider.initial(EXERCISE, EXERCISE) == after
    assert transaction.facts
    for id, message in (
        ("once", report(delay_ms=10)),
        ("close", CloseRealm(author="p1", role="admin")),
    ):
        assert isinstance(only(service.feed(EXERCISE, message, id=id)), InputDuplicate)
    assert service.realm(EXERCISE).seen.ids == Map()


def test_a_live_realm_is_never_closed() -> None:
    """It would call no person any more, and nothing opens it again."""
    service = opened()
    refused = only(service.feed(LIVE, CloseRealm(author="p1", role="admin")))
    assert isinstance(refused, CommandRefused)
    assert (refused.status, refused.code) == (409, "realm_not_simulated")
    assert names(service.feed(LIVE, report())) == ["ToyReported"]


def test_other_services_open_a_realm_only_on_the_forwarded_fact() -> None:
    echo = MemoryService(EchoDecider(), clock=T0)
    order = OpenRealm(author="p1", role="admin", territory="92", started_at=T0)
    assert isinstance(only(echo.feed(LIVE, order)), InputRefused)
    fact = RealmOpened(territory="92", title_code="live", started_at=T0, lineage=LIVE)
    assert isinstance(only(echo.feed(LIVE, fact)), InputRefused)
    place = Place("toy", partition_of(LIVE, 8), 0, 1, 0)
    assert isinstance(only(echo.feed(LIVE, fact, place=place, place_hash="ab")), RealmOpened)
    assert echo.realm(LIVE).now == T0


def test_the_opener_does_not_take_a_forged_opening() -> None:
    fact = RealmOpened(territory="92", title_code="live", started_at=T0, lineage=LIVE)
    place = Place("toyecho", partition_of(LIVE, 8), 0, 1, 0)
    assert isinstance(
        only(MemoryService(ToyDecider()).feed(LIVE, fact, place=place, place_hash="ab")),
        InputRefused,
    )


def test_the_same_id_has_one_effect() -> None:
    service = opened()
    service.feed(LIVE, report(), id="r1")
    assert isinstance(only(service.feed(LIVE, report(), id="r1")), InputDuplicate)
    assert service.state(LIVE).counts["i1"] == 1


def test_a_forwarded_fact_at_or_before_the_watermark_has_no_effect_with_any_id() -> None:
    echo = MemoryService(EchoDecider(), clock=T0)
    p = partition_of(LIVE, 8)
    fact = RealmOpened(territory="92", title_code="live", started_at=T0, lineage=LIVE)
    echo.feed(LIVE, fact, place=Place("toy", p, 0, 1, 0), place_hash="a")
    for seq, id in ((5, "a"), (5, "b"), (4, "c"), (6, "d")):
        echo.feed(
            LIVE,
            ToyEscalated(incident="i", rung=1),
            id=id,
            place=Place("toy", p, 0, seq, 0),
            place_hash="a",
        )
    assert echo.state(LIVE).counts["i"] == 2
    # a lower seq of a later history is newer
    echo.feed(
        LIVE,
        ToyEscalated(incident="i", rung=1),
        id="e",
        place=Place("toy", p, 1, 2, 0),
        place_hash="a",
    )
    assert echo.state(LIVE).counts["i"] == 3


def test_an_exception_in_decide_is_a_fact_and_a_replay_works_after_the_fix() -> None:
    service = opened()
    failed = only(service.feed(LIVE, report(does="raise"), id="r1"))
    assert isinstance(failed, InputFailed)
    assert failed.error == "ValueError: poison"
    assert "i1" not in service.state(LIVE).counts
    service.machine.decider.logic = 2
    assert names(service.feed(LIVE, report(does="raise"), id="r1")) == ["ToyReported"]


@pytest.mark.parametrize("does", ["swell", "overflow"])
def test_facts_that_no_record_can_hold_make_the_input_fail(does: str) -> None:
    service = opened()
    assert isinstance(only(service.feed(LIVE, report(does=does))), InputFailed)
    assert names(service.feed(LIVE, report())) == ["ToyReported"]


def test_an_input_does_not_fail_because_of_the_deadlines_that_were_due_with_it() -> None:
    """Each fits, both together do not: the deadlines stay due and fire with the next input."""
    service = opened()
    long = [f"{n}" * 30_000 for n in range(4)]
    for n, incident in enumerate(long):
        service.feed(LIVE, report(incident=incident, delay_ms=60_000), id=f"long{n}", at=T0)
    large = service.feed(LIVE, ToyReport(incident="i2", n=1, blob="x" * 150_000), at=T0 + 60_000)
    assert names(large) == ["ToyReported"]
    assert names(service.feed(LIVE, report(), at=T0 + 60_001)) == ["ToyEscalated"] * 4 + [
        "ToyReported"
    ]


def test_thousands_of_small_deadlines_that_are_due_at_once_all_fire() -> None:
    """Id and type are most of a fact's size in a Transaction.

    Counted by their content alone, the facts never fitted, and no deadline fired.
    """
    service = opened()
    for n in range(MANY):
        service.feed(LIVE, report(incident=f"i{n}", delay_ms=60_000), id=f"r{n}", at=T0)
    fired: list[str] = []
    for n in range(10):
        moved = service.feed(LIVE, Tick(), at=T0 + 60_000 + n)
        assert len(moved.dump()) < MAX_TRANSACTION_BYTES
        fired += [fact.data["incident"] for fact in moved.facts]
        if moved.next_due is not None and moved.next_due > T0 + 60_000:
            break
        assert len(moved.facts) > 500
    assert sorted(fired) == sorted(f"i{n}" for n in range(MANY))


def test_a_deadline_with_too_many_facts_for_a_record_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.decider.machine.MAX_SINGLE_FIRING_BYTES", 1_000)
    service = opened()
    service.feed(LIVE, report(incident="x" * 2_000, delay_ms=100), at=T0)
    service.feed(LIVE, report(incident="good", delay_ms=100), at=T0)
    moved = service.feed(LIVE, Tick(), at=T0 + 100)
    assert sorted(names(moved)) == ["DeadlineFailed", "ToyEscalated"]


def test_a_decider_that_never_disarms_a_deadline_stops_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was called a crash, and started again and again, where a person must install a corrected version."""
    evolve = ToyDecider.evolve

    def deaf(self: ToyDecider, state: ToyState, fact: Fact, fact_id: str, at: int) -> ToyState:
        return state if isinstance(fact, DeadlineFailed) else evolve(self, state, fact, fact_id, at)

    service = opened()
    service.feed(LIVE, report(delay_ms=100, does="curse"), at=T0)
    monkeypatch.setattr(ToyDecider, "evolve", deaf)
    with pytest.raises(Stop) as stopped:
        service.feed(LIVE, Tick(), at=T0 + 100)
    assert stopped.value.name == "decider.broken"
    assert not EXITS["decider.broken"].restart


def test_deadlines_fire_before_the_input_each_at_its_own_time() -> None:
    service = opened()
    service.feed(LIVE, report(delay_ms=100), at=T0 + 1_000)
    moved = service.feed(LIVE, ToyAck(incident="i1"), at=T0 + 1_250)
    assert names(moved) == ["ToyEscalated", "ToyEscalated", "ToyAcked"]
    assert [fact.at - T0 for fact in moved.facts] == [1_100, 1_200, 1_250]
    assert moved.next_due is None


def test_an_answer_before_the_deadline_stops_the_escalation() -> None:
    service = opened()
    assert service.feed(LIVE, report(delay_ms=100), at=T0).next_due == T0 + 100
    service.feed(LIVE, ToyAck(incident="i1"), at=T0 + 99)
    assert service.feed(LIVE, Tick(), at=T0 + 500).facts == ()


def test_a_duplicate_and_a_failure_move_time_too() -> None:
    service = opened()
    service.feed(LIVE, report(delay_ms=100), id="r1", at=T0)
    assert names(service.feed(LIVE, report(), id="r1", at=T0 + 100)) == [
        "ToyEscalated",
        "InputDuplicate",
    ]
    assert names(service.feed(LIVE, report(does="raise"), at=T0 + 200)) == [
        "ToyEscalated",
        "InputFailed",
    ]


def test_a_deadline_that_raises_is_disarmed_and_the_input_is_decided() -> None:
    service = opened()
    service.feed(LIVE, report(incident="bad", delay_ms=100, does="curse"), at=T0)
    service.feed(LIVE, report(incident="good", delay_ms=100), at=T0)
    moved = service.feed(LIVE, report(2), at=T0 + 100)
    assert names(moved) == ["DeadlineFailed", "ToyEscalated", "ToyReported"]
    failed = moved.facts[0].message()
    assert isinstance(failed, DeadlineFailed)
    assert (failed.key, failed.error) == ("bad", "RuntimeError: cursed")


@proves(
    "broker",
    "clock",
    note="the clock of live realms: an hour ahead fires early, an hour back stands still",
)
def test_a_brokers_clock_that_jumps_an_hour_either_way_fires_each_deadline_once() -> None:
    hour = 3_600_000
    service = opened()
    service.feed(LIVE, report(delay_ms=hour // 2), at=T0)
    ahead = service.feed(LIVE, Tick(), at=T0 + hour)
    assert [(f.name, f.at - T0) for f in ahead.facts] == [
        ("ToyEscalated", hour // 2),
        ("ToyEscalated", hour),
    ]
    service.feed(LIVE, ToyAck(incident="i1"), at=T0 + 1_000)
    back = service.feed(LIVE, report(incident="i2", delay_ms=1_000), at=T0 + 2_000)
    assert (back.at, back.next_due) == (T0 + hour, T0 + hour + 1_000), (
        "an hour back: time stands still"
    )
    assert service.feed(LIVE, Tick(), at=T0 + 4_000).facts == ()
    assert names(service.feed(LIVE, Tick(), at=T0 + hour + 1_000)) == ["ToyEscalated"]


@proves("worker", "clock", note="its own clock decides nothing")
def test_the_clock_never_goes_back() -> None:
    service = opened()
    service.feed(LIVE, Tick(), at=T0 + 500)
    assert service.feed(LIVE, Tick(), at=T0 + 400).at == T0 + 500


def test_a_simulated_realm_moves_by_its_script_only() -> None:
    service = opened(EXERCISE)
    service.clock = T0 + 999_999
    assert service.feed(EXERCISE, report(delay_ms=100)).at == T0
    assert names(service.feed(EXERCISE, StepTo(), at=T0 + 100)) == ["ToyEscalated"]
    assert service.feed(EXERCISE, report(2), at=T0 + 150).at == T0 + 150
    assert isinstance(only(service.feed(EXERCISE, StepTo())), InputRefused)


def test_steps_and_pace_exist_in_simulated_realms_only() -> None:
    service, live = opened(EXERCISE), opened(LIVE)
    step, pace = (
        StepRequested(author="p1", role="cell", to=T0 + 10),
        SetPace(author="p1", role="cell", paused=True),
    )
    assert only(service.feed(EXERCISE, step, id="s1")) == StepAccepted(to=T0 + 10, command_id="s1")
    settled = only(service.feed(EXERCISE, StepSettled(command_id="s1", to=T0 + 10)))
    assert isinstance(settled, CommandApplied)
    assert settled.command_id == "s1"
    paced = service.feed(EXERCISE, pace)
    assert paced.facts[0].message() == PaceChanged(paused=True, speed=None)
    for command in (step, pace):
        refused = only(live.feed(LIVE, command))
        assert isinstance(refused, CommandRefused)
        assert refused.code == "realm_not_simulated"
    refused_step = only(live.feed(LIVE, StepTo()))
    assert isinstance(refused_step, InputRefused)


def test_facts_of_the_runtime_are_no_inputs() -> None:
    service = opened()
    for forged in (
        LossDeclared(detail="x"),
        CommandApplied(command_id="c", command="X"),
        DeadlineFailed(key="k", due=1, error="e"),
    ):
        assert isinstance(only(service.feed(LIVE, forged)), InputRefused)


def test_ids_are_derived_from_the_lineage_and_the_input_not_drawn() -> None:
    first, second = opened(), opened()
    a = first.feed(LIVE, report(), id="r1", at=T0 + 5)
    second.feed(LIVE, report(delay_ms=1), id="r0", at=T0 + 1)
    b = second.feed(LIVE, report(), id="r1", at=T0 + 2)
    assert names(b) == ["ToyEscalated", "ToyReported"]
    assert a.facts[0].id == b.facts[1].id
    other = MemoryService(ToyDecider(), clock=T0)
    other.feed(
        EXERCISE, OpenRealm(author="p", role="cell", territory="92", started_at=T0, lineage=LIVE)
    )
    assert other.feed(EXERCISE, report(), id="r1").facts[0].id == a.facts[0].id


def test_an_id_is_forgotten_after_seven_days_in_a_live_realm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.runtime.decider.protocol.PAGE_IDS", 4)
    service = opened()
    service.feed(LIVE, report(), id="old", at=T0)
    for n in range(8):
        service.feed(
            LIVE, Tick(), id=f"t{n}", at=T0 + RETENTION_MS - 1 if n < 4 else T0 + 2 * RETENTION_MS
        )
    assert "old" not in service.realm(LIVE).seen
    assert "t7" in service.realm(LIVE).seen


def test_an_exercise_never_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.decider.protocol.PAGE_IDS", 2)
    service = opened(EXERCISE)
    service.feed(EXERCISE, report(), id="old")
    for n in range(8):
        service.feed(EXERCISE, StepTo(), id=f"t{n}", at=T0 + (n + 1) * RETENTION_MS)
    assert "old" in service.realm(EXERCISE).seen


P = partition_of(LIVE, 8)
_junk_headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "ce_id",
                "ce_type",
                "ce_source",
                "ce_at",
                "ce_place",
                "ce_placehash",
                "ce_correlationid",
                "ce_traceparent",
                "x",
            ]
        ),
        st.one_of(
            st.none(),
            st.binary(max_size=400),
            st.sampled_from(
                [b"vigie.ToyReport.v1", b"vigie.Tick.v1", b"toy/1/0/1/0", b"17", b"r1"]
            ),
        ),
    ),
    max_size=8,
)
_values = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.sampled_from([b"{}", b'{"incident":"i","n":1}', b'{"incident":"i","n":NaN}', b"[]"]),
)
_keys = st.one_of(
    st.none(), st.binary(max_size=12), st.sampled_from([b"92", b"92", b"92", b"92~ex-1", b"93"])
)


@settings(max_examples=100)
@given(st.lists(st.tuples(_keys, _values, _junk_headers, st.integers(0, 7)), max_size=6))
def test_no_record_can_crash_the_core(
    records: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]],
) -> None:
    service = opened()
    for key, value, headers, partition in records:
        stored = service.feed_raw(partition, key, value, headers)
        assert Transaction.load(stored.raw) == stored.transaction
        tracing.read_traceparent(headers)
    assert names(service.feed(LIVE, report(), id="after")) in (["ToyReported"], ["InputDuplicate"])


_messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        ToyReport,
        incident=st.sampled_from("abc"),
        n=st.integers(0, 9),
        delay_ms=st.one_of(st.none(), st.integers(1, 50)),
        does=st.sampled_from(["well", "well", "raise", "curse"]),
    ),
    st.builds(ToyAck, incident=st.sampled_from("abc")),
    st.just(Tick()),
)
_script = st.lists(st.tuples(_messages, st.sampled_from("rstuv"), st.integers(0, 60)), max_size=25)


@settings(max_examples=80)
@given(_script)
def test_the_state_is_the_fold_of_the_log_and_nothing_fires_twice(
    script: list[tuple[Message, str, int]],
) -> None:
    service, now = opened(), T0  # MemoryService folds every record back and compares
    for message, id, wait in script:
        now += wait
        service.feed(LIVE, message, id=id, at=now)
    applied = [s.transaction for s in service.log.of(LIVE)]
    ids = [fact.id for t in applied for fact in t.facts]
    assert len(ids) == len(set(ids))
    counted = [f for t in applied for f in t.facts if f.name == "ToyReported"]
    assert len(counted) == sum(service.state(LIVE).counts.values())
    assert all(a.at <= b.at for a, b in itertools.pairwise(applied))


@settings(max_examples=50)
@given(_script, st.data())
def test_realms_do_not_touch_each_other(
    script: list[tuple[Message, str, int]], data: st.DataObject
) -> None:
    alone, beside, now = opened(), opened(), T0
    beside.feed(EXERCISE, OpenRealm(author="p", role="cell", territory="92", started_at=T0))
    for message, id, wait in script:
        now += wait
        alone.feed(LIVE, message, id=id, at=now)
        beside.feed(LIVE, message, id=id, at=now)
        if data.draw(st.booleans()):
            beside.feed(EXERCISE, message, id=id, at=now)
    assert alone.realm(LIVE) == beside.realm(LIVE)


def test_an_unreadable_record_never_puts_its_bytes_into_the_log() -> None:
    service = opened()
    secret = b"Mme Exemple 06 00 00 00 00"
    for key, value, headers in (
        (secret, b"{}", []),
        (
            b"92",
            b'{"incident": 5, "n": "' + secret + b'"}',
            build_headers("vigie.ToyReport.v1", id="x1", source="t"),
        ),
        (
            b"92",
            b'{"' + secret + b'": 1}',
            build_headers("vigie.ToyReport.v1", id="x2", source="t"),
        ),
        (b"92", secret, [("ce_id", b"x3"), ("ce_type", b"vigie.ToyReport.v1"), ("ce_at", secret)]),
    ):
        stored = service.feed_raw(P, key, value, headers)
        assert only(stored.transaction).__class__ is InputRefused
        assert b"Exemple" not in stored.raw


@pytest.mark.parametrize("id", ["", "x" * 257, "a\nb"])
def test_an_id_that_would_swell_or_tear_the_log_is_refused(id: str) -> None:
    stored = opened().feed_raw(
        P,
        b"92",
        b'{"incident": "i", "n": 1}',
        build_headers("vigie.ToyReport.v1", id=id, source="t"),
    )
    refused = only(stored.transaction)
    assert isinstance(refused, InputRefused)
    assert (refused.code, refused.input_id) == ("invalid", f"toy.inputs/{P}/1")
    assert stored.transaction.src.id == refused.input_id


def test_closing_is_forwarded_like_a_fact() -> None:
    echo, p = MemoryService(EchoDecider(), clock=T0), partition_of(LIVE, 8)
    opening = RealmOpened(territory="92", title_code="live", started_at=T0, lineage=LIVE)
    echo.feed(LIVE, opening, place=Place("toy", p, 0, 1, 0), place_hash="a")
    assert (
        only(echo.feed(LIVE, RealmClosed(), place=Place("toy", p, 0, 2, 0), place_hash="a"))
        == RealmClosed()
    )
    assert echo.realm(LIVE).closed


@pytest.mark.parametrize(
    "started_at", [-1, END_OF_TIME, END_OF_TIME + 12 * 3_600_000, 2**62, 2**70]
)
def test_an_exercise_begins_at_a_time_that_a_calendar_names(started_at: int) -> None:
    """Its facts could not be forwarded, so the worker ended at each restart."""
    command = OpenRealm(author="p1", role="admin", territory="92", started_at=started_at)
    answer = only(MemoryService(ToyDecider(), clock=T0).feed(EXERCISE, command, id="open"))
    assert isinstance(answer, CommandRefused)
    assert (answer.status, answer.code) == (409, "time_out_of_range")


def test_a_live_realm_ignores_a_given_start() -> None:
    command = OpenRealm(author="system:up", role="admin", territory="92", started_at=-1)
    assert names(MemoryService(ToyDecider(), clock=T0).feed(LIVE, command, id="open")) == [
        "RealmOpened",
        "CommandApplied",
    ]


def test_the_clock_of_an_exercise_is_not_moved_past_the_last_day_of_the_calendar() -> None:
    """The conductor's step there is no input that can be read: the realm waited for it for ever."""
    service = opened(EXERCISE)
    for to, expected in ((END_OF_TIME, CommandRefused), (END_OF_TIME - 1, StepAccepted)):
        assert isinstance(
            only(
                service.feed(
                    EXERCISE, StepRequested(author="p1", role="admin", to=to), id=f"to-{to}"
                )
            ),
            expected,
        )


def test_a_fact_of_a_time_that_no_calendar_names_can_be_forwarded_all_the_same() -> None:
    assert "ce_time" not in dict(
        build_headers("vigie.Tick.v1", id="t", source="/toy", time_ms=END_OF_TIME)
    )
    assert (
        dict(build_headers("vigie.Tick.v1", id="t", source="/toy", time_ms=END_OF_TIME - 1))[
            "ce_time"
        ]
        == b"9999-12-31T23:59:59.999Z"
    )

"""Projection and time travel share one rule: the last row per id among the facts known then."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import MetricChanged
from schemas.base import Fact, UnknownType
from schemas.runtime import (
    CommandApplied,
    CommandRefused,
    InputFailed,
    InputRefused,
    LossDeclared,
    RealmOpened,
    Rebased,
)
from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from services.console.read_model.history import Chronicle, Fold, Version, list_versions
from services.console.read_model.projection import (
    ProjectedBatch,
    Projection,
    dump_position,
    load_position,
)
from services.console.read_model.row_effects import (
    CommandAnswered,
    InputLost,
    LogbookLineAdded,
    RealmFieldsChanged,
    RowPut,
    list_effects,
)
from services.console.read_model.store import (
    COMMAND_TTL_S,
    SIMULATED_COMMAND_TTL_S,
    build_command_key,
    build_position_key,
    build_sent_key,
)
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.process import sqlite_cache
from tests.integration.console import crisis
from tests.integration.console.logwriter import Chains

REALM = "92~test-rule"
START = crisis.START


class Accepted:
    def __init__(self, transaction: Transaction, partition: int, position: Position) -> None:
        self.transaction, self.partition, self.position = transaction, partition, position


def accepted(
    chains: Chains,
    service: str,
    facts: Sequence[object],
    at: int,
    realm: str = REALM,
    **more: object,
) -> Accepted:
    partition, raw = chains.make(service, realm, facts, at, **more)  # type: ignore[arg-type]
    return Accepted(Transaction.load(raw), partition, chains.positions[service, partition])


steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["pmi-01", "pmi-02", "pmi-03"]),
        st.sampled_from(["closed", "degraded", "unknown"]),
    ),
    max_size=30,
)


def told(chronicle: Chronicle, one: Accepted, service: str = "alerts") -> None:
    chronicle.add(
        service,
        one.partition,
        list_versions(one.transaction, one.position.head_offset),
        one.position,
    )


def rows(chronicle: Chronicle, collection: str, until: int) -> dict[str, Any]:
    return {
        id: orjson.loads(row) for id, row in Fold(chronicle, REALM, until).rows(collection).items()
    }


@given(steps, st.integers(-1, 160))
def test_the_picture_of_a_time_is_its_last_known_row(
    moves: list[tuple[int, str, str]], minute: int
) -> None:
    chains, at, chronicle = Chains(), START, Chronicle.in_memory()
    expected: dict[str, str] = {}
    until = START + minute * crisis.MINUTE
    for minutes, site, status in moves:
        at += minutes * crisis.MINUTE
        told(chronicle, accepted(chains, "alerts", [crisis.site(site, at, status)], at))
        if at <= until:
            expected[site] = status
    assert {id: row["status"] for id, row in rows(chronicle, "sites", until).items()} == expected
    fold = Fold(chronicle, REALM, until)
    assert fold.count("sites") == len(expected)
    assert {
        id: orjson.loads(row)["status"]
        for id, row in fold.some("sites", ["pmi-01", "pmi-02", "pmi-03"]).items()
    } == expected


def test_deadlines_that_fired_late_count_at_their_own_time() -> None:
    facts = [crisis.site("pmi-01", START, "unknown"), crisis.site("pmi-02", START, "unknown")]
    late, chronicle = START + 30 * crisis.MINUTE, Chronicle.in_memory()
    told(chronicle, accepted(Chains(), "alerts", facts, late, times=[START + crisis.MINUTE, late]))
    assert set(rows(chronicle, "sites", START + 2 * crisis.MINUTE)) == {"pmi-01"}
    assert Fold(chronicle, REALM, START + 2 * crisis.MINUTE).clock == START + crisis.MINUTE


def test_versions_are_read_as_they_were_written_and_take_less_space(tmp_path: Path) -> None:
    chronicle, chains = Chronicle.open(tmp_path / "chronicle.db"), Chains()
    plain_bytes = 0
    for n in range(50):
        at = START + n * crisis.MINUTE
        one = accepted(chains, "alerts", [crisis.site("pmi-01", at, "closed")], at)
        versions = list(list_versions(one.transaction, one.position.head_offset))
        plain_bytes += sum(len(v.value) for v in versions)
        told(chronicle, one)
        (row,) = [v.value for v in versions if v.collection == "sites"]
        assert Fold(chronicle, REALM, at).rows("sites") == {"pmi-01": row}
        assert Fold(chronicle, REALM, at).row("sites", "pmi-01") == row
    with sqlite3.connect(tmp_path / "chronicle.db") as db:
        (stored_bytes,) = db.execute("SELECT sum(length(value)) FROM versions").fetchone()
    db.close()
    assert stored_bytes < plain_bytes * 0.1


values = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 3), st.binary(max_size=60)),
    max_size=25,
)


@given(values)
def test_each_value_is_read_as_it_was_written(changes: list[tuple[str, int, bytes]]) -> None:
    chronicle = Chronicle.in_memory()
    expected: dict[tuple[str, int], bytes] = {}
    for seq, (id, words, tail) in enumerate(changes):
        value = orjson.dumps({"id": id, "words": "word after word " * words, "tail": tail.hex()})
        version = Version(REALM, "sites", id, START + seq, seq, value)
        chronicle.add("alerts", 0, [version], Position())
        expected[id, START + seq] = value
    assert {(id, at): value for id, at, value in chronicle.versions(REALM, "sites")} == expected
    for (id, at), value in expected.items():
        assert chronicle.one(REALM, "sites", id, at) == value


def test_values_of_an_earlier_version_are_read_and_serve_later_ones(tmp_path: Path) -> None:
    path, value = tmp_path / "chronicle.db", b'{"words":"%s"}' % (b"as they were " * 30)
    chronicle = Chronicle.open(path)
    chronicle.add("alerts", 0, [Version(REALM, "sites", "a", START, 0, value)], Position())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE versions SET value = ?", (zlib.compress(value, 1),))
    db.close()
    later = [
        Version(REALM, "sites", id, START + 1, seq, value.replace(b"were", b"are"))
        for seq, id in enumerate(("a", "b"), 1)
    ]
    chronicle.add("alerts", 0, later, Position())
    assert chronicle.one(REALM, "sites", "a", START) == value
    assert dict(chronicle.newest(REALM, "sites", START + 1)) == {
        version.id: version.value for version in later
    }


def test_a_damaged_base_is_an_error(tmp_path: Path) -> None:
    path, chronicle = tmp_path / "chronicle.db", Chronicle.open(tmp_path / "chronicle.db")
    for seq in range(2):
        value = b'{"words":"%s%d"}' % (b"as they were " * 30, seq)
        version = Version(REALM, "sites", "a", START + seq, seq, value)
        chronicle.add("alerts", 0, [version], Position())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE versions SET value = ? WHERE seq = 0", (b'{"words":"others"}',))
    with pytest.raises(sqlite3.DatabaseError, match="damaged"):
        chronicle.one(REALM, "sites", "a", START + 1)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM versions WHERE seq = 0")
    db.close()
    with pytest.raises(sqlite3.DatabaseError, match="missing"):
        chronicle.one(REALM, "sites", "a", START + 1)


def test_reports_belong_to_their_incident_at_that_time() -> None:
    chains, chronicle = Chains(), Chronicle.in_memory()
    for at, id, incident in (
        (START, "r-1", "i-1"),
        (START + 1, "r-2", "i-2"),
        (START + 2, "r-1", "i-2"),
    ):
        told(
            chronicle,
            accepted(chains, "alerts", [crisis.report(id, "pmi-01", START, incident=incident)], at),
        )
    then = [
        [row["id"] for row in Fold(chronicle, REALM, at).reports_of("i-2")]
        for at in (START, START + 1, START + 2)
    ]
    assert then == [[], ["r-2"], ["r-1", "r-2"]]
    assert Fold(chronicle, REALM, START + 2).reports_of("i-1") == []


def test_rows_of_a_log_survive_a_restart_and_vanish_with_another_log(tmp_path: Path) -> None:
    path, chains = tmp_path / "chronicle.db", Chains()
    one = accepted(chains, "alerts", [crisis.site("pmi-01", START, "closed")], START)
    first = Chronicle.open(path)
    told(first, one)
    del first
    again = Chronicle.open(path)
    assert again.position("alerts", one.partition).next == one.position.next
    assert set(rows(again, "sites", START)) == {"pmi-01"}
    again.forget("alerts", one.partition)
    assert again.position("alerts", one.partition) == Position()
    assert rows(again, "sites", START) == {}
    del again


def test_a_chronicle_is_scanned_once_at_its_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, opened = [], sqlite_cache._open_checked
    monkeypatch.setattr(
        sqlite_cache,
        "_open_checked",
        lambda path, *more: looked.append(path) or opened(path, *more),
    )
    chronicle = Chronicle.open(tmp_path / "chronicle.db")
    one = accepted(Chains(), "alerts", [crisis.site("pmi-01", START, "closed")], START)
    told(chronicle, one)
    assert set(rows(chronicle, "sites", START)) == {"pmi-01"}, (
        "what one connection writes the other reads"
    )
    assert len(looked) == 1


def test_a_time_is_covered_once_every_service_passed_it() -> None:
    chains, chronicle = Chains(), Chronicle.in_memory()
    for service in SERVICES:
        assert not chronicle.covers(REALM, START)
        told(
            chronicle,
            accepted(chains, service, [MetricChanged(key="x", value=1.0, at=START)], START + 1),
            service,
        )
    assert chronicle.covers(REALM, START)
    assert not chronicle.covers(REALM, START + 1), "more of the same millisecond may come"


def test_an_unknown_fact_stops_the_reader() -> None:
    one = accepted(Chains(), "alerts", [crisis.site("pmi-01", START)], START)
    foreign = FactRecord("vigie.FromTheFuture.v1", "x", START, {})
    with pytest.raises(UnknownType):
        list(list_effects(Transaction(**{**_fields(one.transaction), "facts": (foreign,)}), 0))


def _fields(tx: Transaction) -> dict[str, object]:
    return {name: getattr(tx, name) for name in Transaction.__slots__}


def test_commands_are_answered_with_any_outcome() -> None:
    facts = [
        CommandApplied(command_id="c-1", command="SetLevel", result={"level": 3}),
        CommandRefused(command_id="c-2", command="SetLevel", status=409, code="predicate_holds"),
        InputFailed(input_id="c-3", input_type="vigie.SetLevel.v1", error="ValueError: x"),
        InputRefused(
            input_id="c-4", input_type="vigie.SetLevel.v1", code="invalid", detail="level"
        ),
        InputFailed(input_id="r-1", input_type="vigie.ReportReceived.v1", error="ValueError: x"),
    ]
    one = accepted(Chains(), "alerts", facts, START)
    effects = list(list_effects(one.transaction, 0))
    answers = {e.id: (e.state, e.status) for e in effects if isinstance(e, CommandAnswered)}
    assert answers == {
        "c-1": ("applied", None),
        "c-2": ("refused", 409),
        "c-3": ("failed", None),
        "c-4": ("failed", None),
    }
    assert [(e.id, e.state, e.source_key) for e in effects if isinstance(e, InputLost)] == [
        ("r-1", "failed", "test")
    ]


def test_a_realm_follows_the_facts_of_alerts() -> None:
    opened = RealmOpened(territory="92", title_code="S04", started_at=START, lineage=REALM)
    own = list(list_effects(accepted(Chains(), "alerts", [opened], START).transaction, 0))
    echo = list(list_effects(accepted(Chains(), "continuity", [opened], START).transaction, 0))
    assert [e.fields["name"] for e in own if isinstance(e, RealmFieldsChanged)] == [REALM]
    assert echo == []


def test_facts_of_the_runtime_are_no_lines() -> None:
    one = accepted(Chains(), "continuity", [MetricChanged(key="x", value=1.0, at=START)], START)
    assert list(list_effects(one.transaction, 0)) == []


def test_a_batch_writes_the_last_rows_all_lines_and_its_positions() -> None:
    chains = Chains()
    records = [
        accepted(chains, "alerts", [crisis.site("pmi-01", START + n, status)], START + n)
        for n, status in enumerate(["closed", "degraded"])
    ]
    key = build_position_key("alerts", records[0].partition)
    made = Projection({}).batch("e1", {key: "before"}, records)
    commands = made.batch.commands
    rows = [c for c in commands if c[0] == "HSET" and ":rows:sites" in str(c[1])]
    assert len(rows) == 1
    assert b'"degraded"' in bytes(rows[0][3])  # type: ignore[arg-type]
    assert made.lines == {REALM: 2}
    assert made.batch.expected_positions == {key: "before"}
    assert load_position(made.positions[key]).next == 2
    assert made.batch.epoch == "e1"


def test_answers_are_kept_from_their_request_even_when_logs_are_reread() -> None:
    answered = accepted(
        Chains(), "alerts", [CommandApplied(command_id="c-1", command="CloseRealm")], START
    ).transaction
    stepped = accepted(
        Chains(), "alerts", [CommandApplied(command_id="c-1", command="StepRequested")], START
    ).transaction
    cases = (
        (answered, "92", COMMAND_TTL_S),
        (answered, REALM, COMMAND_TTL_S),
        (stepped, REALM, SIMULATED_COMMAND_TTL_S),
    )
    for tx, realm, kept_s in cases:
        one = Accepted(replace(tx, realm=realm), 0, Position())
        lifetimes = []
        for age_s in (-5, 0, 60, kept_s - 1, kept_s, 10 * kept_s):
            now = answered.src.appended_at + 1000 * age_s
            commands = (
                Projection({realm: {}}, clock_ms=partial(int, now))
                .batch("e1", {}, [one])
                .batch.commands
            )
            lifetimes += [c[-1] for c in commands if c[:2] == ("SET", build_command_key("c-1"))]
            assert any(c[0] == "PUBLISH" for c in commands) == (age_s < kept_s)
            assert [c[2] for c in commands if c[:2] == ("EXPIRE", build_sent_key("c-1"))] == [
                c[-1] for c in commands if c[:2] == ("SET", build_command_key("c-1"))
            ]
        assert lifetimes == [kept_s, kept_s, kept_s - 60, 1]


def test_a_position_reads_back_as_it_was_written() -> None:
    chains = Chains()
    one = accepted(chains, "alerts", [crisis.site("pmi-01", START)], START)
    back = load_position(dump_position(one.position, START))
    partition, raw = chains.make("alerts", REALM, [crisis.site("pmi-01", START + 1)], START + 1)
    assert partition == one.partition
    assert advance_position(back, back.next, raw, 1)[1] is not None


def test_rates_count_first_reports_only() -> None:
    chains = Chains()
    first = accepted(chains, "alerts", [crisis.report("r-1", "pmi-01", START)], START)
    verdict = accepted(
        chains, "alerts", [crisis.report("r-1", "pmi-01", START, confirmation="denied")], START + 1
    )
    puts = [
        e
        for one in (first, verdict)
        for e in list_effects(one.transaction, 0)
        if isinstance(e, RowPut)
    ]
    changes = [
        e.line.change
        for one in (first, verdict)
        for e in list_effects(one.transaction, 0)
        if isinstance(e, LogbookLineAdded)
    ]
    assert [p.new for p in puts] == [True, False]
    assert changes == ["applied", "verdict"]


LIVE = "92"
OTHER = next(
    r
    for r in map(str, range(100, 10_000))
    if partition_of(r, PARTITION_COUNT) != partition_of(LIVE, PARTITION_COUNT)
)
DRILL = "92~ex-1"


def opened(chains: Chains, service: str, realm: str) -> Accepted:
    return accepted(
        chains,
        service,
        [RealmOpened(territory="92", title_code="test", started_at=START, lineage=realm)],
        START,
        realm,
    )


def written(projected: ProjectedBatch) -> set[tuple[str, str]]:
    """List (realm, type of a line)."""
    line_commands = (
        c for c in projected.batch.commands if c[0] == "HSET" and str(c[1]).endswith(":lines")
    )
    return {
        (str(c[1]).split(":")[1], orjson.loads(raw)["type"])
        for c in line_commands
        for raw in c[3::2]
    }


def test_repairs_of_an_exercise_log_are_no_lines_from_its_future() -> None:
    chains, projection = Chains(), Projection({})
    projection.batch("e", {}, [opened(chains, "alerts", DRILL)])
    repaired = accepted(
        chains, "alerts", [LossDeclared(detail="disk")], START, DRILL, cause=LossDeclared
    )
    assert projection.batch("e", {}, [repaired]).lines == {}


@pytest.mark.parametrize(
    "fact", [LossDeclared(detail="disk"), Rebased(cluster_id="k2", next_offset=7)]
)
@pytest.mark.parametrize("again", [False, True])
def test_repairs_of_a_log_are_recorded_in_each_concerned_live_realm(
    fact: Fact, again: bool
) -> None:
    chains, projection = Chains(), Projection({})
    first = [opened(chains, "alerts", realm) for realm in (LIVE, OTHER, DRILL)] + [
        opened(chains, "continuity", LIVE)
    ]
    for one in first:
        projection.batch(
            "e", {build_position_key(one.transaction.service, one.partition): ""}, [one]
        )
    if again:  # the next process knows the realms from the store
        projection = Projection(projection.realms)
    repaired = accepted(chains, "alerts", [fact], START + crisis.MINUTE, LIVE, cause=type(fact))
    assert repaired.transaction.realm == ""
    done = projection.batch("e", {build_position_key("alerts", repaired.partition): ""}, [repaired])
    assert written(done) == {(LIVE, type(fact).__name__)}
    assert done.lines == {LIVE: 1}

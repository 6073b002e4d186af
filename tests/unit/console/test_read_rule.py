"""One rule for projection and time travel: the last row per collection and id, among the facts known by then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import MetricChanged
from schemas.base import UnknownType
from schemas.runtime import CommandApplied, CommandRefused, InputFailed, InputRefused, RealmOpened
from services.console.effects import CommandAnswered, InputLost, LineAdded, RealmTouched, RowPut, effects
from services.console.projection import Projection, dump_position, load_position
from services.console.store import position
from services.console.timetravel import CHECKPOINTS, Checkpoints, ServiceFold
from services.runtime.chain import Position, follow
from services.runtime.transaction import FactRecord, Transaction
from tests.integration.console import crisis
from tests.integration.console.logwriter import Chains

REALM = "92~test-rule"
START = crisis.START


class Accepted:
    def __init__(self, transaction: Transaction, partition: int, position: Position) -> None:
        self.transaction, self.partition, self.position = transaction, partition, position


def accepted(chains: Chains, service: str, facts: Sequence[object], at: int, **more: object) -> Accepted:
    partition, raw = chains.make(service, REALM, facts, at, **more)  # type: ignore[arg-type]
    return Accepted(Transaction.load(raw), partition, chains.positions[service, partition])


steps = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["pmi-01", "pmi-02", "pmi-03"]), st.sampled_from(["closed", "degraded", "unknown"])),
    max_size=30,
)


@given(steps, st.integers(-1, 160))
def test_the_fold_at_a_time_is_the_last_row_known_by_then(moves: list[tuple[int, str, str]], minute: int) -> None:
    chains, at, fold = Chains(), START, ServiceFold()
    expected: dict[str, str] = {}
    until = START + minute * crisis.MINUTE
    for minutes, site, status in moves:
        at += minutes * crisis.MINUTE
        one = accepted(chains, "alerts", [crisis.site(site, at, status)], at)
        fold = fold.after(one.transaction, one.partition, until)
        if at <= until:
            expected[site] = status
    assert {id: row["status"] for id, row in fold.collections.get("sites", {}).items()} == expected


def test_deadlines_that_fired_late_count_at_their_own_time() -> None:
    facts = [crisis.site("pmi-01", START, "unknown"), crisis.site("pmi-02", START, "unknown")]
    late = START + 30 * crisis.MINUTE
    one = accepted(Chains(), "alerts", facts, late, times=[START + crisis.MINUTE, late])
    fold = ServiceFold().after(one.transaction, one.partition, START + 2 * crisis.MINUTE)
    assert set(fold.collections["sites"]) == {"pmi-01"}


def test_checkpoints_never_hold_what_was_known_later_and_stay_bounded() -> None:
    kept = Checkpoints()
    for n in range(3 * CHECKPOINTS):
        kept.add(START + n, Position(next=n + 1, seq=n + 1), ServiceFold(clock=START + n))
    assert len(kept.at) <= CHECKPOINTS + 1
    for probe in (START - 1, START, START + 77, START + 10_000):
        _, fold = kept.before(probe)
        assert fold.clock is None or fold.clock <= probe


def test_a_fact_that_this_version_does_not_know_stops_the_reader() -> None:
    one = accepted(Chains(), "alerts", [crisis.site("pmi-01", START)], START)
    foreign = FactRecord("vigie.FromTheFuture.v1", "x", START, {})
    with pytest.raises(UnknownType):
        list(effects(Transaction(**{**_fields(one.transaction), "facts": (foreign,)}), 0))


def _fields(tx: Transaction) -> dict[str, object]:
    return {name: getattr(tx, name) for name in Transaction.__slots__}


def test_commands_are_answered_whatever_became_of_them() -> None:
    facts = [
        CommandApplied(command_id="c-1", command="SetLevel", result={"level": 3}),
        CommandRefused(command_id="c-2", command="SetLevel", status=409, code="predicate_holds"),
        InputFailed(input_id="c-3", input_type="vigie.SetLevel.v1", error="ValueError: x"),
        InputRefused(input_id="c-4", input_type="vigie.SetLevel.v1", code="invalid", detail="level"),
        InputFailed(input_id="r-1", input_type="vigie.ReportReceived.v1", error="ValueError: x"),
    ]
    one = accepted(Chains(), "alerts", facts, START)
    found = list(effects(one.transaction, 0))
    answers = {e.id: (e.state, e.status) for e in found if isinstance(e, CommandAnswered)}
    assert answers == {"c-1": ("applied", None), "c-2": ("refused", 409), "c-3": ("failed", None), "c-4": ("failed", None)}
    assert [(e.id, e.state) for e in found if isinstance(e, InputLost)] == [("r-1", "failed")]


def test_a_realm_is_what_alerts_says_of_it() -> None:
    opened = RealmOpened(territory="92", title_code="S04", started_at=START, lineage=REALM)
    own = list(effects(accepted(Chains(), "alerts", [opened], START).transaction, 0))
    echo = list(effects(accepted(Chains(), "continuity", [opened], START).transaction, 0))
    assert [e.fields["name"] for e in own if isinstance(e, RealmTouched)] == [REALM]
    assert echo == []


def test_the_runtimes_own_facts_are_no_lines() -> None:
    one = accepted(Chains(), "continuity", [MetricChanged(key="x", value=1.0, at=START)], START)
    assert list(effects(one.transaction, 0)) == []


def test_a_batch_writes_the_last_row_and_every_line_and_stands_on_its_positions() -> None:
    chains = Chains()
    records = [
        accepted(chains, "alerts", [crisis.site("pmi-01", START + n, status)], START + n) for n, status in enumerate(["closed", "degraded"])
    ]
    key = position("alerts", records[0].partition)
    made = Projection({}).batch("e1", {key: "before"}, records)
    commands = made.batch.commands
    rows = [c for c in commands if c[0] == "HSET" and ":rows:sites" in str(c[1])]
    assert len(rows) == 1
    assert b'"degraded"' in bytes(rows[0][3])  # type: ignore[arg-type]
    assert made.lines == {REALM: 2}
    assert made.batch.expected == {key: "before"}
    assert load_position(made.positions[key]).next == 2
    assert made.batch.epoch == "e1"


def test_a_position_reads_back_as_it_was_written() -> None:
    chains = Chains()
    one = accepted(chains, "alerts", [crisis.site("pmi-01", START)], START)
    back = load_position(dump_position(one.position, START))
    partition, raw = chains.make("alerts", REALM, [crisis.site("pmi-01", START + 1)], START + 1)
    assert partition == one.partition
    assert follow(back, back.next, raw, 1)[1] is not None


def test_rates_count_first_words_only() -> None:
    chains = Chains()
    first = accepted(chains, "alerts", [crisis.report("r-1", "pmi-01", START)], START)
    verdict = accepted(chains, "alerts", [crisis.report("r-1", "pmi-01", START, confirmation="denied")], START + 1)
    puts = [e for one in (first, verdict) for e in effects(one.transaction, 0) if isinstance(e, RowPut)]
    changes = [e.line.change for one in (first, verdict) for e in effects(one.transaction, 0) if isinstance(e, LineAdded)]
    assert [p.new for p in puts] == [True, False]
    assert changes == ["applied", "verdict"]

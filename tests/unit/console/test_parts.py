"""Readers join rows that the log writes in parts: causes, last reports, counts."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas import alerts as a
from schemas.base import Model
from schemas.crisis.causes import Cause, CauseChanged
from schemas.reports import ReportReceived
from schemas.topics import input_topic
from schemas.words import EventType
from services.alerts.decider import AlertsDecider
from services.alerts.state import State
from services.console.read_model import store
from services.console.read_model.history import Chronicle, Fold, list_versions
from services.console.read_model.projection import Projection
from services.console.read_model.snapshot import PastSnapshot, RowCache, SnapshotMembers
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import Position, apply_input
from services.runtime.log.transaction import Transaction
from services.runtime.testing import StoredRecord
from tests.golden.record import FOLDER, REALM
from tests.state_hash import fold_records
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_laws import FEW, play, reports

EVER = 1 << 60


class _Record:
    """An accepted record as the projector reads it."""

    def __init__(self, stored: StoredRecord) -> None:
        self.transaction, self.partition = stored.transaction, stored.partition
        self.position = Position(seq=stored.transaction.seq, next=stored.offset + 1)


def _chronicle(transactions: Iterable[Transaction]) -> Chronicle:
    chronicle = Chronicle.in_memory()
    for offset, transaction in enumerate(transactions):
        chronicle.add("alerts", 0, list_versions(transaction, offset), Position())
    return chronicle


def _store(records: Sequence[_Record], sizes: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return the sorted sets of causes after these records, written in batches of these sizes."""
    projection, sorted_sets, begin = Projection({}), dict[str, dict[str, int]](), 0
    for size in (*sizes, len(records)):
        batch = projection.batch("epoch", {}, records[begin : begin + size]).batch
        begin += size
        for name, key, *values in batch.commands:
            if ":cause_" in str(key):
                _apply(str(name), sorted_sets.setdefault(str(key), {}), values)
    return sorted_sets


def _apply(name: str, members: dict[str, int], values: list[Any]) -> None:
    match name:
        case "ZADD":
            members |= {id: place for place, id in zip(values[::2], values[1::2], strict=True)}
        case "ZREM":
            for id in values:
                members.pop(id, None)
        case "ZREMRANGEBYSCORE":
            low, high = values
            assert (low, high[0]) == ("-inf", "(")
            for id in [id for id, place in members.items() if place < int(high[1:])]:
                del members[id]
        case _:
            raise AssertionError(name)


def _told(state: State) -> dict[str, SnapshotMembers]:
    return {id: SnapshotMembers(c.reports, c.sources) for id, c in state.causes.items()}


def _cut(row: a.SiteRow) -> a.SiteRow:
    causes = tuple(c.model_copy(update={"reports_count": None}) for c in row.causes)
    return row.model_copy(update={"causes": causes})


@FEW
@given(
    st.lists(
        st.tuples(reports(), st.integers(0, 30), st.integers(0, 200)), min_size=1, max_size=10
    ),
    st.lists(st.integers(1, 9)),
)
def test_rows_and_lists_of_the_picture_are_those_of_the_decider(
    history: list[tuple[dict[str, Any], int, int]], sizes: list[int]
) -> None:
    scene = Scene()
    play(scene, history)
    log = scene.service.log.of(scene.realm)
    past = PastSnapshot(
        scene.realm, Fold(_chronicle(s.transaction for s in log), scene.realm, EVER), EVER
    )
    causes, sorted_sets = list(scene.state.causes), _store([_Record(s) for s in log], sizes)

    async def shown() -> tuple[Any, Any, Any]:
        return (
            await past.rows(a.SiteRow),
            await past.rows(a.IncidentRow),
            await past.members_of(causes),
        )

    sites, incidents, members = asyncio.run(shown())
    assert {id: _cut(row) for id, row in sites.items()} == {
        id: _cut(row) for id, row in scene.state.sites.items()
    }
    assert incidents == dict(scene.state.incidents)
    assert members == _told(scene.state)
    for cause, both in members.items():
        for index, ids in zip(store.MEMBERS, both, strict=True):
            places = sorted_sets.get(store.members_key(scene.realm, index, cause), {})
            assert tuple(sorted(places, key=places.__getitem__)) == ids


def test_a_picture_of_the_past_names_the_reports_of_that_time() -> None:
    scene = Scene()
    report_ids = [
        scene.report(n, "outage_power", "cen-1", id=f"r-{n}", source=f"s-{n}") for n in range(12)
    ]
    chronicle = _chronicle(s.transaction for s in scene.service.log.of(scene.realm))
    (cause,) = scene.state.causes
    for n in (0, 6, 11):
        fold = Fold(chronicle, scene.realm, scene.at(n))
        assert fold.members_of("reports", cause) == tuple(report_ids[: n + 1])
        assert fold.members_of("sources", cause) == tuple(f"s-{i}" for i in range(n + 1))


def test_a_cause_of_an_older_log_is_read_with_all_its_reports() -> None:
    """Rows written before the update of the system lose none of their reports."""
    with gzip.open(FOLDER / "0.1.0" / "alerts.jsonl.gz") as file:
        raws = file.read().splitlines()
    machine = Machine(AlertsDecider())
    view = fold_records(machine.decider, enumerate(raws))
    before = view.realms[REALM].domain
    cause = next(
        c
        for c in before.causes.values()
        if c.site is not None and c.lifted_at is None and c.type is EventType.OUTAGE_POWER
    )
    assert cause.reports_count is None
    now, transactions = view.realms[REALM].now, [Transaction.load(raw) for raw in raws]
    for n in range(2):
        id = f"after-{n}"
        report = ReportReceived(
            report_id=id,
            source="site_manager",
            site_id=cause.site,
            type=cause.type,
            severity=2,
            occurred_at=now,
            recorded_at=now,
        )
        headers = build_headers(report.wire_type(), id=id, source="/test", at=now)
        offset = transactions[-1].src.offset + 1
        record = InputRecord(
            input_topic("alerts"),
            transactions[-1].src.partition,
            offset,
            REALM.encode(),
            encode_message(report),
            headers,
            now,
        )
        view, appended = apply_input(machine, view, record, "test")
        transactions.append(appended.transaction)
        (cause_change,) = [
            f
            for r in appended.transaction.facts
            if isinstance(f := r.message(), CauseChanged) and f.cause.id == cause.id
        ]
        assert cause_change.reports is not None
        assert cause_change.reports.added == ((*cause.reports, id) if n == 0 else (id,))
    fold = Fold(_chronicle(transactions), REALM, EVER)
    after: Cause = view.realms[REALM].domain.causes[cause.id]
    assert (
        fold.members_of("reports", cause.id)
        == after.reports
        == (*cause.reports, "after-0", "after-1")
    )


def test_a_row_is_joined_again_only_after_a_change_of_it_or_its_part() -> None:
    """Pages cache by row, and a report changes one row of thousands."""
    rows, realm = RowCache(), "92"
    sites: dict[str, Model] = {
        id: a.SiteRow(id=id, status="normal", since=0, capacity_pct=100) for id in ("a", "b", "c")
    }
    parts: dict[str, Model] = {id: a.SiteContact(id=id, last_word_at=1) for id in ("a", "b")}
    first = rows.join(realm, "sites", sites, parts)
    assert rows.join(realm, "sites", sites, parts) is first
    again = rows.join(realm, "sites", sites, parts | {"b": a.SiteContact(id="b", last_word_at=2)})
    assert [again[id] is first[id] for id in "abc"] == [True, False, True]
    assert [getattr(row, "last_word_at", None) for row in again.values()] == [1, 2, None]

"""IDFM's own list of lines: a line of `flux.yaml` with another name or mode is left out."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.watch.connector import FeedBody, FetchVerdict, Memory, Reading, find_connector
from services.watch.transport import FeedResponse, FeedTransport
from services.watch.watched import WatchedTerritory
from tests.unit.watch.samples import SAMPLES, load_bodies, load_document, read, watched_92
from tests.unit.watch.test_engine import Clock, Front, Installation, Server
from tests.unit.watch.test_lying_feeds import IDFM, block_lines

FIRST, SECOND = "2027-01-12T06:42:00Z", "2027-01-12T06:45:00Z"
RER_A, LINE_L = "C01742", "C01740"
CONNECTOR = find_connector(IDFM)
PATH = "/api/explore/v2.1/catalog/datasets/referentiel-des-lignes/records"


def make_list(**changes: Any) -> dict[str, FeedBody]:
    """Return the list of lines with changes of the record of RER A; None drops it."""
    document = load_document(IDFM, "lignes.json")
    record = next(one for one in document["results"] if one["id_line"] == RER_A)
    if changes.get("id_line", "") is None:
        document["results"].remove(record)
        document["total_count"] -= 1
    record.update(changes)
    return make_body(document)


def make_body(document: Any) -> dict[str, FeedBody]:
    return {"lignes": FeedBody("lignes", json.dumps(document).encode())}


def read_blocked(lines: dict[str, FeedBody], memory: Memory | None = None) -> list[Reading]:
    """Read twice that RER A and line L are blocked, with this list of lines."""
    blocked = block_lines([RER_A, LINE_L])
    first = read(IDFM, blocked | lines, FIRST, memory or {})
    return [first, read(IDFM, blocked, SECOND, first.memory)]


def name_posts(readings: list[Reading]) -> set[str]:
    return {p.body["measure"]["object"] for reading in readings for p in reading.posts}


def test_lines_that_idfm_names_alike_are_reported() -> None:
    readings = read_blocked(make_list())
    assert [one.verdict for one in readings] == [FetchVerdict.OK, FetchVerdict.OK]
    assert {f"line:IDFM:{RER_A}", f"line:IDFM:{LINE_L}"} <= name_posts(readings)


@pytest.mark.parametrize(
    "changes",
    [
        {"name_line": "B", "shortname_line": "B"},
        {"transportmode": "bus"},
        {"status": "inactive"},
        {"id_line": None},
    ],
)
def test_a_line_that_idfm_names_otherwise_is_drift_and_left_out(changes: dict[str, Any]) -> None:
    readings = read_blocked(make_list(**changes))
    assert {one.verdict for one in readings} == {FetchVerdict.DRIFT}
    assert name_posts(readings) == {f"line:IDFM:{LINE_L}"}
    assert f"line {RER_A}: " in "; ".join(readings[1].faults)


def test_a_list_that_is_cut_keeps_absent_lines() -> None:
    document = load_document(IDFM, "lignes.json")
    document["results"] = [one for one in document["results"] if one["id_line"] != RER_A]
    readings = read_blocked(make_body(document))
    assert f"line:IDFM:{RER_A}" in name_posts(readings)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>503</html>",
        b"",
        b"null",
        b"[]",
        b'{"total_count": 0, "results": []}',
        b'{"total_count": 1, "results": [{"id_line": "C01742"}]}',
        b'{"total_count": NaN, "results": []}',
    ],
)
def test_a_list_that_is_not_understood_is_drift_once_and_hides_no_line(content: bytes) -> None:
    readings = read_blocked({"lignes": FeedBody("lignes", content)})
    assert [one.verdict for one in readings] == [FetchVerdict.DRIFT, FetchVerdict.OK]
    assert {f"line:IDFM:{RER_A}", f"line:IDFM:{LINE_L}"} <= name_posts(readings)


def test_a_line_that_stands_twice_with_a_difference_is_drift() -> None:
    document = load_document(IDFM, "lignes.json")
    document["results"].append(document["results"][0] | {"status": "inactive"})
    reading = read(IDFM, load_bodies(IDFM, "normal.json") | make_body(document), FIRST)
    assert reading.verdict is FetchVerdict.DRIFT
    assert "line_names" not in reading.memory


def test_a_good_list_stands_after_a_bad_one() -> None:
    memory = read(IDFM, load_bodies(IDFM, "normal.json") | make_list(status="inactive"), FIRST)
    bad = {"lignes": FeedBody("lignes", b"<html>")}
    reading = read(IDFM, load_bodies(IDFM, "normal.json") | bad, SECOND, memory.memory)
    assert reading.memory["line_names"] == memory.memory["line_names"]


def list_follow_ups(memory: Memory, watched: WatchedTerritory | None = None) -> list[str]:
    bodies = {"main": load_bodies(IDFM, "normal.json")["main"]}
    requests = CONNECTOR.list_follow_ups(bodies, memory, watched or watched_92())
    return [one.url for one in requests]


def test_the_list_is_asked_at_the_start_daily_after_a_failure_and_for_a_new_line() -> None:
    bodies = {"main": load_bodies(IDFM, "normal.json")["main"]}
    edition = CONNECTOR.read_time(bodies)
    assert edition is not None
    (url,) = list_follow_ups({})
    parts = urlsplit(url)
    assert (parts.hostname, parts.path) == ("data.iledefrance-mobilites.fr", PATH)
    assert f'"{RER_A}"' in parse_qs(parts.query)["where"][0]
    assert list_follow_ups({"lines_asked": (edition - timedelta(minutes=59)).isoformat()}) == []
    assert list_follow_ups({"lines_asked": (edition - timedelta(minutes=61)).isoformat()})
    records = dict.fromkeys(watched_92().lines.names)
    stored_list = {"at": (edition - timedelta(hours=23)).isoformat(), "records": records}
    assert list_follow_ups({"line_names": stored_list}) == []
    old = stored_list | {"at": (edition - timedelta(hours=25)).isoformat()}
    assert list_follow_ups({"line_names": old})
    fewer = deepcopy(stored_list)
    del fewer["records"][RER_A]
    assert list_follow_ups({"line_names": fewer})
    unread = {"main": FeedBody("main", b"{")}
    assert list(CONNECTOR.list_follow_ups(unread, {}, watched_92())) == []


async def test_the_engine_fetches_the_list_once_a_day_and_goes_on_without_it(
    tmp_path: Path,
) -> None:
    clock, front = Clock(), Front()
    clock.now = datetime.fromisoformat(FIRST).astimezone(UTC)
    server = Server("normal.json", IDFM)
    server.by_path[PATH] = FeedResponse(FetchVerdict.RETRY, fault="http 503")
    process = Installation(tmp_path, clock, server, front)
    process.enable(IDFM)
    assert await process.engine.run_round(CONNECTOR) is FetchVerdict.OK
    assert server.asked == 2
    clock.move(400)
    await process.engine.run_round(CONNECTOR)
    assert server.asked == 3
    listed = (SAMPLES / IDFM / "lignes.json").read_bytes()
    server.by_path[PATH] = FeedResponse(FetchVerdict.OK, listed)
    memory = process.store.get(IDFM).memory
    assert "line_names" not in memory
    assert memory["lines_asked"]


def test_the_key_of_idfm_goes_to_its_own_host_only(tmp_path: Path) -> None:
    transport = FeedTransport(tmp_path, "")
    (url,) = list_follow_ups({})
    transport.check_host(CONNECTOR.spec, url)
    assert not transport._is_home(CONNECTOR.spec, url)

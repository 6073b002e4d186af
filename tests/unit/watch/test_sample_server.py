"""The shipped samples: every feed understands its story, at every hour of the day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.watch.connector import (
    SAMPLES_POLL_S,
    FeedBody,
    FeedConnector,
    FeedRequest,
    FetchVerdict,
    Reading,
    find_connector,
    list_connectors,
)
from services.watch.engine import SAMPLES_WAIT_S, FeedEngine, read_bodies
from services.watch.samples import FIRST_STEP, STEP, SampleStory, move_times
from services.watch.store import FeedStore, describe_feeds
from services.watch.transport import FeedResponse
from tests.unit.watch.samples import REPOSITORY, SAMPLES, watched_92
from tests.unit.watch.test_engine import Clock, Front, Server

AUTUMN = datetime(2026, 10, 24, tzinfo=UTC)
"""The day before the clocks go back: days and midnights cross the change."""


def fetch(
    story: SampleStory, requests: Sequence[FeedRequest], begun: datetime, now: datetime
) -> dict[str, FeedBody]:
    contents = {r.name: story.find_body(r.name, begun, now) for r in requests}
    return {n: FeedBody(n, content) for n, content in contents.items() if content is not None}


def play(connector: FeedConnector, begun: datetime) -> list[Reading]:
    """Read the story of a feed twice in each of its steps."""
    story = SampleStory(connector, SAMPLES / connector.spec.name)
    memory: dict[str, object] = {}
    readings = []
    starts = [timedelta(), FIRST_STEP, FIRST_STEP + STEP]
    for after in [s + timedelta(seconds=late) for s in starts for late in (5, 66)]:
        now = begun + after
        first = connector.list_requests(watched_92())
        bodies = fetch(story, first, begun, now)
        others = connector.list_follow_ups(bodies, memory, watched_92())
        bodies |= fetch(story, others, begun, now)
        readings.append(read_bodies(connector, bodies, memory, now, watched_92(), {}))
        memory = readings[-1].memory
    return readings


@pytest.mark.parametrize("hour", [2, 5, 13, 22])
@pytest.mark.parametrize("connector", list_connectors(), ids=lambda c: c.spec.name)
def test_each_story_is_read_and_reported_at_every_hour(connector: FeedConnector, hour: int) -> None:
    readings = play(connector, AUTUMN.replace(hour=hour, minute=40))
    assert [r.faults for r in readings] == [[]] * len(readings)
    assert {r.verdict for r in readings} <= {FetchVerdict.OK, FetchVerdict.UNCHANGED}
    posts = [post for reading in readings for post in reading.posts]
    assert posts
    begin, end = AUTUMN - timedelta(days=1), AUTUMN + timedelta(days=2)
    for post in posts:
        assert begin < datetime.fromisoformat(post.body["occurred_at"]) < end, post.key


def test_days_and_midnights_stay_days_and_midnights() -> None:
    content = (
        b'{"jour": "2027-01-20T00:00:00+01:00", "date": "2027-01-20", "at": "2027-01-19T16:02:00Z",'
        b' "end": "2027-01-19T23:00:00Z", "revised": "2027-01-19T00:00:00.000000",'
        b' "bulletin": "19012027_10"}'
    )
    moved = move_times(
        content, datetime(2027, 1, 19, 16, 16, tzinfo=UTC), datetime(2026, 7, 3, 1, tzinfo=UTC)
    )
    assert moved == (
        b'{"jour": "2026-07-04T00:00:00+02:00", "date": "2026-07-04", "at": "2026-07-03T00:46:00Z",'
        b' "end": "2026-07-03T22:00:00Z", "revised": "2026-07-03T00:00:00.000000",'
        b' "bulletin": "02072026_19"}'
    )


async def test_samples_are_asked_again_soon_while_their_server_starts(tmp_path: Path) -> None:
    clock, store, server = Clock(), FeedStore(tmp_path / "samples.db"), Server()
    engine = FeedEngine(
        store,
        server,  # type: ignore[arg-type]
        Front(),
        watched_92(),
        samples=True,
        clock=clock,
        chance=lambda: 0.9,
    )
    good, server.answer = server.answer, FeedResponse(FetchVerdict.RETRY, fault="ConnectError")
    connector = find_connector("meteofrance-vigilance")
    store.enable(connector.spec.name, clock.now.timestamp(), enabled=True)
    assert await engine.run_round(connector) is FetchVerdict.RETRY
    server.answer = good
    clock.move(SAMPLES_WAIT_S + 1)
    assert await engine.run_round(connector) is FetchVerdict.OK


async def test_samples_are_read_each_minute_and_at_night(tmp_path: Path) -> None:
    clock, store = Clock(), FeedStore(tmp_path / "samples.db")
    clock.now = datetime(2026, 11, 29, 2, tzinfo=UTC)
    server = Server("normal.json", "airparif-episodes")
    engine = FeedEngine(
        store,
        server,  # type: ignore[arg-type]
        Front(),
        watched_92(),
        samples=True,
        clock=clock,
        chance=lambda: 0.5,
    )
    connector = find_connector("airparif-episodes")
    store.enable(connector.spec.name, clock.now.timestamp(), enabled=True)
    request_counts = []
    for _ in range(3):
        await engine.run_round(connector)
        request_counts.append(server.asked)
        clock.move(SAMPLES_POLL_S + 1)
    assert request_counts[0] > 0
    assert request_counts[0] < request_counts[1] < request_counts[2]
    feed_list = describe_feeds(store, clock.now, samples=True)
    assert feed_list.samples
    assert {item.poll_s for item in feed_list.items} == {SAMPLES_POLL_S}


def test_the_flood_plan_names_sections_that_are_watched() -> None:
    plans = (REPOSITORY / "territories" / "92" / "plans.yaml").read_text(encoding="utf-8")
    section_names = re.findall(r"« ([^»]+) » \((IF\d+)\)", plans)
    assert section_names
    sections = watched_92().sections
    assert all(sections.decide.get(code) == name for name, code in section_names)
    assert "Boucles de la Seine" not in plans

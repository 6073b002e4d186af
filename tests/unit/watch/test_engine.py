"""The engine: order of intention, post and mark; intervals; failures; signs of life."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from schemas.catalogue.sources import FeedStatus
from services.watch.connector import FeedRequest, FeedSpec, FetchVerdict, find_connector
from services.watch.engine import ALIVE_TYPE, FeedEngine, FrontAway
from services.watch.store import FeedStore, describe_feed
from services.watch.transport import FeedResponse, KeyMissing
from tests.unit.watch.samples import SAMPLES, watched_92

MF = find_connector("meteofrance-vigilance")
BEGIN = datetime(2027, 1, 12, 15, 6, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Server:
    """Stands for the transport: serves one answer, and counts."""

    def __init__(self, file: str = "warning.json", feed: str = "meteofrance-vigilance") -> None:
        self.answer = FeedResponse(FetchVerdict.OK, (SAMPLES / feed / file).read_bytes())
        self.asked = 0
        self.by_path: dict[str, FeedResponse] = {}
        self.has_key = True

    async def fetch(
        self,
        spec: FeedSpec,
        request: FeedRequest,
        validators: Mapping[str, str],  # noqa: ARG002
    ) -> FeedResponse:
        self.asked += 1
        if not self.has_key:
            raise KeyMissing(spec.name)
        return self.by_path.get(urlsplit(request.url).path, self.answer)


class Front:
    """Stands for the front: keeps the first event of each id, as the real one does."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.away = False
        self.dies_after_next = False

    async def send(self, feed: str, event: dict[str, Any]) -> None:  # noqa: ARG002
        if self.away:
            raise FrontAway("away")
        self.requests.append(event)
        self.taken.setdefault(event["id"], event)
        if self.dies_after_next:
            raise Killed

    @property
    def reports(self) -> list[str]:
        return [id for id, event in self.taken.items() if event["type"] != ALIVE_TYPE]

    @property
    def signs(self) -> int:
        return sum(event["type"] == ALIVE_TYPE for event in self.taken.values())


class Installation:
    """One process of the watch on a data folder."""

    def __init__(self, folder: Path, clock: Clock, server: Server, front: Front) -> None:
        self.store = FeedStore(folder / "feeds.db")
        self.clock = clock
        self.engine = FeedEngine(
            self.store,
            server,  # type: ignore[arg-type]
            front,
            watched_92(),
            clock=clock,
            chance=lambda: 0.5,
        )

    def enable(self, name: str = MF.spec.name) -> None:
        self.store.enable(name, self.clock.now.timestamp(), enabled=True)

    def status(self) -> FeedStatus:
        return describe_feed(MF.spec, self.store.get(MF.spec.name), self.store)


def make(folder: Path) -> tuple[Installation, Clock, Server, Front]:
    clock, server, front = Clock(), Server(), Front()
    watch = Installation(folder, clock, server, front)
    watch.enable()
    return watch, clock, server, front


REPORTS = ["mf-vigilance:92:5:20270112T150305Z", "mf-vigilance:92:1:20270112T150305Z"]


async def test_a_feed_is_off_until_it_is_enabled(tmp_path: Path) -> None:
    server = Server()
    watch = Installation(tmp_path, Clock(), server, Front())
    assert await watch.engine.run_round(MF) is None
    assert server.asked == 0


async def test_a_round_reports_once_and_gives_a_sign_of_life(tmp_path: Path) -> None:
    watch, clock, _, front = make(tmp_path)
    assert await watch.engine.run_round(MF) is FetchVerdict.OK
    assert (front.reports, front.signs) == (REPORTS, 1)
    clock.move(MF.spec.poll_s * 1.2)
    assert await watch.engine.run_round(MF) is FetchVerdict.UNCHANGED
    assert (front.reports, front.signs) == (REPORTS, 2)


async def test_a_kill_between_intention_and_post_loses_nothing(tmp_path: Path) -> None:
    watch, clock, server, front = make(tmp_path)
    front.away = True
    await watch.engine.run_round(MF)
    assert front.reports == []
    watch.store.close()
    front.away = False
    again = Installation(tmp_path, clock, server, front)
    await again.engine.run_round(MF)
    assert front.reports == REPORTS
    assert server.asked == 1


async def test_a_kill_between_post_and_mark_repeats_the_same_key(tmp_path: Path) -> None:
    watch, clock, server, front = make(tmp_path)
    front.dies_after_next = True
    with pytest.raises(Killed):
        await watch.engine.run_round(MF)
    front.dies_after_next = False
    watch.store.close()
    again = Installation(tmp_path, clock, server, front)
    await again.engine.run_round(MF)
    ids = [event["id"] for event in front.requests if event["type"] != ALIVE_TYPE]
    assert ids == [REPORTS[0], REPORTS[0], REPORTS[1]]
    assert front.reports == REPORTS


async def test_two_instances_with_their_own_data_report_once(tmp_path: Path) -> None:
    one, clock, server, front = make(tmp_path / "one")
    other = Installation(tmp_path / "two", clock, server, front)
    other.enable()
    await one.engine.run_round(MF)
    clock.move(7)
    await other.engine.run_round(MF)
    assert server.asked == 2
    assert front.reports == REPORTS


async def test_two_instances_on_the_same_data_fetch_once(tmp_path: Path) -> None:
    one, clock, server, front = make(tmp_path)
    other = Installation(tmp_path, clock, server, front)
    await one.engine.run_round(MF)
    assert await other.engine.run_round(MF) is None
    assert (server.asked, front.reports) == (1, REPORTS)


async def test_a_restart_loop_does_not_spend_the_quota(tmp_path: Path) -> None:
    watch, clock, server, front = make(tmp_path)
    await watch.engine.run_round(MF)
    for _ in range(5):
        watch.store.close()
        watch = Installation(tmp_path, clock, server, front)
        clock.move(10)
        await watch.engine.run_round(MF)
    assert server.asked == 1
    watch.enable()
    await watch.engine.run_round(MF)
    assert server.asked == 1
    clock.move(20)
    await watch.engine.run_round(MF)
    assert server.asked == 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"product": {"periods": []}}'])
async def test_an_unreadable_body_gives_no_sign_of_life(tmp_path: Path, content: bytes) -> None:
    watch, _, server, front = make(tmp_path)
    server.answer = FeedResponse(FetchVerdict.OK, content)
    assert await watch.engine.run_round(MF) in (FetchVerdict.DRIFT, FetchVerdict.REFUSED)
    assert front.requests == []
    assert watch.status().fault


async def test_a_stale_body_gives_no_sign_of_life(tmp_path: Path) -> None:
    watch, clock, _, front = make(tmp_path)
    clock.move(13 * 3600)
    assert await watch.engine.run_round(MF) is FetchVerdict.STALE
    assert front.requests == []


async def test_a_silent_feed_is_noticed_within_two_of_its_periods(tmp_path: Path) -> None:
    watch, clock, server, front = make(tmp_path)
    await watch.engine.run_round(MF)
    signs = front.signs
    server.answer = FeedResponse(FetchVerdict.RETRY, fault="ConnectTimeout")
    end = clock.now + timedelta(seconds=2 * MF.spec.poll_s)
    while clock.now <= end:
        assert not watch.status().is_late(clock.now)
        clock.move(30)
        await watch.engine.run_round(MF)
    assert watch.status().is_late(clock.now)
    assert front.signs == signs


async def test_a_requested_wait_of_the_server_is_respected(tmp_path: Path) -> None:
    watch, clock, server, _ = make(tmp_path)
    server.answer = FeedResponse(FetchVerdict.RETRY, fault="http 503", wait_s=600)
    assert await watch.engine.run_round(MF) is FetchVerdict.RETRY
    clock.move(590)
    assert await watch.engine.run_round(MF) is None
    clock.move(20)
    assert await watch.engine.run_round(MF) is FetchVerdict.RETRY
    assert server.asked == 2


async def test_a_refused_key_stops_the_feed_until_a_person_acts(tmp_path: Path) -> None:
    watch, clock, server, _ = make(tmp_path)
    server.answer = FeedResponse(FetchVerdict.AUTH, fault="http 401")
    assert await watch.engine.run_round(MF) is FetchVerdict.AUTH
    clock.move(3600)
    assert await watch.engine.run_round(MF) is None
    watch.enable()
    assert await watch.engine.run_round(MF) is FetchVerdict.AUTH


async def test_a_missing_key_file_is_a_refused_key(tmp_path: Path) -> None:
    watch, _, server, _ = make(tmp_path)
    server.has_key = False
    assert await watch.engine.run_round(MF) is FetchVerdict.AUTH


async def test_an_unchanged_server_reads_the_last_good_body_again(tmp_path: Path) -> None:
    watch, clock, server, front = make(tmp_path)
    server.answer = FeedResponse(FetchVerdict.OK, server.answer.content, {"ETag": '"1"'})
    await watch.engine.run_round(MF)
    server.answer = FeedResponse(FetchVerdict.UNCHANGED)
    clock.move(400)
    assert await watch.engine.run_round(MF) is FetchVerdict.UNCHANGED
    clock.move(13 * 3600)
    assert await watch.engine.run_round(MF) is FetchVerdict.STALE
    assert front.signs == 2


async def test_air_is_fetched_by_day_only(tmp_path: Path) -> None:
    watch, clock, server, _ = make(tmp_path)
    air = find_connector("airparif-episodes")
    watch.enable(air.spec.name)
    clock.now = datetime(2027, 7, 19, 3, 0, tzinfo=UTC)
    assert await watch.engine.run_round(air) is None
    assert server.asked == 0


async def test_the_rss_feed_is_asked_when_the_index_has_no_answer(tmp_path: Path) -> None:
    watch, _, server, _ = make(tmp_path)
    alerts = find_connector("cert-fr")
    watch.enable(alerts.spec.name)
    rss = b"""<rss><channel><item><link>https://www.cert.ssi.gouv.fr/alerte/CERTFR-2027-ALE-001/</link>
<pubDate>Tue, 12 Jan 2027 09:00:00 +0000</pubDate></item></channel></rss>"""
    server.by_path = {
        "/alerte/json/": FeedResponse(FetchVerdict.RETRY, fault="http 503"),
        "/alerte/feed/": FeedResponse(FetchVerdict.OK, rss),
    }
    assert await watch.engine.run_round(alerts) is FetchVerdict.OK
    assert list(watch.store.get("cert-fr").memory["known"]) == ["CERTFR-2027-ALE-001"]
    server.by_path["/alerte/feed/"] = FeedResponse(FetchVerdict.DRIFT, fault="http 404")
    watch.clock.move(7200)
    assert await watch.engine.run_round(alerts) is FetchVerdict.RETRY

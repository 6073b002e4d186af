"""Limits of the transport: hosts, sizes, redirects, keys, patience."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx2 as httpx
import pytest

from services.watch.connector import FeedRequest, FetchVerdict, find_connector, list_connectors
from services.watch.process import WatchSettings
from services.watch.transport import FeedTransport, KeyMissing, choose_wait, find_wait, judge_status
from tests.unit.watch.samples import watched_92

MF, CRUES = find_connector("meteofrance-vigilance"), find_connector("vigicrues")
(REQUEST,) = MF.list_requests(watched_92())
(RIVERS,) = CRUES.list_requests(watched_92())


class Web:
    """A web of servers: answers by host and path, and keeps the requests."""

    def __init__(self, **answers: httpx.Response) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.get(request.url.path.rpartition("/")[2], httpx.Response(404))


def make_transport(folder: Path, web: Web, key: str = "secret-key") -> FeedTransport:
    folder.mkdir(exist_ok=True)
    if key:
        for connector in list_connectors():
            (folder / f"{connector.spec.name}.key").write_text(key)
    return FeedTransport(folder, "cellule@example.org", handler=httpx.MockTransport(web))


async def test_the_key_is_in_a_header_and_the_contact_is_named(tmp_path: Path) -> None:
    web = Web(encours=httpx.Response(200, content=b"{}"))
    answer = await make_transport(tmp_path, web).fetch(MF.spec, REQUEST, {})
    (request,) = web.requests
    assert answer.verdict is FetchVerdict.OK
    assert request.headers["apikey"] == "secret-key"
    assert "secret-key" not in str(request.url)
    assert "cellule@example.org" in request.headers["user-agent"]


async def test_a_feed_without_its_key_is_not_fetched(tmp_path: Path) -> None:
    web = Web()
    with pytest.raises(KeyMissing):
        await make_transport(tmp_path, web, key="").fetch(MF.spec, REQUEST, {})
    assert web.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://public-api.meteofrance.fr/x",
        "https://public-api.meteofrance.fr:8443/x",
        "https://127.0.0.1/x",
        "file:///etc/passwd",
    ],
)
async def test_only_listed_hosts_are_reached(tmp_path: Path, url: str) -> None:
    web = Web(x=httpx.Response(200, content=b"{}"))
    answer = await make_transport(tmp_path, web).fetch(MF.spec, FeedRequest("main", url), {})
    assert answer.verdict is FetchVerdict.REFUSED
    assert answer.fault.startswith("outside the allow-list")
    assert web.requests == []


async def test_a_redirect_leads_to_listed_hosts_only_and_takes_no_key_along(tmp_path: Path) -> None:
    moved = httpx.Response(302, headers={"location": "https://portail-api.meteofrance.fr/there"})
    web = Web(encours=moved, there=httpx.Response(200, content=b"{}"))
    answer = await make_transport(tmp_path, web).fetch(MF.spec, REQUEST, {})
    assert answer.verdict is FetchVerdict.OK
    assert [r.headers.get("apikey") for r in web.requests] == ["secret-key", None]
    away = httpx.Response(302, headers={"location": "https://evil.example/there"})
    web = Web(encours=away, there=httpx.Response(200, content=b"{}"))
    answer = await make_transport(tmp_path, web).fetch(MF.spec, REQUEST, {})
    assert answer.verdict is FetchVerdict.REFUSED
    assert answer.fault == "outside the allow-list: evil.example"
    assert len(web.requests) == 1


async def test_a_body_is_bounded_after_decompression(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * (CRUES.spec.max_bytes + 1))
    response = httpx.Response(200, content=bomb, headers={"content-encoding": "gzip"})
    web = Web(**{"InfoVigiCru.geojson": response})
    answer = await make_transport(tmp_path, web).fetch(CRUES.spec, RIVERS, {})
    assert len(bomb) < 100_000
    assert (answer.verdict, answer.content) == (FetchVerdict.REFUSED, b"")


async def test_samples_are_read_from_their_server_alone(tmp_path: Path) -> None:
    web = Web(main=httpx.Response(200, content=b"{}"))
    transport = FeedTransport(
        tmp_path, "", base="http://127.0.0.1:9", handler=httpx.MockTransport(web)
    )
    answer = await transport.fetch(MF.spec, REQUEST, {})
    assert answer.verdict is FetchVerdict.OK
    assert str(web.requests[0].url) == "http://127.0.0.1:9/meteofrance-vigilance/main"
    assert "apikey" not in web.requests[0].headers


async def test_an_expired_token_is_renewed_once(tmp_path: Path) -> None:
    rte = find_connector("rte-ecowatt")
    (signals,) = rte.list_requests(watched_92())
    token = httpx.Response(200, json={"access_token": "t", "expires_in": 7200})

    class Portal(Web):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            if request.url.path.endswith("/token/oauth/"):
                return token
            return httpx.Response(401, json={"code": "900901"})

    web = Portal()
    answer = await make_transport(tmp_path, web, key="id:secret").fetch(rte.spec, signals, {})
    assert answer.verdict is FetchVerdict.AUTH
    assert [r.method for r in web.requests] == ["POST", "GET", "POST", "GET"]
    assert web.requests[1].headers["authorization"] == "Bearer t"


async def test_an_endless_answer_with_a_token_is_not_read(tmp_path: Path) -> None:
    """It was read whole into memory; a part of it was parsed."""
    parts = 0

    async def write() -> AsyncIterator[bytes]:
        nonlocal parts
        for _ in range(1_000):
            parts += 1
            yield b" " * 10_000

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=write())

    rte = find_connector("rte-ecowatt")
    (signals,) = rte.list_requests(watched_92())
    web = Web()
    transport = make_transport(tmp_path, web, key="id:secret")
    transport._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    result = await transport.fetch(rte.spec, signals, {})
    assert (result.verdict, result.fault) == (FetchVerdict.RETRY, "ValueError")
    assert parts < 20


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, FetchVerdict.OK),
        (206, FetchVerdict.OK),
        (304, FetchVerdict.UNCHANGED),
        (401, FetchVerdict.AUTH),
        (403, FetchVerdict.AUTH),
        (404, FetchVerdict.DRIFT),
        (408, FetchVerdict.RETRY),
        (429, FetchVerdict.RETRY),
        (500, FetchVerdict.RETRY),
        (503, FetchVerdict.RETRY),
    ],
)
def test_a_status_has_one_verdict(status: int, verdict: FetchVerdict) -> None:
    assert judge_status(status, {}, b"").verdict is verdict


def test_the_wait_of_the_server_wins_and_is_bounded() -> None:
    assert find_wait(503, {"Retry-After": "120"}) == 120
    assert find_wait(503, {"Retry-After": "999999"}) == 900
    assert find_wait(429, {}) == 900
    assert find_wait(503, {}) is None
    spent = {"Retry-After": "3600", "X-RateLimit-Remaining-day": "0"}
    assert find_wait(429, spent) == 3600
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    wait = find_wait(503, {"retry-after": date})
    assert wait is not None
    assert 290 < wait <= 300


def test_the_back_off_doubles_with_full_jitter_up_to_fifteen_minutes() -> None:
    assert choose_wait(1, None, 1.0) == 60
    assert choose_wait(2, None, 1.0) == 120
    assert choose_wait(50, None, 1.0) == 900
    assert choose_wait(50, None, 0.0) == 0
    assert choose_wait(1, 5.0, 1.0) == 5


@pytest.mark.parametrize("url", ["http://example.org:80", "https://127.0.0.1:1", "127.0.0.1:80"])
def test_samples_come_from_loopback_alone(url: str) -> None:
    with pytest.raises(ValueError, match="127"):
        WatchSettings(feeds_samples=url)


def test_hosts_of_every_request_are_on_the_list() -> None:
    for connector in list_connectors():
        for request in connector.list_requests(watched_92()):
            assert httpx.URL(request.url).host in connector.spec.hosts

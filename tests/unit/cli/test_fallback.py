"""A command goes on with another machine if one is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from services.cli.client import ApiClient, FallbackTransport
from services.runtime.process.settings import Settings

URLS = ("http://one.example:8092", "http://two.example:8092")


def make_client(
    answers: dict[str, int | httpx.RequestError | None],
    asked: list[str],
    urls: tuple[str, ...] = URLS,
) -> httpx.Client:
    """Return a client of machines that answer with a status, fail, or are not there (None)."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Host"] == request.url.netloc.decode()
        asked.append(request.url.host)
        status = answers[request.url.host]
        if status is None:
            raise httpx.ConnectError("refused", request=request)
        if isinstance(status, httpx.RequestError):
            raise status
        return httpx.Response(
            status, json={"host": request.url.host, "body": request.read().decode()}
        )

    transport = FallbackTransport(urls, httpx.MockTransport(answer))
    return httpx.Client(base_url=urls[0], transport=transport)


def test_a_command_takes_several_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address_lists: list[tuple[str, ...]] = []
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))

    def open_transport(urls: tuple[str, ...]) -> httpx.BaseTransport:
        address_lists.append(tuple(urls))
        return transport

    monkeypatch.setattr("services.cli.client.FallbackTransport", open_transport)
    settings = Settings(data_dir=tmp_path, url=", ".join(URLS), token="vg_x")
    with ApiClient(settings) as client:
        assert client.get("/api/v1/whoami") == {}
    assert address_lists == [URLS]


Request = Callable[[httpx.Client], httpx.Response]
READS: Request = lambda client: client.get("/api/v1/whoami")  # noqa: E731
WRITES: Request = lambda client: client.post("/api/v1/reports", content="a")  # noqa: E731
WRITES_ONCE: Request = lambda client: client.post(  # noqa: E731
    "/api/v1/reports", content="a", headers={"Idempotency-Key": "k"}
)


@pytest.mark.parametrize("request_", [READS, WRITES, WRITES_ONCE])
def test_a_machine_that_does_not_answer_is_passed_over(request_: Request) -> None:
    hosts: list[str] = []
    with make_client({"one.example": None, "two.example": 200}, hosts) as client:
        assert request_(client).json()["host"] == "two.example"
        assert request_(client).json()["host"] == "two.example"
    assert hosts == ["one.example", "two.example", "two.example"]


def test_the_body_arrives_whole_at_the_second_machine() -> None:
    with make_client({"one.example": 503, "two.example": 202}, []) as client:
        assert WRITES_ONCE(client).json() == {"host": "two.example", "body": "a"}


@pytest.mark.parametrize(("request_", "status"), [(READS, 200), (WRITES_ONCE, 200), (WRITES, 503)])
def test_a_request_without_a_key_is_not_sent_twice(request_: Request, status: int) -> None:
    """A report without a key may have been accepted, although the answer says otherwise."""
    with make_client({"one.example": 503, "two.example": 200}, []) as client:
        assert request_(client).status_code == status


CUT_OFF = httpx.ReadTimeout("no answer")


@pytest.mark.parametrize("request_", [READS, WRITES_ONCE])
def test_a_machine_that_was_cut_off_is_passed_over(request_: Request) -> None:
    """A connection that was open before stays open, and nothing comes back."""
    hosts: list[str] = []
    with make_client({"one.example": CUT_OFF, "two.example": 200}, hosts) as client:
        assert request_(client).json()["host"] == "two.example"
        assert request_(client).json()["host"] == "two.example"
    assert hosts == ["one.example", "two.example", "two.example"]


def test_a_report_without_a_key_is_not_sent_again_without_an_answer() -> None:
    hosts: list[str] = []
    with (
        make_client({"one.example": CUT_OFF, "two.example": 200}, hosts) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        WRITES(client)
    assert hosts == ["one.example"]


@pytest.fixture
def freed() -> Iterator[threading.Event]:
    """Yield an event that lets silent machines answer; it is set at the end."""
    event = threading.Event()
    yield event
    event.set()


def make_client_of_slow(event: threading.Event, hosts: list[str]) -> httpx.Client:
    """Return a client of two machines, the first of which answers once the event is set."""

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        if request.url.host == "one.example":
            event.wait(60)
        return httpx.Response(200, json={"host": request.url.host})

    transport = FallbackTransport(URLS, httpx.MockTransport(answer))
    return httpx.Client(base_url=URLS[0], transport=transport)


@pytest.mark.parametrize("request_", [READS, WRITES_ONCE])
def test_a_machine_that_is_slow_is_not_waited_for(
    request_: Request, monkeypatch: pytest.MonkeyPatch, freed: threading.Event
) -> None:
    monkeypatch.setattr("services.cli.client.HEDGE_S", 0.01)
    hosts: list[str] = []
    with make_client_of_slow(freed, hosts) as client:
        assert request_(client).json()["host"] == "two.example"
        assert request_(client).json()["host"] == "two.example"
    assert hosts == ["one.example", "two.example", "two.example"]


WAITS: Request = lambda client: client.get(  # noqa: E731
    "/api/v1/commands/a", headers={"Prefer": "wait=30"}
)


@pytest.mark.parametrize("request_", [WRITES, WAITS])
def test_a_slow_machine_gets_its_time_if_another_must_not_be_asked(
    request_: Request, monkeypatch: pytest.MonkeyPatch, freed: threading.Event
) -> None:
    monkeypatch.setattr("services.cli.client.HEDGE_S", 0.01)
    hosts: list[str] = []
    threading.Timer(0.1, freed.set).start()
    with make_client_of_slow(freed, hosts) as client:
        assert request_(client).json()["host"] == "one.example"
    assert hosts == ["one.example"]


def test_the_slow_machine_wins_if_the_other_cannot_accept(
    monkeypatch: pytest.MonkeyPatch, freed: threading.Event
) -> None:
    monkeypatch.setattr("services.cli.client.HEDGE_S", 0.3)
    with make_client_of_refusing(freed, [], frees=True) as client:
        assert WRITES_ONCE(client).status_code == 202


def test_a_silent_machine_is_asked_last_once_another_has_refused(
    monkeypatch: pytest.MonkeyPatch, freed: threading.Event
) -> None:
    monkeypatch.setattr("services.cli.client.HEDGE_S", 0.01)
    hosts: list[str] = []
    with make_client_of_refusing(freed, hosts, frees=False) as client:
        assert WRITES_ONCE(client).status_code == 503
        assert WRITES_ONCE(client).status_code == 503
    assert hosts == ["one.example", "two.example", "two.example", "one.example"]


def make_client_of_refusing(
    event: threading.Event, hosts: list[str], *, frees: bool
) -> httpx.Client:
    """Return a client of a machine that accepts once the event is set, and one that refuses.

    With `frees` the refusal sets the event.
    """

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        if request.url.host == "one.example":
            event.wait(60)
            return httpx.Response(202)
        if frees:
            event.set()
        return httpx.Response(503)

    transport = FallbackTransport(URLS, httpx.MockTransport(answer))
    return httpx.Client(base_url=URLS[0], transport=transport)


def test_a_refusal_is_an_answer() -> None:
    hosts: list[str] = []
    with make_client({"one.example": 422, "two.example": 200}, hosts) as client:
        assert READS(client).status_code == 422
    assert hosts == ["one.example"]


@pytest.mark.parametrize("answers", [(None, 503), (503, None), (503, 503)])
def test_the_refusal_is_shown_if_no_machine_accepts(answers: tuple[int | None, ...]) -> None:
    one, two = answers
    with make_client({"one.example": one, "two.example": two}, []) as client:
        assert READS(client).status_code == 503


def test_the_failure_is_raised_if_no_machine_answers() -> None:
    with (
        make_client({"one.example": None, "two.example": None}, []) as client,
        pytest.raises(httpx.ConnectError),
    ):
        READS(client)

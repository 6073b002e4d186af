"""A command goes on with another machine if one is away."""

from __future__ import annotations

from collections.abc import Callable
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

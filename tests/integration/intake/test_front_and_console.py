"""One address serves two processes: the front's own routes, and the console by streaming."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.kafka.dead_letters import DeadLetter, DeadLetterKind
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.vault import Vault
from tests.faults.matrix import proves
from tests.integration.intake.conftest import FrontProcess, Starter, records, report
from tests.waiting import eventually


class Console:
    """Stand-in for the console that records requests, streams, and can disappear."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.gone = asyncio.Event()
        self.next_event: asyncio.Queue[bytes] = asyncio.Queue()
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        class Quiet(uvicorn.Server):
            def install_signal_handlers(self) -> None:
                pass

        self._server = Quiet(
            uvicorn.Config(
                self,
                host="127.0.0.1",
                port=int(self.address.rpartition(":")[2]),
                log_config=None,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self._task = asyncio.create_task(self._server._serve(None))
        await eventually(lambda: self._server is not None and self._server.started)

    async def stop(self) -> None:
        assert self._server is not None
        assert self._task is not None
        self._server.should_exit = True
        await self._task
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # Its request outlasted the time of the shutdown
        await asyncio.sleep(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/api/v1/stream":
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", b"text/event-stream")],
                }
            )
            watching = asyncio.create_task(self._watch(receive))
            while not watching.done():
                getting = asyncio.create_task(self.next_event.get())
                await asyncio.wait({getting, watching}, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    await send(
                        {"type": "http.response.body", "body": getting.result(), "more_body": True}
                    )
                else:
                    getting.cancel()
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if path == "/api/v1/realms/slow/step":
            await self._watch(receive)
        elif path.startswith("/api/v1/reports/"):
            await self._json(send, 404, b'{"code":"not_found"}', [])
        elif path == "/openapi.json":
            await self._json(
                send,
                200,
                b'{"openapi":"3.1.0","paths":{"/api/v1/incidents":{"get":{}}},"components":{"schemas":{"Incident":{}}}}',
                [],
            )
        else:
            request_text = b"\n".join(
                [
                    scope["method"].encode(),
                    scope["raw_path"],
                    scope["query_string"],
                    *(k + b": " + v for k, v in scope["headers"]),
                ]
            )
            await self._json(
                send,
                201,
                request_text + b"\n\n" + body,
                [
                    (b"connection", b"x-secret"),
                    (b"x-secret", b"1"),
                    (b"set-cookie", b"a=1"),
                    (b"set-cookie", b"b=2"),
                ],
            )

    async def _json(self, send: Any, status: int, body: bytes, headers: list[Any]) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json"), *headers],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@pytest.fixture(scope="module")
def console_address() -> str:
    return f"127.0.0.1:{find_free_ports(1)[0]}"


@pytest.fixture(autouse=True)
async def console(console_address: str) -> AsyncIterator[Console]:
    """Start a console for one test, at the address that the front of the module asks."""
    made = Console(console_address)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def own_front(console: Console, new_front: Starter) -> FrontProcess:
    """Start a front of this test alone."""
    made = new_front(console=console.address)
    await made.accepting()
    return made


async def test_requests_pass_whole_without_headers_of_one_connection(front: FrontProcess) -> None:
    async with front.client() as http:
        answer = await http.post(
            "/api/v1/a%20b/c?x=1&y=%C3%A9",
            content=b"\x00body",
            headers={
                "X-Kept": "1",
                "X-Dropped": "1",
                "Connection": "x-dropped",
                "X-Forwarded-For": "6.6.6.6",
            },
        )
    head, _, body = answer.text.partition("\n\n")
    assert answer.status_code == 201
    assert head.startswith("POST\n/api/v1/a%20b/c\nx=1&y=%C3%A9\n")
    assert "x-kept: 1" in head
    assert "x-forwarded-for: 127.0.0.1" in head
    assert "x-dropped" not in head
    assert "6.6.6.6" not in head
    assert body == "\x00body"
    assert "x-secret" not in answer.headers
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (answer.headers["x-content-type-options"], answer.headers["x-frame-options"]) == (
        "nosniff",
        "DENY",
    )
    assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_bodies_without_a_length_are_streamed(front: FrontProcess) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 50_000

    async with front.client() as http:
        answer = await http.put("/api/v1/elsewhere", content=parts())
    assert answer.content.endswith(b"\n\n" + b"x" * 2_500_000)


async def test_a_live_stream_arrives_event_by_event_and_ends_with_its_reader(
    front: FrontProcess, console: Console
) -> None:
    async with front.client() as http, http.stream("GET", "/api/v1/stream") as stream:
        events = stream.aiter_bytes()
        for n in range(3):
            console.next_event.put_nowait(b"data: %d\n\n" % n)
            assert await asyncio.wait_for(anext(events), 5) == b"data: %d\n\n" % n
    await asyncio.wait_for(console.gone.wait(), 5)


async def test_a_stopping_front_asks_waiting_clients_to_retry_and_ends_live_streams(
    own_front: FrontProcess, console: Console
) -> None:
    """Ctrl-C waited four seconds for an exercise step or an open page, and printed a traceback."""
    async with own_front.client() as http, http.stream("GET", "/api/v1/stream") as stream:
        chunks = stream.aiter_bytes()
        await console.next_event.put(b"data: 1\n\n")
        assert await anext(chunks) == b"data: 1\n\n"
        step = asyncio.create_task(http.post("/api/v1/realms/slow/step", json={"minutes": 1}))
        await asyncio.sleep(0.3)
        stopping = asyncio.create_task(asyncio.to_thread(own_front.stop))
        answer = await step
        assert (answer.status_code, answer.json()["code"], "retry-after" in answer.headers) == (
            503,
            "outcome_unknown",
            True,
        )
        assert [chunk async for chunk in chunks] == []
        assert await stopping == 0
    log = (own_front.data.root.parent / "front.log").read_text()
    assert "Traceback" not in log
    assert "graceful" not in log


async def test_the_console_may_go_and_come_back(front: FrontProcess, console: Console) -> None:
    async with front.client() as http:
        assert (await http.get("/api/v1/incidents")).status_code == 201
        await console.stop()
        away = await http.get("/api/v1/incidents")
        assert (away.status_code, away.json()["code"]) == (503, "console_away")
        assert (
            await http.post("/api/v1/reports", json=report(realm="92~test-console"))
        ).status_code == 202
        await console.start()
        assert (await http.get("/api/v1/incidents")).status_code == 201


async def test_a_report_that_the_read_model_has_not_seen_yet_is_received(
    front: FrontProcess,
) -> None:
    async with front.client() as http:
        id = (await http.post("/api/v1/reports", json=report(realm="92~test-received"))).json()[
            "report_id"
        ]
        answer = await http.get(f"/api/v1/reports/{id}")
        assert (answer.status_code, answer.json()["state"]) == (200, "received")
        assert (
            await http.get("/api/v1/reports/00000000-0000-0000-0000-000000000000")
        ).status_code == 404


async def test_readiness_and_the_document_speak_for_both(front: FrontProcess) -> None:
    async with front.client() as http:
        checks = (await http.get("/readyz")).json()["checks"]
        assert (checks["console"], checks["system"]) == ("ok", "the system is still starting")
        front.data.started.touch()
        assert (await http.get("/readyz")).status_code == 200
        document = (await http.get("/openapi.json")).json()
    assert {"/api/v1/incidents", "/api/v1/reports"} <= set(document["paths"])
    assert {"Incident", "NativeReport"} <= set(document["components"]["schemas"])


@proves("intake", "restarts")
async def test_connections_queue_in_the_socket_of_the_supervisor_while_the_front_restarts(
    own_front: FrontProcess,
) -> None:
    own_front.stop()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.set_inheritable(True)
        own_front._environment["VIGIE_HTTP_FD"] = str(listener.fileno())
        own_front.pass_fds = (listener.fileno(),)
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            waiting = asyncio.create_task(http.get("/livez"))
            own_front.start()
            assert (await waiting).status_code == 200
            own_front.kill()
            waiting = asyncio.create_task(http.get("/livez"))
            own_front.start()
            assert (await waiting).status_code == 200


async def test_a_token_counts_in_every_process_at_once_and_without_kafka(
    front: FrontProcess, broker: RunningKafka
) -> None:
    settings = Settings(data_dir=front.data.root, kafka=broker.address)
    async with AccessStore.open(settings, "console") as elsewhere, front.client() as http:
        await asyncio.wait_for(elsewhere.caught_up.wait(), 60)
        made = (await http.post("/api/v1/tokens", json={"role": "cell"})).json()
        assert await elsewhere.authenticate_bearer(made["token"]) is not None
        await http.delete(f"/api/v1/tokens/{made['id']}")
        await eventually(lambda: elsewhere.bearer(made["token"]) is None)
        token = (await http.post("/api/v1/tokens", json={"role": "cell"})).json()["token"]
        assert await elsewhere.authenticate_bearer(token) is not None
    assert (
        AccessStore.open(Settings(data_dir=front.data.root, kafka="127.0.0.1:9"), "console").bearer(
            token
        )
        is not None
    )


async def test_a_token_that_a_starting_process_cannot_know_yet_is_no_stranger(
    front: FrontProcess,
) -> None:
    """The local file of accounts is gone and the log unreachable.

    The caller is asked to retry, not refused forever.
    """
    async with AccessStore.open(
        Settings(data_dir=front.data.root, kafka="127.0.0.1:9"), "elsewhere"
    ) as starting:
        for token in (
            (front.data.secrets / "admin.token").read_text().strip(),
            "a routing key that a source had already",
        ):
            with pytest.raises(ProblemError) as refused:
                await starting.authenticate_bearer(token)
            assert refused.value.problem.code == "starting"


async def test_texts_are_read_and_erased_across_processes(
    front: FrontProcess, broker: RunningKafka
) -> None:
    async with (
        Vault.open(Settings(data_dir=front.data.root, kafka=broker.address)) as elsewhere,
        front.client() as http,
    ):
        id = (await http.post("/api/v1/reports", json=report(realm="92~test-texts"))).json()[
            "report_id"
        ]
        item = await elsewhere.texts.get(f"report-{id}", wait_s=60)
        assert item is not None
        assert item.fields == {"headline": "Panne"}
        await elsewhere.texts.erase(f"report-{id}")
        assert (await http.get(f"/api/v1/reports/{id}/raw")).json()["code"] == "erased"


async def test_refused_messages_of_known_senders_lie_in_the_dead_letters(
    front: FrontProcess, broker: RunningKafka
) -> None:
    async with front.client() as http:
        made = (await http.post("/api/v1/tokens", json={"role": "source"})).json()
        me, sender = (
            made["principal"]["id"],
            {"Authorization": f"Bearer {made['token']}", "Content-Type": "application/json"},
        )
        await http.post("/api/v1/reports", content=b'{"type": "boredom"}', headers=sender)

    async def letters() -> list[DeadLetter]:
        return [
            x
            for r in await records(broker.address, "dead-letters", "92")
            if (x := DeadLetter.load(r.value)).source == me
        ]

    await eventually(letters, 60)
    letter = (await letters())[-1]
    assert (letter.lane, letter.code, letter.input_type) == (
        DeadLetterKind.REFUSED,
        "invalid",
        "native",
    )
    assert "type: enum" in letter.detail
    assert letter.text_id is not None
    async with Vault.open(Settings(data_dir=front.data.root, kafka=broker.address)) as vault:
        item = await vault.texts.get(letter.text_id, wait_s=60)
    assert item is not None
    assert item.raw == b'{"type": "boredom"}'

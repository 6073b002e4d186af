"""Problem documents of an application as another program reads them."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, Form
from fastapi.testclient import TestClient
from pydantic import BaseModel

from services.runtime.http.problem_responses import install_handlers

DEEP = b"[" * 3000
LONG = b'{"n":' + b"9" * 5000 + b"}"
"""Python reads neither."""


class Asked(BaseModel):
    n: int | None = None


def taking() -> TestClient:
    app = FastAPI()
    install_handlers(app)

    @app.post("/json")
    async def json(body: Asked | None = None) -> str:
        return str(body)

    @app.post("/form")
    async def form(answer: str = Form()) -> str:
        return answer

    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "code", "said"),
    [
        (
            "/json",
            "application/x-www-form-urlencoded",
            b'{"n":1}',
            415,
            "media_type",
            "Envoyez application/json.",
        ),
        ("/json", "text/plain", b'{"n":1}', 415, "media_type", "Envoyez application/json."),
        ("/json", "application/json", DEEP, 422, "not_json", "body: JSON illisible"),
        ("/json", "application/json", LONG, 422, "not_json", "body: JSON illisible"),
        ("/json", "application/json", b'{"n":', 422, "not_json", "body: JSON illisible"),
        ("/json", "application/json", b"[]", 422, "invalid", "body: doit être un objet JSON"),
        ("/form", "multipart/form-data", b"x", 422, "invalid", "body: formulaire illisible"),
    ],
)
def test_an_unreadable_body_is_reported_as_such(
    path: str, kind: str, body: bytes, status: int, code: str, said: str
) -> None:
    """Some bodies got a 400 in English without a code; `curl -d` got one about a dictionary."""
    answer = taking().post(path, content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (
        status,
        "application/problem+json",
        code,
    )
    assert answer.json()["detail"].endswith(said)


async def test_after_a_failure_the_next_request_takes_another_connection() -> None:
    """The server closes the connection. A request sent on it was lost with an unknown outcome."""
    app = FastAPI()
    install_handlers(app)

    @app.post("/fails")
    async def fails() -> None:
        raise RuntimeError("unexpected")

    @app.post("/works")
    async def works() -> str:
        return "done"

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with aiohttp.ClientSession() as client:
                for _ in range(3):
                    async with client.post(f"{base}/fails") as failed:
                        assert failed.status == 500
                        assert (await failed.json())["code"] == "internal"
                    async with client.post(f"{base}/works") as worked:
                        assert worked.status == 200
        finally:
            server.should_exit = True
            await running

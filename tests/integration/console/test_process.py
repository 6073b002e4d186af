"""The two processes as `vigie up` starts them, and the commands of the shell against them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app as vigie
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.permissions import Role
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.territory import Territory
from tests.integration.console.conftest import appending, until
from tests.integration.console.crisis import INCIDENT
from tests.integration.console.serving import answering
from tests.integration.console.test_projection import a_realm, play

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def process(
    settings: Settings, module: str, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process of ours, stopped with SIGTERM; it must exit by itself with code 0."""
    env = os.environ | {
        "VIGIE_DATA_DIR": str(settings.data_dir),
        "VIGIE_KAFKA": settings.kafka,
        "VIGIE_REDIS": settings.redis,
        "VIGIE_TERRITORY": str(settings.territory),
        **more,
    }
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=env)
    try:
        yield running
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_the_processes_serve_the_shell_and_stop_cleanly(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm, (port, *health) = a_realm(), find_free_ports(3)
    url = f"http://127.0.0.1:{port}"
    async with AccessStore.open(console_settings, "test") as access:
        _, token = await access.create_token(create_principal(Role.ADMIN))
    async with (
        appending(console_settings.kafka) as writer,
        process(
            console_settings,
            "services.console.read_model.projector",
            VIGIE_HEALTH_PORT=str(health[0]),
        ),
        process(
            console_settings,
            "services.console",
            VIGIE_CONSOLE=f"127.0.0.1:{port}",
            VIGIE_HEALTH_PORT=str(health[1]),
        ),
        answering(console_settings, writer) as command_log,
        httpx.AsyncClient() as http,
    ):
        await play(writer, realm, territory)

        async def ready() -> bool:
            answer = await http.get(
                f"{url}/api/v1/overview?realm={realm}", headers={"Authorization": f"Bearer {token}"}
            )
            probes = [(await http.get(f"http://127.0.0.1:{p}/readyz")).status_code for p in health]
            return probes == [200, 200] and answer.json()["counts"]["notifications"] == 1

        await until(ready, 60)
        monkeypatch.setenv("VIGIE_URL", url)
        monkeypatch.setenv("VIGIE_TOKEN", token)

        async def shell(*command: str) -> tuple[int, str]:
            result = await asyncio.to_thread(
                CliRunner().invoke, vigie, [*command, "--realm", realm]
            )
            return result.exit_code, result.stdout

        await guess_passwords_as_ever_other_callers(url, http)
        code, out = await shell("incidents", "--json")
        assert code == 0
        assert json.loads(out)["items"][0]["id"] == INCIDENT
        code, out = await shell("sites", "--status", "closed", "--as-of", "2027-02-11T09:41")
        assert code == 0
        assert "pmi-04" in out
        assert "cen-1" not in out
        for command in (
            ["activities"],
            ["plans"],
            ["notifications"],
            ["timeline"],
            ["timeline", INCIDENT],
        ):
            assert (await shell(*command))[0] == 0
        for command in (
            ["ack", INCIDENT],
            ["level", "N3", "--reason", "ordre"],
            ["plan", "activate", "PT-ELEC"],
            ["card", "done", "PT-ELEC", "c1"],
            ["note", "Une ligne"],
            ["resolve", INCIDENT, "--force"],
            ["escalate", INCIDENT],
        ):
            before = len(command_log)
            assert (await shell(*command))[0] == 0
            assert len(command_log) == before + 1
        assert (await shell("timeline", "unknown"))[0] == 1
        async with http.stream(
            "GET",
            f"{url}/api/v1/stream?realm={realm}",
            headers={"Authorization": f"Bearer {token}"},
        ) as stream:
            assert "event: hello" in [line async for line in _first(stream, 2)]


async def guess_passwords_as_ever_other_callers(url: str, http: httpx.AsyncClient) -> None:
    """Guess passwords from forged addresses.

    The port of the console trusts only the front: a guesser is throttled under any claimed
    address.
    """
    statuses = []
    for n in range(12):
        form = {"user": "admin", "password": f"a wrong password {n}"}
        answer = await http.post(
            f"{url}/connexion", data=form, headers={"X-Forwarded-For": f"203.0.113.{n}"}
        )
        statuses.append(answer.status_code)
    assert statuses[0] == 401
    assert statuses[-1] == 429


async def _first(stream: httpx.Response, count: int) -> AsyncIterator[str]:
    async for line in stream.aiter_lines():
        yield line
        count -= 1
        if count == 0:
            return

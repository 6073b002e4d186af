"""The commands of the how-to for senders run as written, in a shell."""

from __future__ import annotations

import asyncio
import os
import re

import orjson

from services.runtime.process.settings import REPOSITORY
from tests.integration.clients.conftest import OpenDoor

_CALL = re.compile(r"^```\n(curl .*?)^```", re.MULTILINE | re.DOTALL)


async def test_a_report_by_curl_is_accepted_and_repeated_without_effect(door: OpenDoor) -> None:
    [call] = _CALL.findall(
        (REPOSITORY / "docs" / "how-to" / "post-reports.md").read_text(encoding="utf-8")
    )
    async with door.front.client() as http:
        made = await http.post(
            "/api/v1/tokens", json={"role": "source", "label": "curl", "speaks_as": "enedis"}
        )
    assert made.status_code == 201, made.text
    environment = {
        "PATH": os.environ["PATH"],
        "TOKEN": made.json()["token"],
        "VIGIE_URL": door.front.url,
    }
    answers = []
    for _ in range(2):
        shell = await asyncio.create_subprocess_shell(
            call, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _nothing = await asyncio.wait_for(shell.communicate(), 60)
        answers.append(orjson.loads(output))
    assert answers[0]["report_id"] == answers[1]["report_id"]
    ours = [r for r in await door.reports_of("92") if answers[0]["report_id"] in str(r)]
    assert len(ours) == 1

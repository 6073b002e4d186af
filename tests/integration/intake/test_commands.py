"""The commands of tokens, accounts, reports and the directory against a running front."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import httpx2 as httpx

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault
from tests import forked
from tests.integration.intake.conftest import FrontProcess
from tests.unit.intake.machines.cap_messages import info, message, vigilance


async def vigie(
    front: FrontProcess, broker: RunningKafka, *args: str
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "VIGIE_DATA_DIR": str(front.data.root),
        "VIGIE_URL": front.url,
        "VIGIE_KAFKA": broker.address,
    }
    return await asyncio.to_thread(forked.run, args, environment=environment, timeout_s=90)


async def test_a_token_counts_when_the_command_returns(
    front: FrontProcess, broker: RunningKafka
) -> None:
    made = await vigie(
        front,
        broker,
        "token",
        "create",
        "--role",
        "source",
        "--speaks-as",
        "enedis",
        "--type",
        "outage_power",
        "--quiet",
    )
    assert (made.returncode, made.stderr) == (0, "")
    token = made.stdout.strip()
    assert made.stdout == token + "\n"
    async with httpx.AsyncClient(
        base_url=front.url, headers={"Authorization": f"Bearer {token}"}
    ) as http:
        me = (await http.get("/api/v1/whoami")).json()
        assert (me["role"], me["source"], me["scope"]["types"]) == (
            "source",
            "enedis",
            ["outage_power"],
        )
        listed = json.loads((await vigie(front, broker, "token", "list", "--json")).stdout)["items"]
        id = next(t["id"] for t in listed if t["principal"] == me["id"])
        assert (await vigie(front, broker, "token", "revoke", id)).returncode == 0
        assert (await http.get("/api/v1/whoami")).status_code == 401
    assert (await vigie(front, broker, "token", "revoke", "t-none")).returncode == 1
    assert (await vigie(front, broker, "token", "create", "--role", "king")).returncode == 2


async def test_a_report_from_the_shell(front: FrontProcess, broker: RunningKafka) -> None:
    posted = await vigie(
        front,
        broker,
        "report",
        "--type",
        "fire",
        "--severity",
        "4",
        "--realm",
        "92~test-shell",
        "--key",
        "k",
        "--json",
    )
    assert json.loads(posted.stdout)["realm"] == "92~test-shell"
    refused = await vigie(
        front,
        broker,
        "report",
        "--type",
        "fire",
        "--severity",
        "4",
        "--realm",
        "nowhere~",
        "--key",
        "k",
    )
    assert refused.returncode == 1
    assert "realm" in refused.stderr


async def test_a_cap_message_from_the_shell(
    front: FrontProcess, broker: RunningKafka, tmp_path: Path
) -> None:
    file = tmp_path / "bulletin.xml"
    file.write_bytes(message(vigilance(), status="Exercise"))
    assert (await vigie(front, broker, "cap", str(file))).returncode == 1
    posted = await vigie(front, broker, "cap", str(file), "--realm", "92~test-cap", "--json")
    again = await vigie(front, broker, "cap", str(file), "--realm", "92~test-cap")
    assert (posted.returncode, posted.stderr) == (0, "")
    assert again.stdout.split() == [r["report_id"] for r in json.loads(posted.stdout)["reports"]]
    file.write_bytes(message(info(urgency="Vite")))
    refused = await vigie(front, broker, "cap", str(file))
    assert refused.returncode == 1
    assert "/alert/info/urgency: ligne " in refused.stderr
    assert (await vigie(front, broker, "cap", str(tmp_path / "none.xml"))).returncode == 2


async def test_people_are_imported_and_erased(
    front: FrontProcess, broker: RunningKafka, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "person,name,language,channel,address,verified_at\np-1,,fr,sms,+33100000000,2026-11-01\n"
    )
    done = await vigie(front, broker, "directory", "import", str(file))
    assert (done.returncode, done.stdout) == (0, "92 : 1 personne, 1 moyen de contact\n")
    assert (
        json.loads((await vigie(front, broker, "directory", "count", "--json")).stdout)["people"]
        >= 1
    )
    async with Vault.open(Settings(data_dir=front.data.root, kafka=broker.address)) as vault:
        person = await vault.directory.of("92").get("p-1", wait_s=10)
        assert person is not None
        assert person.points[0].address == "+33100000000"
        assert (await vigie(front, broker, "directory", "erase", "p-1")).returncode == 0
        assert await vault.directory.of("92").get("p-1") is None
    again = await vigie(front, broker, "directory", "erase", "p-1")
    assert again.returncode == 1, (
        "whoever mistypes a token must not believe that somebody is erased"
    )
    assert "p-1 n’est pas dans l’annuaire" in again.stderr


async def test_without_a_front_the_commands_say_where_they_looked(
    front: FrontProcess, broker: RunningKafka
) -> None:
    front.stop()
    completion = await vigie(front, broker, "token", "list")
    assert completion.returncode == 1
    assert front.url in completion.stderr

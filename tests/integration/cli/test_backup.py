"""A backup restored on an empty machine has the same state, keeps every promise and continues."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import PARTITION_COUNT, partition_of
from services.alerts.decider import AlertsDecider
from services.appliance.cluster.registry import ClusterRegistry, MachineRecord
from services.continuity.decider import ContinuityDecider
from services.delivery.decider import DeliveryDecider
from services.runtime.process.settings import DataDir, Settings
from services.watch.connector import list_connectors
from services.watch.mail_reader import MailPosition
from services.watch.store import FeedStore
from tests.brokers import give_password
from tests.state_hash import compute_state_hash, fold_log
from tests.system import RunningVigie
from tests.waiting import until

SECRET = "the key of the backup, on paper"
REALM = "92~ex-backup"
PAUSE_S = 0.1
"""Between two reports: all of them are applied, backed up, restored and verified."""
DECIDERS = {
    "alerts": AlertsDecider(),
    "continuity": ContinuityDecider(),
    "delivery": DeliveryDecider(),
}


class Reporting(threading.Thread):
    """Sender of reports into the live realm until its stop."""

    def __init__(self, vigie: RunningVigie) -> None:
        super().__init__(name="reporting")
        self._vigie = vigie
        self.accepted: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        with self._vigie.client() as client:
            while not self.enough.wait(PAUSE_S):
                body = {
                    "site_id": "cen-1",
                    "type": "outage_power",
                    "severity": 2,
                    "occurred_at": datetime.now(UTC).isoformat(),
                    "headline": "coupure",
                }
                answer = client.post(
                    "/api/v1/reports", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}
                )
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["report_id"])


def hashes(kafka: str, logs: dict[str, list[Any]]) -> dict[str, str]:
    """Log partition → hash of its state at the position that the backup names."""

    async def fold() -> dict[str, str]:
        state_hashes = {}
        for name, (seq, head) in logs.items():
            service, _, partition = name.partition(".log/")
            view = await fold_log(kafka, DECIDERS[service], int(partition), until_seq=seq)
            assert view.position.hash == head
            state_hashes[name] = compute_state_hash(view)
        return state_hashes

    return asyncio.run(fold())


async def put_old_machine(vigie: RunningVigie) -> None:
    async with open_registry(vigie) as registry:
        await registry.put_machine(
            MachineRecord(2, "10.2.0.1:9093", "10.2.0.1:9094", "two", "http://10.2.0.1:8092", "1")
        )


async def list_machines(vigie: RunningVigie) -> list[int]:
    async with open_registry(vigie) as registry:
        return list((await registry.read()).machines)


def open_registry(vigie: RunningVigie) -> ClusterRegistry:
    return ClusterRegistry.open(Settings(data_dir=vigie.folder / "data", kafka=kafka_of(vigie)))


def read_others(data: Path) -> None:
    """Read an official feed (without the key of its publisher, so it asks nobody) and a mailbox."""
    store = FeedStore(DataDir(data).feeds)
    store.enable("rte-ecowatt", 0.0, enabled=True)
    store.close()
    folder = data / "secrets" / "feeds"
    folder.mkdir(mode=0o700)
    (folder / "rte-ecowatt.source").write_text("key for the front")
    position = MailPosition("imaps://mail.example.org/INBOX", 1, 7, datetime.now(UTC))
    position.write(DataDir(data).mail_position)


def list_others_read(data: Path) -> dict[str, Any]:
    store = FeedStore(DataDir(data).feeds)
    feeds = [one.spec.name for one in list_connectors() if store.get(one.spec.name).enabled]
    store.close()
    position = MailPosition.read(DataDir(data).mail_position)
    return {
        "feeds": feeds,
        "keys": [file.name for file in (data / "secrets" / "feeds").iterdir()],
        "mailbox": position.number if position else None,
    }


def kafka_of(vigie: RunningVigie) -> str:
    return str(json.loads((vigie.folder / "data" / "run" / "status.json").read_text())["kafka"])


@pytest.mark.timeout(1200)
def test_a_backup_of_a_running_system_is_the_same_system_on_an_empty_machine(
    vigie: RunningVigie, tmp_path: Path
) -> None:
    vigie.environment["VIGIE_BACKUP_KEY"] = SECRET
    played = vigie.cli("play", "S04", "--speed", "max", "--realm", REALM, "--until", "2")
    assert played.returncode == 0, played.stderr
    reporting = Reporting(vigie)
    reporting.start()
    until(lambda: len(reporting.accepted) >= 20)
    before = list(reporting.accepted)
    asyncio.run(put_old_machine(vigie))
    read_others(vigie.folder / "data")
    file = tmp_path / "vigie.backup"
    backup = vigie.cli("backup", str(file), "--json")
    reporting.enough.set()
    reporting.join()
    assert backup.returncode == 0, backup.stderr
    assert file.stat().st_mode & 0o077 == 0
    about = json.loads(backup.stdout)
    conditions = {one["id"]: one for one in vigie.get("/api/v1/commissioning")["items"]}
    assert conditions["backup"]["state"] == "done"
    assert conditions["backup"]["at"][:19] == about["taken_at"][:19]
    originals = hashes(kafka_of(vigie), about["logs"])

    used = vigie.cli("restore", str(file))
    assert (used.returncode, used.stderr.count("\n")) == (1, 1)
    assert "sert déjà" in used.stderr

    empty = RunningVigie(tmp_path / "empty", VIGIE_BACKUP_KEY=SECRET)
    give_password(tmp_path / "empty" / "data" / "secrets")
    changed = tmp_path / "changed.backup"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    changed.write_bytes(raw)
    for wrong, says in ((changed, "modifié dans la partie"), (_cut(file, tmp_path), "tronqué")):
        refused = empty.cli("restore", str(wrong))
        assert refused.returncode == 1
        assert says in refused.stderr, refused.stderr
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert not (tmp_path / "empty" / "data" / "secrets" / "master.key").exists()
    restored = empty.cli("restore", str(file), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["rebased"] == len(about["logs"])

    assert list_others_read(tmp_path / "empty" / "data") == {
        "feeds": ["rte-ecowatt"],
        "keys": ["rte-ecowatt.source"],
        "mailbox": 7,
    }

    with empty:
        assert hashes(kafka_of(empty), about["logs"]) == originals
        assert empty.token == vigie.token
        assert asyncio.run(list_machines(vigie)) == [2]
        assert asyncio.run(list_machines(empty)) == [], "a new cluster would wait for them"
        line_types = [
            line["type"]
            for line in empty.get("/api/v1/log?realm=92&kind=runtime&limit=100")["items"]
        ]
        assert line_types.count("Rebased") == len(
            [
                name
                for name in about["logs"]
                if name.endswith(f"/{partition_of('92', PARTITION_COUNT)}")
            ]
        )
        verified = empty.cli("verify", "--json", timeout_s=400)
        assert verified.returncode == 0, verified.stdout
        states = [empty.get(f"/api/v1/reports/{id}")["state"] for id in before]
        assert set(states) <= {"applied", "duplicate"}, states
        assert (
            empty.get(f"/api/v1/overview?realm={REALM}")["level"]
            == vigie.get(f"/api/v1/overview?realm={REALM}")["level"]
        )
        body = {
            "site_id": "cen-2",
            "type": "closure",
            "severity": 3,
            "occurred_at": datetime.now(UTC).isoformat(),
            "headline": "fermé",
        }
        id = empty.http.post("/api/v1/reports", json=body).json()["report_id"]
        until(lambda: empty.get(f"/api/v1/reports/{id}")["state"] == "applied")
        text = empty.get(f"/api/v1/reports/{before[0]}")
        assert "coupure" in json.dumps(text, ensure_ascii=False)
        lag = json.loads(empty.cli("status", "--json").stdout)["lag"]
        assert all(count < 50 for count in lag.values()), lag


def _cut(file: Path, tmp_path: Path) -> Path:
    cut = tmp_path / "cut.backup"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return cut


def test_an_incomplete_restore_never_starts(tmp_path: Path) -> None:
    half = RunningVigie(tmp_path)
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "data" / "run" / "restoring").touch()
    half.begin()
    assert half.ended() == 1
    assert half.log.strip().splitlines()[-1].startswith("vigie up: a restore into ")
    half.stop()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_without_a_key_nothing_is_written_or_read(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    if command == "restore":
        file.write_bytes(os.urandom(100))
    done = RunningVigie(tmp_path / "none").cli(command, str(file))
    assert done.returncode == 2
    assert "VIGIE_BACKUP_KEY" in done.stderr

"""Two machines on one broker, each with its own keyring and replica, read each other's texts."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from uuid import uuid4

import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.process.settings import Settings
from services.runtime.secrets import key_exchange
from services.runtime.secrets.keyring import MasterKey
from services.runtime.secrets.vault import TextItem, Vault
from tests.waiting import eventually


class Machines:
    """Machines of one cluster; each is a data directory with a running vault."""

    def __init__(self, folder: Path, broker: RunningKafka, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._broker = broker
        self._stack = stack
        self._secrets = folder / "invitation"
        self._secrets.mkdir(mode=0o700)
        MasterKey.open(self._secrets)

    def settings(self, name: str, *, cluster: bool = True) -> Settings:
        made = Settings(data_dir=self._folder / name, kafka=self._broker.address, cluster=cluster)
        if not made.data.secrets.exists():
            made.data.make()
            shutil.copytree(self._secrets, made.data.secrets, dirs_exist_ok=True)
        return made

    async def start(self, name: str) -> Vault:
        return await self._stack.enter_async_context(Vault.open(self.settings(name)))


@pytest.fixture
async def machines(
    broker: RunningKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Machines]:
    monkeypatch.setattr(key_exchange, "TURN_S", 0.05)
    async with AsyncExitStack() as stack:
        yield Machines(tmp_path, broker, stack)


async def test_every_machine_reads_the_texts_of_all_and_erasures_hold_on_all(
    machines: Machines,
) -> None:
    run = uuid4().hex
    async with Vault.open(machines.settings("first", cluster=False)) as single:
        await single.texts.put(f"{run}-old", TextItem({"text": "before the cluster"}))
    first, second = await machines.start("first"), await machines.start("second")
    ids = [f"{run}-{n}" for n in range(24)]
    for n, id in enumerate(ids):
        await (first, second)[n % 2].texts.put(id, TextItem({"text": id}))
    for vault in (first, second):
        read = [await vault.texts.get(id, wait_s=30) for id in ids]
        assert [item and item.fields["text"] for item in read] == ids
        assert await vault.texts.get(f"{run}-old", wait_s=30)

    sealed = second._replica.get("texts", ids[0])
    assert sealed is not None
    await second.texts.erase(ids[0])
    number = int.from_bytes(sealed.value[1:9], "big")
    for name in ("first", "second"):
        path = machines.settings(name).data.secrets / "keyring.db"

        def is_deleted(path: Path = path) -> bool:
            with closing(sqlite3.connect(path)) as db:
                key_row = db.execute("SELECT 1 FROM keys WHERE id = ?", (number,)).fetchone()
            return key_row is None

        await eventually(is_deleted, 30)
    assert await first.texts.get(ids[0]) is None

    # A replaced text is the newest one everywhere, whichever machine wrote it
    await first.texts.put(ids[1], TextItem({"text": "corrected"}))

    async def is_corrected() -> bool:
        item = await second.texts.get(ids[1])
        return item is not None and item.fields["text"] == "corrected"

    await eventually(is_corrected, 30)

"""The vault without Kafka: a writer in memory hands its entries to the replica."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.runtime.kafka.compacted_topic import Tombstones
from services.runtime.kafka.replica import Replica
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import Keyring, MasterKey
from services.runtime.secrets.vault import (
    PUT_BATCH,
    ItemStore,
    RealmDirectory,
    Sealer,
    TextItem,
    Vault,
    VaultDirectory,
    VaultTexts,
)
from tests.keyed import MemoryKeyedLog


class Setup:
    def __init__(self, folder: Path) -> None:
        master = MasterKey.open(folder)
        self.keyring = Keyring(folder / "keyring.db", master)
        self.sealer = Sealer(self.keyring, Tombstones.of(master))
        self.log = MemoryKeyedLog()
        self.replica = Replica(folder / "replica.db")
        self.texts = self.reader()
        self.directory = self.reopen_directory()

    def reopen_directory(self) -> RealmDirectory:
        items = ItemStore("directory", self.sealer, self.log, self.replica)
        return VaultDirectory(items, "92").of("92")

    def reader(self) -> VaultTexts:
        return VaultTexts("texts", self.sealer, self.log, self.replica)

    def follow(self, start: int = 0) -> None:
        self.replica.apply(self.log.entries[start:], self.sealer.shred, self.sealer)


def _all_bytes(folder: Path) -> bytes:
    return b"".join(f.read_bytes() for f in folder.glob("*.db*"))


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    yield made
    made.replica.close()
    made.keyring.close()


@given(st.dictionaries(st.text(), st.text()), st.none() | st.binary(), st.none() | st.text())
def test_a_text_reads_back_as_written(
    fields: dict[str, str], raw: bytes | None, content_type: str | None
) -> None:
    item = TextItem(fields, raw, content_type)
    assert TextItem.load(item.dump()) == item


@pytest.mark.parametrize("size", [0, 10, 2048, 1 << 20])
async def test_the_writer_reads_its_own_text_at_once_and_others_when_the_replica_has_it(
    setup: Setup, size: int
) -> None:
    item = TextItem({"headline": "Panne"}, b"x" * size)
    await setup.texts.put("t1", item)
    assert await setup.texts.get("t1") == item
    other = setup.reader()
    assert await other.get("t1") is None
    setup.follow()
    assert await other.get("t1") == item
    assert other.get_many(["t1", "t2"]) == {"t1": item}


async def test_a_position_of_the_replica_keeps_its_row(setup: Setup, tmp_path: Path) -> None:
    """A new row for each text wrote a page of the index, too."""
    rows = []
    for n in range(2):
        await setup.texts.put("t1", TextItem({"headline": f"Panne {n}"}))
        setup.follow(start=n)
        with closing(sqlite3.connect(tmp_path / "replica.db")) as db:
            rows += db.execute("SELECT rowid, next FROM positions").fetchall()
    assert rows == [(1, 1), (1, 2)]


async def test_the_topic_and_the_replica_hold_no_readable_text(
    setup: Setup, tmp_path: Path
) -> None:
    await setup.texts.put("t1", TextItem({"headline": "chaufferie"}, b"chaufferie"))
    await setup.directory.put(
        Contact(
            person="p-1",
            name="chaufferie",
            points=(ContactPoint(channel=Channel.SMS, address="chaufferie"),),
        )
    )
    setup.follow()
    assert not any(b"chaufferie" in (e.value or b"") for e in setup.log.entries)
    assert b"chaufferie" not in _all_bytes(tmp_path)


async def test_an_erased_text_is_unreadable_even_from_a_copy_of_the_topic(setup: Setup) -> None:
    await setup.texts.put("t1", TextItem({"text": "secret"}))
    record = setup.log.entries[0].value
    assert record is not None
    setup.follow()
    await setup.texts.erase("t1")
    assert await setup.texts.get("t1") is None
    assert await setup.reader().get("t1") is None, "before the tombstone has reached the replica"
    assert setup.sealer.open("texts", "t1", record) is None
    setup.follow()
    assert setup.texts.ids() == []


async def test_items_are_found_by_how_their_ids_begin(setup: Setup) -> None:
    for id in ("a-9", "b-1", "b-é", "b", "c-1"):
        await setup.texts.put(id, TextItem({"text": id}))
    setup.follow()
    assert setup.texts.ids("b-") == ["b-1", "b-é"]
    assert len(setup.texts.ids()) == 5


async def test_replacing_a_text_costs_the_old_one_its_key(setup: Setup) -> None:
    await setup.texts.put("t1", TextItem({"text": "old"}))
    setup.follow()
    await setup.texts.put("t1", TextItem({"text": "new"}))
    assert await setup.texts.get("t1") == TextItem({"text": "new"}), (
        "the newer one, though the replica has the older"
    )
    setup.follow()
    old = setup.log.entries[0].value
    assert old is not None
    assert setup.sealer.open("texts", "t1", old) is None
    assert await setup.reader().get("t1") == TextItem({"text": "new"})


async def test_reading_the_topic_again_from_the_beginning_costs_no_key(setup: Setup) -> None:
    for text in ("one", "two", "three"):
        await setup.texts.put("t1", TextItem({"text": text}))
    setup.follow()
    setup.follow()
    setup.replica.restart("texts", 0)
    setup.follow()
    assert await setup.reader().get("t1") == TextItem({"text": "three"})


async def test_records_of_a_stranger_on_the_topic_do_no_harm(setup: Setup) -> None:
    await setup.log.put("texts", "t1", b"\xff")
    await setup.log.put("texts", "t2", b"")
    setup.follow()
    assert await setup.texts.get("t1") is None
    await setup.texts.put("t1", TextItem({"text": "fine"}))
    setup.follow()
    assert await setup.reader().get("t1") == TextItem({"text": "fine"})


async def test_a_replacement_by_another_installation_costs_no_key(
    setup: Setup, tmp_path: Path
) -> None:
    """Both count their keys from 1, so their records carry the same numbers."""
    (tmp_path / "other").mkdir()
    other = Setup(tmp_path / "other")
    other.texts._writer = other.log = setup.log
    await other.texts.put("theirs", TextItem({"text": "one"}))
    await setup.texts.put("ours", TextItem({"text": "kept"}))
    await other.texts.put("theirs", TextItem({"text": "two"}))
    setup.follow()
    assert await setup.reader().get("ours") == TextItem({"text": "kept"})
    other.follow()
    assert await other.reader().get("theirs") == TextItem({"text": "two"})
    other.keyring.close()
    other.replica.close()


async def test_a_record_moved_to_another_id_is_refused(setup: Setup) -> None:
    await setup.texts.put("t1", TextItem({"text": "a"}))
    await setup.log.put("texts", "t2", setup.log.entries[0].value)
    setup.follow()
    assert await setup.texts.get("t2") is None


async def test_contacts_by_token(setup: Setup) -> None:
    contact = Contact(
        person="p-1",
        name="A",
        points=(ContactPoint(channel=Channel.SMS, address="+331", verified_at=5),),
    )
    await setup.directory.put(contact)
    assert await setup.directory.get("p-1") == contact
    assert contact.addresses(Channel.SMS) == ("+331",)
    await setup.directory.erase("p-1")
    assert await setup.directory.get("p-1") is None


async def test_a_stored_text_is_settled_once_all_replicas_have_it(setup: Setup) -> None:
    assert await setup.directory.wait_until_current(0)
    contacts = [Contact(person=f"p-{n}", site="cen-1") for n in range(PUT_BATCH + 3)]
    await setup.directory.put_all(contacts)
    assert [entry.key for entry in setup.log.entries] == [one.person for one in contacts]
    assert not await setup.directory.wait_until_current(0)
    *most, _last = setup.log.entries
    setup.replica.apply(most, setup.sealer.shred, setup.sealer)
    assert not await setup.directory.wait_until_current(0)
    setup.follow(len(most))
    assert await setup.directory.wait_until_current(0)


async def test_a_stranger_erases_no_text(setup: Setup) -> None:
    """Null values from any writer to Kafka deleted texts, people and keys."""
    await setup.texts.put("t-1", TextItem({"text": "eau coupée"}))
    await setup.directory.put(Contact(person="p-1", site="cen-1"))
    setup.follow()
    for topic, id in (("texts", "t-1"), ("directory", "p-1")):
        for value in (
            None,
            b"garbage",
            Tombstones(b"k" * 32).make(topic, id),
            setup.sealer.tombstone(topic, "other"),
        ):
            await setup.log.put(topic, id, value)
    setup.follow()
    reader = setup.reader()
    item = await reader.get("t-1")
    assert item is not None
    assert item.fields == {"text": "eau coupée"}
    assert await setup.directory.get("p-1") is not None


async def test_an_erasure_counts_once(setup: Setup) -> None:
    """A stranger repeated a signed erasure of a person, and removed a later import."""
    await setup.directory.put(Contact(person="p-1", site="cen-1"))
    setup.follow()
    await setup.directory.erase("p-1")
    setup.follow()
    assert setup.directory.ids() == []
    erasure = setup.log.entries[-1].value
    await setup.directory.put(Contact(person="p-1", site="cen-2"))
    await setup.log.put("directory", "p-1", erasure)
    setup.follow()
    again = await setup.reopen_directory().get("p-1")
    assert again is not None
    assert again.site == "cen-2"


async def test_a_null_of_an_earlier_version_still_removes_unreadable_texts(setup: Setup) -> None:
    await setup.texts.put("t-1", TextItem({"text": "a"}))
    setup.follow()
    await setup.texts.erase("t-1")
    setup.log.entries[-1] = replace(setup.log.entries[-1], value=None)
    setup.follow()
    assert setup.texts.ids() == []


async def test_a_machine_that_waits_for_keys_of_others_needs_no_restart(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cluster=True)
    vault = Vault.open(settings, master=MasterKey(b"k" * 32))
    waits, damage = vault.fault(), vault.damage()
    (tmp_path / "vault" / "replica.db").unlink()
    lost = vault.damage()
    vault._replica.close()
    vault._keyring.close()
    assert waits == "the keys of the other machines are not known yet"
    assert damage is None
    assert lost is not None
    assert "restart this process" in lost

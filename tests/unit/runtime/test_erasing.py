"""Erased texts lose their photos and keep time and reason; retention erases expired ones (D58)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from schemas.base import DAY_MS, Instant
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.erasure import (
    RetentionSettings,
    TextErasure,
    TextRetention,
    erase_text,
    read_erasure,
)
from services.runtime.secrets.vault import TextItem, build_attachment_id
from tests.unit.runtime.test_vault import Setup

NOW: Instant = 1_800_000_000_000
WORDS = TextItem(
    {"headline": "Mme Durand", "attachments": ["p1", "p2"]}, b"raw Durand", "application/json"
)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    yield made
    made.replica.close()
    made.keyring.close()


async def fill(vault: Setup) -> None:
    await vault.texts.put("report-1", WORDS)
    for photo in ("p1", "p2", "p3"):
        await vault.texts.put(
            build_attachment_id(photo), TextItem({"realm": "92"}, b"jpeg", "image/jpeg")
        )
    vault.follow()


async def test_an_erasure_removes_text_bytes_and_photos_and_leaves_a_mark(vault: Setup) -> None:
    await fill(vault)
    old = [entry for entry in vault.log.entries if entry.value is not None]
    await erase_text(vault.texts, "report-1", NOW, "demande de la personne")
    vault.follow(len(old))
    text_item = await vault.reader().get("report-1")
    assert text_item is not None
    assert read_erasure(text_item) == TextErasure(NOW, "demande de la personne")
    assert text_item.raw is None
    assert "Durand" not in str(text_item)
    assert await vault.reader().get(build_attachment_id("p1")) is None
    assert await vault.reader().get(build_attachment_id("p2")) is None
    assert await vault.reader().get(build_attachment_id("p3")) is not None, (
        "no photo of this report"
    )
    readable = [
        entry.key
        for entry in old
        if entry.value and vault.sealer.open("texts", entry.key, entry.value) is not None
    ]
    assert readable == [build_attachment_id("p3")], "no copy of the log can be read either"


async def test_a_text_that_is_there_has_no_mark(vault: Setup) -> None:
    await fill(vault)
    assert read_erasure(await vault.texts.get("report-1")) is None
    assert read_erasure(await vault.texts.get("report-2")) is None


async def test_after_a_failure_it_can_be_repeated_and_nothing_comes_back(vault: Setup) -> None:
    await fill(vault)
    vault.log.away = True
    with pytest.raises(BrokerAway):
        await erase_text(vault.texts, "report-1", NOW, "erreur")
    vault.log.away = False
    await erase_text(vault.texts, "report-1", NOW, "erreur")
    assert read_erasure(await vault.texts.get("report-1")) == TextErasure(NOW, "erreur")
    assert await vault.texts.get(build_attachment_id("p2")) is None


class Clock:
    """Times of the records of one partition, as a broker knows them."""

    def __init__(self, vault: Setup) -> None:
        self._vault = vault
        self.times: list[Instant] = []

    def at(self, now: Instant) -> None:
        """Date everything written since the last call at this time."""
        self.times += [now] * (len(self._vault.log.entries) - len(self.times))
        self._vault.follow()

    async def older_than(self, at: Instant) -> Mapping[int, int]:
        end = next(
            (offset for offset, time in enumerate(self.times) if time >= at), len(self.times)
        )
        return dict.fromkeys(range(64), end)


async def test_expired_texts_are_erased_and_marked(vault: Setup) -> None:
    clock = Clock(vault)
    await vault.texts.put("report-old", WORDS)
    await vault.texts.put("cmd-old", TextItem({"text": "note"}))
    await vault.texts.put("headcount-old", TextItem({"said": "safe"}))
    clock.at(NOW)
    await vault.texts.put("report-young", WORDS)
    clock.at(NOW + 20 * DAY_MS)
    retention = TextRetention(vault.texts, {"report-": 30}, clock.older_than)
    assert await retention.sweep(NOW + 30 * DAY_MS) == 0, "on its last day it is there"
    assert await retention.sweep(NOW + 31 * DAY_MS) == 1
    clock.at(NOW + 31 * DAY_MS)
    erased = read_erasure(await vault.texts.get("report-old"))
    assert erased == TextErasure(NOW + 31 * DAY_MS, "durée de conservation : 30 jours")
    for text_id in ("report-young", "cmd-old", "headcount-old"):
        assert read_erasure(await vault.texts.get(text_id)) is None
        assert await vault.texts.get(text_id) is not None
    assert await retention.sweep(NOW + 100 * DAY_MS) == 1, (
        "the young one by then; a mark is not erased again"
    )


async def test_photos_have_days_of_their_own(vault: Setup) -> None:
    clock = Clock(vault)
    await fill(vault)
    clock.at(NOW)
    await TextRetention(vault.texts, {"attachment-": 10}, clock.older_than).sweep(NOW + 11 * DAY_MS)
    clock.at(NOW + 11 * DAY_MS)
    assert await vault.texts.get(build_attachment_id("p3")) is None
    assert await vault.texts.get("report-1") == WORDS


async def test_refused_bytes_of_a_lost_front_expire_without_a_mark(vault: Setup) -> None:
    clock = Clock(vault)
    await vault.texts.put("refused-old", TextItem({}, b"x"))
    clock.at(NOW)
    retention = TextRetention(vault.texts, {"refused-": 10}, clock.older_than)
    assert await retention.sweep(NOW + 11 * DAY_MS) == 1
    clock.at(NOW + 11 * DAY_MS)
    assert await vault.texts.get("refused-old") is None
    assert await retention.sweep(NOW + 12 * DAY_MS) == 0


async def test_texts_are_kept_by_default(vault: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RetentionSettings().days_by_prefix == {}
    await TextRetention(
        vault.texts, {}, Clock(vault).older_than
    ).run()  # ends at once: there is nothing to do
    monkeypatch.setenv("VIGIE_TEXTS_DAYS_REPORTS", "365")
    monkeypatch.setenv("VIGIE_TEXTS_DAYS_NOTES", "1825")
    assert RetentionSettings().days_by_prefix == {"report-": 365, "cmd-": 1825}

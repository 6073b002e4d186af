"""Refuse a broker that holds the data of an installation with other keys.

A machine that starts there with keys of its own would join the groups of the services, take over
calls and fail them, because it opens neither names nor accounts. Its reports would be unreadable
for the others. So the first start leaves a claim on the topic `access`, sealed with the master key.

An installation with a broker of its own starts without its keys, too, and says what it has lost.
"""

from collections.abc import Iterable
from typing import Final

import orjson
import structlog

from schemas.topics import TOPICS_BY_NAME
from services.runtime.identity.accounts import TOPIC
from services.runtime.kafka.clients import KeyedWriter
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import KEYRING_FILE, MasterKey, decrypt, encrypt

CLAIM_KEY: Final = "installation"
_TOPICS_UNDER_KEYS: Final = {"master.key": (TOPIC,), KEYRING_FILE: ("texts", "directory")}
"""File of keys → topics with records that only it opens."""
AccessValue = tuple[str, bytes | None]
"""Key and value of a record of the topic; no value = erased."""
log = structlog.get_logger(__name__)


class KeysDiffer(Exception):
    """The broker belongs to an installation with another master key."""


async def claim_broker(settings: Settings) -> None:
    """Check that this installation's keys open the broker's accounts; claim a new broker.

    `VIGIE_NEW_KEYS=1` claims any broker. Raises KeysDiffer, MasterKeyInvalid, BrokerAway,
    KafkaError, OSError.
    """
    before = await _read_access(settings.kafka)
    values = dict(before)
    existing_records = [(key, value) for key, value in values.items() if value is not None]
    has_key = (settings.data.secrets / "master.key").exists()
    if existing_records and not has_key and not settings.new_keys:
        raise _build_refusal(settings)
    seal_key = MasterKey.open(settings.data.secrets).derive_key("access")
    claim = values.get(CLAIM_KEY)
    if claim is not None and _is_opened(seal_key, CLAIM_KEY, claim):
        return
    belongs_to_us = claim is None and (
        not existing_records or _is_any_opened(seal_key, existing_records)
    )
    if not belongs_to_us and not settings.new_keys:
        raise _build_refusal(settings)
    await _write_claim(settings, seal_key, is_first=claim is None)


async def find_lost_keys(settings: Settings) -> str | None:
    """Return the file of keys that is gone while the broker holds records under it; None otherwise.

    Raises KafkaError, OSError.
    """
    for name, topics in _TOPICS_UNDER_KEYS.items():
        if not (settings.data.secrets / name).exists() and await _has_records(settings, topics):
            return name
    return None


async def _has_records(settings: Settings, topics: Iterable[str]) -> bool:
    async with PartitionReader(settings.kafka) as reader:
        for topic in topics:
            bounds = await reader.bounds(topic, range(TOPICS_BY_NAME[topic].partitions))
            if any(end > 0 for _, end in bounds.values()):
                return True
    return False


async def _write_claim(settings: Settings, seal_key: bytes, *, is_first: bool) -> None:
    """Claim the broker. The first claim in order wins if two machines claim a new one at once."""
    text = orjson.dumps({"claimed_at": now_ms()})
    writer = KeyedWriter(settings.kafka)
    try:
        await writer.put(TOPIC, CLAIM_KEY, encrypt(seal_key, text, CLAIM_KEY.encode()))
        claims = [value for key, value in await _read_access(settings.kafka) if key == CLAIM_KEY]
        first = next(value for value in claims if value is not None)
        if is_first and not _is_opened(seal_key, CLAIM_KEY, first):
            await writer.put(TOPIC, CLAIM_KEY, first)
            raise _build_refusal(settings)
    finally:
        await writer.stop()
    log.info("broker.claimed", kafka=settings.kafka)


async def _read_access(kafka: str) -> list[AccessValue]:
    """Return every record of the topic, in order per partition."""
    partitions = range(TOPICS_BY_NAME[TOPIC].partitions)
    async with PartitionReader(kafka) as reader:
        bounds = await reader.bounds(TOPIC, partitions)
        return [
            ((record.key or b"").decode("utf-8", "replace"), record.value)
            async for record in reader.read(TOPIC, bounds)
        ]


def _is_any_opened(seal_key: bytes, values: Iterable[tuple[str, bytes]]) -> bool:
    return any(_is_opened(seal_key, key, value) for key, value in values)


def _is_opened(seal_key: bytes, key: str, value: bytes) -> bool:
    try:
        decrypt(seal_key, value, key.encode())
    except ValueError:
        return False
    return True


def _build_refusal(settings: Settings) -> KeysDiffer:
    return KeysDiffer(
        f"the broker {settings.kafka} holds the data of an installation with other keys than "
        f"{settings.data.secrets}: stop that installation and bring its secrets/ here, or name "
        "another broker. Only if those keys are lost for good, set VIGIE_NEW_KEYS=1: every text, "
        "name and account there stays unreadable"
    )

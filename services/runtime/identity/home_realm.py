"""Remember the home realm of an installation: its people have plain items in the directory.

An installation may hold several live realms, and each machine or shell may name another territory
as its own. The items of the directory must not depend on that. So the first start of all leaves the
home realm on the topic `access`, and each start copies it into the data directory. Rule D140.
"""

from typing import Final

import structlog

from schemas.topics import TOPICS_BY_NAME, RealmNameInvalid, is_live, parse_realm
from services.runtime.kafka.clients import KeyedWriter
from services.runtime.kafka.security import uses_embedded_broker
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import MasterKey, decrypt, encrypt, write_private

TOPIC: Final = "access"
KEY: Final = b"home-realm"
log = structlog.get_logger(__name__)


def read_home_realm(settings: Settings) -> str:
    """Return the home realm from the data directory; before the first start its own territory."""
    try:
        stored_name = settings.data.home_realm.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        stored_name = ""
    return stored_name if _is_live_name(stored_name) else settings.territory.name


async def settle_home_realm(settings: Settings) -> str:
    """Copy the home realm from the broker; a broker without one gets this territory's.

    Raises BrokerAway, KafkaError, MasterKeyInvalid, OSError.
    """
    if uses_embedded_broker(settings) and settings.data.home_realm.exists():
        return read_home_realm(settings)
    seal_key = MasterKey.open(settings.data.secrets).derive_key(TOPIC)
    realm = await _read_first(settings.kafka, seal_key)
    if realm is None:
        writer = KeyedWriter(settings.kafka)
        try:
            realm = await _claim(settings, writer, seal_key)
        finally:
            await writer.stop()
    write_private(settings.data.home_realm, realm.encode(), replace=True)
    return realm


async def _claim(settings: Settings, writer: KeyedWriter, seal_key: bytes) -> str:
    """Write this territory's realm; the first of two machines that do so at once wins."""
    own = settings.territory.name
    await writer.put(TOPIC, KEY.decode(), encrypt(seal_key, own.encode(), KEY))
    first = await _read_first(settings.kafka, seal_key) or own
    if first != own:
        await writer.put(TOPIC, KEY.decode(), encrypt(seal_key, first.encode(), KEY))
    log.info("home_realm.settled", realm=first)
    return first


async def _read_first(kafka: str, seal_key: bytes) -> str | None:
    """Return the first readable home realm of the topic, or None."""
    partitions = range(TOPICS_BY_NAME[TOPIC].partitions)
    first_realm: str | None = None
    async with PartitionReader(kafka) as reader:
        bounds = await reader.bounds(TOPIC, partitions)
        async for record in reader.read(TOPIC, bounds):
            if first_realm is None and record.key == KEY and record.value is not None:
                first_realm = _open(seal_key, record.value)
    return first_realm


def _open(seal_key: bytes, value: bytes) -> str | None:
    """Return the realm of a record; None for a record of an installation with other keys."""
    try:
        realm = decrypt(seal_key, value, KEY).decode()
    except ValueError:
        return None
    return realm if _is_live_name(realm) else None


def _is_live_name(realm: str) -> bool:
    try:
        parse_realm(realm)
    except RealmNameInvalid:
        return False
    return is_live(realm)

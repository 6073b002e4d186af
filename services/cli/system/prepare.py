"""`vigie prepare`: create everything that the first service needs.

`vigie up` does the same by itself.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog
import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.reference import Section
from schemas.topics import PARTITION_COUNT, partition_of
from services.appliance.supervisor.up import UpFailed
from services.cli.data.trial import load_checked_territory
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.home_realm import settle_home_realm
from services.runtime.identity.installation import KeysDiffer, claim_broker, find_lost_keys
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.kafka.security import get_client_options, uses_embedded_broker
from services.runtime.kafka.topics import BrokerUnreachable, TopicsDiffer, provision_topics
from services.runtime.log.reader import HistoryChanged, LogReader
from services.runtime.log.transaction import FactRecord
from services.runtime.process import logs
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import KEYRING_FILE, MasterKeyInvalid, check_keyring
from services.territory import Territory, TerritoryInvalid
from services.territory.publish import open_live_realm

ACCESS_TIMEOUT_S = 30.0
READ_TIMEOUT_S: Final = 60.0
"""Longest time to read the log for sites in incidents; a start must not wait longer."""
FOLLOWED_FACTS: Final = ("ReferencePublished", "CauseChanged")
"""Facts about the sites of the realm and their open causes."""
log = structlog.get_logger(__name__)


async def open_territory(settings: Settings) -> None:
    """Open the live realm and publish the territory, unless this Kafka has this version.

    `run/territory.json` records the published version. A changed version that drops a site with an
    open incident is not published: the one in force stays, and `run/territory-kept.json` and the
    greeting say so. The next start tries again.
    """
    try:
        territory = await asyncio.to_thread(load_checked_territory, settings.territory)
    except (TerritoryInvalid, OSError) as error:
        first, *others = str(error).splitlines()
        more = f", and {len(others)} more" if others else ""
        raise UpFailed(
            f"the territory {settings.territory} cannot be loaded ({first}{more}): see `vigie territory check {settings.territory}`"
        ) from error
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, **get_client_options())
    await admin.start()
    try:
        cluster = (await admin.describe_cluster())["cluster_id"]
    finally:
        await admin.close()
    territory_file = settings.data.run / "territory.json"
    current = {"cluster": cluster, "realm": territory.code, "version": territory.version}
    settings.data.kept_territory.unlink(missing_ok=True)
    published = _read_published(territory_file)
    if published == current:
        return
    replaces = published is not None and published == current | {"version": published["version"]}
    if replaces and (hindrance := await _find_hindrance(settings, territory)) is not None:
        log.warning("territory.not_published", folder=str(settings.territory), why=hindrance)
        settings.data.kept_territory.write_text(json.dumps({"why": hindrance}))
        return
    try:
        async with RecordProducer(
            settings.kafka, InputMarks.open(settings.data.secrets)
        ) as producer:
            await open_live_realm(producer, territory, int(time.time() * 1000))
    except BrokerAway as error:
        raise UpFailed(f"the territory cannot be published: {error}") from error
    try:
        territory_file.write_text(json.dumps(current))
    except OSError as error:
        raise UpFailed(
            f"{territory_file} cannot be written ({error.strerror}): make room, then start again"
        ) from error


def _read_published(file: Path) -> dict[str, str] | None:
    """Return the last publication; None without one, or if the file is damaged."""
    try:
        published = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(published, dict) and "version" in published
    return published if is_whole else None


async def _find_hindrance(settings: Settings, territory: Territory) -> str | None:
    """Return why the version must not replace the one in force now, or None."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            sites = find_dropped_sites(
                await _read_facts(settings, territory.code), {site.id for site in territory.sites}
            )
    except (KafkaError, HistoryChanged, Stop, TimeoutError) as error:
        return f"the log cannot be read for open incidents ({error or 'it takes too long'})"
    if not sites:
        return None
    return f"it drops sites with an open incident: {', '.join(sites)}"


async def _read_facts(settings: Settings, realm: str) -> list[FactRecord]:
    """Read the facts of a realm that `find_dropped_sites` follows."""
    partitions = [partition_of(realm, PARTITION_COUNT)]
    async with LogReader(settings.kafka, "alerts", partitions=partitions) as reader:
        return [
            fact
            async for record in reader.read_to_end()
            if record.transaction.realm == realm
            for fact in record.transaction.facts
            if fact.name in FOLLOWED_FACTS
        ]


def find_dropped_sites(facts: Iterable[FactRecord], kept_sites: set[str]) -> list[str]:
    """Return the sites in force with an open cause that a version drops. Rule D63."""
    sites, open_causes = set[str](), dict[str, str]()
    for fact in facts:
        if fact.name not in FOLLOWED_FACTS:
            continue
        if fact.name == "ReferencePublished":
            if fact.data["data"]["section"] == Section.SITES:
                sites = {site["id"] for site in fact.data["data"]["sites"]}
            continue
        cause = fact.data["cause"]
        open_causes.pop(cause["id"], None)
        if cause.get("site") is not None and cause.get("lifted_at") is None:
            open_causes[cause["id"]] = cause["site"]
    return sorted({site for site in open_causes.values() if site in sites - kept_sites})


async def prepare_login(settings: Settings) -> None:
    """Create the token for commands on this machine, and the one-time administrator code.

    The code exists while no administrator has a password.
    """
    try:
        async with AccessStore.open(settings, "up") as access, asyncio.timeout(ACCESS_TIMEOUT_S):
            await access.bootstrap()
    except (MasterKeyInvalid, BrokerAway, TimeoutError, OSError) as error:
        raise UpFailed(
            f"accounts cannot be made ready: {error or 'the broker does not answer in time'}"
        ) from error


async def prepare_system(settings: Settings) -> None:
    """Prepare first login, live realm and reference data; may run repeatedly.

    Raises UpFailed.
    """
    try:
        check_keyring(settings.data.secrets)
        # Its own broker's data lie beside the keys: if the keys are lost, Vigie starts with others
        if uses_embedded_broker(settings):
            await _note_lost_keys(settings)
        else:
            await claim_broker(settings)
        InputMarks.open(settings.data.secrets)
        await settle_home_realm(settings)
    except (KeysDiffer, MasterKeyInvalid, BrokerAway, KafkaError, OSError) as error:
        raise UpFailed(str(error)) from error
    except sqlite3.DatabaseError as error:
        damaged = settings.data.secrets / KEYRING_FILE
        raise UpFailed(f"{damaged} is damaged ({error}): put it back from a backup") from error
    await asyncio.gather(prepare_login(settings), open_territory(settings))


async def _note_lost_keys(settings: Settings) -> None:
    """Note keys that are about to be made anew, for the summary of `vigie up` and for the doctor.

    Without the names in the directory nobody can be called.
    """
    if settings.new_keys:
        settings.data.lost_keys.unlink(missing_ok=True)
    elif (name := await find_lost_keys(settings)) is not None:
        log.error("keys.lost", file=str(settings.data.secrets / name))
        settings.data.lost_keys.write_text(name)


async def _prepare_broker(settings: Settings) -> None:
    if settings.data.restoring.exists():
        raise UpFailed(
            f"a restore into {settings.data_dir} did not come to its end: empty it and the broker, and restore again"
        )
    topics = await provision_topics(settings.kafka, replication=settings.kafka_replication)
    typer.echo(
        f"topics: {len(topics.created_topics)} created, {len(topics.existing)} as they must be"
    )
    settings.data.make()
    await prepare_system(settings)
    settings.data.started.touch()  # without a supervisor nothing else waits to be started
    typer.echo(f"the live realm is open, with the territory {settings.territory.name}")


def prepare() -> None:
    """Create topics, first login, live realm and reference data on an existing broker.

    VIGIE_KAFKA names the broker.
    """
    settings = Settings()
    try:
        if not settings.kafka:
            raise UpFailed("no broker: set VIGIE_KAFKA to HOST:PORT")
        asyncio.run(_prepare_broker(settings))
    except (UpFailed, BrokerUnreachable, TopicsDiffer, KafkaError, OSError) as error:
        typer.secho(f"vigie prepare: {error}", err=True, fg="red")
        raise typer.Exit(1) from error


def main() -> None:
    """Prepare the system; name the reason of a failure in the last line."""
    logs.configure_logging("prepare")
    try:
        asyncio.run(prepare_system(Settings()))
    except UpFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

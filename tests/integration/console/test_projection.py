"""The read model is the logs: complete, counted once, rebuilt after any loss."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from pathlib import Path

import orjson
import pytest
from aiokafka.errors import KafkaError

from schemas.alerts import (
    IncidentCounts,
    IncidentReported,
    MetricChanged,
    SiteContact,
    SiteReported,
    SiteStatusChanged,
)
from schemas.crisis.causes import CauseChanged, Members
from schemas.reference import ReferencePublished, Sites
from schemas.runtime import LossDeclared, RealmClosed
from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from services.console.read_model import store
from services.console.read_model.history import Chronicle, Version
from services.console.read_model.projector import Trimmer
from services.console.read_model.queries import ReadModel
from services.console.read_model.time_travel import History
from services.console.resources import to_datetime
from services.runtime.log.chain import Position
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.brokers import RunningStore
from tests.faults.matrix import proves
from tests.integration.console import crisis
from tests.integration.console.conftest import projecting, until
from tests.integration.console.crisis import INCIDENT, MINUTE, START
from tests.integration.console.logwriter import LogWriter

STANDS_S = 11
"""Longer than the clients' wait for the store (services.console.read_model.store.connect)."""


def a_realm() -> str:
    return f"92~test-{uuid.uuid4().hex[:10]}"


async def play(writer: LogWriter, realm: str, territory: Territory) -> None:
    """Play two cut sites, N1 then N2, an escalation, an activity, a plan, a sent message."""
    await writer.open(realm, territory, START)
    await writer.append(
        "alerts",
        realm,
        crisis.report("r-1", "pmi-04", START),
        crisis.site("pmi-04", START),
        crisis.incident(START, ("pmi-04",), "opened"),
        crisis.level(START, 1, 0),
        at=START,
    )
    at = START + 2 * MINUTE
    await writer.append(
        "alerts",
        realm,
        crisis.report("r-2", "cen-1", at),
        crisis.site("cen-1", at),
        crisis.incident(at, ("pmi-04", "cen-1"), "level", 2),
        crisis.level(at, 2, 1),
        crisis.ladder(at),
        crisis.task(at),
        at=at,
    )
    await writer.append("continuity", realm, crisis.activity(at), crisis.plan(at), at=at)
    await writer.append("delivery", realm, crisis.notification(at), at=at)


async def complete(model: ReadModel, realm: str) -> bool:
    """Wait until the last record of `play` in each of the three logs is shown."""
    counts = (await model.of(realm).overview()).counts
    return (
        counts["notifications"] == 1
        and counts["reports"] >= 2
        and (await model.of(realm).plan("PT-ELEC")).state == "proposed"
    )


async def test_the_read_model_equals_the_logs(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        incident = await model.of(realm).incident(INCIDENT)
        overview = await model.of(realm).overview()
    assert incident.title == "Coupure électrique\u00a0: Nanterre"
    assert incident.reports == ["r-1", "r-2"]
    assert incident.sites == ["pmi-04", "cen-1"]
    assert incident.escalation is not None
    assert incident.escalation.ladder == "N2"
    assert incident.plans == ["PT-ELEC"]
    assert overview.level.level == 2
    assert overview.sites["closed"] == 2
    assert sum(overview.sites.values()) == 253
    assert overview.counts["reports"] == 2
    assert overview.alarm_rate.reports == 2
    assert overview.alarm_rate.demands == 3  # ladder, task, plan
    assert {p.service: p.at for p in overview.log}.keys() == {"alerts", "continuity", "delivery"}


async def test_a_site_that_left_is_named_now_and_in_the_past(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    """An incident at it was titled without a place, its members were codes."""
    realm, at = a_realm(), START + 3 * MINUTE
    sites = next(section for section in territory.sections if isinstance(section, Sites))
    fewer_sites = Sites(sites=tuple(site for site in sites.sites if site.id != "pmi-04"))
    (name,) = (site.name for site in sites.sites if site.id == "pmi-04")
    async with projecting(console_settings):
        await play(writer, realm, territory)
        for section in territory.sections:
            data = fewer_sites if isinstance(section, Sites) else section
            last = section is territory.sections[-1]
            published = ReferencePublished(reference="fewer", data=data, last=last)
            await writer.append("alerts", realm, published, at=at)
        await writer.append("continuity", realm, crisis.plan(at + MINUTE), at=at + MINUTE)

        async def names_it() -> bool:
            reference = await model.of(realm).reference()
            return reference.version == "fewer"

        await until(names_it)
        now = await model.of(realm).reference()
        past = await model.of(realm).at(at).reference()
    for reference in (now, past):
        assert "pmi-04" not in reference.sites
        assert reference.names.site("pmi-04").endswith(" (site retiré)")
        assert reference.names.former_sites["pmi-04"][0] == name


async def test_facts_logged_in_parts_are_shown_whole(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    """A site shows its causes' reports, its last report and its incident's counts.

    This holds for the present and for a past time.
    """
    realm, at, later = a_realm(), START + 2 * MINUTE, START + 3 * MINUTE
    report_ids, sources = tuple(f"r-{n}" for n in range(8)), ("site_manager",)
    async with projecting(console_settings):
        await play(writer, realm, territory)
        row = crisis.site("pmi-04", at).row
        partial_cause = row.causes[0].model_copy(
            update={"reports": report_ids[:5], "sources": sources, "reports_count": 5}
        )
        cause = crisis.cause("pmi-04", at)
        await writer.append(
            "alerts",
            realm,
            CauseChanged(
                cause=cause, reports=Members(added=report_ids), sources=Members(added=sources)
            ),
            SiteStatusChanged(row=row.model_copy(update={"causes": (partial_cause,)})),
            at=at,
        )
        await writer.append(
            "alerts",
            realm,
            CauseChanged(
                cause=cause,
                reports=Members(dropped=report_ids[:1], added=("r-9",)),
                sources=Members(added=("rh",)),
            ),
            SiteReported(row=SiteContact(id="pmi-04", last_word_at=later)),
            IncidentReported(
                row=IncidentCounts(
                    id=INCIDENT, updated_at=later, reports_count=9, duplicates_count=7
                )
            ),
            at=later,
        )

        async def shown() -> bool:
            return (await model.of(realm).incident(INCIDENT)).reports_count == 9

        await until(shown)
        now, incident = (
            await model.of(realm).site("pmi-04"),
            await model.of(realm).incident(INCIDENT),
        )
        (listed,) = (await model.of(realm).sites(q="pmi-04", members_too=True)).items
        before = await model.at(at).of(realm).site("pmi-04")
        before_that = await model.at(at).of(realm).incident(INCIDENT)
    assert (now.causes[0].reports, now.causes[0].sources) == (
        [*report_ids[1:], "r-9"],
        ["site_manager", "rh"],
    )
    assert listed == now
    assert (now.last_word_at, incident.updated_at, incident.duplicates_count) == (
        to_datetime(later),
        to_datetime(later),
        7,
    )
    assert (before.causes[0].reports, before.last_word_at) == (list(report_ids), to_datetime(at))
    assert (before_that.reports_count, before_that.updated_at) == (2, to_datetime(at))


@proves("store", "corrupted", note="everything in it is gone")
async def test_a_flushed_store_is_rebuilt_without_a_request(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    client = store.connect(console_settings.redis)
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        before = await model.of(realm).overview()
        await writer.append_vain(
            "continuity", realm, START + 3 * MINUTE
        )  # at the end of a log: what nobody accepts keeps nothing waiting
        await client.flushall()
        await until(lambda: complete(model, realm))
        after = await model.of(realm).overview()
    await client.aclose()
    assert after.epoch != before.epoch
    assert after.counts == before.counts
    assert after.alarm_rate == before.alarm_rate
    assert after.log == before.log


@proves(
    "store",
    "stop",
    note="longer than its clients wait: what they sent is done when it goes on, and sent again",
)
async def test_a_store_that_stood_still_shows_every_fact_once(
    writer: LogWriter,
    console_settings: Settings,
    model: ReadModel,
    territory: Territory,
    cache: RunningStore,
) -> None:
    realm = a_realm()
    clock = asyncio.get_running_loop().time
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        os.kill(cache.pid, signal.SIGSTOP)
        try:
            goes_on = clock() + STANDS_S
            for n in range(20):
                await writer.append(
                    "alerts",
                    realm,
                    crisis.report(f"r-{n + 10}", "pmi-04", START + 3 * MINUTE),
                    at=START + 3 * MINUTE,
                )

            async def long_enough() -> bool:
                return clock() > goes_on

            await until(long_enough)
        finally:
            os.kill(cache.pid, signal.SIGCONT)

        async def all_there() -> bool:
            return (await model.of(realm).overview()).counts["reports"] == 22

        await until(all_there)
        overview = await model.of(realm).overview()
    assert overview.alarm_rate.reports == 22
    lines = await model.of(realm).timeline(kind=("fact",), limit=1000)
    assert sum(line.type == "ReportChanged" for line in lines.items) == 22


@proves("projector", "network", note="two at once, as a cut makes them")
async def test_two_projectors_count_nothing_twice(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    async with projecting(console_settings), projecting(console_settings):
        await play(writer, realm, territory)
        for n in range(50):
            await writer.enqueue(
                "alerts",
                realm,
                crisis.report(f"r-{n + 10}", "pmi-04", START + 3 * MINUTE),
                at=START + 3 * MINUTE,
            )
        await writer.flush()

        async def all_there() -> bool:
            return (await model.of(realm).overview()).counts["reports"] == 52

        await until(all_there)
        overview = await model.of(realm).overview()
    assert overview.alarm_rate.reports == 52
    lines = await model.of(realm).timeline(kind=("fact",), limit=1000)
    assert sum(line.type == "ReportChanged" for line in lines.items) == 52


async def test_a_projector_resumes_where_the_store_stands(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
    await writer.append(
        "alerts",
        realm,
        crisis.site("cen-1", START + 9 * MINUTE, "normal", 0),
        at=START + 9 * MINUTE,
    )
    async with projecting(console_settings):

        async def reopened() -> bool:
            return (await model.of(realm).site("cen-1")).status == "normal"

        await until(reopened)
    assert (await model.of(realm).overview()).alarm_rate.reports == 2


async def test_the_state_at_a_time_is_the_fold_up_to_it(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        then = await model.at(START + MINUTE).of(realm).overview()
        incident = await model.at(START + MINUTE).of(realm).incident(INCIDENT)
        lines = await model.at(START + MINUTE).of(realm).timeline()
        now = await model.at(START + 60 * MINUTE).of(realm).overview()
    assert then.level.level == 1
    assert then.sites["closed"] == 1
    assert then.counts["reports"] == 1
    assert then.counts["plans_proposed"] == 0
    assert incident.sites == ["pmi-04"]
    assert incident.reports == ["r-1"]
    assert incident.escalation is None
    assert {line.recorded_at.timestamp() * 1000 for line in lines.items} == {START}
    assert now.level.level == 2


async def test_a_time_that_was_read_once_is_known_without_the_broker_and_another_log_is_read_anew(
    writer: LogWriter, console_settings: Settings, territory: Territory, tmp_path: Path
) -> None:
    realm, path = a_realm(), tmp_path / "chronicle.db"
    await play(writer, realm, territory)
    for service in SERVICES:
        await writer.append(
            service, realm, MetricChanged(key="x", value=1.0, at=START), at=START + 90 * MINUTE
        )
    filled = History(console_settings.kafka, path)
    then = (await filled.at(realm, START + MINUTE)).rows("sites")
    assert then
    filled.close()
    alone = History("127.0.0.1:1", path)
    assert (await alone.at(realm, START + MINUTE)).rows("sites") == then
    with pytest.raises(KafkaError):
        await alone.at(realm, START + 100 * MINUTE)
    alone.close()
    partition, foreign = partition_of(realm, PARTITION_COUNT), Chronicle.open(path)
    foreign.add(
        "alerts",
        partition,
        [Version(realm, "sites", "nowhere", START, 0, b"{}")],
        Position(next=1_000_000, tail="of another log"),
    )
    del foreign
    again = History(console_settings.kafka, path)
    await again.at(realm, START + 100 * MINUTE)
    assert (await again.at(realm, START + MINUTE)).rows("sites") == then
    again.close()


async def test_lines_that_the_store_let_go_are_read_from_the_logs(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    client = store.connect(console_settings.redis)
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        whole = await model.of(realm).timeline(kind=("all",))
        of_incident = await model.of(realm).timeline(incident=INCIDENT)
        assert await Trimmer(client, kept_lines=3, slack=0).trim(realm) == len(whole.items) - 3
        assert int(await client.zcard(store.build_realm_key(realm, "timeline"))) == 3
        assert await model.of(realm).timeline(kind=("all",)) == whole
        assert await model.of(realm).timeline(incident=INCIDENT) == of_incident
        log_items, cursor = [], None
        while True:
            page = await model.of(realm).timeline(kind=("all",), limit=2, cursor=cursor)
            log_items += page.items
            cursor = page.next
            if cursor is None:
                break
        assert log_items == whole.items
    await client.aclose()


async def test_only_the_newest_closed_realms_stay_in_the_store_and_all_stay_readable(
    writer: LogWriter,
    console_settings: Settings,
    model: ReadModel,
    territory: Territory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "CLOSED_KEPT", 1)
    client, over = store.connect(console_settings.redis), START + 5 * MINUTE
    first, last = a_realm(), a_realm()

    async def told() -> list[object]:
        overview = await model.of(first).overview()
        return [
            overview.model_copy(update={"epoch": "", "server_time": overview.at, "log": []}),
            await model.of(first).realm(),
            await model.of(first).timeline(kind=("all",)),
            await model.of(first).timeline(incident=INCIDENT),
            await model.of(first).incident(INCIDENT),
            await model.of(first).sites(),
            await model.of(first).activities(),
            await model.of(first).plans(),
            await model.of(first).notifications(),
            await model.of(first).report("r-1"),
            await model.of(first).cap(INCIDENT, "vigie"),
            await model.of(first).draft_retex(),
        ]

    async def parts(realm: str) -> set[str]:
        return {
            key.decode().split(":", 2)[2]
            async for key in client.scan_iter(match=f"vigie:{realm}:*", count=1000)
        }

    async def laid_aside() -> bool:
        return (
            await parts(first) <= set(store.KEPT_PARTS)
            and (await model.of(last).realm()).state == "closed"
        )

    async with projecting(console_settings):
        for realm in (first, last):
            await play(writer, realm, territory)
            await until(lambda realm=realm: complete(model, realm))  # type: ignore[misc]
        for service in SERVICES:
            await writer.append(service, first, RealmClosed(), at=over)
        await until(lambda: closed(model, first))
        before = await told()
        assert "rows:incidents" in await parts(first)
        await writer.append("alerts", last, RealmClosed(), at=over + MINUTE)
        await until(laid_aside)
        assert await told() == before
        assert "rows:incidents" in await parts(last)
        await client.flushall()
        await until(laid_aside)
        assert await told() == before
        assert {realm.name for realm in await model.realms()} >= {first, last}
    await client.hset(
        store.rows_key(first, "sites"), "cen-1", b"{}"
    )  # as of a projector that was killed before it had taken all away
    async with projecting(console_settings):
        await until(laid_aside)
    await client.aclose()


async def closed(model: ReadModel, realm: str) -> bool:
    """Wait until all three services wrote the closure."""
    overview = await model.of(realm).overview()
    return all(
        place.at.timestamp() * 1000 == START + 5 * MINUTE
        for place in overview.log
        if place.at is not None
    )


async def test_after_a_declared_loss_everything_is_projected_again(
    writer: LogWriter, console_settings: Settings, model: ReadModel, territory: Territory
) -> None:
    realm = a_realm()
    client = store.connect(console_settings.redis)
    async with projecting(console_settings):
        await play(writer, realm, territory)
        await until(lambda: complete(model, realm))
        before = await model.of(realm).overview()
    key = store.build_position_key("alerts", partition_of(realm, PARTITION_COUNT))
    read = orjson.loads(await client.get(key))
    await client.set(
        key, orjson.dumps(read | {"tail": "0" * 32})
    )  # what was read is not what the log holds
    await client.hset(store.rows_key(realm, "sites"), "pmi-99", b"{}")
    await writer.append(
        "alerts", realm, LossDeclared(detail="test"), at=START + 5 * MINUTE, cause=LossDeclared
    )
    async with projecting(console_settings):

        async def rebuilt() -> bool:
            return await model.epoch() != before.epoch and await complete(model, realm)

        await until(rebuilt)
        after = await model.of(realm).overview()
        assert await client.hget(store.rows_key(realm, "sites"), "pmi-99") is None
    await client.aclose()
    assert after.counts == before.counts
    assert {p.service: p.history for p in after.log}["alerts"] == read["history"] + 1

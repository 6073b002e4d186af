"""Three whole machines under load lose one of everything: no loss, no second call, short gaps.

Clients know all three fronts. Each machine has a network namespace of its own, so that a link can
be cut like one between buildings; that needs root. The machines share two cores here, each with
the same right to them where control groups are allowed. So the bounds of time are wide;
docs/reference/benchmarks.md has the figures of a run.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import httpx2 as httpx
import pytest

from schemas.topics import PARTITION_COUNT
from services.cli.system.feed import SAMPLES, open_feed_demo
from services.intake.reports.acceptance import REPORT_WIRE_TYPE
from services.intake.reports.deduplication import INPUT_TOPICS
from services.runtime.kafka.security import read_cluster_security, use_security
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.cluster import read_member
from services.runtime.process.settings import DataDir
from services.watch.process import WatchSettings
from services.watch.samples import list_sampled_feeds
from services.watch.store import FeedStore
from tests.faults.matrix import proves
from tests.faults.reporting import WAIT_S, wait_until_settled
from tests.faults.test_cluster import applied_reports, lateness
from tests.integration.test_feeds_of_machines import VIGILANCE, Publishers
from tests.machines import NODES, SAMPLES_PORT, Load, Machines, Sender, can_make_networks
from tests.system import RunningVigie, logged_in
from tests.waiting import until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not can_make_networks(), reason="network namespaces need root and `ip`"),
]

T = TypeVar("T")
Record = Callable[[str, object], None]
QUIET_S: Final = 15.0
"""Load between two losses, in seconds."""
AWAY_S: Final = 20.0
"""Time for which a lost machine stays away: longer than the session of its workers."""
CUT_S: Final = 120.0
NOT_OF_THE_CRISIS: Final = {"/accessibilite", "/aide", "/deconnexion", "/glossaire", "/guide"}
REPORT: Final = {
    "site_id": "cen-1",
    "type": "outage_power",
    "severity": 2,
    "occurred_at": "2026-11-30T08:00:00+01:00",
    "headline": "Panne au sous-sol",
}
BATCH: Final = 500
BURST: Final = 1000
AT_ONCE: Final = 50
"""Reports of a burst that a machine may accept before it reads those of another."""
GAP_S: Final = 20.0
"""Longest time of one sender without a 202, with the wait of its own client."""
SILENCE_S: Final = 8.0
"""Longest time in which nobody gets a 202."""
WEATHER: Final = "weather_alert"
"""Type of the alerts of the feed `meteofrance-vigilance`."""
FEEDS_S: Final = 180.0
"""Longest wait for a round of every feed on machines that share two cores."""
LATE_MS: Final = 30_000
STEADY_S: Final = 300.0
STEADY_PER_S: Final = 50


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Create the cluster that all tests of this file use."""
    with Machines(tmp_path_factory.mktemp("machines")) as machines:
        yield machines


def check_promises(machines: Machines, load: Load, record: Record) -> None:
    """Check on every machine that each report counts once, and that no step was late."""
    record("reports", len(load.accepted))
    assert load.refused == []
    check_each(machines, load.accepted)
    late = measure_lateness(machines[1], load.began_ms)
    record("latest_ms", late)
    print(f"latest, in ms: {late}")
    assert {where: ms for where, ms in late.items() if ms > LATE_MS} == {}


def check_each(machines: Machines, reports: list[str]) -> None:
    """Check that every machine has these reports, and that its logs keep every promise."""
    newest = reports[-1:]
    for machine in machines.machines.values():
        assert wait_until_settled(machine, newest) == []
        assert set(reports) <= read_applied(machine)
        verdict = machine.cli("verify")
        assert verdict.returncode == 0, verdict.stdout[-3000:]


def read_applied(machine: RunningVigie) -> set[str]:
    """Return the reports that the log of alerts applied."""
    with using_brokers(machine) as brokers:
        return asyncio.run(applied_reports(brokers))


def measure_lateness(machine: RunningVigie, since_ms: int) -> dict[str, int]:
    """Return the latest decision and the latest deadline per log, in ms of delay.

    Those of the time before do not count, when the machines were starting.
    """
    with using_brokers(machine) as brokers:
        return asyncio.run(lateness(brokers, since_ms))


@contextmanager
def using_brokers(machine: RunningVigie) -> Iterator[str]:
    """Log in to the brokers of a machine and yield their addresses."""
    secrets = DataDir(machine.folder / "data").secrets
    member = read_member(secrets)
    assert member is not None
    use_security(read_cluster_security(secrets))
    try:
        yield member.brokers
    finally:
        use_security(None)


def lose(machines: Machines, record: Record, what: str, loss: Callable[[], None]) -> None:
    """Check the promises after a loss under load; `loss` ends when the part is back."""
    with machines.under_load() as load:
        load.wait(QUIET_S)
        load.take_gap_s()
        loss()
        machines.wait_whole()
        gap_s = load.take_gap_s()
    record("recovered_s", gap_s)
    print(f"{what}: {len(load.accepted)} reports, gap without a 202: {gap_s} s")
    check_promises(machines, load, record)
    assert gap_s < GAP_S


@proves("supervisor", "kill", note="every process of one of three machines")
def test_the_loss_of_a_machine_loses_nothing(machines: Machines, record_property: Record) -> None:
    def loss() -> None:
        machines.kill(1)
        away(AWAY_S)
        machines.start(1)

    lose(machines, record_property, "machine", loss)


@proves("broker", "stop", note="one of three")
def test_a_frozen_broker_loses_nothing(machines: Machines, record_property: Record) -> None:
    """It keeps its connections open and answers nothing; then it is killed."""

    def loss() -> None:
        machines[2].kill("broker", signal.SIGSTOP)
        away(AWAY_S)
        machines[2].kill("broker")

    lose(machines, record_property, "frozen broker", loss)


@proves("broker", "network", note="the link of one of three machines")
def test_a_machine_that_is_cut_off_says_so_and_its_reports_come_later(
    machines: Machines, record_property: Record
) -> None:
    cut_off = max(NODES)
    network, machine = machines.network, machines[cut_off]
    enough = threading.Event()
    inside = Sender([machine.url], machine.token, enough, prepare=partial(network.enter, cut_off))
    with logged_in(machine, "cell") as browser, machines.under_load() as load:
        inside.start()
        load.wait(QUIET_S)
        load.take_gap_s()
        network.cut(cut_off)
        began = len(inside.accepted)
        load.wait(CUT_S / 2)
        pages = run_inside(machines, cut_off, partial(read_pages, machine.url, browser.cookies))
        load.wait(CUT_S / 2)
        inside_accepted = len(inside.accepted) - began
        outside_gap_s = load.take_gap_s()
        network.mend(cut_off)
        recovery = len(inside.accepted)
        until(lambda: len(inside.accepted) > recovery, WAIT_S)
        inside_gap_s = round(inside.take_gap_s(), 1)
        machines.wait_whole()
        enough.set()
        inside.join()
    record_property("outside_gap_s", outside_gap_s)
    record_property("recovered_s", inside_gap_s - CUT_S)
    print(f"cut: gap of the majority {outside_gap_s} s, of the other side {inside_gap_s} s")
    assert inside_accepted <= 1, "a report on its way at the cut may still have had its copies"
    assert [path for path, says_so in pages.items() if not says_so] == []
    assert len(pages) > 10
    load.senders.append(inside)
    check_promises(machines, load, record_property)
    assert outside_gap_s < GAP_S


@proves("broker", "corrupted", note="a lost disk, with a fourth machine in place of its machine")
def test_a_machine_without_its_disk_is_replaced_during_a_crisis(
    machines: Machines, record_property: Record
) -> None:
    def loss() -> None:
        machines.lose_disk(2)
        away(AWAY_S)
        machines.join(4, machines.command(1, "replace", "2"))

    lose(machines, record_property, "disk", loss)


@proves("supervisor", "stop", note="three machines, one after the other")
def test_an_upgrade_of_one_machine_after_the_other_stops_nothing(
    machines: Machines, record_property: Record
) -> None:
    def upgrade() -> None:
        for number in machines.machines:
            machines.restart(number)
            machines.wait_whole()

    lose(machines, record_property, "upgrade", upgrade)


@proves("supervisor", "kill", note="then a broker, a link, a disk", case="50")
@pytest.mark.parametrize("per_s", [STEADY_PER_S])
def test_losses_one_after_the_other_at_a_steady_rate_lose_no_report(
    machines: Machines, record_property: Record, per_s: float
) -> None:
    """Processes, broker, disk and link, in five minutes."""
    first, second, third = machines.machines

    def lose_processes() -> None:
        machines.kill(first)
        away(AWAY_S)
        machines.start(first)

    def lose_disk() -> None:
        machines.lose_disk(third)
        away(AWAY_S)
        machines.join(max(NODES) + 1, machines.command(first, "replace", str(third)))

    def lose_broker() -> None:
        machines[second].kill("broker")

    def lose_link() -> None:
        machines.network.cut(first)
        away(AWAY_S)
        machines.network.mend(first)

    losses: dict[str, Callable[[], None]] = {
        "processes": lose_processes,
        "broker": lose_broker,
        "link": lose_link,
        "disk": lose_disk,
    }
    gaps_s: dict[str, float] = {}
    silences_s: dict[str, float] = {}
    with machines.under_load(per_s) as load:
        began = time.monotonic()
        for number, (what, loss) in enumerate(losses.items()):
            load.wait(max(QUIET_S, began + number * STEADY_S / len(losses) - time.monotonic()))
            load.take_gap_s()
            load.take_silence_s()
            loss()
            machines.wait_whole()
            gaps_s[what], silences_s[what] = load.take_gap_s(), load.take_silence_s()
            print(
                f"{what}: {len(load.accepted)} reports; without a 202: any sender {silences_s[what]} "
                f"s, one sender {gaps_s[what]} s"
            )
        load.wait(max(0.0, began + STEADY_S - time.monotonic()))
        seconds = time.monotonic() - began
    record_property("recovered_s", max(gaps_s.values()))
    print(f"{len(load.accepted)} reports in {seconds:.0f} s, of {per_s * seconds:.0f}")
    check_promises(machines, load, record_property)
    assert max(gaps_s.values()) < GAP_S
    assert max(silences_s.values()) < SILENCE_S


@proves("supervisor", "kill", note="the machine that reads a feed, of three")
def test_another_machine_reads_a_feed_after_its_reader_died_and_alerts_once(
    machines: Machines, record_property: Record
) -> None:
    """The heir reads the same edition again. Later it takes back alerts of the dead machine."""
    publishers = Publishers()
    with machines.serving(publishers.create_app):
        feeds = Feeds(machines)
        until(lambda: set(feeds.find_readers()) == feeds.names, FEEDS_S)
        until(lambda: feeds.count_unsent() == 0, FEEDS_S)
        reader = feeds.find_readers()[VIGILANCE]
        alerts = feeds.read_reports()
        warnings = [report for report, kind in alerts.items() if kind == (WEATHER, "Alert")]
        assert warnings != []

        machines.kill(reader)
        began = time.monotonic()
        until(
            lambda: reader not in feeds.find_readers(without=reader).values(),
            FEEDS_S,
            longest_s=0.0,
        )
        took_s = time.monotonic() - began
        record_property("recovered_s", took_s)
        print(f"feeds: another machine reads them after {took_s:.1f} s")
        feeds.read_again(without=reader, publishers=publishers)
        assert feeds.read_reports() == alerts

        publishers.move_on()
        feeds.read_again(without=reader, publishers=publishers)
        reports = feeds.read_reports()
        ends = [kind for report, kind in reports.items() if report not in alerts]
        assert ends.count((WEATHER, "Cancel")) == len(warnings)
        assert (WEATHER, "Alert") not in ends
        machines.start(reader)
        machines.wait_whole()
    for machine in machines.machines.values():
        assert machine.cli("verify").returncode == 0


class Feeds:
    """The feeds of a demonstration, switched on at every machine."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        first = machines[min(machines.machines)]
        settings = self._find_settings(first)
        self._realm = open_feed_demo(settings)
        self.names = set(list_sampled_feeds(SAMPLES))
        for machine in machines.machines.values():
            if machine is not first:
                keys = self._find_settings(machine).feed_keys
                shutil.copytree(settings.feed_keys, keys, dirs_exist_ok=True)
        self._ask_soon(machines.machines)

    def _find_settings(self, machine: RunningVigie) -> WatchSettings:
        return WatchSettings(
            data_dir=machine.folder / "data",
            url=machine.url,
            feeds_samples=f"http://127.0.0.1:{SAMPLES_PORT}",
        )

    def _ask_soon(self, numbers: Iterable[int]) -> None:
        """Switch the feeds on, so that each is read as soon as it may be."""
        for number in numbers:
            store = FeedStore(self._find_settings(self._machines[number]).feed_store)
            for name in self.names:
                store.enable(name, time.time(), enabled=True)
            store.close()

    def find_readers(self, without: int | None = None) -> dict[str, int]:
        """Return the machine that reads each feed, once all machines say the same."""
        numbers = [number for number in self._machines.machines if number != without]
        machines = self._machines.machines.items()
        names = {
            DataDir(machine.folder / "data").machine.read_text(encoding="ascii").strip(): number
            for number, machine in machines
        }
        pages = [self._read_page(number) for number in numbers]
        if any(page != pages[0] for page in pages):
            return {}
        return {feed: names.get(name, 0) for feed, name in pages[0].items()}

    def _read_page(self, number: int) -> dict[str, str]:
        file = self._find_settings(self._machines[number]).data.feed_status
        try:
            items = json.loads(file.read_bytes())["items"]
        except FileNotFoundError:
            return {}
        return {item["name"]: item["read_by"] for item in items if item["understood_at"]}

    def count_unsent(self, without: int | None = None) -> int:
        """Return how many reports of the feeds no front has accepted."""
        unsent = 0
        for number in self._machines.machines:
            if number != without:
                store = FeedStore(self._find_settings(self._machines[number]).feed_store)
                unsent += sum(len(store.list_unsent(name)) for name in self.names)
                store.close()
        return unsent

    def read_again(self, without: int, publishers: Publishers) -> None:
        """Read the feeds once more, and wait until their reports are accepted."""
        publishers.requests.clear()
        self._ask_soon(number for number in self._machines.machines if number != without)
        until(lambda: {feed for feed, _ in publishers.requests} == self.names, FEEDS_S)
        until(lambda: self.count_unsent(without) == 0, FEEDS_S)
        assert publishers.requests[VIGILANCE, "main"] == 1

    def read_reports(self) -> dict[str, tuple[str, str]]:
        """Return the reports of the demonstration on the topics, with type and kind of message."""
        with using_brokers(self._machines[min(self._machines.machines)]) as brokers:
            return asyncio.run(self._read_topics(brokers))

    async def _read_topics(self, brokers: str) -> dict[str, tuple[str, str]]:
        reports: dict[str, tuple[str, str]] = {}
        async with PartitionReader(brokers) as reader:
            for topic in INPUT_TOPICS:
                bounds = await reader.bounds(topic, range(PARTITION_COUNT))
                async for record in reader.read(topic, bounds):
                    headers = dict(record.headers)
                    is_report = headers.get("ce_type") == REPORT_WIRE_TYPE.encode()
                    if is_report and record.key == self._realm.encode():
                        message = json.loads(record.value)
                        kind = message["type"], message["msg_type"]
                        reports[headers["ce_id"].decode()] = kind
        return reports


def test_the_rate_of_a_sender_holds_on_all_machines_together(machines: Machines) -> None:
    first, *_ = machines.machines.values()
    token = first.http.post("/api/v1/tokens", json={"role": "source", "rate_per_s": 1}).json()
    began, accepted = time.monotonic(), 0
    for machine in machines.machines.values():
        reports = [REPORT | {"headline": f"{machine.url} {number}"} for number in range(BATCH)]
        answer = httpx.post(
            f"{machine.url}/api/v1/reports:batch",
            json={"reports": reports},
            headers={"Authorization": f"Bearer {token['token']}"},
            timeout=60,
            trust_env=False,
        )
        accepted += sum(item["status"] == 202 for item in answer.json()["items"])
    assert BURST <= accepted <= BURST + time.monotonic() - began + AT_ONCE


def test_a_whole_cluster_comes_back_from_a_backup(
    machines: Machines, tmp_path: Path, record_property: Record
) -> None:
    """Reports come while it is made. It holds all that were accepted before.

    The three commands of a new cluster follow the restore of one machine.
    """
    file = str(tmp_path / "vigie.backup")
    key = "the key of the backup, on paper"
    old = machines[1]
    with logged_in(old, "cell") as browser, machines.under_load() as load:
        session = dict(browser.cookies)
        made = old.http.post("/api/v1/tokens", json={"role": "cell"}).json()
        text = old.http.post("/api/v1/reports", json=REPORT).json()["report_id"]
        load.wait(QUIET_S)
        accepted = load.accepted
        backup_run = old.cli("backup", file, VIGIE_BACKUP_KEY=key)
    assert backup_run.returncode == 0, backup_run.stderr
    for number in list(machines.machines):
        machines.lose_disk(number)
    first, *others = (11, 12, 13)
    began = time.monotonic()
    restored = machines.add(first).cli("restore", file, VIGIE_BACKUP_KEY=key)
    assert restored.returncode == 0, restored.stderr
    machines.begin(first, others)
    record_property("recovered_s", time.monotonic() - began)
    print(f"restored: three machines are in step after {time.monotonic() - began:.0f} s")
    check_each(machines, [text, *accepted])
    for machine in machines.machines.values():
        check_access(machine, session, made["token"], text)


def check_access(machine: RunningVigie, session: dict[str, str], token: str, report: str) -> None:
    """Check that a session, a token and the key of a text are valid on a machine."""
    with httpx.Client(
        base_url=machine.url, cookies=session, timeout=30, trust_env=False
    ) as browser:
        page = browser.get("/")
        assert (page.status_code, "/connexion" in page.headers.get("Location", "")) == (200, False)
    with httpx.Client(base_url=machine.url, timeout=30, trust_env=False) as program:
        program.headers["Authorization"] = f"Bearer {token}"
        raw = program.get(f"/api/v1/reports/{report}/raw")
        assert raw.json()["headline"] == REPORT["headline"]


def away(seconds: float) -> None:
    """Wait while the others go on without a part."""
    enough = threading.Event()
    enough.wait(seconds)


def run_inside(machines: Machines, number: int, work: Callable[[], T]) -> T:
    """Run something on a machine, also while its link to this process is cut."""
    with ThreadPoolExecutor(1, initializer=machines.network.enter, initargs=(number,)) as aside:
        return aside.submit(work).result()


def read_pages(url: str, cookies: httpx.Cookies) -> dict[str, bool]:
    """Return each page about the crisis and whether it says that its machine is cut off."""
    with httpx.Client(base_url=url, cookies=cookies, timeout=30, trust_env=False) as browser:
        first = browser.get("/", follow_redirects=True)
        paths = sorted(set(re.findall(r'href="(/[a-z-]*)"', first.text)) - NOT_OF_THE_CRISIS)
        answers = {path: browser.get(path, follow_redirects=True) for path in paths}
    return {
        path: 'id="cut-off"' in answer.text
        for path, answer in answers.items()
        if "text/html" in answer.headers["Content-Type"]
    }

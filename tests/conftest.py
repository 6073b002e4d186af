"""Fixtures shared by all tests with servers: one real broker and store per run, on loopback."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from argon2 import PasswordHasher
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.process.settings import Settings
from services.territory import source
from tests.brokers import (
    LOGIN,
    Brokers,
    RunningStore,
    forget,
    of_run,
    starting_brokers,
    starting_stores,
)
from tests.crisis import REALM, play_crisis
from tests.faults.matrix import Recorder
from tests.system import RunningVigie, stop_shared

_SHARED: Final = pytest.StashKey[Path]()
_FAILED: Final = pytest.StashKey[bool]()
_DAMAGED: Final = pytest.StashKey[bool]()
_PREPARING: Final = pytest.StashKey[subprocess.Popen[bytes]]()
TRIES: Final = 2
"""Tries of steps done once for all workers; each may take minutes."""
NOWHERE: Final = "/nonexistent/vigie"
MEMORY: Final = Path("/dev/shm")
"""The folder that Linux keeps in memory."""
ROOM_BYTES: Final = 4 << 30
"""Memory that must be free, so that tests keep their files there."""
PREFIX: Final = "vigie-tests-"
LOG_END: Final = 6_000
"""Characters of the shared system's log printed after failures, for runs on remote machines."""
LOOKS_FOR_GARBAGE: Final = (20_000, 20, 50)
"""Thresholds of `gc`.

With Python's defaults, a fifth of the processor time of unit tests scans modules, schemas and
tests.
"""
LONGEST: Final = Path("faults/runtime")
"""Folder of the tests that wait for minutes."""
REAL: Final = {"browser", "faults", "integration", "scenarios"}
"""Folders of the tests that start processes."""

hypothesis_settings.register_profile("shared machine", hypothesis_settings(), deadline=None)
hypothesis_settings.load_profile("shared machine")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Start the collection of each worker at another part of a folder.

    On a new machine, pytest compiles each test file and keeps the result. Workers that collect in
    one order compile every file at the same time.
    """
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker is not None and report.passed and isinstance(collector, pytest.Directory):
        number, many = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        first = len(report.result) * number // many
        report.result = [*report.result[first:], *report.result[:first]]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Order: the longest folder of waiting tests, tests that need no server, the others, browser tests.

    Tests that wait leave the processor to those that compute. Few servers run beside the latter,
    which would take their part of a core. Browser tests come last: Playwright keeps an event loop
    in the main thread until the end of the run, and no other may run beside it.

    In CI a test on real processes that fails is tried once more, and named at the end of the run as
    RERUN, with its traceback: a machine that others use, too, stands still at times. On a
    developer's machine it fails.
    """
    items.sort(key=lambda item: item.path.parts)  # The same in all workers
    yield
    items.sort(key=lambda item: _rank(item.path))
    if "CI" in os.environ:
        for item in items:
            if _is_real(item):
                item.add_marker(pytest.mark.flaky(reruns=1))


def _is_real(item: pytest.Item) -> bool:
    return _rank(item.path)[1]


def _environment() -> dict[str, str]:
    """Return the part of the shell's environment that tests see."""
    inherited_names = ("VIGIE_CACHE_DIR", "VIGIE_JAVA")
    return {
        n: v for n, v in os.environ.items() if not n.startswith("VIGIE_") or n in inherited_names
    }


@cache
def _rank(file: Path) -> tuple[bool, bool, bool]:
    path = file.relative_to(Path(__file__).parent)
    waits = path.is_relative_to(LONGEST)
    return not waits, path.parts[0] in REAL, path.parts[0] == "browser"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    """Hide VIGIE_* of the shell and the default data directory; keep the cache of jars."""
    patch = pytest.MonkeyPatch()
    for name in os.environ.keys() - _environment().keys():
        patch.delenv(name)
    patch.setenv("VIGIE_DATA_DIR", NOWHERE)
    for name, value in LOGIN.items():
        patch.setenv(name, value)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hash passwords in a millisecond: those of the tests need no protection."""
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr("services.runtime.identity.sessions.PasswordHasher", quick)
        yield


@pytest.fixture(scope="session", autouse=True)
def _yaml_parsed_once() -> Iterator[None]:
    """Parse each YAML text of territories once; every reader gets a copy of its own.

    A territory takes a third of a second, most of it for YAML, and dozens of tests change one file
    of it.
    """
    parse = source._parse

    @lru_cache(maxsize=256)
    def parse_once(text: str, pure: bool) -> bytes | None:
        parsed = parse(text, pure=pure)
        try:
            return pickle.dumps(parsed)
        except RecursionError:
            return None

    def read(text: str, *, pure: bool = False) -> Any:
        parsed = parse_once(text, pure)
        return parse(text, pure=pure) if parsed is None else pickle.loads(parsed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_parse", read)
        yield


@pytest.fixture(autouse=True)
def _unit_tests_know_no_broker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.path.is_relative_to(Path(__file__).parent / "unit"):
        for name in LOGIN:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nobody_speaks_to_brokers_as_the_test_before() -> Iterator[None]:
    yield
    forget()


@pytest.fixture(scope="module")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Yield `await start_broker()`: a broker for tests that kill or damage it.

    Stopped at the end of the module.
    """
    with starting_brokers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Return the shared broker with every topic of `schemas.topics`.

    Use your own realm. A test that kills it starts it again.
    """
    with starting_brokers(tmp_path_factory) as start:
        yield asyncio.run(start())


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    """Return the shared store.

    Use your own database number or key prefix; never flush all of it.
    """
    with starting_stores(tmp_path_factory) as start:
        yield asyncio.run(start())


@pytest.fixture
def settings(broker: RunningKafka, store: RunningStore, tmp_path: Path) -> Settings:
    """Return settings of a process on the shared broker and store, with its own data directory."""
    made = Settings(data_dir=tmp_path / "data", kafka=broker.address, redis=store.url)
    made.data.make()
    return made


@pytest.fixture(scope="session")
def vigie(request: pytest.FixtureRequest) -> Iterator[RunningVigie]:
    """Return the shared whole system, without the demo: one for all workers of the run.

    Use your own realm; neither stop it nor kill its processes.
    """
    folder = shared_folder(request.config)
    with (folder / "vigie.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared = RunningVigie.shared(folder / "vigie")
    yield shared
    shared.leave()


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVigie]:
    """Return a second whole system, of this worker alone, for tests that kill its processes.

    Leave it ready and the live realm calm: the files of one row of BY_ONE_WORKER share it.
    """
    with RunningVigie(tmp_path_factory.mktemp("apart")) as running:
        yield running


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVigie]:
    """Return a third whole system, of this worker alone, for dozens of kills in its live realm.

    The files of one row of BY_ONE_WORKER share it, in their order.
    """
    with RunningVigie(tmp_path_factory.mktemp("victim")) as running:
        yield running


@pytest.fixture(scope="session")
def once(request: pytest.FixtureRequest) -> Callable[[str, Callable[[], None]], None]:
    """Yield `once(name, do)`: the first worker of the run does it, the others wait.

    After TRIES failures it has failed for all.
    """

    def doing(name: str, do: Callable[[], None]) -> None:
        folder = shared_folder(request.config)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done, failed = folder / f"{name}.done", folder / f"{name}.failed"
            if done.exists():
                return
            failures = json.loads(failed.read_text(encoding="utf-8")) if failed.exists() else []
            assert len(failures) < TRIES, failures
            try:
                do()
            except BaseException as failure:
                failed.write_text(json.dumps([*failures, str(failure)]), encoding="utf-8")
                raise
            done.touch()

    return doing


@pytest.fixture(scope="session")
def crisis(vigie: RunningVigie, once: Callable[[str, Callable[[], None]], None]) -> str:
    """Name of the realm. Decide nothing in it: open a realm of your own for that."""
    once("crisis", partial(play_crisis, vigie))
    return REALM


OF_FOLDER: Final = {
    "tests/faults/runtime": ("fault_broker",),
    "tests/integration/clients": ("door_process",),
    "tests/integration/console": ("logs_broker", "cache"),
    "tests/integration": ("broker", "store"),
}
"""Servers that hardly any test outside one folder needs: stopped after its last test.

Even an idle broker uses part of a core. A later request starts it again.
"""
WHILE_NEEDED: Final = ("apart", "demo", "victim")
"""Whole systems of one worker: stopped before the first test that does not use them."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_DAMAGED] = (
        item.stash.get(_DAMAGED, False) or report.failed or hasattr(report, "rerun")
    )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End servers without later tests, and the module's own after a failed test.

    The second try and the tests after it start on an undamaged system.
    """
    yield
    if item.stash.get(_DAMAGED, False) and _is_real(item):
        item.stash[_DAMAGED] = False
        for fixtures in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
            for fixture in fixtures:
                if fixture.scope == "module" or fixture.argname in WHILE_NEEDED:
                    fixture.finish(item._request)  # type: ignore[attr-defined]
    for name in set(WHILE_NEEDED) & _fixtures_of(item) - _fixtures_of(nextitem):
        for fixture in item.session._fixturemanager.getfixturedefs(name, item) or ():
            fixture.finish(item._request)  # type: ignore[attr-defined]
    for folder, names in OF_FOLDER.items():
        here = item.config.rootpath / folder
        if item.path.is_relative_to(here) and (
            nextitem is None or not nextitem.path.is_relative_to(here)
        ):
            for name in names:
                for fixture in item.session._fixturemanager.getfixturedefs(name, item) or ():
                    fixture.finish(item._request)  # type: ignore[attr-defined]


def _fixtures_of(item: pytest.Item | None) -> set[str]:
    return set(item.fixturenames) if isinstance(item, pytest.Function) else set()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage meanwhile: modules, schemas and tests stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


BY_ONE_WORKER: Final = (
    ("tests/faults/runtime/",),
    ("tests/faults/test_reassignment.py", "tests/faults/test_whole_system.py"),
    (
        "tests/integration/clients/test_alertmanager.py",
        "tests/integration/continuity/test_planning.py",
        "tests/integration/intake/test_public_page.py",
        "tests/integration/test_personal_data.py",
    ),
    ("tests/integration/console/",),
    (
        "tests/integration/clients/",
        "tests/integration/intake/",
        "tests/integration/cli/test_dlq.py",
        "tests/integration/test_feeds_of_machines.py",
        "tests/integration/runtime/test_provision.py",
        "tests/integration/runtime/test_reader.py",
        "tests/integration/runtime/test_shared_keyring.py",
        "tests/integration/runtime/test_strangers.py",
        "tests/integration/runtime/test_up.py",
        "tests/integration/verify/test_auditor_reads.py",
    ),
    ("tests/browser/demo/",),
    ("tests/unit/continuity/reassignment/",),
)
"""Files that need the same servers or solutions: each worker that got one would make its own.

The first row that fits counts.
"""


class ByServers(LoadFileScheduling):
    """A worker gets a file, or all of one row of BY_ONE_WORKER."""

    def _split_scope(self, nodeid: str) -> str:
        return next(
            (files[0] for files in BY_ONE_WORKER if nodeid.startswith(files)),
            super()._split_scope(nodeid),
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServers:
    return ByServers(config, log)


def shared_folder(config: pytest.Config) -> Path:
    """Return the folder of this run, the same in all its workers."""
    return (
        Path(config.workerinput["shared"])
        if hasattr(config, "workerinput")
        else config.stash[_SHARED]
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--measure",
        action="store_true",
        help="keep the figures of the fault matrix that this run measures (tests/faults)",
    )
    parser.addoption(
        "--soak-minutes", type=float, default=60.0, help="how long tests/faults/test_soak.py plays"
    )
    parser.addoption("--soak-realms", type=int, default=20, help="in how many realms")
    parser.addoption("--soak-figures", type=Path, help="a file for every sample of memory, as JSON")


def make_folder(config: pytest.Config) -> Path:
    """Make the folder of this run, in memory for many workers with enough space.

    Brokers flush each record, which takes milliseconds on a disk. Tests kill processes, not
    machines: data written by a process survive it in both places. Long tests and benches run
    without workers, on the disk.
    """
    if not (getattr(config.option, "numprocesses", None) and _is_roomy(MEMORY)):
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    for stale_folder in MEMORY.glob(f"{PREFIX}*"):
        pid = stale_folder.name.removeprefix(PREFIX).partition("-")[0]
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            shutil.rmtree(stale_folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY))


def _is_roomy(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    free = shutil.disk_usage(folder).free
    return min(free, psutil.virtual_memory().available) >= ROOM_BYTES


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    gc.set_threshold(*LOOKS_FOR_GARBAGE)
    if config.getoption("--measure") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder())
    if not hasattr(config, "workerinput"):
        config.stash[_SHARED] = folder = make_folder(config)
        if config.option.basetemp is None and folder.is_relative_to(MEMORY):
            config.option.basetemp = folder / "tmp"
    of_run(shared_folder(config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each worker the folder of the run; xdist calls this."""
    node.workerinput["shared"] = str(node.config.stash[_SHARED])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare the start files of brokers during tests without one, in a run of all tests."""
    config = session.config
    if (
        getattr(config.option, "numprocesses", None)
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
    ):
        command = [sys.executable, "-m", "tests.brokers", str(shared_folder(config))]
        own = {"VIGIE_DATA_DIR": NOWHERE, "PYTHONPATH": str(config.rootpath)}
        environment = _environment() | LOGIN | own
        config.stash[_PREPARING] = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    gc.freeze()  # pytest collects garbage ten times at the end, over the objects of all tests
    session.config.stash[_FAILED] = bool(exitstatus)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Clean up after the last worker."""
    if hasattr(config, "workerinput"):
        return
    if (preparing := config.stash.get(_PREPARING, None)) is not None:
        preparing.terminate()
        preparing.wait()
    folder = config.stash[_SHARED]
    stop_shared(folder / "vigie")
    failed, log = config.stash.get(_FAILED, True), folder / "vigie" / "up.log"
    if failed and log.exists():
        ends = log.read_text(encoding="utf-8", errors="replace")[-LOG_END:]
        print(f"the shared system's log is kept in {folder / 'vigie'}; it ends with\n{ends}")
    elif not (failed and folder.is_relative_to(MEMORY)):
        shutil.rmtree(folder, ignore_errors=True)

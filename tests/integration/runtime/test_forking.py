"""Services as forks behave as after an exec, and none depends on the fork server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.appliance.supervisor import forkserver
from services.appliance.supervisor.forking import ForkedProcess, ForkServer
from tests.system import ROOT
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere services are started by exec"
)
MODULE = "tests.integration.runtime.forked"


@pytest.fixture
async def forks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ForkServer]:
    made = ForkServer(("aiokafka",))
    made.set_environment({**os.environ, "STRANGER": "of the fork server"})
    made.begin()
    yield made
    made.close()


class Service:
    """A running tests.integration.runtime.forked."""

    def __init__(self, process: ForkedProcess, told: Path) -> None:
        self.process, self.told = process, told

    @classmethod
    async def start(cls, forks: ForkServer, told: Path) -> Service:
        read, write = os.pipe()
        os.write(write, b"through the descriptor")
        environment = {
            **os.environ,
            "SAID": "of the service",
            "TOLD_FD": str(read),
            "VIGIE_PROCESS": "alerts",
        }
        try:
            return cls(await forks.fork(MODULE, (str(told),), environment, (read,), 1000), told)
        finally:
            os.close(read)
            os.close(write)

    async def found(self) -> dict[str, Any]:
        await eventually(lambda: self.told.exists() and self.told.read_text(), 60)
        return dict(json.loads(self.told.read_text()))

    async def ends(self, what: str) -> tuple[int, list[str]]:
        self.told.with_suffix(".do").write_text(what)
        code = await asyncio.wait_for(self.process.wait(), 60)
        assert self.process.stdout is not None
        return code, (await self.process.stdout.read()).decode().splitlines()

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def test_a_fork_is_as_if_it_had_been_started_by_exec(
    forks: ForkServer, tmp_path: Path
) -> None:
    one, two = [await Service.start(forks, tmp_path / name) for name in ("one", "two")]
    details = await one.found()
    await two.found()
    assert details["pid"] == details["session"] == one.process.pid != two.process.pid
    assert (details["said"], details["stranger"], details["through"]) == (
        "of the service",
        None,
        "through the descriptor",
    )
    assert details["argv0"].endswith("forked.py")
    assert details["interrupt"]
    assert details["warm"] == ["aiokafka"], "it has what the fork server imported"
    assert len(details["fds"]) == 5, (
        "input, output, error output, what it was given, and the directory that it lists"
    )
    itself = psutil.Process(one.process.pid)
    assert itself.ppid() == os.getpid()
    assert " ".join(itself.cmdline()).startswith("vigie: alerts")
    code, output_lines = await one.ends("leave")
    assert (code, output_lines) == (7, ["spoken"])
    code, output_lines = await two.ends("fail")
    assert (code, output_lines[0], output_lines[-1]) == (1, "spoken", "ValueError: of no use")


async def test_a_service_outlives_the_fork_server_and_the_next_one_gets_a_new_server(
    forks: ForkServer, tmp_path: Path
) -> None:
    one = await Service.start(forks, tmp_path / "one")
    await one.found()
    kill_newest_server()
    two = await Service.start(forks, tmp_path / "two")
    await two.found()
    assert psutil.Process(one.process.pid).is_running()
    os.kill(one.process.pid, signal.SIGKILL)
    assert await asyncio.wait_for(one.process.wait(), 60) == -signal.SIGKILL
    await two.end()


async def test_a_module_that_is_missing_keeps_no_service_from_being_forked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    forks = ForkServer(("no_such_module", "tabnanny"))
    forks.set_environment(dict(os.environ))
    forks.begin()
    try:
        service = await Service.start(forks, tmp_path / "told")
        assert (await service.found())["warm"] == ["tabnanny"]
        await service.end()
    finally:
        forks.close()
    assert "fork server: no_such_module cannot be imported" in capfd.readouterr().err


SUPERVISOR = """
import asyncio, os, pathlib, signal, sys
import aiokafka, psutil
from services.appliance.supervisor.forking import ForkServer
from tests.integration.runtime.test_forking import MODULE, Service, kill_newest_server
left_open = os.open(os.devnull, os.O_RDONLY)
os.environ["STRANGER"] = "of the supervisor"
told = pathlib.Path(sys.argv[1])
forks = ForkServer(("tabnanny", MODULE))
forks.begin_as_fork()
del os.environ["STRANGER"]
async def main():
    one, two, three = [await Service.start(forks, told / name) for name in ("one", "two", "three")]
    found = await one.found()
    assert found["pid"] == found["session"] == one.process.pid, found
    assert (found["said"], found["stranger"]) == ("of the service", None), found
    assert found["through"] == "through the descriptor", found
    assert found["argv0"].endswith("forked.py") and found["interrupt"], found
    assert found["warm"] == ["aiokafka", "tabnanny"], "the supervisor's imports and the server's"
    assert len(found["fds"]) == 5, "no file of the supervisor stays open"
    assert (await one.process.stdout.readline()) == b"spoken\\n"
    assert psutil.Process(one.process.pid).ppid() == os.getpid()
    assert psutil.Process(one.process.pid).cmdline()[0].startswith("vigie: alerts ")
    assert (await one.ends("leave"))[0] == 7
    code, said = await two.ends("fail")
    assert (code, said[-1]) == (1, "ValueError: of no use"), said
    assert await three.ends("say") == (1, ["spoken", "a last word"])
    four = await Service.start(forks, told / "four")
    await four.found()
    kill_newest_server()
    five = await Service.start(forks, told / "five")
    assert (await five.found())["warm"] == ["tabnanny"], "this server was started by exec"
    for service in (four, five):
        assert (await service.ends("leave"))[0] == 7, "the end of a server ends no service"
asyncio.run(main())
forks.close()
print("done")
"""


def test_a_fork_of_the_supervisor_serves_like_a_program_of_its_own(tmp_path: Path) -> None:
    run_to_its_end(SUPERVISOR, str(tmp_path))


CHECKED = """
import os, sys
from services.appliance.supervisor.forking import ForkServer
def check():
    import this
    return "a fault"
forks = ForkServer(())
assert forks.begin_as_fork(check) == "a fault"
assert "this" not in sys.modules
forks.close()
supervisor = os.getpid()
def end_server():
    if os.getpid() != supervisor:
        raise SystemExit
    return "found here"
assert forks.begin_as_fork(end_server) == "found here"
forks.close()
print("done")
"""


def test_a_check_in_the_fork_leaves_its_imports_there() -> None:
    """The settings of all services stayed in the memory of `vigie up`."""
    run_to_its_end(CHECKED)


def test_a_process_with_threads_is_not_forked() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    children = psutil.Process().children()
    try:
        assert ForkServer(("tabnanny",)).begin_as_fork(lambda: "a fault") == "a fault"
        assert psutil.Process().children() == children
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("unread", [b"", b"an answer"])
def test_a_server_ends_quietly_with_its_supervisor(unread: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        if unread:
            theirs.send(unread)
        ours.close()
        with pytest.raises(SystemExit) as ended:
            forkserver.serve_requests(theirs)
    assert ended.value.code == 0


def run_to_its_end(program: str, *arguments: str) -> None:
    """Run a program in a process of its own, which has no threads of other tests."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["done"]), done.stderr


def kill_newest_server() -> None:
    server = max(
        filter(_is_server, psutil.Process().children()), key=psutil.Process.create_time
    )  # other tests of this run have one, too
    server.kill()
    server.wait(60)


def _is_server(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith("vigie: fork server")
    except (
        psutil.ZombieProcess
    ):  # what another test has left to its end, and nobody has asked for its exit code
        return False

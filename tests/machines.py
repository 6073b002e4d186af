"""Whole machines, each in a network namespace of its own on one bridge. Needs root and `ip`.

`with Machines(folder) as machines` forms three of them by the commands of the guide. A link can be
cut without closing a connection, as between two buildings.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import math
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2 as httpx
from aiohttp import web

from services.cli.client import CONNECT_TIMEOUT_S, FallbackTransport
from tests.faults.reporting import SITES, TYPES
from tests.system import VIGIE, RunningVigie, kill_tree
from tests.waiting import until

NODES: Final = (1, 2, 3)
FORM_S: Final = 600.0
FRONT_PORT: Final = 8092
BROKER_PORT: Final = 9093
SAMPLES_PORT: Final = 8099
"""Port on the loopback of each machine at which a test may serve samples of the feeds."""
CALM_PER_S: Final = 8.0
"""Reports a second that leave three machines room on two cores."""
SENDER_PER_S: Final = 4.0
"""Reports a second of one sender."""
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
_CLONE_NEWNET: Final = 0x40000000
_networks = itertools.count()


def can_make_networks() -> bool:
    """Return whether this user may make network namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    """A bridge with one cable to each machine; this process is at its end `.254`."""

    def __init__(self) -> None:
        # Linux removes the cables of an earlier network some time after its end
        self._mark = f"v{os.getpid() % 10_000}{next(_networks)}"
        self._net = f"10.213.{os.getpid() % 250}"
        self._ends: list[str] = []

    def namespace(self, number: int) -> str:
        """Return the name of the namespace of a machine."""
        return f"{self._mark}n{number}"

    def address(self, number: int) -> str:
        """Return the address of a machine."""
        return f"{self._net}.{number}"

    def open(self) -> None:
        """Make the bridge."""
        _ip("link", "add", self._mark, "type", "bridge")
        _ip("addr", "add", f"{self._net}.254/24", "dev", self._mark)
        _ip("link", "set", self._mark, "up")

    def plug_in(self, number: int) -> None:
        """Make the namespace of a machine and its cable."""
        name, end = self.namespace(number), f"{self._mark}c{number}"
        _ip("netns", "add", name)
        self._ends.append(name)
        _ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", end, "master", self._mark, "up")
        _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")

    def cut(self, number: int) -> None:
        """Pull the cable of a machine: packets get lost, and no connection ends."""
        _ip("link", "set", f"{self._mark}c{number}", "nomaster")

    def mend(self, number: int) -> None:
        """Connect the cable again."""
        _ip("link", "set", f"{self._mark}c{number}", "master", self._mark)

    def close(self) -> None:
        """Remove everything; processes in it have ended."""
        for name in self._ends:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._mark)

    def enter(self, number: int) -> None:
        """Move this thread to a machine: its new connections begin there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.namespace(number)).open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


def find_processor_groups() -> Path | None:
    """Return the folder for new control groups of the processor; None if nobody may make one."""
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return CONTROL_GROUPS / "cpu" / path.lstrip("/")
    unified = CONTROL_GROUPS / "cgroup.subtree_control"
    is_usable = unified.exists() and "cpu" in unified.read_text(encoding="ascii").split()
    return CONTROL_GROUPS if is_usable else None


class Processor:
    """Equal shares of the processor, one per machine, where control groups are allowed.

    A machine that starts takes nothing from the others, as if it had a processor of its own.
    """

    def __init__(self) -> None:
        self._groups: list[Path] = []

    def enter(self, name: str) -> tuple[str, ...]:
        """Return a command that runs the command after it with the share of a machine."""
        folder = find_processor_groups()
        if folder is None:
            return ()
        group = folder / name
        if group not in self._groups:
            try:
                group.mkdir(exist_ok=True)
            except OSError:
                return ()
            self._groups.append(group)
        return ("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group))

    def close(self) -> None:
        """Remove the groups; processes in them have ended."""
        for group in self._groups:
            with suppress(OSError):
                group.rmdir()


class Machines:
    """Whole installations by number, and the network between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.network = Network()
        self._processor = Processor()
        self.machines: dict[int, RunningVigie] = {}

    def __enter__(self) -> Self:
        try:
            self.network.open()
            first, *others = NODES
            self.add(first)
            self.begin(first, others)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in self.machines.values():
            machine.__exit__(None, None, None)
        self.network.close()
        self._processor.close()

    def __getitem__(self, number: int) -> RunningVigie:
        return self.machines[number]

    def add(self, number: int) -> RunningVigie:
        """Return a new machine, empty and not started."""
        self.network.plug_in(number)
        folder = self._folder / str(number)
        machine = RunningVigie(folder, first=True, under=self._enter(number))
        machine.http_address = f"{self.network.address(number)}:{FRONT_PORT}"
        machine.url = f"http://{machine.http_address}"
        machine.environment["VIGIE_HTTP"] = machine.http_address
        machine.environment["VIGIE_FEEDS_SAMPLES"] = f"http://127.0.0.1:{SAMPLES_PORT}"
        self.machines[number] = machine
        return machine

    def begin(self, first: int, others: list[int]) -> None:
        """Make one machine a cluster, let others join, and wait until all copies are there."""
        self.command(first, "init", "--address", self._broker(first))
        self.start(first)
        for number in others:
            self.join(number, self.command(first, "invite"))
        self.wait_whole()

    def join(self, number: int, invitation: str) -> None:
        """Start a new machine with an invitation."""
        self.add(number)
        self.command(number, "join", "-", "--address", self._broker(number), given=invitation)
        self.start(number)

    def _broker(self, number: int) -> str:
        return f"{self.network.address(number)}:{BROKER_PORT}"

    def command(self, number: int, *arguments: str, given: str = "") -> str:
        """Run `vigie cluster` on a machine and return its output. Raises AssertionError."""
        done = subprocess.run(
            [*self._enter(number), str(VIGIE), "cluster", *arguments],
            env=self.machines[number].environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _enter(self, number: int) -> tuple[str, ...]:
        namespace = self.network.namespace(number)
        return (*self._processor.enter(namespace), "ip", "netns", "exec", namespace)

    def is_whole(self) -> bool:
        """Return whether `vigie cluster status` finds no fault."""
        try:
            self.command(min(self.machines), "status")
        except AssertionError:
            return False
        return True

    def wait_whole(self) -> None:
        """Wait until every copy is in step again."""
        until(self.is_whole, FORM_S)

    def start(self, number: int) -> None:
        """Start a machine and wait for it as long as for the forming of all."""
        self[number].begin()
        until(self[number].ready, FORM_S)

    def restart(self, number: int) -> None:
        """Stop a machine as its service manager does, and start it again."""
        os.kill(self[number].pid, signal.SIGTERM)
        assert self[number].ended() == 0
        self.start(number)

    def kill(self, number: int) -> None:
        """Kill every process of a machine at once."""
        kill_tree(self[number].pid)
        self[number].ended()

    @contextmanager
    def serving(self, app: Callable[[], web.Application]) -> Iterator[None]:
        """Serve the samples of the feeds on the loopback of every machine."""
        end, threads = threading.Event(), []
        for number in self.machines:
            began = threading.Event()
            target = partial(asyncio.run, self._serve(app, began, end))
            thread = threading.Thread(target=self._run_inside, args=(number, target), daemon=True)
            thread.start()
            threads.append(thread)
            assert began.wait(FORM_S), f"no samples on machine {number}"
        try:
            yield
        finally:
            end.set()
            for thread in threads:
                thread.join()

    def _run_inside(self, number: int, work: Callable[[], None]) -> None:
        self.network.enter(number)
        work()

    async def _serve(
        self, app: Callable[[], web.Application], began: threading.Event, end: threading.Event
    ) -> None:
        runner = web.AppRunner(app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", SAMPLES_PORT).start()
        began.set()
        await asyncio.to_thread(end.wait)
        await runner.cleanup()

    def lose_disk(self, number: int) -> None:
        """Kill a machine and delete all that it had."""
        self.kill(number)
        self[number].leave()
        del self.machines[number]
        shutil.rmtree(self._folder / str(number))

    @contextmanager
    def under_load(self, per_s: float = CALM_PER_S) -> Iterator[Load]:
        """Yield the senders of `per_s` reports a second that know every machine.

        They end with the block.
        """
        enough = threading.Event()
        urls = [machine.url for machine in self.machines.values()]
        token, count = self[min(self.machines)].token, math.ceil(per_s / SENDER_PER_S)
        senders = [Sender(urls, token, enough, per_s / count) for _ in range(count)]
        for sender in senders:
            sender.start()
        try:
            yield Load(senders)
        finally:
            enough.set()
            for sender in senders:
                sender.join()


class Sender(threading.Thread):
    """Posts reports at a steady rate to the machine that answers, each until it is accepted.

    It makes up for none that were due while it waited.
    """

    def __init__(
        self,
        urls: list[str],
        token: str,
        enough: threading.Event,
        per_s: float = SENDER_PER_S,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"sender to {urls[0]}", daemon=True)
        self._urls, self._token, self._enough, self._prepare = urls, token, enough, prepare
        self._interval_s = 1 / per_s
        self._random = random.Random(urls[0])
        self.accepted: list[str] = []
        self.accepted_at: list[float] = []
        self.refused: list[str] = []
        self.longest_gap_s = 0.0
        self._last = time.monotonic()

    def run(self) -> None:
        self._prepare()
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(
            base_url=self._urls[0],
            headers=headers,
            timeout=httpx.Timeout(5, connect=CONNECT_TIMEOUT_S),
            transport=FallbackTransport(self._urls),
        ) as client:
            due = time.monotonic()
            while not self._enough.wait(max(0.0, due - time.monotonic())):
                self._post(client)
                due = max(due + self._interval_s, time.monotonic())

    def take_gap_s(self) -> float:
        """Return the longest time without a 202 since the last call, the present one included."""
        longest = max(self.longest_gap_s, time.monotonic() - self._last)
        self.longest_gap_s = 0.0
        return longest

    def _post(self, client: httpx.Client) -> None:
        body = {
            "site_id": self._random.choice(SITES),
            "type": self._random.choice(TYPES),
            "severity": 2,
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in itertools.count():
            with suppress(httpx.TransportError):
                answer = client.post("/api/v1/reports", json=body, headers=headers)
                if answer.status_code == 202:
                    self._note(answer.json()["report_id"])
                    return
                if answer.status_code < 500:
                    self.refused.append(answer.text)
                    return
            if self._enough.wait(0.1):
                return

    def _note(self, report: str) -> None:
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self._last = now
        self.accepted_at.append(now)
        self.accepted.append(report)


class Load:
    """The senders of one block."""

    def __init__(self, senders: list[Sender]) -> None:
        self.senders = senders
        self.began_ms = time.time_ns() // 1_000_000
        self._looked_at = time.monotonic()

    @property
    def accepted(self) -> list[str]:
        """Return every accepted report."""
        return [report for sender in self.senders for report in sender.accepted]

    @property
    def refused(self) -> list[str]:
        """Return every refusal for good."""
        return [text for sender in self.senders for text in sender.refused]

    def take_gap_s(self) -> float:
        """Return the longest time of one sender without a 202 since the last call."""
        return round(max(sender.take_gap_s() for sender in self.senders), 1)

    def take_silence_s(self) -> float:
        """Return the longest time in which no sender got a 202 since the last call."""
        began, self._looked_at = self._looked_at, time.monotonic()
        accepted_at = sorted(
            at for sender in self.senders for at in list(sender.accepted_at) if at > began
        )
        moments = [began, *accepted_at, self._looked_at]
        return round(max(after - at for at, after in itertools.pairwise(moments)), 1)

    def wait(self, seconds: float) -> None:
        """Wait while reports come."""
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() > end, seconds + 60)

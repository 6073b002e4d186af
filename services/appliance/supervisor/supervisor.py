"""All children together: started in stages, explained when they end, stopped in order.

It keeps `status.json` up to date.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from itertools import groupby

import structlog

from services.appliance.supervisor.child import SupervisedProcess
from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.plan import ProcessPlan
from services.appliance.supervisor.status import (
    MIN_FREE_MB,
    State,
    SystemAddresses,
    format_now,
    read_free_mb,
    write_status,
)
from services.appliance.supervisor.stream import OutputStream
from services.runtime.process.exits import EXITS
from services.runtime.process.settings import DataDir

log = structlog.get_logger(__name__)


class Supervisor:
    def __init__(
        self,
        data: DataDir,
        addresses: SystemAddresses,
        stream: OutputStream,
        forks: ForkServer | None = None,
    ) -> None:
        self._data, self.addresses, self._stream, self._forks = data, addresses, stream, forks
        self._children: dict[str, SupervisedProcess] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._state: State = "starting"
        self._since = format_now()
        self._write_failed = False

    def start(self, plans: Iterable[ProcessPlan]) -> list[SupervisedProcess]:
        """Start these processes; returns at once."""
        children = []
        for plan in plans:
            child = SupervisedProcess(
                plan,
                self._stream,
                self.write_status,
                self._explain,
                self._forks,
                self._is_disk_full,
            )
            self._children[plan.name] = child
            self._tasks.append(asyncio.create_task(child.run(), name=plan.name))
            children.append(child)
        self.write_status()
        return children

    async def run_to_end(self, plan: ProcessPlan) -> SupervisedProcess:
        """Run a process until it ends, then forget it. Cancelled, it is left to `stop`."""
        (child,) = self.start([plan])
        await child.over.wait()
        del self._children[plan.name]
        self.write_status()
        return child

    def enter(self, state: State) -> None:
        """Set the state of the whole system."""
        self._state, self._since = state, format_now()
        self.write_status()

    def change_addresses(self, addresses: SystemAddresses) -> None:
        """Tell commands of this machine other addresses from now on."""
        if addresses != self.addresses:
            self.addresses = addresses
            self.write_status()

    def say(self, text: str) -> None:
        """Show text to the user."""
        self._stream.plain(text)

    def write_status(self) -> None:
        """Update `status.json`. A full disk is logged once and stops nothing."""
        try:
            write_status(
                self._data.status,
                supervisor_pid=os.getpid(),
                state=self._state,
                since=self._since,
                addresses=self.addresses,
                processes=[c.status for c in self._children.values()],
            )
            self._write_failed = False
        except OSError as error:
            if not self._write_failed:
                log.error("status.not_written", file=str(self._data.status), why=error.strerror)
            self._write_failed = True

    def _is_disk_full(self) -> bool:
        try:
            return read_free_mb(self._data) < MIN_FREE_MB
        except OSError:
            return False

    def _explain(self, plan: ProcessPlan, code: int) -> str:
        """Explain in one sentence why a process ended."""
        try:
            free = read_free_mb(self._data)
        except OSError as error:
            return f"exit {code}; the disk of {self._data.root} cannot be read: {error.strerror}"
        if free < MIN_FREE_MB:
            return f"exit {code}; the disk of {self._data.root} is full ({free} MB free): make room, it will be started again"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        last = self._children[plan.name].last_word
        of_code = [(name, e) for name, e in EXITS.items() if e.code == code]
        exits = (
            of_code
            if len(of_code) == 1
            else [(name, e) for name, e in of_code if e.act and name in last]
        )
        for name, e in exits:
            return f"{name} ({e.means}){f': {e.act}' if e.act else ''}"
        where = f", see {plan.log_file}" if plan.log_file else ""
        return f"exit {code}{f': {last[:200]}' if last else ''}{where}"

    async def stop(self) -> None:
        """Stop everything in the order of the plans.

        Each process gets its own time before SIGKILL.
        """
        self.enter("stopping")
        children = sorted(self._children.values(), key=lambda c: c.plan.stop_order)
        for _, together in groupby(children, key=lambda c: c.plan.stop_order):
            await asyncio.gather(*(child.stop() for child in together))
        await asyncio.gather(*self._tasks, return_exceptions=True)

"""One supervised process: started, probed, restarted with back-off, stopped."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import structlog

from services.appliance.embedded.leash import wrap_command
from services.appliance.supervisor.forking import ForkedProcess, ForkFailed, ForkServer
from services.appliance.supervisor.plan import (
    PROBE_S,
    NotAlive,
    ProcessPlan,
    read_waiting_s,
    set_priority,
)
from services.appliance.supervisor.status import ProcessStatus, State, format_now
from services.appliance.supervisor.stream import OutputStream
from services.runtime.process.restarts import RestartBackoff
from services.runtime.process.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

PROBE_STARTING_S = 0.15
HUNG_TIMEOUT_S = 30.0
"""Seconds without an answer after which a process that has answered before is restarted."""
HUNG_START_TIMEOUT_S = 180.0
"""The same for a process that has not answered yet."""
ROOM_CHECK_S = 1.0
"""Seconds between two looks for room on a full disk while a process waits for its restart."""
LINE_BYTES = 256 * 1024
CANNOT_START_EXIT = 126
"""Exit code of a process that the system could not create, as in a shell."""

Process = asyncio.subprocess.Process | ForkedProcess


class SupervisedProcess:
    """State machine of one process.

    `on_change` is called after every change of state, from the loop, and must not block.
    """

    def __init__(
        self,
        plan: ProcessPlan,
        stream: OutputStream,
        on_change: Callable[[], None],
        explain: Callable[[ProcessPlan, int], str],
        forks: ForkServer | None = None,
        is_disk_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self.plan = plan
        self._forks = forks
        self._is_disk_full = is_disk_full
        self.ready = asyncio.Event()
        """Set while the process is ready."""
        self.over = asyncio.Event()
        """Set when the process will not be started again."""
        self.exit_code: int | None = None
        self._stream, self._on_change, self._explain = stream, on_change, explain
        self._state: State = "waiting"
        self._since = format_now()
        self._why: str | None = None
        self._restarts = 0
        self._backoff = RestartBackoff()
        self._process: Process | None = None
        self._probing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._last_line = ""
        self._exception = ""

    @property
    def status(self) -> ProcessStatus:
        pid = (
            self._process.pid
            if self._process is not None and self._process.returncode is None
            else None
        )
        return ProcessStatus(
            self.plan.name, pid, self._state, self._since, self._restarts, self._why
        )

    @property
    def has_ended(self) -> bool:
        """True if it has ended by itself at least once since its first start."""
        return self.exit_code is not None

    @property
    def last_word(self) -> str:
        """Its own reason for its end: the exception of its last traceback, else its last line."""
        return self._exception or self._last_line

    def _enter(self, state: State, why: str | None = None) -> None:
        if (state, why) == (self._state, self._why):
            return
        if state != self._state:
            self._since = format_now()
        self._state, self._why = state, why
        if state == "ready":
            self.ready.set()
        else:
            self.ready.clear()
        self._on_change()

    async def run(self) -> None:
        """Run the process until `stop`, or until it ends without restart.

        Never raises for anything that the process does.
        """
        try:
            while not self._stopping.is_set():
                code, ready_for_s = await self._run_once()
                self.exit_code = code
                if self._stopping.is_set():
                    break
                if not self.plan.restarts:
                    if code:
                        log.warning(
                            "process.failed",
                            process=self.plan.name,
                            why=self._explain(self.plan, code),
                        )
                    self._enter("failed" if code else "ended")
                    return
                delay = self._backoff.next_delay_s(code, ready_for_s)
                reason = self._explain(self.plan, code)
                log.warning(
                    "process.ended", process=self.plan.name, why=reason[:120], restart_in_s=delay
                )
                self._enter("backing_off", reason)
                await self._wait_to_restart(delay)
                self._restarts += 1
            self._enter("stopped")
        finally:
            self.over.set()

    async def _wait_to_restart(self, delay_s: float) -> None:
        """Wait for this delay, or until a stop. If the disk is full, room for files ends it."""
        is_full, end = self._is_disk_full(), time.monotonic() + delay_s
        while not self._stopping.is_set() and (left_s := end - time.monotonic()) > 0:
            if is_full and not self._is_disk_full():
                return
            try:
                await asyncio.wait_for(
                    self._stopping.wait(), min(left_s, ROOM_CHECK_S) if is_full else left_s
                )
            except TimeoutError:
                pass

    async def _run_once(self) -> tuple[int, float]:
        """Run the process once and return (exit code, seconds of readiness)."""
        self._enter("starting")
        try:
            self._process = process = await self._begin()
        except OSError as error:  # No memory, process or descriptor is left at this moment
            self._exception, self._last_line = (
                "",
                f"it could not be started: {error.strerror or error}",
            )
            return CANNOT_START_EXIT, 0.0
        self._on_change()
        ready_at: list[float] = []
        self._probing = asyncio.create_task(self._probe(process, ready_at))
        showing = asyncio.create_task(self._show(process))
        try:
            if self._stopping.is_set():  # Requested while it was being created
                self._enter("stopping")
                await self._end(process)
            code = await process.wait()
        finally:
            await self._end_probing()
        try:
            await asyncio.wait_for(showing, 1.0)  # A grandchild may hold the pipe open
        except TimeoutError:
            pass
        return code, time.monotonic() - ready_at[0] if ready_at else 0.0

    async def _begin(self) -> Process:
        if self._forks is not None and self.plan.module is not None:
            module, arguments = self.plan.module
            try:
                return await self._forks.fork(
                    module, arguments, self.plan.environment, self.plan.pass_fds, LINE_BYTES
                )
            except ForkFailed as error:
                log.debug("process.not_forked", process=self.plan.name, why=str(error))
        return await asyncio.create_subprocess_exec(
            *wrap_command(list(self.plan.command)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.plan.environment,
            pass_fds=self.plan.pass_fds,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops the others in order
            limit=LINE_BYTES,
        )

    async def _show(self, process: Process) -> None:
        assert process.stdout is not None
        self._last_line = self._exception = ""
        in_traceback = False
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:  # A line over the limit: its rest comes next
                continue
            if not raw:
                return
            text = raw.decode("utf-8", "replace").rstrip()
            if text:
                self._last_line = text
                if text.startswith("Traceback (most recent call last)"):
                    in_traceback = True
                elif in_traceback and not text.startswith(" "):
                    self._exception, in_traceback = text, False
                self._stream.line(self.plan.name, text)

    async def _probe(self, process: Process, ready_at: list[float]) -> None:
        if self.plan.probe is None:
            self._enter("ready")
            return
        has_answer = False
        silent_s, probe_at, waiting_s = 0.0, time.monotonic(), 0.0
        while process.returncode is None:
            try:
                why = await self.plan.probe()
                has_answer, silent_s, probe_at, waiting_s = (
                    True,
                    0.0,
                    time.monotonic(),
                    read_waiting_s(process.pid),
                )
            except Exception as error:  # noqa: BLE001  any error means no answer
                if not isinstance(error, NotAlive):
                    log.warning(
                        "process.not_probed",
                        process=self.plan.name,
                        error=f"{type(error).__name__}: {error}",
                    )
                why, last, probe_at = "does not answer", probe_at, time.monotonic()
                before, waiting_s = waiting_s, read_waiting_s(process.pid)
                # A longer turn means that the supervisor itself stood still.
                asked_s = min(probe_at - last, PROBE_S + self.plan.probe_every_s + 1.0)
                # A process that waits for the processor, as in a storm of reports, does not hang.
                silent_s += max(0.0, asked_s - (waiting_s - before))
                if silent_s > (HUNG_TIMEOUT_S if has_answer else HUNG_START_TIMEOUT_S):
                    log.error("process.hung", process=self.plan.name, silent_s=round(silent_s))
                    await self._end(process)
                    return
            if self._stopping.is_set() or process.returncode is not None:
                return
            if why is None:
                if self._state != "ready":
                    log.info("process.ready", process=self.plan.name, pid=process.pid)
                self._enter("ready")
                if not ready_at:
                    ready_at.append(time.monotonic())
                    # Only now: it should start at full speed
                    await set_priority(process.pid, self.plan.nice)
            elif ready_at or self._state == "unready":
                if self._state == "ready":
                    log.warning("process.unready", process=self.plan.name, why=why)
                self._enter("unready", why)
            else:
                self._enter("starting", why)
            await asyncio.sleep(
                self.plan.probe_every_s if self._state == "ready" else PROBE_STARTING_S
            )

    async def _end_probing(self) -> None:
        """End the probe and close its connection."""
        if self._probing is not None:
            await cancel_and_wait([self._probing])
        if self.plan.close_probe is not None:
            await self.plan.close_probe()

    async def _end(self, process: Process) -> None:
        """Send SIGTERM, then SIGKILL after the plan's `stop_s`; return once the process is gone."""
        if process.returncode is not None:
            return
        _send_signal(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.plan.stop_s)
        except TimeoutError:
            log.warning(
                "process.killed",
                process=self.plan.name,
                why=f"did not stop within {self.plan.stop_s:g} s",
            )
            _send_signal(process.pid, signal.SIGKILL)
            await process.wait()

    async def stop(self) -> None:
        """Stop for good; returns once the process is gone. A second call waits for the first."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._enter("stopping")
            await self._end_probing()  # Its client would report the end of the process as an error
            await self._end(self._process)
        await self.over.wait()


def _send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

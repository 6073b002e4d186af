"""Compute one ranking in a process of its own, which gives all its memory back at its end.

`python -m services.continuity.reassignment.ranking_worker` reads a task in JSON from the first
line of standard input. Each further line asks for a slice of work, and gets one line of JSON. The
process ends with its standard input, so it never outlives the planner by more than a slice.
"""

import asyncio
import os
import sys
import time
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import Generator
from typing import Final, Self

from pydantic import BaseModel

from schemas.crisis.contingency import ContingencyComputed
from services.continuity.reassignment.planner import RankingTask, compute_in_steps

SLICE_S: Final = 0.2
MAX_ANSWER_BYTES: Final = 4 << 20
LOWEST_NICENESS: Final = 19


class RankingFailed(Exception):
    """The computation raised an error; the message is its traceback."""


class WorkerEnded(OSError):
    """The process ended without an answer, for example for lack of memory."""


class SliceAnswer(BaseModel):
    """Answer to a slice: its processor time, and the result at the end of the work."""

    computed_s: float
    result: ContingencyComputed | None = None
    failure: str = ""


class RankingWorker:
    """The process of one task. Use it as a context: leaving it ends the process."""

    def __init__(self, task: RankingTask, *, gives_way: bool) -> None:
        """Set the task. With `gives_way` the process gets the highest niceness."""
        self._task = task
        self._gives_way = gives_way
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        assert self._process is not None, "it runs within its context"
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.continuity.reassignment.ranking_worker",
            stdin=PIPE,
            stdout=PIPE,
            limit=MAX_ANSWER_BYTES,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        if self._gives_way:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, LOWEST_NICENESS)
        await self._send(self._task.model_dump_json().encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None, "it runs within its context"
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def compute_slice(self) -> SliceAnswer:
        """Continue for SLICE_S. Raise RankingFailed, WorkerEnded."""
        assert self._process is not None, "it runs within its context"
        assert self._process.stdout is not None, "it is a pipe"
        await self._send(b"")
        line = await self._process.stdout.readline()
        if not line:
            raise WorkerEnded(f"the ranking ended with code {await self._process.wait()}")
        answer = SliceAnswer.model_validate_json(line)
        if answer.failure:
            raise RankingFailed(answer.failure)
        return answer

    async def _send(self, line: bytes) -> None:
        assert self._process is not None, "it runs within its context"
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            pass  # It has ended, which its missing answer tells


def _compute_slice(work: Generator[None, None, ContingencyComputed]) -> ContingencyComputed | None:
    """Continue for SLICE_S; return the result at the end."""
    until = time.monotonic() + SLICE_S
    try:
        while time.monotonic() < until:
            next(work)
    except StopIteration as end:
        result: ContingencyComputed = end.value
        return result
    return None


def main() -> None:
    """Serve slices of the task on standard input until it ends."""
    computed_s = 0.0
    work = compute_in_steps(RankingTask.model_validate_json(sys.stdin.buffer.readline()))
    for _ in sys.stdin.buffer:
        result, failure = None, ""
        try:
            result = _compute_slice(work)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  the planner tells it
            failure = traceback.format_exc()
        now_s = time.process_time()
        answer = SliceAnswer(computed_s=now_s - computed_s, result=result, failure=failure)
        computed_s = now_s
        print(answer.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()

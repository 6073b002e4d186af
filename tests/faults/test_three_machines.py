"""Three whole machines lose one after the other under load: no loss, no second call, short gaps.

Clients know all three fronts. The machines share two cores here, so the bounds of time are wide;
docs/reference/benchmarks.md has the figures of a run.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from services.cli.fallback import FallbackTransport
from services.runtime.kafka.security import read_cluster_security, use_security
from services.runtime.process.cluster import read_member
from services.runtime.process.settings import DataDir
from tests.faults.matrix import proves
from tests.faults.reporting import SITES, TYPES, wait_until_settled
from tests.faults.test_cluster import lateness
from tests.formed_cluster import NODES, choose_address
from tests.system import VIGIE, RunningVigie, kill_tree
from tests.waiting import until

PAUSE_S: Final = 0.25
FORM_S: Final = 600.0
QUIET_S: Final = 40.0
"""Load between two losses, in seconds."""
GAP_S: Final = 20.0
LATE_MS: Final = 30_000


class Machines:
    """Three whole installations on three loopback addresses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.machines: dict[int, RunningVigie] = {}

    def command(self, number: int, *arguments: str, given: str = "") -> str:
        """Run `vigie cluster` on a machine and return its output. Raises AssertionError."""
        done = subprocess.run(
            [str(VIGIE), "cluster", *arguments],
            env=self.machines[number].environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def form(self) -> None:
        """Start the three by the commands of the guide."""
        for number in NODES:
            machine = RunningVigie(self._folder / str(number), first=True)
            self.machines[number] = machine
            address = choose_address(number)
            if number == NODES[0]:
                self.command(number, "init", "--address", address)
            else:
                invitation = self.command(1, "invite")
                self.command(number, "join", "-", "--address", address, given=invitation)
            machine.start()
        until(self.is_in_step, FORM_S)

    def is_in_step(self) -> bool:
        """Return whether `vigie cluster status` finds no fault."""
        try:
            self.command(1, "status")
        except AssertionError:
            return False
        return True

    def end(self) -> None:
        """Kill everything."""
        for machine in self.machines.values():
            machine.__exit__(None, None, None)


class Sender(threading.Thread):
    """Posts reports at a steady rate to whichever front answers, each until it is accepted."""

    def __init__(self, machines: Machines, seed: int, enough: threading.Event) -> None:
        super().__init__(name=f"sender-{seed}")
        self._machines, self._enough = machines, enough
        self._random = random.Random(seed)
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.longest_gap_s = 0.0

    def run(self) -> None:
        first = self._machines.machines[1]
        urls = [machine.url for machine in self._machines.machines.values()]
        headers = {"Authorization": f"Bearer {first.token}"}
        transport = FallbackTransport(urls)
        with httpx.Client(
            base_url=urls[0], headers=headers, timeout=5, transport=transport
        ) as client:
            last = time.monotonic()
            while not self._enough.wait(PAUSE_S):
                self._post(client)
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - last)
                last = now

    def _post(self, client: httpx.Client) -> None:
        body = {
            "site_id": self._random.choice(SITES),
            "type": self._random.choice(TYPES),
            "severity": 2,
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in itertools.count():
            try:
                answer = client.post("/api/v1/reports", json=body, headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code == 202:
                self.accepted.append(answer.json()["report_id"])
                return
            if answer.status_code < 500:
                self.refused.append(answer.text)
                return
            if self._enough.wait(0.1):
                return


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Create the cluster of three whole machines."""
    found = Machines(tmp_path)
    try:
        found.form()
        yield found
    finally:
        found.end()


@proves("broker", "kill", note="every process of one machine of three, one after the other")
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_loss_of_any_machine_loses_nothing(
    machines: Machines, record_property: Callable[[str, object], None]
) -> None:
    enough = threading.Event()
    senders = [Sender(machines, seed, enough) for seed in (1, 2)]
    for sender in senders:
        sender.start()
    try:
        for number in NODES:
            enough.wait(QUIET_S)
            kill_tree(machines.machines[number].pid)
            enough.wait(QUIET_S)
            machines.machines[number].start()
            until(machines.is_in_step, FORM_S)
    finally:
        enough.set()
        for sender in senders:
            sender.join()
    accepted = [id for sender in senders for id in sender.accepted]
    gaps = [round(sender.longest_gap_s, 1) for sender in senders]
    record_property("reports", len(accepted))
    record_property("longest_gap_s", gaps)
    print(f"reports {len(accepted)}, longest gaps without a 202: {gaps} s")
    assert [sender.refused for sender in senders if sender.refused] == []
    for machine in machines.machines.values():
        assert wait_until_settled(machine, accepted) == []
        verdict = machine.cli("verify")
        assert verdict.returncode == 0, verdict.stdout[-3000:]
    late = measure_lateness(machines.machines[1])
    record_property("latest_ms", late)
    print(f"latest: {late}")
    assert {where: ms for where, ms in late.items() if ms > LATE_MS} == {}
    assert max(gaps) < GAP_S


def measure_lateness(machine: RunningVigie) -> dict[str, int]:
    """Return the latest decision and the latest deadline per log, in ms of delay."""
    data = DataDir(machine.folder / "data")
    member = read_member(data.secrets)
    assert member is not None
    use_security(read_cluster_security(data.secrets))
    try:
        return asyncio.run(lateness(member.brokers))
    finally:
        use_security(None)

"""The processes of the system on one machine, their stop order and their readiness probes.

Processes that compute and show wait for those that accept and store. See
`docs/adr/0028-give-accepting-processes-priority.md`.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import aiohttp

from services.appliance.embedded import kafka, store
from services.appliance.embedded.kafka import KafkaNode
from services.appliance.embedded.store import StoreNode
from services.appliance.supervisor.forkserver import ARENAS
from services.appliance.supervisor.orphans import SUPERVISOR_VARIABLE
from services.appliance.supervisor.status import SystemAddresses
from services.runtime.process.settings import Settings
from services.runtime.secrets.local_secrets import build_header

ACCEPTING_NICENESS: Final = -15
"""Niceness of the processes between a report and its 202.

It applies if the system grants it (root, `LimitNICE=`, CAP_SYS_NICE).
"""
CALLING_NICENESS: Final = -15
"""Niceness of the process that calls people.

With less, a whole storm is decided before the first people are called.
"""
DECIDING_NICENESS: Final = -5
"""Niceness of the process that decides incidents.

With -10, a 202 takes a second at 500 reports/s. With 0, decisions fall far behind on a full
machine.
"""
SHOWING_NICENESS: Final = 10
"""Niceness of the processes that show and that follow activities.

With 5, decisions wait for pictures and first calls come late.
"""
_ATTEMPTS: Final = 5
_RETRY_S: Final = 0.15
"""Pause between two requests: Linux accepts ten a second from all users except root."""
Probe = Callable[[], Awaitable[str | None]]
"""Returns None if ready, else the reason. Raises `NotAlive` without any answer."""
PROBE_S = 3.0
KEPT_CONNECTION_S: Final = 30.0
"""Seconds without a probe after which its connection is closed."""
SERVICE_STOP_S = 12.0
WAITS_FOR_MACHINES: Final = "waits for most of the other machines of the cluster"
SAMPLES_VARIABLE = "VIGIE_FEEDS_SAMPLES"
FRONT_PROCESS = "intake"
"""The process that accepts reports."""
PRELOADED_MODULES = (
    "services.runtime.worker.worker",
    "services.alerts.__main__",
    "services.continuity.__main__",
    "services.delivery.__main__",
    "services.intake.app",
    "services.console.__main__",
    "services.console.read_model.projector",
    "services.cli.system.background",
    "services.cli.system.prepare",
    "services.delivery.channels.push",
    "faust.app.router",
    "faust.assignor.partition_assignor",
    "faust.tables.manager",
    "faust.tables.sets",
    "faust.topics",
    "faust.transport.utils",
    "encodings.idna",
    "httpcore2",
    "services.cli.system.warm_caches",
)
"""Modules that the fork server imports once: the code of every service.

The ones before the last are libraries that import parts of themselves only when they are used. The
last one needs all others.
"""


async def set_priority(pid: int, nice: int) -> None:
    """Set the niceness (-20 … 19) of a process that leads a session, and of its threads.

    Refused changes are skipped. If `sched_autogroup` is on, Linux weighs sessions against each
    other, and the niceness of a process only within its own.
    """
    if not nice:
        return
    for thread in _list_threads(pid):
        try:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
        except OSError:
            pass  # It has ended, or the system does not grant it
    for _ in range(_ATTEMPTS):
        if _set_session_niceness(pid, nice):
            return
        await asyncio.sleep(_RETRY_S)


def read_waiting_s(pid: int) -> float:
    """Return the seconds that the main thread of a process has waited for a processor.

    0 if the system does not report it.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _list_threads(pid: int) -> list[int]:
    try:
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []  # It has ended, or this is another system


def _set_session_niceness(pid: int, nice: int) -> bool:
    """Set the niceness of a session; return False to try again."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        pass  # It has ended, the system does not grant it, or this is another system
    return True


class NotAlive(Exception):
    """The process does not answer."""


class StopOrder(IntEnum):
    """Steps of a stop, each as long as its slowest process."""

    ACCEPTING = 0
    """Front and feeds finish their work first, with the help of all others."""
    SERVICES = 1
    SERVERS = 2
    """The servers on which all others write until their end."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    probe: Probe | None
    """Readiness probe; missing for a process that runs to its end (`restarts=False`)."""
    stop_order: StopOrder
    """Lower stops first; equal stop together."""
    stop_s: float = SERVICE_STOP_S
    """Seconds between SIGTERM and SIGKILL."""
    restarts: bool = True
    pass_fds: tuple[int, ...] = ()
    log_file: Path | None = None
    nice: int = 0
    """Niceness, see `priority.py`."""
    probe_every_s: float = 2.0
    """Seconds between probes while it is ready. An end is noticed at once in any case."""
    close_probe: Callable[[], Awaitable[None]] | None = None
    """Closes the connection that the probe keeps."""

    @property
    def module(self) -> tuple[str, tuple[str, ...]] | None:
        """(module, arguments) of a Python process that the fork server can create."""
        python, *rest = self.command
        return (
            (rest[1], tuple(rest[2:])) if python == sys.executable and rest[:1] == ["-m"] else None
        )


class HttpProbe:
    """Ask a process on loopback whether it is ready, and why not.

    It uses the token in `secrets` and keeps its connection, because a new one each time cost a
    tenth of an idle system's processor time.
    """

    def __init__(self, port: int, secrets: Path) -> None:
        self._url = f"http://127.0.0.1:{port}/readyz"
        self._secrets = secrets
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self) -> str | None:
        """Return None if the process is ready, else the reason. Raises NotAlive."""
        try:
            async with self._open().get(self._url, headers=build_header(self._secrets)) as answer:
                if answer.status == 200:
                    return None
                return _describe_fault(await answer.json(content_type=None))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise NotAlive(str(error)) from error
        except ValueError:
            return "not ready"

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=PROBE_S)
            connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=KEPT_CONNECTION_S)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self._session


def _describe_fault(body: object) -> str:
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return "not ready"
    return (
        "; ".join(f"{name}: {outcome}" for name, outcome in checks.items() if outcome != "ok")
        or "not ready"
    )


def build_broker_plan(
    node: KafkaNode, environment: dict[str, str], *, in_cluster: bool = False
) -> ProcessPlan:
    """Return the plan of the broker. One of a cluster may wait for the others at its start."""
    check = kafka.BrokerCheck(node.address, node.security)
    was_ready = False

    async def probe() -> str | None:
        nonlocal was_ready
        if await check.is_serving():
            was_ready = True
            return None
        if in_cluster and not was_ready:
            return WAITS_FOR_MACHINES
        raise NotAlive

    return ProcessPlan(
        "broker",
        tuple(node.command()),
        environment | kafka.UTF_8_ENVIRONMENT | {"VIGIE_PROCESS": "broker"},
        probe,
        StopOrder.SERVERS,
        probe_every_s=5.0,
        close_probe=check.close,
        stop_s=kafka.STOP_TIMEOUT_S,
        log_file=node.log_file,
        nice=ACCEPTING_NICENESS,
    )


def build_store_plan(node: StoreNode, environment: dict[str, str]) -> ProcessPlan:
    async def probe() -> str | None:
        if not await store.is_serving(node.socket):
            raise NotAlive
        return None

    return ProcessPlan(
        "store",
        tuple(node.command()),
        environment | {"VIGIE_PROCESS": "store"},
        probe,
        StopOrder.SERVERS,
        stop_s=store.STOP_TIMEOUT_S,
        log_file=node.log_file,
    )


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """A kind of Python process. The table below is the system."""

    name: str
    module: str
    stop_order: StopOrder = StopOrder.SERVICES
    replicated: bool = False
    """Several may run; each has an instance name for static membership."""
    listens: str = ""
    """Variable with its listening socket.

    The supervisor holds the socket, so connections queue during a restart
    (`docs/adr/0004-let-the-supervisor-hold-the-listening-socket.md`).
    """
    nice: int = 0
    """Niceness. First come the processes between a report and the first call.

    Then come continuity and the display, then forecasts and audits.
    """
    shares_process: bool = False
    """On one machine it runs in the process `background`, beside others that nobody waits for.

    See `docs/adr/0073-run-four-services-in-one-process.md`.
    """


SERVICE_KINDS = (
    ServiceKind(
        "intake",
        "services.intake",
        StopOrder.ACCEPTING,
        listens="VIGIE_HTTP_FD",
        nice=ACCEPTING_NICENESS,
    ),
    ServiceKind("console", "services.console", listens="VIGIE_CONSOLE_FD", nice=SHOWING_NICENESS),
    ServiceKind("projector", "services.console.read_model.projector", nice=SHOWING_NICENESS),
    ServiceKind("auditor", "services.verify.auditor", shares_process=True),
    ServiceKind("conductor", "services.cli.system.conductor", shares_process=True),
    ServiceKind("planner", "services.continuity.reassignment.planner_process", shares_process=True),
    ServiceKind("watch", "services.watch", shares_process=True),
    ServiceKind("alerts", "services.alerts", replicated=True, nice=DECIDING_NICENESS),
    ServiceKind("continuity", "services.continuity", replicated=True, nice=SHOWING_NICENESS),
    ServiceKind("delivery", "services.delivery", replicated=True, nice=CALLING_NICENESS),
)


PROCESS_KINDS: Final = (
    *(kind for kind in SERVICE_KINDS if not kind.shares_process),
    ServiceKind(
        "background", "services.cli.system.background", StopOrder.ACCEPTING, nice=SHOWING_NICENESS
    ),
)
"""The Python processes of `vigie up`."""


def list_process_names(workers: int) -> list[str]:
    """Return the names of the Python processes of `vigie up`.

    They are `alerts`, or `alerts-0`, `alerts-1` with several workers per service.
    """
    return [n for kind in PROCESS_KINDS for n, _ in _list_replicas(kind, workers)]


def _list_replicas(kind: ServiceKind, workers: int) -> list[tuple[str, str]]:
    if not kind.replicated:
        return [(kind.name, kind.name)]
    if workers == 1:
        return [(kind.name, f"{kind.name}-0")]
    return [(f"{kind.name}-{n}", f"{kind.name}-{n}") for n in range(workers)]


def build_environment(
    settings: Settings, addresses: SystemAddresses, *, colour: bool
) -> dict[str, str]:
    """Return the environment of every process.

    It holds the caller's, the addresses, and the mark by which orphans are found.
    """
    return {
        **os.environ,
        "VIGIE_DATA_DIR": str(settings.data_dir),
        "VIGIE_CACHE_DIR": str(settings.cache_dir),
        "VIGIE_TERRITORY": str(settings.territory),
        "VIGIE_KAFKA": addresses.kafka,
        "VIGIE_REDIS": addresses.redis,
        "VIGIE_HTTP": addresses.http,
        "VIGIE_CONSOLE": addresses.console,
        "VIGIE_LOG_COLOUR": "1" if colour else "0",
        SUPERVISOR_VARIABLE: str(os.getpid()),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": str(ARENAS),
    }


def build_service_plans(
    settings: Settings,
    environment: dict[str, str],
    ports: dict[str, int],
    sockets: dict[str, int],
    workers: int,
    machine: str = "",
) -> list[ProcessPlan]:
    """Return one plan per Python process.

    `ports` holds the health port of every name in `list_process_names`, `sockets` maps variable →
    descriptor. `machine` names this machine among those that share a Kafka cluster. Two members of
    a group with one name would put each other out for ever.
    """
    plans = []
    for kind in PROCESS_KINDS:
        for name, instance in _list_replicas(kind, workers):
            own = {
                "VIGIE_PROCESS": name,
                "VIGIE_INSTANCE": f"{machine}.{instance}" if machine else instance,
                "VIGIE_HEALTH_PORT": str(ports[name]),
                "VIGIE_LOG_JSON": str(settings.data.logs / f"{name}.jsonl"),
            }
            if kind.listens:
                own[kind.listens] = str(sockets[kind.listens])
            probe = HttpProbe(ports[name], settings.data.secrets)
            plans.append(
                ProcessPlan(
                    name,
                    (sys.executable, "-m", kind.module),
                    environment | own,
                    probe,
                    stop_order=kind.stop_order,
                    pass_fds=(sockets[kind.listens],) if kind.listens else (),
                    log_file=settings.data.logs / f"{name}.jsonl",
                    nice=kind.nice,
                    close_probe=probe.close,
                )
            )
    return plans


def build_preparation_plan(
    settings: Settings, environment: dict[str, str], command: tuple[str, ...]
) -> ProcessPlan:
    """Return the plan of the process that prepares accounts, realm and territory."""
    return _build_side_plan("prepare", command, settings, environment)


def build_classes_plan(settings: Settings, environment: dict[str, str]) -> ProcessPlan:
    """Return the plan of a process that speeds up the next start, once, after everything else."""
    command = (sys.executable, "-m", "services.appliance.embedded.classes")
    return _build_side_plan("classes", command, settings, environment)


def _build_side_plan(
    name: str,
    command: tuple[str, ...],
    settings: Settings,
    environment: dict[str, str],
) -> ProcessPlan:
    """Return the plan of a process beside the services, which is not started again."""
    log_file = str(settings.data.logs / f"{name}.jsonl")
    own = {"VIGIE_PROCESS": name, "VIGIE_LOG_JSON": log_file}
    return ProcessPlan(
        name,
        command,
        environment | own,
        None,
        StopOrder.ACCEPTING,
        stop_s=3.0,
        restarts=False,
    )

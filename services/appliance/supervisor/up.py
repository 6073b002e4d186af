"""The steps of `vigie up`. Every refusal is an `UpFailed` with the one line that the user reads.

`membership.py` has the steps of a machine of a cluster. Other machines do not import it, because
`vigie up` would keep its memory for months.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from aiokafka.errors import KafkaError

from services.appliance.embedded import kafka, store
from services.appliance.embedded.classes import can_cache
from services.appliance.embedded.java import JarsUnavailable, JavaUnusable
from services.appliance.embedded.kafka import BrokerFailed, KafkaNode
from services.appliance.embedded.node import make_node
from services.appliance.embedded.store import StoreFailed, StoreNode
from services.appliance.supervisor import plan as plans
from services.appliance.supervisor.child import SupervisedProcess
from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.orphans import end_orphans
from services.appliance.supervisor.plan import ProcessPlan
from services.appliance.supervisor.status import (
    MIN_FREE_MB,
    SystemAddresses,
    read_free_mb,
    read_status,
)
from services.appliance.supervisor.stream import NamedOutput, OutputStream, StartProgress
from services.appliance.supervisor.supervisor import Supervisor
from services.appliance.supervisor.systemd import SystemdUnit
from services.runtime.kafka.security import use_security
from services.runtime.kafka.topics import BrokerUnreachable, TopicsDiffer, provision_topics
from services.runtime.process import logs
from services.runtime.process.cluster import ClusterMember
from services.runtime.process.files import DataDirBusy, DataDirLock
from services.runtime.process.machine import get_or_create_machine_name, schedule_return
from services.runtime.process.settings import UNIX_PREFIX, DataDir, Settings, split_host_port
from services.runtime.process.sockets import (
    PortBusy,
    choose_ports,
    choose_socket_folder,
    open_listening_socket,
    open_unix_socket,
    remove_socket_folder,
)

log = structlog.get_logger(__name__)

EXTERNAL_TIMEOUT_S = 30.0
"""Longest wait in seconds for an existing broker or store."""
READY_WARNING_S = 120.0
"""Seconds after which processes that are not ready are named; the start continues."""
OTHERS_TIMEOUT_S = 60.0
"""Longest wait in seconds of the front's readiness for processes that are still starting."""
STEP_TIMEOUT_S = 90.0
"""Longest time in seconds of each step on the broker before the services start."""
SLOW_WARNING_S = 10.0
SAMPLES_PORT = "samples"
"""Name of the port on which `vigie up --demo` plays samples of the official feeds."""
T = TypeVar("T")


class UpFailed(Exception):
    """Vigie cannot start (or continue); the message gives reason and remedy in one line."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    settings: Settings
    kafka: str | None
    """Address of an existing broker; None = the embedded one."""
    redis: str | None
    """URL of an existing store; None = the embedded one."""
    member: ClusterMember | None = field(default=None, kw_only=True)
    """Place of this machine in a cluster; None without one."""
    demo: bool
    workers: int
    """Processes per decider."""
    preparation: tuple[str, ...]
    """Command that runs to its end once topics exist, before any service starts.

    It makes accounts, opens the live realm and publishes the territory. The last line of one that
    fails says why. It is a process of its own, because what it loads would stay in the memory of
    `vigie up` for months.
    """
    greeting: Callable[[Settings], str]
    """Returns the text for the user once everything is ready."""
    forks: ForkServer
    """Creates the services. It may run already."""
    verbose: bool = True
    """Show every line of every process.

    If False, they go to a file and the terminal shows a summary.
    """
    unit: SystemdUnit = SystemdUnit()


async def run_system(options: UpOptions) -> None:
    """Run the whole system until SIGINT or SIGTERM. Raises UpFailed."""
    settings = options.settings
    data = settings.data
    stream = OutputStream(verbose=options.verbose)
    try:
        with contextlib.ExitStack() as stack:
            lock = _lock_data_dir(data)
            stack.callback(lock.release)
            stack.callback(data.started.unlink, missing_ok=True)
            try:
                data.started.unlink(missing_ok=True)
                stream.file = data.logs / "up.log"
                logs.configure_logging(
                    "vigie",
                    json_file=data.logs / "vigie.jsonl",
                    output=NamedOutput(stream, "vigie"),
                    colour=stream.colour,
                )
            except OSError as error:
                raise _build_unusable_error(data, error) from error
            if orphans := await asyncio.to_thread(end_orphans, settings.data_dir):
                log.warning(
                    "orphans.ended", processes=orphans, why="an earlier `vigie up` was killed"
                )
            front = _open_front_socket(settings.http, queues=options.member is None)
            stack.callback(front.close)
            await _run_processes(options, stream, front)
            data.status.unlink(missing_ok=True)
            data.majority.unlink(missing_ok=True)
    finally:
        stream.close()


def _lock_data_dir(data: DataDir) -> DataDirLock:
    try:
        data.make()
    except OSError as error:
        raise _build_unusable_error(data, error) from error
    if data.restoring.exists():
        raise UpFailed(
            f"a restore into {data.root} did not come to its end: delete the directory and restore "
            "again"
        )
    if (free := read_free_mb(data)) < MIN_FREE_MB:
        raise UpFailed(
            f"the disk of {data.root} is full ({free} MB free, {MIN_FREE_MB} needed): make room, or "
            "give another place with --data"
        )
    try:
        return DataDirLock(data.lock)
    except OSError as error:
        raise _build_unusable_error(data, error) from error
    except DataDirBusy as error:
        running = read_status(data.status) or {}
        where = f", http://{running['http']}" if running.get("http") else ""
        raise UpFailed(
            f"Vigie already runs on {data.root} ({error}{where}): stop it first, or give another "
            "place with --data"
        ) from error


def _build_unusable_error(data: DataDir, error: OSError) -> UpFailed:
    return UpFailed(
        f"the data directory {data.root} cannot be used: {error.strerror} ({error.filename})"
    )


def _open_front_socket(http: str, *, queues: bool) -> socket.socket:
    host, port = split_host_port(http)
    try:
        return open_listening_socket(host, port, queues=queues)
    except PortBusy as error:
        raise UpFailed(
            f"{http} cannot be listened on ({error.strerror}): choose another address with --http "
            "or VIGIE_HTTP"
        ) from error
    except OSError as error:
        raise UpFailed(
            f"{http} cannot be listened on ({error.strerror}): it must be an address of this "
            "machine"
        ) from error


async def _run_processes(options: UpOptions, stream: OutputStream, front: socket.socket) -> None:
    """Start the processes, wait for a signal, and stop them in order in any case."""
    settings = options.settings
    names = plans.list_process_names(options.workers)
    ports = choose_ports(settings.data.ports, ["kafka", "controller", SAMPLES_PORT, *names])
    try:
        sockets_in = choose_socket_folder(settings.data.run)
        pages = open_unix_socket(sockets_in / "console.sock")
    except OSError as error:
        raise _build_unusable_error(settings.data, error) from error
    store_node = StoreNode(
        settings.data.store, sockets_in / "store.sock", settings.data.logs / "store.log"
    )
    member = options.member
    brokers = member.brokers if member else f"127.0.0.1:{ports['kafka']}"
    addresses = SystemAddresses(
        kafka=options.kafka or brokers,
        redis=options.redis or store_node.url,
        http=settings.http,
        console=f"{UNIX_PREFIX}{sockets_in / 'console.sock'}",
        replication=settings.kafka_replication,
    )
    sockets = {"VIGIE_HTTP_FD": front.fileno(), "VIGIE_CONSOLE_FD": pages.fileno()}
    environment = plans.build_environment(settings, addresses, colour=stream.colour)
    environment["VIGIE_DEMO_REALM"] = (
        f"{settings.territory.name}~ex-demo-{secrets.token_hex(3)}" if options.demo else ""
    )
    if options.demo:
        environment[plans.SAMPLES_VARIABLE] = f"http://127.0.0.1:{ports[SAMPLES_PORT]}"
    forks = options.forks
    forks.set_environment(environment)
    supervisor = Supervisor(settings.data, addresses, stream, forks)
    progress = StartProgress(stream)
    with pages, _catch_stop_signals() as stop_asked:
        forks.begin()  # It imports while the broker starts
        starting = asyncio.create_task(
            _start_processes(options, supervisor, store_node, environment, ports, sockets, progress)
        )
        stop_task = asyncio.create_task(stop_asked.wait())
        living = asyncio.create_task(options.unit.keep_alive())
        try:
            await asyncio.wait({starting, stop_task}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await _wait_for_stop(options, supervisor, stop_task)
            options.unit.report_stop()
            progress.step("Stopping")
            log.info("system.stopping")
        finally:
            starting.cancel()
            stop_task.cancel()
            # Senders go on with another machine at once, rather than wait in the queue of this one
            front.close()
            await supervisor.stop()
            living.cancel()
            await asyncio.gather(starting, stop_task, living, return_exceptions=True)
            remove_socket_folder(sockets_in, settings.data.run)
            progress.clear_line()
    log.info("system.stopped")
    if not options.verbose:
        stream.plain("  Vigie has stopped.")


async def _wait_for_stop(
    options: UpOptions, supervisor: Supervisor, stop_task: asyncio.Task[bool]
) -> None:
    """Return once a stop is asked for. Raises UpFailed if the cluster let this machine go."""
    if options.member is None:
        await stop_task
        return
    from services.appliance.supervisor.membership import stay_in_cluster

    await stay_in_cluster(options, supervisor, stop_task)


async def _start_processes(
    options: UpOptions,
    supervisor: Supervisor,
    store_node: StoreNode,
    environment: dict[str, str],
    ports: dict[str, int],
    sockets: dict[str, int],
    progress: StartProgress,
) -> None:
    began = time.monotonic()
    settings = options.settings
    progress.step("Making the servers ready")
    servers, later = await asyncio.to_thread(
        _prepare_servers, options, store_node, ports, environment, progress
    )
    progress.step("Starting the broker and the store")
    children = supervisor.start(servers)
    servers_ready = asyncio.gather(*(_wait_until_ready(child) for child in children))
    if options.member is None:
        await servers_ready
    else:
        from services.appliance.supervisor.membership import wait_for_servers

        await wait_for_servers(options, servers_ready)
    await _wait_for_external_servers(options)
    progress.step("Making topics ready")
    if options.member is not None:
        from services.appliance.supervisor.membership import learn_replication

        await _run_step("reading the number of copies", learn_replication(supervisor))
    addresses = supervisor.addresses
    try:
        topics = await _run_step(
            "making topics ready",
            provision_topics(addresses.kafka, replication=addresses.replication),
        )
    except BrokerUnreachable as error:
        raise UpFailed(f"{error}") from error
    except TopicsDiffer as error:
        raise UpFailed(
            f"{error}. Vigie never alters a topic that holds data: use another broker or data "
            "directory, or alter it yourself"
        ) from error
    except KafkaError as error:
        raise UpFailed(f"the topics cannot be made on {addresses.kafka}: {error}") from error
    if topics.created_topics:
        log.info("topics.created", count=len(topics.created_topics))
    if options.member is not None:
        from services.appliance.supervisor.membership import meet_cluster

        progress.step("Meeting the other machines")
        await _run_step("meeting the other machines", meet_cluster(options, supervisor))
        environment["VIGIE_KAFKA"] = supervisor.addresses.kafka
    progress.step("Making accounts, the live realm and the territory ready")
    preparation = plans.build_preparation_plan(settings, environment, options.preparation)
    await _run_step("making accounts and the live realm ready", _prepare(supervisor, preparation))
    progress.step("Starting the services")
    is_shared = options.kafka is not None or options.member is not None
    machine = get_or_create_machine_name(settings.data) if is_shared else ""
    services = supervisor.start(
        plans.build_service_plans(settings, environment, ports, sockets, options.workers, machine)
    )
    all_ready = asyncio.create_task(_wait_until_all_ready(services, progress))
    try:
        await _wait_for_front(services, is_new=bool(topics.created_topics))
        settings.data.started.touch()
        options.unit.report_ready(f"Accepting reports at http://{settings.http}")
        await all_ready
    finally:
        all_ready.cancel()
    supervisor.enter("ready")
    log.info(
        "system.ready",
        address=f"http://{settings.http}",
        seconds=round(time.monotonic() - began, 1),
    )
    progress.clear_line()
    supervisor.say(options.greeting(settings))
    schedule_return()
    supervisor.start(later)


async def _prepare(supervisor: Supervisor, preparation: ProcessPlan) -> None:
    """Run the preparation to its end. Raises UpFailed with its last line."""
    outcome = await supervisor.run_to_end(preparation)
    if outcome.exit_code:
        raise UpFailed(outcome.last_word or f"the preparation ended with {outcome.exit_code}")


async def _run_step(what: str, work: Awaitable[T]) -> T:
    """Return the result of a step on the broker, logging if it is slow.

    Raises UpFailed after STEP_S.
    """
    task = asyncio.ensure_future(work)
    began = time.monotonic()
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=SLOW_WARNING_S)
            waiting_s = time.monotonic() - began
            if not task.done() and waiting_s > STEP_TIMEOUT_S:
                raise UpFailed(
                    f"{what} is not done after {STEP_TIMEOUT_S:g} s: is the broker well? See its log, then "
                    "start again"
                )
            if not task.done():
                log.warning("system.slow", step=what, seconds=round(waiting_s))
        return task.result()
    finally:
        task.cancel()


def _prepare_servers(
    options: UpOptions,
    store_node: StoreNode,
    ports: dict[str, int],
    environment: dict[str, str],
    progress: StartProgress,
) -> tuple[list[ProcessPlan], list[ProcessPlan]]:
    """Return the plans of the embedded servers, prepared on disk, and plans for after the start.

    Blocks while it downloads and formats.
    """
    settings = options.settings
    server_plans: list[ProcessPlan] = []
    later: list[ProcessPlan] = []
    try:
        if options.redis is None:
            store_node.prepare()
            server_plans.append(plans.build_store_plan(store_node, environment))
        if options.kafka is None:

            def tell(text: str) -> None:
                log.info("kafka.jars", what=text)
                progress.step(text[:1].upper() + text[1:])

            node = _make_broker_node(options, ports, tell, progress.detail)
            node.prepare()
            use_security(node.security)
            in_cluster = options.member is not None
            server_plans.append(plans.build_broker_plan(node, environment, in_cluster=in_cluster))
            if node.classes is None and can_cache(node.java, node.jars):
                later.append(plans.build_classes_plan(settings, environment))
    except (JavaUnusable, JarsUnavailable, BrokerFailed, StoreFailed) as error:
        raise UpFailed(str(error)) from error
    except OSError as error:
        raise UpFailed(f"{error.strerror}: {error.filename}") from error
    return server_plans, later


def _make_broker_node(
    options: UpOptions,
    ports: dict[str, int],
    say: Callable[[str], None],
    progress: Callable[[str], None],
) -> KafkaNode:
    settings, data = options.settings, options.settings.data
    if options.member is not None:
        from services.appliance.cluster.setup import make_cluster_node

        return make_cluster_node(settings, options.member, say=say, progress=progress)
    own = ports["kafka"], ports["controller"]
    log_file = data.logs / "broker.jsonl"
    return make_node(data.kafka, own, log_file, settings.cache_dir, data.secrets, say, progress)


async def _wait_until_ready(child: SupervisedProcess) -> None:
    """Wait until a server is ready. Raises UpFailed if it ends first."""
    ready = asyncio.create_task(child.ready.wait())
    try:
        while not ready.done():
            await asyncio.wait({ready}, timeout=0.2)
            status = child.status
            if status.state == "backing_off" and status.restarts >= 1:
                raise UpFailed(f"{status.name} does not start: {status.why}")
    finally:
        ready.cancel()


async def _wait_for_external_servers(options: UpOptions) -> None:
    if options.kafka is not None:
        await _wait_until_serving(
            "Kafka broker", options.kafka, "--kafka", lambda: kafka.is_serving(options.kafka or "")
        )
    if options.redis is not None:
        await _wait_until_serving(
            "Redis",
            options.redis.rpartition("@")[2],
            "--redis",
            lambda: store.can_log_in(options.redis or ""),
        )


async def _wait_until_serving(
    what: str, address: str, flag: str, is_serving: Callable[[], Awaitable[bool]]
) -> None:
    try:
        async with asyncio.timeout(EXTERNAL_TIMEOUT_S):
            while not await is_serving():
                await asyncio.sleep(0.5)
    except TimeoutError as error:
        raise UpFailed(
            f"no {what} answers at {address}: start it, or leave out {flag} to use the embedded one"
        ) from error


async def _wait_for_front(children: list[SupervisedProcess], *, is_new: bool) -> None:
    """Wait until the front accepts reports and no other process is worth waiting for.

    The others get OTHERS_S to become ready. A process that has ended is not waited for, because
    reports are accepted without it. On a new installation all must be ready: there is nothing to
    report to before the deciders have applied the territory.
    """
    await asyncio.gather(
        *(child.ready.wait() for child in children if child.status.name == plans.FRONT_PROCESS)
    )
    give_up = time.monotonic() + OTHERS_TIMEOUT_S
    pending = children
    while pending and (is_new or time.monotonic() < give_up):
        pending = [c for c in pending if not (c.ready.is_set() or (c.has_ended and not is_new))]
        await asyncio.sleep(0.1)
    if pending:
        log.warning(
            "front.alone",
            waiting_for={c.status.name: c.status.why or c.status.state for c in pending},
        )


async def _wait_until_all_ready(children: list[SupervisedProcess], progress: StartProgress) -> None:
    waiting = asyncio.gather(*(_show_ready(child, children, progress) for child in children))
    try:
        await asyncio.wait_for(asyncio.shield(waiting), READY_WARNING_S)
    except TimeoutError:
        late = {
            c.status.name: c.status.why or c.status.state for c in children if not c.ready.is_set()
        }
        log.warning("system.slow", waiting_for=late)
        await waiting


async def _show_ready(
    child: SupervisedProcess, children: list[SupervisedProcess], progress: StartProgress
) -> None:
    await child.ready.wait()
    progress.detail(f"{sum(c.ready.is_set() for c in children)} of {len(children)}")


@contextlib.contextmanager
def _catch_stop_signals() -> Iterator[asyncio.Event]:
    """Yield an event that is set on the first SIGINT, SIGTERM or end of the terminal.

    An ignored SIGHUP (nohup) stays ignored. Later signals are ignored: the ordered stop has its own
    time limits.
    """
    loop = asyncio.get_running_loop()
    stop_event = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop_event.set)
    try:
        yield stop_event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

"""One KRaft node (broker and controller) with durable settings, on loopback.

`KafkaNode.prepare` makes everything ready on disk, a supervisor runs `command`, and `wait_ready`
returns once clients are served. `RunningKafka.start` does all of it for tests and tools. For the
durable settings see `docs/adr/0003-flush-each-record-on-a-single-node.md`.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.appliance.embedded.java import Java
from services.appliance.embedded.running import ServerProcess
from services.runtime.kafka.security import KafkaSecurity, get_client_options
from services.runtime.process.settings import split_host_port
from services.runtime.secrets.keyring import write_private
from services.runtime.secrets.local_secrets import BROKER_USER

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
HEAP_MB: Final = 384
UTF_8_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8"}
"""Environment of a JVM: without a locale it cannot name a file with accents."""
_CACHE_OPTIONS: Final = (
    "-Xlog:aot*=off",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:ArchiveRelocationMode=0",
)
"""Options for a broker with cached classes.

At the address for which the cache was written, its pages stay those of the file. At another one
the JVM rewrites 24 MB of them, which the system can no longer drop.
"""
_COLLECTOR_OPTIONS: Final = (
    "-XX:+UseG1GC",
    "-XX:G1PeriodicGCInterval=60000",
    "-XX:ParallelGCThreads=2",
    "-XX:ConcGCThreads=1",
    "-XX:MinHeapFreeRatio=10",
    "-XX:MaxHeapFreeRatio=25",
    "-XX:-G1UseAdaptiveIHOP",
    "-XX:InitiatingHeapOccupancyPercent=60",
    "-XX:GCTimeRatio=4",
)
"""Options of a collector that cleans the old generation long before the heap is full.

An idle broker renews samples of its statistics for months. The serial collector lets them fill
the largest heap before it looks at them. A threshold that adapts itself lets the heap grow under
load, and it stays grown; a fixed one cleans and shrinks it at the same cost. By default the heap
also grows when collections take more than 8 % of the time, as they do after each start, and then
stays far below the threshold; the ratio allows 20 %.
"""
_META_FILE = "meta.properties"
_CREDENTIAL_FILE: Final = "credential"
_PLAIN_MODULE: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM_MODULE: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"


class BrokerFailed(RuntimeError):
    """The embedded broker did not start; the message holds Kafka's reason."""


def check_folder(folder: Path) -> None:
    """Refuse a folder with a name that Kafka misreads. Writes nothing. Raises BrokerFailed."""
    for part, what in (
        (",", "a comma for the end of a folder's name"),
        ("${", "“${” for the name of a setting"),
    ):
        if part in str(folder):
            raise BrokerFailed(f"{folder}: Kafka takes {what}, give another place")


@dataclass(frozen=True, slots=True)
class KafkaNode:
    folder: Path
    """Everything of this node: properties, log4j configuration and `data/`."""
    port: int
    controller_port: int
    java: Java
    jars: tuple[Path, ...]
    log_file: Path
    """JSON log of the broker, rotated by log4j."""
    password: str = field(repr=False)
    """Password of its only user: letters, digits, `-` and `_`."""
    heap_mb: int = HEAP_MB
    classes: Path | None = None
    """Cache of loaded classes (`services.appliance.embedded.classes`)."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def security(self) -> KafkaSecurity:
        """Login of its clients."""
        return KafkaSecurity.of_password(BROKER_USER, self.password)

    @staticmethod
    def is_formatted(folder: Path) -> bool:
        """Return whether the folder holds the data of a broker."""
        return (folder / "data" / _META_FILE).exists()

    def command(self, recording: Path | None = None) -> list[str]:
        """Return the command line of the broker.

        It runs in the foreground and stops cleanly on SIGTERM. With `recording`, it writes its
        classes there when it ends.
        """
        return [
            *self._jvm(self.heap_mb, recording),
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]

    def _jvm(self, heap_mb: int, recording: Path | None = None) -> list[str]:
        logs = str(self.log_file.parent).replace("%", "%%")
        classes = [f"-XX:AOTCache={self.classes}", *_CACHE_OPTIONS] if self.classes else []
        return [
            str(self.java.command),
            *([f"-XX:AOTCacheOutput={recording}"] if recording else classes),
            *self.java.options,
            f"-XX:ErrorFile={logs}/broker-crash-%p.log",
            *self._heap_options(heap_mb),
            *_COLLECTOR_OPTIONS,
            # Its statistics for `jstat` change a file in /tmp twenty times a second
            "-XX:-UsePerfData",
            *self._compiler_options(),
            "-XX:MetaspaceSize=96m",
            "-XX:ReservedCodeCacheSize=128m",
            "-XX:MaxDirectMemorySize=128m",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            ":".join(map(str, self.jars)),
        ]

    def _heap_options(self, heap_mb: int) -> list[str]:
        """Return the sizes of the heap, which begins small: this broker is idle for months."""
        return [f"-Xms{heap_mb // 8}m", f"-Xmx{heap_mb}m", f"-Xmn{heap_mb // 24}m"]

    def _compiler_options(self) -> list[str]:
        """Return the options for code that starts fast and takes little memory."""
        return ["-XX:TieredStopAtLevel=1"]

    def prepare(self) -> None:
        """Write the configuration and format the storage of an empty folder.

        Raises BrokerFailed, OSError.
        """
        check_folder(self.folder)
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._write("server.properties", self._properties(data))
        self._write("log4j2.properties", _format_log4j(self.log_file))
        if not self.is_formatted(self.folder):
            self._format(data)
        elif not self._knows_password():
            self._tell_password()
        self._write(_CREDENTIAL_FILE, self._credential())

    def _write(self, name: str, content: str) -> None:
        write_private(self.folder / name, content.encode(), replace=True)

    def _format(self, data: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if cluster.startswith("-"):
            cluster = "A" + cluster[1:]
        properties = str(self.folder / "server.properties")
        with self._private(
            f"--add-scram\nSCRAM-SHA-512=[name={BROKER_USER},password={self.password}]\n"
        ) as user:
            result = self._run(
                "kafka.tools.StorageTool", "format", "-t", cluster, "-c", properties, f"@{user}"
            )
        if result.returncode:
            raise BrokerFailed(
                f"formatting {data} failed: {_find_last_line(result.stderr + result.stdout)}"
            )

    def _credential(self) -> str:
        """Return a name of the password that reveals nothing about it."""
        return hashlib.sha256(self.password.encode()).hexdigest()

    def _knows_password(self) -> bool:
        try:
            return (self.folder / _CREDENTIAL_FILE).read_text(
                encoding="ascii"
            ) == self._credential()
        except (OSError, UnicodeDecodeError):
            return False

    def _tell_password(self) -> None:
        """Give the password to a broker that has none, or another one.

        Its data are from before it had a password, or the secrets were restored from elsewhere. The
        broker runs for this time with the password in its properties.
        """
        plain = f'{_PLAIN_MODULE} {self._client_login()} user_{BROKER_USER}="{self.password}";'
        believing = self._listeners() | {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": plain,
        }
        login = f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={_PLAIN_MODULE} {self._client_login()};"
        with (
            self._private(
                _format_lines(believing | self._durable(self.folder / "data"))
            ) as properties,
            self._private(login) as config,
            self._private(f"SCRAM-SHA-512=password={self.password}") as user,
            self._running(properties),
        ):
            process = self._run(
                "kafka.admin.ConfigCommand",
                "--bootstrap-server",
                self.address,
                "--command-config",
                str(config),
                "--alter",
                "--entity-type",
                "users",
                "--entity-name",
                BROKER_USER,
                "--add-config-file",
                str(user),
            )
        if process.returncode:
            reason = _find_last_line(process.stderr + process.stdout)
            raise BrokerFailed(
                f"the broker of {self.folder} cannot be given its password: {reason}"
            )

    @contextlib.contextmanager
    def _running(self, properties: Path) -> Iterator[None]:
        """Run the broker with other properties, and wait until this very broker listens.

        So no other program gets its secrets.
        """
        broker = ServerProcess(
            [*self._jvm(self.heap_mb), "kafka.Kafka", str(properties)],
            STOP_TIMEOUT_S,
            UTF_8_ENVIRONMENT,
        )
        process = broker.spawn()
        until = time.monotonic() + START_TIMEOUT_S
        try:
            while not _is_listening_process(process.pid, self.port):
                if process.poll() is not None or time.monotonic() > until:
                    raise BrokerFailed(
                        f"the broker does not start to be given its password, see {self.log_file}"
                    )
                time.sleep(0.1)
            yield
        finally:
            broker.stop()

    @contextlib.contextmanager
    def _private(self, content: str) -> Iterator[Path]:
        """Write a file that only this user can read, for as long as a program of Kafka needs it.

        Arguments would be visible to every user.
        """
        path = self.folder / f".told-{uuid.uuid4().hex}"
        write_private(path, content.encode())
        try:
            yield path
        finally:
            path.unlink()

    def _run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._jvm(128), tool, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | UTF_8_ENVIRONMENT
        )

    def _client_login(self) -> str:
        return f'required username="{BROKER_USER}" password="{self.password}"'

    def _properties(self, data: Path) -> str:
        return _format_lines(self._listeners() | self._durable(data))

    def _listeners(self) -> dict[str, object]:
        """Return the settings of both listeners.

        Both ask for the password, and only Vigie's own user has rights. Clients use SCRAM: a
        program that takes the port of a stopped broker learns nothing from them. The controller
        uses PLAIN: only this process speaks it, and it needs no user in the metadata.
        """
        login = self._client_login()
        return {
            "listeners": f"SASL_PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": f"{_SCRAM_MODULE} {login};",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": f'{_PLAIN_MODULE} {login} user_{BROKER_USER}="{self.password}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{BROKER_USER}",
        }

    def _durable(self, data: Path) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "broker.heartbeat.interval.ms": 500,
            # No follower reads this controller: an idle node need not write twice a second that it
            # is idle
            "metadata.max.idle.interval.ms": 60_000,
            # After a kill the node waits this long before it may register again
            "broker.session.timeout.ms": 2000,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.recovery.threads.per.data.dir": 2,
            "log.cleaner.dedupe.buffer.size": 4_194_304,
            "log.segment.bytes": 268_435_456,
            "log.index.interval.bytes": 65_536,
            "controlled.shutdown.enable": "true",
        }

    async def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until clients are served. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not await is_serving(self.address, self.security):
                await asyncio.sleep(0.1)


async def is_serving(addresses: str, security: KafkaSecurity | None = None) -> bool:
    """Return whether a broker at one of the `addresses` answers a metadata request.

    Addresses have the form `host:port[,host:port…]`. `security` is the login; None = that of this
    process.
    """
    check = BrokerCheck(addresses, security)
    try:
        return await check.is_serving()
    finally:
        await check.close()


class BrokerCheck:
    """Ask one of the `addresses` for its topics, over a connection that is kept.

    A login costs broker and client ten times as much as the question. `security` is the login;
    None = that of this process.
    """

    def __init__(self, addresses: str, security: KafkaSecurity | None = None) -> None:
        self._addresses = addresses
        self._security = security
        self._admin: AIOKafkaAdminClient | None = None

    async def is_serving(self) -> bool:
        """Return whether a broker answers. A failure closes the connection."""
        try:
            if self._admin is None and not await self._connect():
                return False
            assert self._admin is not None
            await asyncio.wait_for(self._admin.list_topics(), 3.0)
        except (KafkaError, OSError, TimeoutError):
            await self.close()
            return False
        return True

    async def close(self) -> None:
        """Close the connection; the next question opens another."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def _connect(self) -> bool:
        listening = await asyncio.gather(
            *(_is_listening(address.strip()) for address in self._addresses.split(","))
        )
        if not any(listening):
            return False
        options: dict[str, Any] = (
            get_client_options() if self._security is None else self._security.options()
        )
        self._admin = AIOKafkaAdminClient(
            bootstrap_servers=self._addresses, request_timeout_ms=2000, **options
        )
        await asyncio.wait_for(self._admin.start(), 3.0)
        return True


async def _is_listening(address: str) -> bool:
    host, port = split_host_port(address)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _find_last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if not line.startswith("\t")]
    return lines[-1][:300] if lines else "no output"


def _format_lines(settings: dict[str, object]) -> str:
    """Return settings in the form of a properties file."""
    return "".join(f"{key}={_escape_value(value)}\n" for key, value in settings.items())


def _is_listening_process(pid: int, port: int) -> bool:
    """Return whether this process, and no other, listens at the port."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _escape_value(value: object) -> str:
    """Escape a value for a Java properties file.

    Java reads it as Latin-1 with backslash escapes, and a path may hold any character.
    """
    units = str(value).encode("utf-16-be")
    text = "".join(map(chr, struct.unpack(f">{len(units) // 2}H", units)))
    return "".join(c if " " < c <= "~" and c != "\\" else f"\\u{ord(c):04x}" for c in text)


def _format_log4j(log_file: Path) -> str:
    file, pattern = _escape_value(log_file), _escape_value(str(log_file).replace("%", "%%"))
    json_line = (
        '{"time":"%d{yyyy-MM-dd\'T\'HH:mm:ss.SSS\'Z\'}{UTC}","level":"%level{lowerCase=true}","service":"broker",'
        '"logger":"%c","event":"%enc{%m}{JSON}","exception":"%enc{%throwable{short.message}}{JSON}"}%n'
    )
    return f"""
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {file}
appender.file.filePattern = {pattern}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = {json_line}
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 5
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{HH:mm:ss.SSS}} [%-9level{{lowerCase=true}}] %m%notEmpty{{ (%throwable{{short.message}})}}%n
appender.console.filter.threshold.type = ThresholdFilter
appender.console.filter.threshold.level = error
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.console.ref = console
logger.appinfo.name = org.apache.kafka.common.utils.AppInfoParser
logger.appinfo.level = warn
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
"""


class RunningKafka(ServerProcess):
    """A broker for tests and tools; `recording` as in `KafkaNode.command`."""

    def __init__(self, node: KafkaNode, recording: Path | None = None) -> None:
        super().__init__(node.command(recording), STOP_TIMEOUT_S, UTF_8_ENVIRONMENT)
        self.node = node
        self.address = node.address

    async def start(self) -> None:
        """Start the broker and wait until clients are served. Raises BrokerFailed."""
        process = self.spawn()
        waiting = asyncio.ensure_future(self.node.wait_ready())
        while not waiting.done():
            if process.poll() is not None:
                waiting.cancel()
                raise BrokerFailed(
                    f"the broker ended with {process.returncode}, see {self.node.log_file}"
                )
            await asyncio.wait([waiting], timeout=0.1)
        await waiting

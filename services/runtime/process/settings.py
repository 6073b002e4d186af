"""Settings that every process shares, from the environment (`VIGIE_*`).

A service with more settings subclasses `Settings` in its package (same prefix, units in the names).
On a machine that runs `vigie up`, unset addresses are read from the data directory, so that
commands need no flags.
"""

import json
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from services.runtime.process.files import is_locked
from services.runtime.secrets.files import FromEnvironment, check_readable

REPOSITORY = Path(__file__).resolve().parents[3]
DISTRIBUTION: Final = "vigie-crise"
"""Name of the installed package."""
IN_WHEEL: Final = Path(__file__).resolve().parents[2] / "shipped"
SHIPPED: Final = IN_WHEEL if IN_WHEEL.is_dir() else REPOSITORY
"""Folder of `territories`, `scenarios` and the pages of `docs`: in an installed wheel or the sources."""


def find_version() -> str:
    """Return the version of this installation; "unknown" if it runs from bare files."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def _check_host_port(text: str) -> str:
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise ValueError(f"must be HOST:PORT, not {text!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"must have its IPv6 address in brackets, [{host}]:{port}")
    return text


UNIX_PREFIX: Final = "unix:"
"""Prefix of the path of a Unix socket, in settings that accept one."""


def _check_console_address(text: str) -> str:
    return text if text.startswith(f"{UNIX_PREFIX}/") else _check_host_port(text)


def _check_host_ports(text: str) -> str:
    for address in text.split(",") if text else ():
        if not _check_host_port(address.strip()):
            raise ValueError(f"must be HOST:PORT[,HOST:PORT…], not {text!r}")
    return ",".join(address.strip() for address in text.split(","))


HostPort = Annotated[str, AfterValidator(_check_host_port)]
ConsoleAddress = Annotated[str, AfterValidator(_check_console_address)]
HostPorts = Annotated[str, AfterValidator(_check_host_ports)]


ESCAPE_HINT = "/, ?, # and @ of a password are written %2F, %3F, %23, %40"


def _check_store_url(text: str) -> str:
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(
            "must begin with redis://, rediss:// or unix://"
        )  # not repeated: it may hold a password
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  looked at for what it raises
    except ValueError as error:
        raise ValueError(f"must have a port that is a number; {ESCAPE_HINT}") from error
    for name, value in parse_qsl(parts.query):
        if name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            check_readable(Path(value))
    return text


StoreUrl = Annotated[str, AfterValidator(_check_store_url)]


def check_url(url: SecretStr, schemes: Iterable[str]) -> SecretStr:
    """Return the URL if it is valid or empty.

    Raises ValueError without any part of the URL, which may hold a password.
    """
    text, scheme_names = url.get_secret_value(), tuple(schemes)
    expectation = f"must be {', '.join(f'{s}://' for s in scheme_names)} with a host"
    try:
        parts = urlsplit(text)
        right = not text or (
            parts.scheme in scheme_names and bool(parts.hostname) and parts.port != 0
        )
    except ValueError as error:
        raise ValueError(f"{expectation}, and a port that is a number; {ESCAPE_HINT}") from error
    if not right:
        raise ValueError(expectation)
    return url


def _check_public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        right = (
            parts.scheme in ("https", "http")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        right = False
    if text and not right:
        raise ValueError(f"must be an address like https://vigie.example.org, not {text!r}")
    return text


PublicUrl = Annotated[str, AfterValidator(_check_public_url)]
"""Address under which browsers and gateways reach the front; empty = unknown."""


def split_host_port(address: str) -> tuple[str, int]:
    """Split an address: `[::1]:80` → (`::1`, 80)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class DataDir:
    """Paths under the data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kafka = root / "kafka"
        self.store = root / "store"
        self.logs = root / "logs"
        self.run = root / "run"
        self.secrets = root / "secrets"
        self.chronicle = root / "console" / "chronicle.db"
        """Every version of every row, for queries about the past. It is a copy of the logs."""
        self.status = self.run / "status.json"
        self.lock = self.run / "lock"
        self.ports = self.run / "ports.json"
        self.started = self.run / "started"
        """Exists once the whole system was ready after `up`; the front's `/readyz` waits for it."""
        self.feeds = root / "watch" / "feeds.db"
        """State of the official feeds: what was said of them, and what is still to be sent."""
        self.feed_samples = root / "watch" / "samples.db"
        """The same, while samples are played in place of the publishers."""
        self.mail_position = root / "watch" / "mailbox.json"
        """Last mail of the mailbox that the front has."""
        self.feed_status = root / "watch" / "status.json"
        """State of the official feeds as the watch wrote it last, for the console."""
        self.last_backup = self.run / "backup.json"
        """Time of the last completed backup, for the console."""
        self.machine = root / "machine"
        """Name of this machine among those that share a Kafka cluster."""
        self.majority = self.run / "cluster.json"
        """Whether this machine sees the majority of its cluster; missing without a cluster."""
        self.home_realm = root / "home-realm"
        """Name of the live realm whose people have plain items in the directory."""
        self.restoring = self.run / "restoring"
        """Exists during a restore: until its end the installation is incomplete."""
        self.kept_territory = self.run / "territory-kept.json"
        """Names why the last start did not publish a changed territory folder."""
        self.lost_keys = self.run / "keys-lost"
        """Names the file of keys that a start had to make anew; a person deletes it."""

    def make(self) -> None:
        """Create missing folders for the owner alone (0700). Raises OSError.

        Among existing folders, only secrets and run get these rights.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.kafka, self.store, self.logs):
            folder.mkdir(exist_ok=True, mode=0o700)
        for folder in (self.secrets, self.run):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)


class Settings(FromEnvironment):
    """Settings of every process; `Settings()` reads the environment.

    Raises pydantic.ValidationError naming the variable. A `run/status.json` that a killed `vigie
    up` left behind is ignored, because its lock is free.
    """

    model_config = SettingsConfigDict(
        env_prefix="VIGIE_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Path("~/.local/share/vigie")
    """Directory of all data of one installation ([its contents](../how-to/operate.md))."""
    cache_dir: Path = Path("~/.cache/vigie")
    """Kafka's jars and their kept classes. Data directories may share it; delete it at any time."""
    http: HostPort = "127.0.0.1:8092"
    """Address of the front (intake). Nothing else listens outside loopback."""
    http_fd: int | None = None
    """Listening socket inherited from the supervisor: connections queue while intake restarts."""
    kafka: HostPorts = ""
    """`host:port[,host:port…]`; empty = the broker of `vigie up` on this data directory."""
    kafka_replication: int = Field(default=1, ge=1)
    """Copies of each partition of new topics:

    3 in production, 1 for the embedded broker. 2 is refused.
    """
    redis: StoreUrl = ""
    """`redis://[user:password@]host:port/db`, `rediss://…?ssl_ca_certs=FILE` with TLS.

    Empty = the store of `vigie up` on this data directory.
    """
    console: ConsoleAddress = ""
    """Internal `host:port` or `unix:/path` of the console, for requests that intake passes on."""
    demo_realm: str = ""
    """Exercise that is shown without a login (`vigie up --demo`); empty = none."""
    console_fd: int | None = None
    """Listening socket of the console, inherited from the supervisor."""
    territory: Path = SHIPPED / "territories" / "92"
    """Folder with the reference data of the live realm; it has the folder's name."""
    cap_sender: str = Field(default="", pattern=r"^[^\s,<&]*$")
    """`sender` of CAP messages about incidents, unique in the world, for example in your domain.

    Empty = `vigie.<territory>`.
    """
    health_host: str = "127.0.0.1"
    """Address of the health port. Containers set 0.0.0.0, so that Prometheus reaches it."""
    health_port: int = 0
    """Port of /livez, /readyz and /metrics; 0 = any free one.

    Counters and reasons need the token in `secrets/metrics.token`.
    """
    instance: str = ""
    """Name of this replica, e.g. `alerts-0`, for Kafka's static membership; empty = dynamic."""
    cluster: bool = False
    """`1`: other machines use the same broker with the same `secrets/`, and data keys are shared.

    See [another machine](../how-to/operate.md#another-machine-on-the-same-kafka). The file
    `secrets/cluster.json` does the same.
    """
    new_keys: bool = False
    """`1`: start with other keys than those of the installation that used this broker before.

    Only if its `secrets/` are lost for good: its texts, names and accounts stay unreadable.
    """
    foresight_after_s: float = Field(default=60.0, ge=0)
    """Seconds of quiet before the planner ranks losses in the background.

    It then takes a quarter of a core, a tenth while anything else waits. 0 = at once, without
    rests, beside everything else.
    """
    second_factor: Literal["required", "optional"] = "required"
    """`required`: administrators, coordinators, directors and elected need a second factor.

    With a password alone they may only add one. `optional`: no role needs one.
    """
    log_json: Path | None = None
    """File for JSON logs (10 MB, five kept); empty = none."""
    log_format: Annotated[
        Literal["text", "json"], BeforeValidator(lambda name: str(name).strip().lower())
    ] = "text"
    """Form of log lines on stderr: `text` for people, `json` for containers and journald."""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda name: str(name).upper()),
    ] = "INFO"
    """Lowest level that is logged: DEBUG, INFO, WARNING, ERROR."""
    url: str = ""
    """Address that client commands call; empty = the front of `vigie up` on this data directory.

    Several, with commas between: a command goes on with the next if one is away.
    """
    token: str = ""
    """Bearer token of client commands; empty = `secrets/admin.token` of the data directory."""

    @field_validator("kafka_replication")
    @classmethod
    def _is_safe(cls, copies: int) -> int:
        """Refuse two copies, which can lose reports.

        If both are needed, no report is accepted while one broker is away. If one is enough, an
        accepted report may exist only on a broker that has not written it to disk.
        """
        if copies == 2:
            raise ValueError(
                "must be 1 or at least 3: with 2 copies a report could be accepted that only "
                "one broker holds, unwritten"
            )
        return copies

    @model_validator(mode="before")
    @classmethod
    def _find_running_system(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            data = DataDir(
                Path(values.get("data_dir") or cls.model_fields["data_dir"].default).expanduser()
            )
            status = (
                json.loads(data.status.read_text(encoding="utf-8"))
                if is_locked(data.lock)
                else None
            )
        except (OSError, ValueError, RuntimeError):
            return values
        if not isinstance(status, dict):
            return values
        running_values = {name: status.get(name) for name in ("kafka", "redis", "console")}
        running_values["url"] = f"http://{status['http']}" if status.get("http") else None
        running_values["kafka_replication"] = status.get("replication")
        return {name: value for name, value in running_values.items() if value} | {
            k: v for k, v in values.items() if v != ""
        }

    @model_validator(mode="after")
    def _absolute_paths(self) -> Self:
        for name in ("data_dir", "cache_dir", "territory"):
            try:
                object.__setattr__(self, name, getattr(self, name).expanduser().absolute())
            except RuntimeError as error:  # nobody of this number has a home
                raise ValueError(f"VIGIE_{name.upper()} must be named: {error}") from error
        if not self.url:
            object.__setattr__(self, "url", f"http://{self.http}")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses that client commands call, in order; one at least."""
        return tuple(part.strip() for part in self.url.split(",") if part.strip())

    @property
    def data(self) -> DataDir:
        return DataDir(self.data_dir)

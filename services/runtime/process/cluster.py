"""The place of this installation in a cluster of machines, and its view of the majority.

An installation belongs to a cluster exactly if `secrets/cluster.json` exists. `vigie up` writes its
view of the majority to `run/cluster.json`, pages read it. Without a cluster there is none.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import write_private

MEMBER_FILE: Final = "cluster.json"
AUTHORITY_FILE: Final = "cluster-ca.pem"
"""Certificate of the cluster's own authority, which signs the brokers' certificates."""
AUTHORITY_KEY_FILE: Final = "cluster-ca.key"
BROKER_CERTIFICATE_FILE: Final = "cluster-broker.pem"
"""Key and certificate of this machine's broker."""
CLUSTER_FILES: Final = (MEMBER_FILE, AUTHORITY_FILE, AUTHORITY_KEY_FILE, BROKER_CERTIFICATE_FILE)
"""Files of `secrets/` that no backup holds: a restored installation is no machine of a cluster."""
MACHINE_KEY: Final = "machine:"
INVITATION_KEY: Final = "invitation:"
FEED_KEY: Final = "feed:"
"""Beginnings of the keys of a cluster's records on the topic `access`."""
MAX_NUMBER: Final = 32_767


class ClusterFileInvalid(ValueError):
    """`secrets/cluster.json` exists and cannot be read."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as the others reach it."""

    number: int
    """Number of its broker, from 1. Numbers are never used twice."""
    broker: str
    """HOST:PORT of its broker."""
    controller: str
    """HOST:PORT of its controller."""
    front: str = ""
    """Address of its front for browsers and senders, once it has started."""


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """The place of one machine, and the machines that it knew when it last saw the cluster."""

    cluster: str
    """Kafka's id of the cluster."""
    number: int
    machines: tuple[Machine, ...]
    """Every known machine, this one included, by number."""

    @property
    def own(self) -> Machine:
        """Return this machine."""
        return next(machine for machine in self.machines if machine.number == self.number)

    @property
    def brokers(self) -> str:
        """Return the addresses of all brokers, this machine's first, as clients take them."""
        others = [m.broker for m in self.machines if m.number != self.number]
        return ",".join([self.own.broker, *others])

    def uses(self, kafka: str) -> bool:
        """Return whether these are addresses of the cluster's brokers, not of others."""
        return self.own.broker in kafka.split(",")

    @property
    def other_fronts(self) -> tuple[str, ...]:
        """Return the addresses of the fronts of the other machines."""
        others = (m.front for m in self.machines if m.number != self.number)
        return tuple(front for front in others if front)

    @property
    def controllers(self) -> str:
        """Return the addresses of all controllers."""
        return ",".join(machine.controller for machine in self.machines)


def is_shared(settings: Settings) -> bool:
    """Return whether this machine shares its work and its data keys with others."""
    return settings.cluster or (settings.data.secrets / MEMBER_FILE).exists()


def is_cluster_record(topic: str, key: bytes | None) -> bool:
    """Return whether a record is about the machines of a cluster.

    No restore takes it over: the new cluster would wait for the machines of the old one.
    """
    beginnings = (MACHINE_KEY.encode(), INVITATION_KEY.encode())
    return topic == "access" and (key or b"").startswith(beginnings)


def read_member(secrets: Path) -> ClusterMember | None:
    """Return this machine's place in its cluster, or None without a cluster.

    Raises ClusterFileInvalid, OSError.
    """
    path = secrets / MEMBER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return parse_member(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ClusterFileInvalid(f"{path} cannot be read: {error}") from error


def parse_member(content: dict[str, object]) -> ClusterMember:
    """Return the member of a parsed file. Raises ValueError, TypeError, KeyError."""
    machine_list = content["machines"]
    if not isinstance(machine_list, list):
        raise TypeError("machines must be a list")
    machines = tuple(
        sorted((Machine(**each) for each in machine_list), key=lambda machine: machine.number)
    )
    number = content["number"]
    if not isinstance(number, int) or number not in {machine.number for machine in machines}:
        raise ValueError(f"machine {number} is not in its own list")
    return ClusterMember(str(content["cluster"]), number, machines)


def write_member(secrets: Path, member: ClusterMember) -> None:
    """Replace the file. Raises OSError."""
    content = asdict(member)
    write_private(secrets / MEMBER_FILE, json.dumps(content, indent=1).encode(), replace=True)


@dataclass(frozen=True, slots=True)
class MajorityState:
    """View of a machine on its cluster."""

    has_majority: bool
    since_ms: int
    """Time of the last change."""
    fronts: tuple[str, ...]
    """Addresses of the fronts of the other machines."""


def write_majority(file: Path, state: MajorityState) -> None:
    """Replace the file. Raises OSError."""
    with open_atomic_file(file, 0o600) as target:
        target.write(json.dumps(asdict(state)).encode())


def read_majority(file: Path) -> MajorityState | None:
    """Return the state as it was written last; None without a cluster or a readable file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return MajorityState(
            bool(content["has_majority"]),
            int(content["since_ms"]),
            tuple(str(front) for front in content["fronts"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_other_fronts(file: Path) -> tuple[str, ...]:
    """Return the addresses of the other machines' fronts; none without a cluster."""
    state = read_majority(file)
    return () if state is None else state.fronts

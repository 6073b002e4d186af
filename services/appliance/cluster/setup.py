"""Make an installation the first machine of a cluster, or a further one."""

import asyncio
import errno
import secrets
import shutil
import socket
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from services.appliance.cluster.certificates import create_authority, create_broker_certificate
from services.appliance.cluster.control import ClusterControl
from services.appliance.cluster.invitation import (
    VALID_H,
    Invitation,
    InvitationInvalid,
    collect_secrets,
)
from services.appliance.cluster.node import ClusterNode
from services.appliance.cluster.registry import ClusterRegistry, InvitationRecord
from services.appliance.embedded.kafka import HEAP_MB, KafkaNode, RunningKafka
from services.appliance.embedded.node import make_node
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.security import KafkaSecurity, use_security
from services.runtime.process.cluster import (
    AUTHORITY_FILE,
    BROKER_CERTIFICATE_FILE,
    MEMBER_FILE,
    ClusterMember,
    Machine,
    read_member,
    write_member,
)
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import DataDir, Settings, split_host_port
from services.runtime.process.sockets import choose_ports, read_ports
from services.runtime.secrets.keyring import MasterKey, write_private
from services.runtime.secrets.local_secrets import BROKER_USER, PASSWORD_FILE

DEFAULT_PORT: Final = 9093


class SetupRefused(RuntimeError):
    """The installation cannot become a machine of this cluster; the message says why."""


def parse_address(text: str) -> tuple[str, str]:
    """Return the addresses of broker and controller for `HOST[:PORT]`.

    The controller has the port after the broker's. Raises SetupRefused.
    """
    host, colon, port = text.rpartition(":")
    is_ipv6 = text.endswith("]") or (":" in host and not host.endswith("]"))
    if not colon or is_ipv6:
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_535:
        raise SetupRefused(
            f"the address must be HOST or HOST:PORT with a port from 1 to 65534, not {text!r}"
        )
    if host in ("0.0.0.0", "[::]", "::"):  # noqa: S104
        raise SetupRefused("name the one address under which the other machines reach this one")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port}", f"{host}:{int(port) + 1}"


def check_own_address(broker: str, controller: str) -> None:
    """Check that this machine can listen on both addresses now. Raises SetupRefused."""
    for address in (broker, controller):
        host, port = split_host_port(address)
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        except OSError as error:
            raise SetupRefused(
                f"the name {host} leads to no address: correct it, or give an IP address"
            ) from error
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(place)
            except OSError as error:
                raise SetupRefused(_describe_bind_failure(address, host, error)) from error


def _describe_bind_failure(address: str, host: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program listens on {address}: stop it, or give another port after HOST"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: `ip address` shows those that are"
    return f"this user cannot listen on {address}: {error.strerror}"


def make_cluster_node(
    settings: Settings,
    member: ClusterMember,
    *,
    converts: bool = False,
    heap_mb: int = HEAP_MB,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> ClusterNode:
    """Return the node of this machine; `prepare` it before the start.

    Raises BrokerFailed, JavaUnusable, JarsUnavailable, OSError.
    """
    data = settings.data
    log_file = data.logs / "broker.jsonl"
    single = make_node(
        data.kafka, (0, 0), log_file, settings.cache_dir, data.secrets, say, progress
    )
    node_fields = {field.name: getattr(single, field.name) for field in fields(single)}
    node_fields["heap_mb"] = heap_mb
    return ClusterNode(**node_fields, member=member, secrets=data.secrets, converts=converts)


async def found_cluster(
    settings: Settings, address: str, say: Callable[[str], None]
) -> ClusterMember:
    """Make this installation machine 1 of a new cluster, with everything that it holds.

    The data directory must be locked. A run that was cut short can be repeated. Raises
    SetupRefused, BrokerFailed, ClusterRefused, JavaUnusable, JarsUnavailable, KafkaError, OSError.
    """
    data = settings.data
    if read_member(data.secrets) is not None:
        raise SetupRefused(f"{data.root} belongs to a cluster already: see `vigie cluster status`")
    broker, controller = parse_address(address)
    check_own_address(broker, controller)
    # The other ports stay for the next start
    ports = choose_ports(data.ports, {"kafka", "controller", *read_ports(data.ports)})
    own = (ports["kafka"], ports["controller"])
    log_file = data.logs / "broker.jsonl"
    single = make_node(data.kafka, own, log_file, settings.cache_dir, data.secrets, say)
    single.prepare()
    MasterKey.open(data.secrets)
    create_authority(data.secrets)
    create_broker_certificate(data.secrets, split_host_port(broker)[0])
    member = ClusterMember(_read_cluster_id(data.kafka), 1, (Machine(1, broker, controller),))
    node = make_cluster_node(settings, member, converts=True, say=say)
    node.prepare()
    say("opening the quorum for other machines")
    await _open_quorum(node)
    make_cluster_node(settings, member).prepare()
    write_member(data.secrets, member)
    return member


async def _open_quorum(node: ClusterNode) -> None:
    """Open the quorum of a single node for further machines, while its broker runs."""
    running = RunningKafka(node)
    use_security(node.security)
    try:
        await running.start()
        async with ClusterControl(node.address) as control:
            await control.allow_joining()
            await control.describe_quorum()
    finally:
        use_security(None)
        await asyncio.to_thread(running.stop)


def _read_cluster_id(folder: Path) -> str:
    meta = (folder / "data" / "meta.properties").read_text(encoding="utf-8")
    values = dict(line.split("=", 1) for line in meta.splitlines() if "=" in line)
    return values["cluster.id"].replace("\\", "")


async def invite_machine(
    settings: Settings, member: ClusterMember, hours: int = VALID_H
) -> Invitation:
    """Return a new invitation, which the brokers know from now on.

    Raises BrokerAway, KafkaError, OSError, ValueError.
    """
    async with ClusterRegistry.open(settings) as registry:
        records = await registry.read()
        number = max(records.find_free_number(), member.number + 1)
        machines = {member.number: member.own} | {
            record.number: record.machine for record in records.members
        }
        invitation = Invitation(
            id=secrets.token_hex(8),
            expires_at=now_ms() + hours * 3_600_000,
            cluster=member.cluster,
            number=number,
            machines=tuple(machines[machine_number] for machine_number in sorted(machines)),
            secrets=collect_secrets(settings.data.secrets),
        )
        await registry.put_invitation(
            InvitationRecord(invitation.id, number, invitation.expires_at)
        )
    return invitation


async def join_cluster(
    settings: Settings, invitation: Invitation, address: str, say: Callable[[str], None]
) -> ClusterMember:
    """Make this empty installation a machine of the invitation's cluster.

    The data directory must be locked. A failure removes all written files. Raises SetupRefused,
    InvitationInvalid, BrokerFailed, JavaUnusable, JarsUnavailable, BrokerAway, KafkaError, OSError.
    """
    data = settings.data
    _check_empty(data)
    if invitation.expires_at <= now_ms():
        end = datetime.fromtimestamp(invitation.expires_at / 1000, UTC)
        raise InvitationInvalid(
            f"the invitation has expired on {end:%Y-%m-%d at %H:%M} UTC, by the clock of this "
            "machine: make another with `vigie cluster invite`"
        )
    broker, controller = parse_address(address)
    if broker in {machine.broker for machine in invitation.machines}:
        raise SetupRefused(
            f"{broker} is the address of another machine of the cluster: give that of this one"
        )
    check_own_address(broker, controller)
    own = Machine(invitation.number, broker, controller)
    member = ClusterMember(invitation.cluster, own.number, (*invitation.machines, own))
    try:
        _write_secrets(data, invitation)
        create_broker_certificate(data.secrets, split_host_port(broker)[0])
        node = make_cluster_node(settings, member, say=say)
        await use_invitation(settings, invitation)
        node.prepare()
        write_member(data.secrets, member)
    except BaseException:
        shutil.rmtree(data.kafka, ignore_errors=True)
        for name in [*invitation.secrets, BROKER_CERTIFICATE_FILE, MEMBER_FILE]:
            (data.secrets / name).unlink(missing_ok=True)
        raise
    return member


def _check_empty(data: DataDir) -> None:
    if read_member(data.secrets) is not None:
        raise SetupRefused(f"{data.root} belongs to a cluster already: see `vigie cluster status`")
    if KafkaNode.is_formatted(data.kafka) or (data.secrets / "master.key").exists():
        raise SetupRefused(
            f"{data.root} holds an installation, and joining would lose its data: give another "
            "place in VIGIE_DATA_DIR"
        )


def _write_secrets(data: DataDir, invitation: Invitation) -> None:
    for name, content in invitation.secrets.items():
        write_private(data.secrets / name, content, replace=True)


async def use_invitation(settings: Settings, invitation: Invitation) -> None:
    """Use an invitation on the brokers. The first use in the order of the topic counts.

    Raises InvitationInvalid, and SetupRefused if no broker answers.
    """
    brokers = ",".join(machine.broker for machine in invitation.machines)
    password = invitation.secrets[PASSWORD_FILE].decode().strip()
    authority = settings.data.secrets / AUTHORITY_FILE
    use_security(KafkaSecurity.of_cluster(BROKER_USER, password, authority))
    attempt = secrets.token_hex(8)
    try:
        reachable = settings.model_copy(update={"kafka": brokers})
        async with ClusterRegistry.open(reachable) as registry:
            record = (await registry.read()).invitations.get(invitation.id)
            if record is None:
                raise InvitationInvalid(
                    "the brokers do not know this invitation: make another with `vigie cluster "
                    "invite`"
                )
            if not record.used_by:
                await registry.put_invitation(replace(record, used_by=attempt))
            if (await registry.read()).uses.get(invitation.id) != attempt:
                raise InvitationInvalid(
                    "the invitation was used before: make another with `vigie cluster invite`"
                )
    except (BrokerAway, KafkaError, OSError) as error:
        raise SetupRefused(
            f"no machine of the cluster answers at {brokers}: see whether `vigie up` runs there, "
            "and whether these ports are open for this machine"
        ) from error
    finally:
        use_security(None)

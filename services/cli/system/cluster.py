"""`vigie cluster`: three machines that are one Vigie."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError

from services.appliance.cluster.control import ClusterRefused
from services.appliance.cluster.invitation import (
    FORM,
    VALID_H,
    Invitation,
    InvitationInvalid,
    open_invitation,
    seal_invitation,
)
from services.appliance.cluster.members import (
    RemovalRefused,
    advance_leaving,
    dismiss_dead_machine,
    start_leaving,
)
from services.appliance.cluster.overview import ClusterOverview, MachineOverview, read_overview
from services.appliance.cluster.setup import (
    SetupRefused,
    found_cluster,
    invite_machine,
    join_cluster,
)
from services.appliance.embedded.java import JarsUnavailable, JavaUnusable
from services.appliance.embedded.kafka import BrokerFailed
from services.appliance.supervisor.orphans import end_orphans
from services.appliance.supervisor.status import MIN_FREE_MB, read_free_mb
from services.cli.client import error_text
from services.cli.output import create_group, print_json, print_rows
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.security import read_cluster_security, use_security
from services.runtime.process import logs
from services.runtime.process.cluster import ClusterMember, read_member
from services.runtime.process.files import DataDirBusy, DataDirLock
from services.runtime.process.settings import Settings
from services.territory.official_days import PARIS

app = create_group("Three machines that are one Vigie: init, invite, join, status, leave, replace.")
LEAVE_TIMEOUT_S: Final = 900.0
T = TypeVar("T")
Address = Annotated[
    str,
    typer.Option(
        help="HOST or HOST:PORT under which the other machines reach the broker of this one; its "
        "controller has the port after it"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document")]
FAILURES: Final = (
    BrokerAway,
    BrokerFailed,
    ClusterRefused,
    InvitationInvalid,
    JarsUnavailable,
    JavaUnusable,
    KafkaError,
    OSError,
    RemovalRefused,
    SetupRefused,
    TimeoutError,
    ValueError,
)

NO_ANSWER: Final = (
    "the broker did not answer in time; run the command again when the machine has less to do"
)


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine. Raises typer.Exit, after printing the reason of a failure."""
    # The output may be an invitation, and a client says at length that one broker is away
    logs.configure_logging("cluster", level="ERROR")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(work())
    except FAILURES as error:
        is_silent = isinstance(error, TimeoutError) and not str(error)
        reason = NO_ANSWER if is_silent else error_text(error)
        typer.secho(f"vigie cluster: {reason}", err=True, fg="red")
        raise typer.Exit(1) from error


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _hold_stopped(settings: Settings) -> Iterator[None]:
    """Hold the data directory, on which nothing may run meanwhile."""
    settings.data.make()
    if (free_mb := read_free_mb(settings.data)) < MIN_FREE_MB:
        raise SetupRefused(
            f"the disk of {settings.data_dir} has {free_mb} MB free, and {MIN_FREE_MB} are needed: "
            "make room"
        )
    try:
        lock = DataDirLock(settings.data.lock)
    except DataDirBusy as error:
        raise SetupRefused(
            f"Vigie runs on {settings.data_dir} ({error}): stop `vigie up` first"
        ) from error
    try:
        end_orphans(settings.data.root)
        yield
    finally:
        lock.release()


@contextmanager
def _use_cluster(settings: Settings) -> Iterator[tuple[Settings, ClusterMember]]:
    """Yield settings that name the brokers of the cluster, and log in to them.

    Raises SetupRefused without a cluster, or if no broker answers.
    """
    member = read_member(settings.data.secrets)
    if member is None:
        raise SetupRefused(f"{settings.data_dir} belongs to no cluster: see `vigie cluster init`")
    use_security(read_cluster_security(settings.data.secrets))
    try:
        yield settings.model_copy(update={"kafka": member.brokers}), member
    except (BrokerAway, KafkaError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # A file of this machine
        is_away = isinstance(error, KafkaConnectionError)  # it names no other reason
        reason = "" if is_away else f" ({error_text(error)})"
        raise SetupRefused(
            f"no broker answers at {member.brokers}{reason}: start `vigie up` here and on most of "
            "the other machines"
        ) from error
    finally:
        use_security(None)


@app.command()
def init(address: Address) -> None:
    """Make this installation the first machine of a cluster. It must be stopped.

    Everything that it holds stays. It listens for the other machines on its address from then on,
    over TLS and with the broker's password. There is no way back but a restore of a backup.
    """
    settings = Settings()

    async def work() -> ClusterMember:
        with _hold_stopped(settings):
            return await found_cluster(settings, address, _say)

    member = _run(work)
    typer.echo(f"Machine 1 of a new cluster, at {member.own.broker}.")
    typer.echo("Next: `vigie up`, then `vigie cluster invite` for each other machine.")


@app.command()
def invite(
    hours: Annotated[int, typer.Option(min=1, max=720, help="Hours of validity")] = VALID_H,
) -> None:
    """Print a one-time invitation for another machine. The cluster must run.

    It contains every key of the installation: hand it over like the master key.
    """
    settings = Settings()

    async def work() -> str:
        with _use_cluster(settings) as (cluster_settings, member):
            invitation = await invite_machine(cluster_settings, member, hours)
            _say(_describe_invitation(invitation))
            return seal_invitation(invitation)

    typer.echo(_run(work))


def _describe_invitation(invitation: Invitation) -> str:
    until = datetime.fromtimestamp(invitation.expires_at / 1000, PARIS)
    return (
        f"Invitation of machine {invitation.number}, once, until {until:%Y-%m-%d %H:%M} (Paris). "
        "It contains every key: hand it over like the master key."
    )


@app.command()
def join(
    invitation: Annotated[
        str,
        typer.Argument(metavar="FILE", help="File with the invitation; - reads it from the input"),
    ],
    address: Address,
) -> None:
    """Make this machine, without an installation, one of the cluster that invited it.

    The invitation is read from a file or from the input, because every user of the machine sees the
    arguments of a command.
    """
    settings = Settings()

    async def work() -> ClusterMember:
        content = open_invitation(_read_invitation(invitation))
        with _hold_stopped(settings):
            return await join_cluster(settings, content, address, _say)

    member = _run(work)
    typer.echo(f"Machine {member.number} of the cluster, at {member.own.broker}.")
    typer.echo("Next: delete the invitation, then `vigie up`.")


def _read_invitation(file: str) -> str:
    """Return the text of a file or of the input. Raises InvitationInvalid, OSError."""
    if file.startswith(f"{FORM}."):
        raise InvitationInvalid(
            "give the name of a file, or -: every user of this machine can see an argument. If "
            "others use it, make another invitation with `vigie cluster invite`"
        )
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return content.decode("utf-8", "replace")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show machines, votes, copies and versions. Exits with 1 unless every machine is in step."""
    settings = Settings()

    async def work() -> ClusterOverview:
        with _use_cluster(settings) as (cluster_settings, member):
            return await read_overview(cluster_settings, member)

    overview = _run(work)
    if as_json:
        print_json(overview.to_json())
    else:
        _show_overview(overview)
    if overview.faults:
        raise typer.Exit(1)


def _show_overview(overview: ClusterOverview) -> None:
    rows = [_format_machine(machine) for machine in overview.machines]
    print_rows(
        f"Cluster {overview.cluster}",
        [
            "Machine",
            "State",
            "Vote",
            "Metadata behind",
            "Leads",
            "Copies",
            "Late",
            "Certificate",
            "Version",
            "Front",
        ],
        rows,
    )
    typer.echo(
        f"{overview.copies} of each report, {overview.partitions} partitions, {overview.late} of them with a "
        "copy that is late."
        if overview.copies > 1
        else f"One copy of each report: three machines hold three ({overview.partitions} partitions)."
    )
    for fault in overview.faults:
        typer.secho(fault, fg="red")


def _format_machine(machine: MachineOverview) -> list[str]:
    own = " (this one)" if machine.is_own else ""
    return [
        f"{machine.number} {machine.name}{own}",
        machine.state,
        "leads" if machine.leads_quorum else "yes" if machine.votes else "no",
        "" if machine.lag is None else str(machine.lag),
        str(machine.leads),
        str(machine.copies),
        str(machine.late),
        "" if machine.certificate_days is None else f"{machine.certificate_days} d",
        machine.version,
        machine.front,
    ]


@app.command()
def leave() -> None:
    """Take this running machine out of the cluster, once the others hold its copies.

    One of four or more may leave, or one of two: three machines cannot become two. Afterwards stop
    `vigie up` on this machine and delete its data directory.
    """
    settings = Settings()

    async def work() -> int:
        with _use_cluster(settings) as (cluster_settings, member):
            await start_leaving(cluster_settings, member)
            end = time.monotonic() + LEAVE_TIMEOUT_S
            while (remaining_copies := await advance_leaving(cluster_settings, member)) is not None:
                _say(f"{remaining_copies} copies are still here")
                if time.monotonic() > end:
                    raise RemovalRefused("the copies are not moved yet: run the command again")
                await asyncio.sleep(5)
            return member.number

    number = _run(work)
    typer.echo(f"Machine {number} has left. Stop `vigie up`, then delete {settings.data_dir}.")


@app.command()
def replace(
    dead: Annotated[int, typer.Argument(help="Number of the dead machine, as in `status`")],
    hours: Annotated[int, typer.Option(min=1, max=720, help="Hours of validity")] = VALID_H,
) -> None:
    """Take a dead machine out of the cluster for good, and print an invitation for another one.

    Its copies are made again on the machine that joins. The dead one must never start again: repair
    a machine that is only ill instead.
    """
    settings = Settings()

    async def work() -> str:
        with _use_cluster(settings) as (cluster_settings, member):
            await dismiss_dead_machine(cluster_settings, member, dead)
            _say(f"Machine {dead} is out. It must never start again: delete its data directory.")
            invitation = await invite_machine(cluster_settings, member, hours)
            _say(_describe_invitation(invitation))
            return seal_invitation(invitation)

    typer.echo(_run(work))

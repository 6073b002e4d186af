"""Renew the certificates of a machine, and let its broker take them without a stop.

`prepare` of a cluster's node renews them before the broker starts. `keep_certificates` looks once
an hour while it runs.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from services.appliance.cluster.certificates import read_certificate, renew_certificates
from services.appliance.cluster.control import ClusterControl, ClusterRefused
from services.runtime.kafka.broker_certificate import LOOK_S, fetch_certificate
from services.runtime.process.cluster import BROKER_CERTIFICATE_FILE, ClusterMember
from services.runtime.process.settings import split_host_port

RETRY_S: Final = 60.0
"""Interval of the looks while the broker presents another certificate than its file."""
log = structlog.get_logger(__name__)


def renew_due(secrets: Path, member: ClusterMember) -> None:
    """Renew certificates that are due. A failure is logged: they are valid for months."""
    try:
        if renewed := renew_certificates(secrets, split_host_port(member.own.broker)[0]):
            log.info("cluster.certificates_renewed", files=renewed)
    except (OSError, ValueError) as error:
        log.error("cluster.certificates_not_renewed", why=str(error))


async def keep_certificates(secrets: Path, member: ClusterMember) -> None:
    """Renew certificates that are due, and make the broker present them, until cancelled."""
    while True:
        try:
            is_presented = await renew_and_reload(secrets, member)
        except (ClusterRefused, KafkaError, OSError, ValueError) as error:
            log.warning("cluster.certificate_unknown", why=f"{type(error).__name__}: {error}")
            is_presented = False
        await asyncio.sleep(LOOK_S if is_presented else RETRY_S)


async def renew_and_reload(secrets: Path, member: ClusterMember) -> bool:
    """Renew certificates that are due; return whether both listeners present that of the file.

    If not, ask the broker to read it again, which takes some seconds. Open connections stay.
    Raises ClusterRefused, KafkaError, OSError, ValueError.
    """
    await asyncio.to_thread(renew_due, secrets, member)
    own = await asyncio.to_thread(read_certificate, secrets / BROKER_CERTIFICATE_FILE)
    presented = [
        await fetch_certificate(address) for address in (member.own.broker, member.own.controller)
    ]
    if all(certificate == own for certificate in presented):
        return True
    async with ClusterControl(member.own.broker) as control:
        await control.reload_certificates(member.number)
    log.info("cluster.certificate_reload", until=f"{own.not_valid_after_utc:%Y-%m-%d}")
    return False

"""A broker takes renewed certificates while it runs, and its clients go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from services.appliance.cluster.certificates import (
    BROKER_DAYS,
    create_authority,
    create_broker_certificate,
)
from services.appliance.cluster.control import ClusterControl
from services.appliance.cluster.overview import ClusterOverview, read_overview
from services.appliance.cluster.renewal import renew_and_reload
from services.cli.system.doctor import DoctorFinding, check_certificates
from services.runtime.kafka.security import KafkaSecurity, read_cluster_security, use_security
from services.runtime.process.cluster import AUTHORITY_FILE, AUTHORITY_KEY_FILE
from services.runtime.secrets.local_secrets import BROKER_USER
from tests.brokers import PASSWORD
from tests.formed_cluster import FormedCluster
from tests.waiting import eventually

FEW_DAYS: Final = 5
HOST: Final = "127.0.0.1"


async def test_a_running_broker_takes_certificates_that_are_renewed(tmp_path: Path) -> None:
    """The authority is due, too. A client that knows only the old one trusts the renewed broker."""
    cluster = FormedCluster(tmp_path)
    try:
        await cluster.prepare()
        old = make_old_certificates(cluster, tmp_path / "old.pem")
        await cluster.start_broker(1)
        member, secrets = cluster.members[1], cluster.settings(1).data.secrets
        assert "machine 1 ends in 4 days" in (await look(cluster)).faults[-1]
        assert (await diagnose(cluster)).state == "warning"
        async with ClusterControl(member.own.broker, old) as open_connection:
            await eventually(lambda: renew_and_reload(secrets, member))
            assert (await open_connection.describe_quorum()).leader == 1
        use_security(read_cluster_security(secrets))
        for security in (old, None):
            async with ClusterControl(member.own.broker, security) as new_connection:
                assert (await new_connection.describe_quorum()).leader == 1
        (machine,) = (await look(cluster)).machines
        assert machine.certificate_days == BROKER_DAYS - 1
        assert (await diagnose(cluster)).state == "ok"
    finally:
        cluster.stop()


def make_old_certificates(cluster: FormedCluster, copy: Path) -> KafkaSecurity:
    """Give the broker certificates near their end; return a login that knows only those."""
    secrets = cluster.settings(1).data.secrets
    (secrets / AUTHORITY_KEY_FILE).unlink()
    create_authority(secrets, days=FEW_DAYS)
    create_broker_certificate(secrets, HOST, days=FEW_DAYS)
    shutil.copy(secrets / AUTHORITY_FILE, copy)
    return KafkaSecurity.of_cluster(BROKER_USER, PASSWORD, copy)


async def look(cluster: FormedCluster) -> ClusterOverview:
    """Return the overview of `vigie cluster status`."""
    return await read_overview(cluster.settings(1), cluster.members[1])


async def diagnose(cluster: FormedCluster) -> DoctorFinding:
    """Return the finding of `vigie doctor` about certificates."""
    (finding,) = await check_certificates(cluster.settings(1))
    return finding

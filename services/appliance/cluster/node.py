"""The broker and controller of one machine of a cluster, over TLS on the machine's address."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.appliance.cluster.renewal import renew_due
from services.appliance.embedded.kafka import BrokerFailed, KafkaNode
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.cluster import AUTHORITY_FILE, BROKER_CERTIFICATE_FILE, ClusterMember
from services.runtime.secrets.local_secrets import BROKER_USER

SESSION_MS: Final = 2000
"""Time after which another broker leads in place of a dead one."""
QUORUM_MS: Final = 1500
"""Time after which controllers look for another leader. They wait for votes a third as long.

Kafka's own values are 2 s and 1 s. An election in vain stops no partition.
"""
LAG_MS: Final = 10_000
"""Time after which a record no longer waits for a living broker that fetches nothing.

A cut between two brokers that both reach the third costs so long. Kafka's own value is 30 s.
"""
SPREAD_S: Final = 15
"""Interval at which leaders return to their machines; Kafka's own value is 300 s.

The first machine leads everything when a cluster is formed, and the others after an absence do.
"""
CONTROLLER_MS: Final = 6000
"""Longest wait for a controller, which may have frozen; Kafka's own value is 30 s."""
MEETING_TIMEOUT_S: Final = 180.0
"""Longest wait in seconds of a command for its broker."""
REGISTRATION_MS: Final = 86_400_000
"""A machine that starts alone waits for the others for a day before Kafka gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode(KafkaNode):
    """One node of several.

    With `converts` it still names its voters in its settings, as a single node does. So a single
    node's quorum gets the new address before it becomes one that machines can join.
    """

    member: ClusterMember
    secrets: Path
    converts: bool = False

    @property
    def address(self) -> str:
        return self.member.own.broker

    @property
    def security(self) -> KafkaSecurity:
        """Return the login of its clients."""
        return KafkaSecurity.of_cluster(BROKER_USER, self.password, self.secrets / AUTHORITY_FILE)

    def _compiler_options(self) -> list[str]:
        """Return no limit, so that Java uses all its compilers.

        This broker runs for months and copies to others over TLS. The second compiler saves a
        fifth of its processor time once it is warm.
        """
        return []

    def _heap_options(self, heap_mb: int) -> list[str]:
        """Return the sizes of a heap for records that are copied to and from others."""
        return [f"-Xms{heap_mb // 3}m", f"-Xmx{heap_mb}m", f"-Xmn{heap_mb // 12}m"]

    def prepare(self) -> None:
        """Renew the certificates that are due, too. Raises BrokerFailed, OSError."""
        renew_due(self.secrets, self.member)
        KafkaNode.prepare(self)

    async def wait_ready(self, timeout_s: float = MEETING_TIMEOUT_S) -> None:
        """Wait until clients are served; this needs a majority. Raises TimeoutError."""
        await KafkaNode.wait_ready(self, timeout_s)

    def _format(self, data: Path) -> None:
        properties = str(self.folder / "server.properties")
        result = self._run(
            "kafka.tools.StorageTool",
            "format",
            "-t",
            self.member.cluster,
            "-c",
            properties,
            "--no-initial-controllers",
        )
        if result.returncode:
            raise BrokerFailed(
                f"formatting {data} failed: {(result.stderr + result.stdout)[-300:]}"
            )

    def _knows_password(self) -> bool:
        """Return True: the password is in the metadata that all machines share."""
        return True

    def _listeners(self) -> dict[str, object]:
        own = self.member.own
        login = self._client_login()
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        addresses = f"SASL_SSL://{own.broker},CONTROLLER://{own.controller}"
        return KafkaNode._listeners(self) | {
            "listeners": addresses,
            "advertised.listeners": addresses,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SASL_SSL",
            "inter.broker.listener.name": "SASL_SSL",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{scram} {login};",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{plain} {login} user_{BROKER_USER}="{self.password}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.secrets / BROKER_CERTIFICATE_FILE,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.secrets / AUTHORITY_FILE,
        }

    def _durable(self, data: Path) -> dict[str, object]:
        settings = KafkaNode._durable(self, data) | {
            "node.id": self.member.number,
            "broker.session.timeout.ms": SESSION_MS,
            "controller.quorum.fetch.timeout.ms": QUORUM_MS,
            "controller.quorum.election.timeout.ms": QUORUM_MS // 3,
            "controller.quorum.election.backoff.max.ms": QUORUM_MS // 3,
            "replica.lag.time.max.ms": LAG_MS,
            "controller.socket.timeout.ms": CONTROLLER_MS,
            "leader.imbalance.check.interval.seconds": SPREAD_S,
            "initial.broker.registration.timeout.ms": REGISTRATION_MS,
        }
        del settings["metadata.max.idle.interval.ms"]
        if self.converts:
            own = self.member.own
            settings["controller.quorum.voters"] = f"{own.number}@{own.controller}"
        else:
            del settings["controller.quorum.voters"]
            settings["controller.quorum.bootstrap.servers"] = self.member.controllers
        return settings

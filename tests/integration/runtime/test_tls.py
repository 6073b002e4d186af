"""Every client connects to Kafka and Redis over TLS and SASL only with the right settings."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from schemas.runtime import OpenRealm
from schemas.topics import PARTITION_COUNT, input_topic, log_topic
from services.appliance.embedded.kafka import KafkaNode, RunningKafka
from services.appliance.embedded.store import can_log_in
from services.console.read_model.store import connect
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.kafka.topics import BrokerUnreachable, provision_topics
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.worker.lag import read_system_progress
from tests import forked
from tests.brokers import LOGIN, PASSWORD, RunningStore, forget, make_node, put_provisioned
from tests.waiting import eventually


@dataclass(frozen=True, slots=True)
class Certificates:
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """Key and certificate."""
        return self.folder / "server.pem"


def certificate(name: str, issuer: tuple[x509.Name, Any] | None) -> tuple[x509.Certificate, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    by, signer = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(signer, SHA256())
    )
    return made, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca, ca_key = certificate("an authority", None)
    server, key = certificate("a server", (ca.subject, ca_key))
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(
        private + server.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
    )
    return Certificates(folder)


class SecuredNode(KafkaNode):
    """Node that admits clients with TLS and the password, by SCRAM or in plain form."""

    @property
    def security(self) -> KafkaSecurity:
        """As the environment says."""
        return KafkaSecurity()

    def _properties(self, data: Path) -> str:
        plain = KafkaNode._properties(self, data)
        changed = {
            "listeners": f"SASL_SSL://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"SASL_SSL://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'org.apache.kafka.common.security.plain.PlainLoginModule required username="vigie" password="{PASSWORD}" user_vigie="{PASSWORD}";',
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.folder / "server.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.folder / "ca.pem",
        }
        lines = [line for line in plain.splitlines() if line.partition("=")[0] not in changed]
        return "\n".join([*lines, *(f"{k}={v}" for k, v in changed.items())]) + "\n"


def environment(certificates: Certificates, **changes: str) -> dict[str, str]:
    return {
        "VIGIE_KAFKA_TLS": "1",
        "VIGIE_KAFKA_CA": str(certificates.ca),
        "VIGIE_KAFKA_USER": "vigie",
        "VIGIE_KAFKA_PASSWORD": PASSWORD,
        "VIGIE_KAFKA_SASL": "SCRAM-SHA-512",
    } | changes


@pytest.fixture
def secured(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in environment(certificates).items():
        monkeypatch.setenv(name, value)
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def broker(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKafka]:
    plain = make_node(tmp_path_factory.mktemp("secured"))
    asyncio.run(put_provisioned(plain.folder))
    for file in (certificates.ca, certificates.server):
        (plain.folder / file.name).write_bytes(file.read_bytes())
    node = SecuredNode(
        plain.folder,
        plain.port,
        plain.controller_port,
        plain.java,
        plain.jars,
        plain.log_file,
        PASSWORD,
        classes=plain.classes,
    )
    node.prepare()
    running = RunningKafka(node)
    patch = pytest.MonkeyPatch()
    for name, value in environment(certificates).items():
        patch.setenv(name, value)
    forget()
    try:
        running.spawn()
        asyncio.run(node.wait_ready(240))
    finally:
        patch.undo()
        forget()
    yield running
    running.stop()


async def test_every_client_and_a_worker_get_in(
    broker: RunningKafka, secured: None, tmp_path: Path
) -> None:
    await provision_topics(broker.address)
    env = os.environ | {
        "VIGIE_KAFKA": broker.address,
        "VIGIE_DATA_DIR": str(tmp_path / "data"),
        "VIGIE_LOG_COLOUR": "0",
    }
    command = OpenRealm(
        author="somebody", role="admin", territory="92", started_at=1_800_000_000_000
    )
    async with RecordProducer(
        broker.address, InputMarks.open(tmp_path / "data" / "secrets")
    ) as producer:
        await producer.send(input_topic("alerts"), "92", command, id="open:92", source="/test")
    log = tmp_path / "worker.log"
    worker = await asyncio.to_thread(forked.start, "services.alerts", environment=env, log=log)
    try:

        async def applied() -> bool:
            assert worker.poll() is None, log.read_text()[-2000:]
            return (await read_system_progress(broker.address)).lag["alerts"] == 0

        await eventually(applied, 180)
        async with PartitionReader(broker.address) as reader:
            bounds = await reader.bounds(log_topic("alerts"), range(PARTITION_COUNT))
        assert sum(end for _, end in bounds.values()) == 1
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait)


async def test_plain_passwords_are_allowed_inside_tls(
    broker: RunningKafka, secured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIE_KAFKA_SASL", "PLAIN")
    forget()
    await provision_topics(broker.address)
    async with PartitionReader(broker.address) as reader:
        assert (
            len(await reader.bounds(log_topic("alerts"), range(PARTITION_COUNT))) == PARTITION_COUNT
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"VIGIE_KAFKA_PASSWORD": "guessed"},
        {"VIGIE_KAFKA_PASSWORD": "guessed", "VIGIE_KAFKA_SASL": "PLAIN"},
        {"VIGIE_KAFKA_CA": ""},
    ],
    ids=["another password", "another password as it is", "an unknown authority"],
)
@pytest.mark.filterwarnings(
    "ignore:unclosed transport:ResourceWarning"
)  # aiokafka forgets a connection whose handshake is cut off
async def test_other_clients_are_refused(
    broker: RunningKafka,
    secured: None,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    forget()
    with pytest.raises((KafkaError, BrokerUnreachable)):
        await provision_topics(broker.address)
    with pytest.raises(BrokerAway):
        async with RecordProducer(broker.address, timeout_s=5):
            pass
    gc.collect()  # what aiokafka forgot, while this test forgives it


@pytest.fixture
def no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_login")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"user": "vigie"}, "VIGIE_KAFKA_PASSWORD"),
        ({"user": "vigie", "password": "x", "sasl": "PLAIN"}, "VIGIE_KAFKA_TLS=1"),
        ({"ca": "/nonexistent/ca.pem", "tls": True}, "no file"),
        ({"tls": True, "cert": "/etc/hostname"}, "go together"),
    ],
)
def test_settings_that_are_not_whole_are_refused_by_name(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        KafkaSecurity(**settings)


@pytest.mark.usefixtures("no_login")
def test_a_password_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vigie_kafka_password").write_text("from a file\n")
    monkeypatch.setenv("VIGIE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("VIGIE_KAFKA_USER", "vigie")
    security = KafkaSecurity()
    assert security.password.get_secret_value() == "from a file"
    assert "from a file" not in repr(security)


async def test_the_store_is_reached_through_tls_and_only_when_its_name_is_known(
    store: RunningStore, certificates: Certificates
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(store.node.socket)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            try:
                while block := await source.read(65536):
                    target.write(block)
                    await target.drain()
            except OSError:
                pass
            target.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates.ca}"
        assert await can_log_in(url)
        client = connect(url)
        await client.set("vigie:tls", b"1")
        assert await client.get("vigie:tls") == b"1"
        await client.aclose()
        assert not await can_log_in(f"rediss://127.0.0.1:{port}/0")

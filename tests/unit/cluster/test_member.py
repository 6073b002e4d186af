"""The file of a cluster's machine, its addresses and its certificate."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from services.appliance.cluster.certificates import (
    AUTHORITY_DAYS,
    BROKER_DAYS,
    create_authority,
    create_broker_certificate,
    read_certificate,
    renew_certificates,
)
from services.appliance.cluster.keeper import find_front
from services.appliance.cluster.node import ClusterNode
from services.appliance.cluster.renewal import renew_due
from services.appliance.cluster.setup import SetupRefused, check_own_address, parse_address
from services.appliance.embedded.java import Java
from services.runtime.kafka.broker_certificate import count_days
from services.runtime.process.cluster import (
    AUTHORITY_FILE,
    AUTHORITY_KEY_FILE,
    BROKER_CERTIFICATE_FILE,
    MEMBER_FILE,
    ClusterFileInvalid,
    ClusterMember,
    Machine,
    read_member,
    write_member,
)
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.worker.tuning import CLUSTER_SESSION_S, Tuning, adapt_tuning

HOST = "127.0.0.2"
MACHINES = tuple(Machine(n, f"10.0.0.{n}:9093", f"10.0.0.{n}:9094") for n in (1, 2, 3))
MEMBER = ClusterMember("Kp9", 2, MACHINES)


def test_a_member_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_member(tmp_path) is None
    write_member(tmp_path, MEMBER)
    assert read_member(tmp_path) == MEMBER


def test_clients_ask_the_broker_of_their_own_machine_first() -> None:
    assert MEMBER.brokers == "10.0.0.2:9093,10.0.0.1:9093,10.0.0.3:9093"


@pytest.mark.parametrize(
    ("kafka", "session_s"),
    [(MEMBER.brokers, CLUSTER_SESSION_S), ("kafka.example:9092", Tuning().session_s)],
)
def test_only_the_brokers_of_vigie_replace_workers_sooner_than_kafka_allows(
    tmp_path: Path, kafka: str, session_s: float
) -> None:
    settings = Settings(data_dir=tmp_path, kafka=kafka)
    settings.data.secrets.mkdir()
    write_member(settings.data.secrets, MEMBER)
    tuning = adapt_tuning(Tuning(every_ms=100), settings)
    assert (tuning.session_s, tuning.every_ms) == (session_s, 100)


@pytest.mark.parametrize(
    ("http", "public_url", "front"),
    [
        ("127.0.0.1:8092", "", ""),
        ("10.1.0.1:8092", "", "http://10.1.0.1:8092"),
        ("127.0.0.1:8092", "https://vigie.example", "https://vigie.example"),
    ],
)
def test_other_machines_learn_no_address_that_they_cannot_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: str, public_url: str, front: str
) -> None:
    monkeypatch.setenv("VIGIE_PUBLIC_URL", public_url)
    assert find_front(Settings(data_dir=tmp_path, http=http)) == front


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": "a", "number": 2, "machines": []}', '{"number": 1}']
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / MEMBER_FILE).write_text(text)
    with pytest.raises(ClusterFileInvalid, match=MEMBER_FILE):
        read_member(tmp_path)


@pytest.mark.parametrize(
    ("text", "broker", "controller"),
    [
        ("10.0.0.2", "10.0.0.2:9093", "10.0.0.2:9094"),
        ("siege.example.org:7000", "siege.example.org:7000", "siege.example.org:7001"),
        ("[fd00::2]:7000", "[fd00::2]:7000", "[fd00::2]:7001"),
        ("fd00::2", "[fd00::2]:9093", "[fd00::2]:9094"),
        ("[fd00::2]", "[fd00::2]:9093", "[fd00::2]:9094"),
    ],
)
def test_an_address_names_broker_and_controller(text: str, broker: str, controller: str) -> None:
    assert parse_address(text) == (broker, controller)


@pytest.mark.parametrize("text", ["", ":9093", "a:0", "a:65535", "a:x", "0.0.0.0", "[::]:9093"])
def test_an_address_that_others_cannot_reach_is_refused(text: str) -> None:
    with pytest.raises(SetupRefused):
        parse_address(text)


def test_an_address_that_is_free_is_accepted() -> None:
    port, controller_port = find_free_ports(2)
    check_own_address(f"127.0.0.1:{port}", f"127.0.0.1:{controller_port}")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "is no address of this machine"),
        ("nowhere.invalid", "leads to no address"),
        ("127.0.0.1", "another program listens on"),
    ],
)
def test_an_address_at_which_this_machine_cannot_listen_is_refused(host: str, reason: str) -> None:
    """A broker that does not start would say so only in its log."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SetupRefused, match=reason):
            check_own_address(f"127.0.0.1:{find_free_ports(1)[0]}", f"{host}:{port}")


@pytest.mark.parametrize("host", ["127.0.0.2", "siege.example.org", "fd00::2"])
def test_a_broker_has_a_certificate_of_the_cluster_for_its_host(tmp_path: Path, host: str) -> None:
    create_authority(tmp_path)
    create_broker_certificate(tmp_path, host)
    own = x509.load_pem_x509_certificate((tmp_path / BROKER_CERTIFICATE_FILE).read_bytes())
    authority = x509.load_pem_x509_certificate((tmp_path / AUTHORITY_FILE).read_bytes())
    own.verify_directly_issued_by(authority)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in [str(name.value) for name in names]
    context = ssl.create_default_context(cafile=tmp_path / AUTHORITY_FILE)
    context.load_cert_chain(tmp_path / BROKER_CERTIFICATE_FILE)
    assert (tmp_path / BROKER_CERTIFICATE_FILE).stat().st_mode & 0o077 == 0


def test_the_authority_of_a_cluster_stays(tmp_path: Path) -> None:
    create_authority(tmp_path)
    before = (tmp_path / AUTHORITY_FILE).read_bytes()
    create_authority(tmp_path)
    assert (tmp_path / AUTHORITY_FILE).read_bytes() == before


def test_certificates_are_renewed_at_half_of_their_time(tmp_path: Path) -> None:
    create_authority(tmp_path, days=AUTHORITY_DAYS // 2 + 2)
    create_broker_certificate(tmp_path, HOST, days=BROKER_DAYS // 2 + 2)
    assert renew_certificates(tmp_path, HOST) == []
    create_broker_certificate(tmp_path, HOST, days=BROKER_DAYS // 2 - 2)
    assert renew_certificates(tmp_path, HOST) == [BROKER_CERTIFICATE_FILE]
    assert count_days(read_end(tmp_path / BROKER_CERTIFICATE_FILE)) >= BROKER_DAYS - 1


@pytest.mark.parametrize("days", [AUTHORITY_DAYS // 2 - 2, -1])
def test_machines_renew_their_authority_in_any_order(tmp_path: Path, days: int) -> None:
    """Each verifies the brokers of all, before and after it has renewed its own copy."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    create_authority(first, days=days)
    shutil.copytree(first, second)
    create_broker_certificate(second, HOST)
    assert renew_certificates(first, HOST) == [AUTHORITY_FILE, BROKER_CERTIFICATE_FILE]
    assert count_days(read_end(first / AUTHORITY_FILE)) >= AUTHORITY_DAYS - 1
    for checking in (first, second):
        authority = read_certificate(checking / AUTHORITY_FILE)
        for broker in (first, second):
            own = read_certificate(broker / BROKER_CERTIFICATE_FILE)
            own.verify_directly_issued_by(authority)
            assert own.not_valid_before_utc <= authority.not_valid_before_utc


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----"])
def test_a_certificate_that_is_lost_or_damaged_is_made_again(
    tmp_path: Path, content: bytes | None
) -> None:
    create_authority(tmp_path)
    if content is not None:
        (tmp_path / BROKER_CERTIFICATE_FILE).write_bytes(content)
    assert renew_certificates(tmp_path, HOST) == [BROKER_CERTIFICATE_FILE]


def test_a_machine_without_the_key_of_its_authority_starts_and_says_why(
    tmp_path: Path,
) -> None:
    create_authority(tmp_path)
    create_broker_certificate(tmp_path, HOST, days=5)
    (tmp_path / AUTHORITY_KEY_FILE).unlink()
    with capture_logs() as lines:
        renew_due(tmp_path, MEMBER)
    assert [line["event"] for line in lines] == ["cluster.certificates_not_renewed"]


def read_end(file: Path) -> datetime:
    return read_certificate(file).not_valid_after_utc


def read_properties(node: ClusterNode) -> dict[str, str]:
    lines = node._properties(node.folder / "data").splitlines()
    return dict(line.split("=", 1) for line in lines)


def make_node(tmp_path: Path, *, converts: bool) -> ClusterNode:
    java = Java(Path("java"), 25)
    return ClusterNode(
        tmp_path,
        0,
        0,
        java,
        (Path("a.jar"),),
        tmp_path / "broker.jsonl",
        "secret",
        member=MEMBER,
        secrets=tmp_path,
        converts=converts,
    )


def test_brokers_of_a_cluster_speak_over_tls_on_their_own_address(tmp_path: Path) -> None:
    properties = read_properties(make_node(tmp_path, converts=False))
    assert properties["node.id"] == "2"
    assert properties["listeners"] == "SASL_SSL://10.0.0.2:9093,CONTROLLER://10.0.0.2:9094"
    assert properties["listener.security.protocol.map"] == "SASL_SSL:SASL_SSL,CONTROLLER:SASL_SSL"
    assert properties["controller.quorum.bootstrap.servers"] == MEMBER.controllers
    assert "controller.quorum.voters" not in properties
    assert not any("PLAINTEXT" in value for value in properties.values())


def test_leaders_return_to_their_machines_within_half_a_minute(tmp_path: Path) -> None:
    properties = read_properties(make_node(tmp_path, converts=False))
    assert int(properties["leader.imbalance.check.interval.seconds"]) <= 30


def test_a_single_node_names_its_new_address_while_it_is_converted(tmp_path: Path) -> None:
    properties = read_properties(make_node(tmp_path, converts=True))
    assert properties["controller.quorum.voters"] == "2@10.0.0.2:9094"
    assert "controller.quorum.bootstrap.servers" not in properties


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    write_member(tmp_path, MEMBER)
    assert json.loads((tmp_path / MEMBER_FILE).read_text())["number"] == 2

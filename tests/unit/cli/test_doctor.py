"""`vigie doctor` names faults and their remedy."""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Self

import pytest

from schemas.base import DAY_MS
from services.appliance.cluster import control, keeper
from services.cli.system import doctor
from services.cli.system.doctor import DoctorFinding
from services.delivery.channels.configured import publish_channels
from services.delivery.settings import DeliverySettings
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Token
from services.runtime.kafka import topics
from services.runtime.process import metrics
from services.runtime.process.cluster import ClusterMember, Machine, write_member
from services.runtime.process.files import DataDirLock
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.keyring import Keyring, MasterKey
from services.runtime.secrets.local_secrets import get_or_create_token, is_token_valid
from services.runtime.worker import lag
from tests.certificates import make_certificate


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path)
    made.make()
    return made


def states(findings: list[DoctorFinding]) -> dict[str, str]:
    return {f.check: f.state for f in findings}


def test_a_secret_that_others_may_read_is_a_fault_with_its_cure(data: DataDir) -> None:
    key = data.secrets / "master.key"
    key.write_bytes(b"k")
    key.chmod(0o600)
    assert states(list(doctor.check_secrets(data))) == {"secrets": "ok"}
    key.chmod(0o644)
    [finding] = doctor.check_secrets(data)
    assert (finding.state, "master.key" in finding.result, "chmod" in finding.act) == (
        "fault",
        True,
        True,
    )


async def test_a_token_that_ends_soon_is_named(data: DataDir) -> None:
    """A program with this token is refused from that day on."""
    settings = Settings(data_dir=data.root)
    access = AccessStore.open(settings, "intake")
    now = 1_800_000_000_000
    for name, days in (("late", 400), ("soon", 20), ("over", -3), ("long ago", -90)):
        access.note(create_principal(Role.SOURCE).model_copy(update={"id": name}))
        access.note(
            Token(
                id=f"t-{name}",
                principal=name,
                hash=name,
                created_at=0,
                expires_at=now + days * DAY_MS,
            )
        )
    access.note(Token(id="t-for ever", principal="late", hash="x", created_at=0))
    access._records.save()
    [finding] = doctor.ending_tokens(settings, now)
    assert finding.state == "warning"
    assert (
        finding.result
        == "expire soon or have expired (2): t-over of over on 2027-01-12, t-soon of soon on 2027-02-04"
    )
    assert "rotate" in finding.act
    [finding] = doctor.ending_tokens(settings, now - 100 * 365 * DAY_MS)
    assert (finding.state, finding.result) == ("ok", "none expires within a month")


def test_a_full_or_slow_disk_is_reported(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(data.run.iterdir()) == []
    findings = list(doctor.check_disk(data))
    assert {f.check for f in findings} == {"disk room", "disk speed"}
    assert list(data.run.iterdir()) == [], "nothing is left behind"
    monkeypatch.setattr(doctor, "TOO_LOW_DISK_MB", 1 << 40)
    monkeypatch.setattr(doctor, "LOW_DISK_MB", 1 << 41)
    monkeypatch.setattr(doctor, "SLOW_SYNC_MS", -1.0)
    assert states(list(doctor.check_disk(data))) == {"disk room": "fault", "disk speed": "warning"}


def test_a_disk_that_takes_nothing_more_is_a_fault_not_a_traceback(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> float:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(doctor, "measure_sync_ms", full)
    findings_by_check = {f.check: f for f in doctor.check_disk(data)}
    assert findings_by_check["disk speed"].state == "fault"
    assert "No space left on device" in findings_by_check["disk speed"].result


def test_accounts_on_a_read_only_disk_are_a_fault_without_a_traceback(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux mounts a broken disk read-only, and then `vigie doctor` is asked."""
    settings = Settings(data_dir=data.root)
    access = AccessStore.open(settings, "intake")
    access._records.save()

    def refuse(_: DataDir) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(data.secrets))

    monkeypatch.setattr(DataDir, "make", refuse)
    [finding] = doctor.check_accounts(settings)
    assert (finding.check, finding.state) == ("accounts", "fault")
    assert "Read-only file system" in finding.result


def test_secrets_that_cannot_be_looked_at_are_a_fault(data: DataDir) -> None:
    (data.secrets / "master.key").symlink_to(data.root / "gone")
    [finding] = doctor.check_secrets(data)
    assert finding.state == "fault"
    assert "master.key" in finding.result


def test_plain_http_on_a_network_is_a_warning(tmp_path: Path) -> None:
    for address, state in (
        ("127.0.0.1:8092", "ok"),
        ("[::1]:8092", "ok"),
        ("0.0.0.0:8092", "warning"),
        ("10.0.0.7:80", "warning"),
    ):
        assert states(list(doctor.check_listening(Settings(data_dir=tmp_path, http=address)))) == {
            "listening": state
        }, address


@pytest.mark.parametrize(
    ("proxies", "public_url", "state"),
    [
        ("", "", {}),
        ("10.0.0.4", "", {"proxy": "warning"}),
        ("10.0.0.4", "http://x", {"proxy": "ok"}),
    ],
)
def test_a_proxy_without_the_address_of_the_browser_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, proxies: str, public_url: str, state: dict[str, str]
) -> None:
    """Over plain HTTP nobody could log in if it rewrote `Host`."""
    monkeypatch.setenv("VIGIE_PROXIES", proxies)
    monkeypatch.setenv("VIGIE_PUBLIC_URL", public_url)
    findings = list(doctor.check_proxy())
    assert states(findings) == state
    assert all("VIGIE_PUBLIC_URL" in f.act for f in findings if f.state == "warning")


def test_a_running_system_is_checked_at_its_address(tmp_path: Path) -> None:
    """After `vigie up --http 0.0.0.0:80` it spoke of the default address."""
    data = DataDir(tmp_path)
    data.make()
    data.status.write_text('{"http": "0.0.0.0:80"}')
    settings = Settings(data_dir=tmp_path)
    lock = DataDirLock(data.lock)
    [finding] = doctor.check_listening(settings)
    lock.release()
    assert (finding.state, finding.result) == ("warning", "plain HTTP on 0.0.0.0:80")
    assert states(list(doctor.check_listening(settings))) == {"listening": "ok"}


async def test_a_missing_answer_is_a_fault_without_a_traceback(tmp_path: Path) -> None:
    nobody = Settings(data_dir=tmp_path, kafka="127.0.0.1:9", redis="redis://127.0.0.1:9/0")
    findings = await doctor.run_checks(nobody)
    states_by_check = states(findings)
    assert (
        states_by_check["broker"],
        states_by_check["store"],
        states_by_check["data directory"],
    ) == ("fault", "fault", "warning")
    assert all(f.act for f in findings if f.state == "fault")


async def test_a_realm_without_any_channel_can_call_no_person(tmp_path: Path) -> None:
    [finding] = [
        f for f in await doctor.run_checks(Settings(data_dir=tmp_path)) if f.check == "channels"
    ]
    assert finding.state == "fault"


SETTINGS_OF_THE_UNIT = {
    "VIGIE_SMS_URL": "https://sms.example",
    "VIGIE_SMTP_URL": "smtp://mail.example",
    "VIGIE_MAIL_FROM": "vigie@example.org",
}


@pytest.fixture
def delivery(data: DataDir) -> Iterator[DataDir]:
    """Serve the metrics of a delivery process with the channels SMS and mail."""
    with pytest.MonkeyPatch.context() as unit:
        for name, value in SETTINGS_OF_THE_UNIT.items():
            unit.setenv(name, value)
        publish_channels(DeliverySettings())

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = get_or_create_token(data.secrets)
            is_ours = is_token_valid(self.headers.get("Authorization"), token)
            self.send_response(200 if is_ours else 401)
            self.end_headers()
            self.wfile.write(metrics.render_exposition() if is_ours else b"")

        def log_message(self, *_: object) -> None: ...

    get_or_create_token(data.secrets)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    data.ports.write_text(json.dumps({"delivery": server.server_port}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield data
    server.shutdown()
    server.server_close()


def test_the_channels_are_those_of_the_running_service(
    delivery: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started without the settings of the unit, it said that nobody can be called."""
    settings = Settings(data_dir=delivery.root)
    channels, other = doctor.check_channels(settings)
    assert (channels.state, channels.result) == ("ok", "email, sms (in the running delivery)")
    assert (other.check, other.state) == ("settings", "warning")
    assert other.result.endswith("than the running delivery: none")
    for name, value in SETTINGS_OF_THE_UNIT.items():
        monkeypatch.setenv(name, value)
    assert "settings" not in states(list(doctor.check_channels(settings)))


def test_the_channels_of_this_command_are_named_as_such_when_no_delivery_answers(
    data: DataDir,
) -> None:
    [finding] = doctor.check_channels(Settings(data_dir=data.root))
    assert finding.state == "fault"
    assert "by the settings of this command" in finding.result


def test_an_unknown_variable_is_reported_with_the_nearest_known_one() -> None:
    variable_names = [
        "VIGIE_SMPT_URL",
        "VIGIE_HTTP",
        "VIGIE_JAVA",
        "VIGIE_SERVICE_HOST",
        "VIGIE_KAFKA_BOOTSTRAP_PORT_9092_TCP_ADDR",
        "PATH",
    ]
    [finding] = doctor.check_variables(variable_names)
    assert (finding.state, finding.result) == (
        "warning",
        "VIGIE_SMPT_URL is not a variable of Vigie",
    )
    assert "VIGIE_SMTP_URL" in finding.act


def test_days_off_are_not_loaded_into_a_wheel_that_an_upgrade_replaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings()
    acts = [finding.act for finding in doctor.check_days_off(settings)]
    assert acts == [f"vigie territory holidays {settings.territory}"] * 2
    monkeypatch.setattr(doctor, "IN_WHEEL", settings.territory.parent)
    acts = [finding.act for finding in doctor.check_days_off(settings)]
    assert all(act.startswith("vigie territory copy FOLDER") for act in acts)
    assert len(acts) == 2


def test_a_master_key_that_opens_no_text_is_a_fault(data: DataDir) -> None:
    """Texts, names and accounts cannot be read then, and `vigie up` may say so only in its logs."""
    assert doctor.check_keys(data).state == "ok"  # Nothing is there yet
    key, keyring = data.secrets / "master.key", data.secrets / "keyring.db"
    ring = Keyring(keyring, MasterKey.open(data.secrets))
    ring.take_key()
    assert doctor.check_keys(data).state == "ok"
    ring.close()
    files = set(data.secrets.iterdir())
    assert doctor.check_keys(data).state == "ok"
    assert set(data.secrets.iterdir()) == files
    content = key.read_bytes()
    key.write_bytes(bytes(32))
    assert "another master key" in doctor.check_keys(data).result
    key.write_bytes(b"short")
    assert "master.key is damaged (5 bytes" in doctor.check_keys(data).result
    key.unlink()
    assert "master.key is gone" in doctor.check_keys(data).result
    key.write_bytes(content)
    content = keyring.read_bytes()
    keyring.write_bytes(b"")  # A process was killed while it made the file
    assert doctor.check_keys(data).state == "ok"
    keyring.write_bytes(content[:100])
    assert "keyring.db is damaged" in doctor.check_keys(data).result
    keyring.write_bytes(content)
    data.lost_keys.write_text("keyring.db")
    assert "keyring.db was gone at a start" in doctor.check_keys(data).result


def test_a_damaged_master_key_ends_no_other_check(data: DataDir) -> None:
    """One line about its length was all that `vigie doctor` printed."""
    settings = Settings(data_dir=data.root)
    AccessStore.open(settings, "intake")._records.save()
    (data.secrets / "master.key").write_bytes(b"short")
    assert list(doctor.check_accounts(settings)) == []


async def test_the_doctor_asks_a_cluster_for_its_copies(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was stuck at its start said that three copies were one, and one too many."""
    machines = tuple(Machine(n, f"10.0.0.{n}:9093", f"10.0.0.{n}:9094") for n in (1, 2, 3))
    write_member(data.secrets, ClusterMember("c", 1, machines))
    expected: list[int] = []

    class Control:
        def __init__(self, _kafka: str) -> None: ...

        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...

    async def find_replication(_control: object) -> int:
        return 3

    async def list_differences(_kafka: str, *, replication: int) -> list[str]:
        expected.append(replication)
        return []

    async def read_system_progress(_kafka: str) -> SimpleNamespace:
        return SimpleNamespace(newest_at=None)

    monkeypatch.setattr(control, "ClusterControl", Control)
    monkeypatch.setattr(keeper, "find_replication", find_replication)
    monkeypatch.setattr(topics, "list_differences", list_differences)
    monkeypatch.setattr(lag, "read_system_progress", read_system_progress)
    settings = Settings(data_dir=data.root, kafka="10.0.0.1:9093")
    assert "copies" not in states(await doctor.check_broker(settings))
    other = Settings(data_dir=data.root, kafka="10.9.9.9:9093")
    assert states(await doctor.check_broker(other))["copies"] == "warning"
    assert expected == [3, 1]


@pytest.mark.parametrize(("days", "state"), [(60, "ok"), (5, "warning"), (-3, "fault")])
async def test_the_end_of_the_certificate_of_the_front_is_named(
    days: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On that day browsers and senders refuse the front, and nothing had said so."""
    certificate, key = make_certificate(tmp_path, days=days)
    set_front(monkeypatch, "127.0.0.1:1", certificate, key)
    [finding] = await doctor.check_front_certificate(Settings())
    assert (finding.state, "renew" in finding.act) == (state, state != "ok")


async def test_a_renewed_certificate_that_the_front_does_not_show_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, days=20))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        set_front(monkeypatch, f"127.0.0.1:{port}", *make_certificate(tmp_path, days=90))
        [finding] = await doctor.check_front_certificate(Settings())
    assert (finding.state, finding.act) == ("warning", "restart Vigie")


def test_messages_that_a_provider_refuses_are_counted_by_reason(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channels were «ok» while the provider refused every call."""

    class Api:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def get(self, _: str) -> dict[str, list[dict[str, str]]]:
            return {"items": [{"why": why} for why in ("sms_402", "sms_402", "sms_0x0e")]}

    settings = Settings(data_dir=data.root)
    monkeypatch.setattr(doctor, "ApiClient", Api)
    assert list(doctor.check_messages(settings)) == [], "it does not run"
    lock = DataDirLock(data.lock)
    [finding] = doctor.check_messages(settings)
    lock.release()
    assert finding.state == "warning"
    assert finding.result == ("3 reached nobody: 2 × no credit left at the provider, 1 × sms_0x0e")


async def test_a_wrong_certificate_of_the_front_ends_no_other_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the proxy reads the same settings, too."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    set_front(monkeypatch, "127.0.0.1:1", broken, tmp_path / "absent.pem")
    findings = await doctor.run_checks(Settings(data_dir=tmp_path))
    failed = {f.check for f in findings if f.result.startswith("check failed: ")}
    assert "front certificate" in failed
    assert {"days off", "store", "channels"} <= {f.check for f in findings} - failed


async def test_an_exception_of_any_check_becomes_its_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[DoctorFinding]:
        raise RuntimeError("x")

    for check in ("check_listening", "check_store", "check_channels", "check_messages"):
        monkeypatch.setattr(doctor, check, fail)
    findings = await doctor.run_checks(Settings(data_dir=tmp_path))
    failed = {f.check for f in findings if f.result == "check failed: RuntimeError, x"}
    assert failed == {"listening", "store", "channels", "messages"}


def set_front(monkeypatch: pytest.MonkeyPatch, address: str, certificate: Path, key: Path) -> None:
    values = {"HTTP": address, "CERT": str(certificate), "KEY": str(key)}
    for name, value in values.items():
        monkeypatch.setenv(f"VIGIE_TLS_{name}", value)

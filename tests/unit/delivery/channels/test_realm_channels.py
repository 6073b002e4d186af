"""A live realm has its own providers, the national ones, or a mixture by channel. Rule D140."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.words import Channel
from services.cli.__main__ import app
from services.delivery.channels.base import Driver, Inbox
from services.delivery.channels.configured import ProviderPlan, open_drivers
from services.delivery.channels.email import EmailDriver
from services.delivery.channels.sms.http_providers import SmsGateway
from services.delivery.settings import DeliverySettings
from tests.unit.delivery.test_returns import Line

NATIONAL = {
    "sms_url": "https://national.example/sms",
    "sms_token": "national-secret",
    "sms_sender": "38092",
    "sms_answer_id": "/id",
    "smtp_url": "smtps://relay.example",
    "mail_from": "vigie@national.example",
}
OWN_GATEWAY = """
# The contract of Seine-Saint-Denis
VIGIE_SMS_URL=https://gateway-93.example/sms
VIGIE_SMS_TOKEN=secret$93#
VIGIE_SMS_SENDER=38093
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "channels"
    made.mkdir()
    return made


def read(folder: Path, **files: str) -> ProviderPlan:
    for name, text in files.items():
        path = folder / f"{name.removeprefix('r')}.env"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o640)
    settings = DeliverySettings(**NATIONAL, realm_channels=folder)  # type: ignore[arg-type]
    return ProviderPlan.read(settings)


def list_faults(plan: ProviderPlan) -> list[tuple[str, Channel | None, str, bool]]:
    return [(realm, channel, f.variable, f.error) for realm, channel, f in plan.realm_faults()]


def get_own(plan: ProviderPlan, realm: str, channel: Channel) -> DeliverySettings:
    settings = plan.own[realm, channel].settings
    assert settings is not None
    return settings


def test_a_provider_of_its_own_inherits_nothing_of_the_national_one(folder: Path) -> None:
    """The token of the national gateway must never reach the gateway of 93."""
    plan = read(folder, r93="VIGIE_SMS_URL=https://gateway-93.example/sms\n")
    (own,) = plan.files[0].channels
    assert own.settings is not None
    assert own.settings.sms_token.get_secret_value() == ""
    assert own.settings.sms_answer_id == ""
    assert plan.own == {}, "without a token the channel stays national"
    assert ("93", Channel.SMS, "VIGIE_SMS_TOKEN", True) in list_faults(plan)


def test_without_a_provider_only_the_named_settings_differ(folder: Path) -> None:
    plan = read(folder, r93="VIGIE_SMS_SENDER=38093\nVIGIE_MAIL_FROM=vigie@93.example\n")
    sms, mail = get_own(plan, "93", Channel.SMS), get_own(plan, "93", Channel.EMAIL)
    assert (sms.sms_sender, sms.sms_token.get_secret_value()) == ("38093", "national-secret")
    assert mail.mail_from == "vigie@93.example"
    assert mail.smtp_url.get_secret_value() == "smtps://relay.example"


def test_values_are_taken_as_they_stand(folder: Path) -> None:
    sms = get_own(read(folder, r93=OWN_GATEWAY), "93", Channel.SMS)
    assert sms.sms_token.get_secret_value() == "secret$93#"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("VIGIE_SMS_SENDR=38093\n", "93.env"),
        ("VIGIE_KAFKA=elsewhere:9092\n", "93.env"),
        ("sms sender\n", "93.env"),
        ("VIGIE_SMS_SENDER='38093'\n", "93.env"),
        ("VIGIE_SMS_SENDER=38093\nVIGIE_SMS_SENDER=38094\n", "93.env"),
        ("VIGIE_VOICE_URL=ftp://user:hidden@host\n", "VIGIE_VOICE_URL"),
        ("VIGIE_SMS_SENDER=0612345678\n", "VIGIE_SMS_SENDER"),
    ],
)
def test_a_faulty_line_is_named_without_its_value(folder: Path, text: str, fault: str) -> None:
    plan = read(folder, r93=text)
    faults = [f for _, _, f in plan.realm_faults() if f.error]
    assert [f.variable for f in faults] == [fault]
    assert "hidden" not in faults[0].what


def test_faults_of_one_channel_leave_the_others_to_the_realm(folder: Path) -> None:
    plan = read(folder, r93=OWN_GATEWAY + "VIGIE_VOICE_URL=nowhere\n")
    assert set(plan.own) == {("93", Channel.SMS)}


def test_a_file_of_no_live_realm_is_a_fault(folder: Path) -> None:
    (folder / "93~ex-1.env").write_text("VIGIE_SMS_SENDER=38093\n")
    assert [f[2:] for f in list_faults(read(folder))] == [("93~ex-1.env", True)]


def test_a_missing_folder_is_a_fault_and_everybody_stays_national(tmp_path: Path) -> None:
    plan = ProviderPlan.read(DeliverySettings(realm_channels=tmp_path / "nowhere"))
    assert list_faults(plan) == [("", None, "VIGIE_REALM_CHANNELS", True)]
    assert plan.own == {}


def test_a_file_that_everybody_can_read_is_a_surprise(folder: Path) -> None:
    plan = read(folder, r93=OWN_GATEWAY)
    (folder / "93.env").chmod(0o644)
    assert ("93", None, "93.env", False) in list_faults(ProviderPlan.read(plan.settings))


async def test_drivers_of_a_realm_are_its_own_and_the_rest_is_shared(folder: Path) -> None:
    inboxes: list[str] = []

    def make_inbox(realm: str) -> Inbox:
        inboxes.append(realm)
        return Line().returns

    plan = read(folder, r93=OWN_GATEWAY + "VIGIE_SMTP_URL=\n", r94="VIGIE_SMS_SENDER=38094\n")
    async with open_drivers(plan, make_inbox) as drivers:
        assert drivers.of("92") is drivers.national
        assert set(drivers.of("93")) == {Channel.SMS}, "its e-mail is switched off"
        assert drivers.of("94")[Channel.EMAIL] is drivers.of("92")[Channel.EMAIL]
        assert isinstance(drivers.of("92")[Channel.EMAIL], EmailDriver)
        assert get_address(drivers.of("93")[Channel.SMS]) == "https://gateway-93.example/sms"
        assert get_address(drivers.of("94")[Channel.SMS]) == "https://national.example/sms"
    assert {"", "93", "94"} == set(inboxes)


def get_address(driver: Driver) -> str:
    assert isinstance(driver, SmsGateway)
    return driver._url


def test_the_command_shows_realms_and_fails_for_a_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(folder, r93=OWN_GATEWAY, r94="VIGIE_SMS_URL=nowhere\n")
    monkeypatch.setenv("VIGIE_REALM_CHANNELS", str(folder))
    command_result = CliRunner().invoke(app, ["channels", "--json"])
    assert command_result.exit_code == 1
    rows = json.loads(command_result.output)["realms"]
    assert [(r["realm"], r["channel"], r["use"]) for r in rows] == [
        ("93", "sms", "own"),
        ("94", "sms", "national"),
    ]
    assert "secret$93#" not in command_result.output
    text = CliRunner().invoke(app, ["channels"]).output
    assert "93 sms : réglages propres" in text
    assert "94 sms : en défaut, reste national" in text

"""A support bundle holds no personal data, with any content of the logs."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from services.cli.system.support import BLANK, blank_personal_data, write_bundle
from services.runtime.process.settings import Settings

PLANTED = (
    "jean.dupont@hauts-de-seine.fr",
    "06 12 34 56 78",
    "+33 6 12 34 56 78",
    "0033612345678",
    "vigie_Zm9vYmFyYmF6cXV4cXV1eGNvcmdl",
    "hunter2",
)


@pytest.mark.parametrize("planted", PLANTED[:5])
def test_addresses_numbers_and_tokens_are_blanked(planted: str) -> None:
    assert planted not in blank_personal_data(f"sent to {planted} in vain")


@pytest.mark.parametrize(
    "kept",
    [
        "2026-11-25T15:00:00.123Z",
        "alerts.log/7 seq 1234567890",
        "92-2027-0211-01",
        "127.0.0.1:21287",
        "d3a8f61225be5b22c5e6947362362e8f",
    ],
)
def test_positions_times_and_numbers_of_incidents_stay(kept: str) -> None:
    assert blank_personal_data(kept) == kept


def test_a_bundle_holds_no_secret_and_no_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        data_dir=tmp_path / "data",
        redis="redis://somebody:hunter2@127.0.0.1:1/0",
        kafka="127.0.0.1:1",
    )
    monkeypatch.setenv("VIGIE_KAFKA_USER", "somebody")
    monkeypatch.setenv("VIGIE_KAFKA_PASSWORD", "hunter2")
    monkeypatch.setenv("VIGIE_SMTP_URL", "smtps://vigie:hunter2@mail:465")
    monkeypatch.setenv("VIGIE_MAIL_FROM", PLANTED[0])
    monkeypatch.setenv("VIGIE_AUDIT_ALARM_URL", "hunter2")
    settings.data.make()
    settings.data.status.write_text('{"state": "ready", "redis": "redis://:hunter2@store:6379/0"}')
    lines = [
        {
            "event": "attempt.ended",
            "level": "info",
            "error": f"no route to {PLANTED[0]} {PLANTED[1]} {PLANTED[2]}",
            "outcome": "failed",
        },
        {
            "event": "person.read",
            "name": "Jean Dupont",
            "headline": "fuite chez M. Dupont",
            "level": "info",
        },
        {"event": PLANTED[4], "level": "warning", "detail": PLANTED[3]},
    ]
    (settings.data.logs / "delivery.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + "no json\n"
    )
    (settings.data.secrets / "admin.token").write_text("vigie_Zm9vYmFyYmF6cXV4cXV1eGNvcmdl")
    names = write_bundle(settings, tmp_path / "support.zip")
    assert {
        "machine.json",
        "settings.json",
        "status.json",
        "doctor.json",
        "logs/delivery.jsonl",
    } <= set(names)
    with ZipFile(tmp_path / "support.zip") as bundle:
        everything = {name: bundle.read(name).decode() for name in names}
    for planted in (*PLANTED, "Dupont", "fuite", "hunter2"):
        assert [name for name, text in everything.items() if planted in text] == []
    bundle_settings = json.loads(everything["settings.json"])
    assert bundle_settings["VIGIE_REDIS"] == "set"
    assert bundle_settings["VIGIE_KAFKA_PASSWORD"] == bundle_settings["VIGIE_SMTP_URL"] == "set"
    assert (bundle_settings["VIGIE_MAIL_FROM"], bundle_settings["VIGIE_INTAKE_IN_FLIGHT"]) == (
        BLANK,
        256,
    )
    assert bundle_settings["The auditor"].startswith("VIGIE_AUDIT_ALARM_URL: ")
    assert json.loads(everything["logs/delivery.jsonl"].splitlines()[1])["name"] == BLANK

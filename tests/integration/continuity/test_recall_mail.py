"""The end of a reassignment leaves a running system as a mail to the managers of both ends."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from services.runtime.process.sockets import find_free_ports
from tests.shipped import FOLDER
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)
HIT = "cen-1"


class Mailbox:
    """A relay on loopback that keeps every mail, by its recipient."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain",))
        text = f"{mail['Subject']}\n{body.get_content() if body is not None else ''}"
        for recipient in envelope.rcpt_tos:
            self.texts.setdefault(recipient.partition("@")[0], []).append(text)
        return "250 2.0.0 queued"

    def find_readers(self, words: str) -> set[str]:
        """Return the recipients of a mail with these words in its subject."""
        return {
            person
            for person, texts in self.texts.items()
            if any(words in text.partition("\n")[0] for text in texts)
        }


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    (port,) = find_free_ports(1)
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


def write_managers(path: Path) -> None:
    """Write a directory with a mail address for the manager of every site."""
    with (FOLDER / "roster.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0] == "responsable_site"]
    lines = [f"{row[2]},Nom,fr,email,{row[2]}@example.org,2026-01-01T00:00:00Z," for row in rows]
    heading = "person,name,language,channel,address,verified_at,site"
    path.write_text("\n".join([heading, *lines, ""]), encoding="utf-8")


def report(vigie: RunningVigie, type: str, severity: int, lost: int) -> None:
    body = {
        "site_id": HIT,
        "type": type,
        "severity": severity,
        "capacity_lost_pct": lost,
        "occurred_at": datetime.now(UTC).isoformat(),
        "source": {"name": "supervision"},
    }
    answer = vigie.http.post("/api/v1/reports", json=body)
    assert answer.status_code == 202, answer.text


def copy_impatient_territory(path: Path) -> Path:
    """Copy the shipped territory, with requests to the planner each minute."""
    copytree(FOLDER, path)
    policy = path / "escalade.yaml"
    text = policy.read_text(encoding="utf-8")
    patient = "attente_min: 3, au_plus_toutes_min: 5, ensuite_toutes_min: 30"
    assert patient in text
    impatient = "attente_min: 0, au_plus_toutes_min: 1, ensuite_toutes_min: 1"
    policy.write_text(text.replace(patient, impatient), encoding="utf-8")
    return path


def find_open_proposal(vigie: RunningVigie) -> dict[str, Any] | None:
    proposals = vigie.get("/api/v1/reassignments")["items"]
    return next((p for p in proposals if p["state"] == "open" and p["agents"]), None)


def test_both_ends_hear_at_once_that_a_reassignment_is_over(
    mailbox: tuple[Mailbox, str], tmp_path: Path
) -> None:
    box, relay = mailbox
    people = tmp_path / "people.csv"
    write_managers(people)
    territory = copy_impatient_territory(tmp_path / "92")
    environment = {"VIGIE_SMTP_URL": relay, "VIGIE_MAIL_FROM": "vigie@example.net"}
    environment["VIGIE_TERRITORY"] = str(territory)
    with RunningVigie(tmp_path / "system", **environment) as vigie:
        assert vigie.cli("directory", "import", str(people)).returncode == 0
        report(vigie, "closure", 5, 100)
        until(lambda: vigie.get(f"/api/v1/sites/{HIT}")["status"] == "closed", 60)
        until(lambda: find_open_proposal(vigie), 150)
        proposal = find_open_proposal(vigie)
        assert proposal is not None
        lines = vigie.get(f"/api/v1/reassignments/{proposal['id']}")["lines"]
        own_places = (None, "telework", HIT)
        away = [line for line in lines if line["to"]["site"] not in own_places]
        assert away
        approved = vigie.http.post(
            f"/api/v1/reassignments/{proposal['id']}/approve",
            json={"lines": [line["id"] for line in away]},
            headers={"Prefer": "wait=20", "If-Match": f'"{proposal["version"]}"'},
        )
        assert approved.status_code == 200, approved.text
        managers = {f"rs-{line['to']['site']}" for line in away} | {f"rs-{HIT}"}
        until(lambda: box.find_readers("ordre de réaffectation") == managers, 60)
        assert not box.find_readers("fin de réaffectation")
        report(vigie, "reopening", 1, 0)
        until(lambda: vigie.get(f"/api/v1/sites/{HIT}")["status"] == "normal", 60)
        until(lambda: box.find_readers("fin de réaffectation") == managers, 150)
        assert len(box.texts[f"rs-{HIT}"]) == 2, "one mail for the order, one for its end"

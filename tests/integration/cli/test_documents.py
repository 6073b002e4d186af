"""Documents are drafted, validated once and frozen; by HTTP and by the `vigie` command."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any
from zipfile import ZipFile

import pytest

from services.runtime.identity.permissions import Role
from tests.system import RunningVigie
from tests.waiting import until


@pytest.fixture(scope="module")
def crisis(vigie: RunningVigie) -> str:
    """Return three central sites without power since 09:40, at 10:16, in a realm of this module."""
    realm = f"92~ex-papiers-{token_hex(3)}"
    opened = {"id": realm, "title_code": "ESSAI", "started_at": "2027-02-11T09:40:00+01:00"}
    assert (
        vigie.http.post("/api/v1/realms", json=opened, headers={"Prefer": "wait=25"}).status_code
        == 200
    )
    for site in ("cen-1", "cen-2", "cen-3"):
        report = {
            "realm": realm,
            "site_id": site,
            "type": "outage_power",
            "severity": 4,
            "capacity_lost_pct": 100,
            "occurred_at": "2027-02-11T09:40:00+01:00",
            "source": {"name": "supervision"},
            "headline": "Plus de courant",
        }
        assert vigie.http.post("/api/v1/reports", json=report).status_code == 202
    stepped(vigie, realm, 36)
    return realm


def stepped(vigie: RunningVigie, realm: str, minutes: int) -> None:
    """Move the realm's clock through every deadline."""

    def clock() -> datetime:
        return datetime.fromisoformat(vigie.get(f"/api/v1/realms/{realm}")["clock"])

    goal = clock() + timedelta(minutes=minutes)
    answer = vigie.http.post(
        f"/api/v1/realms/{realm}/step", json={"minutes": minutes}, headers={"Prefer": "wait=0"}
    )
    assert answer.status_code in (200, 202), answer.text
    until(lambda: clock() >= goal, timeout_s=300)


def validated(vigie: RunningVigie, realm: str, key: str, **body: Any) -> Any:
    answer = vigie.http.post(
        "/api/v1/sitreps",
        json={"realm": realm, **body},
        headers={"Idempotency-Key": key, "Prefer": "wait=25"},
    )
    return answer.status_code, answer.json()


def test_a_point_is_validated_once_and_never_changes(
    vigie: RunningVigie, crisis: str, tmp_path: Path
) -> None:
    where = f"realm={crisis}"
    draft = vigie.get(f"/api/v1/sitreps/draft?{where}")
    assert (draft["kind"], draft["number"], draft["validated_by"]) == ("sitrep", 1, None)
    assert draft["figures"]["sites:degraded"] + draft["figures"]["sites:closed"] == 3

    key = token_hex(8)
    status, first = validated(vigie, crisis, key, remarks={"partners": "Enedis rappelle à 11:00."})
    assert (status, first["result"]["number"]) == (200, 1)
    assert validated(vigie, crisis, key, remarks={"partners": "Enedis rappelle à 11:00."}) == (
        status,
        first,
    ), "the same key is the same decision"
    status, stale = validated(vigie, crisis, token_hex(8), number=1)
    assert (status, stale["code"]) == (412, "sitrep_number")
    status, wrong = validated(vigie, crisis, token_hex(8), remarks={"staff": "x"})
    assert (status, wrong["errors"][0]["field"]) == (422, "remarks.staff")

    frozen = vigie.http.get(f"/api/v1/sitreps/1?{where}")
    assert frozen.status_code == 200
    assert (
        sha256(frozen.content).hexdigest()
        == first["result"]["sha256"]
        == frozen.headers["vigie-document-sha256"]
    )
    assert frozen.json()["remarks"] == {"partners": "Enedis rappelle à 11:00."}

    note = vigie.cli("note", "Courant revenu à la Défense", "--realm", crisis)
    assert note.returncode == 0, note.stderr
    stepped(vigie, crisis, 20)
    assert vigie.http.get(f"/api/v1/sitreps/1?{where}").content == frozen.content
    second = vigie.get(f"/api/v1/sitreps/draft?{where}")
    assert second["number"] == 2
    evolution = next(s for s in second["sheets"]["fr"]["sections"] if s["id"] == "evolution")
    assert "Depuis le point n° 1" in evolution["lines"][0]["text"].replace("\u00a0", " ")

    listed = vigie.get(f"/api/v1/sitreps?{where}")["items"]
    assert [(s["number"], s["sha256"]) for s in listed] == [(1, first["result"]["sha256"])]
    log_lines = vigie.get(f"/api/v1/log?{where}&kind=communication")["items"]
    assert any(line["type"] == "SitrepIssued" for line in log_lines)

    pdf = tmp_path / "ps.pdf"
    printed = vigie.cli("sitrep", "--number", "1", "--pdf", str(pdf), "--realm", crisis)
    assert printed.returncode == 0, printed.stderr
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert b"pdfuaid" in pdf.read_bytes()
    text = vigie.cli("sitrep", "--number", "1", "--realm", crisis).stdout
    assert first["result"]["sha256"] in text
    assert "Enedis rappelle à 11:00." in text
    then = vigie.cli("sitrep", "--as-of", "2027-02-11T09:45:00+01:00", "--realm", crisis, "--json")
    assert json.loads(then.stdout)["number"] == 1
    missing = vigie.cli("sitrep", "--number", "9", "--realm", crisis)
    assert missing.returncode == 1


def test_a_due_point_is_a_task_until_its_validation(vigie: RunningVigie, crisis: str) -> None:
    def task() -> Any:
        return next(
            (t for t in vigie.get(f"/api/v1/tasks?realm={crisis}&kind=sitrep")["items"]), None
        )

    stepped(vigie, crisis, 130)
    assert task()["state"] == "open"
    number = vigie.get(f"/api/v1/sitreps/draft?realm={crisis}")["number"]
    assert validated(vigie, crisis, token_hex(8), number=number)[0] == 200
    stepped(vigie, crisis, 1)
    assert task()["state"] == "done"


def test_the_rights_to_read_and_to_validate_differ(vigie: RunningVigie, crisis: str) -> None:
    def as_role(role: Role) -> dict[str, str]:
        made = vigie.cli("token", "create", "--role", role.value, "--quiet")
        assert made.returncode == 0, made.stderr
        return {"Authorization": f"Bearer {made.stdout.strip()}"}

    observer, kiosk = as_role(Role.OBSERVER), as_role(Role.KIOSK)
    path = f"/api/v1/sitreps/draft?realm={crisis}"
    assert vigie.http.get(path, headers=observer).status_code == 200
    assert vigie.http.get(path, headers=kiosk).status_code == 403
    refused = vigie.http.post("/api/v1/sitreps", json={"realm": crisis}, headers=observer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_the_evidence_of_an_incident_proves_itself(
    vigie: RunningVigie, crisis: str, tmp_path: Path
) -> None:
    incident = vigie.get(f"/api/v1/incidents?realm={crisis}")["items"][0]
    note_command = vigie.cli(
        "note", "Appel d’Enedis, retour vers midi", "--incident", incident["id"], "--realm", crisis
    )
    assert note_command.returncode == 0, note_command.stderr
    file = tmp_path / "preuves.zip"
    exported = vigie.cli("export", incident["number"], "--realm", crisis, "--out", str(file))
    assert exported.returncode == 0, exported.stderr
    judged = vigie.cli("verify", "--bundle", str(file), "--json")
    assert judged.returncode == 0, judged.stdout + judged.stderr
    verdict = json.loads(judged.stdout)
    assert (verdict["ok"], verdict["known_key"]) == (True, True)
    assert verdict["lines"] > 10
    assert "lines_outside" not in verdict

    with ZipFile(file) as bundle:
        reports = [json.loads(line) for line in bundle.read("reports.jsonl").splitlines()]
        decisions = bundle.read("decisions.jsonl").decode()
        messages = [json.loads(line) for line in bundle.read("messages.jsonl").splitlines()]
        points = [
            name
            for name in bundle.namelist()
            if name.startswith("sitreps/") and name.endswith(".json")
        ]
    assert {r["id"] for r in reports} == set(incident["reports"])
    assert any(r["headline"] for r in reports), "an administrator may read what reports say"
    assert "Appel d’Enedis, retour vers midi" in decisions
    assert messages
    assert points
    assert [
        json.loads(line)["erased"] for line in decisions.splitlines() if json.loads(line)["erased"]
    ] == [], "a frozen point is no erased text"

    director = vigie.cli("token", "create", "--role", "director", "--quiet").stdout.strip()
    answer = vigie.http.get(
        f"/api/v1/incidents/{incident['id']}/export?realm={crisis}",
        headers={"Authorization": f"Bearer {director}"},
    )
    assert answer.status_code == 200, answer.text
    (tmp_path / "director.zip").write_bytes(answer.content)
    with ZipFile(tmp_path / "director.zip") as bundle:
        assert not any(
            json.loads(line)["headline"] for line in bundle.read("reports.jsonl").splitlines()
        )
    observer = vigie.cli("token", "create", "--role", "observer", "--quiet").stdout.strip()
    refused = vigie.http.get(
        f"/api/v1/incidents/{incident['id']}/export?realm={crisis}",
        headers={"Authorization": f"Bearer {observer}"},
    )
    assert refused.status_code == 403


def test_lessons_learned_and_their_actions(
    vigie: RunningVigie, crisis: str, tmp_path: Path
) -> None:
    text = vigie.cli("retex", "--realm", crisis)
    assert text.returncode == 0, text.stderr
    assert "DÉLAIS ET CIBLES" in text.stdout
    added = vigie.cli(
        "improvement",
        "add",
        "Un groupe pour le siège",
        "--owner",
        "coordinateur_pca",
        "--due",
        "2027-06-01T12:00",
        "--realm",
        crisis,
        "--json",
    )
    assert added.returncode == 0, added.stdout + added.stderr
    id = json.loads(added.stdout)["result"]["improvement"]

    def task() -> str | None:
        return next(
            (
                t["state"]
                for t in vigie.get(f"/api/v1/tasks?realm={crisis}&kind=improvement")["items"]
            ),
            None,
        )

    until(lambda: task() == "open")
    document = vigie.get(f"/api/v1/retex?realm={crisis}")
    assert "Un groupe pour le siège" in json.dumps(document, ensure_ascii=False)
    assert vigie.cli("improvement", "done", id, "--realm", crisis).returncode == 0
    until(lambda: task() == "done")
    pdf = tmp_path / "retex.pdf"
    assert vigie.cli("retex", "--realm", crisis, "--pdf", str(pdf)).returncode == 0
    assert b"pdfuaid" in pdf.read_bytes()
    assert vigie.http.get(f"/api/v1/retex?realm={crisis}&incident=no-such").status_code == 404


def test_a_line_from_paper_keeps_its_time_and_a_correction_names_it(
    vigie: RunningVigie, crisis: str
) -> None:
    paper = [
        "--occurred-at",
        "2027-02-11T09:50",
        "--kind",
        "communication",
        "--source",
        "enedis",
        "--certainty",
        "unconfirmed",
    ]
    first = vigie.cli("note", "Enedis annonce midi", *paper, "--realm", crisis, "--json")
    assert first.returncode == 0, first.stderr
    id = json.loads(first.stdout)["result"]["line"]
    assert (
        vigie.cli("note", "Enedis annonce 14 h", "--corrects", id, "--realm", crisis).returncode
        == 0
    )
    lines = {
        line["text"]: line for line in vigie.get(f"/api/v1/log?realm={crisis}&limit=1000")["items"]
    }
    typed, correction = lines["Enedis annonce midi"], lines["Enedis annonce 14 h"]
    assert (typed["kind"], typed["source"], typed["certainty"], typed["occurred_at"]) == (
        "communication",
        "enedis",
        "unconfirmed",
        "2027-02-11T08:50:00Z",
    )
    assert typed["late_min"] > 0
    assert correction["corrects"] == id
    timeline = vigie.cli("timeline", "--kind", "communication", "--realm", crisis).stdout
    assert "corrige" not in timeline
    before = vigie.get(f"/api/v1/log?realm={crisis}&as_of=2027-02-11T09:52:00%2B01:00&limit=1000")[
        "items"
    ]
    assert id not in {line["id"] for line in before}, "not known then, although it had happened"

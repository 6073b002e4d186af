"""A change of the reference data is proposed, approved and in force at its time (D63).

On the running system, by HTTP and by the `vigie` command.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2 as httpx
import pytest

from schemas.reference_changes import Foreseen
from tests.shipped import FOLDER
from tests.system import RunningVigie
from tests.waiting import until

OPENED = "2027-02-11T09:40:00+01:00"
SITE = "pmi-04"


@pytest.fixture
def realm(vigie: RunningVigie) -> str:
    """Return an exercise with one report and a stopped clock."""
    name = f"92~ex-reference-{token_hex(3)}"
    answer = vigie.http.post(
        "/api/v1/realms",
        json={"id": name, "title_code": "ESSAI", "started_at": OPENED},
        headers={"Prefer": "wait=25"},
    )
    assert answer.status_code == 200, answer.text
    report = {
        "realm": name,
        "site_id": SITE,
        "type": "outage_power",
        "severity": 3,
        "occurred_at": OPENED,
        "source": {"name": "supervision"},
    }
    assert vigie.http.post("/api/v1/reports", json=report).status_code == 202
    stepped(vigie, name, "2027-02-11T09:45:00+01:00")
    return name


def stepped(vigie: RunningVigie, realm: str, to: str) -> None:
    """Move the realm's clock to this time, through every deadline."""
    answer = vigie.http.post(
        f"/api/v1/realms/{realm}/step", json={"to": to}, headers={"Prefer": "wait=0"}
    )
    assert answer.status_code in (200, 202), answer.text
    goal = datetime.fromisoformat(to)
    until(
        lambda: datetime.fromisoformat(vigie.get(f"/api/v1/realms/{realm}")["clock"]) >= goal,
        timeout_s=120,
    )


def token_of(vigie: RunningVigie, role: str) -> str:
    """Return the token of a new principal."""
    made = vigie.http.post("/api/v1/tokens", json={"role": role, "label": f"essai {token_hex(2)}"})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


@contextmanager
def person(vigie: RunningVigie, role: str) -> Iterator[httpx.Client]:
    headers = {
        "Authorization": f"Bearer {token_of(vigie, role)}",
        "Accept-Language": "fr",
        "Prefer": "wait=25",
    }
    with httpx.Client(base_url=vigie.url, headers=headers, timeout=40, trust_env=False) as client:
        yield client


def sections_of(vigie: RunningVigie, realm: str, desks: int) -> list[dict[str, Any]]:
    """Return the version in force with other desks at one site."""
    index = vigie.get(f"/api/v1/reference?realm={realm}")
    sections = [vigie.get(f"/api/v1/reference/{name}?realm={realm}") for name in index["sections"]]
    for site in next(s for s in sections if s["section"] == "sites")["sites"]:
        if site["id"] == SITE:
            site["desks"] = desks
    return sections


def test_a_change_goes_its_way_over_http(vigie: RunningVigie, realm: str) -> None:
    where = f"?realm={realm}"
    base = vigie.get(f"/api/v1/reference{where}")["version"]
    sections = sections_of(vigie, realm, 77)
    body: dict[str, Any] = {
        "sections": sections,
        "effective_at": "2027-02-11T10:00:00+01:00",
        "reason": "Le bail change",
        "foreseen": {"crises": 2, "moved": 1, "later": 3, "worse": ["92~ex-1"]},
    }
    with (
        person(vigie, "coordinator") as ana,
        person(vigie, "director") as bea,
        person(vigie, "observer") as eve,
    ):
        path = f"/api/v1/reference/changes{where}"
        assert eve.post(path, json=body).status_code == 403
        half = ana.post(path, json=body | {"sections": sections[1:]})
        assert (half.status_code, half.json()["errors"][0]["field"]) == (422, "sections")

        key = {"Idempotency-Key": token_hex(8)}
        proposed = ana.post(path, json=body, headers=key)
        assert proposed.status_code == 200, proposed.text
        change = proposed.json()["result"]["change"]
        again = ana.post(path, json=body, headers=key)
        assert (again.json()["result"]["change"], again.headers["Idempotency-Replayed"]) == (
            change,
            "true",
        )

        one = f"/api/v1/reference/changes/{change}"
        change_answer = eve.get(f"{one}{where}")
        assert (
            change_answer.json()["state"],
            change_answer.json()["base"],
            change_answer.headers["ETag"],
        ) == (
            "proposed",
            base,
            '"0"',
        )
        assert change_answer.json()["sections"] == [
            {"section": "sites", "added": 0, "changed": 1, "dropped": 0, "named": [f"~{SITE}"]}
        ]
        assert (
            change_answer.json()["foreseen"]["later"],
            change_answer.json()["decisions"][0]["reason"],
        ) == (
            3,
            "Le bail change",
        )

        mine = ana.post(f"{one}/approve{where}")
        assert (mine.status_code, mine.json()["code"]) == (409, "second_person_needed")
        late = bea.post(f"{one}/approve{where}", headers={"If-Match": '"7"'})
        assert (late.status_code, late.json()["code"]) == (412, "version_conflict")
        yes = bea.post(f"{one}/approve{where}", headers={"If-Match": '"0"'})
        assert (yes.status_code, yes.json()["result"]["state"]) == (200, "approved"), yes.text
        assert (
            bea.post(f"{one}/decline{where}", json={"reason": "trop tard"}).json()["code"]
            == "change_decided"
        )

        stepped(vigie, realm, "2027-02-11T09:59:00+01:00")
        assert vigie.get(f"/api/v1/reference{where}")["version"] == base
        stepped(vigie, realm, "2027-02-11T10:00:00+01:00")
        until(lambda: vigie.get(f"{one}{where}")["state"] == "in_force", timeout_s=60)
        version = vigie.get(f"{one}{where}")["reference"]
        index = vigie.get(f"/api/v1/reference{where}")
        assert (index["version"], len(index["sections"])) == (version, len(sections)), (
            "the picture has the whole version"
        )
        assert vigie.get(f"/api/v1/sites/{SITE}{where}")["desks"] == 77
        assert vigie.get(f"{one}{where}")["in_force_at"] == "2027-02-11T09:00:00Z"

        lines = [line["text"] for line in vigie.get(f"/api/v1/log{where}&limit=200")["items"]]
        for phrase in (
            "proposée (sites), effet le 11/02 10:00",
            "approuvée, en vigueur le 11/02 10:00",
            f"version {version} en vigueur",
        ):
            assert any(phrase in line for line in lines), phrase
        said_by = {
            line["change"]: line["role"]
            for line in vigie.get(f"/api/v1/log{where}&limit=200")["items"]
            if line["change"] in ("proposed", "approved")
        }
        assert said_by == {"proposed": "coordinator", "approved": "director"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the shipped territory with other desks at one site."""
    made = tmp_path / "92"
    shutil.copytree(FOLDER, made)
    file = made / "sites.csv"
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    desks = rows[0].index("desks")
    for row in rows:
        if row[0] == SITE:
            row[desks] = "78"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    return made


def territory(
    vigie: RunningVigie, *words: str, token: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `vigie territory …` with a token, by default the machine's."""
    return vigie.cli(
        "territory", *words, timeout_s=300, **({"VIGIE_TOKEN": token} if token else {})
    )


def test_a_change_goes_its_way_from_the_shell(
    vigie: RunningVigie, realm: str, folder: Path
) -> None:
    ana, bea = token_of(vigie, "coordinator"), token_of(vigie, "admin")
    proposal_words = ("propose", str(folder), "--realm", realm, "--reason", "Le bail change")
    unasked = territory(vigie, *proposal_words, "--no-whatif", token=ana)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (1, True), unasked.stderr
    assert vigie.get(f"/api/v1/reference/changes?realm={realm}")["items"] == []

    proposed = territory(vigie, *proposal_words, "--last", "1", "--yes", token=ana)
    assert proposed.returncode == 0, proposed.stdout + proposed.stderr
    assert f"~{SITE}" in proposed.stderr
    assert "1 crise rejouée" in proposed.stderr
    again = territory(vigie, *proposal_words, "--no-whatif", "--yes", token=bea)
    assert (again.returncode, "déjà proposée" in again.stderr) == (1, True), again.stderr

    (change,) = json.loads(territory(vigie, "changes", "--realm", realm, "--json").stdout)["items"]
    assert (change["state"], change["foreseen"]["crises"]) == ("proposed", 1)
    assert "à approuver" in territory(vigie, "changes", "--realm", realm).stdout
    mine = territory(vigie, "approve", change["id"], "--realm", realm, token=ana)
    assert (mine.returncode, "une autre personne" in mine.stderr) == (1, True), mine.stderr
    yes = territory(vigie, "approve", change["id"], "--realm", realm, token=bea)
    assert (yes.returncode, yes.stdout.strip()) == (0, "Approuvé"), yes.stderr
    stepped(vigie, realm, "2027-02-11T09:46:00+01:00")
    until(
        lambda: vigie.get(f"/api/v1/reference?realm={realm}")["version"] == change["reference"],
        timeout_s=60,
    )
    assert vigie.get(f"/api/v1/sites/{SITE}?realm={realm}")["desks"] == 78

    same = territory(vigie, *proposal_words, "--no-whatif", "--yes", token=ana)
    assert (same.returncode, "déjà en vigueur" in same.stderr) == (1, True), same.stderr


def test_declined_and_withdrawn_changes_have_no_effect(
    vigie: RunningVigie, realm: str, folder: Path
) -> None:
    ana, bea = token_of(vigie, "coordinator"), token_of(vigie, "director")
    base = vigie.get(f"/api/v1/reference?realm={realm}")["version"]
    for verb, token in (("decline", bea), ("withdraw", ana)):
        proposal_words = (
            "propose",
            str(folder),
            "--realm",
            realm,
            "--reason",
            "Le bail change",
            "--no-whatif",
            "--yes",
        )
        assert territory(vigie, *proposal_words, token=ana).returncode == 0
        (change,) = vigie.get(f"/api/v1/reference/changes?realm={realm}&state=proposed")["items"]
        done = territory(
            vigie, verb, change["id"], "--realm", realm, "--reason", "Pas encore", token=token
        )
        assert done.returncode == 0, done.stderr
    stepped(vigie, realm, "2027-02-11T09:50:00+01:00")
    assert vigie.get(f"/api/v1/reference?realm={realm}")["version"] == base
    changes = vigie.get(f"/api/v1/reference/changes?realm={realm}")["items"]
    assert sorted(c["state"] for c in changes) == ["declined", "withdrawn"]
    assert {c["decisions"][-1]["reason"] for c in changes} == {"Pas encore"}


def test_a_version_is_tried_on_recorded_crises_in_a_process(
    vigie: RunningVigie, realm: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.simulation.trial_worker", "1", "600"],
        input=json.dumps(sections_of(vigie, realm, 79)),
        env=vigie.service_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    forecast = Foreseen.model_validate_json(done.stdout)
    assert (forecast.crises, forecast.moved) == (1, 0)

"""`vigie oncall migrate` shows first, writes a folder that passes its checks, or leaves it as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas.reference import RosterSection
from services.cli.__main__ import app
from services.console.directory.contact_file import read_contacts
from services.territory import load_territory
from tests.shipped import FOLDER

EXPORT: dict[str, Any] = {
    "data": [
        {
            "id": "1",
            "username": "zoe@example.org",
            "fullName": "Zoé Durand",
            "userContacts": [{"contactMethod": "sms", "to": "33-612345678"}],
        },
        {
            "id": "d875e654",
            "name": "Technique",
            "timezone": "Europe/Paris",
            "enabled": True,
            "rotations": [
                {
                    "id": "7608447f",
                    "name": "Semaine",
                    "startDate": "2026-11-02T07:00:00Z",
                    "type": "weekly",
                    "length": 1,
                    "participants": [{"type": "user", "username": "zoe@example.org"}],
                }
            ],
        },
        {
            "id": "b3a1",
            "name": "Bâtiments",
            "rules": [
                {
                    "condition": "if-not-acked",
                    "notifyType": "default",
                    "delay": {"timeAmount": delay},
                    "recipient": {"type": "schedule", "name": "Technique"},
                }
                for delay in (0, 25)
            ],
        },
    ]
}
MAPPING = "roles: {Technique: astreinte_technique}\nladders: {Bâtiments: N1}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "92"))


def run(tmp_path: Path, folder: Path, *options: str, mapping: str = MAPPING) -> Result:
    export, map_file = tmp_path / "export.json", tmp_path / "map.yaml"
    export.write_text(json.dumps(EXPORT), encoding="utf-8")
    map_file.write_text(mapping, encoding="utf-8")
    arguments = ["opsgenie", str(export), "--map", str(map_file), "--territory", str(folder)]
    return CliRunner().invoke(app, ["oncall", "migrate", *arguments, *options])


def read_all(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_without_write_it_shows_every_object_and_changes_nothing(
    tmp_path: Path, folder: Path
) -> None:
    before = read_all(folder)
    done = run(tmp_path, folder, "--json")
    assert done.exit_code == 0, done.output
    migration = json.loads(done.stdout)
    assert migration["version"] is None
    assert [item["outcome"] for item in migration["items"]] == ["taken"] * 4
    assert read_all(folder) == before


def test_the_outcome_of_an_object_is_shown_without_markup(tmp_path: Path, folder: Path) -> None:
    output = run(tmp_path, folder).stdout
    assert "│ repris" in output
    assert "[green]" not in output


def test_written_rotations_steps_and_channels_pass_the_checks(tmp_path: Path, folder: Path) -> None:
    people = tmp_path / "people.csv"
    done = run(tmp_path, folder, "--write", "--people", str(people))
    assert done.exit_code == 0, done.output
    territory = load_territory(folder)
    (roster,) = [s.roster for s in territory.sections if isinstance(s, RosterSection)]
    (rotation,) = roster.rotations
    assert (rotation.role, rotation.persons) == ("astreinte_technique", ("zoe",))
    assert roster.channels["zoe"] == ("email", "sms")
    steps = territory.policy.ladders["N1"]
    assert [(s.after_min, s.who) for s in steps] == [
        (0, ("astreinte_technique",)),
        (25, ("astreinte_technique",)),
    ]
    (zoe,) = read_contacts(people.read_text(encoding="utf-8").splitlines(keepends=True))
    assert [p.address for p in zoe.points] == ["zoe@example.org", "+33612345678"]
    assert people.stat().st_mode & 0o077 == 0


def test_only_the_named_lines_of_the_folder_change(tmp_path: Path, folder: Path) -> None:
    before = read_all(folder)
    assert run(tmp_path, folder, "--write").exit_code == 0
    after = read_all(folder)
    assert {n for n in after if after[n] != before[n]} == {
        "rotations.csv",
        "reachability.csv",
        "escalade.yaml",
    }
    old, new = (set(d["escalade.yaml"].decode().splitlines()) for d in (before, after))
    assert len(new - old) == 2
    assert len(old - new) == 2
    assert run(tmp_path, folder, "--write").exit_code == 0
    assert read_all(folder) == after, "a second run changes nothing"


def test_a_folder_that_would_not_pass_its_checks_stays_as_it_was(
    tmp_path: Path, folder: Path
) -> None:
    before = read_all(folder)
    people = tmp_path / "people.csv"
    options = ["--write", "--people", str(people)]
    done = run(tmp_path, folder, *options, mapping="roles: {Technique: no_such_role}\n")
    assert done.exit_code == 1
    assert "no_such_role" in done.stderr
    assert read_all(folder) == before
    assert not people.exists(), "another try may write it"


def test_a_rotation_with_a_person_that_the_export_lacks_is_to_be_checked(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPORT, "data", EXPORT["data"][1:])
    migration = json.loads(run(tmp_path, folder, "--json").stdout)
    [rotation] = [i for i in migration["items"] if "rotation" in i["object"]]
    assert rotation["outcome"] == "changed"
    assert "zoe" in rotation["reason"]
    mapping = f"{MAPPING}people: {{zoe@example.org: p-12}}\n"
    migration = json.loads(run(tmp_path, folder, "--json", mapping=mapping).stdout)
    assert [i["outcome"] for i in migration["items"]] == ["taken"] * 3


def test_files_that_are_no_export_are_named(tmp_path: Path, folder: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    done = CliRunner().invoke(
        app, ["oncall", "migrate", "grafana-oncall", str(broken), "--territory", str(folder)]
    )
    assert done.exit_code == 1
    assert "broken.json" in done.stderr
    done = run(tmp_path, folder, mapping="roles: [Technique]\n")
    assert done.exit_code == 1
    assert "roles" in done.stderr

"""`vigie directory sync` shows first, writes on demand, and erases nobody without a yes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from schemas.people.directory import Contact
from services.cli.__main__ import app
from services.cli.oncall import directory as directory_command
from services.console.directory.contact_file import COLUMNS, read_contacts
from services.runtime.process.settings import Settings
from tests.shipped import FOLDER


@dataclass
class Directory:
    """A directory in memory in the place of the encrypted one."""

    people: dict[str, Contact] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)

    def of(self, realm: str) -> Directory:
        assert realm == "92"
        return self

    def ids(self) -> list[str]:
        return sorted(self.people)

    async def get(self, person: str) -> Contact | None:
        return self.people.get(person)


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Directory]:
    made = Directory()

    class Vault:
        directory = made

        @classmethod
        def open(cls, _settings: Any) -> Vault:
            return cls()

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

    async def write_contacts(_settings: Any, _realm: str, contacts: list[Contact]) -> None:
        made.people |= {one.person: one for one in contacts}

    async def erase_person(_settings: Any, _realm: str, person: str) -> bool:
        made.erased.append(person)
        return True

    monkeypatch.setattr(directory_command, "Vault", Vault)
    monkeypatch.setattr(directory_command, "write_contacts", write_contacts)
    monkeypatch.setattr(directory_command, "erase_person", erase_person)
    settings = Settings(data_dir=tmp_path, territory=Path("/srv/92"))
    monkeypatch.setattr(directory_command, "require_broker", lambda _: settings)
    return made  # type: ignore[return-value]


def write_file(folder: Path, *rows: str) -> Path:
    file = folder / "people.csv"
    file.write_text("\n".join((",".join(COLUMNS), *rows)) + "\n", encoding="utf-8")
    return file


def make_row(person: str, digit: int = 0) -> str:
    return f"{person},Zoé,fr,sms,+3361234567{digit},"


def run(file: Path, *options: str, given: str | None = None) -> Result:
    return CliRunner().invoke(
        app, ["directory", "sync", "--file", str(file), *options], input=given
    )


def fill(directory: Directory, *rows: str) -> None:
    people = read_contacts([",".join(COLUMNS), *rows])
    directory.people = {one.person: one for one in people}


def test_the_trial_shows_the_changes_and_writes_nothing(
    directory: Directory, tmp_path: Path
) -> None:
    fill(directory, make_row("b"), make_row("c"))
    before = dict(directory.people)
    done = run(write_file(tmp_path, make_row("a"), make_row("b", 1)), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "written": False,
        "added": ["a"],
        "changed": ["b"],
        "same": 0,
        "absent": ["c"],
        "faults": [],
    }
    assert directory.people == before


def test_absent_people_stay_after_a_write(directory: Directory, tmp_path: Path) -> None:
    fill(directory, make_row("b"))
    done = run(write_file(tmp_path, make_row("a")), "--write")
    assert done.exit_code == 0, done.output
    assert directory.ids() == ["a", "b"]
    assert directory.erased == []


def test_a_review_erases_only_the_people_with_a_yes(directory: Directory, tmp_path: Path) -> None:
    fill(directory, make_row("b"), make_row("c"), make_row("d"))
    done = run(write_file(tmp_path, make_row("a")), "--write", "--review", given="n\ny\n\n")
    assert done.exit_code == 0, done.output
    assert directory.erased == ["c"]


def test_a_source_that_changes_many_people_at_once_is_stopped(
    directory: Directory, tmp_path: Path
) -> None:
    people = [f"p{n}" for n in range(20)]
    fill(directory, *map(make_row, people))
    before = dict(directory.people)
    file = write_file(tmp_path, *(make_row(person, 1) for person in people))
    refused = run(file, "--write")
    assert refused.exit_code == 1
    assert "--many" in refused.stderr
    assert directory.people == before
    assert run(file, "--write", "--many").exit_code == 0
    assert directory.people != before


def test_an_empty_or_broken_source_changes_nothing(directory: Directory, tmp_path: Path) -> None:
    fill(directory, make_row("b"))
    assert run(write_file(tmp_path), "--write").exit_code == 1
    broken = run(write_file(tmp_path, make_row("a"), "b,,fr,sms,12,"), "--write")
    assert broken.exit_code == 1
    assert "ligne 3" in broken.stderr
    assert directory.ids() == ["b"]


def test_without_a_file_and_a_server_it_asks_for_one(directory: Directory) -> None:
    done = CliRunner().invoke(app, ["directory", "sync"])
    assert done.exit_code == 1
    assert "VIGIE_LDAP_URL" in done.stderr


def test_an_unknown_site_is_named_and_the_person_written(
    directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, territory=FOLDER)
    monkeypatch.setattr(directory_command, "require_broker", lambda _: settings)
    file = tmp_path / "people.csv"
    rows = (f"{make_row('p-1')},clg-nowhere", f"{make_row('p-2', 1)},cen-1")
    file.write_text("\n".join((f"{','.join(COLUMNS)},site", *rows)) + "\n", encoding="utf-8")
    for done in (
        run(file, "--write"),
        CliRunner().invoke(app, ["directory", "import", str(file)]),
    ):
        assert done.exit_code == 0, done.output
        assert "clg-nowhere" in done.stderr
        assert "cen-1" not in done.stderr
    assert set(directory.people) == {"p-1", "p-2"}

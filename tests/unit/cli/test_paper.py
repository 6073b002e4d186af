"""The paper pack holds every ladder, card and site of the territory, and no telephone number that nobody asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from schemas.directory import Contact, ContactPoint
from schemas.words import Channel
from services.cli.__main__ import app
from services.cli.paper import _cards, _ladders, _phones, _sites, pack
from services.runtime.settings import REPOSITORY
from tests.shipped import territory

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def somebody(person: str) -> Contact:
    return Contact(
        person=person, name="Camille Exemple", points=(ContactPoint(channel=Channel.SMS, address="+33600000001", verified_at=None),)
    )


def test_every_wave_card_and_site_is_on_it() -> None:
    policy = territory().policy
    assert [len(ladder["waves"]) for ladder in _ladders(territory())] == [len(waves) for waves in policy.ladders.values()]
    assert sum(len(r["cards"]) for r in _cards(territory())) == sum(len(p.cards) for p in territory().plans) > 20
    sites = _sites(territory(), "https://vigie.example")
    assert {s["id"] for s in sites} == {s.id for s in territory().sites}
    assert all(s["qr"].startswith("<svg") for s in sites)
    assert len({s["qr"] for s in sites}) == len(sites)


def test_without_an_address_there_is_no_code_to_scan() -> None:
    assert {s["qr"] for s in _sites(territory(), "")} == {""}


def test_the_telephone_list_is_printed_only_from_a_file_and_names_who_is_missing() -> None:
    assert _phones(territory(), []) == []
    rows = _phones(territory(), [somebody("dgs")])
    known = next(row for row in rows if row[1] == "Camille Exemple")
    assert known[0].startswith("Directeur général des services")
    assert known[2] == "SMS +33600000001"
    assert any(row[1] == "absent de l’annuaire" for row in rows)


def test_the_same_day_gives_the_same_pages() -> None:
    one, other = (pack(territory(), url="", people=[], at=AT) for _ in range(2))
    assert one == other
    assert one.startswith(b"%PDF-1.7")
    assert b"pdfuaid" in one


def test_the_command_writes_a_list_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "people.csv"
    directory.write_text("person,name,language,channel,address,verified_at\ndgs,Camille Exemple,fr,sms,+33600000001,2026-01-01\n")
    (tmp_path / "pack.pdf").write_bytes(b"one without the list, for all to read")
    (tmp_path / "pack.pdf").chmod(0o644)
    done = CliRunner().invoke(app, ["paper", str(tmp_path / "pack.pdf"), "--directory", str(directory), "--url", ""])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "pack.pdf").stat().st_mode & 0o077 == 0
    wrong = CliRunner().invoke(app, ["paper", str(tmp_path / "x.pdf"), "--directory", str(REPOSITORY / "README.md")])
    assert wrong.exit_code == 1

"""The paper pack holds every escalation, card and site, and telephone numbers only on request."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.cli.__main__ import app
from services.cli.crisis.paper import (
    _explain_levels,
    _list_cards,
    _list_escalations,
    _list_phones,
    _list_sites,
    build_pack,
    build_plans,
)
from services.runtime.process.settings import REPOSITORY
from tests.shipped import territory

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def somebody(person: str) -> Contact:
    return Contact(
        person=person,
        name="Camille Exemple",
        points=(ContactPoint(channel=Channel.SMS, address="+33600000001", verified_at=None),),
    )


def test_every_wave_card_and_site_is_on_it() -> None:
    policy = territory().policy
    assert [len(ladder["waves"]) for ladder in _list_escalations(territory())] == [
        len(waves) for waves in policy.ladders.values()
    ]
    assert (
        sum(len(r["cards"]) for r in _list_cards(territory()))
        == sum(len(p.cards) for p in territory().plans)
        > 20
    )
    sites = _list_sites(territory(), "https://vigie.example")
    assert {s["id"] for s in sites} == {s.id for s in territory().sites}
    assert all(s["qr"].startswith("<svg") for s in sites)
    assert len({s["qr"] for s in sites}) == len(sites)


def test_without_an_address_there_is_no_code_to_scan() -> None:
    assert {s["qr"] for s in _list_sites(territory(), "")} == {""}


def test_the_telephone_list_is_printed_only_from_a_file_and_names_missing_people() -> None:
    assert _list_phones(territory(), []) == []
    rows = _list_phones(territory(), [somebody("dgs")])
    person_row = next(row for row in rows if row[1] == "Camille Exemple")
    assert person_row[0].startswith("Directeur général des services")
    assert person_row[2] == "SMS +33600000001"
    assert any(row[1] == "absent de l’annuaire" for row in rows)


def test_the_same_day_gives_the_same_pages() -> None:
    one, other = (build_pack(territory(), url="", people=[], at=AT) for _ in range(2))
    assert one == other
    assert one.startswith(b"%PDF-1.7")
    assert b"pdfuaid" in one


def test_a_condition_of_a_call_is_on_it() -> None:
    (n3,) = (
        ladder for ladder in _list_escalations(territory()) if ladder["title"].startswith("N3")
    )
    assert "(si COD activé)" in n3["waves"][0][2]


def test_plans_and_numbers_are_written_in_words() -> None:
    """Cards named their plan «PCA-commande_logistique», and sites «0 agents, accueil 1500»."""
    plans = {row[1] for role in _list_cards(territory()) for row in role["cards"]}
    assert plans == {plan.title for plan in territory().plans if plan.cards}
    facts = [site["facts"] for site in _list_sites(territory(), "")]
    assert not [text for text in facts if ", 0 agents" in text]
    assert any("accueil\u00a0: 1\u202f500 personnes" in text for text in facts)


def test_codes_are_shown_in_words() -> None:
    paper_text = " ".join(
        cell
        for ladder in _list_escalations(territory())
        for wave in ladder["waves"]
        for cell in wave
    )
    paper_text += " ".join(r["role"] + r["cards"][0][0] for r in _list_cards(territory()))
    paper_text += " ".join(
        row[0] for row in _list_phones(territory(), [somebody("dgs")])
    ) + " ".join(site["facts"] for site in _list_sites(territory(), ""))
    assert "cellule complète (" in paper_text
    assert "RH et finances" in paper_text
    assert "collège" in paper_text
    assert "14 h 00 avant le jour J, 06:00" in paper_text.replace("\u00a0", " ")
    for code in ("suppleants", "rh_finances", "pmi css", "college", "-840 min", "clg-"):
        assert code not in paper_text


def test_a_name_in_letters_that_no_font_has_does_not_stop_the_pack() -> None:
    made = build_pack(
        territory(), url="", people=[somebody("dgs").model_copy(update={"name": "王"})], at=AT
    )
    assert made.startswith(b"%PDF-")
    assert b"pdfuaid" not in made, "no claim that does not hold"


def test_signs_in_a_name_are_neither_markup_nor_control_characters() -> None:
    name = "Camille\x07\u202e\u200b #panic(1) $x$ *y* _z_ \\ @ref <l> `r` // c"
    made = build_pack(
        territory(), url="", people=[somebody("dgs").model_copy(update={"name": name})], at=AT
    )
    assert b"pdfuaid" in made, "a letter without a shape excludes an accessible document"


def test_a_word_longer_than_a_line_goes_on_in_the_next() -> None:
    pages = [
        build_pack(
            territory(), url="", people=[somebody("dgs").model_copy(update={"name": name})], at=AT
        )
        for name in ("x", "x" * 40_000)
    ]
    few, many = (len(re.findall(rb"/Type\s*/Page\b", one)) for one in pages)
    assert few < many


def test_the_escalations_explain_levels_and_waves() -> None:
    assert "N2 (Incident majeur de pôle)" in _explain_levels(territory())


def test_the_command_writes_a_list_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "pack.pdf").write_text("an older pack, without the list", encoding="utf-8")
    (tmp_path / "pack.pdf").chmod(0o644)
    directory = tmp_path / "people.csv"
    directory.write_text(
        "person,name,language,channel,address,verified_at\ndgs,Camille Exemple,fr,sms,+33600000001,2026-01-01\n"
    )
    (tmp_path / "pack.pdf").write_bytes(b"one without the list, for all to read")
    (tmp_path / "pack.pdf").chmod(0o644)
    done = CliRunner().invoke(
        app, ["paper", str(tmp_path / "pack.pdf"), "--directory", str(directory), "--url", ""]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "pack.pdf").stat().st_mode & 0o077 == 0
    wrong = CliRunner().invoke(
        app, ["paper", str(tmp_path / "x.pdf"), "--directory", str(REPOSITORY / "README.md")]
    )
    assert wrong.exit_code == 1


def test_the_plans_are_a_file_of_their_own(tmp_path: Path) -> None:
    pack, plans = tmp_path / "vigie.pdf", tmp_path / "plans.pdf"
    folder = str(REPOSITORY / "territories" / "92")
    invocation = CliRunner().invoke(
        app, ["paper", str(pack), "--plans", str(plans), "--url", "", "--territory", folder]
    )
    assert invocation.exit_code == 0, invocation.output
    assert pack.read_bytes().startswith(b"%PDF")
    content = plans.read_bytes()
    assert b"pdfuaid" in content
    partner = somebody("contact:cump")
    assert build_plans(territory(), people=[partner], at=AT) != build_plans(
        territory(), people=[], at=AT
    )

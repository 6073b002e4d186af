"""Texts from the field are read with their site, and their senders get an answer."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from schemas.people.replies import (
    OPEN_PLACE_MS,
    OPEN_PLACE_PREFIX,
    WAITING_REPLY_PREFIX,
    cut_own_answer,
)
from schemas.reports import ReportReceived
from schemas.words import MsgType
from services.intake.field import sms as sms_module
from services.intake.field.site_codes import SiteCodes
from tests.shipped import FOLDER
from tests.unit.intake.conftest import Door
from tests.unit.intake.field.test_field import NUMBER, UNVERIFIED, field, sms, source

__all__ = ["field"]
STRANGER = "+33600000000"
NAMED = "site_id,name,code,commune\nclg-1,Collège Jean Mermoz,117,Bois-Colombes\nclg-2,Collège,118,Antony\n"


@pytest.fixture
def named(field: Door) -> Door:
    """Give the two sites names that people say."""
    (field.intake.settings.territory / "sites.csv").write_text(NAMED, encoding="utf-8")
    return field


async def read_answers(door: Door) -> list[tuple[str, str | None, str | None, bool]]:
    """Return the readings for delivery in order, with type, site and danger."""
    texts = door.intake.vault.texts
    items = [
        item.fields
        for id in texts._recent
        if id.startswith(WAITING_REPLY_PREFIX) and (item := await texts.get(id)) is not None
    ]
    return [
        (f["reading"], f.get("type"), f["site"], bool(f.get("danger")))
        for f in sorted(items, key=lambda f: f["at"])
    ]


def reports(door: Door) -> list[ReportReceived]:
    return [message for _, message, _ in door.inputs.appended]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("117 FEU", ("report", "fire", "clg-1", True)),
        ("117 ELEC", ("report", "outage_power", "clg-1", False)),
        ("il y a le feu au collège mermoz", ("report", "fire", "clg-1", True)),
        ("il y a le feu au collège", ("place_missing", "fire", None, True)),
        ("999 FEU", ("place_missing", "fire", None, True)),
        ("999 ELEC", ("place_missing", "outage_power", None, False)),
        ("117 PANNE", ("not_understood", None, None, False)),
        ("ELEC", ("not_understood", None, None, False)),
        ("bonjour", ("not_understood", None, None, False)),
    ],
)
async def test_the_reading_of_a_text_waits_for_delivery(
    named: Door, words: str, answer: tuple[str, str | None, str | None, bool]
) -> None:
    key = await source(named, "sms")
    for _ in range(2):
        await sms(named, key, words, id=1)
    assert await read_answers(named) == [answer]


@pytest.mark.parametrize(
    "words", ["Mermoz", "c’est au collège Mermoz", "117", "site 117", "117 FEU"]
)
@pytest.mark.parametrize("number", [NUMBER, UNVERIFIED, STRANGER])
async def test_the_next_text_of_the_sender_names_the_place(
    named: Door, words: str, number: str
) -> None:
    key = await source(named, "sms")
    assert (await sms(named, key, "au feu", number, id=1)).status_code == 200
    assert (await sms(named, key, words, number, id=2)).status_code == 200
    danger, completion = reports(named)
    assert (danger.site_id, danger.type.value) == (None, "fire")
    assert completion.msg_type is MsgType.UPDATE
    assert completion.references == (danger.report_id,)
    assert (completion.site_id, completion.type, completion.severity, completion.certainty) == (
        "clg-1",
        danger.type,
        danger.severity,
        danger.certainty,
    )
    assert completion.occurred_at == danger.occurred_at
    assert not [id for id in named.intake.vault.texts._recent if id.startswith(OPEN_PLACE_PREFIX)]
    readings = [answer[0] for answer in await read_answers(named)]
    assert readings == ([] if number == STRANGER else ["place_missing", "report"])


@pytest.mark.parametrize("words", ["112", "j’appelle le 18", "118 ELEC", "ici", "1"])
async def test_other_texts_name_no_place(named: Door, words: str) -> None:
    key = await source(named, "sms")
    await sms(named, key, "au feu", id=1)
    await sms(named, key, words, id=2)
    assert [r for r in reports(named) if r.msg_type is MsgType.UPDATE] == []


async def test_another_sender_or_a_later_text_names_no_place(
    named: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await source(named, "sms")
    await sms(named, key, "au feu", id=1)
    assert (await sms(named, key, "mermoz", UNVERIFIED, id=2)).status_code == 422
    now = sms_module.now_ms()
    monkeypatch.setattr(sms_module, "now_ms", lambda: now + OPEN_PLACE_MS + 1)
    assert (await sms(named, key, "mermoz", id=3)).status_code == 422
    assert len(reports(named)) == 1


async def test_a_quoted_answer_makes_no_report(named: Door) -> None:
    key = await source(named, "sms")
    quotation = "> Vigie : signalement recu : incendie, Collège Jean Mermoz."
    assert (await sms(named, key, f"Je suis absent.\n{quotation}", id=1)).status_code == 422
    assert (await sms(named, key, f"117 ELEC\n{quotation}", id=2)).status_code == 200
    assert [r.type.value for r in reports(named)] == ["outage_power"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("117 FEU", "117 FEU"),
        ("Vigie : il y a le feu", "Vigie : il y a le feu"),
        ("Vigie : SMS non compris. Écrivez", ""),
        ("Oui «Vigie: report received: fire", "Oui"),
    ],
)
def test_words_before_a_quotation_are_left(text: str, rest: str) -> None:
    assert cut_own_answer(text) == rest


def test_most_sites_of_the_territory_are_found_by_name() -> None:
    places = SiteCodes(FOLDER)
    with (FOLDER / "sites.csv").open(encoding="utf-8", newline="") as rows:
        sites: list[dict[str, Any]] = list(csv.DictReader(rows))
    named_sites = [places.find_place(f"{row['name']} {row['commune']}") for row in sites]
    wrong = [
        n for n, row in zip(named_sites, sites, strict=True) if n not in (None, row["site_id"])
    ]
    assert wrong == []
    assert named_sites.count(None) <= 2


@pytest.mark.parametrize(
    "words",
    [
        "il y a le feu en haut du collège",
        "le feu, urgence, au centre de Nanterre",
        "fuite de gaz au siège",
        "au feu à Rueil-Malmaison",
    ],
)
def test_a_doubtful_name_is_none(words: str) -> None:
    assert SiteCodes(FOLDER).find_named(words) is None

"""The words of messages: French first, English whole, nothing that a stranger may not read."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from schemas.alerts import AttentionRequested
from schemas.callouts import AGENT
from schemas.delivery import BundledItem, NotificationRow
from schemas.words import Channel, Level, NotificationState
from services.delivery.messages import Names, Text, compose, translator
from services.delivery.messages.compose import TEMPLATES
from services.delivery.messages.languages import FOLDER
from tests.unit.delivery.desk import T0

NAMES = Names({"dgs_directeur_de_crise": "Directeur général des services (DGS), directeur de crise"}, {3: "Crise départementale"})
VALUES = {"number": "92-2027-0211-01", "activity": "SOL-04", "pct": 80, "plan": "PT-ELEC", "limit_at": T0}
LINK = "https://vigie.example/a/token"


def row(**changes: Any) -> NotificationRow:
    return NotificationRow(
        **{
            "id": "n1", "level": Level.N3, "previous_level": Level.N2, "role": "dgs_directeur_de_crise", "person": "dgs",
            "channels": (Channel.EMAIL,), "state": NotificationState.PLANNED, "template": "incident_wave", "values": VALUES,
            "planned_at": T0, "ack_by": T0 + 600_000, **changes,
        }
    )  # fmt: skip


def said(lang: str = "fr", link: str | None = LINK, **changes: Any) -> Text:
    return compose(row(**changes), NAMES, translator(lang), link)


def test_a_call_says_level_role_incident_and_until_when() -> None:
    plain = said().plain()
    assert "Niveau N3 – Crise départementale." in plain
    assert "Directeur général des services." in plain
    assert "Incident 92-2027-0211-01." in plain
    assert re.search(r"Sans réponse avant \d\d:\d\d", plain)
    assert LINK in plain


def test_a_raised_level_asks_to_answer_again() -> None:
    assert "de N2 à N3" in said(template="level_raised").plain()
    assert "from N2 to N3: please answer again" in said("en", template="level_raised").plain()


def test_a_lowered_level_is_told_as_information() -> None:
    plain = said(template="information", answer_expected=False, values={"from": 3, "lowered": 2}).plain()
    assert "Le niveau est abaissé de N3 à N2." in plain


def test_a_call_for_danger_says_so_first() -> None:
    assert said(danger=True).subject == "[Vigie N3] danger possible, votre réponse est attendue"
    assert said("en", danger=True).subject == "[Vigie N3] possible danger, your answer is expected"
    assert "danger" not in said().plain()


@pytest.mark.parametrize("lang", ["fr", "en"])
@pytest.mark.parametrize("template", ["incident_wave", "level_raised", "answer_stale", "merged", "information"])
def test_a_small_screen_names_the_incident(template: str, lang: str) -> None:
    """Whoever has several of them must know which one it is without opening anything."""
    for values in (VALUES, VALUES | {"from": 3, "lowered": 2}):
        assert "92-2027-0211-01" in " ".join(said(lang, template=template, values=values).essence)


def test_a_small_screen_says_from_which_level_to_which() -> None:
    assert "de N2 à N3" in " ".join(said(template="level_raised").essence)
    lowered = " ".join(
        said(template="information", answer_expected=False, level=Level.N3, values=VALUES | {"from": 2, "lowered": 1}).essence
    )
    assert "de N2 à N1" in lowered
    assert "Niveau N3" not in lowered, "the level of the territory is not what the message is about"


def test_a_message_to_everybody_says_nothing_but_its_text() -> None:
    text = compose(row(template="callout", role=AGENT, answer_expected=False), NAMES, translator("fr"), None, "Le site est fermé demain.")
    assert text.sentences == ("Le site est fermé demain.", "Aucune réponse n’est attendue.")


def test_what_alerts_and_continuity_ask_for_has_words_of_its_own() -> None:
    asked = get_args(AttentionRequested.model_fields["code"].annotation)
    needed = {f"{code}_{base}" for code in ("alarm", "forecast") for base in ("rto", "dmia")} | {*asked} - {"alarm", "forecast"}
    needed.remove("sitrep_due")  # a task, never a message
    assert needed <= set(TEMPLATES)


def test_the_weekly_digest_says_what_it_did_not_look_at() -> None:
    plain = said(template="readiness_digest", answer_expected=False, values={"holes": 3, "ready_pct": 98.5}).plain()
    assert "3 trous ou réserves" in plain
    assert "fournisseurs non vérifiés" in plain


def test_information_offers_no_answer() -> None:
    text = said(template="information", answer_expected=False)
    assert text.link is None
    assert LINK not in text.plain() + text.html()
    assert "Aucune réponse n’est attendue." in text.plain()


def test_a_list_of_mails_tells_the_incidents_apart_and_a_text_message_pays_for_no_word_twice() -> None:
    text = said(template="incident_wave", values={"number": "92-2027-0211-01"})
    assert text.title == f"{text.subject} (incident 92-2027-0211-01)"
    assert " ".join(text.essence).count("92-2027-0211-01") == 1
    assert said(template="incident_wave", values={}).title == said(template="incident_wave", values={}).subject
    other = BundledItem(template="information", level=Level.N1, role="dgs_directeur_de_crise")
    digest = said(template="incident_wave", values={"number": "92-2027-0211-01"}, bundle=(other,), bundle_count=1)
    assert digest.title == digest.subject, "it is about several"


@pytest.mark.parametrize("template", [*TEMPLATES, "a_template_of_a_newer_alerts"])
@pytest.mark.parametrize("values", [VALUES, {}])
@pytest.mark.parametrize("lang", ["fr", "en", "xx"])
def test_every_template_has_words_also_without_its_values(lang: str, values: dict[str, Any], template: str) -> None:
    text = said(lang, template=template, values=values, scope="SOL")
    assert text.subject.startswith("[Vigie N3] ")
    assert len(text.sentences) >= 2
    assert "{" not in text.subject + text.plain()


def test_the_english_catalogue_has_every_sentence_and_no_other() -> None:
    source = {str(m[1]) for m in extract_from_file("python", FOLDER / "compose.py", keywords={"_": None})}
    with (FOLDER / "en" / "messages.po").open("rb") as file:
        catalogue = read_po(file)
    translated = {str(m.id): str(m.string) for m in catalogue if m.id}
    assert set(translated) == source
    for sentence, english in translated.items():
        assert english, sentence
        assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", english)), sentence


def test_html_says_the_same_words_and_escapes_them() -> None:
    text = compose(row(role="<b>x</b>"), Names(), translator("fr"), LINK)
    html = text.html()
    assert "<b>x</b>" not in html
    assert f'href="{LINK}"' in html
    assert not re.search(r"<(img|script|link|iframe)|https?://(?!vigie\.example)", html)


def test_french_keeps_its_punctuation_together() -> None:
    plain = said().plain()
    assert " :" not in plain
    assert "\u00a0:" in plain


@pytest.mark.parametrize(
    ("values", "told"),
    [({"agents": 4}, "En reviennent : 4."), ({"come": 3}, "Repartent de chez vous : 3."), ({"agents": 4, "come": 3}, "4. Un ordre suit")],
)
def test_who_is_called_back_is_told_to_the_managers_of_both_sites(values: dict[str, Any], told: str) -> None:
    text = said(template="reassignment_recalled", role="responsable_site", answer_expected=False, values={"site": "cen-1"} | values)
    plain = text.plain().replace("\u00a0", " ")
    assert told in plain
    assert ("En reviennent" in plain, "Repartent" in plain) == ("agents" in values, "come" in values)
    assert "called back" in said("en", template="reassignment_recalled", answer_expected=False, values={"site": "cen-1"} | values).subject

"""A short line has one meaning in any spelling."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.words import EventType as T
from services.intake.field.short_line import ShortLine, ShortLineKind, build_report, read_line
from services.intake.reports.native import parse_report
from services.runtime.http.problems import ProblemError

AT = "2026-11-25T09:00:00+01:00"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("117 ELEC", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_POWER, 3)),
        ("117 élec.", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_POWER, 3)),
        ("Électricité 117", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_POWER, 3)),
        (
            "  117\n- Eau : partielle, 2e étage",
            ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_WATER, 3, 50),
        ),
        ("117 EAU FERMÉ", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_WATER, 4, 100)),
        ("117 FEU", ShortLine(ShortLineKind.TROUBLE, "117", T.FIRE, 4)),
        (
            "117 malades 12",
            ShortLine(ShortLineKind.TROUBLE, "117", T.SANITARY_ALERT, 3, persons=12),
        ),
        ("117 intrusion DANGER", ShortLine(ShortLineKind.TROUBLE, "117", T.SECURITY_INCIDENT, 5)),
        ("clg-0920077j elec", ShortLine(ShortLineKind.TROUBLE, "CLG-0920077J", T.OUTAGE_POWER, 3)),
        ("117 fermé", ShortLine(ShortLineKind.TROUBLE, "117", T.CLOSURE, 4)),
        ("RAS", ShortLine(ShortLineKind.CALM)),
        ("r.a.s. 117", ShortLine(ShortLineKind.CALM, "117")),
        ("117 ras merci", ShortLine(ShortLineKind.CALM, "117")),
        ("STOP 117", ShortLine(ShortLineKind.END, "117")),
        ("stop 117 élec", ShortLine(ShortLineKind.END, "117", T.OUTAGE_POWER)),
        ("117 rétabli", ShortLine(ShortLineKind.END, "117")),
        ("117 courant rétabli", ShortLine(ShortLineKind.END, "117", T.OUTAGE_POWER)),
        ("Eau rétablie 117 depuis 9h", ShortLine(ShortLineKind.END, "117", T.OUTAGE_WATER)),
        ("117 eau ok", ShortLine(ShortLineKind.END, "117", T.OUTAGE_WATER)),
        ("117 élec RAS", ShortLine(ShortLineKind.END, "117", T.OUTAGE_POWER)),
        ("117 eau pas rétablie", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_WATER, 3)),
        ("117 élec ok groupe vide", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_POWER, 3)),
        ("117 évac ok", ShortLine(ShortLineKind.TROUBLE, "117", T.EVACUATION, 4)),
        ("117 gaz rétabli", ShortLine(ShortLineKind.TROUBLE, "117", T.GAS_LEAK, 4)),
        ("117élec", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_POWER, 3)),
        ("117-EAU", ShortLine(ShortLineKind.TROUBLE, "117", T.OUTAGE_WATER, 3)),
        ("Gaz117 danger", ShortLine(ShortLineKind.TROUBLE, "117", T.GAS_LEAK, 5)),
        ("STOP117 ELEC", ShortLine(ShortLineKind.END, "117", T.OUTAGE_POWER)),
        ("RAS117", ShortLine(ShortLineKind.CALM, "117")),
        ("eau-12 ras", ShortLine(ShortLineKind.CALM, "EAU-12")),
        ("1", ShortLine(ShortLineKind.ANSWER)),
        ("Oui !", ShortLine(ShortLineKind.ANSWER)),
        ("3", ShortLine(ShortLineKind.ANSWER)),
        ("2 désolé, je suis loin", ShortLine(ShortLineKind.ANSWER)),
        ("reçu", ShortLine(ShortLineKind.ANSWER)),
        ("Je ne peux pas.", ShortLine(ShortLineKind.ANSWER)),
        ("ok mais je ne peux pas", ShortLine(ShortLineKind.ANSWER)),
        ("Pas concernés", ShortLine(ShortLineKind.ANSWER)),
        ("oui mais j’ai besoin d’aide", ShortLine(ShortLineKind.ANSWER)),
    ],
)
def test_a_line_is_read_in_any_case_accents_and_order(text: str, line: ShortLine) -> None:
    assert read_line(text) == line


@pytest.mark.parametrize(
    ("text", "type", "severity"),
    [
        ("il y a le feu au collège", T.FIRE, 4),
        ("ALERTE INCENDIE", T.FIRE, 4),
        ("Vite : fumée dans le couloir, on évacue", T.FIRE, 4),
        ("un blessé grave", T.SANITARY_ALERT, 5),
        ("2 blessés dans la cour", T.SANITARY_ALERT, 5),
        ("oui, il y a le feu", T.FIRE, 4),
        ("SOS", T.SANITARY_ALERT, 5),
        ("une élève fait un malaise cardiaque", T.SANITARY_ALERT, 5),
        ("un enfant se noie dans le bassin", T.SANITARY_ALERT, 5),
        ("le plafond du préau s'est effondré", T.DAMAGE_REPORT, 5),
        ("il y a le feu, un élève est blessé", T.FIRE, 5),
        ("112 appelé, il y a le feu", T.FIRE, 4),
        ("ça sent le gaz dans le hall", T.GAS_LEAK, 4),
        ("on entend des coups de feu", T.SECURITY_INCIDENT, 3),
        ("nous sommes confinés", T.SHELTER_IN_PLACE, 4),
        ("on ne peut pas évacuer les élèves", T.EVACUATION, 4),
        ("pas de feu mais beaucoup de fumée", T.FIRE, 4),
        ("le feu n’est pas éteint", T.FIRE, 4),
        ("ce n’est pas un exercice, il y a le feu", T.FIRE, 4),
        ("HORS EXERCICE feu au collège Mermoz", T.FIRE, 4),
        ("Hors-exercice : fuite de gaz", T.GAS_LEAK, 4),
        ("c’est pas l’exercice feu au gymnase", T.FIRE, 4),
        ("ce n’est plus l’exercice feu", T.FIRE, 4),
        ("pendant l’exercice incendie un blessé grave", T.SANITARY_ALERT, 5),
        ("exercice, un blessé réel", T.SANITARY_ALERT, 5),
        ("STOP EXERCICE ! blessé au gymnase", T.SANITARY_ALERT, 5),
        ("odeur de gaz, pas de blessé", T.GAS_LEAK, 4),
        ("feu éteint mais un blessé", T.FIRE, 5),
        ("feu pas éteint", T.FIRE, 4),
        ("évacuation terminée", T.EVACUATION, 4),
        ("une bombe dans le hall", T.SECURITY_INCIDENT, 3),
        ("nuage toxique sur la cour", T.GAS_LEAK, 4),
        ("au secours", T.SANITARY_ALERT, 5),
        ("évacuez", T.EVACUATION, 4),
    ],
)
def test_danger_is_understood_in_any_words(text: str, type: T, severity: int) -> None:
    """People under stress write no codes: their words were refused and waited unread."""
    line = read_line(text)
    assert (line.site, line.type, line.severity) == (None, type, severity)
    assert line.is_danger
    assert read_line(f"117 {text}").site == "117"


@pytest.mark.parametrize(
    "text",
    [
        "Pas de feu",
        "il n’y a pas de feu ni de fumée",
        "aucun blessé",
        "exercice incendie",
        "Exercice d’évacuation demain à 10 h",
        "alerte incendie (exercice)",
        "pas réel, exercice incendie",
        "fausse alerte incendie",
        "c’est la fin de l’incendie",
        "le feu est éteint",
        "l’incendie est maîtrisé",
        "on a le feu vert",
        "problème de pare-feu",
        "le brulage est prévu demain",
        "feu éteint",
        "117 FEU ETEINT",
        "Incendie maîtrisé à 10 h",
        "feu rouge en panne devant le collège",
        "feu vert pour la reprise des cours",
        "personne n’est blessé",
    ],
)
def test_words_that_deny_a_danger_raise_none(text: str) -> None:
    with pytest.raises(ProblemError):
        read_line(text)


def test_the_code_behind_the_words_of_an_exercise_names_the_site() -> None:
    """«HORS-EXERCICE» was the site, and the real one was asked for."""
    for text in ("HORS EXERCICE 117 FEU", "Hors-exercice : 117 feu"):
        line = read_line(text)
        assert (line.type, line.site) == (T.FIRE, "117")


def test_one_long_word_behind_a_danger_is_read_at_once() -> None:
    """A text of 600 letters took three seconds, one of 1,600 two minutes, and the front with it."""
    before = time.process_time()
    assert read_line("FEU " + 600 * "A" + "!").type is T.FIRE
    assert time.process_time() - before < 0.5


def test_the_end_of_a_fire_is_no_danger() -> None:
    assert not read_line("fin de l’incendie").is_danger


@pytest.mark.parametrize(
    "text",
    ["", "…", "117", "bonjour", "bonjour il n'y a plus de courant au collège", "4 6 9", "117 oui"],
)
def test_an_unreadable_line_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        read_line(text)
    assert refused.value.problem.code == "invalid"
    assert not text or text not in refused.value.problem.sentence("fr")


@given(st.text(max_size=2_000))
def test_any_text_becomes_a_report_or_is_refused(text: str) -> None:
    try:
        line = read_line(text)
    except ProblemError:
        return
    if line.kind is not ShortLineKind.ANSWER:
        import orjson

        clean_text = text.encode("utf-8", "replace").decode()
        parse_report(orjson.dumps(build_report(line, line.site or "cen-1", clean_text, AT)))

"""Texts as people type them at night: danger goes first."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.words import EventType as T
from services.intake.field.short_line import ShortLineKind, read_line
from services.intake.field.site_codes import SiteCodes
from services.runtime.http.problems import ProblemError
from tests.shipped import FOLDER

# ── exercises, ends and «RAS» ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("STOP EXERCICE évacuation", T.EVACUATION),
        ("FIN D'EXERCICE feu au collège", T.FIRE),
        ("fin exercice feu réel", T.FIRE),
        ("stop exo feu", T.FIRE),
        ("fin de l’exercice mais vrai feu", T.FIRE),
        ("FIN DE L EXERCICE y a un blessé", T.SANITARY_ALERT),
        ("stop il y a le feu", T.FIRE),
        ("STOP tout y a le feu au collège", T.FIRE),
        ("STOP 117 il y a le feu", T.FIRE),
        ("STOP SOS", T.SANITARY_ALERT),
        ("reprise du feu", T.FIRE),
        ("117 REPRISE incendie", T.FIRE),
        ("fin de l’incendie mais un blessé", T.SANITARY_ALERT),
        ("RAS mais odeur de gaz", T.GAS_LEAK),
        ("RAS sauf un blessé", T.SANITARY_ALERT),
        ("117 RAS feu au gymnase", T.FIRE),
        ("117 élec rétablie mais incendie", T.FIRE),
    ],
)
def test_a_danger_beside_an_end_is_no_end(text: str, type: T) -> None:
    """A text that began with STOP, FIN or RAS ended a trouble, and the danger in it was lost."""
    line = read_line(text)
    assert (line.kind, line.type) == (ShortLineKind.TROUBLE, type)
    assert line.is_danger
    assert line.site == ("117" if "117" in text else None)


@pytest.mark.parametrize(
    "text",
    [
        *("Stop exercice", "FIN D’EXERCICE", "fin de l'exercice", "Fin de l exercice, merci"),
        *(
            "STOP EXERCICE 117",
            "fin de l'exercice d'évacuation",
            "fin de l’exercice de confinement",
        ),
    ],
)
def test_the_end_of_an_exercise_ends_no_trouble(text: str) -> None:
    """It reopened the only open cause of its sender's site: perhaps a real fire."""
    with pytest.raises(ProblemError):
        read_line(text)


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("STOP 117 évacuation", T.EVACUATION),
        ("117 STOP EVAC", T.EVACUATION),
        ("STOP FEU 117", T.FIRE),
        ("fin 117 feu", T.FIRE),
        ("fin de l’alerte incendie", T.FIRE),
        ("stop feu éteint", T.FIRE),
        ("fin du confinement", T.SHELTER_IN_PLACE),
        ("117 RAS, pas de blessé", None),
    ],
)
def test_an_end_is_still_an_end(text: str, type: T | None) -> None:
    line = read_line(text)
    assert line.kind in (ShortLineKind.END, ShortLineKind.CALM)
    assert line.type is type


# ── two subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "type", "severity"),
    [
        ("117 ELEC feu au tableau électrique", T.FIRE, 4),
        ("117 EAU et fumée au sous-sol", T.FIRE, 4),
        ("117 TEL HS intrusion en cours", T.SECURITY_INCIDENT, 3),
        ("117 eau, odeur de gaz", T.GAS_LEAK, 4),
        ("117 FERME incendie", T.FIRE, 4),
        ("117 FEU dans la salle des profs il y a deux blessés", T.FIRE, 5),
        ("117 FEU, un mort", T.FIRE, 5),
    ],
)
def test_danger_goes_before_the_other_subject_of_a_line(text: str, type: T, severity: int) -> None:
    line = read_line(text)
    assert (line.site, line.type, line.severity) == ("117", type, severity)


def test_a_danger_behind_the_answer_about_a_card_is_read() -> None:
    assert read_line("FAIT 2, il y a le feu").type is T.FIRE
    assert read_line("FAIT 2 évacuation").kind is ShortLineKind.ANSWER


# ── spelling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "type"),
    [
        *((text, T.FIRE) for text in ("g le feu", "le feux", "ça crame", "ca flambe", "insendie")),
        *((text, T.FIRE) for text in ("gros pb incendit", "feuuuu", "FFEU", "F E U", "🔥", "🚒🔥")),
        *((text, T.FIRE) for text in ("ca a explosé", "détonation rdc", "feu-feu")),
        *((text, T.EVACUATION) for text in ("evaquation", "on evacu", "on evac le batiment")),
        *((text, T.SHELTER_IN_PLACE) for text in ("confinée avec 20 élèves", "on c confiné")),
        *((text, T.SECURITY_INCIDENT) for text in ("aggression", "bagare", "un intru", "fusil")),
        *((text, T.SECURITY_INCIDENT) for text in ("on nous tire dessus", "colis suspect")),
        *((text, T.SANITARY_ALERT) for text in ("au secour", "ausecours", "S.O.S", "🆘", "HELP")),
        *((text, T.SANITARY_ALERT) for text in ("a l'aide", "aidez-nous vite", "y a un mort")),
        *((text, T.SANITARY_ALERT) for text in ("inconsciant", "ne respire plus", "noyé")),
        *((text, T.SANITARY_ALERT) for text in ("appelez les pompiers", "DANGER", "infarctus")),
        ("monoxide", T.GAS_LEAK),
        ("le toit s'écroule", T.DAMAGE_REPORT),
    ],
)
def test_danger_is_understood_with_mistakes(text: str, type: T) -> None:
    line = read_line(text)
    assert line.type is type
    assert line.is_danger


@pytest.mark.parametrize(
    "text",
    [
        *(
            "on évalue les dégâts",
            "quelle adresse ?",
            "un enfant confié au SST",
            "on décide demain",
        ),
        *("orages prévus cette nuit", "les gens du voyage nomade", "sans danger", "hors de danger"),
        *("réunion au Secours populaire", "couvre-feu à 22 h"),
        *("il n’y a plus de fumée", "feu d’artifice samedi", "la ligne est morte"),
    ],
)
def test_everyday_words_are_no_danger(text: str) -> None:
    with pytest.raises(ProblemError):
        read_line(text)


@pytest.mark.parametrize(
    "text", ["le feu est presque éteint", "feu non éteint", "feu plus maîtrisé"]
)
def test_a_fire_that_is_not_out_is_a_fire(text: str) -> None:
    assert read_line(text).type is T.FIRE


NEUTRAL = (
    *(
        "pb",
        "rdc",
        "svp",
        "vite",
        "ici",
        "bonjour",
        "au 2e étage",
        "ds la cuisine",
        "RAS",
        "STOP tout",
    ),
    *("117 ELEC", "Stop exercice", "ok", "1", "merci", "????", "117 eau ok", "FIN du service"),
)
DANGERS = (
    *(
        "il y a le feu",
        "y a de la fumée",
        "g vu des flammes",
        "au secours",
        "SOS",
        "un blessé grave",
    ),
    *("ça sent le gaz", "un homme armé", "on évacue", "incendie", "malaise cardiaque", "🔥"),
)


@given(
    st.lists(st.sampled_from(NEUTRAL), max_size=3),
    st.sampled_from(DANGERS),
    st.lists(st.sampled_from(("rdc", "svp", "vite", "!!!", "117", "merci", "😱")), max_size=3),
    st.sampled_from((" ", ", ", "\n", " ... ")),
    st.sampled_from(("", "upper", "bare")),
)
def test_no_words_around_a_danger_lose_it(
    before: list[str], danger: str, after: list[str], joint: str, case: str
) -> None:
    text = joint.join([*before, danger, *after])
    if case == "upper":
        text = text.upper()
    elif case == "bare":
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in parts if not unicodedata.combining(one))
    assert read_line(text).is_danger, text


# ── supplies and places ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "type", "site"),
    [
        ("117 pb elec", T.OUTAGE_POWER, "117"),
        ("coupure elec 117", T.OUTAGE_POWER, "117"),
        ("117 plus de courant", T.OUTAGE_POWER, "117"),
        ("plus d'eau 117", T.OUTAGE_WATER, "117"),
        ("117 pas de chauffage", T.OUTAGE_HEATING, "117"),
        ("panne SI", T.OUTAGE_IT, None),
    ],
)
def test_a_supply_is_understood_behind_its_fault(text: str, type: T, site: str | None) -> None:
    line = read_line(text)
    assert (line.kind, line.type, line.site) == (ShortLineKind.TROUBLE, type, site)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "117 pas de problème elec",
            "117 panne elec réparée",
            "pas si grave",
            "117 plus de pb eau",
        ),
        *("si possible rappelez moi", "si vous pouvez venez", "peut-être demain"),
    ],
)
def test_words_that_tell_of_no_trouble_are_none(text: str) -> None:
    with pytest.raises(ProblemError):
        read_line(text)


@pytest.mark.parametrize("text", ["site 117 feu", "feu au site 117", "collège 117 le feu"])
def test_a_code_that_is_named_as_one_is_the_site(text: str) -> None:
    assert read_line(text).site == "117"


def test_a_word_with_a_hyphen_is_no_site() -> None:
    """«Peut-être» was an unknown site, and the cell asked where it was."""
    assert read_line("peut-être un feu au gymnase").site is None


@pytest.mark.parametrize(
    "text", ["clg mermoz feu", "colege mermoz feu", "feu au collège mermos", "collège Mermoz, feu"]
)
def test_a_site_is_found_by_its_misspelt_name(text: str) -> None:
    codes, line = SiteCodes(FOLDER), read_line(text)
    assert codes.site_of_line(line, text, ()) == "clg-0922629H"


@pytest.mark.parametrize("text", ["feu collège sacré-cœur", "FEU AU COLLEGE SACRE COEUR"])
def test_a_ligature_is_read_as_a_telephone_writes_it(text: str, tmp_path: Path) -> None:
    lines = (FOLDER / "sites.csv").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("clg-0922629H"))
    renamed = row.replace("Jean Mermoz", "du Sacré-Cœur")
    assert renamed != row
    (tmp_path / "sites.csv").write_text(f"{lines[0]}\n{renamed}\n", encoding="utf-8")
    assert SiteCodes(tmp_path).find_named(text) == "clg-0922629H"


@pytest.mark.parametrize(
    "text", ["feu au collège", "feu au colege de nanterre", "feu pmi nanterre"]
)
def test_a_name_of_several_sites_names_none(text: str) -> None:
    assert SiteCodes(FOLDER).find_named(text) is None

"""Every code has words, in both languages; the catalogue is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas import words as codes
from schemas.alerts import FAMILIES, IncidentRow, Why
from schemas.predicates import CONTINUITY_METRICS, list_measured
from services.alerts.incidents.families import _ABSORPTION_RULES
from services.alerts.reference.territory import PHENOMENON_KIND
from services.console import texts
from services.console.i18n import add_french_spaces, get_translator
from services.console.i18n.__main__ import extract_texts, load_catalogue
from services.console.incidents import titles
from services.console.incidents.titles import REFUSALS
from services.console.logbook.queries import build_command_result
from services.console.texts import reasons, world
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.process.settings import REPOSITORY
from tests.shipped import territory

TERRITORY = territory()
NAMES = TerritoryNames.of(TERRITORY.sections)
DECIDERS = [
    p
    for s in ("alerts", "continuity", "delivery")
    for p in (REPOSITORY / "services" / s).rglob("*.py")
]


def test_every_refusal_of_a_decider_has_a_sentence() -> None:
    raised = {
        c
        for p in DECIDERS
        for c in re.findall(
            r'RefusedCommand\(\s*(?:40[0-9]|412),\s*"([a-z_]+)"', p.read_text("utf-8")
        )
    }
    assert raised
    assert raised <= set(REFUSALS)


def test_an_unknown_refusal_is_named_and_a_missing_value_breaks_nothing() -> None:
    assert "neuf" in titles.write_refusal("neuf", {}, "fr")
    assert titles.write_refusal("incident_above", {}, "fr").endswith("?.")
    assert "Coordonnateur PCA" in titles.write_refusal(
        "role_too_low", {"needed": "coordinateur_pca"}, "fr"
    )


def test_a_refused_step_of_a_statement_names_its_state_in_words() -> None:
    """The second validator read «submitted» or «validated»."""
    values = {"state": "validated", "change": "validated"}
    assert "« validé, à publier »" in titles.write_refusal("statement_state", values, "fr").replace(
        "\u00a0", " "
    )
    assert "“validated" in titles.write_refusal("statement_state", values, "en")


def test_a_refusal_names_the_site_and_not_its_id() -> None:
    sentence = titles.write_refusal("back_soon", {"site": "cen-5"}, "fr", NAMES)
    assert "cen-5" not in sentence
    assert NAMES.site("cen-5").split(" (")[0] in sentence


@pytest.mark.parametrize(
    ("code", "values", "words"),
    [
        ("window_danger", {"types": "evacuation, fire"}, ("évacuation", "incendie")),
        ("strategy_order", {"first": "SR-TELE"}, ("télétravail",)),
    ],
)
def test_a_refusal_has_words_in_place_of_codes(
    code: str, values: dict[str, str], words: tuple[str, ...]
) -> None:
    sentence = titles.write_refusal(code, values, "fr")
    for raw_code in ", ".join(values.values()).split(", "):
        assert raw_code not in sentence
    assert all(word in sentence.lower() for word in words), sentence


@pytest.mark.parametrize(
    ("code", "command", "lang", "who"),
    [
        ("role_not_allowed", "HoldSending", "fr", "Rôle requis\u00a0: Coordonnateur PCA."),
        ("role_not_allowed", "StartCallOut", "en", "Role required: Continuity coordinator."),
        (
            "not_allowed",
            "IssueSitrep",
            "fr",
            "aux cellules, à la main courante, à l’astreinte technique, aux responsables de site et à leur hiérarchie.",
        ),
    ],
)
def test_a_refused_person_reads_the_entitled_roles(
    code: str, command: str, lang: str, who: str
) -> None:
    answer = {
        "id": "c",
        "realm": "92",
        "state": "refused",
        "at": 0,
        "code": code,
        "command": command,
        "values": {"role": "main_courantier"},
    }
    assert str(build_command_result(answer, lang).detail).endswith(who)


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (w.SITE_STATUS, codes.SiteStatus),
        (w.ACTIVITY_STATE, codes.ActivityState),
        (w.INCIDENT_STATE, codes.IncidentState),
        (w.PLAN_STATE, codes.PlanState),
        (w.CARD_STATE, codes.CardState),
        (w.NOTIFICATION_STATE, codes.NotificationState),
        (w.CHANNEL, codes.Channel),
        (w.EVENT, codes.EventType),
    ],
)
def test_every_state_has_a_label(table: dict[object, str], enum: type) -> None:
    assert set(table) == set(enum)


def test_every_family_of_incidents_has_a_title_and_a_label() -> None:
    kinds = {*_ABSORPTION_RULES, *PHENOMENON_KIND.values(), "it", "absence"}
    assert {"power", "weather", "site"} <= kinds
    for lang in ("fr", "en"):
        for kind in kinds:
            assert not titles.write_incident_title(
                incident(kind=kind, members=("cen-1",)), NAMES, lang
            ).startswith(kind), kind
    assert kinds <= set(FAMILIES) == set(world.FAMILY)


def test_every_metric_of_the_territory_is_written_in_plain_words() -> None:
    rules = [rule.when for rule in TERRITORY.policy.levels] + [
        t.when for p in TERRITORY.plans for t in p.triggers
    ]
    for m in (m for rule in rules for m in list_measured(rule)):
        why = Why(
            code="predicate",
            metric=m.metric,
            args=m.args,
            op=m.op,
            threshold=m.value,
            value=m.value,
        )
        assert reasons.describe_reason(why, NAMES, "fr").label != m.metric, m
    for metric in CONTINUITY_METRICS:
        assert (
            reasons.describe_reason(Why(code="predicate", metric=metric), NAMES, "en").label
            != metric
        )


def test_a_reason_reads_value_then_threshold() -> None:
    why = Why(
        code="predicate",
        metric="sites_closed",
        args={"kind": "college"},
        op=">=",
        threshold=3,
        value=11,
    )
    assert reasons.write_reason(why, NAMES, "fr") == "collèges fermés\u00a0: 11 (≥ 3)"
    level = Why(code="predicate", metric="level", op=">=", threshold=3, value=3)
    assert reasons.describe_reason(level, NAMES, "fr").value == "N3"


def test_the_river_has_its_centimetres_as_in_the_message() -> None:
    """An SMS said 5,84 m, and the page gave 5,8 m for the same reading."""
    _ = get_translator("fr")
    assert reasons.format_metric_value("river_level", 5.84, _) == "5,84\u00a0m"


def incident(**more: object) -> IncidentRow:
    base = {
        "id": "i",
        "number": "92-1",
        "kind": "power",
        "key": "cluster:92050",
        "state": "open",
        "level": 1,
        "severity": 3,
        "certainty": "confirmed",
        "opened_at": 0,
        "known_at": 0,
        "updated_at": 0,
        "version": 0,
        "members": ("a", "b"),
    }
    return IncidentRow.model_validate(base | more)


def test_a_title_names_places_within_its_bounds() -> None:
    def title(**more: object) -> str:
        return titles.write_incident_title(incident(**more), NAMES, "fr").replace("\u00a0", " ")

    assert title(communes=("92062", "92050")) == "Coupure électrique : Nanterre et Puteaux"
    assert (
        title(communes=("92026", "92050", "92062", "92073"))
        == "Coupure électrique : Nanterre, Courbevoie et 2 autres communes"
    )
    assert title(members=("cen-1",)) == "Coupure électrique : Siège, Nanterre"
    area = incident(members=("cen-1",), communes=("92050",))
    assert titles.write_incident_title(area, NAMES, "fr", for_area=True).endswith(": Nanterre")
    assert title(kind="flood", key="seine") == "Crue de la Seine"
    assert title() == "Coupure électrique"


@pytest.mark.parametrize(
    ("text", "at", "sentence"),
    [
        ("reçu à {at}", "10:16", "reçu à 10:16"),
        ("reçu à {at}", "jeu. 14/01 13:32", "reçu le jeu. 14/01 à 13:32"),
        ("À {at} :", "13/02/2029 10:16", "Le 13/02/2029 à 10:16\u00a0:"),
        ("ouvert depuis {at}", "jeu. 14/01 13:32", "ouvert depuis le jeu. 14/01 à 13:32"),
        ("annoncé pour {at}.", "lun. 18/01", "annoncé pour le lun. 18/01."),
        ("valable jusqu’à {at}", "lun. 18/01 08:00", "valable jusqu’au lun. 18/01 à 08:00"),
        ("du {at}", "lun. 18/01 08:00", "du lun. 18/01 08:00"),
    ],
)
def test_the_time_of_another_day_is_written_as_it_is_read(
    text: str, at: str, sentence: str
) -> None:
    assert get_translator("fr")(text, at=at) == sentence


def test_people_are_roles_never_tokens() -> None:
    _ = get_translator("fr")
    assert w.name_person("dgs", NAMES, _) == "DGS, directeur de crise"
    assert w.name_person("dgs-s", NAMES, _) == "DGS, directeur de crise (suppléant)"
    assert w.name_person("coordinator-1f2e3d4c", NAMES, _) == "Coordonnateur PCA"
    assert w.name_person("site-manager-1f2e3d4c", NAMES, _) == "Responsable de site"
    assert w.name_person("local-admin", NAMES, _) == "Administrateur"
    assert w.name_person("ast-direction-2019", NAMES, _) == "un agent"


def test_french_spaces_do_not_break() -> None:
    assert (
        add_french_spaces("« a » : 3 % ; b !") == "«\u00a0a\u00a0»\u00a0: 3\u00a0%\u00a0; b\u00a0!"
    )
    assert add_french_spaces("10:16") == "10:16"


def test_zero_is_singular_in_french_and_plural_in_english() -> None:
    assert get_translator("fr").plural("{n} site membre", "{n} sites membres", 0) == "0 site membre"
    assert (
        get_translator("en").plural("{n} site membre", "{n} sites membres", 0) == "0 member sites"
    )


def test_thousands_stand_apart_in_every_count() -> None:
    """«1460 personnes» stood beside «0 sur 1 460»."""
    counts = {
        lang: get_translator(lang).plural("{n} site membre", "{n} sites membres", 1460)
        for lang in ("fr", "en")
    }
    assert counts == {"fr": "1\u202f460 sites membres", "en": "1,460 member sites"}


def test_the_english_catalogue_is_complete_and_keeps_every_value() -> None:
    catalogue = load_catalogue("en")
    ids = {m.id for m in extract_texts() if m.id}
    assert {m.id for m in catalogue if m.id} == ids
    for m in catalogue:
        if not m.id:
            continue
        french, english = (x if isinstance(x, tuple | list) else (x,) for x in (m.id, m.string))
        assert all(english), m.id
        assert set(re.findall(r"{(\w+)", french[-1])) == set(re.findall(r"{(\w+)", english[-1])), (
            m.id
        )


TEMPLATES = sorted((Path(texts.__file__).parents[1] / "templates").glob("*.html"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_a_template_needs_no_inline_code_and_nothing_from_elsewhere(path: Path) -> None:
    source = path.read_text("utf-8")
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:|https?://", source)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", source))
    assert "|safe" not in source


def test_a_level_has_the_name_of_the_territory_in_the_readers_language() -> None:
    """English papers said « Crise départementale »."""
    french, english = get_translator("fr"), get_translator("en")
    assert [NAMES.level(n, french) for n in (0, 3)] == ["Veille", "Crise départementale"]
    assert [NAMES.level(n, english) for n in (0, 3)] == ["Watch", "Departmental crisis"]
    assert TerritoryNames(levels={2: "Alerte"}).level(2, english) == "Alerte"
    assert TerritoryNames().level(2, french) == "N2"

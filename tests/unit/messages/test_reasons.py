"""A message about a proposed plan says why (rule D70)."""

from __future__ import annotations

import pytest

from schemas.alerts import Why
from schemas.predicates import CONTINUITY_METRICS, list_measured
from schemas.reference import Plans
from services.alerts.levels.metrics import load_metric_types
from services.messages import load_phrases
from services.messages.composition import SMS_MAX_SEPTETS
from services.messages.phrases import describe_reason
from services.runtime.http.sms_text import count_septets
from tests.scenarios.told import CODES
from tests.shipped import territory
from tests.unit.messages.test_messages import NAMES, POWER, said

LEAVES = [
    leaf
    for section in territory().sections
    if isinstance(section, Plans)
    for plan in section.plans
    for trigger in plan.triggers
    for leaf in list_measured(trigger.when)
]


def carry(metric: str, value: str | float | bool, **args: object) -> str:
    return Why.model_validate(
        {"code": "predicate", "metric": metric, "args": args, "value": value}
    ).model_dump_json()


def describe(carried: object, lang: str = "fr") -> str:
    return describe_reason(carried, NAMES, load_phrases(lang))


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_every_metric_has_words(lang: str) -> None:
    assert {*load_metric_types(), *CONTINUITY_METRICS} <= set(load_phrases(lang).words["reasons"])


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_every_condition_of_a_plan_has_words(lang: str) -> None:
    for leaf in LEAVES:
        description = describe(carry(leaf.metric, leaf.value, **leaf.args), lang)
        assert description, leaf.key
        assert not CODES.search(description), description
        assert "_" not in description, description


@pytest.mark.parametrize(
    ("carried", "french", "english"),
    [
        (
            carry("sites_closed", 3, kind="college"),
            "fermeture de 3 collèges",
            "closure of 3 secondary schools",
        ),
        (
            carry("sites_evacuated", 1, kind="site_central"),
            "évacuation de 1 site central",
            "evacuation of 1 central site",
        ),
        (
            carry("vigilance", "orange", phenomenon=["canicule", "grand-froid"]),
            "vigilance orange, canicule ou grand froid",
            "orange warning, heat wave or extreme cold",
        ),
        (
            carry("vigilance", "rouge", phenomenon=["crues", "vent", "neige-verglas"]),
            "vigilance rouge, crues, vent violent ou neige et verglas",
            "red warning, river flood, high wind or snow and ice",
        ),
        (
            carry("activity_capacity_min", 79.4, activities=["SOL-02"]),
            "capacité tombée à 79,4 %, Enfants confiés",
            "capacity down to 79.4%, ",
        ),
        (carry("flag", value=True, name="cod_active"), "COD activé par la préfecture", "COD"),
        (carry("flag", value=False, name="cod_active"), "", ""),
        (carry("a_newer_metric", 3), "", ""),
        ("not a reason", "", ""),
        (None, "", ""),
    ],
)
def test_a_reason_names_its_value(carried: object, french: str, english: str) -> None:
    assert describe(carried).startswith(french)
    assert describe(carried, "en").startswith(english)
    assert bool(describe(carried)) == bool(french)


def test_a_proposed_plan_says_why_in_every_form() -> None:
    reason = carry("sites_closed", 3, kind="college")
    text = said(template="plan_proposed", values=POWER | {"plan": "PT-ELEC", "why": reason})
    for channel_text in (text.sms, text.voice, text.push, "\n".join(text.lines)):
        assert "fermeture de 3 coll" in channel_text.replace("\u00a0", " "), channel_text


def test_the_longest_proposal_with_its_reason_has_two_segments() -> None:
    for plan in NAMES.plans:
        for leaf in LEAVES:
            values = {"plan": plan, "why": carry(leaf.metric, leaf.value, **leaf.args)}
            text = said(template="plan_proposed", values=POWER | values)
            assert count_septets(text.sms) <= SMS_MAX_SEPTETS, text.sms
            assert "Pourquoi" in text.sms, text.sms

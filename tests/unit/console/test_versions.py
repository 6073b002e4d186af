"""The screen of the reference data offers permitted decisions and describes changes (D63)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.reference_changes import Foreseen, ReferenceChangeRecorded, ReferenceChangeRow
from services.console.i18n import get_translator
from services.console.logbook.lines import render_line as said
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import Shaper
from services.console.reference.page import build_changes, describe_forecast
from services.console.resources import ReferenceChange
from services.console.sites.geometry import MapPlane, Outlines
from services.console.texts.names import TerritoryNames
from tests.unit.console.test_lines import lines

_ = get_translator("fr")
SHAPER = Shaper(
    "92", IndexedReference("b" * 16), Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr"
)


def shaped(state: str = "proposed", base: str = "b" * 16, **values: Any) -> ReferenceChange:
    row = ReferenceChangeRow.model_validate(
        {
            "id": "c-1",
            "state": state,
            "reference": "a" * 16,
            "base": base,
            "sections": [{"section": "sites", "changed": 30, "named": ["-x", "~y"]}],
            "decisions": [
                {
                    "what": "proposed",
                    "by": "ana",
                    "role": "coordinator",
                    "at": 1,
                    "reason": "text:t",
                }
            ],
        }
        | values
    )
    return SHAPER.reference_change(row, {"text:t": {"text": "Parce que"}})


@pytest.mark.parametrize(
    ("state", "reader", "may", "decides", "withdraws"),
    [
        ("proposed", "ana", True, False, True),
        ("proposed", "bea", True, True, False),
        ("proposed", "bea", False, False, False),
        ("approved", "ana", True, False, True),
        ("approved", "bea", True, False, True),
        ("approved", "bea", False, False, False),
        ("in_force", "bea", True, False, False),
        ("declined", "ana", True, False, False),
    ],
    ids=[
        "proposed_to_its_proposer",
        "proposed_to_another",
        "proposed_to_a_reader",
        "approved_to_its_proposer",
        "approved_to_another",
        "approved_to_a_reader",
        "in_force",
        "declined",
    ],
)
def test_each_reader_sees_only_permitted_actions(
    state: str, reader: str, may: bool, decides: bool, withdraws: bool
) -> None:
    (change,) = build_changes([shaped(state)], reader, TerritoryNames(), _, may=may)
    assert (change.may_decide, change.may_withdraw) == (decides, withdraws)


def test_a_change_from_another_version_is_outdated() -> None:
    assert not shaped().outdated
    assert shaped(base="c" * 16).outdated
    assert not shaped("failed", base="c" * 16).outdated


def test_rows_are_grouped_by_change_and_the_rest_is_counted() -> None:
    (change,) = build_changes([shaped()], "bea", TerritoryNames(), _, may=True)
    (differs,) = change.sections
    assert (differs.word, differs.changed, differs.named, differs.more) == (
        "sites",
        30,
        [("retirés", "x"), ("modifiés", "y")],
        28,
    )
    assert change.change.decisions[0].reason == "Parce que"


@pytest.mark.parametrize(
    ("figures", "sentences"),
    [
        ({}, ["Aucune crise enregistrée à rejouer."]),
        ({"crises": 2}, ["2 crises rejouées\u00a0: rien ne serait arrivé à un autre moment."]),
        (
            {"crises": 3, "moved": 1, "later": 2, "levels": 1, "worse": ["92~ex-1"], "unread": 1},
            [
                "3 crises rejouées, 1 autrement.",
                "2 appels auraient été plus tardifs",
                "1 niveau changé",
                "Un poste y serait appelé plus tard, ou plus du tout\u00a0: 92~ex-1",
                "1 crise ne peut plus être rejouée.",
            ],
        ),
    ],
    ids=["none", "unmoved", "moved"],
)
def test_foreseen_effects_are_written_in_sentences(
    figures: dict[str, Any], sentences: list[str]
) -> None:
    assert [
        s.replace("\u202f", "\u00a0")
        for s in describe_forecast(Foreseen.model_validate({"crises": 0} | figures), _)
    ] == sentences


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ("proposed", "decision", "proposée (sites), effet dès l’approbation"),
        ("approved", "decision", "approuvée, en vigueur le"),
        ("declined", "decision", "refusée"),
        ("withdrawn", "decision", "retirée"),
        (
            "failed",
            "alarm",
            "n’entre pas en vigueur, une autre version est entrée en vigueur entre-temps",
        ),
    ],
    ids=["proposed", "approved", "declined", "withdrawn", "failed"],
)
def test_each_step_of_a_change_is_a_line(change: str, kind: str, sentence: str) -> None:
    row = ReferenceChangeRow.model_validate(
        {
            "id": "c-1",
            "state": "proposed",
            "reference": "a" * 16,
            "base": "b" * 16,
            "sections": [{"section": "sites"}],
            "cause": "base_changed",
            "decisions": [
                {
                    "what": "proposed",
                    "by": "ana",
                    "role": "coordinator",
                    "at": 1,
                    "reason": "text:t",
                }
            ],
            "next_at": 1,
        }
    )
    (line,) = lines("alerts", ReferenceChangeRecorded(row=row, change=change))
    assert (line.kind, line.change, line.text_id) == (
        kind,
        change,
        "t" if kind == "decision" else None,
    )
    assert sentence in said(line, TerritoryNames(), "fr")
    assert "a" * 16 in said(line, TerritoryNames(), "en")


@pytest.mark.parametrize("change", ["publishing", "in_force", "judging"])
def test_sections_of_a_change_are_no_lines(change: str) -> None:
    row = ReferenceChangeRow.model_validate(
        {
            "id": "c-1",
            "state": "in_force",
            "reference": "a" * 16,
            "base": "b" * 16,
            "sections": [],
            "decisions": [{"what": "proposed", "by": "ana", "role": "coordinator", "at": 1}],
        }
    )
    assert lines("alerts", ReferenceChangeRecorded(row=row, change=change)) == []

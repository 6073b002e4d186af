"""Plans, cards and contacts that refer to nothing are named with their line (D83, D84)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from schemas.plans import Card, CardOrigin, CardPhase, Evidence, find_card_faults
from schemas.predicates import CONTINUITY_METRICS, KNOWN_METRICS
from schemas.reference import MAX_SECTION_BYTES, collect_plan_contents
from services.alerts.levels.metrics import load_metric_types
from services.territory import TerritoryInvalid, load_territory
from tests.shipped import FOLDER, territory

DEFECTS = [
    ("responsable: {role: cellule_si}", "responsable: {role: cellule_sy}", "'cellule_sy' is not"),
    ("suppleant: {role: cellule_si}", "suppleant: {role: cellule_sy}", "'cellule_sy' is not"),
    ("activites: [SOL-02]\n", "activites: [SOL-92]\n", "activity 'SOL-92' is not declared"),
    ("genres: [mdph]", "genres: [mdhp]", "no site of kind 'mdhp'"),
    ("total_attendu: 98", "total_attendu: 97", "its selector matches 98 sites"),
    ("security_incident, outage_water]", "security, outage_water]", "scope.causes"),
    ("generator: [non]", "groupe: [non]", "'groupe' is no column of sites"),
    ("kitchen: ['*']", "kitchen: [aucune]", "its selector matches no site"),
    ("metiers: {educateur: 4,", "metiers: {educator: 4,", "métier 'educator' is not declared"),
    ("systemes: [froid_vaccins]", "systemes: [froid_vaccin]", "no system 'froid_vaccin'"),
    ("contacts: [saad,", "contacts: [sad,", "contact 'sad' is neither a role nor"),
    ("documents: [DOC-SOL-3]", "documents: [DOC-SOL-93]", "document 'DOC-SOL-93' is not listed"),
    ("depend_de: [SOL-F07]", "depend_de: [SOL-F97]", "depends on 'SOL-F97', which the plan"),
    ("- id: SOL-F03\n", "- id: SOL-F02\n", "card SOL-F02 stands twice"),
    ("- id: EDU-F01\n", "- id: SOL-F01\n", "card SOL-F01 stands in plan PCA-solidarites, too"),
    ("mbco_pct: 60, effectif_j1: 12", "mbco_pct: 70, effectif_j1: 12", "minimal mode of SOL-01"),
    ("- {activite: SOL-02, raison:", "- {activite: SOL-99, raison:", "'SOL-99' is not declared"),
    ("{metric: sites_out, kinds: [pole", "{metric: sites_oot, kinds: [pole", "no such metric"),
    ("kind: site_central, op", "kind: site_centrale, op", "no site of kind 'site_centrale'"),
    ("heure: '06:00'", "heure: 6 h", "'6 h' is not a local time"),
    ("Comptez les enfants présents,", "Appelez le 01 23 45 67 89,", "a telephone number belongs"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "92"))


def _problems(folder: Path) -> list[str]:
    with pytest.raises(TerritoryInvalid) as caught:
        load_territory(folder)
    return [str(problem) for problem in caught.value.problems]


def test_each_reference_to_nothing_is_one_clear_error(folder: Path) -> None:
    """All defects at once: reading the file takes more than a second."""
    path = folder / "plans.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new, _ in DEFECTS:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    problem_lines = _problems(folder)
    assert [
        says
        for _, _, says in DEFECTS
        if not any(
            re.match(r"plans\.yaml:[1-9]", problem) and says in problem for problem in problem_lines
        )
    ] == []


def _card(id: str, *depends_on: str, **more: object) -> Card:
    return Card.model_validate(
        {"id": id, "t_min": 5, "role": "cellule_si", "task": id, "depends_on": depends_on, **more}
    )


def test_dependencies_in_a_circle_are_named_in_order() -> None:
    circle = [_card("A"), _card("B", "A", "D"), _card("C", "B"), _card("D", "C")]
    assert [fault for _, fault in find_card_faults("PT-X", circle)] == [
        "plan PT-X: cards depend on each other: B → D → C → B"
    ]
    assert list(find_card_faults("PT-X", [_card("A"), _card("B", "A"), _card("C", "A", "B")])) == []


def test_a_card_that_counts_from_another_one_names_it() -> None:
    assert [n for n, _ in find_card_faults("PT-X", [_card("A", origin=CardOrigin.CARD)])] == [0]
    assert [n for n, _ in find_card_faults("PT-X", [_card("A", local_min=60)])] == [0]


def test_the_shipped_library_has_content_for_every_card_and_fits_its_records() -> None:
    shipped = territory()
    contents = collect_plan_contents(shipped.sections)
    assert contents.keys() == {plan.id for plan in shipped.plans}
    for plan in shipped.plans:
        content = contents[plan.id]
        assert content.purpose
        assert content.review is not None
        assert content.documents
        assert [card.id for card in plan.cards] == [card.id for card in content.cards]
        assert all(card.steps and card.done_when for card in content.cards)
        assert all(card.phase is not None and card.deputy_role for card in plan.cards)
    assert sum(len(plan.cards) for plan in shipped.plans) == 200
    for section in shipped.sections:
        assert len(section.model_dump_json().encode()) < MAX_SECTION_BYTES


def test_a_card_reads_its_scope_origin_and_evidence() -> None:
    plans = {plan.id: plan for plan in territory().plans}
    cards = {card.id: card for plan in plans.values() for card in plan.cards}
    vaccines, morning, flood = cards["SOL-F05"], cards["VIO-F03"], cards["CRUE-F05"]
    assert vaccines.scope is not None
    assert (vaccines.scope.where, vaccines.scope.flags) == ("concerned", {"generator": ("non",)})
    assert (vaccines.origin, vaccines.evidence) == (CardOrigin.SITE_EVENT, Evidence.PHOTO)
    assert (morning.origin, morning.local_min) == (CardOrigin.LOCAL_TIME, 360)
    assert (vaccines.phase, flood.formerly) == (CardPhase.REFLEX, "F5")
    assert flood.scope is not None
    assert flood.scope.communes
    assert cards["SOL-F01"].scope is None


def test_known_metrics_are_those_of_the_deciders() -> None:
    assert {*load_metric_types(), *CONTINUITY_METRICS} == KNOWN_METRICS

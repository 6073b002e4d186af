"""A territory folder is read whole, and every defect is named with file and line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.base import parse_closed
from schemas.predicates import list_measured
from schemas.reference import (
    EscalationPolicy,
    MeetingPoint,
    Plans,
    PublishReference,
    Reaching,
    ReferencePublished,
    collect_plan_contents,
)
from schemas.words import PlanState
from services.territory import TerritoryInvalid, load_current_territory, load_territory, source
from services.territory.publish import build_reference_commands
from services.territory.source import read_yaml
from tests.shipped import FOLDER, territory

KAFKA_BUDGET = 200 * 1024


@pytest.fixture(scope="module", autouse=True)
def _each_text_is_read_once() -> Iterator[None]:
    """Read each text once: a test changes one file of a folder."""
    documents: dict[bytes, Any] = {}

    def read(path: Path) -> Any:
        content = path.read_bytes()
        if content not in documents:
            documents[content] = read_yaml(path)
        return documents[content]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "read_yaml", read)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "92"))


def edit(path: Path, old: str, new: str) -> int:
    """Replace once; the 1-based line of the change."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def problems(folder: Path) -> list[str]:
    with pytest.raises(TerritoryInvalid) as caught:
        load_territory(folder)
    return [str(p) for p in caught.value.problems]


def test_the_shipped_territory_is_whole() -> None:
    territory = load_territory(FOLDER)
    assert len(territory.sites) == 253
    assert len(territory.communes) == 36
    assert len(territory.plans) == 20
    assert {len(w.who) for w in territory.policy.ladders["N3"]} == {1, 6}
    assert {w.wave: w.only_if for w in territory.policy.ladders["N3"] if w.only_if} == {
        1: {"liaison_cod": "cod_active"}
    }


def test_every_section_fits_one_record_and_survives_the_wire() -> None:
    territory = load_territory(FOLDER)
    for _, command in build_reference_commands(territory, "92", "system:up", "admin"):
        fact = ReferencePublished(reference=command.reference, data=command.data, last=command.last)
        raw = fact.model_dump(mode="json")
        assert len(fact.model_dump_json()) < KAFKA_BUDGET
        assert parse_closed(ReferencePublished.wire_type(), raw) == fact


def test_the_version_is_that_of_the_content(folder: Path) -> None:
    before = load_territory(folder).version
    assert load_territory(FOLDER).version == before
    edit(folder / "plans.yaml", "maintien_min: 1440", "maintien_min: 1441")
    assert load_territory(folder).version != before


def test_arguments_of_a_metric_are_not_confused_with_operator_and_value() -> None:
    neige = next(p for p in load_territory(FOLDER).plans if p.id == "PT-NEIGE")
    assert (
        next(m.key for m in list_measured(neige.triggers[2].when)) == 'road_closed{"road":"N118"}'
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("sites.csv", ",92050,48.8953", ",92999,48.8953", "commune '92999' is not in communes.csv"),
        ("sites.csv", "approximate,multi,1460", "approximate,multi,many", "staff"),
        ("activities.yaml", "rto_h: 2\n", "rto_h: 900\n", "longer than dmia_h"),
        (
            "activities.yaml",
            "pole: solidarites\n",
            "pole: solidarite\n",
            "pôle 'solidarite' is not declared",
        ),
        (
            "escalade.yaml",
            "qui: [responsable_site, astreinte_technique]",
            "qui: [responsable, astreinte_technique]",
            "neither a role nor a group",
        ),
        (
            "escalade.yaml",
            "fermeture_ordinaire: [parc",
            "fermeture_ordinaire: [park",
            "no site is of kind 'park'",
        ),
        (
            "escalade.yaml",
            "apres_min: 20, qui: [dgs",
            "apres_min: 5, qui: [dgs",
            "does not come after",
        ),
        (
            "escalade.yaml",
            "canaux: [sms, voix], accuse_min: 10",
            "canaux: [sms, vocal], accuse_min: 10",
            "'vocal' is not a channel",
        ),
        (
            "escalade.yaml",
            'salle de crise", site: cen-1}',
            'salle de crise", site: cen-99}',
            "meeting point: no such site 'cen-99'",
        ),
        (
            "escalade.yaml",
            "site: sit-02}",
            "lieu: sit-02}",
            "meeting point: unknown lieu",
        ),
        (
            "plans.yaml",
            "decide: coordinateur_pca",
            "decide: coordinateur_pcb",
            "role 'coordinateur_pcb' is not in escalade.yaml",
        ),
        (
            "plans.yaml",
            "etat: valide",
            "etat: validé",
            "state 'validé' is none of brouillon, en_revue, valide, archive",
        ),
        ("activities.yaml", "generated: '2026-11-24'", "generated: hier", "'hier' is not a day"),
        (
            "roster.csv",
            "directeur_pole,education",
            "directeur_pole,educatio",
            "neither a site nor a pôle",
        ),
    ],
)
def test_each_defect_is_named_with_its_line(
    folder: Path, file: str, old: str, new: str, says: str
) -> None:
    line = edit(folder / file, old, new)
    assert any(p.startswith(f"{file}:{line}:") and says in p for p in problems(folder))


ONE_OR_A_BOX = """        any:
          - {metric: sites_out, kind: site_central, op: "==", value: 0}
"""
WITH_A_BOX = """          - {all: [{metric: open_incidents, op: "==", value: 0}, {manual: "vu"}]}
"""
IMPOSSIBLE = [
    ("sites.csv", "48.8953,2.2289", "488.953,2.2289", "is no place on Earth"),
    ("sites.csv", ",1460,1569,", ",1460,-1569,", "desks is below 0"),
    ("sites.csv", "cen-2,Site", "cen:2,Site", "no space, ':', '|' or '/'"),
    ("activities.yaml", "rto_h: 2\n", "rto_h: -2\n", "rto_h must be more than 0"),
    ("activities.yaml", "dmia_h: 4\n", "dmia_h: 40000000000\n", "dmia_h must be more than 0"),
    ("activities.yaml", "mbco_pct: 50", "mbco_pct: 150", "mbco_pct must be from 0 to 100"),
    ("activities.yaml", "id: SOL-02", "id: SOL-01", "activity SOL-01 stands twice"),
    ("activities.yaml", "- id: edr\n", "- id: enc\n", "system enc stands twice"),
    (
        "escalade.yaml",
        "jours_feries: []",
        'jours_feries: ["11/11/2026"]',
        "'11/11/2026' is not a day",
    ),
    (
        "escalade.yaml",
        "vacances_scolaires: []",
        "vacances_scolaires: [[2026-11-01, 2026-10-17]]",
        "the first before the last",
    ),
    (
        "escalade.yaml",
        'de: "07:00", a: "14:00"',
        'de: "22:00", a: "06:00"',
        "must open before it closes",
    ),
    (
        "escalade.yaml",
        'jours: [1, 2, 3, 4, 5], de: "08:30"',
        'jours: [0, 1], de: "08:30"',
        "days are 1 (Monday) to 7",
    ),
    (
        "escalade.yaml",
        "vers: [elu_astreinte, dgs",
        "vers: [elu_d_astreinte, dgs",
        "role 'elu_d_astreinte' is not declared",
    ),
    (
        "escalade.yaml",
        "strike: directeur_pole",
        "grève: directeur_pole",
        "neither a type of report nor a family of incidents",
    ),
    (
        "escalade.yaml",
        "sanitary_alert: astreinte_direction",
        "sanitary_alert: astreinte",
        "role 'astreinte' is not declared",
    ),
    (
        "escalade.yaml",
        "liaison_cod, si: {metric: flag",
        "liaison_cod, si: {metric: level",
        "liaison_cod takes si: {metric: flag",
    ),
    ("escalade.yaml", "base: rto, pct: 50", "base: rto, pct: 0", "a percentage is 1 at least"),
    (
        "escalade.yaml",
        "canaux: [app, mail]}",
        "canaux: [app, voix]}",
        "the voice is none of its channels",
    ),
    (
        "escalade.yaml",
        "sauf_types: [weather_alert,",
        "sauf_types: [weather,",
        "'weather' is no type of report",
    ),
    ("escalade.yaml", "activite: SOL-05", "activite: SOL-99", "no such activity"),
    ("escalade.yaml", "dmia_h: 4, rto_h: 2", "dmia_h: 4, rto_h: 9", "rto_h not longer than dmia_h"),
    ("escalade.yaml", "jours_du_mois: [20,", "jours_du_mois: [32,", "days of a month are 1 to 31"),
    ("plans.yaml", "delai: {min: 15,", "delai: {min: 1000000000000,", "more than a year away"),
    (
        "escalade.yaml",
        "rythme_point_situation_min: 120",
        "rythme_point_situation_min: 0",
        "at least one minute apart",
    ),
    (
        "escalade.yaml",
        "pilotes: [responsable_site]",
        "pilotes: [responsable]",
        "role 'responsable' is not declared",
    ),
    (
        "plans.yaml",
        'criticality: [1, 2], op: "==", value: 0}',
        'criticality: [1, 2], op: "==", value: aucune}',
        "is not a number",
    ),
    ("plans.yaml", "criticality: [1, 2]", "criticality: 1", "criticality is a list"),
    ("plans.yaml", "id: PT-ELEC", "id: PT-EAU", "plan PT-EAU stands twice"),
    ("plans.yaml", "maintien_min: 1440", "maintien_min: -5", "maintien_min must be from 0"),
    ("plans.yaml", '{manual: "avis DDPP"}', '{not: {manual: "avis DDPP"}}', "no box under `not`"),
    ("plans.yaml", ONE_OR_A_BOX, ONE_OR_A_BOX + WITH_A_BOX, "must stand together"),
]


def test_dangerous_values_are_named(folder: Path) -> None:
    for file, old, new, _ in IMPOSSIBLE:
        edit(folder / file, old, new)
    problem_lines = problems(folder)
    assert [
        says
        for file, _, _, says in IMPOSSIBLE
        if not any(p.startswith(f"{file}:") and says in p for p in problem_lines)
    ] == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('de: "07:00", a: "14:00"', 'de: "7h", a: "14:00"', "'7h' is not a local time"),
        ('de: "07:00", a: "14:00"', 'de: "07:00", a: "25:00"', "'25:00' is not a local time"),
        (
            "jours_feries: []",
            "jours_feries: [2026-02-30]",
            "not valid YAML: '2026-02-30' is no timestamp: day ",
        ),
        ('de: "07:00", a: "14:00"', 'de: !!int x, a: "14:00"', "not valid YAML: 'x' is no int"),
        ("jours_feries: []", "jours_feries: " + "[" * 1000, "not valid YAML: nested too deeply"),
        ("vacances_scolaires: []", "vacances_scolaires: [[2026-11-01]]", "pairs of days"),
    ],
)
def test_a_time_that_is_none_is_named(folder: Path, old: str, new: str, says: str) -> None:
    edit(folder / "escalade.yaml", old, new)
    assert any(says in p for p in problems(folder))


def test_a_file_as_a_spreadsheet_writes_it_is_read_or_named(folder: Path) -> None:
    sites = folder / "sites.csv"
    text = sites.read_text(encoding="utf-8")
    sites.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(load_territory(folder).sites) == 253
    sites.write_bytes(text.encode("cp1252", "replace"))
    assert any(p.startswith("sites.csv:0: is not UTF-8 text") for p in problems(folder))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("site_id,", "site,", "sites.csv:1: no column 'site_id'"),
        (",", ";", "no column 'site_id': the columns are separated by semicolons, not by commas"),
    ],
)
def test_a_table_without_a_column_is_named(folder: Path, old: str, new: str, says: str) -> None:
    """A French spreadsheet writes semicolons."""
    path = folder / "sites.csv"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(TerritoryInvalid) as refusal:
        load_territory(folder)
    (problem,) = refusal.value.problems
    assert says in str(problem)


def test_an_uncovered_role_and_a_site_without_manager_are_named(folder: Path) -> None:
    edit(folder / "roster.csv", "elu_astreinte,,elu-astreinte,", "elu_astreinte,,,")
    edit(folder / "roster.csv", "responsable_site,cen-1,", "responsable_site,cen-2,")
    problem_lines = problems(folder)
    assert any(
        "'elu_astreinte' is called by a ladder and nobody holds it" in p for p in problem_lines
    )
    assert any("'cen-1' has no responsable_site" in p for p in problem_lines)


def test_broken_yaml_is_reported_with_its_line(folder: Path) -> None:
    line = edit(folder / "plans.yaml", "version: 3\n", "version: [3\n")
    assert any(p.startswith("plans.yaml:") and "not valid YAML" in p for p in problems(folder)), (
        line
    )


def test_staff_that_no_other_file_knows_is_named(folder: Path) -> None:
    site = edit(
        folder / "staffing.csv", "ase-01,SOL-02,educateur,10,5", "ase-99,SOL-02,educateur,10,5"
    )
    activity = edit(
        folder / "staffing.csv",
        "ase-01,SOL-02,inspecteur_ase,1,0",
        "ase-01,SOL-99,inspecteur_ase,1,0",
    )
    least = edit(
        folder / "staffing.csv",
        "ase-01,SOL-02,maitresse_maison,1,0",
        "ase-01,SOL-02,maitresse_maison,1,2",
    )
    rule = edit(folder / "reassign_activities.csv", "SOL-03,solidarites,2", "SOL-03,solidarites,1")
    problem_lines = problems(folder)
    assert f"staffing.csv:{site}: site 'ase-99' is not in sites.csv" in problem_lines
    assert f"staffing.csv:{activity}: activity 'SOL-99' is not in activities.yaml" in problem_lines
    assert (
        "staffing.csv:0: activity 'SOL-99' has staff and no line in reassign_activities.csv"
        in problem_lines
    )
    assert (
        f"staffing.csv:{least}: cell ase-01 SOL-02 maitresse_maison: minimum 2 exceeds staff 1"
        in problem_lines
    )
    assert (
        f"reassign_activities.csv:{rule}: activity 'SOL-03' with this pôle and criticality is not in activities.yaml"
        in problem_lines
    )


def test_a_metier_without_a_name_and_one_with_two_are_named(folder: Path) -> None:
    edit(folder / "metiers.csv", "egoutier,égoutier,sewer worker\n", "")
    edit(folder / "metiers.csv", "mediateur,médiateur,mediator\n", "")
    empty = edit(
        folder / "metiers.csv", "cesf,conseiller en économie sociale et familiale,", "cesf,,"
    )
    twice = edit(
        folder / "metiers.csv", "tresorier,trésorier,treasurer", "acheteur,trésorier,treasurer"
    )
    problem_lines = problems(folder)
    assert "staffing.csv:0: métier 'egoutier' has staff and no name in metiers.csv" in problem_lines
    assert "competences.yaml:0: métier 'mediateur' has no name in metiers.csv" in problem_lines
    assert any(p.startswith(f"metiers.csv:{empty}: name: ") for p in problem_lines)
    assert f"metiers.csv:{twice}: métier 'acheteur' stands twice" in problem_lines


def test_a_penalty_out_of_range_is_named_with_its_line(folder: Path) -> None:
    edit(folder / "competences.yaml", "penalite: 0.2", "penalite: 2")
    assert any(p.startswith("competences.yaml:") and "tenths" in p for p in problems(folder))


AUTOMATIC_PLAN = """
  - id: PT-ESSAI
    titre: Essai
    etat: valide
    decide: coordinateur_pca
    auto: true
    declencheurs:
      - {niveau: 1, texte: essai, quand: {metric: sites_out, op: ">=", value: 1}}
"""


def test_an_automatic_plan_has_no_cards(folder: Path) -> None:
    """D49: without effect outside the tool."""
    with (folder / "plans.yaml").open("a", encoding="utf-8") as file:
        file.write(AUTOMATIC_PLAN)
    assert [plan.id for plan in load_territory(folder).plans if plan.auto] == ["PT-ESSAI"]
    line = edit(folder / "plans.yaml", "  - id: PT-ELEC\n", "  - id: PT-ELEC\n    auto: true\n")
    assert any(p.startswith(f"plans.yaml:{line + 1}:") and "PT-ELEC" in p for p in problems(folder))


def test_heat_and_power_plans_have_a_shedding_card_with_a_measured_effect() -> None:
    """D61: non-critical rooms and servers first; other cards have a measured effect, too."""
    loaded = load_territory(FOLDER)
    plans = {plan.id: plan for plan in loaded.plans}
    contents = collect_plan_contents(loaded.sections)
    for id in ("PT-ELEC", "PT-CANICULE"):
        (shedding,) = [card for card in plans[id].cards if card.task.startswith("Délester")]
        assert shedding.effect == "energy_kwh"
        content = contents[id].find_card(shedding.id)
        assert content is not None
        steps = " ".join(content.steps)
        assert "salles de réunion" in steps
        assert "serveurs" in steps
    measured = {
        (plan.id, card.effect) for plan in plans.values() for card in plan.cards if card.effect
    }
    assert {
        ("PT-CRUE", "barriers_m"),
        ("PT-CANICULE", "cool_visitors"),
        ("PT-NEIGE", "travel_km"),
    } <= measured


def test_values_of_older_logs_are_readable_but_refused_in_commands() -> None:
    """Bounds are asked of commands and of territories, never of facts."""
    shipped = load_territory(FOLDER)
    policy = shipped.policy.model_dump() | {"quiet_from": "21h"}
    plan = shipped.plans[0].model_dump() | {"state": "validé"}
    for data in (
        {"section": "escalation", "policy": policy},
        {"section": "plans", "plans": [plan]},
    ):
        fields = {"reference": "v", "data": data, "last": True}
        with pytest.raises(ValidationError):
            PublishReference.model_validate({"author": "p", "role": "admin", **fields})
        read = ReferencePublished.model_validate(fields).data
        if isinstance(read, EscalationPolicy):
            assert read.policy.quiet_hours is None
        else:
            assert isinstance(read, Plans)
            assert read.plans[0].shelf is PlanState.DRAFT


def test_an_effect_that_lessons_learned_cannot_add_up_is_named(folder: Path) -> None:
    line = edit(folder / "plans.yaml", "effet: meals_saved", "effet: repas_sauves")
    assert any(p.startswith("plans.yaml:") and "effect" in p for p in problems(folder)), line


def test_quiet_hours_of_some_days_only_and_a_time_that_is_none_is_named(folder: Path) -> None:
    """D36."""
    assert load_territory(folder).policy.quiet_days == (1, 2, 3, 4, 5, 6, 7)
    edit(folder / "escalade.yaml", 'a: "07:00", jours: tous', 'a: "07:00", jours: [1, 2, 3, 4]')
    policy = load_territory(folder).policy
    assert (policy.quiet_days, policy.quiet_hours) == ((1, 2, 3, 4), (1260, 420))
    edit(folder / "escalade.yaml", '{de: "21:00"', '{de: "21h"')
    assert any(p.startswith("escalade.yaml:") and "quiet_from" in p for p in problems(folder))


@pytest.mark.parametrize(
    "name",
    ["sites.csv", "communes.csv", "activities.yaml", "escalade.yaml", "metiers.csv", "roster.csv"],
)
def test_an_unreadable_file_is_reported_before_references_to_it(folder: Path, name: str) -> None:
    """A `sites.csv` in UTF-16 gave 1,532 problems; its own was the 66th."""
    (folder / name).write_bytes(b"\xff\xfe")
    (problem,) = problems(folder)
    assert problem.startswith(f"{name}:0: ")


def test_only_changed_files_are_read_again(folder: Path) -> None:
    first = load_current_territory(folder)
    assert load_current_territory(folder) is first
    edit(folder / "communes.csv", "Nanterre", "Nanterre-sur-Seine")
    changed = load_current_territory(folder)
    assert changed.version != first.version
    (folder / "plans.yaml").unlink()
    for gone in (folder, folder / "elsewhere"):
        with pytest.raises(TerritoryInvalid):
            load_current_territory(gone)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (
            "sources: [vigicrues], unite: m",
            "sources: [vigicru], unite: m",
            "river_level: no kind of source 'vigicru'",
        ),
        (
            "bornes: [0.0, 9.5]",
            "bornes: [9.5, 0.0]",
            "measure river_level: bornes are two numbers, the lower first",
        ),
        ("pas_h: 0.5", "pas_heure: 0.5", "measure river_level: no field 'pas_heure'"),
        (
            "  cod_active:",
            "  cod_actif:",
            "measure 'cod_active' decides a level or a plan: say here who may declare it",
        ),
        ("portees: [kind, pole", "portees: [genre, pole", "measure absence_rate: no scope 'genre'"),
        ("duree_h: 72", "duree_h: 0", "long_outage.hours"),
    ],
)
def test_a_table_of_measures_that_cannot_hold_is_refused(
    folder: Path, before: str, after: str, what: str
) -> None:
    edit(folder / "mesures.yaml", before, after)
    assert any(
        problem.startswith("mesures.yaml:") and what in problem for problem in problems(folder)
    ), problems(folder)


def test_the_shipped_territory_rates_the_dependence_of_vulnerable_people() -> None:
    """D82: children in care, people with disabilities, isolated elderly.

    The rules of reassignment agree with the activities.
    """
    made = territory()
    by_kind = {site.kind: site.vulnerable_public for site in made.sites}
    assert (
        by_kind["protection_enfance"],
        by_kind["mdph"],
        by_kind["pmi_css"],
        by_kind["site_central"],
    ) == (3, 3, 2, 0)
    of_activity = {activity.id: activity.vulnerable_public for activity in made.activities}
    assert (
        of_activity["SOL-02"],
        of_activity["SOL-07"],
        of_activity["SOL-08"],
        of_activity["COM-05"],
    ) == (3, 3, 3, 0)
    assert {rule.activity: rule.vulnerable_public for rule in made.staffing.rules} == of_activity


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("liaison_cod", "liaison", "contact 'prefecture_cod': no such role 'liaison'"),
        ("PT-CRUE ", "PT-CRU ", "contact 'prefecture_cod': no such plan 'PT-CRU'"),
        ("À COMPLÉTER", "01 40 00 00 00", "a number is no reference data"),
        ("\nprefecture,", "\nprefecture_cod,", "contact 'prefecture_cod' stands twice"),
    ],
)
def test_a_partner_that_cannot_be_called_or_holds_a_number_is_named(
    folder: Path, old: str, new: str, says: str
) -> None:
    edit(folder / "contacts.csv", old, new)
    assert any(p.startswith("contacts.csv:") and says in p for p in problems(folder))


def test_a_territory_without_partners_is_whole(folder: Path) -> None:
    (folder / "contacts.csv").unlink()
    assert load_territory(folder).code == "92"


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("  - id: any-familles\n", "  - id: any-agents\n", "there are two of this id"),
        ("public: presse", "public: journaux", "public is one of agents"),
        ("evenement: power", "evenement: coupure", "evenement is one of absence"),
        ("    titre: ", "    titres: ", "no field 'titres'"),
        ("  rumeur: ", "  bruit: ", "say under a_completer what to write for 'rumeur'"),
    ],
)
def test_a_template_of_a_statement_that_cannot_be_filled_is_refused(
    folder: Path, before: str, after: str, what: str
) -> None:
    edit(folder / "communiques.yaml", before, after)
    assert any(
        problem.startswith("communiques.yaml:") and what in problem for problem in problems(folder)
    ), problems(folder)


def test_a_territory_needs_no_templates_of_statements(folder: Path) -> None:
    (folder / "communiques.yaml").unlink()
    assert "statements" not in {section.section for section in load_territory(folder).sections}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("  - id: nis2-alerte\n", "  - id: rgpd-cnil\n", "there are two of this id"),
        ("unite: mois", "unite: lunes", "unite is one of heures, jours, jours_ouvres, mois"),
        ("    fondement: ", "    base: ", "no field 'base'"),
        ("role: cellule_si", "role: cellule_dsi", "no such role 'cellule_dsi'"),
        ("role: cellule_si", "role: directeur_pole", "is no role of the whole territory"),
        ("contact: anssi", "contact: ansi", "no such contact 'ansi'"),
        ("plans: [PT-TIAC]", "plans: [PT-TIAK]", "no such plan 'PT-TIAK'"),
        ("familles: [fire]", "familles: [feu]", "familles are of"),
        ("apres: nis2-notification", "apres: nis2", "no such obligation 'nis2'"),
        ("demarre: {apres:", "demarre: {ensuite:", "not 'ensuite'"),
        ("  pollution: ", "  produit: ", "say under a_completer what to write for 'pollution'"),
    ],
)
def test_an_obligation_that_cannot_run_is_refused(
    folder: Path, before: str, after: str, what: str
) -> None:
    edit(folder / "obligations.yaml", before, after)
    assert any(
        problem.startswith("obligations.yaml:") and what in problem for problem in problems(folder)
    ), problems(folder)


def test_a_territory_needs_no_obligations(folder: Path) -> None:
    (folder / "obligations.yaml").unlink()
    assert "obligations" not in {section.section for section in load_territory(folder).sections}


def test_one_meeting_point_may_be_a_text_alone(folder: Path) -> None:
    path = folder / "escalade.yaml"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("  lieu: "), text.index("  ponts: ")
    for lieu, expected in (
        ("Salle A", Reaching(meeting_point="Salle A")),
        ("À COMPLÉTER", Reaching()),
        (
            '["Salle A", {nom: "À COMPLÉTER", site: cen-1}]',
            Reaching(meeting_points=(MeetingPoint(name="Salle A"),)),
        ),
    ):
        path.write_text(f"{text[:start]}  lieu: {lieu}\n{text[end:]}", encoding="utf-8")
        reach = load_territory(folder).policy.reach
        assert (reach.meeting_point, reach.meeting_points) == (
            expected.meeting_point,
            expected.meeting_points,
        )

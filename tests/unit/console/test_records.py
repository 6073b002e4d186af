"""People propose a change of one record in the browser, and see its difference (D86)."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from schemas.predicates import KNOWN_METRICS
from schemas.reference_changes import (
    Foreseen,
    PlanTime,
    ProposeReference,
    RecordAction,
    RecordKind,
)
from services.console.i18n import get_translator
from services.console.reference import records_api
from services.console.reference.conditions import ARGUMENT_LABELS, METRIC_LABELS
from services.console.reference.page import describe_forecast
from services.console.reference.record_names import LABELS, PLACE_LABELS
from services.territory.editing.conditions import METRIC_FORMS
from services.territory.editing.new_records import NEW_FIELDS
from services.territory.editing.records import RECORDS, read_record
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, realm, shown, words

CONTACT, CARD, PLAN = "prefecture_cod", "PT-CRUE.CRU-F01", "PCA-solidarites"
FORM = f"/donnees/fiches/contact/{CONTACT}"
ASK = "Heure du prochain point"


def change(state: str = "proposed", before: str | None = None, by: str = "ana") -> dict[str, Any]:
    previous_ask = before if before is not None else known_ask()
    return {
        "id": "c-1",
        "state": state,
        "reference": "a" * 16,
        "base": "b" * 16,
        "sections": [{"section": "contacts", "changed": 1, "named": [f"~{CONTACT}"]}],
        "decisions": [{"what": "proposed", "by": by, "role": "coordinator", "at": START}],
        "edit": {
            "kind": "contact",
            "id": CONTACT,
            "fields": [{"field": "ask", "before": previous_ask, "after": ASK}],
        },
    }


def known_ask() -> str:
    return str(read_record(reference().sections, RecordKind.CONTACT, CONTACT)["ask"])


def with_change(**values: Any) -> Held:
    realm_state = realm()
    realm_state.put("reference_changes", change(**values))
    return realm_state


async def post(browser: Browser, path: str, body: dict[str, Any], role: str) -> Any:
    return await browser.post(f"/api/v1/reference/{path}?realm={REALM}", body, role=role)


@pytest.mark.parametrize("kind", RecordKind)
def test_every_field_has_a_label(kind: RecordKind) -> None:
    assert set(LABELS[kind]) == {f.name for part in RECORDS[kind] for f in part.fields}


async def test_the_form_shows_the_fields_in_force_and_no_code() -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, FORM, role="coordinator")
    for text in ("Quoi demander", "Qui appelle", "Plans où il est appelé", "Proposer ce change"):
        assert text in page
    assert "liaison_cod" not in page


@pytest.mark.parametrize(
    ("kind", "id", "field"),
    [
        ("contact", CONTACT, "plans"),
        ("activity", "SOL-01", "systems"),
        ("step", "N4.1", "channels"),
    ],
)
async def test_a_form_sends_picked_values_in_the_order_in_force(
    kind: str, id: str, field: str
) -> None:
    """Every proposal would have reordered them besides."""
    browser, _ = browsing(crisis())
    page = await browser.get(f"/donnees/fiches/{kind}/{id}?realm={REALM}", role="coordinator")
    picked = re.findall(
        rf'name="values.{field}" value="([^"]+)" data-type="list" checked', page.text
    )
    assert tuple(picked) == read_record(reference().sections, RecordKind(kind), id)[field]


async def test_a_proposal_carries_the_difference_alone() -> None:
    browser, _ = browsing(crisis())
    answer = await post(
        browser,
        f"records/contact/{CONTACT}/proposals",
        {"values": {"ask": ASK, "domain": "État"}, "reason": "Relu"},
        "coordinator",
    )
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, ProposeReference)
    assert command.edit is not None
    assert [(f.field, f.after) for f in command.edit.fields] == [("ask", ASK)]
    assert [d.section.value for d in command.sections] == ["contacts"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"values": {"ask": "Appeler le 06 12 34 56 78"}}, 422, "invalid", "values.ask"),
        ({"values": {"caller": "pompier"}}, 422, "invalid", "values.caller"),
        ({"values": {"domain": "a" * 41}}, 422, "invalid", "values.domain"),
        ({"values": {"phone": "x"}}, 422, "invalid", "values.phone"),
        ({"values": {"domain": "État"}}, 409, "record_unchanged", None),
        ({"values": {"ask": ASK}, "seen": "0" * 16}, 409, "record_changed", None),
    ],
)
async def test_a_refused_proposal_says_why(
    body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    browser, _ = browsing(crisis())
    path = f"records/contact/{CONTACT}/proposals"
    answer = await post(browser, path, body | {"reason": "Relu"}, "coordinator")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert [fault["field"] for fault in problem.get("errors", [])] == ([field] if field else [])
    assert browser.decisions.asked == []


async def test_a_director_of_a_pole_proposes_for_the_own_plans_and_decides_nothing() -> None:
    browser, _ = browsing(with_change())
    role = "director@pole:solidarites"
    body = {"values": {"purpose": "Protéger"}, "reason": "Relu"}
    own = await post(browser, f"records/plan/{PLAN}/proposals", body, role)
    other = await post(browser, "records/plan/PCA-education/proposals", body, role)
    approved = await post(browser, "changes/c-1/approve", {}, role)
    withdrawn = await post(browser, "changes/c-1/withdraw", {"reason": "Non"}, role)
    assert [a.status_code for a in (own, other, approved, withdrawn)] == [202, 403, 403, 403]


async def test_the_second_person_reads_the_difference_before_and_after() -> None:
    browser, _ = browsing(with_change())
    page = await shown(browser, "/donnees", role="coordinator")
    assert "Quoi demander avant" in page
    assert f"après : {ASK}" in page.replace("\u00a0", " ")
    assert "Aucune règle ne lit ces textes" in page
    assert "Approuver" in page


async def test_a_record_with_an_open_change_offers_no_second_form() -> None:
    browser, _ = browsing(with_change())
    page = await shown(browser, FORM, role="coordinator")
    assert "attend déjà une décision" in page
    assert "Proposer ce changement" not in page


async def test_a_refused_proposal_is_taken_up_without_typing_it_again() -> None:
    browser, _ = browsing(with_change(state="declined"))
    assert "Reprendre la proposition" in await shown(browser, "/donnees", role="coordinator")
    answer = await browser.get(f"{FORM}?realm={REALM}&reprise=c-1", role="coordinator")
    assert f">{ASK}</textarea>" in answer.text


async def test_an_edit_of_a_field_that_changed_since_cannot_be_approved() -> None:
    browser, _ = browsing(with_change(before="Ce qui était écrit"))
    page = await shown(browser, "/donnees", role="coordinator")
    assert "Cette fiche a changé depuis la proposition" in page
    answer = await post(browser, "changes/c-1/approve", {}, "coordinator")
    assert (answer.status_code, answer.json()["code"]) == (409, "record_changed")
    assert browser.decisions.asked == []


@pytest.mark.parametrize("path", [f"/plans/{PLAN}", "/annuaire"])
async def test_the_page_of_a_record_links_to_its_form(path: str) -> None:
    browser, _ = browsing(crisis())
    assert "Proposer une modification" in await shown(browser, path, role="coordinator")
    assert "Proposer une modification" not in await shown(browser, path, role="observer")


async def test_the_list_names_open_changes() -> None:
    browser, _ = browsing(with_change())
    answer = await browser.get(
        f"/api/v1/reference/records?realm={REALM}&kind=contact",
        role="coordinator",
        accept="application/json",
    )
    changes_by_record = {item["id"]: item["change"] for item in answer.json()["items"]}
    assert changes_by_record[CONTACT] == "c-1"
    assert set(changes_by_record.values()) == {"c-1", None}


@pytest.mark.parametrize(
    ("values", "effect"), [({"rto_h": 1.5}, Foreseen(crises=3)), ({"name": "Urgences"}, None)]
)
async def test_a_changed_limit_is_tried_on_crises_and_a_text_is_not(
    values: dict[str, Any], effect: Foreseen | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    async def try_version(sections: Any) -> Foreseen:
        tried.append(read_record(sections, RecordKind.ACTIVITY, "SOL-01"))
        return Foreseen(crises=3)

    monkeypatch.setattr(records_api, "try_version", try_version)
    browser, _ = browsing(crisis())
    body = {"values": values, "reason": "BIA relue"}
    answer = await post(browser, "records/activity/SOL-01/proposals", body, "coordinator")
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, ProposeReference)
    assert command.foreseen == effect
    assert [one["rto_h"] for one in tried] == ([1.5] if effect else [])


async def test_the_form_of_an_activity_shows_its_limits_and_names_its_systems() -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, "/donnees/fiches/activity/SOL-01", role="coordinator")
    for text in ("Délai de reprise (RTO), en heures", "dernières crises enregistrées"):
        assert text in page
    assert "si_social" not in page
    selected = await shown(browser, "/activites?activite=SOL-01", role="coordinator")
    assert "Proposer une modification" in selected


def _list_options(page: str, field: str) -> set[str]:
    select = re.search(rf'<select[^>]*name="values.{field}".*?</select>', page, re.DOTALL)
    assert select is not None, field
    return set(re.findall(r'<option value="([^"]*)"', select[0]))


@pytest.mark.parametrize(
    ("kind", "field", "own", "foreign"),
    [
        ("activity", "pole", "education", "solidarites"),
        ("card", "plan", "PCA-education", "PCA-solidarites"),
        ("trigger", "plan", "PCA-education", "PT-CRUE"),
        ("staffing", "activity", "EDU-01", "SOL-01"),
        ("rotation", "scope", "education", "solidarites"),
    ],
)
async def test_the_form_of_a_new_record_offers_a_director_the_own_pole_alone(
    kind: str, field: str, own: str, foreign: str
) -> None:
    """The form offered all pôles, and the server refused the proposal."""
    browser, _ = browsing(crisis())
    path = f"/donnees/nouvelle-fiche/{kind}?realm={REALM}"
    page = (await browser.get(path, role="director@pole:education")).text
    options = _list_options(page, field)
    assert own in options
    assert not options & {foreign, ""}
    everything = (await browser.get(path, role="coordinator")).text
    assert foreign in _list_options(everything, field)


@pytest.mark.parametrize("kind", ["contact", "step"])
async def test_a_director_of_a_pole_is_offered_no_new_record_of_the_whole_territory(
    kind: str,
) -> None:
    browser, _ = browsing(crisis())
    path = f"/donnees/nouvelle-fiche/{kind}"
    assert "Proposer cette fiche" in await shown(browser, path, role="coordinator")
    assert "Proposer cette fiche" not in await shown(browser, path, role="director@pole:education")
    page = await shown(browser, "/donnees", role="director@pole:education")
    assert "Ajouter une étape" not in page


async def test_the_page_of_the_reference_data_leads_to_each_step_of_an_escalation() -> None:
    browser, _ = browsing(crisis())
    assert "Escalade « N2, vague 1 »" in await shown(browser, "/donnees", role="coordinator")
    page = await shown(browser, "/donnees/fiches/step/N2.1", role="coordinator")
    for text in ("Délai pour répondre, en minutes", "Réponses attendues", "dernières crises"):
        assert text in page


POST = "astreinte_direction"
ROTATION = {
    "role": POST,
    "place": "holder",
    "persons": ["dgs", "coord-pca"],
    "every_days": 7,
    "hand_off": "08:00",
    "since": "2027-01-04",
}


async def test_a_new_rotation_shows_the_people_on_call_before_and_after() -> None:
    browser, _ = browsing(crisis())
    answer = await post(
        browser, "new-records/rotation/preview", {"values": ROTATION}, "coordinator"
    )
    assert answer.status_code == 200, answer.text
    coverage = answer.json()["coverage"]
    holder = next(place for place in coverage["places"] if place["place"] == "holder")
    changed = [span for span in holder["spans"] if span["is_changed"]]
    assert {tuple(span["before"]) for span in changed} == {("ast-direction",)}
    assert {tuple(span["after"]) for span in changed} == {("dgs",), ("coord-pca",)}
    assert coverage["uncovered_h"] == 0


async def test_forms_offer_erased_people_for_no_post() -> None:
    realm_state = crisis()
    realm_state.put("reachability", {"id": "agent-7", "points": [{"channel": "sms"}]})
    realm_state.put("reachability", {"id": "agent-8", "points": []})
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/donnees/nouvelle-fiche/rotation", role="coordinator")
    assert "agent-7" in page
    assert "agent-8" not in page


async def test_hours_that_a_rotation_leaves_empty_are_named_at_once() -> None:
    browser, _ = browsing(crisis())
    body = {"values": {**ROTATION, "hours": "08:00-20:00"}}
    answer = await post(browser, "new-records/rotation/preview", body, "coordinator")
    coverage = answer.json()["coverage"]
    assert coverage["uncovered_h"] > 100
    assert "no_holder" in {gap["kind"] for gap in coverage["gaps"]}


async def test_the_form_of_a_rotation_shows_its_effect_from_its_address() -> None:
    browser, _ = browsing(crisis())
    query = "&".join(
        f"values.{name}={value}"
        for name, values in {**ROTATION, "hours": "08:00-20:00"}.items()
        for value in (values if isinstance(values, list) else [values])
    )
    page = await shown(browser, f"/donnees/nouvelle-fiche/rotation?{query}", role="coordinator")
    assert "Qui serait d’astreinte" in page
    assert "sans personne" in page
    assert "Manques que ce changement crée" in page


async def test_a_refused_value_of_a_schedule_is_named_before_the_proposal() -> None:
    browser, _ = browsing(crisis())
    page = await shown(
        browser, f"/donnees/fiches/on_call/{POST}?values.holder=", role="coordinator"
    )
    assert "une escalade appelle ce rôle" in page


async def test_the_second_person_sees_the_people_on_call() -> None:
    realm_state = realm()
    edit = {
        "kind": "on_call",
        "id": POST,
        "fields": [{"field": "holder", "before": "ast-direction", "after": "dgs"}],
    }
    realm_state.put("reference_changes", change() | {"edit": edit})
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/donnees", role="coordinator")
    assert "Qui serait d’astreinte" in page


async def test_a_new_record_is_proposed_with_all_its_fields() -> None:
    browser, _ = browsing(crisis())
    body = {"values": ROTATION, "reason": "Relève"}
    answer = await post(browser, "new-records/rotation/proposals", body, "coordinator")
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, ProposeReference)
    assert command.edit is not None
    assert command.edit.action is RecordAction.CREATE
    assert [d.section.value for d in command.sections] == ["roster"]


async def test_a_director_adds_records_of_the_own_pole_only() -> None:
    browser, _ = browsing(crisis())
    role = "director@pole:solidarites"
    card = {
        "role": "directeur_pole",
        "pole": "solidarites",
        "phase": "reflex",
        "task": "Ouvrir",
        "t_min": 900,
        "steps": ["Un"],
        "done_when": "Fait",
    }
    answers = [
        await post(
            browser,
            "new-records/card/proposals",
            {"values": card | {"plan": plan}, "reason": "x"},
            role,
        )
        for plan in (PLAN, "PCA-education")
    ]
    assert [a.status_code for a in answers] == [202, 403], [a.text for a in answers]


async def test_a_record_in_use_is_not_withdrawn_and_the_refusal_names_its_users() -> None:
    browser, _ = browsing(crisis())
    body = {"reason": "Fermé"}
    answer = await post(browser, "records/contact/police/withdrawal", body, "coordinator")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "record_referred")
    assert any("Recueil et traitement" in fault["detail"] for fault in problem["errors"])
    assert browser.decisions.asked == []


@pytest.mark.parametrize("kind", NEW_FIELDS)
async def test_every_new_form_is_shown_and_labels_its_fields(kind: RecordKind) -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, f"/donnees/nouvelle-fiche/{kind}", role="coordinator")
    for field in NEW_FIELDS[kind].fields:
        assert field.name in PLACE_LABELS
        assert PLACE_LABELS[field.name] in page
    assert "Proposer cette fiche" in page


async def test_the_form_of_an_activity_lists_its_agents_and_leads_to_each() -> None:
    browser, _ = browsing(crisis())
    page = await browser.get(f"/donnees/fiches/activity/ATT-08?realm={REALM}", role="coordinator")
    text = words(page.text)
    assert "Règle de réaffectation" in text
    (form,) = set(re.findall(r"/donnees/fiches/staffing/ATT-08[^?\"]+", page.text))
    page = await shown(browser, form, role="coordinator")
    assert "Effectif minimal le premier jour" in page


async def test_a_director_changes_the_staff_of_the_own_pole_only() -> None:
    browser, _ = browsing(crisis())
    body = {"values": {"staff": 12}, "reason": "Un poste de plus"}
    path = "records/staffing/SOL-02.ase-01.educateur/proposals"
    answer = await post(browser, path, body, "director@pole:education")
    assert answer.status_code == 403, answer.text
    answer = await post(browser, path, body, "director@pole:solidarites")
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert [(f.field, f.before, f.after) for f in command.edit.fields] == [("staff", 10, 12)]


TRIGGER = "PT-TIAC.N3"


async def test_the_condition_of_a_trigger_is_shown_as_choices_and_one_sentence() -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, f"/donnees/fiches/trigger/{TRIGGER}", role="coordinator")
    for text in (
        "Malades rattachés à une même cuisine",
        "Durée, en minutes",
        "Le plan est proposé",
    ):
        assert text in page
    assert "supplier_illness" not in page


async def test_chosen_conditions_stand_in_the_proposal_as_the_sentence_says_them() -> None:
    browser, _ = browsing(crisis())
    query = (
        "c1.metric=sites_closed&c1.kinds=college&c1.op=%3E%3D&c1.value=2"
        "&c2.joint=and&c2.metric=vigilance&c2.phenomenon=crues&c2.op=%3E%3D&c2.value=orange"
    )
    answer = await browser.get(
        f"/donnees/fiches/trigger/{TRIGGER}?realm={REALM}&{query}", role="coordinator"
    )
    assert "collèges fermés ≥ 2 et vigilance crues ≥ orange" in words(answer.text)
    conditions = html.unescape(
        re.search(r'name="values.conditions" [^>]*value="([^"]*)"', answer.text)[1]
    )
    proposal = {"values": {"conditions": conditions.splitlines()}, "reason": "Retour d’expérience"}
    answer = await post(browser, f"records/trigger/{TRIGGER}/preview", proposal, "coordinator")
    assert answer.status_code == 200, answer.text
    (field,) = answer.json()["fields"]
    assert field["after"] == conditions.splitlines()


async def test_a_new_comparison_asks_for_its_arguments() -> None:
    browser, _ = browsing(crisis())
    path = f"/donnees/fiches/trigger/{TRIGGER}?c1.metric=outage_power_sites"
    page = await shown(browser, path, role="coordinator")
    assert "une précision manque" in page
    assert "Durée, en minutes" in page


def test_the_replay_names_the_plans_and_their_times() -> None:
    foreseen = Foreseen(
        crises=1,
        moved=1,
        plans=1,
        plan_times=(
            PlanTime(realm="S04", plan="PT-TIAC", state="proposed", before=None, after=START),
        ),
    )
    (finding,) = (
        text
        for text in describe_forecast(foreseen, get_translator("fr"), reference().names)
        if text.startswith("S04")
    )
    assert "toxi" in finding.lower() or "TIAC" in finding
    assert "au lieu de jamais" in finding


def test_every_metric_to_choose_has_a_name_and_its_arguments_labels() -> None:
    assert set(METRIC_LABELS) == set(METRIC_FORMS) <= KNOWN_METRICS
    names = {a.name for form in METRIC_FORMS.values() for a in form.arguments}
    assert names <= set(ARGUMENT_LABELS)

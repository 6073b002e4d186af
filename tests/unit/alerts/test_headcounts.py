"""The row of an evacuated site shows if everybody was found, for reassignment (D37, D78)."""

from __future__ import annotations

import pytest

from schemas.calling import NotificationPlanned
from schemas.reports import Measure
from tests.unit.alerts.scene import Scene

SITE = "clg-0921353W"
ORDER = "site_order"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def count(scene: Scene, minute: float, found: float, **values: object) -> str:
    measure = Measure(
        name="headcount_found", value=found, value_of=214, unit="persons", scope="site"
    )
    return scene.report(minute, "headcount", SITE, severity=1, measure=measure, **values)


def all_clear(scene: Scene, minute: float, site: str | None, **values: object) -> None:
    scene.report(
        minute,
        "info",
        site,
        severity=1,
        source="pompiers",
        measure=Measure(name="all_clear", value=1, unit="bool"),
        **values,
    )


def test_a_sheltering_site_keeps_its_people(scene: Scene) -> None:
    scene.report(1, "shelter_in_place", SITE, severity=4)
    assert scene.site(SITE).confinement == "sheltering"


def test_people_of_an_evacuated_site_are_counted_until_all_are_found(scene: Scene) -> None:
    count(scene, 0, 214)  # a drill, before anything happened
    scene.report(1, "evacuation", SITE, severity=4)
    assert (scene.site(SITE).headcount, scene.site(SITE).confinement) == (None, "counting")
    count(scene, 20, 208)
    counted = scene.site(SITE).headcount
    assert counted is not None
    assert (counted.found, counted.expected, scene.site(SITE).confinement) == (208, 214, "counting")
    count(scene, 40, 214)
    assert scene.site(SITE).confinement is None


@pytest.mark.parametrize("source", ["site_manager", "ssiap", "pompiers", "recensement"])
def test_counts_on_the_spot_and_by_message_are_accepted(scene: Scene, source: str) -> None:
    """«recensement» is Vigie's own, from the answers of the people."""
    scene.report(1, "evacuation", SITE, severity=4)
    count(scene, 20, 214, source=source)
    assert scene.site(SITE).confinement is None


def test_a_withdrawn_count_no_longer_applies(scene: Scene) -> None:
    scene.report(1, "evacuation", SITE, severity=4)
    wrong = count(scene, 20, 214)
    scene.report(22, "headcount", SITE, severity=1, msg_type="Cancel", references=(wrong,))
    assert scene.site(SITE).confinement == "counting"


def test_a_count_of_an_empty_site_ends_the_question(scene: Scene) -> None:
    """At night a site is empty: «0 sur 0» ends the question, and hides nobody."""
    scene.report(1, "evacuation", SITE, severity=4)
    empty = Measure(name="headcount_found", value=0, value_of=0, unit="persons", scope="site")
    scene.report(9, "headcount", SITE, severity=1, measure=empty)
    assert scene.site(SITE).confinement is None
    assert proposals(scene) == [("void", "counted")]


def test_an_all_clear_ends_the_count(scene: Scene) -> None:
    scene.report(1, "evacuation", SITE, severity=4)
    all_clear(scene, 30, SITE)
    assert scene.site(SITE).all_clear_at == scene.at(30)
    assert scene.site(SITE).confinement is None


def test_an_all_clear_for_a_commune_covers_the_sites_of_its_incident(scene: Scene) -> None:
    gas = scene.report(1, "gas_leak", SITE, severity=4)
    scene.report(2, "evacuation", SITE, severity=4)
    all_clear(scene, 30, None, commune=scene.state.territory.sites[SITE].commune, references=(gas,))
    assert scene.site(SITE).confinement is None


def test_a_closure_after_the_evacuation_ends_no_count(scene: Scene) -> None:
    """«Le collège est fermé» accounts for no person."""
    scene.report(1, "evacuation", SITE, severity=4)
    count(scene, 20, 208)
    scene.report(30, "closure", SITE, severity=3)
    site = scene.site(SITE)
    assert (site.status.value, site.left_at) == ("closed", scene.at(1))
    assert site.headcount is not None
    assert (site.headcount.found, site.confinement) == (208, "counting")
    count(scene, 40, 214)
    assert scene.site(SITE).confinement is None


def test_an_all_clear_for_a_commune_covers_a_site_that_was_closed_since(scene: Scene) -> None:
    gas = scene.report(1, "gas_leak", SITE, severity=4)
    scene.report(2, "evacuation", SITE, severity=4)
    scene.report(9, "closure", SITE, severity=3)
    all_clear(scene, 30, None, commune=scene.state.territory.sites[SITE].commune, references=(gas,))
    assert scene.site(SITE).all_clear_at == scene.at(30)
    assert scene.site(SITE).confinement is None


def test_a_closure_sends_no_sheltering_people_out(scene: Scene) -> None:
    scene.report(1, "shelter_in_place", SITE, severity=4)
    scene.report(5, "closure", SITE, severity=3)
    assert (scene.status(SITE), scene.site(SITE).confinement) == ("sheltering", "sheltering")
    scene.report(60, "reopening", SITE, severity=1, lifts=("shelter_in_place",))
    assert (scene.status(SITE), scene.site(SITE).confinement) == ("closed", None)


@pytest.mark.parametrize("order", ["evacuation", "fire", "shelter_in_place"])
def test_a_closure_lifts_no_order_of_the_prefecture(scene: Scene, order: str) -> None:
    scene.report(1, order, SITE, severity=4, source="prefecture")
    scene.report(5, "closure", SITE, severity=3)
    orders = [f.values["order"] for f in scene.named(NotificationPlanned) if f.template == ORDER]
    assert "lifted" not in orders
    assert len(orders) == 1
    scene.report(50, "reopening", SITE, severity=1, source="prefecture", lifts=(order,))
    orders = [f.values["order"] for f in scene.named(NotificationPlanned) if f.template == ORDER]
    assert orders[1:] == ["lifted"]


# ── proposed at once (D79) ─────────────────────────────────────────────────────────────────────────────────────────


def proposals(scene: Scene) -> list[tuple[str, str | None]]:
    """State and outcome of the tasks that ask for a headcount, oldest first."""
    rows = sorted(
        (t for t in scene.state.tasks.values() if t.kind == "headcount"), key=lambda t: t.opened_at
    )
    assert {t.site for t in rows} <= {SITE}
    return [(t.state.value, t.outcome) for t in rows]


@pytest.mark.parametrize("order", ["evacuation", "fire", "shelter_in_place"])
def test_an_order_about_people_proposes_a_headcount_at_once(scene: Scene, order: str) -> None:
    scene.report(1, order, SITE, severity=4)
    assert proposals(scene) == [("open", None)]
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "headcount"]
    assert (task.opened_at, task.due_at) == (scene.at(1), scene.at(6))
    assert task.incident is not None


def test_a_closed_site_counts_no_people(scene: Scene) -> None:
    scene.report(1, "closure", SITE, severity=4)
    assert proposals(scene) == []


def test_a_closure_answers_no_question_about_people(scene: Scene) -> None:
    scene.report(1, "fire", SITE, severity=4)
    scene.report(5, "closure", SITE, severity=3)
    assert proposals(scene) == [("open", None)]
    count(scene, 12, 214)
    assert proposals(scene) == [("void", "counted")]


def test_the_proposal_ends_with_the_first_count(scene: Scene) -> None:
    scene.report(1, "evacuation", SITE, severity=4)
    count(scene, 3, 0)
    assert proposals(scene) == [("void", "counted")]
    scene.report(10, "fire", SITE, severity=4)  # the same order to leave, confirmed by another type
    assert proposals(scene) == [("void", "counted")]


def test_the_proposal_ends_with_the_order(scene: Scene) -> None:
    scene.report(1, "shelter_in_place", SITE, severity=4)
    scene.report(20, "reopening", SITE, severity=1, lifts=("shelter_in_place",))
    assert proposals(scene) == [("void", "over")]


def test_another_order_asks_again(scene: Scene) -> None:
    scene.report(1, "shelter_in_place", SITE, severity=4)
    count(scene, 3, 214)
    scene.report(9, "evacuation", SITE, severity=4)
    assert proposals(scene) == [("void", "counted"), ("open", None)]

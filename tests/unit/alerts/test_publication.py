"""The communication function publishes a page, everybody of the cell retracts it (D96)."""

from typing import Any

import pytest

from schemas.crisis.publication import PublicationState, PublicPage, PublishPage, RetractPage
from services.alerts.evolve import rebuild_indexes
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_communication import AUTHOR, COM, apply, refusal

PAGE = PublicPage.SERVICES


@pytest.fixture
def scene() -> Scene:
    return Scene()


def publishing(**values: Any) -> PublishPage:
    return PublishPage(**{"page": PAGE, "text_id": "t-1", "digest": "d-1"} | COM | values)


def test_a_page_is_published_again_and_retracted(scene: Scene) -> None:
    apply(scene, publishing())
    apply(scene, publishing(text_id="t-2", expected=1))
    row = scene.state.publications[PAGE]
    assert (row.state, row.number, row.text_id, row.version) == (
        PublicationState.PUBLISHED,
        2,
        "t-2",
        2,
    )
    assert (row.published.by, row.published.role) == ("com-1", "cellule_com")
    apply(scene, RetractPage(page=PAGE, **AUTHOR))
    row = scene.state.publications[PAGE]
    assert row.state is PublicationState.RETRACTED
    assert row.retracted is not None
    assert refusal(scene, RetractPage(page=PAGE, **AUTHOR)) == (409, "publication_retracted")


@pytest.mark.parametrize("role", ["cellule_com", "coordinator", "dgs_directeur_de_crise"])
def test_communication_and_leaders_publish(scene: Scene, role: str) -> None:
    apply(scene, publishing(role=role))
    assert scene.state.publications[PAGE].published.role == role


@pytest.mark.parametrize("role", ["cell", "director", "main_courantier"])
def test_other_roles_are_refused(scene: Scene, role: str) -> None:
    assert refusal(scene, publishing(role=role)) == (403, "publication_role")
    assert not scene.state.publications


def test_no_program_publishes_or_retracts(scene: Scene) -> None:
    program = {"author": "system:planner", "role": "system"}
    assert refusal(scene, publishing(**program)) == (403, "person_needed")
    apply(scene, publishing())
    assert refusal(scene, RetractPage(page=PAGE, **program)) == (403, "person_needed")


def test_a_decision_on_another_version_is_refused(scene: Scene) -> None:
    assert refusal(scene, RetractPage(page=PAGE, **AUTHOR)) == (404, "publication_not_found")
    apply(scene, publishing())
    assert refusal(scene, publishing(expected=7)) == (412, "version_conflict")
    assert refusal(scene, RetractPage(page=PAGE, expected=7, **AUTHOR)) == (412, "version_conflict")


def test_a_promise_lies_in_the_future(scene: Scene) -> None:
    assert refusal(scene, publishing(next_at=1)) == (409, "next_update_in_past")


def test_a_rebuilt_state_keeps_the_publication(scene: Scene) -> None:
    apply(scene, publishing())
    assert rebuild_indexes(scene.state).publications == scene.state.publications

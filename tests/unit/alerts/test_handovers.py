"""A handover has one page, two signatures of two people, and a message after both (D115)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import HistoryForgotten
from schemas.base import Command
from schemas.calling import NotificationPlanned
from schemas.crisis.handovers import (
    HANDOVER_MOVES,
    OPEN_HANDOVER_STATES,
    AcceptHandover,
    DraftHandover,
    HandoverChanged,
    HandoverPage,
    HandoverState,
    ReviseHandover,
    SignHandover,
    WithdrawHandover,
)
from schemas.reference import PublishReference, RosterSection
from schemas.runtime import CommandApplied, CommandRefused
from services.alerts.decider import AlertsDecider
from services.alerts.evolve import evolve_forgotten_history
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

OUT: dict[str, Any] = {"author": "coord-1", "role": "coordinateur_pca"}
IN: dict[str, Any] = {"author": "coord-2", "role": "coordinateur_pca"}
WHY: dict[str, Any] = {"reason": "text:why"}
TO = ("coordinateur_pca", "directeur_pole:education")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def page(**values: Any) -> HandoverPage:
    given_ = {"text_id": "d-1", "sha256": "ab" * 32, "as_of": 1, "counts": {"decisions": 3}}
    return HandoverPage(**(given_ | values))


def apply(scene: Scene, command: Command) -> dict[str, Any]:
    answer = scene.command(command)
    assert isinstance(answer, CommandApplied), answer
    return dict(answer.result)


def refusal(scene: Scene, command: Command) -> tuple[int, str]:
    answer = scene.command(command)
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def draft(scene: Scene, **values: Any) -> str:
    command = DraftHandover(**({"text_id": "t-1", "recipients": TO} | OUT | values))
    return str(apply(scene, command)["handover"])


def sign(scene: Scene, id: str, **values: Any) -> None:
    apply(scene, SignHandover(**({"handover": id, "page": page()} | OUT | values)))


def accepted(scene: Scene) -> str:
    id = draft(scene)
    sign(scene, id)
    apply(scene, AcceptHandover(handover=id, **IN))
    return id


def test_a_handover_is_signed_by_the_outgoing_and_the_incoming_person(scene: Scene) -> None:
    id = accepted(scene)
    row = scene.state.handovers[id]
    assert row.state is HandoverState.ACCEPTED
    assert row.signed is not None
    assert row.accepted is not None
    assert (row.number, row.signed.by, row.accepted.by) == (1, "coord-1", "coord-2")
    assert row.page == page(), "what the second person signs is what the first one signed"
    assert [f.change for f in scene.named(HandoverChanged)] == ["drafted", "signed", "accepted"]


def test_one_person_cannot_sign_twice(scene: Scene) -> None:
    id = draft(scene, **IN)
    sign(scene, id)
    command = AcceptHandover(handover=id, author="coord-1", role="cellule_situation")
    assert refusal(scene, command) == (403, "handover_second_person")
    apply(scene, AcceptHandover(handover=id, **IN))


def test_a_program_signs_nothing(scene: Scene) -> None:
    id, program = draft(scene), {"author": "system:robot", "role": "system"}
    assert refusal(scene, SignHandover(handover=id, page=page(), **program)) == (
        403,
        "person_needed",
    )
    sign(scene, id)
    assert refusal(scene, AcceptHandover(handover=id, **program)) == (403, "person_needed")


def test_recipients_hear_of_it_after_both_signatures_and_without_the_objective(
    scene: Scene,
) -> None:
    id = draft(scene, recipients=(*TO, "coordinateur_pca"))
    sign(scene, id, page=page(next_at=scene.at(90)))
    assert not [n for n in scene.named(NotificationPlanned) if n.template == "handover"]
    apply(scene, AcceptHandover(handover=id, **IN))
    notifications = [n for n in scene.named(NotificationPlanned) if n.template == "handover"]
    assert [(n.role, n.scope, n.answer_expected) for n in notifications] == [
        ("coordinateur_pca", None, False),
        ("directeur_pole", "education", False),
    ]
    assert notifications[0].values["decisions"] == 3
    assert notifications[0].values["next_at"] == scene.at(90)
    assert "t-1" not in str(notifications[0].values)


def test_a_named_person_is_a_recipient_too(scene: Scene) -> None:
    person = next(iter(scene.state.rota.scopes("coordinateur_pca")), None)
    holder = scene.state.rota.pair("coordinateur_pca", person, scene.at(0)).holder
    assert holder is not None
    id = draft(scene, recipients=(holder,))
    sign(scene, id)
    apply(scene, AcceptHandover(handover=id, **IN))
    notifications = [n for n in scene.named(NotificationPlanned) if n.template == "handover"]
    assert [n.person for n in notifications] == [holder]


def test_a_recipient_that_new_data_drop_hinders_no_signature(scene: Scene) -> None:
    id = draft(scene, recipients=("cel-rh", "coordinateur_pca"))
    sign(scene, id)
    roster = next(s.roster for s in territory().sections if isinstance(s, RosterSection))
    channels = {person: names for person, names in roster.channels.items() if person != "cel-rh"}
    data = RosterSection(roster=roster.model_copy(update={"channels": channels}))
    apply(
        scene,
        PublishReference(
            author="coord-1", role="coordinator", reference="r-2", data=data, last=True
        ),
    )
    apply(scene, AcceptHandover(handover=id, **IN))
    notifications = [n for n in scene.named(NotificationPlanned) if n.template == "handover"]
    assert [n.person for n in notifications] == ["coord-pca"]


def test_a_revision_voids_the_first_signature(scene: Scene) -> None:
    id = draft(scene)
    sign(scene, id)
    apply(scene, ReviseHandover(handover=id, text_id="t-2", **IN))
    row = scene.state.handovers[id]
    assert (row.state, row.text_id, row.signed, row.page) == (
        HandoverState.DRAFT,
        "t-2",
        None,
        None,
    )
    assert refusal(scene, AcceptHandover(handover=id, **IN)) == (409, "handover_state")


def test_only_one_handover_is_open_and_numbers_follow(scene: Scene) -> None:
    id = draft(scene)
    command = DraftHandover(text_id="t", recipients=TO, **IN)
    assert refusal(scene, command) == (409, "handover_open")
    assert refusal(scene, WithdrawHandover(handover=id, **OUT)) == (409, "reason_required")
    apply(scene, WithdrawHandover(handover=id, **OUT, **WHY))
    assert draft(scene) == "2"


@pytest.mark.parametrize(
    ("recipients", "refused"),
    [
        (("nobody-of-that-name",), (404, "assignee_not_found")),
        (("directeur_pole",), (409, "assignee_scope_missing")),
    ],
)
def test_an_unknown_recipient_is_refused(
    scene: Scene, recipients: tuple[str, ...], refused: tuple[int, str]
) -> None:
    assert refusal(scene, DraftHandover(text_id="t", recipients=recipients, **OUT)) == refused


def test_a_decision_on_an_older_version_is_refused(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, ReviseHandover(handover=id, text_id="t-2", **OUT))
    command = SignHandover(handover=id, page=page(), expected=0, **OUT)
    assert refusal(scene, command) == (412, "version_conflict")
    assert refusal(scene, AcceptHandover(handover="9", **IN)) == (404, "handover_not_found")


def test_the_last_number_survives_the_history(scene: Scene) -> None:
    """A number that came twice would name two pages."""
    accepted(scene)
    accepted(scene)
    forgotten = HistoryForgotten(
        closed_before=scene.at(10_000), reported_before=scene.at(10_000), next_at=scene.at(20_000)
    )
    after = evolve_forgotten_history(scene.state, forgotten)
    assert list(after.handovers) == ["2"]


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["revised", "signed", "accepted", "withdrawn"]),
        st.sampled_from(["coord-1", "coord-2"]),
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(moves=_MOVES)
def test_states_move_along_the_arrows_only(moves: list[tuple[str, str]]) -> None:
    scene = Scene()
    id = draft(scene)
    for change, author in moves:
        before = scene.state.handovers[id]
        who: dict[str, Any] = {"author": author, "role": "coordinateur_pca", "handover": id}
        commands: dict[str, Command] = {
            "revised": ReviseHandover(text_id="t", **who),
            "signed": SignHandover(page=page(), **who),
            "accepted": AcceptHandover(**who),
            "withdrawn": WithdrawHandover(**who, **WHY),
        }
        answer = scene.command(commands[change])
        row = scene.state.handovers[id]
        if isinstance(answer, CommandApplied):
            assert row.state is HANDOVER_MOVES[change][before.state]
        else:
            assert row == before
        if row.state is HandoverState.ACCEPTED:
            assert row.signed is not None
            assert row.accepted is not None
            assert row.signed.by != row.accepted.by
        assert (row.page is None) == (row.signed is None)
        if row.state in OPEN_HANDOVER_STATES:
            assert row.accepted is None

    decider = AlertsDecider()
    loaded = decider.load(scene.state.realm, scene.state.lineage, decider.dump(scene.state))
    assert loaded == scene.state

"""A second person validates statements, states follow the arrows, publishing answers (D91)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import HistoryForgotten
from schemas.base import Command
from schemas.crisis.communication import (
    STATEMENT_MOVES,
    AnswerQuestion,
    Audience,
    DraftStatement,
    PublishStatement,
    QuestionChanged,
    QuestionState,
    ReaddressStatement,
    ReceiveQuestion,
    RefuseStatement,
    RetractStatement,
    ReviseStatement,
    StatementChanged,
    StatementState,
    SubmitStatement,
    ValidateStatement,
)
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty
from services.alerts.decider import AlertsDecider
from services.alerts.evolve import evolve_forgotten_history
from tests.unit.alerts.scene import Scene

AUTHOR: dict[str, Any] = {"author": "cell-1", "role": "cell"}
OTHER: dict[str, Any] = {"author": "cell-2", "role": "cell"}
COM: dict[str, Any] = {"author": "com-1", "role": "cellule_com"}
WHY: dict[str, Any] = {"reason": "text:why"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def apply(scene: Scene, command: Command) -> dict[str, Any]:
    answer = scene.command(command)
    assert isinstance(answer, CommandApplied), answer
    return dict(answer.result)


def refusal(scene: Scene, command: Command) -> tuple[int, str]:
    answer = scene.command(command)
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def draft(scene: Scene, **values: Any) -> str:
    given_ = {"text_id": "t-1", "audience": Audience.PRESS} | AUTHOR | values
    return str(apply(scene, DraftStatement(**given_))["statement"])


def publish(scene: Scene, **values: Any) -> str:
    id = draft(scene, **values)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    apply(scene, ValidateStatement(statement=id, **COM))
    apply(scene, PublishStatement(statement=id, **AUTHOR))
    return id


def test_a_statement_is_drafted_submitted_validated_and_published(scene: Scene) -> None:
    id = publish(scene)
    row = scene.state.statements[id]
    assert row.state is StatementState.PUBLISHED
    assert row.validated is not None
    assert (row.drafted.by, row.validated.by, row.validated.role) == (
        "cell-1",
        "com-1",
        "cellule_com",
    )
    assert [f.change for f in scene.named(StatementChanged)] == [
        "drafted",
        "submitted",
        "validated",
        "published",
    ]


@pytest.mark.parametrize("role", ["cellule_com", "coordinator", "admin", "dgs_directeur_de_crise"])
def test_authors_cannot_validate_their_own_text(scene: Scene, role: str) -> None:
    """The author, the last editor and the submitter are refused."""
    people = [{"author": name, "role": role} for name in ("a", "b", "c")]
    id = draft(scene, **people[0])
    apply(scene, ReviseStatement(statement=id, text_id="t-2", **people[1]))
    apply(scene, SubmitStatement(statement=id, **people[2]))
    for person in people:
        assert refusal(scene, ValidateStatement(statement=id, **person)) == (
            403,
            "statement_second_person",
        )
    assert scene.state.statements[id].state is StatementState.SUBMITTED
    apply(scene, ValidateStatement(statement=id, author="d", role=role))


@pytest.mark.parametrize("role", ["cell", "director", "directeur_pole", "cellule_rh", "elected"])
def test_only_the_communication_function_validates_and_refuses(scene: Scene, role: str) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    who = {"author": "x", "role": role}
    assert refusal(scene, ValidateStatement(statement=id, **who)) == (403, "statement_role")
    assert refusal(scene, RefuseStatement(statement=id, **who, **WHY)) == (403, "statement_role")


def test_a_program_validates_nothing(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    program = {"author": "system:robot", "role": "admin"}
    assert refusal(scene, ValidateStatement(statement=id, **program)) == (403, "person_needed")


def test_a_field_role_drafts_nothing(scene: Scene) -> None:
    command = DraftStatement(text_id="t", audience=Audience.PRESS, author="m", role="site_manager")
    assert refusal(scene, command) == (403, "role_not_allowed")


def test_a_text_with_blanks_is_not_submitted(scene: Scene) -> None:
    id = draft(scene, blanks=2)
    assert refusal(scene, SubmitStatement(statement=id, **AUTHOR)) == (409, "statement_blanks")
    apply(scene, ReviseStatement(statement=id, text_id="t-2", **AUTHOR))
    apply(scene, SubmitStatement(statement=id, **AUTHOR))


def test_a_refused_statement_gives_its_reason_and_can_be_revised(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    assert refusal(scene, RefuseStatement(statement=id, **COM)) == (409, "reason_required")
    apply(scene, RefuseStatement(statement=id, **COM, **WHY))
    assert scene.state.statements[id].reason == "text:why"
    apply(scene, ReviseStatement(statement=id, text_id="t-2", **AUTHOR))
    row = scene.state.statements[id]
    assert (row.state, row.text_id) == (StatementState.DRAFT, "t-2")


def test_a_submitted_text_cannot_change(scene: Scene) -> None:
    """Otherwise the communication function would validate other words than those it read."""
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    revise = ReviseStatement(statement=id, text_id="t-2", **AUTHOR)
    assert refusal(scene, revise) == (409, "statement_state")
    apply(scene, ValidateStatement(statement=id, **COM))
    assert refusal(scene, revise) == (409, "statement_state")
    assert scene.state.statements[id].text_id == "t-1"


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_another_audience_makes_a_draft_with_the_same_words(scene: Scene, steps: int) -> None:
    """The yes was for another audience, so it is void."""
    id = draft(scene)
    for command in (
        SubmitStatement(statement=id, **AUTHOR),
        ValidateStatement(statement=id, **COM),
    )[:steps]:
        apply(scene, command)
    apply(scene, ReaddressStatement(statement=id, audience=Audience.FAMILIES, plain=True, **OTHER))
    row = scene.state.statements[id]
    assert (row.state, row.audience, row.plain, row.text_id) == (
        StatementState.DRAFT,
        Audience.FAMILIES,
        True,
        "t-1",
    )
    assert (row.submitted, row.validated) == (None, None)
    assert row.readdressed is not None
    assert row.readdressed.by == "cell-2"
    assert refusal(scene, PublishStatement(statement=id, **AUTHOR)) == (409, "statement_state")
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    who = {"author": "cell-2", "role": "coordinator"}
    assert refusal(scene, ValidateStatement(statement=id, **who)) == (
        403,
        "statement_second_person",
    )
    apply(scene, ValidateStatement(statement=id, **COM))
    apply(scene, PublishStatement(statement=id, **AUTHOR))


def test_a_refused_statement_may_go_to_another_audience(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    apply(scene, RefuseStatement(statement=id, **COM, **WHY))
    apply(scene, ReaddressStatement(statement=id, audience=Audience.ELECTED, **AUTHOR))
    assert scene.state.statements[id].state is StatementState.DRAFT


def test_the_same_audience_voids_no_validation(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, **AUTHOR))
    apply(scene, ValidateStatement(statement=id, **COM))
    before = scene.state.statements[id]
    apply(scene, ReaddressStatement(statement=id, audience=Audience.PRESS, **AUTHOR))
    assert scene.state.statements[id] == before


def test_a_published_statement_keeps_its_audience(scene: Scene) -> None:
    id = publish(scene)
    for audience in (Audience.PRESS, Audience.USERS):
        command = ReaddressStatement(statement=id, audience=audience, **AUTHOR)
        assert refusal(scene, command) == (409, "statement_state")


def test_another_audience_needs_the_version_that_was_read(scene: Scene) -> None:
    id = draft(scene)
    command = ReaddressStatement(statement=id, audience=Audience.USERS, expected=3, **AUTHOR)
    assert refusal(scene, command) == (412, "version_conflict")


def test_a_published_statement_is_retracted_with_a_reason_and_for_good(scene: Scene) -> None:
    id = publish(scene)
    assert refusal(scene, RetractStatement(statement=id, **AUTHOR)) == (409, "reason_required")
    apply(scene, RetractStatement(statement=id, **AUTHOR, **WHY))
    assert refusal(scene, PublishStatement(statement=id, **AUTHOR)) == (409, "statement_state")


def test_two_decisions_on_one_version_collide(scene: Scene) -> None:
    id = draft(scene)
    apply(scene, SubmitStatement(statement=id, expected=0, **AUTHOR))
    late = RetractStatement(statement=id, expected=0, **OTHER)
    assert refusal(scene, late) == (412, "version_conflict")


def test_publishing_the_statement_for_a_question_answers_it(scene: Scene) -> None:
    question = str(
        apply(scene, ReceiveQuestion(text_id="q", asker=Audience.PRESS, **AUTHOR))["question"]
    )
    id = publish(scene, question=question)
    row = scene.state.questions[question]
    assert (row.state, row.statement) == (QuestionState.ANSWERED, id)
    again = AnswerQuestion(question=question, text_id="a", **AUTHOR)
    assert refusal(scene, again) == (409, "question_answered")
    assert [f.change for f in scene.named(QuestionChanged)] == ["received", "answered"]


def test_a_text_or_a_published_statement_answers_a_question(scene: Scene) -> None:
    first, second = (
        str(apply(scene, ReceiveQuestion(text_id="q", asker=asker, **AUTHOR))["question"])
        for asker in (Audience.FAMILIES, Audience.ELECTED)
    )
    assert refusal(scene, AnswerQuestion(question=first, **AUTHOR)) == (409, "answer_empty")
    unpublished = AnswerQuestion(question=first, statement=draft(scene), **AUTHOR)
    assert refusal(scene, unpublished) == (409, "statement_not_published")
    apply(scene, AnswerQuestion(question=first, text_id="a", **AUTHOR))
    apply(scene, AnswerQuestion(question=second, statement=publish(scene), **AUTHOR))
    assert {q.state for q in scene.state.questions.values()} == {QuestionState.ANSWERED}


def test_a_question_keeps_the_time_of_its_asking(scene: Scene) -> None:
    command = ReceiveQuestion(
        text_id="q",
        asker=Audience.PRESS,
        occurred_at=scene.at(-30),
        due_at=scene.at(60),
        author="liaison",
        role="liaison",
    )
    id = str(apply(scene, command)["question"])
    row = scene.state.questions[id]
    assert (row.asked_at, row.due_at, row.noted.at) == (scene.at(-30), scene.at(60), scene.at(0))


def test_a_statement_answers_a_rumour_but_no_confirmed_report(scene: Scene) -> None:
    rumour = scene.report(0, "security_incident", "pmi-04", certainty=Certainty.RUMOUR)
    fact = scene.report(1, "outage_power", "pmi-05", severity=4)
    id = draft(scene, report=rumour)
    assert scene.state.statements[id].report == rumour
    command = DraftStatement(text_id="t", audience=Audience.PRESS, report=fact, **AUTHOR)
    assert refusal(scene, command) == (409, "no_rumour")


def test_unknown_things_are_refused(scene: Scene) -> None:
    for command, code in (
        (
            DraftStatement(text_id="t", audience=Audience.PRESS, incident="x", **AUTHOR),
            "incident_not_found",
        ),
        (
            DraftStatement(text_id="t", audience=Audience.PRESS, report="x", **AUTHOR),
            "report_not_found",
        ),
        (
            DraftStatement(text_id="t", audience=Audience.PRESS, question="x", **AUTHOR),
            "question_not_found",
        ),
        (SubmitStatement(statement="x", **AUTHOR), "statement_not_found"),
        (AnswerQuestion(question="x", text_id="a", **AUTHOR), "question_not_found"),
        (
            ReceiveQuestion(text_id="q", asker=Audience.PRESS, incident="x", **AUTHOR),
            "incident_not_found",
        ),
    ):
        assert refusal(scene, command) == (404, code)


def test_old_history_forgets_only_ended_items(scene: Scene) -> None:
    statement, gone = publish(scene), draft(scene)
    apply(scene, RetractStatement(statement=gone, **AUTHOR))
    for question_number in range(2):
        answer = apply(scene, ReceiveQuestion(text_id="q", asker=Audience.PRESS, **AUTHOR))
        if question_number:
            apply(scene, AnswerQuestion(question=str(answer["question"]), text_id="a", **AUTHOR))
    later = scene.at(60 * 24 * 30)
    state = evolve_forgotten_history(
        scene.state, HistoryForgotten(reported_before=later, closed_before=later, next_at=None)
    )
    assert list(state.statements) == [statement]
    assert [q.state for q in state.questions.values()] == [QuestionState.OPEN]


PEOPLE = (AUTHOR, OTHER, COM, {"author": "com-2", "role": "cellule_com"})
STEPS = (
    "draft",
    "revised",
    "readdressed",
    "submitted",
    "validated",
    "refused",
    "published",
    "retracted",
    "question",
    "answer",
)
KINDS: dict[str, type[Command]] = {
    "submitted": SubmitStatement,
    "validated": ValidateStatement,
    "refused": RefuseStatement,
    "published": PublishStatement,
    "retracted": RetractStatement,
}


def _command(scene: Scene, step: str, which: int, who: dict[str, Any]) -> Command:
    statements, questions = sorted(scene.state.statements), sorted(scene.state.questions)
    statement = statements[which % len(statements)] if statements else "none"
    question = questions[which % len(questions)] if questions else "none"
    common_fields = who | WHY
    match step:
        case "draft":
            about = question if which % 3 == 0 and questions else None
            return DraftStatement(
                text_id="t",
                audience=Audience.USERS,
                blanks=which % 2,
                question=about,
                **common_fields,
            )
        case "revised":
            return ReviseStatement(statement=statement, text_id=f"t-{which}", **common_fields)
        case "readdressed":
            audience = list(Audience)[which % len(Audience)]
            return ReaddressStatement(statement=statement, audience=audience, **common_fields)
        case "question":
            return ReceiveQuestion(text_id="q", asker=Audience.PRESS, **common_fields)
        case "answer":
            by = {"statement": statement} if which % 2 else {"text_id": "a"}
            return AnswerQuestion(question=question, **by, **common_fields)
        case _:
            return KINDS[step](statement=statement, **common_fields)  # type: ignore[call-arg]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 5), st.sampled_from(PEOPLE)),
        min_size=1,
        max_size=30,
    )
)
def test_states_only_move_along_the_arrows(history: list[tuple[str, int, dict[str, Any]]]) -> None:
    scene = Scene()
    for step, which, who in history:
        scene.command(_command(scene, step, which, who))
    before: dict[str, Any] = {}
    for fact in scene.named(StatementChanged):
        row = fact.row
        old = before.get(row.id)
        if old is None:
            assert (fact.change, row.state, row.version) == ("drafted", StatementState.DRAFT, 0)
        else:
            assert STATEMENT_MOVES[fact.change][old.state] is row.state
            assert row.version == old.version + 1
            assert row.text_id == old.text_id or fact.change == "revised"
            assert row.audience == old.audience or fact.change == "readdressed"
        if fact.change == "validated":
            assert row.validated.role == "cellule_com"
            assert row.validated.by not in {row.drafted.by, row.submitted.by}
            assert row.revised is None or row.validated.by != row.revised.by
            assert row.readdressed is None or row.validated.by != row.readdressed.by
        if row.state in (StatementState.SUBMITTED, StatementState.PUBLISHED):
            assert row.blanks == 0
        if row.state is StatementState.PUBLISHED:
            assert row.validated is not None
        before[row.id] = row
    answered = [f.row.id for f in scene.named(QuestionChanged) if f.change == "answered"]
    assert len(answered) == len(set(answered))
    for question in scene.state.questions.values():
        by = question.statement and scene.state.statements[question.statement]
        assert not by or by.published is not None
    decider = AlertsDecider()
    loaded = decider.load(scene.state.realm, scene.state.lineage, decider.dump(scene.state))
    assert loaded == scene.state

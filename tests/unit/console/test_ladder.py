"""The page of an incident shows its escalation and the people with unknown delivery."""

from __future__ import annotations

import pytest

from schemas.calling import EscalationRow, WaveRow
from schemas.delivery import AttemptRow, NotificationRow
from schemas.reference import Pole
from schemas.words import Channel, Level, NotificationState
from services.console.i18n import get_translator
from services.console.incidents.escalation_page import (
    DoubtfulMessage,
    EscalationView,
    build_escalation,
)
from services.console.read_model.reference_index import NO_REFERENCE
from services.console.read_model.shapes import Shaper
from services.console.sites.geometry import MapPlane, Outlines
from services.console.texts.names import TerritoryNames

AT = 1_802_340_000_000


def called(state: NotificationState, *attempts: tuple[str, bool]) -> NotificationRow:
    """Return a person called by attempts (state, possible duplicate)."""
    return NotificationRow(
        id="n",
        escalation="e",
        wave=1,
        cycle=1,
        level=Level.N1,
        role="astreinte_technique",
        person="ast-technique",
        channels=(Channel.SMS,),
        state=state,
        template="incident_wave",
        answer_expected=True,
        planned_at=AT,
        attempts=tuple(
            AttemptRow(
                id=f"a{n}",
                number=n,
                channel=Channel.SMS,
                state=made,
                planned_at=AT,
                granted_at=AT,
                possible_duplicate=twice,
            )
            for n, (made, twice) in enumerate(attempts, 1)
        ),
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (called(NotificationState.AMBIGUOUS, ("ambiguous", False)), ["peut-être non reçu"]),
        (
            called(NotificationState.ACCEPTED, ("ambiguous", False), ("accepted", True)),
            ["peut-être reçu deux fois"],
        ),
        (called(NotificationState.ATTEMPTED, ("ambiguous", False), ("planned", True)), []),
        (called(NotificationState.RECEIVED, ("received", False)), []),
        (
            called(NotificationState.RECEIVED, ("received", False)).model_copy(
                update={"unread_at": AT}
            ),
            ["a envoyé une réponse illisible"],
        ),
        (
            called(NotificationState.ANSWERED, ("received", False)).model_copy(
                update={"unread_at": AT, "answer": "ack"}
            ),
            [],
        ),
    ],
)
def test_the_escalation_lists_people_with_unknown_delivery(
    row: NotificationRow, words: list[str]
) -> None:
    assert [doubt.word for doubt in doubts(row)] == words


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (called(NotificationState.FAILED, ("failed", False)), ("non parvenu", True, True)),
        (
            called(NotificationState.FAILED).model_copy(update={"why": "no_verified_channel"}),
            ("aucun canal vérifié", True, True),
        ),
        *(
            (called(NotificationState.FAILED).model_copy(update={"why": code}), (word, True, True))
            for code, word in (
                ("sms_402", "crédit épuisé chez le fournisseur"),
                ("sms_403", "accès refusé par le fournisseur (clé, compte ou crédit)"),
                ("voice_503", "panne chez le fournisseur"),
                ("sms_0x0e", "non parvenu"),
            )
        ),
        (
            called(NotificationState.SUPERSEDED, ("failed", False)).model_copy(
                update={"withdrawn": "closed"}
            ),
            ("non parvenu", True, False),
        ),
        (
            called(NotificationState.AMBIGUOUS, ("ambiguous", False)),
            ("peut-être non reçu", False, True),
        ),
        (
            called(NotificationState.ACCEPTED, ("ambiguous", False), ("accepted", True)),
            ("peut-être reçu deux fois", False, False),
        ),
    ],
)
def test_undelivered_and_doubtful_messages_may_be_sent_again(
    row: NotificationRow, told: tuple[str, bool, bool]
) -> None:
    assert [(doubt.word, doubt.has_failed, doubt.may_be_repeated) for doubt in doubts(row)] == [
        told
    ]


def test_an_unheld_role_is_named_with_its_place() -> None:
    poles = {
        "solidarites": Pole(
            id="solidarites", name="Pôle Solidarités", name_en="Social", type="operational"
        )
    }
    ladder_view = ladder(
        called(NotificationState.PLANNED),
        TerritoryNames(poles=poles),
        "directeur_pole:solidarites",
        "cabinet",
    )
    assert ladder_view.uncovered == ["Direction Solidarités", "cabinet"]


@pytest.mark.parametrize(
    ("state", "silent"),
    [("running", 1), ("exhausted", 1), ("answered", 0), ("superseded", 0), ("ended", 0)],
)
def test_people_without_an_answer_count_while_an_answer_is_awaited(state: str, silent: int) -> None:
    """After the last step the alert stands; the page must not claim that all people answered."""
    assert (
        len(
            ladder(
                called(NotificationState.ACCEPTED, ("accepted", False)),
                TerritoryNames(),
                state=state,
            ).silent
        )
        == silent
    )


def test_a_yes_that_was_taken_back_in_a_later_cycle_is_no_yes_any_more() -> None:
    """The first cycle kept its green tick beside « 0 réponse », and the crisis looked staffed."""
    yes = called(NotificationState.ANSWERED).model_copy(
        update={"answer": "ack", "acknowledged_at": AT}
    )
    again = yes.model_copy(
        update={"id": "n2", "cycle": 2, "answer": "decline", "acknowledged_at": AT + 60_000}
    )
    other = yes.model_copy(update={"id": "n3", "person": "ast-other"})
    rungs = build([yes, other, again], TerritoryNames()).rungs
    assert [[a.answer for a in rung.answers] for rung in rungs] == [["withdrawn", "yes"], ["no"]]


def test_a_yes_after_a_refusal_stands() -> None:
    no = called(NotificationState.ANSWERED).model_copy(
        update={"answer": "decline", "acknowledged_at": AT}
    )
    yes = no.model_copy(
        update={"id": "n2", "cycle": 2, "answer": "ack", "acknowledged_at": AT + 60_000}
    )
    rungs = build([no, yes], TerritoryNames()).rungs
    assert [[a.answer for a in rung.answers] for rung in rungs] == [["no"], ["yes"]]


@pytest.mark.parametrize(
    ("cycle", "state", "next_cycle"),
    [(1, "running", 2), (3, "running", 4), (4, "running", None), (1, "answered", None)],
)
def test_after_its_last_step_an_escalation_names_the_next_cycle(
    cycle: int, state: str, next_cycle: int | None
) -> None:
    """«Dans 13:18» stood there alone, and the page of the incident said nothing."""
    view = show(step(1, cycle, expected=2), cycle=cycle, state=state)
    assert (view.next, view.next_cycle) == (None, next_cycle)


def test_answers_are_counted_in_each_called_step_of_the_newest_cycle() -> None:
    """Two answers of a cycle that had expired stood for enough while people were called again."""
    view = show(
        step(1, 1, expected=2, positive=2),
        step(1, 2, expected=2, positive=1),
        step(2, 2, expected=1),
        step(3, 2, expected=0),
        cycle=2,
    )
    assert (view.positive, view.expected) == (1, 2)
    assert [(s.wave, s.positive, s.expected) for s in view.missing] == [(1, 1, 2), (2, 0, 1)]
    assert show(step(2, 1, expected=1), state="answered").missing == []


def doubts(row: NotificationRow) -> list[DoubtfulMessage]:
    return ladder(row, TerritoryNames()).rungs[0].doubts


def ladder(
    row: NotificationRow, names: TerritoryNames, *uncovered: str, state: str = "running"
) -> EscalationView:
    """Return an escalation of one step that called one person."""
    return build([row], names, *uncovered, state=state)


def step(wave: int, cycle: int, *, expected: int, positive: int = 0) -> WaveRow:
    """Return a called step without its calls."""
    return WaveRow(
        wave=wave,
        cycle=cycle,
        due_at=AT,
        fired_at=AT,
        state="fired",
        expected=expected,
        positive=positive,
    )


def show(*waves: WaveRow, cycle: int = 1, state: str = "running") -> EscalationView:
    """Return an escalation with these steps; the next one or the end is due at `AT`."""
    return build([], TerritoryNames(), state=state, waves=waves, cycle=cycle)


def build(
    rows: list[NotificationRow],
    names: TerritoryNames,
    *uncovered: str,
    state: str = "running",
    waves: tuple[WaveRow, ...] = (),
    cycle: int = 1,
) -> EscalationView:
    """Return an escalation with one step a cycle, which made these calls, or with these steps."""
    waves = waves or tuple(
        WaveRow(
            wave=1,
            cycle=cycle,
            due_at=AT,
            fired_at=AT,
            state="fired",
            roles=("astreinte_technique",),
            expected=1,
            ack_min=15,
            channels=(Channel.SMS,),
            notifications=tuple(row.id for row in rows if row.cycle == cycle),
        )
        for cycle in sorted({row.cycle or 1 for row in rows})
    )
    shaper = Shaper("92", NO_REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr")
    escalation = EscalationRow(
        id="e",
        ladder="N1",
        scope="i",
        incidents=("i",),
        state=state,
        policy="r1",
        started_at=AT,
        wave=1,
        cycle=cycle,
        repeat_times=3,
        next_at=AT if state == "running" else None,
        waves=waves,
        uncovered_roles=uncovered,
    )
    return build_escalation(
        shaper.escalation(escalation),
        [shaper.notification(row) for row in rows],
        names,
        get_translator("fr"),
    )

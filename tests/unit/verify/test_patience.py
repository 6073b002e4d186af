"""A busy system is judged by the oldest open item, not by open items as such."""

from __future__ import annotations

from services.verify.laws import Findings, check_read_model
from services.verify.reading import PATIENCE_FACTOR, ConvergenceJudge

LAW = "read-model"


def waiting(*items: str) -> Findings:
    return Findings(pending={(LAW, item): f"{item} differs" for item in items})


def test_an_empty_system_has_no_breach() -> None:
    assert ConvergenceJudge(15).judge(Findings(), 10, 0) == []


def test_a_breach_counts_when_the_next_reading_still_shows_it() -> None:
    patience, breach = ConvergenceJudge(15), ("chain", "record 4 does not continue record 3")
    assert patience.judge(Findings([breach]), 10, 0) is None
    assert patience.judge(Findings([breach]), 11, 1) == [breach]
    healed = ConvergenceJudge(15)
    assert healed.judge(Findings([breach]), 10, 0) is None
    assert healed.judge(Findings(), 11, 1) == []


def test_the_arrival_of_the_oldest_item_suffices_on_a_busy_system() -> None:
    patience = ConvergenceJudge(15)
    assert patience.judge(waiting("a", "b"), 10, 0) is None
    assert patience.judge(waiting("b", "c"), 20, 1) is None
    assert patience.judge(waiting("c", "d"), 30, 2) == []


def test_an_item_that_never_arrives_is_a_breach_on_a_busy_system() -> None:
    patience = ConvergenceJudge(15)
    for second in range(PATIENCE_FACTOR * 15 + 1):
        assert patience.judge(waiting("a", f"moving {second}"), second, second) is None
    assert patience.judge(waiting("a", "another"), 1000, PATIENCE_FACTOR * 15 + 1) == [
        (LAW, "a differs")
    ]


def test_a_waiting_item_is_a_breach_once_nothing_moves() -> None:
    patience = ConvergenceJudge(15)
    assert patience.judge(waiting("a"), 10, 0) is None
    assert patience.judge(waiting("a"), 10, 15) is None
    assert patience.judge(waiting("a"), 10, 16) == [(LAW, "a differs")]


def test_a_row_that_the_projector_has_touched_is_not_the_one_that_waited() -> None:
    def found(shown: int) -> Findings:
        findings = Findings()
        check_read_model({}, {("live", "sites"): {"s": {"id": "s", "n": shown}}}, (), findings)
        return findings

    patience = ConvergenceJudge(15)
    assert patience.judge(found(1), 10, 0) is None
    assert patience.judge(found(1), 11, 1) is None
    assert patience.judge(found(2), 12, 2) == []


def test_a_breach_with_changing_text_is_reported_in_the_end() -> None:
    patience = ConvergenceJudge(15)
    for second in range(PATIENCE_FACTOR * 15 + 1):
        assert (
            patience.judge(Findings([("forward", f"{second} facts from nowhere")]), second, second)
            is None
        )
    last = ("forward", "a thousand facts from nowhere")
    assert patience.judge(Findings([last]), 1000, PATIENCE_FACTOR * 15 + 1) == [last]


def test_rows_that_differ_are_one_sentence_per_collection() -> None:
    findings = Findings()
    check_read_model(
        {}, {("live", "sites"): {str(n): {"id": str(n)} for n in range(500)}}, (), findings
    )
    patience = ConvergenceJudge(15)
    assert patience.judge(findings, 1, 0) is None
    assert patience.judge(findings, 1, 16) == [
        (LAW, "realm live, sites: 500 of 0 rows differ, e.g. 0")
    ]

"""Lines of the main courante: both times, author, order (D55)."""

from __future__ import annotations

import pytest

from schemas.alerts import NoteAdded
from schemas.commands import SetLevel
from services.console.lines import LineRecord, author_source, key_before, key_of, line_of
from services.runtime.transaction import Transaction
from tests.integration.console import crisis
from tests.integration.console.logwriter import Chains

START = crisis.START


def lines(service: str, *facts: object, at: int = START, **more: object) -> list[LineRecord]:
    partition, raw = Chains().make(service, "92", facts, at, **more)  # type: ignore[arg-type]
    tx = Transaction.load(raw)
    found = (line_of(tx, fact, partition, n) for n, fact in enumerate(tx.facts))
    return [line for line in found if line is not None]


def test_a_late_report_keeps_both_times() -> None:
    late = crisis.report("r-1", "pmi-04", START, recorded_at=START + 20 * crisis.MINUTE)
    (line,) = lines("alerts", late, at=START + 20 * crisis.MINUTE)
    assert (line.occurred_at, line.recorded_at) == (START, START + 20 * crisis.MINUTE)
    assert (line.kind, line.certainty, line.source, line.incident) == ("fact", "confirmed", "site_manager", crisis.INCIDENT)


def test_what_a_person_caused_carries_their_token_and_role() -> None:
    (by_person,) = lines("alerts", crisis.level(START, 3, 2), cause=SetLevel, source=author_source("p-7", "dgs_directeur_de_crise"))
    (by_itself,) = lines("alerts", crisis.level(START, 3, 2))
    assert (by_person.author, by_person.role) == ("p-7", "dgs_directeur_de_crise")
    assert (by_itself.author, by_itself.role) == ("system", None)


def test_a_note_is_its_authors_and_its_text_is_elsewhere() -> None:
    note = NoteAdded(line="l-1", text_id="t-1", author="p-1", role="cell", incident="i-1", corrects="l-0", occurred_at=START - 1)
    (line,) = lines("alerts", note)
    assert (line.id, line.kind, line.text_id, line.corrects, line.occurred_at) == ("l-1", "note", "t-1", "l-0", START - 1)


def test_growth_of_an_incident_is_told_by_its_reports_not_twice() -> None:
    assert lines("alerts", crisis.incident(START, ("pmi-04",), "member")) == []
    assert [line.change for line in lines("alerts", crisis.incident(START, ("pmi-04",), "opened"))] == ["opened"]


def test_keys_order_by_time_then_cause_before_effect() -> None:
    keys = [
        key_of(START, "alerts", 7, 0), key_of(START, "alerts", 7, 1), key_of(START, "alerts", 12, 0), key_of(START, "continuity", 3, 0),
        key_of(START, "delivery", 1, 0), key_of(START + 1, "alerts", 1, 0),
    ]  # fmt: skip
    assert keys == sorted(keys)
    assert max(keys[:-1]) < key_before(START) <= keys[-1]


@pytest.mark.parametrize("fact", [crisis.ladder(START), crisis.task(START), crisis.level(START, 2, 1)])
def test_lines_read_back_as_they_were_written(fact: object) -> None:
    for line in lines("alerts", fact):
        assert LineRecord.load(line.dump()) == line

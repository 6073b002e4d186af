"""Operators see every input without effect and every failed deadline."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from schemas.runtime import OpenRealm, StepTo
from services.runtime.log.transaction import Transaction
from services.runtime.testing import MemoryService
from services.runtime.worker import worker as failure_log
from tests.faults.runtime.toy import ToyDecider, ToyReport
from tests.unit.runtime.test_watch import figure

T0 = 1_800_000_000_000


def told(tx: Transaction, outcome: str) -> list[dict[str, object]]:
    with capture_logs() as lines:
        failure_log.log_failures(tx, outcome)
    return [dict(line) for line in lines]


def opened(realm: str) -> MemoryService[object]:
    service = MemoryService(ToyDecider(), clock=T0)
    service.feed(realm, OpenRealm(author="p", role="admin", territory="92", started_at=T0), id="o")
    return service  # type: ignore[return-value]


@pytest.mark.parametrize(("realm", "counted"), [("92", 1), ("92~ex-1", 0)])
def test_a_failed_deadline_is_logged_and_counted_in_a_live_realm(realm: str, counted: int) -> None:
    """An escalation may stand still; only a line of the main courante showed it."""
    service = opened(realm)
    service.feed(realm, ToyReport(incident="bad", n=1, delay_ms=100, does="curse"), at=T0)
    failure_log.initialize_failure_metric("toy")
    before = figure(failure_log.DEADLINES_METRIC, service="toy") or 0
    tx = service.feed(
        realm, ToyReport(incident="good", n=2) if realm == "92" else StepTo(), at=T0 + 100
    )
    (line,) = told(tx, "applied")
    assert (line["log_level"], line["event"], line["realm"], line["deadline"]) == (
        "error",
        "deadline.failed",
        realm,
        "bad",
    )
    assert line["reason"] == "RuntimeError: cursed"
    assert figure(failure_log.DEADLINES_METRIC, service="toy") == before + counted


def test_an_input_without_effect_is_logged_with_its_causes() -> None:
    message = ToyReport(incident="i", n=1, delay_ms=None, does="raise")
    tx = opened("92").feed("92", message, id="r1", correlation_id="first", causation_id="before")
    (line,) = told(tx, "failed")
    assert line == {
        "log_level": "warning",
        "event": "input.failed",
        "realm": "92",
        "input_id": "r1",
        "input_type": "vigie.ToyReport.v1",
        "correlation_id": "first",
        "causation_id": "before",
        "reason": "ValueError: poison",
    }
    assert told(tx, "applied") == []

"""Log lines and metrics for the failures in a Transaction, for operators.

Readers of the log see the same failures as facts.
"""

from __future__ import annotations

from typing import Final

import structlog

from schemas.realms import is_live
from schemas.runtime import DeadlineFailed
from services.runtime.log.transaction import Transaction
from services.runtime.process import metrics

_DEADLINE_FAILED: Final = DeadlineFailed.wire_type()
DEADLINES_METRIC: Final = "vigie_deadlines_failed_total"
log = structlog.get_logger(__name__)


def initialize_metric(service: str) -> None:
    """Create the metric before its first event."""
    metrics.initialize_counter(DEADLINES_METRIC, service=service)


def log_failures(tx: Transaction, outcome: str) -> None:
    """Log an input without effect and each deadline that failed and will not fire again."""
    for fact in tx.facts:
        if fact.type == _DEADLINE_FAILED:
            log.error(
                "deadline.failed",
                realm=tx.realm,
                deadline=fact.data["key"],
                due=fact.data["due"],
                reason=fact.data["error"],
            )
            if is_live(tx.realm):
                metrics.count(DEADLINES_METRIC, service=tx.service)
    if outcome in ("failed", "refused"):
        why = tx.facts[-1].data
        event = "input.failed" if outcome == "failed" else "input.refused"
        log.warning(
            event,
            realm=tx.realm,
            input_id=tx.src.id,
            input_type=tx.src.type,
            correlation_id=tx.src.correlation_id,
            causation_id=tx.src.causation_id,
            reason=why.get("error") or f"{why.get('code')}: {why.get('detail')}",
        )

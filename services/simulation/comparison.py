"""Replay a recorded crisis with and without a change of the reference data, and compare. Rule D63."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.reference import SectionData
from services.simulation.milestones import (
    Difference,
    HistorySummary,
    compare_summaries,
    summarise_history,
)
from services.simulation.recording import ForkPoint, Recording
from services.simulation.replay import count_matching_facts, replay_recording


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of one realm."""

    realm: str
    faithful: tuple[int, int]
    before: HistorySummary
    after: HistorySummary
    differences: list[Difference]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        names = sorted({*self.before.counts, *self.after.counts})
        return {
            "realm": self.realm,
            "replayed": {"same": self.faithful[0], "facts": self.faithful[1]},
            "seconds": round(self.seconds, 2),
            "counts": {
                n: {"before": self.before.counts[n], "after": self.after.counts[n]} for n in names
            },
            "differences": [
                {
                    "kind": d.milestone.kind,
                    "of": d.milestone.of,
                    "what": d.milestone.what,
                    "incident": d.milestone.incident or None,
                    "before": d.before,
                    "after": d.after,
                    "minutes": None if d.minutes is None else round(d.minutes, 2),
                    "worse": d.worse,
                }
                for d in self.differences
            ],
        }


def compare_replays(
    recording: Recording, change: Sequence[SectionData], fork: ForkPoint | None
) -> Comparison:
    """Replay a recording with and without the change, and compare."""
    began = time.perf_counter()
    was = replay_recording(recording)
    would = replay_recording(recording, change, fork)
    before, after = summarise_history(was), summarise_history(would)
    return Comparison(
        recording.realm,
        count_matching_facts(recording, was),
        before,
        after,
        compare_summaries(before, after),
        time.perf_counter() - began,
    )

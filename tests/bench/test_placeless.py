"""Cost of one more report in the decider of alerts among many, beside the machine's speed.

`pytest -m bench -s`. D4 to D26: with 100,000 open reports one more is decided in less than a
millisecond, and the cost grows no worse than n log n.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from itertools import count, islice

import pytest

from schemas.reports import ReportReceived
from schemas.words import EventType as T
from services.alerts.decider import AlertsDecider
from services.alerts.state import State
from services.runtime.decider.protocol import Input
from tests.shipped import territory
from tests.unit.alerts.scene import START, Scene

SIZES = (1_000, 10_000, 100_000)
MORE = 400
AIM_US = 1_000
SPREAD = (
    T.OUTAGE_WATER,
    T.OUTAGE_HEATING,
    T.OUTAGE_IT,
    T.OUTAGE_TELECOM,
    T.PARTIAL_CLOSURE,
    T.SECURITY_INCIDENT,
    T.OUTAGE_POWER,
    T.STAFF_SHORTAGE,
)


def reports(kind: str) -> Iterator[ReportReceived]:
    """Yield reports endlessly.

    *spread*: every site, eight types; *places*: no site, each of its own; *one*: always the same
    site and type.
    """
    sites, communes = [s.id for s in territory().sites], [c.insee for c in territory().communes]
    for n in count():
        common_fields = {
            "report_id": f"{kind}-{n}",
            "source": f"source_{n % 7}",
            "severity": 3,
            "occurred_at": START + n,
            "recorded_at": START + n,
        }
        match kind:
            case "spread":
                yield ReportReceived(
                    site_id=sites[n % len(sites)],
                    type=SPREAD[n // len(sites) % len(SPREAD)],
                    **common_fields,
                )
            case "places":
                yield ReportReceived(
                    commune=communes[n % len(communes)], type=T.OUTAGE_TELECOM, **common_fields
                )
            case _:
                yield ReportReceived(site_id="cen-1", type=T.OUTAGE_IT, **common_fields)


class Judge:
    """The pure decider on one realm, without a log."""

    def __init__(self) -> None:
        scene = Scene()
        self.realm, self.state = scene.realm, scene.state
        self._decider = AlertsDecider()

    def take(self, report: ReportReceived) -> State:
        at = report.recorded_at or START
        report_input = Input(
            report.report_id, self.realm, self.realm, "/bench", report, at, at, None, None
        )
        for n, fact in enumerate(self._decider.decide(self.state, report_input)):
            self.state = self._decider.evolve(self.state, fact, f"{report.report_id}/{n}", at)
        return self.state


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["spread", "places", "one"])
def test_one_more_report_among_100_000_is_decided_in_less_than_a_millisecond(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judge, coming, medians, report_count = Judge(), reports(kind), list[tuple[int, float]](), 0
    yardstick = min(timed(lambda: sum(range(1000))) for _ in range(50))
    for size in SIZES:
        for report in islice(coming, size - report_count - MORE):
            judge.take(report)
        gc.collect()
        gc.disable()
        spent = sorted(
            timed(lambda report=report: judge.take(report)) for report in islice(coming, MORE)
        )
        gc.enable()
        report_count = size
        medians.append((size, spent[len(spent) // 2]))
    medians_text = ", ".join(f"{size:,}: {us:.0f} µs" for size, us in medians)
    with capsys.disabled():
        print(
            f"\none more report ({kind}), median of {MORE}: {medians_text} (aim < {AIM_US} µs); sum(range(1000)) {yardstick:.1f} µs here"
        )
    (first, cost), (last, now) = medians[0], medians[-1]
    assert now < AIM_US
    assert now < cost * 2 * math.log(last) / math.log(first), (
        "more than log n per report: worse than n log n in all"
    )


def timed(run: object) -> float:
    """Return CPU µs."""
    assert callable(run)
    began = time.thread_time()
    run()
    return (time.thread_time() - began) * 1e6

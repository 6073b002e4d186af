"""A realm with a speed keeps it: steps wait, and an unattended realm does not race to catch up."""

from __future__ import annotations

import pytest

from schemas.runtime import StepTo
from services.runtime.simulation import conductor_process
from services.runtime.simulation.conductor import Move
from services.runtime.simulation.conductor_process import ConductorProcess

REALM, T0 = "92~ex-pace", 1_800_000_000_000


class Stopwatch:
    """The monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr(conductor_process, "time", stopwatch)
    return stopwatch


class Driven(ConductorProcess):
    """Only the pace of a conductor: no broker."""

    def __init__(self, speed: float | None) -> None:
        self._paces = {}
        self.clock, self.speed = T0, speed
        self._conductor = self  # type: ignore[assignment]

    def pace(self, _: str) -> tuple[bool, float | None]:
        return False, self.speed

    def wait_for(self, minutes: float) -> float:
        return self._wait_s(Move(REALM, "alerts", "step", StepTo(), T0 + int(minutes * 60_000)))


def conductor(speed: float | None) -> Driven:
    driven = Driven(speed)
    driven._conductor = type(
        "Clock", (), {"pace": lambda _, r: driven.pace(r), "clock": lambda *_: driven.clock}
    )()
    return driven


def test_a_step_waits_for_its_time_through_repeated_requests(watch: Stopwatch) -> None:
    driven = conductor(20)
    assert driven.wait_for(10) == pytest.approx(30)
    for passed in (1, 5, 29):
        watch.now = 1000 + passed
        assert driven.wait_for(10) == pytest.approx(30 - passed)
    watch.now = 1030.5
    assert driven.wait_for(10) == 0


def test_small_delays_do_not_add_up(watch: Stopwatch) -> None:
    driven = conductor(60)
    driven.wait_for(1)
    watch.now, driven.clock = 1001.4, T0 + 60_000
    assert driven.wait_for(2) == pytest.approx(0.6)


def test_a_realm_that_was_left_alone_goes_on_from_now(watch: Stopwatch) -> None:
    driven = conductor(20)
    driven.wait_for(1)
    watch.now = 5000
    assert driven.wait_for(1) == pytest.approx(3)


def test_a_realm_without_a_speed_never_waits(watch: Stopwatch) -> None:
    assert conductor(None).wait_for(1000) == 0

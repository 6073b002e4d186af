"""The clock of an exercise is one for all readers, never goes back and shows when it stops."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import MINUTE_MS, Instant, Message
from schemas.runtime import (
    OpenRealm,
    PaceChanged,
    RealmOpened,
    SetPace,
    StepAccepted,
    StepRequested,
    StepTo,
)
from services.console.read_model.realm_clock import (
    STANDING_MS,
    anchor_clock,
    find_limit,
    is_standing,
    show_clock,
)
from services.console.read_model.row_effects import RealmFieldsChanged, list_effects
from services.console.read_model.shapes import build_realm as realm_resource
from services.runtime.log.transaction import FactRecord, Transaction, TransactionSource
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import crisis

REALM = "92~ex-clock"
START = 1_800_000_000_000
"""Start of the exercise."""
REAL = 1_790_000_000_000
"""Start in real time."""
FACTS: dict[type[Message], tuple[type[Message], ...]] = {
    OpenRealm: (RealmOpened,),
    SetPace: (PaceChanged,),
    StepRequested: (StepAccepted,),
    StepTo: (),
}


class Exercise:
    """Realm as the projection keeps it, from records at real times."""

    def __init__(self, speed: float | None) -> None:
        self.fields: dict[str, Any] = {}
        self.clock: Instant = START
        opened = {
            "territory": "92",
            "title_code": "EX1",
            "started_at": START,
            "lineage": "x",
            "speed": speed,
        }
        self.tell(OpenRealm, REAL, START, opened)

    def tell(
        self, kind: type[Message], real: Instant, at: Instant, data: dict[str, Any] | None = None
    ) -> None:
        """Fold one record of the log of alerts."""
        facts = tuple(
            FactRecord(fact.wire_type(), str(n), at, data or {})
            for n, fact in enumerate(FACTS[kind])
        )
        source = TransactionSource(
            "alerts.inputs", 0, 0, "", "i", kind.wire_type(), "x", real, "", ""
        )
        tx = Transaction(1, 1, "", 0, "", "alerts", REALM, "x", source, at, facts, None)
        anchor = anchor_clock(self.fields, tx)
        for effect in list_effects(tx, 0):
            if isinstance(effect, RealmFieldsChanged):
                self.fields |= effect.fields
        self.fields |= anchor
        self.clock = max(self.clock, at)

    def ask(self, real: Instant, to: Instant) -> None:
        """Ask for a step."""
        self.tell(StepRequested, real, self.clock, {"to": to, "command_id": "c"})

    def shown(self, real: Instant) -> Instant:
        """Return the clock that people read."""
        return show_clock(self.fields, self.clock, real)


@pytest.mark.parametrize("speed", [1.0, 20.0, 600.0])
def test_the_clock_is_its_start_plus_speed_times_elapsed_time(speed: float) -> None:
    exercise = Exercise(speed)
    exercise.ask(REAL, START + 60 * MINUTE_MS)
    for passed in (0, 10, 97, 1_000):
        assert exercise.shown(REAL + passed) == START + passed * speed
    assert exercise.shown(REAL + 10) == exercise.shown(REAL + 10), "a reload shows the same"


@pytest.mark.parametrize("speed", [1.0, 20.0, 600.0])
def test_the_clock_never_goes_back(speed: float) -> None:
    """Steps come late, people pause, go on and ask for more in the middle of a step."""
    exercise, clock_times = Exercise(speed), [START]
    real, minute_real = REAL, int(MINUTE_MS / speed)
    exercise.ask(real, START + 10 * MINUTE_MS)

    def watch(until: Instant) -> None:
        nonlocal real
        for _ in range(20):
            real += max((until - real) // 20, 1)
            clock_times.append(exercise.shown(real))

    for minute in range(1, 6):
        watch(REAL + minute * minute_real + 150)
        exercise.tell(StepTo, real, START + minute * MINUTE_MS)
        clock_times.append(exercise.shown(real))
    exercise.ask(real + 20, START + 30 * MINUTE_MS)
    watch(real + minute_real // 2)
    exercise.tell(SetPace, real, exercise.clock, {"paused": True, "speed": speed})
    stopped = exercise.shown(real)
    watch(real + 100_000)
    assert clock_times[-1] == stopped, "a pause stands"
    exercise.tell(SetPace, real, exercise.clock, {"paused": False, "speed": speed})
    watch(real + minute_real)
    exercise.tell(StepTo, real, START + 6 * MINUTE_MS)
    watch(real + minute_real)
    assert clock_times == sorted(clock_times)
    assert clock_times[-1] > stopped


def test_the_clock_stops_without_requests_and_shows_it() -> None:
    exercise = Exercise(20.0)
    exercise.ask(REAL, START + MINUTE_MS)
    assert not is_standing(exercise.fields, exercise.clock, REAL + 1_000)
    exercise.tell(StepTo, REAL + 3_000, START + MINUTE_MS)
    over = REAL + 3_000
    assert not is_standing(exercise.fields, exercise.clock, over + 500), (
        "a player asks for the next step at once"
    )
    resource = realm_resource(
        {"name": REALM, **exercise.fields}, exercise.clock, over + 14 * MINUTE_MS
    )
    assert resource.standing
    assert resource.shown_clock == resource.clock
    assert resource.clock_limit is None
    exercise.ask(over + 20 * MINUTE_MS, START + 5 * MINUTE_MS)
    assert exercise.shown(over + 20 * MINUTE_MS) == START + MINUTE_MS, (
        "it goes on from where it stood"
    )
    assert exercise.shown(over + 20 * MINUTE_MS + 1_000) == START + MINUTE_MS + 20_000


def test_without_its_conductor_the_clock_does_not_run_away() -> None:
    exercise = Exercise(20.0)
    exercise.ask(REAL, START + 600 * MINUTE_MS)
    assert exercise.shown(REAL + 600 * MINUTE_MS) == START + 2 * MINUTE_MS
    assert find_limit(exercise.fields) == START + 2 * MINUTE_MS


def test_a_realm_without_a_speed_shows_its_steps() -> None:
    exercise = Exercise(None)
    exercise.ask(REAL, START + 5 * MINUTE_MS)
    assert exercise.shown(REAL + 60_000) == START
    exercise.tell(StepTo, REAL + 60_000, START + 5 * MINUTE_MS)
    assert exercise.shown(REAL + 60_000) == START + 5 * MINUTE_MS
    assert is_standing(exercise.fields, exercise.clock, REAL + 60_001 + STANDING_MS)


def test_a_past_picture_shows_the_recorded_clock() -> None:
    exercise = Exercise(1.0)
    exercise.ask(REAL, START + 5 * MINUTE_MS)
    resource = realm_resource({"name": REALM, **exercise.fields}, exercise.clock)
    assert (resource.shown_clock, resource.standing) == (resource.clock, False)


async def test_an_exercise_without_any_request_shows_that_its_clock_stands() -> None:
    """It said «vitesse ×20» for ever, and no call was ever made."""
    exercise = Exercise(20.0)
    assert not is_standing(exercise.fields, exercise.clock, REAL + 1_000)
    assert is_standing(exercise.fields, exercise.clock, REAL + 1 + STANDING_MS)
    paused = exercise.fields | {"paused": True}
    assert not is_standing(paused, exercise.clock, REAL + 1 + STANDING_MS)
    realm_state = crisis()
    realm_state.fields |= {"speed": 20.0, "opened_at": 0, "started_at": realm_state.clock}
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={realm_state.name}&lang=fr")).text
    assert "horloge arrêtée" in page
    assert "heure demandée" not in page


async def test_a_page_shows_a_stopped_exercise_clock() -> None:
    """After the end of the player it ran on for five minutes, again and again, under «en cours»."""
    realm_state = crisis()
    realm_state.fields |= {
        "speed": 20.0,
        "stepping_to": realm_state.clock,
        "clock_from": realm_state.clock,
        "clock_real": 0,
        "clock_floor": realm_state.clock,
    }
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={realm_state.name}")).text
    assert "horloge arrêtée à l’heure demandée" in page, (
        "no word on the end: a player may have stopped"
    )
    assert 'data-speed="0.0"' in page
    realm_state.fields |= {"stepping_to": realm_state.clock + MINUTE_MS}
    page = (await browser.get(f"/?realm={realm_state.name}&lang=fr")).text
    assert "vitesse ×20" in page
    assert f'data-limit="{realm_state.clock + MINUTE_MS}"' in page

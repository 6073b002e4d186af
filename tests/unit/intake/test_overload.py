"""Refused senders get a retry time and are counted; danger to people is refused last."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
from hypothesis import given
from hypothesis import strategies as st

from services.intake.admission import Admission, BodyMemory
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.process import metrics
from tests.unit.intake.conftest import Door, report

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("body"), st.integers(1, 40)),
        st.tuples(st.just("done"), st.integers(0, 50)),
        st.tuples(st.just("enter"), st.booleans()),
    ),
    max_size=120,
)


@given(STEPS, st.integers(1, 5), st.integers(0, 5), st.integers(1, 100), st.integers(0, 60))
def test_no_order_of_arrivals_turns_danger_away_while_another_would_be_let_in(
    steps: list[tuple[str, Any]], limit: int, reserve: int, bytes_: int, more_bytes: int
) -> None:
    room = BodyMemory(bytes_, more_bytes)
    admission = Admission(limit, reserve, room)
    bodies: list[int] = []

    def let_in(danger: bool) -> ExitStack | None:
        stack = ExitStack()
        try:
            stack.enter_context(admission.enter("92", danger=danger))
        except ProblemError:
            return None
        return stack

    with ExitStack() as inside:
        for step, value in steps:
            if step == "body":
                try:
                    room.reserve_bytes(value)
                    bodies.append(value)
                except ProblemError:
                    pass  # whoever came with it is turned away, whatever it says
            elif step == "done" and bodies:
                room.give_back(bodies.pop(value % len(bodies)))
            elif step == "enter":
                if (danger := let_in(True)) is None:
                    assert let_in(False) is None, (
                        "an ordinary report was let in where danger was not"
                    )
                else:
                    danger.close()
                if (entered := let_in(value)) is not None:
                    inside.enter_context(entered)
    assert admission.inside == 0


def counted(status: str) -> float:
    return (
        metrics._get_collector("vigie_reports_total")
        .labels(dialect="native", status=status)
        ._value.get()
    )  # type: ignore[union-attr]


async def test_a_storm_is_shed_with_retry_after_and_counted_and_fires_pass(tmp_path: Path) -> None:
    """300 ordinary reports and 60 fires arrive at once, with room for 40 + 80.

    Every answer is 202 or 503, every fire is accepted, every 503 is counted.
    """
    door = Door(tmp_path, in_flight=40, in_flight_reserve=80)
    append, before = door.inputs.append, counted("503")
    release = asyncio.Event()

    async def slow(*args: Any) -> tuple[int, int]:
        await release.wait()
        return await append(*args)

    door.inputs.append = slow  # type: ignore[method-assign]
    async with await door.as_(Role.CELL) as http:

        async def post(n: int, **changes: Any) -> httpx.Response:
            return await http.post("/api/v1/reports", json=report(headline=str(n), **changes))

        ordinary = [asyncio.create_task(post(n)) for n in range(300)]
        while sum(t.done() for t in ordinary) < 260:
            await asyncio.sleep(0)
        fires = [asyncio.create_task(post(n, type="fire")) for n in range(60)]
        while door.intake.admission.inside < 100:
            await asyncio.sleep(0)
        release.set()
        answers = await asyncio.gather(*ordinary)
        assert {(await f).status_code for f in fires} == {202}
    shed = [a for a in answers if a.status_code == 503]
    assert len(shed) == 260
    assert {a.status_code for a in answers} == {202, 503}
    assert {a.headers["retry-after"] for a in shed} == {"2"}
    assert counted("503") - before == 260
    await door.close()


async def test_bodies_that_need_all_the_room_leave_some_for_danger(tmp_path: Path) -> None:
    door = Door(tmp_path, bodies_in_memory_bytes=1000, bodies_reserve_bytes=2000)
    door.intake.admission.room.reserve_bytes(900)
    async with await door.as_(Role.CELL) as http:
        assert (
            await http.post("/api/v1/reports", json=report(description="x" * 300))
        ).status_code == 503
        assert (
            await http.post(
                "/api/v1/reports", json=report(type="evacuation", description="x" * 300)
            )
        ).status_code == 202
    await door.close()


async def test_danger_is_tried_while_the_log_was_away_and_another_looks_whether_it_is_back(
    door: Door,
) -> None:
    release, append = asyncio.Event(), door.inputs.append

    async def slow(*args: Any) -> tuple[int, int]:
        await release.wait()
        return await append(*args)

    door.intake.receiver.away = True
    door.inputs.append = slow  # type: ignore[method-assign]
    async with await door.as_(Role.CELL) as http:
        looks = asyncio.create_task(http.post("/api/v1/reports", json=report()))
        while not door.intake.receiver._under_way:
            await asyncio.sleep(0)
        assert (
            await http.post("/api/v1/reports", json=report(headline="other"))
        ).status_code == 503
        danger = asyncio.create_task(http.post("/api/v1/reports", json=report(type="fire")))
        while len(door.intake.receiver._under_way) < 2:
            await asyncio.sleep(0)
        release.set()
        assert [(await t).status_code for t in (looks, danger)] == [202, 202]

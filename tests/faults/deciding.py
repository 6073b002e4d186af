"""People decide about the same things over HTTP at the same time while processes are killed.

The module records requests and answers with their times.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import httpx

from tests.linear.checker import NEVER, UNKNOWN, Operation
from tests.linear.models import Answered, Asked
from tests.system import RunningVigie
from tests.waiting import until

PATIENCE_S: Final = 120.0
GIVEN_UP: Final = 0.1
"""Share of decisions with an author that leaves before the answer."""

Choose = Callable[[random.Random, int], tuple[str, Asked, dict[str, Any]]]
"""(random, last known version) → path below /api/v1/, question, body."""


class Deciding(threading.Thread):
    """One person. It repeats a key until there is an answer, so an operation lasts until then."""

    def __init__(self, vigie: RunningVigie, choose: Choose, count: int, seed: int) -> None:
        super().__init__(name=f"deciding-{seed}", daemon=True)
        self._vigie, self._choose, self.count = vigie, choose, count
        self._random = random.Random(seed)
        self.history: list[tuple[str, Operation]] = []
        """(path of the object, operation)."""
        self.finished = False

    def run(self) -> None:
        versions: dict[str, int] = {}
        with self._vigie.client() as client:
            for _ in range(self.count):
                self._decide(client, versions)
        self.finished = True

    def _decide(self, client: httpx.Client, known: dict[str, int]) -> None:
        path, decision, body = self._choose(self._random, max(known.values(), default=0))
        about = path.rpartition("/")[0]
        headers = {
            "Idempotency-Key": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            "Prefer": "wait=20",
        }
        if decision.expected is not None:
            headers["If-Match"] = f'"{decision.expected}"'
        called = time.monotonic()
        if self._random.random() < GIVEN_UP:
            self._call(client, "POST", path, body, headers | {"Prefer": "wait=0"})
            self.history.append((about, Operation(decision, UNKNOWN, called)))
            return
        answered = self._heard(client, path, body, headers)
        returned = time.monotonic() if answered is not UNKNOWN else NEVER
        self.history.append((about, Operation(decision, answered, called, returned)))
        if isinstance(answered, Answered) and not answered.code:
            known[about] = answered.version

    def _heard(
        self, client: httpx.Client, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> Any:
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answer = self._call(client, "POST", path, body, headers)
            if answer is None or answer.status_code >= 500 or answer.status_code in (202, 429):
                return False
            answers.append(answer)
            return True

        try:
            until(answered, PATIENCE_S)
        except TimeoutError:
            return UNKNOWN
        document = answers[0].json()
        return (
            Answered("", document["result"]["version"])
            if answers[0].status_code == 200
            else Answered(document["code"])
        )

    def _call(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        body: dict[str, Any],
        headers: dict[str, str],
    ) -> httpx.Response | None:
        """Call once; return None while the front restarts."""
        try:
            return client.request(method, f"/api/v1/{path}", json=body, headers=headers)
        except httpx.TransportError:
            return None


def histories(people: list[Deciding]) -> dict[str, list[Operation]]:
    """Return the histories of all people, by object."""
    operations_by_object: dict[str, list[Operation]] = {}
    for person in people:
        for about, operation in person.history:
            operations_by_object.setdefault(about, []).append(operation)
    return operations_by_object


def decide_under_kills(
    vigie: RunningVigie, people: list[Deciding], victims: tuple[str, ...], kills: int, seed: int
) -> dict[str, list[Operation]]:
    """Run decisions while processes are killed, and return the histories by object.

    Raises AssertionError if a person could not continue.
    """
    rnd = random.Random(seed)
    for person in people:
        person.start()

    def asked() -> int:
        return sum(len(p.history) for p in people)

    done, between = 0, sum(p.count for p in people) // (kills + 1)
    while done < kills and any(p.is_alive() for p in people):
        mark = asked() + rnd.randint(between // 2, between)
        until(
            lambda mark=mark: asked() >= mark or not any(p.is_alive() for p in people),
            2 * PATIENCE_S,
        )  # type: ignore[misc]
        alive = vigie.processes()
        if chosen := [v for v in victims if v in alive]:
            try:
                vigie.kill(rnd.choice(chosen))
            except (ProcessLookupError, KeyError):
                continue
            done += 1
    for person in people:
        person.join()
    assert all(p.finished for p in people)
    assert done > 0
    return histories(people)

"""People decide about the same things over HTTP at the same time while processes are killed.

The module records requests and answers with their times.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2 as httpx

from tests.linear.checker import UNKNOWN, Operation
from tests.linear.models import Answered, Asked, Promising
from tests.system import RunningVigie
from tests.waiting import until

PATIENCE_S: Final = 120.0
GIVEN_UP: Final = 0.1
"""Share of decisions with an author that leaves before the answer."""

NO_MATCH: Final[Mapping[str, str]] = {}
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

    def _decide(self, client: httpx.Client, versions: dict[str, int]) -> None:
        path, decision, body = self._choose(self._random, max(versions.values(), default=0))
        about = path.rpartition("/")[0]
        match = {} if decision.expected is None else {"If-Match": f'"{decision.expected}"'}
        answered = self._record(
            client, about, path, decision, body, match, leaves=self._random.random() < GIVEN_UP
        )
        if isinstance(answered, Answered) and not answered.code:
            versions[about] = answered.version

    def _record(
        self,
        client: httpx.Client,
        about: str,
        path: str,
        decision: Any,
        body: dict[str, Any],
        match: Mapping[str, str] = NO_MATCH,
        *,
        leaves: bool = False,
    ) -> Any:
        """Decide once and record the operation; return its answer.

        One who `leaves` sends the decision and never learns its answer.
        """
        headers = {**self._build_headers(), **match}
        called = time.monotonic()
        if leaves:
            self._call(client, "POST", path, body, headers | {"Prefer": "wait=0"})
            self.history.append((about, Operation(decision, UNKNOWN, called)))
            return UNKNOWN
        document = self._ask(client, path, body, headers)
        if document is None:
            self.history.append((about, Operation(decision, UNKNOWN, called)))
            return UNKNOWN
        code = "" if "result" in document else document["code"]
        answered = Answered(code, 0 if code else document["result"]["version"])
        self.history.append((about, Operation(decision, answered, called, time.monotonic())))
        return answered

    def _build_headers(self) -> dict[str, str]:
        """Return headers with a key of its own: people of other tests have the same seeds."""
        return {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=20"}

    def _ask(
        self, client: httpx.Client, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> dict[str, Any] | None:
        """Repeat a decision until it is answered, and return the document; None: never."""
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
            return None
        return dict(answers[0].json())

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


class Racing(Deciding):
    """Promise the last item of a stock, again and again, as one person.

    Each round is a resource request of its own: the person makes an offer from the stock, promises
    it, and cancels the request, which gives it back.
    """

    def __init__(
        self, vigie: RunningVigie, stock: str, need: dict[str, Any], rounds: int, seed: int
    ) -> None:
        super().__init__(vigie, _never_choose, rounds, seed)
        self._stock, self._need = stock, need

    def keep_from(self, other: Racing) -> None:
        """Hold the item while another person asks for it in vain."""
        with self._vigie.client() as client:
            requests = [self._open(client) for _ in range(2)]
            for person, request in zip((self, other), requests, strict=True):
                person._promise(client, request, "offer", {"stock": self._stock})
            for person, request in zip((self, other), requests, strict=True):
                person._promise(client, request, "cancel", {"reason": "essai"})

    def _decide(self, client: httpx.Client, _versions: dict[str, int]) -> None:
        request = self._open(client)
        leaves = self._random.random() < GIVEN_UP
        answered = self._promise(client, request, "offer", {"stock": self._stock}, leaves=leaves)
        if leaves or not answered.code:
            self._promise(client, request, "commit", {})
        self._promise(client, request, "cancel", {"reason": "essai"})

    def _open(self, client: httpx.Client) -> str:
        """Open a request, again until the decider knows the territory; return its id."""
        opened: list[str] = []

        def is_open() -> bool:
            document = self._ask(client, "resource-requests", self._need, self._build_headers())
            if document is not None and "result" in document:
                opened.append(document["result"]["request"])
            return bool(opened)

        until(is_open, PATIENCE_S)
        return opened[0]

    def _promise(
        self,
        client: httpx.Client,
        request: str,
        verb: str,
        body: dict[str, Any],
        *,
        leaves: bool = False,
    ) -> Any:
        path = f"resource-requests/{request}:{verb}"
        return self._record(
            client, self._stock, path, Promising(verb, request), body, leaves=leaves
        )


def _never_choose(_random: random.Random, _version: int) -> tuple[str, Asked, dict[str, Any]]:
    raise AssertionError("a race has one way to decide")


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

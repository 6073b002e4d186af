"""Model of the claim: one provider call per attempt (services/delivery/sender/attempt_view.py).

Two senders, one attempt on an at-most-once channel. delivery's log holds the grant of the first
claim and, without an outcome in time, the state "ambiguous"; the successor of a killed run causes
the same. A sender may be killed at any point, its wall clock may be wrong, it may stall between
check and call, and a take-over may lose the grant.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

from tests.model.worlds import Action, Broken

GUARDS: Final = {
    "read-back": "a sender calls only for a grant that it has read from the log",
    "run-id": "a grant is for the run that it names",
    "fresh-run": "a started sender draws a new run id",
    "once": "a run keeps which attempts it called: a record read again changes nothing",
    "elapsed": "the limit is counted on the sender's own clock from before the claim was sent, not by comparing wall clocks",
    "grace": "delivery waits limit + grace after the claim's append time before it says ambiguous",
    "perhaps": "ambiguous means perhaps sent, never not sent",
    "ended": "a run says that the calls of another are in doubt only when that one has ended",
    "loss": "a declared loss makes every open attempt ambiguous",
}
CALLED_TWICE: Final = "the provider was called twice for one attempt"
CALLED_LATE: Final = "a call began after its attempt had been declared ambiguous, without a stall"
RECORD_WRONG: Final = "the record says not sent, and it was sent"


class Grant(NamedTuple):
    run: int
    at: int
    """Append time of the claim: never before it was sent."""


class Run(NamedTuple):
    """Knowledge of one sender."""

    id: int
    wall: int
    """Error of its wall clock."""
    claim_sent: int = -1
    """Its own time from before it sent the claim; -1 = not yet."""
    holds_grant: bool = False
    may_call: bool = False
    """It has looked at the clock; from here to the call it may stall."""
    called: bool = False
    before: int = -1
    """The ended run that it replaces."""


class Claim:
    """World of the claim.

    `stalls`: a sender may be stopped between its look at the clock and the call. `loss`:
    take-overs that lose the grant.
    """

    RANDOM: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        without: str | None = None,
        *,
        stalls: bool = True,
        loss: int = 0,
        limit: int = 3,
        grace: int = 2,
        horizon: int = 9,
    ) -> None:
        self.guards = frozenset(GUARDS) - {without}
        self.stalls, self.loss = stalls, loss
        self.limit, self.grace, self.horizon = limit, grace, horizon
        self.clock = 0
        self.grant: Grant | None = None
        self.ambiguous = False
        self.claims: tuple[int, ...] = ()
        """Run ids in delivery.inputs, not decided yet."""
        self.crashes = 2
        self.runs: tuple[Run, ...] = (Run(0, 0), Run(1, -4))
        self.born = 2
        self.calls: tuple[tuple[int, int], ...] = ()
        """(run, time) of every provider call."""
        self.late_calls = 0

    def actions(self) -> list[Action]:
        """List the next possible actions, see World."""
        todo: list[Action] = []
        if self.clock < self.horizon:
            todo.append((1, "tick"))
        if self.claims:
            todo.append((2, "decide"))
        for i, run in enumerate(self.runs):
            if run.claim_sent < 0 and not self.ambiguous:
                todo.append((1, "send_claim", i))
            if self.may_read(run) and not run.holds_grant and not run.called:
                todo.append((2, "read_grant", i))
            if (
                run.holds_grant
                and not run.may_call
                and (not run.called or "once" not in self.guards)
            ):
                todo.append((2, "look_at_clock", i))
            if run.may_call:
                todo.append((2, "call", i))
            if run.holds_grant and run.called:
                todo.append((0.3, "read_again", i))
            if self.crashes:
                todo.append((0.3, "crash", i))
            if self.may_doubt(run):
                todo.append((1, "expire"))
        if (
            self.grant
            and not self.ambiguous
            and self.clock >= self.grant.at + self.limit + self.patience
        ):
            todo.append((2, "expire"))
        if self.loss and self.grant:
            todo.append((0.3, "take_over"))
        return todo

    @property
    def patience(self) -> int:
        return self.grace if "grace" in self.guards else -1

    def may_read(self, run: Run) -> bool:
        """Return True if this run would accept the log's grant as its own."""
        if "read-back" not in self.guards:
            return run.claim_sent >= 0
        if self.grant is None:
            return False
        if "run-id" not in self.guards:
            return True
        return self.grant.run == run.id and (run.claim_sent >= 0 or "fresh-run" not in self.guards)

    def may_doubt(self, run: Run) -> bool:
        """Return True if this run would declare the outcome of the grant lost."""
        if self.grant is None or self.ambiguous or self.grant.run == run.id:
            return False
        return self.grant.run == run.before or "ended" not in self.guards

    def put(self, i: int, **change: Any) -> None:
        """Run `i` changed."""
        self.runs = (*self.runs[:i], self.runs[i]._replace(**change), *self.runs[i + 1 :])

    # ── what may happen ────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        self.clock += 1

    def send_claim(self, i: int) -> None:
        self.put(i, claim_sent=self.clock)
        self.claims += (self.runs[i].id,)

    def decide(self) -> None:
        """Decide one claim in delivery: the first is granted."""
        run, self.claims = self.claims[0], self.claims[1:]
        if self.grant is None:
            self.grant = Grant(run, self.clock)

    def read_grant(self, i: int) -> None:
        self.put(i, holds_grant=True)

    def read_again(self, i: int) -> None:
        """Read the grant a second time."""
        self.put(
            i,
            holds_grant=True,
            may_call=False,
            called=self.runs[i].called and "once" in self.guards,
        )

    def look_at_clock(self, i: int) -> None:
        run = self.runs[i]
        if "elapsed" in self.guards:
            elapsed = self.clock - run.claim_sent
        else:
            elapsed = self.clock + run.wall - (self.grant.at if self.grant else self.clock)
        if elapsed > self.limit:
            return self.put(i, holds_grant=False, called=True)
        self.put(i, may_call=True)
        if not self.stalls:
            self.call(i)
        return None

    def call(self, i: int) -> None:
        self.put(i, may_call=False, called=True)
        self.calls += ((self.runs[i].id, self.clock),)
        if len(self.calls) > 1:
            raise Broken(CALLED_TWICE)
        if self.ambiguous:
            self.late_calls += 1
            if not self.stalls:
                raise Broken(CALLED_LATE)
            if "perhaps" not in self.guards:
                raise Broken(RECORD_WRONG)

    def crash(self, i: int) -> None:
        """Kill and restart a sender without its memory."""
        self.crashes -= 1
        ended = self.runs[i]
        id = self.born if "fresh-run" in self.guards else ended.id
        self.runs = (*self.runs[:i], Run(id, ended.wall, before=ended.id), *self.runs[i + 1 :])
        self.born += 1

    def expire(self) -> None:
        self.ambiguous = True

    def take_over(self) -> None:
        """Move to another cluster without the grant; `Rebased` or `LossDeclared` follows."""
        self.loss, self.claims = 0, ()
        if "loss" in self.guards:
            self.grant, self.ambiguous = Grant(-1, self.clock), True
        else:
            self.grant, self.ambiguous = None, False

    def finish(self) -> None:
        """Require nothing: a missing call is allowed."""
